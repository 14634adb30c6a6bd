package e2e

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// outage is a deployment, its sessions, and a screen, all of which live through what happens to the API server.
type outage struct {
	l      *lab.Lab
	s      stream
	screen *terminal
}

// TestAPIServerOutages takes the API server away in three ways. Each time the same two programs go on probing, the
// screen says that what it shows is stale, and both see what happens in the cluster once the server is back.
func TestAPIServerOutages(t *testing.T) {
	t.Parallel()
	l := labOf(t, "outage")
	deploy(t, l, app{Name: "outage", Replicas: 2, Drain: 1, Affinity: true})
	o := outage{l: l, s: watchSessions(t, l, "ing/outage", "-n", "e2e", "--path", "/", "--probe-timeout", "5s")}
	o.screen = terminalOf(t, l, 80, 24)
	o.screen.typed(product(t) + " ing/outage -n e2e --path / --probe-timeout 5s")
	o.s.settled(t, 6, 2, "STUCK")
	o.screen.shows(t, 20*time.Second, "LIVE")
	t.Run("stopped for 20 s", o.stopped)
	t.Run("paused", o.paused)
	t.Run("restarted without history", o.compacted)
	o.s.finish(t, l)
}

// gone holds an outage for so long, and wants probing to go on and the screen to say how old its view is.
func (o outage) gone(t *testing.T, length time.Duration) {
	t.Helper()
	var before map[string]session
	eventually(t, time.Minute, "all sessions are held before the outage", func() bool {
		before = o.s.latest()
		return !slices.ContainsFunc(slices.Collect(maps.Values(before)), func(x session) bool {
			return x.State != "STUCK" && x.State != "RE-PINNED"
		})
	})
	began := time.Now()
	text := o.screen.shows(t, length, "STALE 0:")
	t.Logf("stale after %s: %s", time.Since(began).Round(100*time.Millisecond), strings.TrimSpace(strings.SplitN(text, "\n", 2)[0]))
	time.Sleep(time.Until(began.Add(length)))
	if text := o.screen.text(t); !strings.Contains(text, "STALE") {
		t.Errorf("after %s without an API server the screen says nothing of it:\n%s", length, text)
	}
	for name, x := range o.s.latest() {
		if asked := x.Requests - before[name].Requests; asked < int(length.Seconds())/3 || x.Failures != before[name].Failures || x.MoveCount != before[name].MoveCount {
			t.Errorf("%s: %d requests, %d failures and %d moves in %s without an API server", name, asked, x.Failures-before[name].Failures,
				x.MoveCount-before[name].MoveCount, length)
		}
	}
}

// back wants the screen live again, and a pod's deletion to be seen by both programs as soon as by a kubectl that
// starts only now: the cluster itself takes its time to come back.
func (o outage) back(t *testing.T) {
	t.Helper()
	began := time.Now()
	o.screen.shows(t, 25*time.Second, "LIVE")
	t.Logf("live again after %s", time.Since(began).Round(100*time.Millisecond))
	ends := watchEndpoints(t, o.l, "outage")
	victim := busiest(o.s.latest())
	names := held(o.s.latest(), victim)
	check(t, o.l.DeletePod(within(t, 5*time.Second), "e2e/"+victim))
	var left line[endpoints]
	// The controllers come back to their watches after half a minute, and on a busy machine retry what failed first.
	eventually(t, 2*time.Minute, "kubectl shows "+victim+" out of the endpoints", func() bool {
		all := ends.all()
		for _, left = range all {
			if !left.what.holds(victim) {
				return true
			}
		}
		return false
	})
	orphan := o.s.until(t, 5*time.Second, "ORPHAN of "+victim, func(x session) bool { return x.State == "ORPHAN" && x.pod() == victim })
	t.Logf("ORPHAN %dms after kubectl showed the endpoint gone, which took %s", orphan.at.Sub(left.at).Milliseconds(), left.at.Sub(began).Round(100*time.Millisecond))
	if orphan.at.Sub(left.at) > 3*time.Second {
		t.Error("the watch is not back as it was")
	}
	var now map[string]session
	defer func() {
		if t.Failed() {
			t.Logf("the pods: %s\nthe sessions: %s", kubectl(t, o.l, "-n", "e2e", "get", "pods,endpointslices", "-o", "wide"), describe(now))
		}
	}()
	// The controller has lost its watch too.
	eventually(t, time.Minute, "its sessions are on another pod, explained", func() bool {
		now = o.s.latest()
		return !slices.ContainsFunc(names, func(n string) bool {
			m := now[n].Moves
			return now[n].pod() == victim || now[n].State != "RE-PINNED" || m[len(m)-1].Cause == ""
		})
	})
	event := regexp.MustCompile(`(?m)^ *\d\d:\d\d:\d\d .*` + victim[len(victim)-5:])
	eventually(t, 20*time.Second, "an event of "+victim+" on the screen", func() bool { return event.MatchString(o.screen.text(t)) })
	check(t, o.l.WaitFor(within(t, 90*time.Second), "e2e/outage"))
}

func (o outage) stopped(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	cmd, out, errOut := start(t, o.l, "get", "sessions", "ing/outage", "-n", "e2e", "--path", "/", "-o", "json", "--for", "10s")
	time.Sleep(3 * time.Second)
	check(t, o.l.StopAPIServer(ctx))
	defer func() { _ = o.l.ResumeAPIServer(ctx) }()
	o.gone(t, 20*time.Second)
	wantStale(t, cmd.Wait(), out.String(), errOut.String())
	check(t, o.l.ResumeAPIServer(ctx))
	o.back(t)
}

// wantStale reads a list that was printed while there was no API server: all that the probes know, and that the rest
// is old.
func wantStale(t *testing.T, err error, out, errOut string) {
	t.Helper()
	if err != nil {
		t.Errorf("get during the outage: %v: %s", err, errOut)
	}
	list := parseList(t, out)
	if list.states()["STUCK"] != 6 {
		t.Errorf("states %v, want 6 STUCK", list.states())
	}
	for _, name := range []string{"pods", "endpointslices", "ingresses", "services"} {
		if s := list.source(name); s.State != "stale" || s.Detail == "" {
			t.Errorf("%s is %q (%q), want stale and why", name, s.State, s.Detail)
		}
	}
	if !strings.Contains(errOut, "warning: pods stale: ") {
		t.Errorf("standard error %q, want the staleness said", errOut)
	}
}

// paused is an API server that keeps its connections and says nothing.
func (o outage) paused(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	check(t, o.l.PauseAPIServer(ctx))
	defer func() { _ = o.l.ResumeAPIServer(ctx) }()
	o.gone(t, 18*time.Second)
	check(t, o.l.ResumeAPIServer(ctx))
	o.back(t)
}

// compacted answers the old watches 410 Gone.
func (o outage) compacted(t *testing.T) {
	check(t, o.l.CompactHistory(within(t, time.Minute)))
	o.back(t)
}
