package decode

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/capture"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// TestReadOfBranches: cookies of Services that share a route's requests are read
// as what the route's policy says of them.
func TestReadOfBranches(t *testing.T) {
	digest := func(text string) affinity.Secret {
		sum := sha256.Sum256([]byte(text))
		return affinity.Secret(hex.EncodeToString(sum[:8]))
	}
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	three := 3
	var objects ingress.Objects
	var st affinity.State
	for i, name := range []string{"blue", "green", "green-all"} {
		objects.Services = append(objects.Services, ingress.Service{Namespace: "default", Name: name, ClusterIP: fmt.Sprintf("10.96.0.%d", 10+i), Ports: []ingress.ServicePort{{Port: 80}}})
		var all []affinity.Endpoint
		for n := range 2 {
			pod := fmt.Sprintf("%s-%d", strings.TrimSuffix(name, "-all"), n)
			ip := fmt.Sprintf("10.244.%d.%d", min(i, 1), n)
			all = append(all, affinity.Endpoint{Addr: ip + ":8080", IP: ip, Pod: affinity.PodRef{Namespace: "default", Name: pod}, Ready: true, Serving: true})
		}
		ref := affinity.ServiceRef{Namespace: "default", Name: name}
		st.Apply(affinity.ServiceChanged{Service: affinity.Service{Ref: ref, Ports: []affinity.ServicePort{{Port: 80}}}}, now)
		st.Apply(affinity.EndpointsChanged{Service: ref, Endpoints: all}, now)
	}
	objects.TraefikServices = []ingress.TraefikService{{Namespace: "default", Name: "split", Kind: "weighted", Sticky: &ingress.TraefikCookie{Name: "lvl"}, Services: []ingress.TraefikBackend{
		{Name: "blue", Port: "80", Weight: &three, Sticky: &ingress.TraefikCookie{Name: "blue-id"}},
		{Name: "green", Port: "80", Sticky: &ingress.TraefikCookie{Name: "green-id"}},
		{Name: "removed", Port: "80", Sticky: &ingress.TraefikCookie{Name: "removed-id"}}}}}
	objects.IngressRoutes = []ingress.IngressRoute{{Namespace: "default", Name: "web", Routes: []ingress.IngressRouteRule{{Match: "PathPrefix(`/`)", Services: []ingress.TraefikBackend{{Kind: "TraefikService", Name: "split"}}}}}}
	st.Apply(affinity.Routes{Source: "objects", Routes: ingress.Build(objects)}, now)
	w := World{Scopes: Cluster(st.Snapshot(now), affinity.Backend{}), Where: "namespace default", Now: now}

	for _, c := range []struct {
		name         string
		value        affinity.Secret
		backend, pod string
	}{
		{"blue-id", digest("http://10.244.0.1:8080"), "default/blue:80", "default/blue-1"},
		{"green-id", digest("http://10.244.1.0:8080"), "default/green:80", "default/green-0"},
		{"other", digest("http://10.244.1.0:8080"), "", "default/green-0"}, // green's, or green-all's
		{"lvl", digest("default-green-80"), "default/green:80", ""},
	} {
		r := Read(capture.Cookie{Name: c.name, Value: c.value}, w)
		if !r.Decoded || r.Backend != c.backend || r.Pod != c.pod || r.Controller != "traefik" {
			t.Errorf("%s: %+v, want %s of %q", c.name, r, c.pod, c.backend)
		}
	}
	for name, backend := range map[string]string{"green-id": "default/green:80", "removed-id": "default/removed:80"} {
		r := Read(capture.Cookie{Name: name, Value: digest("http://10.244.9.9:8080")}, w)
		if want := "a cookie of that name is set for " + backend; r.Decoded || !strings.Contains(r.Instead, want) {
			t.Errorf("%s of a gone pod: %+v, want %q", name, r, want)
		}
	}
}
