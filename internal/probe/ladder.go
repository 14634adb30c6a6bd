package probe

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// ladder is a route's reachability, drawn from what its sessions meet anyway.
// It is about the way to the route, not about one pod, so the session that
// comes furthest speaks for all: one session held by a dead pod does not make
// a route unreachable.
type ladder struct {
	mu     sync.Mutex
	target Target // that everything below is about
	seq    uint64
	last   map[affinity.SessionID]rungs
	shown  string // outcome that was last reported
}

type rungs struct {
	seq    uint64
	height int
	steps  []affinity.PathStep
}

// report takes in how far session came on its way to t, and passes the route's
// steps to emit when their outcome changed or is about another target. Times
// and the details of what went well are no change.
func (l *ladder) report(session affinity.SessionID, t Target, steps []affinity.PathStep, emit func([]affinity.PathStep)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil || !l.target.equal(t) {
		l.target, l.shown = t, ""
		l.last = map[affinity.SessionID]rungs{}
	}
	l.seq++
	l.last[session] = rungs{seq: l.seq, height: height(steps), steps: steps}
	best := rungs{height: -1}
	for _, r := range l.last {
		if r.height > best.height || r.height == best.height && r.seq > best.seq {
			best = r
		}
	}
	if outcome := outcome(best.steps); outcome != l.shown {
		l.shown = outcome
		emit(best.steps)
	}
}

// forget takes a session out that has ended or goes elsewhere.
func (l *ladder) forget(session affinity.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, session)
}

// height counts the steps before the first that failed; one that does not
// apply is climbed too.
func height(steps []affinity.PathStep) int {
	failed := slices.IndexFunc(steps, func(s affinity.PathStep) bool { return s.Status == affinity.StepFailed })
	if failed < 0 {
		return len(steps)
	}
	return failed
}

func outcome(steps []affinity.PathStep) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s %d", s.Name, s.Status)
		if s.Status == affinity.StepFailed {
			b.WriteString(s.Detail)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// affinityStep is the last rung: whether the answers tie the client to a pod
// in a way that shows on the wire.
func affinityStep(r affinity.Route, o affinity.Observed) affinity.PathStep {
	step := affinity.PathStep{Name: stepAffinity}
	if o.Status == 0 || o.Failure != nil {
		return step
	}
	names, cookies := cookieNames(r)
	step.Status, step.Detail = affinityOutcome(o, names, cookies)
	if step.Detail == "" {
		step.Detail = "nothing on the wire shows it"
		if len(r.Layers) > 0 && r.Policy().Mechanism == affinity.MechanismNone {
			step.Detail = "none is configured"
		}
	}
	step.Detail = affinity.Clean(step.Detail, maxText)
	return step
}

// affinityOutcome looks for a cookie of names, or for any when names are not
// known.
func affinityOutcome(o affinity.Observed, names []string, configured bool) (affinity.StepStatus, string) {
	ours := func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }
	refused := ""
	for _, offer := range slices.Backward(o.Offers) {
		if !ours(offer.Name) || offer.Deletes {
			continue
		}
		if offer.NotReturned == "" {
			return affinity.StepOK, "cookie " + offer.Name
		}
		refused = "cookie " + offer.Name + " is not sent back: " + offer.NotReturned
	}
	for _, sent := range o.Sent {
		if ours(sent.Name) {
			return affinity.StepOK, "cookie " + sent.Name
		}
	}
	switch {
	case refused != "":
		return affinity.StepFailed, refused
	case configured && len(names) > 0:
		return affinity.StepFailed, "no cookie " + strings.Join(names, " or ") + " was offered"
	case configured:
		return affinity.StepFailed, "no cookie was offered"
	}
	return affinity.StepNotTried, ""
}

// cookieNames returns the cookies that r's layers may issue, and whether any
// is configured to issue one. Names stay empty when one of them is not known.
func cookieNames(r affinity.Route) (names []string, configured bool) {
	known := true
	for _, layer := range r.Layers {
		if layer.Bypassed != "" {
			continue
		}
		for _, p := range layer.Candidates {
			if p.Mechanism != affinity.MechanismCookie {
				continue
			}
			configured = true
			known = known && p.Cookie.Name != ""
			if !slices.Contains(names, p.Cookie.Name) {
				names = append(names, p.Cookie.Name)
			}
		}
	}
	if !known {
		return nil, configured
	}
	return names, configured
}
