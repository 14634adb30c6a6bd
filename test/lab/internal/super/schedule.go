package super

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// schedule binds every pod without a node to the fitting node with the fewest pods of the same owner, then the
// fewest pods: the spread that kube-scheduler's defaults aim at, which is all that the lab's workloads ask of it.
func schedule(ctx context.Context, client kubernetes.Interface) {
	lw := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.OneTermEqualSelector("spec.nodeName", ""))
	waiting := cache.NewSharedInformer(lw, &v1.Pod{}, 0)
	wake := make(chan struct{}, 1)
	note := func(any) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	if _, err := waiting.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: note, UpdateFunc: func(_, o any) { note(o) }}); err != nil {
		fmt.Fprintln(os.Stderr, "schedule:", err)
		return
	}
	go waiting.Run(ctx.Done())
	retry := time.NewTicker(time.Second) // for pods that no node fitted, and after an outage of the API server
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-retry.C:
		}
		if err := bindAll(ctx, client); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "schedule:", err)
		}
	}
}

// bindAll asks for the pods that wait, rather than trusting a watch that may be away.
func bindAll(ctx context.Context, client kubernetes.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName="})
	if err != nil {
		return err
	}
	var errs []error
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			if err := bind(ctx, client, &pod); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", pod.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func bind(ctx context.Context, client kubernetes.Interface, pod *v1.Pod) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	load := map[string]int{}
	for _, other := range pods.Items {
		if other.UID == pod.UID && other.Spec.NodeName != "" {
			return nil // bound meanwhile
		}
		load[other.Spec.NodeName]++
		if owner := metav1.GetControllerOf(pod); owner != nil && metav1.IsControlledBy(&other, &metav1.ObjectMeta{UID: owner.UID}) {
			load[other.Spec.NodeName] += 1000
		}
	}
	best := ""
	for _, node := range nodes.Items {
		if fits(&node, pod) && (best == "" || load[node.Name] < load[best]) {
			best = node.Name
		}
	}
	if best == "" {
		return fmt.Errorf("no ready node fits")
	}
	return client.CoreV1().Pods(pod.Namespace).Bind(ctx, &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
		Target:     v1.ObjectReference{Kind: "Node", Name: best},
	}, metav1.CreateOptions{})
}

func fits(node *v1.Node, pod *v1.Pod) bool {
	if node.Spec.Unschedulable || !labels.SelectorFromSet(pod.Spec.NodeSelector).Matches(labels.Set(node.Labels)) {
		return false
	}
	for _, c := range node.Status.Conditions {
		if c.Type == v1.NodeReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}
