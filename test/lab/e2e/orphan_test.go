package e2e

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// promptly is how soon a change must be shown after kubectl -w has shown it.
const promptly = 200 * time.Millisecond

// TestDeletedPod deletes pods under load and measures, against kubectl get -w, when their sessions show as ORPHAN,
// and against the access log, when as RE-PINNED. On a machine that is busy with other things a measurement can only
// come out too long, so one deletion of three must keep the bound for all of its sessions; and what two kubectls differ
// by, or how late this process itself wakes up, is not held against the program.
func TestDeletedPod(t *testing.T) {
	l := mainLab(t)
	deploy(t, l, app{Name: "orphan", Replicas: 3, Drain: 1, Affinity: true})
	kubectls := []*lines[endpoints]{watchEndpoints(t, l, "orphan"), watchEndpoints(t, l, "orphan")}
	late := wakeUps(t)
	s := watchSessions(t, l, "ing/orphan", "-n", "e2e", "--sessions", "9", "--path", "/", "--probe-timeout", "3s")
	s.settled(t, 9, 3, "STUCK")
	kept := false
	for attempt := 1; attempt <= 3 && !kept; attempt++ {
		kept = measureDeletion(t, l, s, kubectls, late)
		check(t, l.WaitFor(within(t, 30*time.Second), "e2e/orphan"))
	}
	if !kept {
		t.Errorf("no deletion of a pod was shown for all of its sessions within %s of kubectl", promptly)
	}
	s.finish(t, l)
}

// measureDeletion deletes the busiest pod and reports whether all of its sessions showed it promptly.
func measureDeletion(t *testing.T, l *lab.Lab, s stream, kubectls []*lines[endpoints], late func(since time.Time) time.Duration) bool {
	t.Helper()
	before := s.latest()
	victim := busiest(before)
	names := held(before, victim)
	deleted := time.Now()
	check(t, l.DeletePod(within(t, 5*time.Second), "e2e/"+victim))
	eventually(t, 20*time.Second, "all sessions of the deleted pod are on others", func() bool {
		now := s.latest()
		return !slices.ContainsFunc(names, func(n string) bool { return now[n].pod() == victim || now[n].State != "RE-PINNED" })
	})
	var shown []time.Time
	for _, ends := range kubectls {
		eventually(t, 10*time.Second, "kubectl shows "+victim+" out of the endpoints", func() bool {
			i := slices.IndexFunc(ends.all(), func(e line[endpoints]) bool { return e.at.After(deleted) && !e.what.holds(victim) })
			if i >= 0 {
				shown = append(shown, ends.all()[i].at)
			}
			return i >= 0
		})
	}
	left := slices.MinFunc(shown, time.Time.Compare)
	noise := max(slices.MaxFunc(shown, time.Time.Compare).Sub(left), late(deleted))
	bound := promptly + noise
	log := settledLog(t, l, s.latest())
	ok, orphans := true, 0
	for _, name := range names {
		d := deletionOf(s.all(), name, victim, deleted)
		pinned := d.pinned.at.Sub(firstAnswer(log, d.pinned.what, victim))
		first := d.pinned
		if d.orphan != nil {
			orphans++
			first = *d.orphan
		}
		lag := first.at.Sub(left)
		t.Logf("%s: %s %dms after kubectl showed the endpoint gone; RE-PINNED %dms after the access log's first answer of %s; measured to %dms",
			name, first.what.State, lag.Milliseconds(), pinned.Milliseconds(), d.pinned.what.pod(), noise.Milliseconds())
		ok = ok && lag <= bound && pinned <= bound
		if lag > 2*time.Second+noise || pinned > 2*time.Second+noise {
			t.Errorf("%s: no busy machine explains that", name)
		}
	}
	if orphans == 0 {
		t.Errorf("of %d sessions of %s none was shown as ORPHAN", len(names), victim)
	}
	return ok
}

// wakeUps sleeps a little, over and over, until the test ends; what it returns tells by how much the latest sleep since
// a time ended late.
func wakeUps(t *testing.T) func(since time.Time) time.Duration {
	const nap = 5 * time.Millisecond
	type wakeUp struct {
		at   time.Time
		late time.Duration
	}
	var mu sync.Mutex
	var all []wakeUp
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for last := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-time.After(nap):
			}
			now := time.Now()
			mu.Lock()
			all = append(all, wakeUp{now, now.Sub(last) - nap})
			mu.Unlock()
			last = now
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return func(since time.Time) (most time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		for _, w := range all {
			if w.at.After(since) {
				most = max(most, w.late)
			}
		}
		return most
	}
}

// deletion is what was shown of one session after its pod was deleted.
type deletion struct {
	orphan *line[session] // nil when it moved at once
	pinned line[session]
}

func deletionOf(all []line[session], name, victim string, since time.Time) (d deletion) {
	for _, x := range all {
		if x.what.Name != name || x.at.Before(since) {
			continue
		}
		switch {
		case x.what.State == "ORPHAN" && d.orphan == nil:
			d.orphan = &x
		case x.what.State == "RE-PINNED" && x.what.pod() != victim:
			d.pinned = x
			return d
		}
	}
	return d
}

// firstAnswer is when the controller had answered the request that moved the session off the victim.
func firstAnswer(log map[string]entry, s session, victim string) time.Time {
	i := len(s.Exchanges) - 1
	for i > 0 && s.Exchanges[i-1].Pod != victim && s.Exchanges[i-1].Failure == "" {
		i--
	}
	return log[s.Exchanges[i].RequestID].end
}
