package affinity

import (
	"testing"
	"time"
)

// TestSharers: a canary's pod answers a session of the primary. It is known, and
// no orphan; a pod of another path stays unknown.
func TestSharers(t *testing.T) {
	var st State
	ref := func(name string) ServiceRef { return ServiceRef{Namespace: "shop", Name: name} }
	route := func(ingress, path, service string) Route {
		return Route{ID: RouteKey(RouteIngress, "shop", ingress, "a.example.com", path), Kind: RouteIngress, Namespace: "shop", Name: ingress,
			Host: "a.example.com", Path: path, Backend: Backend{Service: ref(service)},
			Layers: []Layer{{Where: LayerIngress, Candidates: []Policy{{Mechanism: MechanismNone}}}}}
	}
	main, canary, other := route("main", "/", "web"), route("cana", "/", "next"), route("main", "/api", "api")
	apply := func(at int, events ...Event) {
		for _, e := range events {
			st.Apply(e, tNow.Add(time.Duration(at)*time.Second))
		}
	}
	apply(0, Routes{Source: "objects", Routes: []Route{main, canary, other}})
	for service, pod := range map[string]string{"web": "web-1", "next": "next-1", "api": "api-1"} {
		apply(0, EndpointsChanged{Service: ref(service), Endpoints: []Endpoint{{Addr: "10.0.0.1:80", IP: "10.0.0.1", Pod: PodRef{Namespace: "shop", Name: pod}, Ready: true}}})
	}
	apply(0, SessionOpened{Spec: SessionSpec{ID: "s01", Route: main.ID, Transport: "http", Client: ClientBrowser}})
	for i, tt := range []struct{ answers, pod string }{{"web-1", "web-1"}, {"next-1", "next-1"}, {"web-1", "web-1"}, {"api-1", ""}} {
		apply(i+1, Observed{Session: "s01", Status: 200, Answer: Answer{Header: []Field{{Name: "X-Pod-Name", Value: tt.answers}}}})
		x := st.Snapshot(tNow.Add(time.Duration(i+1) * time.Second)).Sessions[0]
		last := x.Exchanges[len(x.Exchanges)-1]
		if last.Pod.Name != tt.pod {
			t.Errorf("%s answered: taken for %q", tt.answers, last.Pod.Name)
		}
		if c, why := x.Condition(tNow); c == Orphan || c == Unknown && tt.pod != "" {
			t.Errorf("%s answered: %s, %s", tt.answers, c, why)
		}
	}
	if got := st.places[main.ID]; len(got) != 2 || got[1].object != "ingress/cana" || got[1].backend.Service.Name != "next" {
		t.Errorf("requests to %s reach %+v", main.ID, got)
	}
	if got := st.places[other.ID]; len(got) != 1 {
		t.Errorf("requests to %s reach %+v", other.ID, got)
	}
}
