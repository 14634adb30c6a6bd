// Package engine runs the sources, folds their events in one goroutine and
// publishes snapshots.
//
//	sources ─ emit ─▶ events ─▶ fold (the only writer) ─▶ newest snapshot
//	                              ▲        │
//	                   commands ──┘        └─▶ plan ─▶ prober
//
// emit blocks while the fold is busy, so a burst slows its source down and
// nothing is dropped. Snapshots are state, not changes: a reader that is slow
// skips some and is never behind. Run owns every goroutine it starts and
// returns after all of them.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Source feeds events until ctx ends. emit may block. An error ends the run:
// what can be lived with is an event.
type Source interface {
	Run(ctx context.Context, emit func(affinity.Event)) error
}

// Prober is a Source that holds the sessions of a plan.
type Prober interface {
	Source
	// Want replaces the plan; it queues and returns.
	Want(affinity.Plan)
	// Do passes a command on a session; it queues and returns.
	Do(affinity.Command)
}

// Options configure an Engine.
type Options struct {
	Target affinity.Target // what to probe
	Budget affinity.Budget
	Hints  affinity.Hints
	// Frames is how many snapshots are published in a second at most; 0 is 10.
	Frames int
	// Perform answers CommandPerform, CommandReconnect: what no session does.
	// It must not block. nil ignores them.
	Perform func(affinity.Command)
}

// Engine is one run.
type Engine struct {
	opts     Options
	prober   Prober // nil when nothing is probed
	sources  []Source
	events   chan affinity.Event
	commands chan affinity.Command
	newest   atomic.Pointer[affinity.Snapshot]
	changed  chan struct{}

	// The rest belongs to the fold.
	state    affinity.State
	planned  []affinity.SessionSpec
	selected affinity.Target
	routes   string // what the last plan was made of
}

// New returns an Engine over sources; prober may be nil.
func New(opts Options, prober Prober, sources ...Source) *Engine {
	if opts.Frames <= 0 {
		opts.Frames = 10
	}
	if opts.Budget.Extra == nil {
		opts.Budget.Extra = map[affinity.RouteID]int{}
	}
	if opts.Budget.Closed == nil {
		opts.Budget.Closed = map[affinity.SessionID]bool{}
	}
	e := &Engine{opts: opts, prober: prober, sources: sources, selected: opts.Target,
		events: make(chan affinity.Event, 256), commands: make(chan affinity.Command, 64), changed: make(chan struct{}, 1)}
	e.state.Hints = opts.Hints
	e.newest.Store(e.state.Snapshot(time.Now()))
	return e
}

// Snapshot returns the newest snapshot, never nil. It does not block.
func (e *Engine) Snapshot() *affinity.Snapshot { return e.newest.Load() }

// Changed receives after a new snapshot was published. One reader; a slow one
// misses signals, not state.
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// Do queues a command and returns; with the queue full it is dropped, as the
// user can press the key again.
func (e *Engine) Do(c affinity.Command) {
	select {
	case e.commands <- c:
	default:
	}
}

// Run starts the sources and folds until ctx ends or a source fails for good.
// It returns the sources' errors, nil for a run that was asked to end.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := e.sources
	if e.prober != nil {
		all = append(all[:len(all):len(all)], e.prober)
	}
	emit := func(ev affinity.Event) {
		select {
		case e.events <- ev:
		case <-ctx.Done():
		}
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(all))
	for _, s := range all {
		wg.Go(func() {
			if err := run(ctx, s, emit); err != nil && ctx.Err() == nil {
				failed <- err
				cancel()
			}
		})
	}
	e.fold(ctx)
	wg.Wait()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// run turns a source's panic into an error: the terminal must be restored by
// whoever holds it, which a crash of this goroutine would prevent.
func run(ctx context.Context, s Source, emit func(affinity.Event)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%T panicked: %v", s, r)
		}
	}()
	return s.Run(ctx, emit)
}

// fold is the single writer. After quiet the first change is published at
// once, later ones at most Frames times a second.
func (e *Engine) fold(ctx context.Context) {
	frame := time.Second / time.Duration(e.opts.Frames)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	var last time.Time
	waiting := false
	for {
		select {
		case <-ctx.Done():
			e.publish(time.Now())
			return
		case ev := <-e.events:
			e.state.Apply(ev, time.Now())
			e.drain()
		case c := <-e.commands:
			e.command(c)
		case <-timer.C:
			waiting = false
		}
		if now := time.Now(); now.Sub(last) >= frame {
			e.publish(now)
			last = now
		} else if !waiting {
			timer.Reset(frame - now.Sub(last))
			waiting = true
		}
	}
}

// drain folds what is queued already, so that a burst costs one look at the
// clock and one plan.
func (e *Engine) drain() {
	for range cap(e.events) {
		select {
		case ev := <-e.events:
			e.state.Apply(ev, time.Now())
		default:
			return
		}
	}
}

func (e *Engine) publish(now time.Time) {
	snap := e.state.Snapshot(now)
	if old := e.newest.Load(); old.Seq == snap.Seq {
		return
	}
	e.newest.Store(snap)
	e.replan(snap)
	select {
	case e.changed <- struct{}{}:
	default:
	}
}
