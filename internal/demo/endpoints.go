package demo

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// syncEndpoints writes the EndpointSlice of svc, as the EndpointSlice
// controller does: every pod with an address, ready or not.
func (c *cluster) syncEndpoints(svc *corev1.Service) error {
	if len(svc.Spec.Selector) == 0 {
		return nil
	}
	pods := c.podsMatching(svc.Namespace, labels.SelectorFromSet(svc.Spec.Selector))
	var endpoints []discoveryv1.Endpoint
	var ports []discoveryv1.EndpointPort
	for _, p := range pods {
		if p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning {
			continue
		}
		endpoints = append(endpoints, endpointOf(p))
		ports = endpointPorts(svc, p)
	}
	for _, old := range apiserver.List[*discoveryv1.EndpointSlice](c.store, svc.Namespace) {
		if !metav1.IsControlledBy(old, svc) {
			continue
		}
		apiserver.Modify(c.store, old.Namespace, old.Name, func(s *discoveryv1.EndpointSlice) {
			s.Endpoints = endpoints
			if ports != nil {
				s.Ports = ports
			}
		})
		return nil
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: svc.Namespace, Name: svc.Name + "-" + c.names.suffix(5), CreationTimestamp: c.born(),
			Labels: map[string]string{
				discoveryv1.LabelServiceName: svc.Name,
				discoveryv1.LabelManagedBy:   "endpointslice-controller.k8s.io",
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(svc, corev1.SchemeGroupVersion.WithKind("Service"))},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   endpoints,
		Ports:       ports,
	}
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		slice.Labels[corev1.IsHeadlessService] = ""
	}
	return c.store.Put(slice)
}

func endpointOf(p *corev1.Pod) discoveryv1.Endpoint {
	serving := isReady(p)
	terminating := p.DeletionTimestamp != nil
	ready := serving && !terminating
	return discoveryv1.Endpoint{
		Addresses:  []string{p.Status.PodIP},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		NodeName:   &p.Spec.NodeName,
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
	}
}

// endpointPorts resolves the Service's target ports in p.
func endpointPorts(svc *corev1.Service, p *corev1.Pod) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for _, want := range svc.Spec.Ports {
		number := want.TargetPort.IntVal
		if want.TargetPort.Type == intstr.String {
			number = containerPort(p, want.TargetPort.StrVal)
		}
		if number == 0 && want.TargetPort.Type == intstr.Int {
			number = want.Port
		}
		if number == 0 {
			continue // no container has a port of that name
		}
		name, protocol := want.Name, corev1.ProtocolTCP
		ports = append(ports, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number})
	}
	return ports
}

func containerPort(p *corev1.Pod, name string) int32 {
	for _, container := range p.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	return 0
}
