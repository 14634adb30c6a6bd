package kube

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestLearn wants routes to take up what the controller's own ConfigMap says,
// which nothing watches.
func TestLearn(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.fail("configmaps get", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/api/v1/namespaces/ingress-nginx/configmaps/ingress-nginx-controller" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))
			return
		}
		_, _ = w.Write([]byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"ingress-nginx","name":"ingress-nginx-controller"},"data":{"proxy-read-timeout":"1800"}}`))
	})
	var last affinity.Policy
	if !routesUntil(t, s, func(r affinity.Route) bool {
		last = r.Policy()
		return last.ReadTimeout == 30*time.Minute && last.ReadTimeoutWhy == "proxy-read-timeout of configmap ingress-nginx/ingress-nginx-controller"
	}) {
		t.Fatalf("the route's proxy waits %s: %s", last.ReadTimeout, last.ReadTimeoutWhy)
	}
}

// routesUntil watches and judges the chat until its route is as it should be;
// false when it is not in ten seconds.
func routesUntil(t *testing.T, s *apiServer, right func(affinity.Route) bool) bool {
	t.Helper()
	src, err := New(s.config(), chatOptions())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	events := make(chan affinity.Event, 1024)
	done := make(chan error, 1)
	go func() {
		done <- WithRules{Source: src, Judge: NewJudge(s.config(), chatOptions(), nil)}.Run(ctx, func(e affinity.Event) { events <- e })
	}()
	defer func() { cancel(); <-done }()
	for {
		select {
		case e := <-events:
			if routes, ok := e.(affinity.Routes); ok && len(routes.Routes) > 0 && right(routes.Routes[0]) {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// TestLearnRunning wants routes to presume the controller that runs, as the
// rules do, of two that answer to one class.
func TestLearnRunning(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.fail("deployments list", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"namespace":"traefik","name":"traefik"},
"spec":{"template":{"spec":{"containers":[{"name":"traefik","image":"traefik:v3.6","args":["--providers.kubernetesingressnginx"]}]}}}}]}`))
	})
	var last affinity.Route
	if !routesUntil(t, s, func(r affinity.Route) bool {
		last = r
		return r.Policy().Controller == "traefik-ingress-nginx" && slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "deployment/traefik runs it") })
	}) {
		t.Fatalf("presumed: %s, notes %q", last.Policy().Controller, last.Notes)
	}
}
