package affinity

import (
	"strings"
	"testing"
	"time"
)

// turn sets the affinity of ownWorld's Service, as the watch tells of it.
func turn(at func(Event, time.Duration), on bool, after time.Duration) {
	ref := ServiceRef{"msgapp", "echo"}
	p := Policy{}
	if on {
		p = Policy{Mechanism: MechanismClientIP, Timeout: time.Minute, Renewal: RenewalSliding}
	}
	at(ServiceChanged{Service{Ref: ref, ClusterIP: "10.96.0.9", Ports: []ServicePort{{"http", 80, "TCP"}}, Policy: p}}, after)
	at(Routes{Source: "direct", Routes: []Route{{ID: "r", Kind: RouteService, Namespace: "msgapp", Name: "echo", Backend: Backend{Service: ref, Port: "80", PortName: "http"},
		Layers: []Layer{{Where: LayerService, Candidates: []Policy{p}}}}}}, after)
}

// TestTurnedOn: answers that nothing held leave no pin to move from, and what
// moves before its node does as the Service says was not held yet.
func TestTurnedOn(t *testing.T) {
	const s = time.Second
	for _, late := range []bool{false, true} {
		st, at := ownWorld()
		at(spec("s01", "172.30.0.101"), 0)
		at(came("s01", "echo-a"), s)
		turn(at, false, 2*s)
		at(came("s01", "echo-b"), 3*s)
		at(came("s01", "echo-a"), 4*s)
		turn(at, true, 5*s)
		if !late {
			at(came("s01", "echo-b"), 6*s)
		}
		at(came("s01", "echo-b"), 11*s)
		at(came("s01", "echo-b"), 12*s)
		x := st.Snapshot(tNow.Add(13 * s)).Session("s01")
		is, _ := x.Condition(tNow.Add(13 * s))
		if x.MoveCount != 0 || x.UnheldCount != 3 || is != Stuck || !x.PinnedSince.Equal(tNow.Add(11*s)) {
			t.Errorf("late %t: %d moves, %d unheld, %s, pinned since %s", late, x.MoveCount, x.UnheldCount, is, x.PinnedSince)
		}
		if m := x.Moves[0]; m.Cause != "nothing holds it: the Service's sessionAffinity is not ClientIP" {
			t.Errorf("late %t: %+v", late, m)
		}
		if m := x.Moves[2]; m.FirstPin != late || m.Cause == "" {
			t.Errorf("late %t: %+v", late, m)
		}
		told := ""
		for _, h := range st.Snapshot(tNow.Add(13 * s)).Timeline {
			if h.Kind == "move" {
				t.Errorf("late %t: %s", late, h.Text)
			}
			if h.Kind == "pinned" {
				told += h.Text + ": " + h.CauseText
			}
		}
		if !strings.Contains(told, "s01 PINNED again to B b, by its address: the Service's sessionAffinity was not ClientIP before") {
			t.Errorf("late %t: told %q", late, told)
		}
	}
}

// TestTurnedBetween: a session that asked nothing while the affinity was off
// moved, and it is known why; likewise one that moved before the watch told.
func TestTurnedBetween(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		first bool
		want  string
	}{"asleep": {false, "was not ClientIP before"}, "before the watch": {true, "is not ClientIP since"}} {
		st, at := ownWorld()
		at(spec("s01", "172.30.0.101"), 0)
		at(came("s01", "echo-a"), s)
		if c.first {
			at(came("s01", "echo-b"), 2*s)
			turn(at, false, 3*s)
		} else {
			turn(at, false, 2*s)
			turn(at, true, 3*s)
			at(came("s01", "echo-b"), 11*s)
		}
		x := st.Snapshot(tNow.Add(12 * s)).Session("s01")
		if x.MoveCount != 1 || !strings.Contains(x.Moves[0].Cause, c.want) {
			t.Errorf("%s: %+v", name, x.Moves)
		}
	}
}

// TestCauseComesBefore: what happened to a pod long after a session left it is
// not why.
func TestCauseComesBefore(t *testing.T) {
	const s = time.Second
	a, b := PodRef{"msgapp", "echo-a"}, PodRef{"msgapp", "echo-b"}
	without := func(ref PodRef) EndpointsChanged {
		return EndpointsChanged{Service: ServiceRef{"msgapp", "echo"}, Endpoints: []Endpoint{{Addr: "10.244.1.3:8080", IP: "10.244.1.3", PortName: "http", Pod: ref, Ready: true, Serving: true}}}
	}
	for after, want := range map[time.Duration]string{8 * s: "A a terminating", 25 * s: ""} {
		for _, gone := range []bool{false, true} {
			st, at := ownWorld()
			at(spec("s01", "172.30.0.101"), 0)
			at(came("s01", "echo-a"), s)
			at(came("s01", "echo-b"), 2*s)
			at(PodChanged{Pod{Ref: a, IP: "10.244.1.2", Node: "node2", Ready: true, Deletion: tNow.Add(2*s + after + 30*s), Grace: 30 * s}}, 2*s+after)
			at(without(b), 2*s+after)
			if gone {
				at(PodGone{a}, 3*s+after)
			}
			at(came("s01", "echo-b"), 5*s+after)
			if m := st.Snapshot(tNow.Add(60 * s)).Session("s01").Moves; len(m) != 1 || m[0].Cause != want {
				t.Errorf("%s after the move, gone %t: %+v", after, gone, m)
			}
		}
	}
}
