package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// BenchmarkBigCluster starts the program on a terminal against a local API
// server with 5,000 pods, 200 Services and 200 Ingresses, and reports the time
// to the first frame and to the rows, the resident memory, and the CPU it takes
// while nothing changes. It needs Linux for the last two.
//
//	go test -run '^$' -bench BigCluster -benchtime 1x ./cmd/stickytop
func BenchmarkBigCluster(b *testing.B) {
	store := apiserver.NewStore()
	if err := store.Put(bigCluster(5000, 200)...); err != nil {
		b.Fatal(err)
	}
	server, err := apiserver.Listen(store)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	config := filepath.Join(b.TempDir(), "config")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: big, cluster: {server: "http://%s"}}], users: [{name: a, user: {}}],
contexts: [{name: big, context: {cluster: big, user: a, namespace: big}}], current-context: big}`, server.Addr())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		start := time.Now()
		s := startTerminal(b, []string{"--kubeconfig", config, "-A", "--no-probe"})
		s.until("stickytop", 5*time.Second)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-to-frame")
		s.until("ready 25 of 25", 20*time.Second)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-to-rows")
		b.ReportMetric(float64(cpuTicks(s.cmd.Process.Pid)*10), "cpu-ms-to-rows") // what a busy machine does not stretch
		s.drainFor(15 * time.Second)                                              // objects are judged some seconds after their first list, and once more
		before := cpuTicks(s.cmd.Process.Pid)
		written := s.drainFor(10 * time.Second)
		b.ReportMetric(float64(cpuTicks(s.cmd.Process.Pid)-before)/10, "%-of-a-core-idle") // 100 ticks a second
		b.ReportMetric(float64(written)/10, "B/s-to-terminal")
		b.ReportMetric(residentMB(s.cmd.Process.Pid), "MB-resident")
		s.press("q")
		s.wait(5 * time.Second)
	}
}

func (s *terminalRun) drainFor(d time.Duration) (n int) {
	end := time.After(d)
	for {
		select {
		case out, ok := <-s.out:
			if !ok {
				s.t.Fatal("it ended")
			}
			n += len(out)
		case <-end:
			return n
		}
	}
}

func residentMB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// cpuTicks is user and system time of a process, in hundredths of a second.
func cpuTicks(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

// bigCluster is services with an Ingress each, and pods shared out over them.
func bigCluster(pods, services int) []apiserver.Object {
	var all []apiserver.Object
	each := pods / services
	for i := range services {
		name := fmt.Sprintf("app-%03d", i)
		meta := metav1.ObjectMeta{Namespace: "big", Name: name}
		all = append(all, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.%d.%d", i/250, i%250+1), Ports: []corev1.ServicePort{{Port: 80, Protocol: "TCP"}}}})
		prefix := networkingv1.PathTypePrefix
		ingress := &networkingv1.Ingress{ObjectMeta: meta}
		ingress.Annotations = map[string]string{"nginx.ingress.kubernetes.io/affinity": "cookie"}
		class := "nginx"
		ingress.Spec = networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{Host: name + ".example.com",
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix,
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 80}}}}}}}}}}
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "big", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}}, AddressType: discoveryv1.AddressTypeIPv4}
		port, yes := int32(8080), true
		slice.Ports = []discoveryv1.EndpointPort{{Port: &port}}
		for n := range each {
			pod := bigPod(name, i*each+n)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod.Status.PodIP}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "big", Name: pod.Name}})
			all = append(all, pod)
		}
		all = append(all, ingress, slice)
	}
	return append(all, &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}, Spec: networkingv1.IngressClassSpec{Controller: "k8s.io/ingress-nginx"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "big"}})
}

// bigPod is a pod with what real ones carry around.
func bigPod(app string, n int) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "big", Name: fmt.Sprintf("%s-7c9f-%05d", app, n), Labels: map[string]string{"app": app, "pod-template-hash": "7c9f"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}`)}}}}
	pod.Spec = corev1.PodSpec{NodeName: fmt.Sprintf("node-%02d", n%40), Containers: []corev1.Container{{Name: "app", Image: "registry/app:1",
		Ports: []corev1.ContainerPort{{ContainerPort: 8080}}, Env: []corev1.EnvVar{{Name: "A", Value: strings.Repeat("x", 200)}}}},
		Volumes: []corev1.Volume{{Name: "kube-api-access"}}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.%d.%d.%d", 1+n/62500, n/250%250, n%250+1),
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}
	return pod
}
