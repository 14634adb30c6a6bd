package findings

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func object(t *testing.T, v map[string]any) *Object {
	t.Helper()
	value := From(v)
	o, ok := NewObject(&value, "all.yaml")
	if !ok {
		t.Fatal("no object")
	}
	return o
}

// TestManyBehind: what files repeat does not make judging quadratic, and what is
// left out is said.
func TestManyBehind(t *testing.T) {
	const n = 500
	labels := map[string]any{"app": "web"}
	for _, c := range []struct {
		name          string
		service, load string // formats of names
		most          int
		unjudged      string
	}{
		{"one name", "web", "web", maxSameName, `deployment/web in namespace "shop" is there more than 8 times`},
		{"one label", "web", "web-%d", maxBehind, `selects the pods of more than 64 workloads`},
		{"one Service each", "web-%d", "web-%d", maxBehind, `selects the pods of more than 64 workloads`},
	} {
		t.Run(c.name, func(t *testing.T) {
			named := func(format string, i int) string {
				if !strings.Contains(format, "%") {
					return format
				}
				return fmt.Sprintf(format, i)
			}
			var f Facts
			for i := range n {
				service := named(c.service, i)
				f.Objects = append(f.Objects,
					object(t, map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": service, "namespace": "shop"},
						"spec": map[string]any{"selector": labels, "ports": []any{map[string]any{"port": int64(80)}}}}),
					object(t, map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": named(c.load, i), "namespace": "shop"},
						"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": labels}}}}),
					object(t, map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": map[string]any{"name": service, "namespace": "shop",
						"annotations": map[string]any{"nginx.ingress.kubernetes.io/affinity": "cookie"}},
						"spec": map[string]any{"ingressClassName": "nginx", "rules": []any{map[string]any{"host": "shop.example.com", "http": map[string]any{"paths": []any{
							map[string]any{"path": "/", "pathType": "Prefix", "backend": map[string]any{"service": map[string]any{"name": service, "port": map[string]any{"number": int64(80)}}}}}}}}}}))
			}
			w := newWorld(f)
			if len(w.routes) != n {
				t.Fatalf("%d routes, want %d", len(w.routes), n)
			}
			for i := range w.routes {
				if r := &w.routes[i]; len(r.loads) != c.most {
					t.Fatalf("%d workloads behind %s, want %d", len(r.loads), r.ID, c.most)
				}
			}
			result := Check(f, Options{})
			if !strings.Contains(result.Unjudged, c.unjudged) {
				t.Errorf("unjudged %q, want %q", result.Unjudged, c.unjudged)
			}
			f.Objects = f.Objects[:3*maxSameName]
			if few := Check(f, Options{}); few.Unjudged != "" || len(few.Findings) == 0 {
				t.Errorf("of %d: %d findings, unjudged %q", maxSameName, len(few.Findings), few.Unjudged)
			}
		})
	}
}

// TestManyPaths: an app of many paths, each with a cookie of its own, is told of
// in proportion to them.
func TestManyPaths(t *testing.T) {
	const n = 300
	var paths []any
	for i := range n {
		paths = append(paths, map[string]any{"path": fmt.Sprintf("/p%d", i), "pathType": "Prefix",
			"backend": map[string]any{"service": map[string]any{"name": "web", "port": map[string]any{"number": int64(80)}}}})
	}
	f := Facts{Objects: []*Object{object(t, map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": map[string]any{"name": "web", "namespace": "shop",
		"annotations": map[string]any{"nginx.ingress.kubernetes.io/affinity": "cookie"}},
		"spec": map[string]any{"ingressClassName": "nginx", "rules": []any{map[string]any{"host": "shop.example.com", "http": map[string]any{"paths": paths}}}}})}}
	result := Check(f, Options{Only: []string{"B02"}})
	t.Logf("%d findings", len(result.Findings))
	if len(result.Findings) != n*maxUncovered || !strings.Contains(result.Unjudged, "more than 64 paths of shop/web") {
		t.Errorf("%d findings, unjudged %q", len(result.Findings), result.Unjudged)
	}
}

// TestHostsInOrder: of an Ingress whose hosts have the same paths the first host
// is told, each time.
func TestHostsInOrder(t *testing.T) {
	path := func(p string) map[string]any {
		return map[string]any{"path": p, "pathType": "Prefix", "backend": map[string]any{"service": map[string]any{"name": "web", "port": map[string]any{"number": int64(80)}}}}
	}
	var rules []any
	for i := range 8 {
		rules = append(rules, map[string]any{"host": fmt.Sprintf("h%d.example.com", i), "http": map[string]any{"paths": []any{path("/a"), path("/b")}}})
	}
	f := Facts{Objects: []*Object{object(t, map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": map[string]any{"name": "web", "namespace": "shop",
		"annotations": map[string]any{"nginx.ingress.kubernetes.io/affinity": "cookie"}}, "spec": map[string]any{"ingressClassName": "nginx", "rules": rules}})}}
	result := Check(f, Options{Only: []string{"B02"}})
	if len(result.Findings) != 2 {
		t.Fatalf("%d findings, want one of each path", len(result.Findings))
	}
	for _, x := range result.Findings {
		if !strings.Contains(string(x.Route), "h0.example.com") {
			t.Errorf("%s is told of %s", x.Title, x.Route)
		}
	}
}

// TestPatchOfSeveral: findings that share a patch print it alike, but for the one
// about the object that it changes.
func TestPatchOfSeveral(t *testing.T) {
	named := func(kind, name, file string) *Object {
		return &Object{ObjectRef: affinity.ObjectRef{Kind: kind, Namespace: "shop", Name: name, File: file}, APIVersion: "v1", Value: &Value{}}
	}
	config := named("ConfigMap", "nginx", "all.yaml")
	c, patch := &check{}, patched(config, nest("14400s", "data", shutdownKey))
	for _, o := range []*Object{named("Ingress", "a", "all.yaml"), config, named("Ingress", "b", "all.yaml"), named("Ingress", "a", ""), named("ConfigMap", "nginx", "")} {
		for range 2 {
			if got, want := c.write(o, patch), write(o, patch); got != want {
				t.Errorf("of %s in %q:\n%s\nwant\n%s", o.ObjectRef, o.File, got, want)
			}
		}
	}
	if len(c.written) != 4 {
		t.Errorf("%d texts, want 4 of 5 findings", len(c.written))
	}
}
