package kube

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// SourceRules is the Source of the findings about a cluster's objects.
const SourceRules = "rules"

// How often objects are read for the rules: soon after something that is
// watched has changed, ever more seldom while changes go on, and now and then for
// what is not watched (Deployments, PodDisruptionBudgets…).
const (
	judgeSettle = 2 * time.Second
	judgeSoon   = 3 * time.Second
	judgeApart  = 20 * time.Second
	judgeLook   = time.Second // how often cookies are asked what they proved
	judgeEvery  = 5 * time.Minute
	judgeRetry  = 30 * time.Second
)

// Judge reads a cluster's objects and emits what the rules say of them. Watching
// all their kinds would cost more than the opinion is worth; so it lists them,
// when what is watched has changed. Make one with NewJudge.
type Judge struct {
	cfg     *rest.Config
	opts    Options
	changed chan struct{} // one slot
	learn   func(findings.Facts)
	seen    func() *affinity.Snapshot

	judgedBy proofs                 // that the last verdict rests on
	emitted  atomic.Pointer[proofs] // judgedBy once its verdict is out; nil before the first
}

// proofs are what sessions and nodes' tables tell beside the objects.
type proofs struct {
	settled map[affinity.RouteID]findings.Settlement // by cookies: who serves a route
	plane   affinity.Dataplane
}

func (p proofs) equal(x proofs) bool { return p.plane == x.plane && maps.Equal(p.settled, x.settled) }

// NewJudge prepares a Judge. It does not talk to the API server. seen returns the
// newest snapshot, in which sessions and nodes may have told more than objects
// do; nil where none ever does.
func NewJudge(cfg *rest.Config, opts Options, seen func() *affinity.Snapshot) *Judge {
	return &Judge{cfg: cfg, opts: opts, seen: seen, changed: make(chan struct{}, 1)}
}

// Judged reports whether a verdict is out that rests on all that is known by now.
func (j *Judge) Judged() bool {
	p := j.emitted.Load()
	return p != nil && p.equal(j.proved())
}

// proved is what is known by now.
func (j *Judge) proved() proofs {
	if j.seen == nil {
		return proofs{}
	}
	snap := j.seen()
	if snap == nil {
		return proofs{}
	}
	return proofs{findings.SettledBy(snap.Routes), snap.Dataplane}
}

// Saw tells the Judge what a watch emitted. It does not block.
func (j *Judge) Saw(e affinity.Event) {
	switch e.(type) {
	case affinity.Routes, affinity.ServiceGone, affinity.ServiceChanged, affinity.ClusterEvent:
	default:
		return
	}
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// Run judges until ctx ends. While objects cannot be read the last verdict
// stands; before the first, that nothing was judged is what is found.
func (j *Judge) Run(ctx context.Context, emit func(affinity.Event)) error {
	judged, apart := false, judgeSoon
	if j.learn != nil { // the screen shows routes long before all objects are read
		if facts, err := running(ctx, j.cfg, j.opts); err == nil && ctx.Err() == nil {
			j.learn(facts)
		}
	}
	for ctx.Err() == nil {
		wait, ok := j.judge(ctx, emit, judged)
		judged = judged || ok
		since := time.Now()
		j.wait(ctx, wait, apart, ok)
		if apart = min(2*apart, judgeApart); time.Since(since) > 2*judgeApart {
			apart = judgeSoon // it was quiet for a while
		}
	}
	return nil
}

// judge judges once, and returns when to do it again.
func (j *Judge) judge(ctx context.Context, emit func(affinity.Event), judged bool) (wait time.Duration, ok bool) {
	facts, err := Survey(ctx, j.cfg, j.opts)
	switch {
	case ctx.Err() != nil:
		return judgeRetry, false
	case err == nil:
		if j.learn != nil {
			j.learn(facts)
		}
		j.judgedBy = j.proved()
		facts.Settled, facts.Dataplane = j.judgedBy.settled, j.judgedBy.plane
		emit(affinity.Findings{Source: SourceRules, Findings: findings.Check(facts, findings.Options{}).Told()})
		by := j.judgedBy
		j.emitted.Store(&by)
		return judgeEvery, true
	case !judged:
		emit(affinity.Findings{Source: SourceRules, Findings: []affinity.Finding{{Rule: affinity.NoRule, Title: "objects not judged", NotChecked: errText(err)}}})
	}
	return judgeRetry, false
}

// wait returns when it is time to judge again, or ctx has ended.
func (j *Judge) wait(ctx context.Context, most, least time.Duration, early bool) {
	apart := time.NewTimer(least)
	defer apart.Stop()
	look := time.NewTicker(judgeLook)
	defer look.Stop()
	timer := time.NewTimer(most)
	defer timer.Stop()
	changed, ready := false, false
	for {
		wake := j.changed
		if changed || !early {
			wake = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-apart.C:
			ready = true
		case <-wake:
			changed = true
		case <-look.C:
			now := j.proved()
			if early && !slices.Equal(now.plane.Modes(), j.judgedBy.plane.Modes()) {
				return // rules that go by the mode said no more than that they do not know it
			}
			changed = changed || early && !j.judgedBy.equal(now)
		}
		if changed && ready {
			timer.Reset(judgeSettle)
			changed, early = false, false
		}
	}
}

func errText(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.What
	}
	return plain(err)
}

// WithRules is a source together with the Judge that follows what it emits.
type WithRules struct {
	Source interface {
		Run(context.Context, func(affinity.Event)) error
	}
	*Judge
}

// Run runs both and returns when both have ended. emit may be called from two
// goroutines.
func (w WithRules) Run(ctx context.Context, emit func(affinity.Event)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if learner, ok := w.Source.(interface{ Learn(findings.Facts) }); ok {
		w.learn = learner.Learn
	}
	wg.Go(func() { _ = w.Judge.Run(ctx, emit) })
	return w.Source.Run(ctx, func(e affinity.Event) {
		emit(e)
		w.Saw(e)
	})
}
