package kube

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// Bounds on text from objects, in characters. Names are at most 253 by the API's
// own validation; a server that does not validate is bounded all the same.
const (
	maxName   = 253
	maxReason = 120
	maxLabels = 64
)

func name(s string) string { return affinity.Clean(s, maxName) }

// pod is what is kept of a core/v1 Pod.
type pod struct {
	affinity.Pod
	probes []readiness
}

// readiness is an HTTP readiness probe.
type readiness struct {
	port int
	path string
}

func convertPod(obj runtime.Object) (any, bool) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, false
	}
	out := pod{Pod: affinity.Pod{
		Ref: affinity.PodRef{Namespace: name(p.Namespace), Name: name(p.Name)}, IP: name(p.Status.PodIP), HostIP: name(p.Status.HostIP), Node: name(p.Spec.NodeName),
		Phase: name(string(p.Status.Phase)), Reason: affinity.Clean(podReason(p), maxReason), Ready: conditionTrue(p, corev1.PodReady),
		Total: len(p.Spec.Containers), Created: p.CreationTimestamp.Time,
		Owner: owner(p.OwnerReferences), Labels: cleanLabels(p.Labels),
	}}
	var last time.Time
	for _, s := range p.Status.ContainerStatuses {
		out.Restarts += int(s.RestartCount)
		if end := s.LastTerminationState.Terminated; end != nil && !end.FinishedAt.Time.Before(last) {
			last = end.FinishedAt.Time
			out.LastEnd = affinity.Clean(fmt.Sprintf("%s, exit code %d", cmp.Or(end.Reason, "ended"), end.ExitCode), maxReason)
		}
		if s.Ready {
			out.ReadyN++
		}
	}
	// deletionTimestamp is the end of the grace period, not its start
	// (apimachinery: meta/v1 ObjectMeta.DeletionTimestamp).
	if p.DeletionTimestamp != nil {
		out.Deletion = p.DeletionTimestamp.Time
	}
	if g := cmp.Or(p.DeletionGracePeriodSeconds, p.Spec.TerminationGracePeriodSeconds); g != nil {
		out.Grace = time.Duration(*g) * time.Second
	}
	for _, c := range p.Spec.Containers {
		if r, ok := readinessOf(c); ok {
			out.probes = append(out.probes, r)
		}
	}
	return &out, true
}

func readinessOf(c corev1.Container) (readiness, bool) {
	if c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet == nil || c.ReadinessProbe.HTTPGet.Host != "" {
		return readiness{}, false
	}
	get := c.ReadinessProbe.HTTPGet
	port := get.Port.IntValue()
	for _, p := range c.Ports {
		if port == 0 && p.Name != "" && p.Name == get.Port.StrVal {
			port = int(p.ContainerPort)
		}
	}
	// As the kubelet reads it, a path may lack its first slash.
	path := get.Path
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	return readiness{port: port, path: affinity.Clean(path, 1024)}, port > 0
}

func conditionTrue(p *corev1.Pod, t corev1.PodConditionType) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == t {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// podReason is what kubectl's STATUS column would say beyond the phase
// (kubernetes: pkg/printers/internalversion/printers.go, printPod); "" when all
// is well.
func podReason(p *corev1.Pod) string {
	reason := p.Status.Reason
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable {
			reason = c.Reason
		}
	}
	for _, s := range p.Status.InitContainerStatuses {
		if r := containerReason(s.State); r != "" && r != "PodInitializing" && (s.State.Terminated == nil || s.State.Terminated.ExitCode != 0) {
			return "Init:" + r
		}
	}
	for _, s := range p.Status.ContainerStatuses {
		if r := containerReason(s.State); r != "" && (r != "Completed" || p.Status.Phase != corev1.PodSucceeded) {
			return r
		}
	}
	return reason
}

func containerReason(s corev1.ContainerState) string {
	switch {
	case s.Waiting != nil:
		return s.Waiting.Reason
	case s.Terminated != nil && s.Terminated.Reason != "":
		return s.Terminated.Reason
	case s.Terminated != nil:
		return fmt.Sprintf("ExitCode:%d", s.Terminated.ExitCode)
	}
	return ""
}

func owner(refs []metav1.OwnerReference) string {
	for _, r := range refs {
		if r.Controller != nil && *r.Controller {
			return name(r.Kind) + "/" + name(r.Name)
		}
	}
	return ""
}

func cleanLabels(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(in), maxLabels))
	for k, v := range in {
		if len(out) < maxLabels {
			out[name(k)] = name(v)
		}
	}
	return out
}

// slice is what is kept of an EndpointSlice.
type slice struct {
	service   affinity.ServiceRef
	endpoints []affinity.Endpoint
}

func convertSlice(obj runtime.Object) (any, bool) {
	s, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, false
	}
	out := slice{service: affinity.ServiceRef{Namespace: name(s.Namespace), Name: name(s.Labels[discoveryv1.LabelServiceName])}}
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return &out, true
	}
	for _, e := range s.Endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		// The API keeps the field a list, of exactly one address in use
		// (api: discovery/v1 Endpoint.Addresses).
		end := endpoint(e, name(e.Addresses[0]))
		if len(s.Ports) == 0 {
			end.Addr = end.IP
			out.endpoints = append(out.endpoints, end)
		}
		for _, p := range s.Ports {
			end.Addr, end.PortName = end.IP, ""
			if p.Port != nil {
				end.Addr = joinPort(end.IP, int(*p.Port))
			}
			if p.Name != nil {
				end.PortName = name(*p.Name)
			}
			out.endpoints = append(out.endpoints, end)
		}
	}
	return &out, true
}

// endpoint reads the conditions: unset ready is true, unset serving is ready
// (api: discovery/v1 EndpointConditions).
func endpoint(e discoveryv1.Endpoint, ip string) affinity.Endpoint {
	out := affinity.Endpoint{IP: ip, Ready: e.Conditions.Ready == nil || *e.Conditions.Ready}
	out.Serving = out.Ready
	if e.Conditions.Serving != nil {
		out.Serving = *e.Conditions.Serving
	}
	out.Terminating = e.Conditions.Terminating != nil && *e.Conditions.Terminating
	if e.NodeName != nil {
		out.Node = name(*e.NodeName)
	}
	if t := e.TargetRef; t != nil && t.Kind == "Pod" {
		out.Pod, out.PodUID = affinity.PodRef{Namespace: name(t.Namespace), Name: name(t.Name)}, name(string(t.UID))
	}
	return out
}

// mergeSlices returns the endpoints of all slices of one Service, sorted. While
// the controller moves an endpoint between slices it may be in two of them
// (KEP-752); the ready one of the two is taken.
func mergeSlices(all []*slice) []affinity.Endpoint {
	var out []affinity.Endpoint
	for _, s := range all {
		out = append(out, s.endpoints...)
	}
	slices.SortFunc(out, func(a, b affinity.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.PortName, b.PortName), compareBool(b.Ready, a.Ready), compareBool(b.Serving, a.Serving))
	})
	return slices.CompactFunc(out, func(a, b affinity.Endpoint) bool { return a.Addr == b.Addr && a.PortName == b.PortName })
}

func joinPort(ip string, port int) string { return net.JoinHostPort(ip, strconv.Itoa(port)) }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func convertService(obj runtime.Object) (any, bool) {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return nil, false
	}
	out := ingress.Service{
		Namespace: name(s.Namespace), Name: name(s.Name), Type: name(string(s.Spec.Type)), ClusterIP: name(s.Spec.ClusterIP),
		ExternalName: name(s.Spec.ExternalName), Annotations: annotations(s.Annotations), Labels: cleanLabels(s.Labels),
		SessionAffinity: name(string(s.Spec.SessionAffinity)), PublishNotReadyAddresses: s.Spec.PublishNotReadyAddresses,
	}
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		out.AffinityTimeout = int(*c.ClientIP.TimeoutSeconds)
	}
	for _, p := range s.Spec.Ports {
		out.Ports = append(out.Ports, ingress.ServicePort{
			Name: name(p.Name), Port: int(p.Port), TargetPort: name(p.TargetPort.String()), NodePort: int(p.NodePort), Protocol: name(string(p.Protocol)),
		})
	}
	return &out, true
}
