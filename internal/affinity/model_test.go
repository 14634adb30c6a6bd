package affinity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseClient(t *testing.T) {
	for text, want := range map[string]string{
		"browser": "browser", "no-jar": "no-jar", "ws-only": "ws-only", "browser-cross-site": "browser-cross-site",
		"tabs": "tabs=3", "tabs=4": "tabs=4", "reload": "reload=10s", "reload=30s": "reload=30s", "reload=5": "reload=5",
		"tabs=1": "!", "tabs=x": "!", "tabs=51": "!", "tabs=": "!", "reload=10ms": "!", "reload=2": "!", "reload=-5s": "!", "reload=": "!",
		"browser=1": "!", "": "!", "robot\x1b": "!",
	} {
		m, err := ParseClient(text)
		if (err != nil) != (want == "!") || err == nil && string(m) != want {
			t.Errorf("%q: %q, %v; want %q", text, m, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q", err)
		}
	}
	if n, every := ClientModel("reload=5").Reload(); n != 5 || every != 0 {
		t.Error(n, every)
	}
	if n, every := ClientModel("reload=30s").Reload(); n != 0 || every != 30*time.Second {
		t.Error(n, every)
	}
}

// TestPlanOfModels: models take turns, tabs stay together, and no plan that
// grows changes what a session was.
func TestPlanOfModels(t *testing.T) {
	routes := []Route{{ID: "a"}, {ID: "b"}}
	b := Budget{PerRoute: 1, Transports: []string{"http"}, Clients: []ClientModel{ClientBrowser, "tabs=2", ClientNoJar}, Extra: map[RouteID]int{}}
	show := func(p Plan) string {
		var words []string
		for _, s := range p.Sessions {
			words = append(words, fmt.Sprintf("%s/%s/%s/%s", s.ID, s.Route, s.Client, s.Jar))
		}
		return strings.Join(words, " ")
	}
	first := MakePlan(nil, routes, b)
	if got, want := show(first), "s01/a/browser/ s02/a/tabs=2/s02 s03/a/tabs=2/s02 s04/a/no-jar/ s05/b/browser/ s06/b/tabs=2/s06 s07/b/tabs=2/s06 s08/b/no-jar/"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b.Extra["a"] = 2
	b.Closed = map[SessionID]bool{"s02": true}
	second := MakePlan(first.Sessions, routes, b)
	for _, s := range first.Sessions {
		if slices.Contains(second.Sessions, s) == b.Closed[s.ID] {
			t.Errorf("%+v after more were opened: %s", s, show(second))
		}
	}
	b.Extra["a"] = 3
	third := MakePlan(second.Sessions, routes[:1], b)
	last := third.Sessions[len(third.Sessions)-1]
	if last.Client != "tabs=2" {
		t.Errorf("%s", show(third))
	}
	if none := MakePlan(nil, routes, Budget{Clients: []ClientModel{"tabs=5"}}); len(none.Sessions) != 0 {
		t.Errorf("no sessions were asked for: %s", show(none))
	}
}

// models is a route of two pods with two clients.
type models struct {
	st  State
	now time.Time
}

func newModels() *models {
	m := &models{now: time.Unix(1000, 0)}
	pod := func(name, ip string) Endpoint {
		return Endpoint{Addr: ip + ":80", IP: ip, Pod: PodRef{"e", name}, Ready: true, Serving: true}
	}
	policy := Policy{Mechanism: MechanismCookie, Cookie: CookieSpec{Name: "r"}}
	m.apply(Routes{Source: "x", Routes: []Route{{ID: "a", Kind: RouteIngress, Namespace: "e", Name: "a", Backend: Backend{Service: ServiceRef{"e", "a"}},
		Layers: []Layer{{Where: LayerIngress, Candidates: []Policy{policy}}}}}})
	m.apply(EndpointsChanged{Service: ServiceRef{"e", "a"}, Endpoints: []Endpoint{pod("web-a", "10.0.0.1"), pod("web-b", "10.0.0.2")}})
	m.apply(SessionOpened{Spec: SessionSpec{ID: "s01", Route: "a", Client: ClientBrowser}})
	m.apply(SessionOpened{Spec: SessionSpec{ID: "s02", Route: "a", Client: ClientNoJar}})
	return m
}

func (m *models) apply(e Event) {
	m.now = m.now.Add(100 * time.Millisecond)
	m.st.Apply(e, m.now)
}

func (m *models) answered(id SessionID, pod string, offers ...Offer) {
	m.apply(Observed{Session: id, RequestID: fmt.Sprint(m.now.UnixNano()), Status: 200, Offers: offers,
		Answer: Answer{Header: []Field{{"X-Pod-Name", pod}}}})
}

func (m *models) found() (titles []string) {
	for _, f := range m.st.Snapshot(m.now).Findings {
		titles = append(titles, f.Rule)
	}
	return titles
}

func TestStickyOnlyForCookieKeepers(t *testing.T) {
	kept, thrown := Offer{Name: "r", Value: "a", Path: "/"}, Offer{Name: "r", Value: "b", Path: "/", NotReturned: "this client keeps no cookies"}
	m := newModels()
	m.answered("s02", "web-a", thrown)
	m.answered("s02", "web-b", thrown)
	if f := m.found(); len(f) > 0 {
		t.Fatalf("%v with nobody to compare with", f)
	}
	m.answered("s01", "web-a", kept)
	m.answered("s01", "web-a")
	m.answered("s02", "web-a", thrown)
	if f := m.found(); len(f) > 0 {
		t.Fatalf("%v after two answers", f)
	}
	m.answered("s01", "web-a")
	m.answered("s02", "web-b", thrown)
	if f := m.found(); !slices.Equal(f, []string{"B07"}) {
		t.Fatalf("%v, want B07", f)
	}
	all := compareKinds(m.st.Snapshot(m.now).Sessions)
	if len(all) != 2 || all[0].Held != 1 || all[0].Wander != 0 || all[1].Held != 0 || all[1].Wander != 1 || all[1].Moves != 0 || all[1].Unheld != 3 {
		t.Errorf("%+v", all)
	}
}

// TestAnotherTransportIsNoProof: a client that keeps cookies and speaks
// something else does not show what keeping them would change.
func TestAnotherTransportIsNoProof(t *testing.T) {
	kept, thrown := Offer{Name: "r", Value: "a", Path: "/"}, Offer{Name: "r", Value: "b", Path: "/", NotReturned: "this client keeps no cookies"}
	m := newModels()
	m.apply(SessionOpened{Spec: SessionSpec{ID: "s03", Route: "a", Transport: "socketio", Client: ClientNoJar}})
	for i := range 6 {
		m.answered("s01", "web-a", kept)
		m.answered("s03", []string{"web-a", "web-b"}[i%2], thrown)
	}
	if f := m.found(); len(f) > 0 {
		t.Errorf("%v", f)
	}
	all := compareKinds(m.st.Snapshot(m.now).Sessions)
	if len(all) != 3 || all[0].Held != 1 || all[2].Transport != "socketio" || all[2].Wander != 1 {
		t.Errorf("%+v", all)
	}
}

// TestBothWander: what is not sticky for anybody is not B07.
func TestBothWander(t *testing.T) {
	kept, thrown := Offer{Name: "r", Value: "a", Path: "/"}, Offer{Name: "r", Value: "b", Path: "/", NotReturned: "this client keeps no cookies"}
	m := newModels()
	for i := range 12 {
		pod := []string{"web-a", "web-b"}[i%2]
		m.answered("s01", pod, kept)
		m.answered("s02", pod, thrown)
	}
	if f := m.found(); len(f) > 0 {
		t.Errorf("%v", f)
	}
	if all := compareKinds(m.st.Snapshot(m.now).Sessions); all[0].Held+all[1].Held != 0 {
		t.Errorf("%+v", all)
	}
}

// TestEndpointsChangedBetween: a client that moved because the pods did is no
// proof.
func TestEndpointsChangedBetween(t *testing.T) {
	thrown := Offer{Name: "r", Value: "b", Path: "/", NotReturned: "this client keeps no cookies"}
	m := newModels()
	for range 4 {
		m.answered("s01", "web-a", Offer{Name: "r", Value: "a", Path: "/"})
	}
	m.answered("s02", "web-b", thrown)
	m.apply(EndpointsChanged{Service: ServiceRef{"e", "a"}, Endpoints: []Endpoint{{Addr: "10.0.0.1:80", IP: "10.0.0.1", Pod: PodRef{"e", "web-a"}, Ready: true, Serving: true}}})
	m.answered("s02", "web-a", thrown)
	if f := m.found(); len(f) > 0 {
		t.Errorf("%v", f)
	}
}

func TestAPreflightIsNoMove(t *testing.T) {
	m := newModels()
	kept := Offer{Name: "r", Value: "a", Path: "/"}
	for i := range 3 {
		m.apply(Observed{Session: "s01", RequestID: fmt.Sprint("p", i), Leg: LegPreflight, Status: 204, Answer: Answer{Header: []Field{{"X-Pod-Name", "web-b"}}}})
		m.answered("s01", "web-a", kept)
	}
	x := m.st.Snapshot(m.now).Sessions[0]
	if c, _ := x.Condition(m.now); c != Stuck || x.MoveCount != 0 || x.Pod.Name != "web-a" || x.Exchanges[2].Pod.Name != "web-b" || x.Exchanges[3].Pod.Name != "web-a" {
		t.Errorf("%s on %s after %d moves; %+v", c, x.Pod, x.MoveCount, x.Exchanges)
	}
}

func TestASharedCookiePinsTheOtherTab(t *testing.T) {
	m := newModels()
	m.apply(SessionOpened{Spec: SessionSpec{ID: "s03", Route: "a", Client: "tabs=2", Jar: "s03"}})
	m.apply(CookieShared{Session: "s03", From: "s01", Offer: Offer{Name: "r", Value: "a", Path: "/"}})
	m.apply(CookieShared{Session: "nobody", From: "s01", Offer: Offer{Name: "r", Value: "a", Path: "/"}})
	m.apply(Observed{Session: "s03", RequestID: "1", Status: 200, Sent: []Sent{{"r", "a"}}, Answer: Answer{Header: []Field{{"X-Pod-Name", "web-a"}}}})
	snap := m.st.Snapshot(m.now)
	x := snap.Sessions[2]
	if c, _ := x.Condition(m.now); c != Stuck || x.Pin == nil || x.Pin.Key != "r" || x.Exchanges[0].Cookie == "" || x.Exchanges[0].NewCookie {
		t.Errorf("%s, pin %+v, exchange %+v", c, x.Pin, x.Exchanges[0])
	}
}
