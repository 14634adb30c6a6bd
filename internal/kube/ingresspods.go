package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// IngressPods looks for the pods of ingress controllers in all namespaces, for a
// run that watches one: whose address pins a Service's clients together is told
// by them. It is a source of a run.
type IngressPods struct {
	clients *clients
}

// NewIngressPods prepares the source.
func NewIngressPods(cfg *rest.Config, version string) (*IngressPods, error) {
	c, err := newClients(cfg, version)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	return &IngressPods{c}, nil
}

// ingressPodsAgain is how often they are listed: they come and go seldom.
const ingressPodsAgain = time.Minute

// Run lists them again and again until ctx ends.
func (s *IngressPods) Run(ctx context.Context, emit func(affinity.Event)) error {
	defer s.clients.dialer.CloseAll()
	var last affinity.SourceStatus
	say := func(state affinity.SourceState, detail string, pods int) {
		now := affinity.SourceStatus{Name: affinity.IngressPodsSource, State: state, Since: last.Since, Objects: pods, Detail: affinity.Clean(detail, maxError)}
		if now.State != last.State || last.Since.IsZero() {
			now.Since = time.Now()
		}
		if now != last {
			last = now
			emit(affinity.SourceChanged{Status: now})
		}
	}
	say(affinity.SourceSyncing, "", 0)
	for {
		switch pods, err := s.list(ctx); {
		case ctx.Err() != nil:
			return nil
		case apierrors.IsForbidden(err):
			say(affinity.SourceAbsent, "pods of other namespaces may not be listed: which client is an ingress pod there is not known, and E03 not checked for it", 0)
		case err != nil:
			say(affinity.SourceAbsent, "pods of other namespaces: "+plain(err), 0)
		default:
			emit(affinity.IngressPodsListed{Pods: pods})
			say(affinity.SourceLive, "", len(pods))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(ingressPodsAgain):
		}
	}
}

// list returns the running ones, with addresses.
func (s *IngressPods) list(ctx context.Context) ([]affinity.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, s.clients.pageTimeout)
	defer cancel()
	var out []affinity.Pod
	for _, selector := range controllerSelectors() {
		list, err := s.clients.core.Pods("").List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: pageSize})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			p := &list.Items[i]
			if p.Status.Phase != corev1.PodRunning {
				continue // its address may be another's by now
			}
			e, _ := convertPod(p)
			if q, ok := e.(*pod); ok && !slices.ContainsFunc(out, func(x affinity.Pod) bool { return x.Ref == q.Ref }) {
				out = append(out, q.Pod)
			}
		}
	}
	return out, nil
}

// controllerSelectors select the pods whose labels are a controller's.
func controllerSelectors() []string {
	component, keys, names := affinity.ControllerLabels()
	all := []string{component}
	for _, key := range keys {
		all = append(all, key+" in ("+strings.Join(names, ",")+")")
	}
	return all
}
