package affinity

import (
	"strings"
	"testing"
)

func TestFindingsOf(t *testing.T) {
	web := Route{ID: "shop/web web.example.com/", Kind: RouteIngress, Namespace: "shop", Name: "web", Backend: Backend{Service: ServiceRef{"shop", "web"}}}
	api := Route{ID: "shop/api api.example.com/", Kind: RouteIngress, Namespace: "shop", Name: "api", Backend: Backend{Service: ServiceRef{"shop", "api"}}}
	object := func(kind, name string) ObjectRef { return ObjectRef{Kind: kind, Namespace: "shop", Name: name} }
	s := &Snapshot{
		Routes:   []Route{web, api},
		Sessions: []*Session{{Spec: SessionSpec{ID: "s01", Route: api.ID}}},
		Findings: []Finding{
			{Rule: "route", Object: object("Ingress", "web"), Route: web.ID},
			{Rule: "pods", Object: object("Deployment", "api"), Routes: []RouteID{api.ID}},
			{Rule: "both", Object: object("Deployment", "shared"), Route: web.ID, Routes: []RouteID{web.ID, api.ID}},
			{Rule: "alone", Object: object("Service", "mongodb")},
			{Rule: "proxy", Object: object("ConfigMap", "kube-proxy")},
			{Rule: "session", Object: object("Deployment", "controller"), Session: "s01"},
			{Rule: "unchecked", NotChecked: "list nodes is forbidden"},
		},
	}
	for target, want := range map[Target]string{
		{}:                                 "route pods both alone proxy session unchecked",
		{Namespace: "shop"}:                "route pods both alone proxy session unchecked",
		{Kind: "ingress", Name: "web"}:     "route both proxy unchecked",
		{Kind: "service", Name: "api"}:     "pods both proxy session unchecked",
		{Kind: "service", Name: "mongodb"}: "alone proxy unchecked",
		{Kind: "service", Name: "mongodb", Namespace: "other"}: "proxy unchecked",
	} {
		var got []string
		for _, f := range s.FindingsOf(target) {
			got = append(got, f.Rule)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s of %q: %s, want %s", target, target.Namespace, g, want)
		}
	}
}
