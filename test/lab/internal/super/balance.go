package super

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/internal/world"
)

// balance gives Services of type LoadBalancer an address and routes it, from the client and the control plane, to
// one node with a ready endpoint, as MetalLB's layer-2 mode does. The node's kube-proxy does the rest.
func balance(ctx context.Context, client kubernetes.Interface) {
	factory := informers.NewSharedInformerFactory(client, 0)
	wake := make(chan struct{}, 1)
	note := func(any) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: note, UpdateFunc: func(_, o any) { note(o) }, DeleteFunc: note}
	factory.Core().V1().Services().Informer().AddEventHandler(handler)
	factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(handler)
	factory.Start(ctx.Done())
	b := &balancer{client: client, routes: map[string]string{}}
	// Watches say when to look; what is there is asked for. After an outage of the API server, watches stay away for
	// up to half a minute, and the lab's own hands must not be slower than what they serve.
	poll := time.NewTicker(time.Second)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-poll.C:
		}
		if err := b.all(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "load balancer:", err)
		}
	}
}

// all reconciles every Service of type LoadBalancer.
func (b *balancer) all(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	services, err := b.client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, svc := range services.Items {
		if svc.Spec.Type != v1.ServiceTypeLoadBalancer {
			continue
		}
		slices, err := b.client.DiscoveryV1().EndpointSlices(svc.Namespace).List(ctx, metav1.ListOptions{
			LabelSelector: discovery.LabelServiceName + "=" + svc.Name,
		})
		if err == nil {
			err = b.reconcile(ctx, &svc, slices.Items)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

type balancer struct {
	client kubernetes.Interface
	given  int
	routes map[string]string // address to node
}

func (b *balancer) reconcile(ctx context.Context, svc *v1.Service, slices []discovery.EndpointSlice) error {
	if len(svc.Status.LoadBalancer.Ingress) == 0 {
		mode := v1.LoadBalancerIPModeVIP
		fresh := svc.DeepCopy()
		fresh.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{{IP: layout.LoadBalancerIP(b.given), IPMode: &mode}}
		if _, err := b.client.CoreV1().Services(svc.Namespace).UpdateStatus(ctx, fresh, metav1.UpdateOptions{}); err != nil {
			return err
		}
		b.given++
		svc = fresh
	}
	ip := svc.Status.LoadBalancer.Ingress[0].IP
	node := announcer(slices, b.routes[ip])
	if node == "" || node == b.routes[ip] {
		return nil // without an endpoint the address stays where it was, and answers as kube-proxy lets it
	}
	var index int
	if _, err := fmt.Sscanf(node, "node%d", &index); err != nil {
		return err
	}
	route := fmt.Sprintf("route replace %s/32 via %s\n", ip, layout.NodeIP(index))
	for _, ns := range []string{"", layout.Client} {
		if err := world.IP(ns, route); err != nil {
			return err
		}
	}
	b.routes[ip] = node
	return nil
}

// announcer picks the node that answers for an address: the one that does already while it has a ready endpoint.
func announcer(slices []discovery.EndpointSlice, now string) string {
	best := ""
	for _, slice := range slices {
		for _, e := range slice.Endpoints {
			if e.NodeName == nil || e.Conditions.Ready == nil || !*e.Conditions.Ready {
				continue
			}
			if *e.NodeName == now {
				return now
			}
			if best == "" || *e.NodeName < best {
				best = *e.NodeName
			}
		}
	}
	return best
}
