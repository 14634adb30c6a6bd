package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReadinessFlap makes a pod unready: its sessions move, explained, and stay where they are when it is back.
func TestReadinessFlap(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deploy(t, l, app{Name: "flap", Replicas: 3, Affinity: true})
	ends := watchEndpoints(t, l, "flap")
	s := watchSessions(t, l, "ing/flap", "-n", "e2e", "--path", "/")
	before := s.settled(t, 6, 2, "STUCK")
	victim := busiest(before)
	names := held(before, victim)
	check(t, l.FailReadiness("e2e/"+victim))
	eventually(t, 20*time.Second, "its sessions are on other pods", func() bool {
		now := s.latest()
		return !slices.ContainsFunc(names, func(n string) bool { return now[n].pod() == victim || now[n].State != "RE-PINNED" })
	})
	check(t, l.RestoreReadiness("e2e/"+victim))
	eventually(t, 10*time.Second, "kubectl shows it ready again", func() bool {
		all := ends.all()
		return all[len(all)-1].what[victim].ready && slices.ContainsFunc(all, func(e line[endpoints]) bool { return !e.what[victim].ready })
	})
	moved := s.latest()
	for _, name := range names {
		if m := moved[name].Moves; len(m) != 1 || m[0].From != victim || m[0].Cause == "" || !m[0].CookieChanged {
			t.Errorf("%s: moves %+v, want one from %s, explained", name, m, victim)
		}
	}
	time.Sleep(5 * time.Second) // the controller sends clients there again; nobody who has a pod may go
	_, last := s.finish(t, l)
	for name, x := range last {
		if x.MoveCount != moved[name].MoveCount || !slices.Contains(names, name) && x.MoveCount > 0 {
			t.Errorf("%s: moves %+v: only those of %s should have moved, once", name, x.Moves, victim)
		}
	}
}

// TestRollingUpdate replaces all pods: every session moves to a new one, and each move has a cause.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deploy(t, l, app{Name: "roll", Replicas: 2, Drain: 3, Affinity: true})
	old := podsOf(t, l, "e2e", "app=roll")
	s := watchSessions(t, l, "ing/roll", "-n", "e2e", "--path", "/", "--probe-timeout", "3s")
	s.settled(t, 6, 2, "STUCK")
	check(t, l.Rollout(within(t, 5*time.Second), "e2e/roll"))
	check(t, l.WaitFor(within(t, 40*time.Second), "e2e/roll"))
	fresh := podsOf(t, l, "e2e", "app=roll")
	eventually(t, 20*time.Second, "all sessions are on new pods", func() bool {
		now := s.latest()
		return !slices.ContainsFunc(sorted(now), func(n string) bool { return !slices.Contains(fresh, now[n].pod()) || now[n].State != "RE-PINNED" })
	})
	_, last := s.finish(t, l)
	for name, x := range last {
		if len(x.Moves) == 0 || !slices.Contains(old, x.Moves[0].From) {
			t.Errorf("%s: moves %+v, want the first from one of %v", name, x.Moves, old)
		}
		for _, m := range x.Moves {
			if m.Cause == "" || !m.CookieChanged {
				t.Errorf("%s: move %+v is unexplained", name, m)
			}
		}
	}
}

// TestScale adds pods, for which no session of a persistent route moves, and takes pods away, for which theirs do.
func TestScale(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deploy(t, l, app{Name: "scale", Replicas: 2, Drain: 1, Affinity: true})
	s := watchSessions(t, l, "ing/scale", "-n", "e2e", "--path", "/", "--probe-timeout", "3s")
	first := s.settled(t, 6, 2, "STUCK")
	check(t, l.Scale(within(t, 5*time.Second), "e2e/scale", 4))
	check(t, l.WaitFor(within(t, 30*time.Second), "e2e/scale"))
	time.Sleep(5 * time.Second)
	for name, x := range s.latest() {
		if x.MoveCount != 0 || x.State != "STUCK" || x.pod() != first[name].pod() {
			t.Errorf("%s is %s with moves %+v after the scale-up", name, x.State, x.Moves)
		}
	}
	check(t, l.Scale(within(t, 5*time.Second), "e2e/scale", 1))
	check(t, l.WaitFor(within(t, 30*time.Second), "e2e/scale"))
	left := podsOf(t, l, "e2e", "app=scale")
	eventually(t, 20*time.Second, "all sessions are on the pod that is left", func() bool {
		now := s.latest()
		return !slices.ContainsFunc(sorted(now), func(n string) bool { return now[n].pod() != left[0] || now[n].State == "ORPHAN" })
	})
	_, last := s.finish(t, l)
	for name, x := range last {
		stayed := first[name].pod() == left[0]
		if stayed != (x.MoveCount == 0) || slices.ContainsFunc(x.Moves, func(m move) bool { return m.Cause == "" }) {
			t.Errorf("%s was on %s, %s is left: moves %+v", name, first[name].pod(), left[0], x.Moves)
		}
	}
}

// TestFrozenBackend stops a pod's processes with SIGSTOP: its sessions time out, then move when it is unready.
func TestFrozenBackend(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deploy(t, l, app{Name: "frozen", Replicas: 2, Affinity: true})
	s := watchSessions(t, l, "ing/frozen", "-n", "e2e", "--path", "/", "--probe-timeout", "2s")
	before := s.settled(t, 6, 2, "STUCK")
	victim := busiest(before)
	names := held(before, victim)
	ctx := within(t, time.Minute)
	check(t, l.Freeze(ctx, "e2e/"+victim))
	for _, name := range names {
		found := s.until(t, 15*time.Second, name+" FAILING or ORPHAN", func(x session) bool {
			return x.Name == name && (x.State == "FAILING" || x.State == "ORPHAN" || x.pod() != victim)
		})
		if found.what.State == "FAILING" && !strings.Contains(found.what.Detail, "no answer within 2s") {
			t.Errorf("%s is FAILING with %q, want a time-out said", name, found.what.Detail)
		}
	}
	eventually(t, 25*time.Second, "its sessions are on the other pod", func() bool {
		now := s.latest()
		return !slices.ContainsFunc(names, func(n string) bool { return now[n].pod() == victim || now[n].State != "RE-PINNED" })
	})
	check(t, l.Thaw(ctx, "e2e/"+victim))
	_, last := s.finish(t, l)
	timeouts := 0
	for name, x := range last {
		for _, e := range x.Exchanges {
			if e.Failure == "no answer within 2s" {
				timeouts++
			}
		}
		if !slices.Contains(names, name) && (x.Failures > 0 || x.MoveCount > 0) {
			t.Errorf("%s, which was not on the frozen pod: %d failures, moves %+v", name, x.Failures, x.Moves)
		}
	}
	if timeouts == 0 {
		t.Error("no request to the frozen pod timed out")
	}
}

// TestPartition loses all packets between the client and the ingress for a while.
func TestPartition(t *testing.T) {
	l := mainLab(t)
	deploy(t, l, app{Name: "cut", Replicas: 2, Affinity: true})
	s := watchSessions(t, l, "ing/cut", "-n", "e2e", "--path", "/", "--probe-timeout", "2s")
	before := s.settled(t, 6, 2, "STUCK")
	ctx := within(t, time.Minute)
	controller := "pod/ingress/" + podsOf(t, l, "ingress", "app.kubernetes.io/component=controller")[0]
	check(t, l.Drop(ctx, "client", controller, 100))
	failing := s.settled(t, 6, 0, "FAILING")
	time.Sleep(3 * time.Second)
	check(t, l.Heal(ctx, "client", controller))
	for _, name := range sorted(failing) {
		if !strings.Contains(failing[name].Detail, "no answer within 2s") {
			t.Errorf("%s is FAILING with %q, want a time-out said", name, failing[name].Detail)
		}
	}
	wantRecovered(t, s, before)
	s.finish(t, l)
}

// TestDelay makes all packets between the client and the ingress late: every request takes that longer to the program,
// and no longer to the controller.
func TestDelay(t *testing.T) {
	l := mainLab(t)
	const late = 150 * time.Millisecond
	ctx := within(t, time.Minute)
	node := kubectl(t, l, "-n", "ingress", "get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}")
	check(t, l.Delay(ctx, "client", node, late))
	defer func() { check(t, l.Heal(ctx, "", "")) }()
	list := sessions(t, l, "ing/echo", "-n", "msgapp", "--path", "/", "--sessions", "3", "--for", "6s")
	list.agrees(t, l)
	log := accessLog(t, l)
	quick := false
	for _, s := range list.Items {
		if s.State != "STUCK" || s.Failures > 0 {
			t.Errorf("%s is %s with %d failures (%s), want STUCK", s.Name, s.State, s.Failures, s.Detail)
		}
		for _, x := range s.Exchanges {
			// A connection's round trip, and the request's.
			if took := time.Duration(x.TookMilliseconds * float64(time.Millisecond)); took < 4*late {
				t.Errorf("%s request %s took %s, want at least %s", s.Name, x.RequestID, took, 4*late)
			}
			e := log[x.RequestID]
			quick = quick || e.end.Sub(e.Time) < late
		}
	}
	if !quick {
		t.Error("the controller itself was slow: nothing is shown by that")
	}
}

// wantRecovered waits until each session is on its pod again, as if nothing had happened but failures.
func wantRecovered(t *testing.T, s stream, before map[string]session) {
	t.Helper()
	after := s.settled(t, len(before), 0, "STUCK")
	for _, name := range slices.Sorted(maps.Keys(after)) {
		x := after[name]
		if x.pod() != before[name].pod() || x.MoveCount != 0 || x.Failures == 0 {
			t.Errorf("%s was on %s and is on %s, with %d failures and moves %+v", name, before[name].pod(), x.pod(), x.Failures, x.Moves)
		}
	}
}

// TestStoppedIngress takes the ingress controller away: FAILING with the reason, and the same pods when it is back.
func TestStoppedIngress(t *testing.T) {
	l := mainLab(t)
	deploy(t, l, app{Name: "stopped", Replicas: 2, Affinity: true})
	s := watchSessions(t, l, "ing/stopped", "-n", "e2e", "--path", "/", "--probe-timeout", "2s")
	before := s.settled(t, 6, 2, "STUCK")
	ctx := within(t, 90*time.Second)
	check(t, l.StopIngress(ctx))
	failing := s.settled(t, 6, 0, "FAILING")
	for _, name := range sorted(failing) {
		if d := failing[name].Detail; !strings.Contains(d, l.IngressIP()+":80") && !strings.Contains(d, "closed before an answer") {
			t.Errorf("%s is FAILING with %q, want the address and what it does", name, d)
		}
	}
	check(t, l.StartIngress(ctx))
	wantRecovered(t, s, before)
	s.finish(t, l)
}
