package affinity

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestComparison(t *testing.T) {
	sum := func(transport string, client ClientModel, held, wander, broken, unknown, once int) KindSummary {
		return KindSummary{Route: "r", SessionKind: SessionKind{Transport: transport, Client: client},
			Sessions: held + wander + broken + unknown, Held: held, Wander: wander, Broken: broken, Unknown: unknown, Once: once}
	}
	const jar, none = ClientBrowser, ClientNoJar
	type sums = []KindSummary
	for name, tt := range map[string]struct {
		all  sums
		rule string // of a finding that s1, of Socket.IO and no-jar, shows
		want string
	}{
		"all held":             {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", jar, 2, 0, 0, 0, 0)}, "", "every transport was held by one pod"},
		"models all held":      {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("http", none, 2, 0, 0, 0, 0)}, "", "every client model was held by one pod"},
		"none":                 {sums{sum("http", jar, 0, 2, 0, 0, 0), sum("socketio", jar, 0, 2, 0, 0, 0)}, "", "no transport was held"},
		"one wanders":          {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", jar, 0, 2, 0, 0, 0)}, "", "sticky only for http, not for socketio (0 of 2)"},
		"refused by a pod":     {sums{sum("http", none, 2, 0, 0, 0, 0), sum("socketio", none, 0, 0, 2, 0, 0)}, "I01", "sticky only for http, not for socketio (0 of 2, I01)"},
		"not answered":         {sums{sum("http", none, 2, 0, 0, 0, 0), sum("socketio", none, 0, 0, 2, 0, 0)}, "I08", "not held the same: socketio (2 of 2 fail); they show I08 too: get findings"},
		"nobody answers":       {sums{sum("http", jar, 0, 0, 2, 0, 0), sum("ws", jar, 0, 0, 2, 0, 0)}, "", "every session fails"},
		"some of a kind":       {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", jar, 1, 1, 0, 0, 0)}, "", "not held the same: socketio (1 of 2)"},
		"workers":              {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", none, 2, 0, 0, 0, 0)}, "I02", "every transport with every client model was held by one pod; they show I02 too: get findings"},
		"once is no proof":     {sums{sum("http", jar, 0, 2, 0, 0, 0), sum("ws", jar, 2, 0, 0, 0, 2)}, "", "not held the same: http (0 of 2); ws: one request a session, which shows no more than where it went"},
		"once each":            {sums{sum("http", jar, 1, 0, 0, 0, 1), sum("ws", jar, 1, 0, 0, 0, 1)}, "", "not known: too few requests; http, ws: one request a session, which shows no more than where it went"},
		"not known":            {sums{sum("http", jar, 0, 0, 0, 2, 0), sum("ws", jar, 0, 0, 0, 2, 0)}, "", "not known" + namePods},
		"one not known":        {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("ws", jar, 0, 0, 0, 2, 0)}, "", "held by one pod: http; not known for ws" + namePods},
		"both ways":            {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", none, 0, 2, 0, 0, 0)}, "B07", "title; sticky only for http browser, not for socketio no-jar (0 of 2, B07)"},
		"models, by a finding": {sums{sum("socketio", jar, 2, 0, 0, 0, 0), sum("socketio", none, 0, 2, 0, 0, 0)}, "B07", "title"},
	} {
		snap := &Snapshot{
			Sessions: []*Session{{Spec: SessionSpec{ID: "s1", Route: "r", Transport: "socketio", Client: none}}},
			Findings: []Finding{{Rule: tt.rule, Route: "r", Session: "s1", Title: "title"}},
		}
		if got := newComparison(snap.Sessions, snap.Findings, tt.all).Verdict; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestComparisonNamesTheCookie: where it is known that a client does not send the
// affinity cookie back, and why, the verdict says so, not what came of it.
func TestComparisonNamesTheCookie(t *testing.T) {
	const same = "SameSite is not set, which Chrome takes for Lax"
	kinds := []KindSummary{{Route: "r", SessionKind: SessionKind{"socketio", ClientCrossSite}, Sessions: 1, Broken: 1},
		{Route: "r", SessionKind: SessionKind{"socketio", ClientBrowser}, Sessions: 1, Held: 1}}
	sessions := []*Session{{Spec: SessionSpec{ID: "s1", Route: "r", Transport: "socketio", Client: ClientCrossSite}, InARow: 1,
		LastFailure: &Failure{Text: "400 Session ID unknown (code 1)"}}}
	for certainty, want := range map[Certainty]string{
		CertaintyExact:  "not held the same: browser-cross-site (0 of 1, B04: the affinity cookie is not sent back, " + same + ")",
		CertaintyLikely: "not held the same: browser-cross-site (1 of 1 fail: 400 Session ID unknown (code 1))",
	} {
		f := (&State{}).notSentBack(&session{}, Finding{Route: "r", Session: "s1", Certainty: certainty},
			same+": not kept for a page of another site (page.example); that takes SameSite=None; Secure")
		if got := newComparison(sessions, []Finding{f}, kinds).Verdict; f.Rule != "B04" || got != want {
			t.Errorf("%v, %s: %q, want %q", certainty, f.Rule, got, want)
		}
	}
}

// TestComparisonIsTold: the timeline tells what clients came to once it stands,
// again when it changes, and not with every number in it.
func TestComparisonIsTold(t *testing.T) {
	kept, thrown := Offer{Name: "r", Value: "a", Path: "/"}, Offer{Name: "r", Value: "b", Path: "/", NotReturned: "this client keeps no cookies"}
	m := newModels()
	told := func() (lines []string) {
		for _, h := range m.st.Snapshot(m.now).Timeline {
			if h.Kind == "compared" {
				lines = append(lines, h.Text)
			}
		}
		return lines
	}
	m.answered("s01", "web-a", kept)
	m.answered("s02", "web-a", thrown)
	for range 6 {
		m.now = m.now.Add(time.Second)
		if lines := told(); len(lines) > 0 {
			t.Fatalf("%q after one request each", lines)
		}
	}
	for i := range 8 {
		m.answered("s01", "web-a")
		m.answered("s02", []string{"web-b", "web-a"}[i%2], thrown)
		m.now = m.now.Add(time.Second)
		told()
	}
	want := []string{"compared: sticky only for cookie-keeping clients"}
	if lines := told(); !slices.Equal(lines, want) {
		t.Fatalf("%q, want %q", lines, want)
	}
	snap := m.st.Snapshot(m.now)
	if c := snap.Comparisons; len(c) != 1 || c[0].Result != CompareDiffers || c[0].Verdict != "sticky only for cookie-keeping clients" {
		t.Errorf("%+v", c)
	}
	m.apply(SessionOpened{Spec: SessionSpec{ID: "s03", Route: "a", Transport: "socketio", Client: ClientBrowser}})
	for i := range 30 {
		m.answered("s01", "web-a")
		m.answered("s03", []string{"web-b", "web-a"}[i%2])
		m.now = m.now.Add(time.Second)
		told()
	}
	lines := told()
	if len(lines) != 2 || !strings.Contains(lines[1], "not for") {
		t.Errorf("%q, want one line more", lines)
	}
}

// TestUpgradeElsewhere: polls on one pod and an upgrade that was sent to another
// are not one pod.
func TestUpgradeElsewhere(t *testing.T) {
	a, b := PodRef{"e", "web-a"}, PodRef{"e", "web-b"}
	for _, tt := range []struct {
		leg    Leg
		wander int
	}{
		{Leg{Name: LegUpgrade, Pod: b, Failure: "400"}, 1},
		{Leg{Name: LegUpgrade, Pod: a, Failure: "400"}, 0},
		{Leg{Name: LegUpgrade, Failure: "502"}, 0},
	} {
		var m KindSummary
		if m.add(&Session{Pod: a, Via: SourceHeader, Requests: 4, Legs: []Leg{tt.leg}}); m.Wander != tt.wander || m.Held != 1-tt.wander {
			t.Errorf("%+v: %+v", tt.leg, m)
		}
	}
}
