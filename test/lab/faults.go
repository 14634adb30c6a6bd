package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubestickytop/stickytop/test/lab/internal/agent"
)

// Pods and workloads are named NAME, in namespace msgapp, or NAMESPACE/NAME.

// DeletePod deletes a pod with its own grace period, and returns when the API server has taken the request.
func (l *Lab) DeletePod(ctx context.Context, name string) error {
	client, err := l.Client("lab")
	if err != nil {
		return err
	}
	namespace, base := splitName(name)
	return client.CoreV1().Pods(namespace).Delete(ctx, base, metav1.DeleteOptions{})
}

// Scale sets the replicas of a Deployment, or of a StatefulSet of that name. WaitFor waits for the outcome.
func (l *Lab) Scale(ctx context.Context, name string, replicas int) error {
	return l.patchWorkload(ctx, name, map[string]any{"spec": map[string]any{"replicas": replicas}})
}

// Rollout begins a rolling update, as `kubectl rollout restart` does. WaitFor waits for its end.
func (l *Lab) Rollout(ctx context.Context, name string) error {
	at := map[string]any{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339Nano)}
	return l.patchWorkload(ctx, name, map[string]any{"spec": map[string]any{
		"template": map[string]any{"metadata": map[string]any{"annotations": at}},
	}})
}

func (l *Lab) patchWorkload(ctx context.Context, name string, patch any) error {
	client, err := l.Client("lab")
	if err != nil {
		return err
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	namespace, base := splitName(name)
	_, err = client.AppsV1().Deployments(namespace).Patch(ctx, base, types.StrategicMergePatchType, data, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.AppsV1().StatefulSets(namespace).Patch(ctx, base, types.StrategicMergePatchType, data, metav1.PatchOptions{})
	}
	if apierrors.IsNotFound(err) {
		return noWorkload(name)
	}
	return err
}

func noWorkload(name string) error {
	namespace, base := splitName(name)
	return fmt.Errorf("no Deployment or StatefulSet %s in namespace %s", base, namespace)
}

// WaitFor waits until a Deployment, or a StatefulSet of that name, has exactly the pods it asks for, all updated and
// ready, and none of its older pods is left.
func (l *Lab) WaitFor(ctx context.Context, name string) error {
	client, err := l.Client("lab")
	if err != nil {
		return err
	}
	for {
		done, err := settled(ctx, client, name)
		if apierrors.IsNotFound(err) {
			return noWorkload(name)
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s did not settle: %w", name, ctx.Err()), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func settled(ctx context.Context, client kubernetes.Interface, name string) (bool, error) {
	namespace, base := splitName(name)
	d, err := client.AppsV1().Deployments(namespace).Get(ctx, base, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return setSettled(ctx, client, namespace, base)
	}
	if err != nil {
		return false, err
	}
	want, s := *d.Spec.Replicas, d.Status
	if s.ObservedGeneration < d.Generation || s.ReadyReplicas != want || s.UpdatedReplicas != want || s.Replicas != want {
		return false, nil
	}
	return hasPods(ctx, client, namespace, d.Spec.Selector, want)
}

func setSettled(ctx context.Context, client kubernetes.Interface, namespace, base string) (bool, error) {
	set, err := client.AppsV1().StatefulSets(namespace).Get(ctx, base, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	want, s := *set.Spec.Replicas, set.Status
	if s.ObservedGeneration < set.Generation || s.ReadyReplicas != want || s.Replicas != want || s.CurrentRevision != s.UpdateRevision {
		return false, nil
	}
	return hasPods(ctx, client, namespace, set.Spec.Selector, want)
}

// hasPods reports whether a selector finds so many pods, those included that are still ending.
func hasPods(ctx context.Context, client kubernetes.Interface, namespace string, labels *metav1.LabelSelector, want int32) (bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(labels)
	if err != nil {
		return false, err
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	return err == nil && len(pods.Items) == int(want), err
}

// FailReadiness makes a pod's readiness probes fail from now on; Kubernetes notices after the probe's own period
// and failure threshold.
func (l *Lab) FailReadiness(name string) error {
	pod, err := l.runningPod(name)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(agent.PodDir(l.Spec, pod.UID), agent.UnreadyFile), nil, 0o600)
}

// RestoreReadiness ends FailReadiness.
func (l *Lab) RestoreReadiness(name string) error {
	pod, err := l.runningPod(name)
	if err != nil {
		return err
	}
	err = os.Remove(filepath.Join(agent.PodDir(l.Spec, pod.UID), agent.UnreadyFile))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the lab does not make the readiness probes of pod %s fail", name)
	}
	return err
}

// Freeze stops a pod's processes with SIGSTOP: connections are accepted by the kernel, and nothing answers.
func (l *Lab) Freeze(ctx context.Context, name string) error {
	return l.signal(ctx, name, syscall.SIGSTOP)
}

// Thaw ends Freeze.
func (l *Lab) Thaw(ctx context.Context, name string) error {
	return l.signal(ctx, name, syscall.SIGCONT)
}

// Crash kills a pod's processes; the pod stays, and its containers restart as the kubelet has it.
func (l *Lab) Crash(ctx context.Context, name string) error {
	return l.signal(ctx, name, syscall.SIGKILL)
}

func (l *Lab) signal(ctx context.Context, name string, signal syscall.Signal) error {
	pod, err := l.runningPod(name)
	if err != nil {
		return err
	}
	return l.control.Do(ctx, "pod-signal", "uid", pod.UID, "signal", strconv.Itoa(int(signal)))
}

// PauseAPIServer stops the API server with SIGSTOP: requests hang, watches are silent.
func (l *Lab) PauseAPIServer(ctx context.Context) error { return l.control.Do(ctx, "api-pause") }

// StopAPIServer kills the API server: watches break, connections are refused.
func (l *Lab) StopAPIServer(ctx context.Context) error { return l.control.Do(ctx, "api-down") }

// ResumeAPIServer ends PauseAPIServer or StopAPIServer and returns when the API server is ready.
func (l *Lab) ResumeAPIServer(ctx context.Context) error { return l.control.Do(ctx, "api-resume") }

// CompactHistory restarts the API server on an etcd without history: a watch from any earlier resource version
// is answered 410 Gone.
func (l *Lab) CompactHistory(ctx context.Context) error { return l.control.Do(ctx, "api-compact") }

// PauseEtcd stops etcd with SIGSTOP: the API server answers what it has in memory, and times out on the rest.
func (l *Lab) PauseEtcd(ctx context.Context) error { return l.control.Do(ctx, "etcd-pause") }

// ResumeEtcd ends PauseEtcd.
func (l *Lab) ResumeEtcd(ctx context.Context) error { return l.control.Do(ctx, "etcd-resume") }

const ingressName = "ingress/ingress-controller"

// StopIngress scales the ingress controller to nothing and returns when its pods are gone: its address refuses
// connections, or leads nowhere.
func (l *Lab) StopIngress(ctx context.Context) error { return l.scaleAndWait(ctx, ingressName, 0) }

// StartIngress ends StopIngress and returns when the controller serves: it is ready before the way to it is there.
func (l *Lab) StartIngress(ctx context.Context) error {
	if err := l.scaleAndWait(ctx, ingressName, 1); err != nil {
		return err
	}
	client := l.HTTPClient(0)
	for {
		err := ask(ctx, client, "http://"+l.IngressIP()+"/", "msgapp.local")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the ingress controller is ready and does not serve: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ask is nil when a pod answered, whatever it said.
func ask(ctx context.Context, client *http.Client, url, host string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s: %s", host, resp.Status)
	}
	return nil
}

func (l *Lab) scaleAndWait(ctx context.Context, name string, replicas int) error {
	if err := l.Scale(ctx, name, replicas); err != nil {
		return err
	}
	return l.WaitFor(ctx, name)
}

// ExpireToken makes a user's token invalid, and returns when the API server answers 401 to it: within about 10
// seconds, for as long as an API server remembers a token. Watches that are open stay open, as in every cluster.
func (l *Lab) ExpireToken(ctx context.Context, user string) error {
	return l.control.Do(ctx, "token-expire", "user", user)
}

// RenewToken writes a fresh token into the user's kubeconfig.
func (l *Lab) RenewToken(ctx context.Context, user string) error {
	return l.control.Do(ctx, "token-renew", "user", user)
}

// Drop throws away percent of the packets between two places, each way: client, control, node1, ..., pod/NAME. A
// node stands for its pods too.
func (l *Lab) Drop(ctx context.Context, a, b string, percent int) error {
	return l.control.Do(ctx, "net-drop", "a", fullName(a), "b", fullName(b), "percent", strconv.Itoa(percent))
}

// Delay makes every packet between two places late by that much, each way: client, control, node1, ...
func (l *Lab) Delay(ctx context.Context, a, b string, late time.Duration) error {
	return l.control.Do(ctx, "net-delay", "a", fullName(a), "b", fullName(b), "delay", late.String())
}

// Heal ends the drop or delay between two places; with two empty names, all of them.
func (l *Lab) Heal(ctx context.Context, a, b string) error {
	return l.control.Do(ctx, "net-heal", "a", fullName(a), "b", fullName(b))
}
