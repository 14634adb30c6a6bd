package kube

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
)

// TestLogsOfControllers: the pods whose access logs are followed are found by the
// labels of each controller's chart or manifest.
func TestLogsOfControllers(t *testing.T) {
	for name, set := range map[string]labels.Set{
		"ingress-nginx":           {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"},
		"traefik":                 {"app.kubernetes.io/name": "traefik"},
		"haproxytech's chart":     {"app.kubernetes.io/name": "kubernetes-ingress", "app.kubernetes.io/instance": "haproxy"},
		"haproxytech's manifest":  {"run": "haproxy-ingress"},
		"haproxy-ingress's chart": {"app.kubernetes.io/name": "haproxy-ingress"},
		"F5's manifest":           {"app": "nginx-ingress"},
		"no controller":           {"app": "web"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
				if err != nil || selector.Empty() {
					t.Errorf("asked for %s", r.URL)
				}
				list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
				if selector.Matches(set) {
					list.Items = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", Labels: set}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}}
				}
				w.Header().Set("Content-Type", contentJSON)
				_ = json.NewEncoder(w).Encode(list)
			}))
			defer srv.Close()
			l, err := NewLogs(&rest.Config{Host: srv.URL}, Options{Namespace: "e"})
			if err != nil {
				t.Fatal(err)
			}
			pods := l.controllers(t.Context())
			if found := len(pods) == 1 && pods[0].Name == "p"; found != (name != "no controller") || !slices.Equal(pods, slices.Compact(slices.Clone(pods))) {
				t.Errorf("found %v", pods)
			}
		})
	}
}
