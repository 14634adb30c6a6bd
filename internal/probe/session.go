package probe

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// session is one synthetic client: a goroutine that asks, waits, and asks
// again. All but order is its goroutine's own.
type session struct {
	client  *Client
	conn    Session
	pace    *pace
	limiter *rate.Limiter
	emit    func(affinity.Event)

	orders orders
	wake   chan struct{} // one slot; orders have changed

	target Target
	route  *affinity.Route
	ladder *ladder
	next   time.Time // of the next request
	last   time.Time // when the last one ended
	fails  int       // in a row
}

// orders are what the Runner wants of a session, under its mutex.
type orders struct {
	mu       sync.Mutex
	route    *affinity.Route
	ladder   *ladder
	rerouted bool // route and ladder may have changed
	faceless bool // its last answer was an error page that no pod is known to be behind
	drop     bool
	ask      bool
	reason   string // of the end
}

// minGap is the least time between an answer and a request that the user asks
// for, whatever key is held down.
const minGap = 250 * time.Millisecond

// order changes what is wanted of s. It never blocks.
func (s *session) order(change func(*orders)) {
	s.orders.mu.Lock()
	change(&s.orders)
	s.orders.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the session's goroutine, from SessionOpened to SessionClosed.
func (s *session) run(ctx context.Context) {
	s.obey()
	s.emit(affinity.SessionOpened{Spec: s.client.spec})
	defer s.conn.Close()
	if t := s.client.jar.tabs; t != nil {
		for _, o := range t.join(s.client.spec.ID) {
			s.emit(affinity.CookieShared{Session: s.client.spec.ID, From: s.client.spec.Jar, Offer: o})
		}
		defer t.leave(s.client.spec.ID)
		if s.client.spec.ID == s.client.spec.Jar {
			defer t.begin()
		} else {
			t.follow(ctx)
		}
	}
	for s.wait(ctx) {
		if s.target.Missing == "" && s.limiter.Wait(ctx) != nil {
			break
		}
		s.expire(time.Now())
		s.ask(ctx)
		s.client.jar.tabs.begin()
	}
	s.ladder.forget(s.client.spec.ID)
	s.orders.mu.Lock()
	reason := s.orders.reason
	s.orders.mu.Unlock()
	s.emit(affinity.SessionClosed{ID: s.client.spec.ID, Reason: reason})
}

// wait sleeps until the next request is due, following orders and throwing
// away cookies whose time is up. It returns false when ctx is done.
func (s *session) wait(ctx context.Context) bool {
	for {
		s.obey()
		now := time.Now()
		s.expire(now)
		if !s.next.After(now) {
			return ctx.Err() == nil
		}
		until := s.next
		if end, ok := s.client.jar.NextExpiry(); ok && end.Before(until) {
			until = end
		}
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// obey takes the orders that came in, and reports whether to ask at once.
func (s *session) obey() bool {
	s.orders.mu.Lock()
	route, to, rerouted := s.orders.route, s.orders.ladder, s.orders.rerouted
	drop, ask := s.orders.drop, s.orders.ask
	s.orders.rerouted, s.orders.drop, s.orders.ask = false, false, false
	s.orders.mu.Unlock()

	if rerouted {
		s.reroute(route, to)
	}
	if drop {
		names, of := s.client.jar.Clear(s.client.spec.ID)
		s.dropped(names, of, "dropped by you", false)
	}
	if ask {
		s.next = earlier(s.next, s.last.Add(minGap))
	}
	return ask
}

// reroute follows the route to where it is now. A session that was backing off
// does not go on to.
func (s *session) reroute(route *affinity.Route, to *ladder) {
	s.route, s.ladder = route, to
	before := s.target
	s.target = s.client.set.target(*route)
	if before.URL == nil || before.equal(s.target) {
		return
	}
	s.fails = 0
	s.next = earlier(s.next, time.Now().Add(spread(s.pace.base/2)))
}

// expire throws away what a browser's clock would.
func (s *session) expire(now time.Time) {
	names, of := s.client.jar.Expire(now, s.client.spec.ID)
	s.dropped(names, of, "its time was up", true)
}

// dropped tells of cookies that are gone, for every session that had them.
func (s *session) dropped(names []string, of []affinity.SessionID, reason string, expired bool) {
	for _, name := range names {
		for _, id := range of {
			s.emit(affinity.CookieDropped{Session: id, Name: cleanName(name), Reason: reason, Expired: expired})
		}
	}
}

// ask makes one round trip, reports it, and sets the time of the next. One that
// was aborted because ctx ended is nobody's news.
func (s *session) ask(ctx context.Context) {
	if s.round(ctx) {
		s.hold(ctx, s.conn.(Holder))
	}
}

// slowAfter is how long a request may go without an answer before that is told.
const slowAfter = 1500 * time.Millisecond

// tellSlow tells of a request that has got no answer for slowAfter, and what for
// it waits, until stop, which waits for what is being told.
func (s *session) tellSlow(began time.Time) (stop func()) {
	told, over := make(chan struct{}), make(chan struct{})
	s.client.seeing.Store(nil)
	timer := time.AfterFunc(slowAfter, func() {
		defer close(told)
		look := time.NewTicker(time.Second)
		defer look.Stop()
		var last affinity.Awaiting
		for {
			now := affinity.Awaiting{Session: s.client.spec.ID, Since: began}
			if seen := s.client.seeing.Load(); seen != nil {
				now.Step = seen.waiting()
			}
			if now != last {
				s.emit(now)
				last = now
			}
			select {
			case <-over:
				return
			case <-look.C:
			}
		}
	})
	return func() {
		close(over)
		if !timer.Stop() {
			<-told
		}
	}
}

// round is ask up to where a connection is to be held, which it reports: what
// it needed is not kept while that goes on.
func (s *session) round(ctx context.Context) (hold bool) {
	began := time.Now()
	stop := s.tellSlow(began)
	trip := s.observe(ctx)
	stop()
	if ctx.Err() != nil {
		return false
	}
	if s.target.Missing == "" {
		trip.Observed.Host = cleanHost(s.target.URL.Host)
	}
	s.last = time.Now()
	for _, before := range trip.Before {
		s.emit(before)
	}
	s.emit(trip.Observed)
	_, holds := s.conn.(Holder)
	steps := append(trip.Steps, affinityStep(*s.route, trip.Observed))
	s.ladder.report(s.client.spec.ID, s.target, steps, func(steps []affinity.PathStep) {
		s.emit(affinity.PathChecked{Route: s.client.spec.Route, Steps: steps})
	})
	failure := trip.Observed.Failure
	if failure == nil && holds {
		return true
	}
	if failure == nil && !s.refuses(trip.Observed.Status) {
		s.fails = 0
		s.next = s.pace.next(began, s.last)
		return false
	}
	s.fails++
	most := maxBackoff
	if failure == nil || failure.Kind == affinity.FailureStatus {
		most = maxErrorPause
	}
	pause := s.pace.backoff(s.fails, most)
	if holds {
		pause = max(pause, reconnect(s.fails))
	}
	if failure != nil && failure.Kind == affinity.FailureRedirect {
		pause = tillAsked
	}
	s.next = s.last.Add(max(pause, trip.RetryAfter))
	return false
}

// tillAsked is the pause of a session that was sent off the host: it asks again when
// the user says so, or when the route leads elsewhere.
const tillAsked = 10_000 * time.Hour

// refuses reports whether an answer with status is one to ask less often after:
// a server in trouble, or an error page that nothing shows a pod behind. What
// the application says of the path (401, 404…) is its answer, as good as any.
// Whether a pod is behind is what the fold made of the answer before.
func (s *session) refuses(status int) bool {
	s.orders.mu.Lock()
	faceless := s.orders.faceless
	s.orders.mu.Unlock()
	return status >= 500 || affinity.BadStatus(status) && faceless
}

// observe makes the round trip, unless there is nowhere to make it to. It does
// so on a goroutine of its own, whose stack, grown by the handshakes, ends with
// it: that of a session which holds a connection stays small.
func (s *session) observe(ctx context.Context) Trip {
	if s.target.Missing == "" {
		done := make(chan Trip)
		go func() { done <- s.conn.Observe(ctx, s.target) }()
		return <-done
	}
	trip := Trip{Observed: affinity.Observed{
		Session: s.client.spec.ID,
		Failure: &affinity.Failure{Op: "dial", Kind: affinity.FailureNoAddress, Text: affinity.Clean(s.target.Missing, maxText)},
	}}
	trip.Steps = newSighting(s.target, false).steps(trip.Observed)
	return trip
}

// hold stays on the connection that ask opened until it ends.
func (s *session) hold(ctx context.Context, h Holder) {
	at := s.target
	held := h.Hold(ctx, Line{
		Emit:  s.emit,
		Allow: s.limiter.Wait,
		Wake:  s.wake,
		Attend: func() (ask, leave bool) {
			ask = s.obey()
			s.expire(time.Now())
			return ask, !at.equal(s.target)
		},
		Expiry: s.client.jar.NextExpiry,
	})
	s.last = time.Now()
	if held.Joined {
		s.fails = 0
	}
	if !held.Lost {
		s.next = s.last.Add(spread(minGap))
		return
	}
	s.fails++
	pause := max(reconnect(s.fails), s.pace.backoff(s.fails, maxBackoff))
	if held.Slow {
		pause = spread(maxBackoff)
	}
	s.next = s.last.Add(pause)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
