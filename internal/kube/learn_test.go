package kube

import (
	"context"
	"net/http"
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
	src, err := New(s.config(), chatOptions())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events := make(chan affinity.Event, 1024)
	done := make(chan error, 1)
	go func() {
		done <- WithRules{Source: src, Judge: NewJudge(s.config(), chatOptions(), nil)}.Run(ctx, func(e affinity.Event) { events <- e })
	}()
	defer func() { cancel(); <-done }()
	var last affinity.Policy
	for {
		select {
		case e := <-events:
			routes, ok := e.(affinity.Routes)
			if !ok || len(routes.Routes) == 0 {
				continue
			}
			last = routes.Routes[0].Policy()
			if last.ReadTimeout == 30*time.Minute && last.ReadTimeoutWhy == "proxy-read-timeout of configmap ingress-nginx/ingress-nginx-controller" {
				return
			}
		case <-ctx.Done():
			t.Fatalf("the route's proxy waits %s: %s", last.ReadTimeout, last.ReadTimeoutWhy)
		}
	}
}
