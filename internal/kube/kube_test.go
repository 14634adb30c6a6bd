package kube

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestMain(m *testing.M) {
	RedirectLogs(nil) // client-go logs every fault of a test
	os.Exit(m.Run())
}

func chatOptions() Options { return Options{Namespace: "chat", Version: "1.2.3"} }

var webRef = affinity.ServiceRef{Namespace: "chat", Name: "web"}

func TestFirstSync(t *testing.T) {
	for name, opts := range map[string][]apiOption{
		"JSON": nil, "protobuf": {withProtobuf}, "protobuf over HTTP/2": {withProtobuf, withTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, opts...)
			chat(s)
			r := watchServer(t, s, chatOptions())
			r.live()
			routes, _ := await(r, 0, "routes", anyOf[affinity.Routes])
			if len(routes.Routes) != 1 {
				t.Fatalf("routes = %+v, want one", routes.Routes)
			}
			got := routes.Routes[0]
			if got.ID != "chat/web chat.example.com/" || got.ProbePath != "/api/health" || got.Policy().Mechanism != affinity.MechanismCookie || !slices.Equal(got.Addresses, []string{"203.0.113.10"}) {
				t.Errorf("route = %+v", got)
			}
			svc, _ := await(r, 0, "service with its ingress", func(e affinity.ServiceChanged) bool { return e.Service.HasIngress })
			if svc.Service.Policy.Timeout != 3*time.Hour {
				t.Errorf("service policy = %+v, want ClientIP 3h", svc.Service.Policy)
			}
			eps, _ := await(r, 0, "endpoints", anyOf[affinity.EndpointsChanged])
			if len(eps.Endpoints) != 3 || eps.Endpoints[0].Addr != "10.244.0.11:5000" || !eps.Endpoints[0].Ready || eps.Endpoints[0].Pod.Name != "web-7c9f-aaaaa" {
				t.Errorf("endpoints = %+v", eps.Endpoints)
			}
			r.state(resIngressRoutes, affinity.SourceAbsent)
			if n := count(r.since(0), anyOf[affinity.ClusterEvent]); n != 0 {
				t.Errorf("the first sync put %d lines on the timeline, want none", n)
			}
			if got := s.last("list pods"); !strings.Contains(got, "limit=500") || !strings.Contains(got, "agent=stickytop/1.2.3") {
				t.Errorf("pods were listed as %q, want pages of 500 by stickytop/1.2.3", got)
			}
		})
	}
}

// State folds by order: what a source holds comes between Syncing and Live.
func TestObjectsComeBeforeLive(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	order := ""
	for _, e := range r.since(0) {
		switch e := e.(type) {
		case affinity.SourceChanged:
			if e.Status.Name == resPods {
				order += e.Status.State.String() + " "
			}
		case affinity.PodChanged:
			order += "pod "
		}
	}
	if want := "syncing pod pod pod live "; !strings.HasPrefix(order, want) {
		t.Errorf("order = %q, want %q", order, want)
	}
}

func TestChangesAreEmittedAtOnce(t *testing.T) {
	s := newAPIServer(t, withProtobuf)
	pods := chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	from := r.mark()
	began := time.Now()
	gone := pods[0].DeepCopy()
	gone.DeletionTimestamp, gone.DeletionGracePeriodSeconds = &metav1.Time{Time: time.Unix(1_760_000_030, 0)}, new(int64)
	*gone.DeletionGracePeriodSeconds = 30
	s.put(gone, testSlice("chat", "web", "-1", gone, pods[1], pods[2]))
	p, at := await(r, from, "terminating pod", func(e affinity.PodChanged) bool { return e.Pod.Terminating() })
	if p.Pod.Grace != 30*time.Second || !p.Pod.Deletion.Equal(time.Unix(1_760_000_030, 0)) {
		t.Errorf("pod ends %v, grace %v; want the API's", p.Pod.Deletion, p.Pod.Grace)
	}
	e, at2 := await(r, from, "endpoints", anyOf[affinity.EndpointsChanged])
	if x := e.Endpoints[0]; x.Ready || !x.Serving || !x.Terminating {
		t.Errorf("endpoint = %+v, want serving and terminating", x)
	}
	// Milliseconds when alone; the limit leaves room for a loaded machine.
	if took := max(at.Sub(began), at2.Sub(began)); took > time.Second {
		t.Errorf("seen after %v", took)
	}
	from = r.mark()
	s.del(gone)
	if e, _ := await(r, from, "gone pod", anyOf[affinity.PodGone]); e.Ref != p.Pod.Ref {
		t.Errorf("gone = %v, want %v", e.Ref, p.Pod.Ref)
	}
}

func TestEndpointsOfAllSlicesAreMerged(t *testing.T) {
	s := newAPIServer(t)
	pods := chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	more := testPod("chat", "web-7c9f-ddddd", "10.244.0.14", true)
	from := r.mark()
	second := testSlice("chat", "web", "-2", pods[2], more) // the third is in both for a moment
	s.put(more, second)
	e, _ := await(r, from, "four endpoints", func(e affinity.EndpointsChanged) bool { return len(e.Endpoints) == 4 })
	if e.Service != webRef {
		t.Errorf("endpoints of %v, want %v", e.Service, webRef)
	}
	from = r.mark()
	s.del(second)
	await(r, from, "three endpoints", func(e affinity.EndpointsChanged) bool { return len(e.Endpoints) == 3 })
	from = r.mark()
	moved := testSlice("chat", "other", "", pods[0])
	moved.Name = "web-1"
	s.put(testService("chat", "other"), moved)
	await(r, from, "the old Service without endpoints", func(e affinity.EndpointsChanged) bool { return e.Service == webRef && len(e.Endpoints) == 0 })
	await(r, from, "the new Service with one", func(e affinity.EndpointsChanged) bool { return e.Service.Name == "other" && len(e.Endpoints) == 1 })
}

func TestEditsAreTold(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	await(r, 0, "routes", anyOf[affinity.Routes])
	from := r.mark()
	edited := testIngress("chat", "web", "chat.example.com", "web")
	edited.Annotations["nginx.ingress.kubernetes.io/session-cookie-max-age"] = "3600\x1b[2J"
	s.put(edited)
	e, _ := await(r, from, "ingress edit", func(e affinity.ClusterEvent) bool { return e.Kind == "ingress" })
	if e.Text != "session-cookie-max-age 10800→3600·[2J" || e.Subject != "Ingress web" || e.Route != "chat/web chat.example.com/" {
		t.Errorf("event = %+v", e)
	}
	await(r, from, "new routes", anyOf[affinity.Routes])
	from = r.mark()
	svc := testService("chat", "web")
	svc.Spec.SessionAffinity, svc.Spec.SessionAffinityConfig = corev1.ServiceAffinityNone, nil
	s.put(svc)
	e, _ = await(r, from, "service edit", func(e affinity.ClusterEvent) bool { return e.Kind == "service" })
	if e.Text != "sessionAffinity ClientIP→None, timeoutSeconds 10800→(unset)" || e.Route == "" {
		t.Errorf("event = %+v", e)
	}
	from = r.mark()
	s.del(edited)
	e, _ = await(r, from, "ingress deletion", func(e affinity.ClusterEvent) bool { return e.Kind == "ingress" })
	if e.Text != "deleted" {
		t.Errorf("event = %+v", e)
	}
	await(r, from, "no routes", func(e affinity.Routes) bool { return len(e.Routes) == 0 })
}

func TestRoutesAreBuiltOncePerBurst(t *testing.T) {
	s := newAPIServer(t, withProtobuf)
	chat(s)
	for i := range 200 {
		s.put(testIngress("chat", fmt.Sprintf("web-%03d", i), fmt.Sprintf("h%d.example.com", i), "web"))
	}
	r := watchServer(t, s, chatOptions())
	r.live()
	first, _ := await(r, 0, "routes", anyOf[affinity.Routes])
	if len(first.Routes) != 201 {
		t.Errorf("the first routes are %d, want all 201 at once", len(first.Routes))
	}
	from := r.mark()
	for i := range 200 {
		in := testIngress("chat", fmt.Sprintf("web-%03d", i), fmt.Sprintf("h%d.example.com", i), "web")
		in.Status.LoadBalancer.Ingress[0].IP = "203.0.113.99"
		s.put(in)
	}
	moved := func(e affinity.Routes) bool {
		n := 0
		for _, x := range e.Routes {
			if slices.Equal(x.Addresses, []string{"203.0.113.99"}) {
				n++
			}
		}
		return n == 200
	}
	await(r, from, "200 edited routes", moved)
	if n := count(r.since(from), anyOf[affinity.Routes]); n > 40 {
		t.Errorf("200 edits built the routes %d times", n)
	}
}

func TestPagesAndProgress(t *testing.T) {
	s := newAPIServer(t, withProtobuf)
	for i := range 1200 {
		s.put(testPod("chat", fmt.Sprintf("web-%04d", i), fmt.Sprintf("10.1.%d.%d", i/250, i%250+1), true))
	}
	r := watchServer(t, s, chatOptions())
	if got := r.state(resPods, affinity.SourceLive); got.Objects != 1200 {
		t.Errorf("objects = %d, want 1200", got.Objects)
	}
	if n := s.seen("list pods"); n != 3 {
		t.Errorf("%d requests listed 1200 pods, want 3 pages", n)
	}
	progress := count(r.since(0), func(e affinity.SourceChanged) bool {
		return e.Status.Name == resPods && e.Status.State == affinity.SourceSyncing && e.Status.Detail == "500 of 1200 listed" && e.Status.Objects == 500
	})
	if progress != 1 {
		t.Errorf("progress was told %d times as 500 of 1200 listed, want once:\n%s", progress, r.dump())
	}
}

func TestObjectCountsFollow(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	from := r.mark()
	s.put(testPod("chat", "web-7c9f-ddddd", "10.244.0.14", true))
	await(r, from, "four pods", func(e affinity.SourceChanged) bool { return e.Status.Name == resPods && e.Status.Objects == 4 })
}

func TestTraefikObjects(t *testing.T) {
	s := newAPIServer(t, withTraefik)
	chat(s)
	s.put(ingressRoute(`Host(`+"`"+`t.example.com`+"`"+`)`), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "traefik.io/v1alpha1", "kind": "TraefikService", "metadata": map[string]any{"namespace": "chat", "name": "w"},
		"spec": map[string]any{"weighted": map[string]any{"services": []any{map[string]any{"name": "web", "port": int64(5000)}}}},
	}})
	r := watchServer(t, s, chatOptions())
	if got := r.state(resIngressRoutes, affinity.SourceLive); got.Objects != 1 {
		t.Errorf("ingressroutes = %+v, want one", got)
	}
	r.state(resTraefikServices, affinity.SourceLive)
	from := r.mark()
	s.put(ingressRoute(`Host(` + "`" + `other.example.com` + "`" + `)`))
	await(r, from, "edit of the IngressRoute", func(e affinity.ClusterEvent) bool {
		return e.Subject == "IngressRoute chat" && strings.Contains(e.Text, "+Host(`other.example.com`) → web:5000")
	})
}

func ingressRoute(match string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute",
		"metadata": map[string]any{"namespace": "chat", "name": "chat"},
		"spec": map[string]any{"routes": []any{map[string]any{
			"match": match, "services": []any{map[string]any{"name": "web", "port": int64(5000), "sticky": map[string]any{"cookie": map[string]any{"name": "lb"}}}},
		}}},
	}}
}

func TestLabelSelectorNarrowsRoutesOnly(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	picked := testIngress("chat", "picked", "p.example.com", "web")
	picked.Labels = map[string]string{"team": "a"}
	s.put(picked)
	r := watchServer(t, s, Options{Namespace: "chat", LabelSelector: "team=a"})
	r.live()
	e, _ := await(r, 0, "routes", anyOf[affinity.Routes])
	if len(e.Routes) != 1 || e.Routes[0].Name != "picked" {
		t.Errorf("routes = %+v, want only the labelled one", e.Routes)
	}
	await(r, 0, "all pods", func(e affinity.SourceChanged) bool { return e.Status.Name == resPods && e.Status.Objects == 3 })
	if _, err := New(s.config(), Options{LabelSelector: "team in (a"}); err == nil {
		t.Error("a selector that cannot be read was accepted")
	}
}

func TestAllNamespaces(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.put(testIngress("shop", "web", "shop.example.com", "web"))
	s.fail("pods list", forbid("pods"))
	r := watchServer(t, s, Options{Namespace: "chat", AllNamespaces: true})
	await(r, 0, "routes of both namespaces", func(e affinity.Routes) bool { return len(e.Routes) == 2 })
	got := r.state(resPods, affinity.SourceForbidden)
	if !strings.Contains(got.Detail, "-n NAMESPACE may be allowed") {
		t.Errorf("detail = %q, want the way out", got.Detail)
	}
}

// An answer that is no Kubernetes API (a captive portal, a proxy's page) is a
// state with a clean text, and ends nothing.
func TestGarbageFromTheServer(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a web page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>\x1b[31mlog in"+strings.Repeat("x", 100_000))
		},
		"half of an object": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentJSON)
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":`)
		},
		"another kind": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentJSON)
			fmt.Fprint(w, `{"kind":"Secret","apiVersion":"v1"}`)
		},
		"a message with escapes": refuse(500, "InternalError", "\x1b]0;gotcha\x07 boom"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			chat(s)
			s.fail("pods list", h)
			r := watchServer(t, s, chatOptions())
			got := r.state(resPods, affinity.SourceStale)
			if strings.ContainsAny(got.Detail, "\x1b\x07\n") || len(got.Detail) > 4*maxError || got.Detail == "" {
				t.Errorf("detail = %q", got.Detail)
			}
			s.fail("pods list", nil)
			r.state(resPods, affinity.SourceLive)
		})
	}
}

func TestGarbageInAWatch(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.fail("pods watch", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentJSON)
		fmt.Fprintln(w, `{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"\u001b[2Jx","namespace":"chat"},"status":{"podIP":"1\n2"}}}`)
		fmt.Fprintln(w, `{"type":"ADDED","object":{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"other"}}}`)
		fmt.Fprintln(w, `}}}} junk`)
	})
	r := watchServer(t, s, chatOptions())
	e, _ := await(r, 0, "the odd pod", func(e affinity.PodChanged) bool { return strings.HasSuffix(e.Pod.Ref.Name, "x") })
	if e.Pod.Ref.Name != "·[2Jx" || e.Pod.IP != "1·2" {
		t.Errorf("pod = %+v, want clean names", e.Pod)
	}
	s.fail("pods watch", nil)
	from := r.mark()
	await(r, from, "the odd pod gone with the next list", func(e affinity.PodGone) bool { return e.Ref.Name == "·[2Jx" })
}
