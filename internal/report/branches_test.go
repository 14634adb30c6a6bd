package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestRouteBranches: the other Services of a route are in its JSON and its wide
// row, with what they get, their cookie and their endpoints.
func TestRouteBranches(t *testing.T) {
	var st affinity.State
	ref := func(name string) affinity.ServiceRef { return affinity.ServiceRef{Namespace: "shop", Name: name} }
	policy := affinity.Policy{Mechanism: affinity.MechanismCookie, Cookie: affinity.CookieSpec{Name: "blue-id"}, Choice: affinity.ChoiceUnknown,
		Branches: []affinity.Branch{
			{Backend: affinity.Backend{Service: ref("green"), Port: "80"}, Object: "traefikservice/split", Share: "weight 1/4", Cookie: "green-id"},
			{Backend: affinity.Backend{Service: affinity.ServiceRef{Namespace: "spare", Name: "static"}}, Object: "traefikservice/safe", Share: "fallback", Fallback: true},
			{Backend: affinity.Backend{Service: ref("next"), Port: "http"}, Object: "ingress/next", Share: "header X", Canary: true}},
		Levels: []affinity.CookieLevel{{Object: "traefikservice/split", Cookie: affinity.CookieSpec{Name: "lvl"}}}}
	st.Apply(affinity.Routes{Source: "kube", Routes: []affinity.Route{{ID: "r", Kind: affinity.RouteIngressRoute, Namespace: "shop", Name: "web",
		Backend: affinity.Backend{Service: ref("blue"), Port: "80"}, Layers: []affinity.Layer{{Where: affinity.LayerIngress, Candidates: []affinity.Policy{policy}}}}}}, tNow)
	st.Apply(affinity.EndpointsChanged{Service: ref("green"), Endpoints: []affinity.Endpoint{
		{Addr: "10.0.0.1:80", IP: "10.0.0.1", Ready: true, Serving: true}, {Addr: "10.0.0.2:80", IP: "10.0.0.2"}}}, tNow)
	list := Routes(st.Snapshot(tNow), Options{})
	raw, err := json.Marshal(list.Items[0].Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"choice": "unknown", "levels": []any{map[string]any{"object": "traefikservice/split", "cookie": "lvl"}}, "branches": []any{
		map[string]any{"namespace": "shop", "service": "green", "port": "80", "object": "traefikservice/split", "share": "weight 1/4", "cookie": "green-id", "endpoints": 2.0, "ready": 1.0},
		map[string]any{"namespace": "spare", "service": "static", "object": "traefikservice/safe", "share": "fallback", "fallback": true, "endpoints": 0.0, "ready": 0.0},
		map[string]any{"namespace": "shop", "service": "next", "port": "http", "object": "ingress/next", "share": "header X", "canary": true, "endpoints": 0.0, "ready": 0.0}}}
	for key, x := range want {
		if diff := cmp.Diff(x, got[key]); diff != "" {
			t.Errorf("%s (-want +got)\n%s", key, diff)
		}
	}
	wide, err := NewPrinter("wide", false)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := wide(&out, list); err != nil {
		t.Fatal(err)
	}
	if text := "green:80 weight 1/4 (1/2); spare/static fallback (0/0); next:http canary, header X (0/0)"; !strings.Contains(out.String(), text) {
		t.Errorf("%q is not in\n%s", text, &out)
	}
}
