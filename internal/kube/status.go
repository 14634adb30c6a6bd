package kube

import (
	"fmt"
	"sync"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// status is one watcher's state; the world adds the number of objects.
type status struct {
	state  affinity.SourceState
	since  time.Time
	detail string
	retry  time.Time
	listed int // objects seen by the first list, while it is under way

	unreached bool // as in affinity.SourceStatus
}

// believed reports whether s depends on the API server still talking.
func (s status) believed() bool {
	return s.state == affinity.SourceLive || s.state == affinity.SourceSyncing
}

// reporter keeps one watcher's state and sends it when it differs from what was
// sent last. The watcher sets it; the pulse lays silence over it.
type reporter struct {
	send func(status)

	mu     sync.Mutex
	base   status
	silent *status // the API server keeps its connections and says nothing
	sent   status
}

// syncing starts the first list.
func (r *reporter) syncing(listed int, detail string) {
	r.set(status{state: affinity.SourceSyncing, listed: listed, detail: detail})
}

// progress tells how far the first list is. Later lists replace what is
// already shown, and say nothing.
func (r *reporter) progress(listed, remaining int) {
	if r.state() == affinity.SourceSyncing {
		r.syncing(listed, fmt.Sprintf("%d of %d listed", listed, listed+remaining))
	}
}

// listed marks a list as complete. What is polled stays so.
func (r *reporter) listed() {
	if r.state() != affinity.SourceLive {
		r.set(status{state: affinity.SourceLive})
	}
}

// live marks the watch as open.
func (r *reporter) live() { r.set(status{state: affinity.SourceLive}) }

// polling marks what is listed again and again, for want of a watch.
func (r *reporter) polling(why, loss string, wait time.Duration) {
	r.set(status{state: affinity.SourceLive, detail: why + "; " + loss, retry: time.Now().Add(wait)})
}

func (r *reporter) forbidden(loss string, wait time.Duration) {
	r.set(status{state: affinity.SourceForbidden, detail: loss, retry: time.Now().Add(wait)})
}

func (r *reporter) absent(what string, wait time.Duration) {
	r.set(status{state: affinity.SourceAbsent, detail: what, retry: time.Now().Add(wait)})
}

// lost marks the API server as out of reach, or as refusing the credentials.
func (r *reporter) lost(detail string, unreached bool, wait time.Duration) {
	r.set(status{state: affinity.SourceStale, detail: detail, unreached: unreached, retry: time.Now().Add(wait)})
}

// mute marks what is live or syncing as not to be believed since then.
func (r *reporter) mute(since time.Time, detail string, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = &status{state: affinity.SourceStale, since: since, detail: detail, unreached: true, retry: time.Now().Add(wait)}
	r.flush()
}

// unmute ends mute.
func (r *reporter) unmute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent == nil {
		return
	}
	r.silent = nil
	if r.base.believed() {
		r.base.since = time.Now()
	}
	r.flush()
}

// muted reports whether silence lies over the state.
func (r *reporter) muted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.silent != nil
}

func (r *reporter) state() affinity.SourceState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.base.state
}

func (r *reporter) set(s status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.since = r.base.since
	if r.base.state != s.state || s.since.IsZero() {
		s.since = time.Now()
	}
	r.base = s
	r.flush()
}

// flush sends under the lock: the order of states is the order in which they
// were set. The receiver never takes the lock.
func (r *reporter) flush() {
	now := r.base
	if r.silent != nil && now.believed() {
		now = *r.silent
	}
	if now.state == affinity.SourceStale && r.sent.state == affinity.SourceStale {
		now.since = r.sent.since // one outage, however its reason reads
	}
	if now != r.sent && r.send != nil {
		r.sent = now
		r.send(now)
	}
}
