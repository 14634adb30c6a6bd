package ui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestOtherCookiesAreSent: a client that sends cookies, none of them for
// affinity, is not said to send none.
func TestOtherCookiesAreSent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		others int
		opaque bool
		want   []string
		not    string
	}{
		{"none", 0, false, []string{"no cookie sent", "COOKIE    none is held"}, "other"},
		{"one", 1, false, []string{"→ A  hdr  no affinity cookie sent, 1 other", "COOKIE    no affinity cookie is held"}, "no cookie sent"},
		{"many", 50, false, []string{"→ A  hdr  no affinity cookie sent, 50 others", "COOKIE    no affinity cookie is held"}, "no cookie sent"},
		{"of any name", 50, true, []string{"sent c0, c1, c2 and 47 more, not known if for affinity"}, "no affinity cookie sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := base()
			if tt.opaque {
				w.route.Layers = []affinity.Layer{{Where: affinity.LayerIngress, Candidates: []affinity.Policy{{Mechanism: affinity.MechanismUnknown}}}}
				w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
			}
			w.open("s01", affinity.ClientBrowser)
			o := affinity.Observed{Session: "s01", RequestID: "r1", Status: 200,
				Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: podA}}}}
			for i := range tt.others {
				o.Sent = append(o.Sent, affinity.Sent{Name: fmt.Sprintf("c%d", i), Value: "x"})
			}
			w.apply(o)
			m := sized(w.options(), 140, 40)
			var text strings.Builder
			for _, line := range detailLines(&m.d, m.d.session("s01"), 140) {
				for _, r := range line {
					text.WriteString(r.text)
				}
				text.WriteString("\n")
			}
			for _, want := range tt.want {
				if !strings.Contains(text.String(), want) {
					t.Errorf("no %q in\n%s", want, text.String())
				}
			}
			if strings.Contains(text.String(), tt.not) {
				t.Errorf("%q in\n%s", tt.not, text.String())
			}
		})
	}
}

// TestCookieOfUnknownName: a cookie that may be for affinity, on a route where
// nothing says what that is called, is held and sent, and said to be.
func TestCookieOfUnknownName(t *testing.T) {
	w := base()
	w.route.Layers = []affinity.Layer{{Where: affinity.LayerIngress, Candidates: []affinity.Policy{{Mechanism: affinity.MechanismUnknown}}}}
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	w.open("s01", affinity.ClientBrowser)
	w.apply(affinity.Observed{Session: "s01", RequestID: "r1", Status: 200, Leg: affinity.LegHandshake,
		Offers: []affinity.Offer{{Name: "route", Value: "backend-1"}}, Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: podA}}}})
	for _, leg := range []string{affinity.LegConnect, affinity.LegPoll} {
		w.apply(affinity.Observed{Session: "s01", RequestID: leg, Status: 200, Leg: leg,
			Sent: []affinity.Sent{{Name: "route", Value: "backend-1"}}, Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: podA}}}})
	}
	m := sized(w.options(), 140, 40)
	s := m.d.session("s01")
	shown := func() string {
		var text strings.Builder
		for _, line := range detailLines(&m.d, s, 140) {
			for _, r := range line {
				text.WriteString(r.text)
			}
			text.WriteString("\n")
		}
		return text.String()
	}
	masked := "route=" + affinity.Secret("backend-1").Mask()
	got := shown()
	for _, want := range []string{"COOKIE    " + masked + ", not known if for affinity", "-b '" + masked + "'"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "sent route, not known if for affinity"); n < 4 { // two legs, two exchanges
		t.Errorf("said to be sent %d times:\n%s", n, got)
	}
	if strings.Contains(got, "none is held") || strings.Contains(got, "backend-1") {
		t.Errorf("none held, or not masked:\n%s", got)
	}
	m.d.revealed, m.d.revealTo = "s01", m.d.now.Add(revealFor)
	if got := shown(); !strings.Contains(got, "-b 'route=backend-1'") {
		t.Errorf("not revealed:\n%s", got)
	}
}
