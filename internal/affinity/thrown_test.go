package affinity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// byName is a format whose values name pods: "x:web-a" by the decoder "x".
type byName string

func (d byName) Name() string { return "format " + string(d) }

func (d byName) Table(set EndpointSet) Table { return namesIn{d, set} }

type namesIn struct {
	format byName
	set    EndpointSet
}

func (t namesIn) Lookup(value string) (d Decoded) {
	name, ok := strings.CutPrefix(value, string(t.format)+":")
	if d.Shaped, d.Exact = ok, ok; ok {
		for _, e := range t.set.Current {
			if e.Pod.Name == name {
				d.Endpoints = append(d.Endpoints, e)
			}
		}
	}
	return d
}

// newSilent is a route of an app whose answers name no pod, behind either of two
// controllers.
func newSilent() *models {
	m := newModels()
	policy := func(name string) Policy {
		return Policy{Mechanism: MechanismCookie, Controller: name, Cookie: CookieSpec{Name: "r"}, Decoder: byName(name)}
	}
	m.apply(Routes{Source: "x", Routes: []Route{{ID: "a", Kind: RouteIngress, Namespace: "e", Name: "a", Backend: Backend{Service: ServiceRef{"e", "a"}},
		Layers: []Layer{{Where: LayerIngress, Candidates: []Policy{policy("x"), policy("y")}}}}}})
	return m
}

func (m *models) gave(id SessionID, value string, thrown bool) {
	o := Offer{Name: "r", Value: Secret(value), Path: "/"}
	if thrown {
		o.NotReturned = "this client keeps no cookies"
	}
	m.apply(Observed{Session: id, RequestID: fmt.Sprint(m.now.UnixNano()), Status: 200, Offers: []Offer{o}})
}

// TestThrownCookies: cookies that a client throws away name the pods that the
// proxy chose for it, and tell whose they are.
func TestThrownCookies(t *testing.T) {
	m := newSilent()
	settled := func() (Policy, bool) {
		l, _ := m.st.Snapshot(m.now).Routes[0].Layer(LayerIngress)
		return l.Policy(), l.Settled()
	}
	m.gave("s02", "y:web-a", true)
	if p, ok := settled(); !ok || p.Controller != "y" {
		t.Errorf("controller %s, settled %v after a cookie of y", p.Controller, ok)
	}
	for i := range 4 {
		m.gave("s01", "y:web-a", false)
		m.gave("s02", []string{"y:web-b", "y:web-a"}[i%2], true)
	}
	if f := m.found(); !slices.Equal(f, []string{"B07"}) {
		t.Fatalf("%v, want B07", f)
	}
	f := m.st.Snapshot(m.now).Findings[0]
	if f.Certainty != CertaintyLikely || !strings.Contains(f.Evidence[0].Text, "the cookie of s01 (browser) names") || !strings.Contains(f.Evidence[1].Text, "was given a cookie of") {
		t.Errorf("no answer named a pod, yet %s: %+v", f.Certainty, f.Evidence)
	}
	all := compareKinds(m.st.Snapshot(m.now).Sessions)
	if all[0].Held != 1 || all[1].Held != 0 || all[1].Wander != 1 || all[1].Unknown != 0 || all[1].Moves != 0 {
		t.Errorf("%+v", all)
	}
}

// TestThrownCookiesOfOnePod: that they all name one pod is no wandering, and an
// opaque one names nobody.
func TestThrownCookiesOfOnePod(t *testing.T) {
	for _, value := range []string{"y:web-a", "opaque"} {
		m := newSilent()
		for range 4 {
			m.gave("s01", value, false)
			m.gave("s02", value, true)
		}
		if f := m.found(); len(f) > 0 {
			t.Errorf("%s: %v", value, f)
		}
		if all := compareKinds(m.st.Snapshot(m.now).Sessions); all[1].Wander != 0 || all[1].Unknown != 1 {
			t.Errorf("%s: %+v", value, all)
		}
	}
	m := newSilent()
	m.gave("s02", "y:web-a", true)
	m.apply(EndpointsChanged{Service: ServiceRef{"e", "a"}, Endpoints: []Endpoint{{Addr: "10.0.0.2:80", IP: "10.0.0.2", Pod: PodRef{"e", "web-b"}, Ready: true, Serving: true}}})
	m.gave("s02", "y:web-b", true)
	if all := compareKinds(m.st.Snapshot(m.now).Sessions); all[1].Wander != 0 {
		t.Errorf("the pods changed: %+v", all)
	}
}
