package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestPortIn(t *testing.T) {
	p := controllerPod("c", "10.0.0.1")
	plain := func(ports ...corev1.ContainerPort) *corev1.Pod {
		q := p.DeepCopy()
		q.Spec.Containers[0].Ports = ports
		return q
	}
	service := func(port int32, target intstr.IntOrString) []corev1.Service {
		s := testService("ingress-nginx", "c")
		s.Spec.Selector = map[string]string{"app.kubernetes.io/component": "controller"}
		s.Spec.Ports = []corev1.ServicePort{{Port: port, TargetPort: target}}
		return []corev1.Service{*s}
	}
	tests := []struct {
		name     string
		pod      *corev1.Pod
		services []corev1.Service
		want     int
		port     int
	}{
		{"named target", p, service(80, intstr.FromString("http")), 80, 8080},
		{"numbered target", p, service(80, intstr.FromInt32(9999)), 80, 9999},
		{"no target", p, service(80, intstr.IntOrString{}), 80, 80},
		{"another service", p, func() []corev1.Service {
			s := service(80, intstr.FromInt32(9999))
			s[0].Spec.Selector = map[string]string{"app": "else"}
			return s
		}(), 443, 8443},
		{"by number", plain(corev1.ContainerPort{ContainerPort: 80}), nil, 80, 80},
		{"Traefik's names", plain(corev1.ContainerPort{Name: "web", ContainerPort: 8000}, corev1.ContainerPort{Name: "websecure", ContainerPort: 8443}), nil, 80, 8000},
		{"unknown", plain(), nil, 8081, 8081},
	}
	for _, tt := range tests {
		if got := portIn(tt.pod, tt.services, tt.want); got != tt.port {
			t.Errorf("%s: portIn(%d) = %d, want %d", tt.name, tt.want, got, tt.port)
		}
	}
}

func TestParseTarget(t *testing.T) {
	tests := map[string]target{
		"ns/pod":         {"ns", "pod", "pod"},
		"po/x":           {"here", "pod", "x"},
		"svc/x":          {"here", "service", "x"},
		"ns/svc/x":       {"ns", "service", "x"},
		"ns/pod/x":       {"ns", "pod", "x"},
		"just-a-pod":     {"here", "pod", "just-a-pod"},
		"ns/deploy/x":    {},
		"":               {},
		"a/b/c/d/e/f/g/": {},
	}
	for in, want := range tests {
		got, err := parseTarget(in, "here")
		if want == (target{}) {
			if err == nil {
				t.Errorf("parseTarget(%q) = %+v, want an error", in, got)
			}
		} else if got != want || err != nil {
			t.Errorf("parseTarget(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
}
