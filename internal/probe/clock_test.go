package probe

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestServerClockOff is a server that sets cookies by Expires alone, with a
// clock of its own.
func TestServerClockOff(t *testing.T) {
	for _, tt := range []struct {
		name    string
		off     time.Duration // of the server's clock
		age     time.Duration // of the cookie, by that clock
		deletes bool
		want    string
	}{
		{"right", 0, 30 * time.Minute, false, ""},
		{"an hour ahead", time.Hour, 30 * time.Minute, false, ""},
		{"an hour behind", -time.Hour, 30 * time.Minute, true, "had passed when it arrived: the server's clock is 1h0m"},
		{"a deletion", 0, -24 * time.Hour, true, "had passed when it arrived"},
		{"a deletion, an hour behind", -time.Hour, -24 * time.Hour, true, "had passed when it arrived"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			clock := time.Now().Add(tt.off).UTC()
			w.Header().Set("Date", clock.Format(http.TimeFormat))
			w.Header().Set("Set-Cookie", "lb=x; Path=/; Expires="+clock.Add(tt.age).Format(http.TimeFormat))
		}))
		o := onceURL(t, Options{}, s.URL).Observed
		s.Close()
		if len(o.Offers) != 1 || o.Offers[0].Deletes != tt.deletes {
			t.Errorf("%s: offers %+v", tt.name, o.Offers)
			continue
		}
		why := o.Offers[0].NotReturned
		if !strings.Contains(why, tt.want) || (tt.want == "") != (why == "") || strings.Contains(why, "clock") != strings.Contains(tt.want, "clock") {
			t.Errorf("%s: not returned because %q, want %q", tt.name, why, tt.want)
		}
	}
}
