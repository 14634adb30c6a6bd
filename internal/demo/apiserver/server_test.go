package apiserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

const patience = 20 * time.Second

// start runs a server until the test ends, and fails the test if it does not
// end with it.
func start(t *testing.T) (*apiserver.Store, *apiserver.Server) {
	t.Helper()
	store := apiserver.NewStore()
	server, err := apiserver.Listen(store)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	return store, server
}

func client(t *testing.T, s *apiserver.Server, contentType string) *kubernetes.Clientset {
	t.Helper()
	cfg := s.RESTConfig()
	cfg.ContentType, cfg.AcceptContentTypes = contentType, contentType
	cfg.WarningHandler = rest.NoWarnings{}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "msgapp", Name: name, Labels: map[string]string{"app": "msgapp"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.7"},
	}
}

func put(t *testing.T, s *apiserver.Store, objects ...apiserver.Object) {
	t.Helper()
	if err := s.Put(objects...); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// next returns the next event of a watch, which must come.
func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case e, ok := <-w.ResultChan():
		if !ok {
			t.Fatal("the watch has ended")
		}
		return e
	case <-time.After(patience):
		t.Fatal("the watch is silent")
	}
	return watch.Event{}
}

func TestInformersFollowInBothFormats(t *testing.T) {
	for _, format := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		t.Run(format, func(t *testing.T) {
			store, server := start(t)
			put(t, store, pod("a"), pod("b"))
			lister := informerOf(t, client(t, server, format)).Core().V1().Pods()

			put(t, store, pod("c"))
			apiserver.Remove[*corev1.Pod](store, "msgapp", "a")
			apiserver.Modify(store, "msgapp", "b", func(p *corev1.Pod) { p.Status.PodIP = "10.244.0.9" })
			eventually(t, "c is there, a is gone, b has its new address", func() bool {
				_, errA := lister.Lister().Pods("msgapp").Get("a")
				b, errB := lister.Lister().Pods("msgapp").Get("b")
				_, errC := lister.Lister().Pods("msgapp").Get("c")
				return apierrors.IsNotFound(errA) && errB == nil && b.Status.PodIP == "10.244.0.9" && errC == nil
			})
		})
	}
}

// informerOf starts a pod informer that has synced when it returns.
func informerOf(t *testing.T, c kubernetes.Interface) informers.SharedInformerFactory {
	t.Helper()
	factory := informers.NewSharedInformerFactory(c, 0)
	informer := factory.Core().V1().Pods().Informer()
	if err := informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	t.Cleanup(func() { close(stop); factory.Shutdown() })
	eventually(t, "the informer syncs", informer.HasSynced)
	return factory
}

func TestListAndGet(t *testing.T) {
	store, server := start(t)
	port := int32(5000)
	put(t, store, pod("a"), pod("b"),
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "z"}},
		&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}},
		&networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "msgapp", Name: "msgapp"}},
		&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "msgapp", Name: "msgapp-x"},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &port}},
		})
	ctx := t.Context()
	c := client(t, server, runtime.ContentTypeProtobuf)
	lists := []struct {
		name string
		ns   string
		opts metav1.ListOptions
		want int
	}{
		{"of a namespace", "msgapp", metav1.ListOptions{}, 2},
		{"of all", "", metav1.ListOptions{}, 3},
		{"by label", "", metav1.ListOptions{LabelSelector: "app=msgapp"}, 2},
		{"by label it has not", "", metav1.ListOptions{LabelSelector: "app!=msgapp"}, 1},
		{"by name", "msgapp", metav1.ListOptions{FieldSelector: "metadata.name=a"}, 1},
		{"by phase", "", metav1.ListOptions{FieldSelector: "status.phase=Running"}, 2},
	}
	for _, tt := range lists {
		got, err := c.CoreV1().Pods(tt.ns).List(ctx, tt.opts)
		if err != nil || len(got.Items) != tt.want || got.ResourceVersion == "" {
			t.Errorf("list %s: %d pods, revision %q, %v, want %d", tt.name, len(got.Items), got.ResourceVersion, err, tt.want)
		}
	}
	if _, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.foo=1"}); !apierrors.IsBadRequest(err) {
		t.Errorf("an unknown field: %v, want 400", err)
	}
	if got, err := c.NetworkingV1().IngressClasses().Get(ctx, "nginx", metav1.GetOptions{}); err != nil || got.Name != "nginx" {
		t.Errorf("IngressClass: %v, %v", got, err)
	}
	if got, err := c.DiscoveryV1().EndpointSlices("msgapp").Get(ctx, "msgapp-x", metav1.GetOptions{}); err != nil || *got.Ports[0].Port != 5000 {
		t.Errorf("EndpointSlice: %v, %v", got, err)
	}
	if _, err := c.CoreV1().Pods("msgapp").Get(ctx, "nope", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get nope: %v, want 404", err)
	}
	if err := c.CoreV1().Pods("msgapp").Delete(ctx, "a", metav1.DeleteOptions{}); !apierrors.IsMethodNotSupported(err) {
		t.Errorf("delete: %v, want 405: the server can only be read", err)
	}
}

func TestAbsentAPIs(t *testing.T) {
	_, server := start(t)
	d, err := dynamic.NewForConfig(server.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	gvr := schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"}
	if _, err := d.Resource(gvr).Namespace("msgapp").List(t.Context(), metav1.ListOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("IngressRoutes: %v, want 404", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(server.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disco.ServerResourcesForGroupVersion("traefik.io/v1alpha1"); !apierrors.IsNotFound(err) {
		t.Errorf("discovery of Traefik: %v, want 404", err)
	}
	lists, err := disco.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	short := map[string]string{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			for _, s := range r.ShortNames {
				short[s] = l.GroupVersion + " " + r.Name
			}
		}
	}
	for s, want := range map[string]string{"po": "v1 pods", "ing": "networking.k8s.io/v1 ingresses", "svc": "v1 services"} {
		if short[s] != want {
			t.Errorf("short name %s = %q, want %q", s, short[s], want)
		}
	}
}

func TestWatchTimeoutEndsWithBookmark(t *testing.T) {
	store, server := start(t)
	put(t, store, pod("a"))
	c := client(t, server, runtime.ContentTypeJSON)
	one := int64(1)
	began := time.Now()
	w, err := c.CoreV1().Pods("msgapp").Watch(t.Context(), metav1.ListOptions{AllowWatchBookmarks: true, TimeoutSeconds: &one, LabelSelector: "app=msgapp"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	apiserver.Modify(store, "msgapp", "a", func(p *corev1.Pod) { p.Labels = nil })
	var got []string
	for e := range w.ResultChan() {
		got = append(got, string(e.Type))
		if e.Type == watch.Bookmark && e.Object.(*corev1.Pod).ResourceVersion != fmt.Sprint(store.Revision()) {
			t.Errorf("bookmark at %s, want %d", e.Object.(*corev1.Pod).ResourceVersion, store.Revision())
		}
	}
	if fmt.Sprint(got) != "[ADDED DELETED BOOKMARK]" {
		t.Errorf("events %v, want ADDED, DELETED when the label goes, BOOKMARK", got)
	}
	if took := time.Since(began); took < 900*time.Millisecond || took > patience {
		t.Errorf("the watch lasted %v, want 1s", took)
	}
}

// TestWatchList asks for the initial objects in the watch itself, as client-go
// does since 1.35.
func TestWatchList(t *testing.T) {
	for _, format := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		store, server := start(t)
		put(t, store, pod("a"), pod("b"))
		yes := true
		w, err := client(t, server, format).CoreV1().Pods("msgapp").Watch(t.Context(), metav1.ListOptions{
			SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		})
		if err != nil {
			t.Fatal(err)
		}
		put(t, store, pod("c"))
		var got []string
		for last := ""; last != "c"; {
			e := next(t, w)
			p := e.Object.(*corev1.Pod)
			got = append(got, string(e.Type)+" "+p.Name+p.Annotations[metav1.InitialEventsAnnotationKey])
			last = p.Name
		}
		w.Stop()
		// c may be there before the watch has begun.
		before, after := "[ADDED a ADDED b BOOKMARK true ADDED c]", "[ADDED a ADDED b ADDED c]"
		if s := fmt.Sprint(got); s != before && s != after {
			t.Errorf("%s: %s, want %s", format, s, before)
		}
	}
}

func TestPlainRequests(t *testing.T) {
	store, server := start(t)
	put(t, store, pod("a"))
	tests := []struct {
		method, path, accept string
		status               int
		contentType, body    string
	}{
		{"GET", "/api/v1/namespaces/msgapp/pods/a", "application/yaml", 200, "application/yaml", "kind: Pod\n"},
		{"GET", "/api/v1/namespaces/msgapp/pods/a", "application/json;as=Table;v=v1;g=meta.k8s.io, application/json", 200, "application/json", `"kind":"Pod"`},
		{"GET", "/api/v1/pods", "", 200, "application/json", `"kind":"PodList"`},
		{"GET", "/api/v1/pods", "image/png", 406, "text/plain; charset=utf-8", "application/json"},
		{"GET", "/api/v1/pods?watch=1&resourceVersion=x", "", 400, "application/json", `Invalid value for resourceVersion: \"x\"`},
		{"GET", "/api/v1/pods?labelSelector=%3D", "", 400, "application/json", `"reason":"BadRequest"`},
		{"GET", "/api/v1/namespaces/msgapp/pods/a/log", "", 404, "text/plain; charset=utf-8", "404 page not found"},
		{"GET", "/apis/traefik.io/v1alpha1/ingressroutes", "", 404, "text/plain; charset=utf-8", "404 page not found"},
		{"DELETE", "/api/v1/namespaces/msgapp/pods/a", "", 405, "application/json", `"reason":"MethodNotAllowed"`},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", 400, "application/json", `"reason":"BadRequest"`},
		{"GET", "/readyz", "", 200, "text/plain; charset=utf-8", "ok"},
		{"GET", "/version", "", 200, "application/json", `"major":"1"`},
	}
	for _, tt := range tests {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+server.Addr()+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.accept != "" {
			req.Header.Set("Accept", tt.accept)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != tt.contentType || !strings.Contains(string(body), tt.body) {
			t.Errorf("%s %s as %q: %d, %s, %v: %.200s\nwant %d, %s with %s", tt.method, tt.path, tt.accept,
				resp.StatusCode, resp.Header.Get("Content-Type"), err, body, tt.status, tt.contentType, tt.body)
		}
	}
}
