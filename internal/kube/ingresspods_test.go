package kube

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestIngressPods: the pods of controllers are found in all namespaces, each
// once, those that ended left out; that they may not be listed is said.
func TestIngressPods(t *testing.T) {
	mk := func(ns, name, ip string, phase corev1.PodPhase, set labels.Set) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: set}, Status: corev1.PodStatus{Phase: phase, PodIP: ip}}
	}
	all := []corev1.Pod{
		mk("ingress", "traefik-1", "10.244.1.2", corev1.PodRunning, labels.Set{"app.kubernetes.io/name": "traefik", "app": "traefik"}),
		mk("web", "nginx-1", "10.244.1.3", corev1.PodRunning, labels.Set{"app.kubernetes.io/component": "ingress-controller"}),
		mk("ingress", "traefik-0", "10.244.1.4", corev1.PodSucceeded, labels.Set{"app.kubernetes.io/name": "traefik"}),
		mk("web", "shop", "10.244.1.5", corev1.PodRunning, labels.Set{"app": "shop"}),
	}
	for _, forbidden := range []bool{false, true} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
			if r.URL.Path != "/api/v1/pods" || err != nil || selector.Empty() || r.URL.Query().Get("limit") == "" {
				t.Errorf("asked for %s", r.URL)
			}
			if forbidden {
				refuse(403, metav1.StatusReasonForbidden, "pods is forbidden")(w, r)
				return
			}
			list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
			for _, p := range all {
				if selector.Matches(labels.Set(p.Labels)) {
					list.Items = append(list.Items, p)
				}
			}
			w.Header().Set("Content-Type", contentJSON)
			_ = json.NewEncoder(w).Encode(list)
		}))
		s, err := NewIngressPods(&rest.Config{Host: srv.URL}, "test")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var found []string
		var last affinity.SourceStatus
		_ = s.Run(ctx, func(e affinity.Event) {
			switch e := e.(type) {
			case affinity.IngressPodsListed:
				for _, p := range e.Pods {
					found = append(found, p.Ref.String()+" "+p.IP)
				}
			case affinity.SourceChanged:
				if last = e.Status; last.State != affinity.SourceSyncing {
					cancel()
				}
			}
		})
		cancel()
		srv.Close()
		switch got := strings.Join(found, ", "); {
		case forbidden && (got != "" || last.State != affinity.SourceAbsent || !strings.Contains(last.Detail, "E03 not checked")):
			t.Errorf("forbidden: found %q, %+v", got, last)
		case !forbidden && (got != "web/nginx-1 10.244.1.3, ingress/traefik-1 10.244.1.2" || last.State != affinity.SourceLive || last.Objects != 2):
			t.Errorf("found %q, %+v", got, last)
		}
	}
}
