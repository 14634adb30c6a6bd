package apiserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

func TestForbidden(t *testing.T) {
	store, server := start(t)
	put(t, store, pod("a"))
	server.Deny(apiserver.Rule{Group: "discovery.k8s.io", Resource: "endpointslices"}, apiserver.Rule{Resource: "pods", Verb: "watch"})
	c := client(t, server, runtime.ContentTypeJSON)
	ctx := t.Context()
	_, err := c.DiscoveryV1().EndpointSlices("msgapp").List(ctx, metav1.ListOptions{})
	want := `endpointslices is forbidden: User "` + apiserver.User + `" cannot list resource "endpointslices" in API group "discovery.k8s.io" in the namespace "msgapp"`
	if !apierrors.IsForbidden(err) || err.Error() != want {
		t.Errorf("list = %v, want %s", err, want)
	}
	if _, err := c.CoreV1().Pods("msgapp").List(ctx, metav1.ListOptions{}); err != nil {
		t.Errorf("only watch is denied, yet list = %v", err)
	}
	if _, err := c.CoreV1().Pods("msgapp").Watch(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("watch = %v, want 403", err)
	}
	for resource, want := range map[string]bool{"endpointslices": false, "ingresses": true} {
		group := map[string]string{"endpointslices": "discovery.k8s.io", "ingresses": "networking.k8s.io"}[resource]
		got, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: "msgapp", Verb: "list", Group: group, Resource: resource,
			}},
		}, metav1.CreateOptions{})
		if err != nil || got.Status.Allowed != want {
			t.Errorf("review of %s: %v, %v, want %v", resource, got, err, want)
		}
	}
}

func TestUnauthorizedAndRefused(t *testing.T) {
	_, server := start(t)
	c := client(t, server, runtime.ContentTypeJSON)
	server.SetFault(apiserver.FaultUnauthorized)
	if _, err := c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("list = %v, want 401", err)
	}
	server.SetFault(apiserver.FaultRefuse)
	if _, err := c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("list = %v, want connection refused", err)
	}
	plain := &http.Client{Transport: &http.Transport{}} // does not know Dial
	if resp, err := plain.Get("http://" + server.Addr() + "/version"); err == nil {
		_ = resp.Body.Close()
		t.Errorf("an answer from a refusing server: %s", resp.Status)
	}
	server.SetFault(apiserver.FaultNone)
	if _, err := c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("list once it is back: %v", err)
	}
}

func TestHang(t *testing.T) {
	store, server := start(t)
	put(t, store, pod("a"))
	c := client(t, server, runtime.ContentTypeJSON)
	w, err := c.CoreV1().Pods("msgapp").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if e := next(t, w); e.Type != watch.Added {
		t.Fatalf("first event %v, want ADDED", e.Type)
	}
	server.SetFault(apiserver.FaultHang)
	put(t, store, pod("b"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.CoreV1().Pods("msgapp").List(ctx, metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("list = %v, want no answer until the deadline", err)
	}
	select {
	case e := <-w.ResultChan():
		t.Errorf("an event from a hanging server: %v", e)
	default:
	}
	server.SetFault(apiserver.FaultNone)
	if p, ok := next(t, w).Object.(*corev1.Pod); !ok || p.Name != "b" {
		t.Errorf("event of %v, want pod b", p)
	}
}

func TestExpiredHistory(t *testing.T) {
	for _, format := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		store, server := start(t)
		put(t, store, pod("a"))
		c := client(t, server, format)
		list, err := c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		put(t, store, pod("b"))
		store.Forget()
		w, err := c.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
		if err != nil {
			t.Fatal(err)
		}
		e := next(t, w)
		if e.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
			t.Errorf("%s: event %+v, want ERROR 410 Expired", format, e)
		}
		w.Stop()
	}
}

func TestInformerSurvives(t *testing.T) {
	faults := map[string]func(*apiserver.Store, *apiserver.Server) (restore func()){
		"410 Gone": func(store *apiserver.Store, _ *apiserver.Server) func() { store.Forget(); return func() {} },
		"refused": func(_ *apiserver.Store, s *apiserver.Server) func() {
			s.SetFault(apiserver.FaultRefuse)
			return func() { s.SetFault(apiserver.FaultNone) }
		},
		"refused and forgotten": func(store *apiserver.Store, s *apiserver.Server) func() {
			s.SetFault(apiserver.FaultRefuse)
			store.Forget()
			return func() { s.SetFault(apiserver.FaultNone) }
		},
		"hanging": func(_ *apiserver.Store, s *apiserver.Server) func() {
			s.SetFault(apiserver.FaultHang)
			return func() { s.SetFault(apiserver.FaultNone) }
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := start(t)
			put(t, store, pod("a"), pod("b"))
			c := client(t, server, runtime.ContentTypeProtobuf)
			factory := informers.NewSharedInformerFactory(c, 0)
			informer := factory.Core().V1().Pods().Informer()
			var errs atomic.Int32
			_ = informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) { errs.Add(1) })
			factory.Start(t.Context().Done())
			eventually(t, "sync", informer.HasSynced)

			restore := fault(store, server)
			put(t, store, pod("c"))
			apiserver.Remove[*corev1.Pod](store, "msgapp", "a")
			time.Sleep(20 * time.Millisecond)
			restore()
			eventually(t, "the informer holds b and c", func() bool {
				return fmt.Sprint(sorted(informer.GetStore().ListKeys())) == "[msgapp/b msgapp/c]"
			})
		})
	}
}
