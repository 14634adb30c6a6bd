package probe

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestASlowAnswerIsToldOf: that a request waits is told before it ends, once,
// and of a quick one never.
func TestASlowAnswerIsToldOf(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		want  int
	}{{"slow", slowAfter + time.Second, 1}, {"quick", 0, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { time.Sleep(tt.takes) }))
			defer server.Close()
			r := mustRunner(t, Options{Interval: time.Minute})
			r.Want(urlPlan(server.URL, 1, affinity.ClientBrowser))
			rec, stop := start(t, r)
			all := rec.until(t, "answer", observations(1))
			stop()
			told := eventsOf[affinity.Awaiting](all)
			if len(told) != tt.want {
				t.Fatalf("told %d times, want %d: %v", len(told), tt.want, all)
			}
			if tt.want > 0 && (told[0].Session != eventsOf[affinity.Observed](all)[0].Session || told[0].Since.IsZero()) {
				t.Errorf("told of %+v", told[0])
			}
		})
	}
}
