package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestCookieSentIsNotKnown: JSON does not call a leg without the affinity cookie
// where one of those sent may be it.
func TestCookieSentIsNotKnown(t *testing.T) {
	x := &affinity.Session{Legs: []affinity.Leg{{Name: "poll", Others: 1, Unsure: "route"}, {Name: "connect", Others: 1}, {Name: "upgrade", Cookie: true}},
		Exchanges: []affinity.Exchange{{Others: 1, Unsure: "route"}}}
	for i, want := range []string{`"cookieUnsure":"route"`, `"cookieSent":false`, `"cookieSent":true`} {
		raw, err := json.Marshal(heldOf(x, time.Time{}).Legs[i])
		if err != nil || !strings.Contains(string(raw), want) || strings.Count(string(raw), "cookie") != 1 {
			t.Errorf("%s, %v: want %s alone", raw, err, want)
		}
	}
	if e := exchange(x.Exchanges[0]); e.Unsure != "route" {
		t.Errorf("%+v", e)
	}
}
