package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// recorder runs a Source and keeps what it emits.
type recorder struct {
	t      testing.TB
	source *Source
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	events  []affinity.Event
	at      []time.Time
	changed chan struct{}
	status  map[string]affinity.SourceStatus
}

// watchServer starts a Source on s and stops it with the test; that Run returns
// is part of every test.
func watchServer(t testing.TB, s *apiServer, opts Options) *recorder {
	t.Helper()
	src, err := New(s.config(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{t: t, source: src, cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{}), status: map[string]affinity.SourceStatus{}}
	go func() {
		defer close(r.ended)
		if err := src.Run(ctx, r.emit); err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	}()
	t.Cleanup(r.stop)
	return r
}

func (r *recorder) stop() {
	r.cancel()
	select {
	case <-r.ended:
	case <-time.After(5 * time.Second):
		r.t.Error("Run did not return within 5s of the end of its context")
	}
}

func (r *recorder) emit(e affinity.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := e.(affinity.SourceChanged); ok {
		r.status[s.Status.Name] = s.Status
	}
	r.events = append(r.events, e)
	r.at = append(r.at, time.Now())
	close(r.changed)
	r.changed = make(chan struct{})
}

// mark is a position in the events; await looks only behind it.
func (r *recorder) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// await waits for an event after from and returns it with its time.
func await[E affinity.Event](r *recorder, from int, what string, match func(E) bool) (E, time.Time) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		wait := r.changed
		for i := from; i < len(r.events); i++ {
			if e, ok := r.events[i].(E); ok && match(e) {
				at := r.at[i]
				r.mu.Unlock()
				return e, at
			}
		}
		from = len(r.events)
		r.mu.Unlock()
		select {
		case <-wait:
		case <-deadline:
			r.t.Fatalf("no %s within 20s; events so far:\n%s", what, r.dump())
		}
	}
}

// state waits until a source is in a state.
func (r *recorder) state(name string, want affinity.SourceState) affinity.SourceStatus {
	r.t.Helper()
	return r.stateWith(name, want, "")
}

// stateWith waits for a state whose detail contains text.
func (r *recorder) stateWith(name string, want affinity.SourceState, text string) affinity.SourceStatus {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		wait, got := r.changed, r.status[name]
		r.mu.Unlock()
		if got.Name != "" && got.State == want && strings.Contains(got.Detail, text) {
			return got
		}
		select {
		case <-wait:
		case <-deadline:
			r.t.Fatalf("source %s is %s %q, want %s %q; events so far:\n%s", name, got.State, got.Detail, want, text, r.dump())
		}
	}
}

// live waits until everything that is always there is live.
func (r *recorder) live() {
	r.t.Helper()
	for _, name := range []string{resIngresses, resServices, resSlices, resPods, resClasses} {
		r.state(name, affinity.SourceLive)
	}
}

// watching waits until every watch is open, which is a moment after live.
func (r *recorder) watching() {
	r.t.Helper()
	r.live()
	for _, w := range r.source.watchers {
		for deadline := time.Now().Add(20 * time.Second); !w.optional; time.Sleep(time.Millisecond) {
			w.mu.Lock()
			open := !w.since.IsZero()
			w.mu.Unlock()
			if open {
				break
			}
			if time.Now().After(deadline) {
				r.t.Fatalf("%s is not watched after 20s", w.name)
			}
		}
	}
}

// since returns what was emitted after from.
func (r *recorder) since(from int) []affinity.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events[from:])
}

func (r *recorder) dump() string {
	var b strings.Builder
	all := r.since(0)
	for _, e := range all[max(0, len(all)-40):] {
		text := fmt.Sprintf("%T %+v", e, e)
		fmt.Fprintln(&b, text[:min(len(text), 160)])
	}
	return b.String()
}

func count[E affinity.Event](events []affinity.Event, match func(E) bool) (n int) {
	for _, e := range events {
		if x, ok := e.(E); ok && match(x) {
			n++
		}
	}
	return n
}

func anyOf[E affinity.Event](E) bool { return true }

// Fixtures: the founding workload, as an API server would return it.

func testPod(ns, name, ip string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "web"},
			CreationTimestamp: metav1.NewTime(time.Unix(1_750_000_000, 0)),
			OwnerReferences:   []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-7c9f", Controller: ptr.To(true)}},
			ManagedFields:     []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}},
		Spec: corev1.PodSpec{NodeName: "node1", TerminationGracePeriodSeconds: ptr.To(int64(30)), Containers: []corev1.Container{{
			Name: "web", Image: "web:1", Env: []corev1.EnvVar{{Name: "SECRET", Value: "x"}},
			Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 5000}},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/api/health", Port: intstr.FromString("http")}}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: ready}}},
	}
}

func testService(ns, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.10", Selector: map[string]string{"app": "web"},
			SessionAffinity:       corev1.ServiceAffinityClientIP,
			SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To(int32(10800))}},
			Ports:                 []corev1.ServicePort{{Name: "http", Port: 5000, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}}},
	}
}

func testSlice(ns, service, suffix string, pods ...*corev1.Pod) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: ns, Name: service + suffix, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(5000)), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, p := range pods {
		ready := conditionTrue(p, corev1.PodReady) && p.DeletionTimestamp == nil
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.Status.PodIP}, NodeName: ptr.To("node1"),
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready), Serving: ptr.To(conditionTrue(p, corev1.PodReady)), Terminating: ptr.To(p.DeletionTimestamp != nil)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name},
		})
	}
	return s
}

func testIngress(ns, name, host, service string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1_750_000_000, 0)), Annotations: map[string]string{
			"nginx.ingress.kubernetes.io/affinity":               "cookie",
			"nginx.ingress.kubernetes.io/affinity-mode":          "persistent",
			"nginx.ingress.kubernetes.io/session-cookie-name":    "msgapp-sticky",
			"nginx.ingress.kubernetes.io/session-cookie-max-age": "10800",
			"kubectl.kubernetes.io/last-applied-configuration":   strings.Repeat("x", 1000),
		}},
		Spec: networkingv1.IngressSpec{IngressClassName: ptr.To("nginx"), Rules: []networkingv1.IngressRule{{Host: host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: ptr.To(networkingv1.PathTypePrefix),
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 5000}}},
			}}}}}}},
		Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{{IP: "203.0.113.10"}}}},
	}
}

func testClass() *networkingv1.IngressClass {
	return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}, Spec: networkingv1.IngressClassSpec{Controller: "k8s.io/ingress-nginx"}}
}

// chat fills s with one route to three pods.
func chat(s *apiServer) (pods []*corev1.Pod) {
	for i, n := range []string{"web-7c9f-aaaaa", "web-7c9f-bbbbb", "web-7c9f-ccccc"} {
		pods = append(pods, testPod("chat", n, fmt.Sprintf("10.244.0.%d", 11+i), true))
	}
	s.put(testService("chat", "web"), testSlice("chat", "web", "-1", pods...), testIngress("chat", "web", "chat.example.com", "web"), testClass())
	for _, p := range pods {
		s.put(p)
	}
	return pods
}
