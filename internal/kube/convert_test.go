package kube

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

func TestConvertPod(t *testing.T) {
	end := metav1.NewTime(time.Unix(1_760_000_000, 0))
	tests := []struct {
		name string
		edit func(*corev1.Pod)
		want func(*pod)
	}{
		{"ready", func(*corev1.Pod) {}, func(*pod) {}},
		{"no readiness probe", func(p *corev1.Pod) { p.Spec.Containers[0].ReadinessProbe = nil }, func(p *pod) { p.probes = nil }},
		{"TCP probe", func(p *corev1.Pod) {
			p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}}
		}, func(p *pod) { p.probes = nil }},
		{"probe of a numbered port, without a slash", func(p *corev1.Pod) {
			p.Spec.Containers[0].ReadinessProbe.HTTPGet = &corev1.HTTPGetAction{Path: "ok", Port: intstr.FromInt32(8080)}
		}, func(p *pod) { p.probes = []readiness{{8080, "/ok"}} }},
		{"probe of a port that is not named", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil }, func(p *pod) { p.probes = nil }},
		{"probe of another host", func(p *corev1.Pod) { p.Spec.Containers[0].ReadinessProbe.HTTPGet.Host = "127.0.0.1" }, func(p *pod) { p.probes = nil }},
		{"terminating", func(p *corev1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &end, ptr.To(int64(5)) },
			func(p *pod) { p.Deletion, p.Grace = end.Time, 5*time.Second }},
		{"crash loop", func(p *corev1.Pod) {
			p.Status.Conditions[0].Status = corev1.ConditionFalse
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 7, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
		}, func(p *pod) { p.Ready, p.ReadyN, p.Restarts, p.Reason = false, 0, 7, "CrashLoopBackOff" }},
		{"killed for its memory, and restarted", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].RestartCount = 1
			p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}
		}, func(p *pod) { p.Restarts, p.LastEnd = 1, "OOMKilled, exit code 137" }},
		{"init container fails", func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
		}, func(p *pod) { p.Reason = "Init:ImagePullBackOff" }},
		{"killed", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137}
		}, func(p *pod) { p.Reason = "ExitCode:137" }},
		{"done", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodSucceeded
			p.Status.ContainerStatuses[0].State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed"}
		}, func(p *pod) { p.Phase = "Succeeded" }},
		{"evicted", func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }, func(p *pod) { p.Phase, p.Reason = "Failed", "Evicted" }},
		{"unschedulable", func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable})
		}, func(p *pod) { p.Reason = "Unschedulable" }},
		{"an owner that does not control it", func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }, func(p *pod) { p.Owner = "" }},
		{"escapes", func(p *corev1.Pod) {
			p.Status.Reason, p.Spec.NodeName, p.Labels = "\x1b[2J", "n\n1", map[string]string{"a\x07": "b\x1b"}
		}, func(p *pod) { p.Reason, p.Node, p.Labels = "·[2J", "n·1", map[string]string{"a·": "b·"} }},
	}
	for _, tt := range tests {
		in := testPod("chat", "web-7c9f-aaaaa", "10.0.0.1", true)
		tt.edit(in)
		want := &pod{Pod: affinity.Pod{
			Ref: affinity.PodRef{Namespace: "chat", Name: "web-7c9f-aaaaa"}, IP: "10.0.0.1", Node: "node1", Phase: "Running", Ready: true, Total: 1, ReadyN: 1,
			Created: time.Unix(1_750_000_000, 0), Grace: 30 * time.Second, Owner: "ReplicaSet/web-7c9f", Labels: map[string]string{"app": "web"},
		}, probes: []readiness{{5000, "/api/health"}}}
		tt.want(want)
		got, ok := convertPod(in)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v\nwant %+v", tt.name, got, want)
		}
	}
}

func TestConvertSlice(t *testing.T) {
	no, yes := ptr.To(false), ptr.To(true)
	conditions := func(ready, serving, terminating *bool) discoveryv1.EndpointConditions {
		return discoveryv1.EndpointConditions{Ready: ready, Serving: serving, Terminating: terminating}
	}
	tests := []struct {
		name string
		in   discoveryv1.EndpointSlice
		want []affinity.Endpoint
	}{
		{"conditions unset", discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}}, Ports: []discoveryv1.EndpointPort{{Port: ptr.To(int32(80))}}},
			[]affinity.Endpoint{{Addr: "10.0.0.1:80", IP: "10.0.0.1", Ready: true, Serving: true}}},
		{"not ready, serving unset", discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: conditions(no, nil, nil)}}, Ports: []discoveryv1.EndpointPort{{Port: ptr.To(int32(80))}}},
			[]affinity.Endpoint{{Addr: "10.0.0.1:80", IP: "10.0.0.1"}}},
		{"draining", discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: conditions(no, yes, yes)}}, Ports: []discoveryv1.EndpointPort{{Port: ptr.To(int32(80))}}},
			[]affinity.Endpoint{{Addr: "10.0.0.1:80", IP: "10.0.0.1", Serving: true, Terminating: true}}},
		{"IPv6, two ports", discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv6, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"fd00::1", "fd00::2"}}}, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("a"), Port: ptr.To(int32(80))}, {Name: ptr.To("b"), Port: ptr.To(int32(81))}}},
			[]affinity.Endpoint{{Addr: "[fd00::1]:80", IP: "fd00::1", PortName: "a", Ready: true, Serving: true}, {Addr: "[fd00::1]:81", IP: "fd00::1", PortName: "b", Ready: true, Serving: true}}},
		{"no ports", discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}}}, []affinity.Endpoint{{Addr: "10.0.0.1", IP: "10.0.0.1", Ready: true, Serving: true}}},
		{"every port", discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}}, Ports: []discoveryv1.EndpointPort{{}}}, []affinity.Endpoint{{Addr: "10.0.0.1", IP: "10.0.0.1", Ready: true, Serving: true}}},
		{"names of hosts", discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeFQDN, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"example.com"}}}}, nil},
		{"no address", discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{}}}, nil},
		{"no pod behind it", discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, TargetRef: &corev1.ObjectReference{Kind: "Node", Name: "x"}}}}, []affinity.Endpoint{{Addr: "10.0.0.1", IP: "10.0.0.1", Ready: true, Serving: true}}},
	}
	for _, tt := range tests {
		got, ok := convertSlice(&tt.in)
		if !ok {
			t.Fatalf("%s: not a slice", tt.name)
		}
		if diff := cmp.Diff(tt.want, got.(*slice).endpoints); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestMergeSlicesTakesTheReadyOne(t *testing.T) {
	end := func(addr string, ready bool) affinity.Endpoint { return affinity.Endpoint{Addr: addr, Ready: ready} }
	got := mergeSlices([]*slice{{endpoints: []affinity.Endpoint{end("b", false), end("a", true)}}, {endpoints: []affinity.Endpoint{end("b", true)}}})
	if diff := cmp.Diff([]affinity.Endpoint{end("a", true), end("b", true)}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestConvertTraefik(t *testing.T) {
	parse := func(text string) *unstructured.Unstructured {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		return u
	}
	route, ok := convertIngressRoute(parse(`
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: r, namespace: ns, annotations: {kubernetes.io/ingress.class: traefik}}
spec:
  tls: {}
  routes:
  - match: Host(` + "`a`" + `)
    middlewares: [{name: strip}]
    services:
    - {name: s, port: 80, weight: 2, nativeLB: true, strategy: p2c, sticky: {cookie: {name: c, maxAge: 60, secure: true, path: /x}}}
    - {kind: TraefikService, name: w, namespace: other, port: http}
`))
	if !ok {
		t.Fatal("not converted")
	}
	want := ingress.IngressRoute{Namespace: "ns", Name: "r", TLS: true, Annotations: map[string]string{"kubernetes.io/ingress.class": "traefik"}, Routes: []ingress.IngressRouteRule{{
		Match: "Host(`a`)", Middlewares: []string{"strip"}, Services: []ingress.TraefikBackend{
			{Name: "s", Port: "80", Weight: ptr.To(2), NativeLB: ptr.To(true), Strategy: "p2c", Sticky: &ingress.TraefikCookie{Name: "c", MaxAge: 60, Secure: true, Path: ptr.To("/x")}},
			{Kind: "TraefikService", Namespace: "other", Name: "w", Port: "http"},
		}}}}
	if diff := cmp.Diff(want, route.(*routeObject[ingress.IngressRoute]).object); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for kind, spec := range map[string]string{
		"weighted":            "weighted: {services: [{name: a, port: 1}], sticky: {cookie: {name: c}}}",
		"highestRandomWeight": "highestRandomWeight: {services: [{name: a, port: 1}]}",
		"mirroring":           "mirroring: {name: a, port: 1, mirrors: [{name: b, percent: 5}]}",
		"failover":            "failover: {service: {name: a, port: 1}, fallback: {name: b}}",
	} {
		got, ok := convertTraefikService(parse("kind: TraefikService\nmetadata: {name: t, namespace: n}\nspec: {" + spec + "}"))
		if !ok {
			t.Fatalf("%s: not converted", kind)
		}
		s := got.(*ingress.TraefikService)
		if spare := kind == "failover"; spare != (len(s.Services) == 2) || spare && s.Services[1].Name != "b" {
			t.Errorf("%s: services %+v", kind, s.Services)
		}
		if s.Kind != kind || len(s.Services) == 0 || s.Services[0].Name != "a" || s.Services[0].Port != "1" || (s.Sticky != nil) != (kind == "weighted") {
			t.Errorf("%s: %+v", kind, s)
		}
	}
	if _, ok := convertIngressRoute(parse("kind: IngressRoute\nmetadata: {name: x}\nspec: {routes: nonsense}")); ok {
		t.Error("a spec of another shape was taken")
	}
}

func TestAnnotationsAreBounded(t *testing.T) {
	in := map[string]string{lastApplied: "x", "a": strings.Repeat("v", 10_000)}
	for i := range 1000 {
		in[fmt.Sprintf("k%d", i)] = "v"
	}
	got := annotations(in)
	if len(got) > maxAnnotations || len(got["a"]) > maxAnnotationValue || got[lastApplied] != "" {
		t.Errorf("%d annotations, one of %d bytes", len(got), len(got["a"]))
	}
}

func TestDiffIngress(t *testing.T) {
	base := func() ingress.Ingress {
		return ingress.Ingress{Name: "web", ClassName: "nginx", Annotations: map[string]string{"nginx.ingress.kubernetes.io/affinity": "cookie"},
			Rules: []ingress.Rule{{Host: "a", Paths: []ingress.Path{{Path: "/", Type: "Prefix", Backend: ingress.Backend{Service: "s", PortNumber: 80}}}}}}
	}
	tests := []struct {
		name string
		edit func(*ingress.Ingress)
		want string
	}{
		{"nothing", func(*ingress.Ingress) {}, ""},
		{"annotation changed", func(i *ingress.Ingress) { i.Annotations["nginx.ingress.kubernetes.io/affinity"] = "none" }, "affinity cookie→none"},
		{"annotation removed", func(i *ingress.Ingress) { i.Annotations = nil }, "affinity cookie→(unset)"},
		{"annotation added", func(i *ingress.Ingress) { i.Annotations["x/session-cookie-name"] = "c" }, "session-cookie-name (unset)→c"},
		{"annotation added empty", func(i *ingress.Ingress) { i.Annotations["x/y"] = "" }, "y set empty"},
		{"snippet", func(i *ingress.Ingress) { i.Annotations["x/server-snippet"] = "secret" }, "server-snippet changed"},
		{"long", func(i *ingress.Ingress) { i.Annotations["x/y"] = strings.Repeat("z", 100) }, "y changed"},
		{"class", func(i *ingress.Ingress) { i.ClassName = "traefik" }, "class nginx→traefik"},
		{"backend", func(i *ingress.Ingress) { i.Rules[0].Paths[0].Backend.PortNumber = 81 }, "−a/ (Prefix) → s:80, +a/ (Prefix) → s:81"},
		{"TLS and address", func(i *ingress.Ingress) {
			i.TLS = []ingress.TLS{{Hosts: []string{"a"}}, {}}
			i.Addresses = []string{"1.2.3.4"}
		}, "+TLS for a, +TLS for all hosts, address (unset)→1.2.3.4"},
		{"default backend", func(i *ingress.Ingress) { i.DefaultBackend = &ingress.Backend{Resource: "Bucket/x"} }, "+default backend → Bucket/x"},
		{"much", func(i *ingress.Ingress) {
			for n := range 20 {
				i.Annotations[fmt.Sprintf("x/k%02d", n)] = "v"
			}
		}, "k00 (unset)→v, k01 (unset)→v, k02 (unset)→v, k03 (unset)→v, k04 (unset)→v, k05 (unset)→v, and 14 more"},
		{"escapes", func(i *ingress.Ingress) { i.Annotations["x/\x1b[2J"] = "\x07" }, "·[2J (unset)→·"},
	}
	for _, tt := range tests {
		now := base()
		tt.edit(&now)
		if got := diffIngress(base(), now); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Whatever a server calls an object, converting and comparing it neither panics
// nor lets a control character through into what is shown.
func FuzzConvert(f *testing.F) {
	for _, obj := range []any{testPod("n", "p", "1.2.3.4", true), testService("n", "s"), testSlice("n", "s", "", testPod("n", "p", "1.2.3.4", false)), testIngress("n", "i", "h", "s"), ingressRoute("Host(`a`)").Object} {
		raw, err := json.Marshal(obj)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"spec":{"routes":[{"services":[{"port":"\u001b","weight":-9223372036854775808}]}],"weighted":{},"mirroring":{"name":"\n"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		u := &unstructured.Unstructured{}
		_ = json.Unmarshal(raw, &u.Object)
		typed := map[runtime.Object]convertFunc{
			&corev1.Pod{}: convertPod, &corev1.Service{}: convertService, &discoveryv1.EndpointSlice{}: convertSlice,
			&networkingv1.Ingress{}: convertIngress, &networkingv1.IngressClass{}: convertClass,
		}
		var shown []any
		for obj, convert := range typed {
			_ = json.Unmarshal(raw, obj) // as far as it goes
			v, _ := convert(obj)
			shown = append(shown, v)
		}
		if u.Object != nil {
			for _, convert := range []convertFunc{convertIngressRoute, convertTraefikService} {
				if v, ok := convert(u); ok {
					shown = append(shown, v)
				}
			}
		}
		for _, v := range shown {
			checkClean(t, reflect.ValueOf(v), "")
			diffEmpty(t, v)
		}
	})
}

// checkClean looks through every string of v. Annotations stay as written.
func checkClean(t *testing.T, v reflect.Value, field string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			checkClean(t, v.Elem(), field)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if n := v.Type().Field(i).Name; n != "Annotations" && n != "labels" {
				checkClean(t, v.Field(i), n)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkClean(t, v.Index(i), field)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			checkClean(t, k, field)
			checkClean(t, v.MapIndex(k), field)
		}
	case reflect.String:
		if strings.ContainsFunc(v.String(), unicode.IsControl) {
			t.Errorf("%s = %q holds a control character", field, v.String())
		}
	}
}

func diffEmpty(t *testing.T, v any) {
	text := ""
	switch x := v.(type) {
	case *routeObject[ingress.Ingress]:
		text = diffIngress(ingress.Ingress{}, x.object)
	case *routeObject[ingress.IngressRoute]:
		text = diffIngressRoute(ingress.IngressRoute{}, x.object)
	case *ingress.Service:
		text = diffService(ingress.Service{}, *x)
	case *ingress.TraefikService:
		text = diffTraefikService(ingress.TraefikService{}, *x)
	}
	if strings.ContainsFunc(text, unicode.IsControl) || len([]rune(text)) > maxEditLine {
		t.Errorf("edit %q", text)
	}
}
