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
		{"of any name", 50, true, []string{"50 cookies sent, none known to be for affinity"}, "no affinity cookie sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := base()
			if tt.opaque {
				w.route.Layers = nil
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
