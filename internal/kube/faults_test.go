package kube

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestForbiddenIsAState(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.fail("pods *", forbid("pods"))
	s.fail("ingressclasses *", forbid("ingressclasses"))
	r := watchServer(t, s, chatOptions())
	got := r.state(resPods, affinity.SourceForbidden)
	if class := r.state(resClasses, affinity.SourceForbidden); !class.Cluster || got.Cluster {
		t.Errorf("%+v and %+v: IngressClasses alone are in no namespace", class, got)
	}
	if got.Detail != "pods by name alone; no state, drain or age" || got.Retry.IsZero() {
		t.Errorf("status = %+v, want what is lost and the next attempt", got)
	}
	routes, _ := await(r, 0, "routes in spite of it", func(e affinity.Routes) bool { return len(e.Routes) == 1 })
	if !strings.Contains(strings.Join(routes.Routes[0].Notes, " "), "IngressClasses can't be read") {
		t.Errorf("notes = %q, want the missing class explained", routes.Routes[0].Notes)
	}
	await(r, 0, "endpoints in spite of it", func(e affinity.EndpointsChanged) bool { return len(e.Endpoints) == 3 })
	s.fail("pods *", nil) // the Role is granted
	from := r.mark()
	r.source.Reconnect()
	r.state(resPods, affinity.SourceLive)
	await(r, from, "pods", func(e affinity.PodChanged) bool { return e.Pod.Ref.Name == "web-7c9f-ccccc" })
}

func TestListWithoutWatchIsPolled(t *testing.T) {
	s := newAPIServer(t)
	pods := chat(s)
	s.fail("endpointslices watch", forbid("endpointslices"))
	r := watchServer(t, s, chatOptions())
	got := r.stateWith(resSlices, affinity.SourceLive, "polled every 10s; re-pin cause is ±10s")
	if left := time.Until(got.Retry); left <= 0 || left > pollEvery {
		t.Errorf("the next poll is in %v, want within %v", left, pollEvery)
	}
	from := r.mark()
	s.put(testSlice("chat", "web", "-1", pods[0], pods[1]))
	r.source.Reconnect() // not to wait for the next poll
	await(r, from, "two endpoints", func(e affinity.EndpointsChanged) bool { return len(e.Endpoints) == 2 })
	for _, e := range r.since(from) {
		if x, ok := e.(affinity.SourceChanged); ok && x.Status.Name == resSlices && (x.Status.State != affinity.SourceLive || x.Status.Detail == "") {
			t.Errorf("status during a poll = %+v, want it unchanged", x.Status)
		}
	}
}

func TestExpiredToken(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	s.fail("* *", refuse(401, metav1.StatusReasonUnauthorized, "Unauthorized"))
	s.server.CloseClientConnections()
	got := r.stateWith(resPods, affinity.SourceStale, "401")
	if got.Unreached {
		t.Errorf("%+v: the API server did answer", got)
	}
	if !strings.Contains(got.Detail, "credentials") {
		t.Errorf("detail = %q, want the credentials named", got.Detail)
	}
	s.fail("* *", nil)
	r.state(resPods, affinity.SourceLive)
}

func TestGoneIsListedAgain(t *testing.T) {
	s := newAPIServer(t, withProtobuf)
	pods := chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	from := r.mark()
	lists := s.seen("list pods")
	s.del(pods[0])
	await(r, from, "one gone", anyOf[affinity.PodGone])
	s.mu.Lock() // this change is made behind the watch's back
	delete(s.objects[resPods], keyOf(pods[1]))
	s.mu.Unlock()
	s.compact()
	s.server.CloseClientConnections()
	await(r, from, "the other gone after the relist", func(e affinity.PodGone) bool { return e.Ref.Name == pods[1].Name })
	r.state(resPods, affinity.SourceLive)
	if s.seen("list pods") == lists {
		t.Error("410 Gone was not followed by a list")
	}
	if n := count(r.since(from), func(e affinity.PodChanged) bool { return e.Pod.Ref.Name == pods[2].Name }); n != 0 {
		t.Errorf("the pod that did not change was told %d times", n)
	}
}

func TestBrokenConnectionResumes(t *testing.T) {
	s := newAPIServer(t)
	pods := chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	await(r, 0, "routes", anyOf[affinity.Routes])
	// The next watch may be cut too, before it is answered: client-go lists then.
	for _, pod := range pods {
		s.bookmark(resPods, pod)
		for s.last("watch pods") == "" {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(1100 * time.Millisecond) // client-go takes a watch of under a second for a failed one
		lists, from := s.seen("list pods"), r.mark()
		s.server.CloseClientConnections()
		s.del(pod)
		await(r, from, "what happened meanwhile", anyOf[affinity.PodGone])
		if s.seen("list pods") == lists {
			if got := s.last("watch pods"); strings.Contains(got, "rv=107 ") || !strings.Contains(got, "bookmarks=true") {
				t.Errorf("the watch resumed as %q, want the bookmark's resourceVersion", got)
			}
			return
		}
	}
	t.Errorf("%d broken connections were each followed by a list, want a watch resumed", len(pods))
}

func TestLostServerIsStaleAndReturns(t *testing.T) {
	s := newAPIServer(t, withProtobuf, withTLS)
	pods := chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	await(r, 0, "routes", anyOf[affinity.Routes])
	from, began := r.mark(), time.Now()
	s.stop()
	got := r.state(resPods, affinity.SourceStale)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stale after %v", took)
	}
	if got.Detail == "" || got.Retry.IsZero() || got.Objects != 3 || got.Since.Before(began.Add(-time.Second)) {
		t.Errorf("status = %+v, want why, since when, and the next attempt", got)
	}
	since := got.Since
	time.Sleep(1200 * time.Millisecond)
	if got := r.state(resPods, affinity.SourceStale); !got.Since.Equal(since) {
		t.Errorf("since moved from %v to %v during one outage", since, got.Since)
	}
	s.del(pods[0])
	s.restart()
	r.source.Reconnect()
	await(r, from, "what happened meanwhile", func(e affinity.PodGone) bool { return e.Ref.Name == pods[0].Name })
	r.live()
	// The State reads a change that comes while the source is stale as one of
	// the outage.
	events := r.since(from)
	gone := slices.IndexFunc(events, func(e affinity.Event) bool { _, ok := e.(affinity.PodGone); return ok })
	live := slices.IndexFunc(events, func(e affinity.Event) bool {
		x, ok := e.(affinity.SourceChanged)
		return ok && x.Status.Name == resPods && x.Status.State == affinity.SourceLive
	})
	if s.seen("list pods") > 1 && gone > live {
		t.Errorf("the relist's changes came after the source was live (%d, %d)", gone, live)
	}
}

func TestServerThatIsNotThereYet(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.stop()
	r := watchServer(t, s, chatOptions())
	if got := r.stateWith(resPods, affinity.SourceStale, "refused"); !got.Unread || !got.Unreached {
		t.Errorf("%+v, want nothing known of the pods, and nobody reached", got)
	}
	if n := count(r.since(0), anyOf[affinity.Routes]); n != 0 {
		t.Errorf("routes were told %d times before anything was known", n)
	}
	s.restart()
	r.live()
	await(r, 0, "routes", func(e affinity.Routes) bool { return len(e.Routes) == 1 })
	s.stop()
	if got := r.stateWith(resPods, affinity.SourceStale, ""); got.Unread {
		t.Errorf("%+v: the pods were listed before", got)
	}
}

// A server that hangs with its connections open is found when something else
// gives a reason to look: here one watch that ends.
func TestHangingServer(t *testing.T) {
	s := newAPIServer(t, withProtobuf, withTLS)
	pods := chat(s)
	r := watchServer(t, s, chatOptions())
	r.live()
	r.watching()
	from := r.mark()
	s.freeze()
	r.source.clients.dialer.CloseAll()
	r.stateWith(resPods, affinity.SourceStale, "no answer")
	r.stateWith(resServices, affinity.SourceStale, "no answer")
	s.del(pods[0])
	s.thaw()
	await(r, from, "what happened meanwhile", anyOf[affinity.PodGone])
	r.live()
	if got := r.state(resIngressRoutes, affinity.SourceAbsent); got.State != affinity.SourceAbsent {
		t.Errorf("what is absent became %v", got.State)
	}
}

// The times of the pulse, without waiting for them.
func TestPulseTellsSilenceFromQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silentNow atomic.Bool
		var asked, dropped atomic.Int32
		p := newPulse(func(ctx context.Context, timeout time.Duration) error {
			asked.Add(1)
			if silentNow.Load() {
				time.Sleep(timeout)
				return context.DeadlineExceeded
			}
			return nil
		}, func() { dropped.Add(1) })
		w := newWatcher(resource{kind: kind{name: resPods}}, p, time.Second)
		var states []string
		w.reported.send = func(s status) { states = append(states, s.state.String()) }
		w.reported.live()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); p.run(ctx, []*watcher{w}) }()

		began := time.Now()
		for range 9 { // a watch that talks needs no question
			time.Sleep(time.Second)
			p.heard()
		}
		if n := asked.Load(); n != 0 {
			t.Errorf("asked %d times while events came", n)
		}
		time.Sleep(quietAfter + time.Second)
		if n := asked.Load(); n != 1 || w.reported.muted() {
			t.Errorf("asked %d times after %v of quiet, muted %v; want once, not muted", n, quietAfter, w.reported.muted())
		}
		silent := time.Now()
		silentNow.Store(true)
		for !w.reported.muted() {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(silent); took > quietAfter+askTimeout {
			t.Errorf("silence was noticed after %v", took)
		}
		time.Sleep(dropAfter + askAgain + askTimeout)
		if n := dropped.Load(); n != 1 {
			t.Errorf("connections were dropped %d times after %v", n, time.Since(silent))
		}
		silentNow.Store(false)
		time.Sleep(askTimeout + askAgain + settledAfter + time.Second)
		cancel()
		<-done
		if got := strings.Join(slices.Compact(states), " "); got != "live stale live" {
			t.Errorf("states = %q after %v", got, time.Since(began))
		}
	})
}

// A proxy that ends every watch at once leaves only lists: that is polling, and
// said so.
func TestWatchesThatEndAtOnce(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.fail("pods watch", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", contentJSON) })
	r := watchServer(t, s, chatOptions())
	got := r.stateWith(resPods, affinity.SourceLive, "watches end at once")
	if got.Retry.IsZero() {
		t.Errorf("status = %+v, want the next list's time", got)
	}
}

func TestBackoffGrowsToItsLimit(t *testing.T) {
	var b backoff
	last := time.Duration(0)
	for i := range 20 {
		d := b.next(retryLost)
		if d > retryLost || i > 6 && d < retryLost*4/5 || i < 4 && d < last {
			t.Errorf("wait %d is %v after %v", i, d, last)
		}
		last = d
	}
}

func TestPlainErrors(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{nil, ""},
		{context.DeadlineExceeded, "no answer in time"},
		{errors.New("a\nb\t\x1b[1mc"), "a b ·[1mc"},
		{errors.New(strings.Repeat("x", 1000)), strings.Repeat("x", maxError-1) + "…"},
	}
	for _, tt := range tests {
		if got := plain(tt.err); got != tt.want {
			t.Errorf("plain(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
}
