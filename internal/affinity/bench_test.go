//go:build unix

package affinity

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used of all cores, garbage collection
// included: other programs stretch the clock, not this.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFold folds answers of 500 sessions, the most a run may have, and
// reports how many a second of one core is enough for.
func BenchmarkFold(b *testing.B) {
	var st State
	st.Apply(Routes{Source: "t", Routes: []Route{testRoute("persistent")}}, tNow)
	st.Apply(EndpointsChanged{Service: testService, Endpoints: testEndpoints([]string{"a", "b", "c"})}, tNow)
	events := make([]Observed, 500)
	for i := range events {
		id := SessionID(fmt.Sprintf("s%03d", i))
		st.Apply(SessionOpened{SessionSpec{ID: id, Route: "r"}}, tNow)
		st.Apply(Observed{Session: id, Status: 200, Offers: []Offer{{Name: "sticky", Value: "a"}}}, tNow)
		events[i] = Observed{Session: id, Status: 200, Sent: []Sent{{"sticky", "a"}},
			Answer: Answer{Header: []Field{{"Content-Type", "application/json"}, {"Date", "Mon, 23 Nov 2026 14:00:00 GMT"}, {"X-Pod-Name", "web-a"}}}}
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	for i := range b.N {
		st.Apply(events[i%len(events)], tNow.Add(time.Duration(i)*time.Millisecond))
	}
	b.ReportMetric(float64(b.N)/(cpuTime()-before).Seconds(), "events/core-s")
}

// BenchmarkSnapshot takes a snapshot of 500 sessions of which one changed.
func BenchmarkSnapshot(b *testing.B) {
	var st State
	st.Apply(Routes{Source: "t", Routes: []Route{testRoute("persistent")}}, tNow)
	for i := range 500 {
		st.Apply(SessionOpened{SessionSpec{ID: SessionID(fmt.Sprintf("s%03d", i)), Route: "r"}}, tNow)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		st.Apply(Observed{Session: "s007", Status: 200}, tNow)
		st.Snapshot(tNow)
	}
}
