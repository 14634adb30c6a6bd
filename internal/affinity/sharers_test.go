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

// TestOthersAnswer: that the pods of another Ingress's Service answer is told,
// and they are among those that are shown.
func TestOthersAnswer(t *testing.T) {
	var st State
	ref := func(name string) ServiceRef { return ServiceRef{Namespace: "shop", Name: name} }
	route := func(ingress, path, service string) Route {
		return Route{ID: RouteKey(RouteIngress, "shop", ingress, "loose.local", path), Kind: RouteIngress, Namespace: "shop", Name: ingress,
			Host: "loose.local", Path: path, Backend: Backend{Service: ref(service)},
			Layers: []Layer{{Where: LayerIngress, Candidates: []Policy{{Mechanism: MechanismNone}}}}}
	}
	loose, dup, api := route("loose", "/", "echo"), route("echo-dup", "/", "msgapp"), route("api", "/api", "msgapp")
	st.Apply(Routes{Source: "objects", Routes: []Route{loose, dup, api}}, tNow)
	for service, pod := range map[string]string{"echo": "echo-1", "msgapp": "msgapp-1"} {
		st.Apply(EndpointsChanged{Service: ref(service), Endpoints: []Endpoint{{Addr: "10.0.0.1:80", IP: "10.0.0.1", Pod: PodRef{Namespace: "shop", Name: pod}, Ready: true}}}, tNow)
	}
	for _, id := range []SessionID{"s01", "s02"} {
		st.Apply(SessionOpened{Spec: SessionSpec{ID: id, Route: loose.ID, Transport: "http", Client: ClientBrowser}}, tNow)
	}
	st.Apply(SessionOpened{Spec: SessionSpec{ID: "s03", Route: api.ID, Transport: "http", Client: ClientBrowser}}, tNow)
	answer := func(id SessionID, pod string) {
		st.Apply(Observed{Session: id, Status: 200, Answer: Answer{Header: []Field{{Name: "X-Pod-Name", Value: pod}}}}, tNow)
	}
	pods := func() (names []string) {
		for _, x := range Distribute(st.Snapshot(tNow), []RouteID{loose.ID}).Shares {
			names = append(names, x.Pod.Name)
		}
		return names
	}
	answer("s01", "echo-1")
	answer("s03", "msgapp-1")
	if got := st.Snapshot(tNow); got.OthersText(loose) != "" || got.OthersText(api) != "" || len(pods()) != 1 {
		t.Errorf("own pods alone answered: %q, %q, %v", got.OthersText(loose), got.OthersText(api), pods())
	}
	answer("s02", "msgapp-1")
	const want = "pods of svc/msgapp, by ingress/echo-dup, which has the same host and path, answer 1 of 2 sessions of ingress/loose"
	if got := st.Snapshot(tNow).OthersText(loose); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := pods(); len(got) != 2 {
		t.Errorf("%v, want the other's pod among them", got)
	}
}
