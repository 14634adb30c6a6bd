package kube

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// How silence is told from quiet. A watch of a quiet cluster carries a bookmark
// about once a minute, so silence alone means nothing: after quietAfter without
// a word from the API server it is asked for its version, once.
const (
	quietAfter   = 10 * time.Second
	askTimeout   = 4 * time.Second
	pokeTimeout  = 1500 * time.Millisecond // when a watch has just ended, there is a reason to hurry
	askAgain     = 2 * time.Second         // while it does not answer
	dropAfter    = 15 * time.Second        // of silence: the connections are given up
	settledAfter = time.Second             // between the first answer and believing the watches
)

// pulse notices an API server that is gone while its connections look alive: a
// process that was stopped, a VPN that drops packets. client-go's HTTP/2 health
// check would find it after 45 s (30 s ReadIdleTimeout + 15 s PingTimeout,
// apimachinery: pkg/util/net/http.go), and only when HTTP/2 is spoken.
type pulse struct {
	ask   func(ctx context.Context, timeout time.Duration) error // nil for any answer
	drop  func()                                                 // gives the connections up
	pokes chan struct{}
	last  atomic.Int64 // unix nanoseconds of the last word
}

func newPulse(ask func(context.Context, time.Duration) error, drop func()) *pulse {
	return &pulse{ask: ask, drop: drop, pokes: make(chan struct{}, 1)}
}

// heard notes that the API server said something.
func (p *pulse) heard() { p.last.Store(time.Now().UnixNano()) }

func (p *pulse) lastHeard() time.Time { return time.Unix(0, p.last.Load()) }

// poke asks for a check now.
func (p *pulse) poke() {
	select {
	case p.pokes <- struct{}{}:
	default:
	}
}

func (p *pulse) run(ctx context.Context, watchers []*watcher) {
	p.heard()
	for {
		timeout, ok := p.quiet(ctx)
		if !ok {
			return
		}
		err := p.ask(ctx, timeout)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			// The question may have been on a connection that had just ended,
			// as idle ones do; the next is on a new one.
			err = p.ask(ctx, timeout)
		}
		if err == nil {
			p.heard()
			continue
		}
		if ctx.Err() != nil || !p.silence(ctx, watchers, err) {
			return
		}
	}
}

// quiet waits until there is a reason to ask, and says how long to wait for
// the answer. It reports false when ctx ended.
func (p *pulse) quiet(ctx context.Context) (timeout time.Duration, ok bool) {
	t := time.NewTimer(quietAfter)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return 0, false
		case <-p.pokes:
			return pokeTimeout, true
		case <-t.C:
		}
		left := quietAfter - time.Since(p.lastHeard())
		if left <= 0 {
			return askTimeout, true
		}
		t.Reset(left)
	}
}

// silence marks everything as stale and asks until there is an answer. It
// reports false when ctx ended.
func (p *pulse) silence(ctx context.Context, watchers []*watcher, err error) bool {
	since := time.Now()
	if errors.Is(err, context.DeadlineExceeded) {
		since = p.lastHeard() // nothing said so; it may have been gone ever since
	}
	dropped := since
	for err != nil {
		for _, w := range watchers {
			w.reported.mute(since, "no answer from the API server: "+plain(err), askAgain)
		}
		if time.Since(dropped) > dropAfter {
			dropped = time.Now()
			p.drop()
		}
		if !p.pause(ctx, askAgain) {
			return false
		}
		err = p.ask(ctx, askTimeout)
	}
	p.heard()
	// What the watches had to say meanwhile is on its way; until it is here
	// they are still stale, so that it is told as something that happened then.
	for until := time.Now().Add(settledAfter); time.Now().Before(until); {
		if !p.pause(ctx, time.Until(until)) {
			return false
		}
	}
	for _, w := range watchers {
		w.reported.unmute()
		w.retryNow()
	}
	return true
}

// pause waits for d or a poke. It reports false when ctx ended.
func (p *pulse) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-p.pokes:
	}
	return true
}
