package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const tooMany = 429 // Too Many Requests, RFC 6585 §4

// statusCount is how many sessions were last answered with one error status,
// and what that amounts to for one of them.
type statusCount struct {
	status   int
	sessions int
	held     int // of which a pod holds
	run      int // the longest run
	why      string
}

// countStatus adds x, which has not ended.
func (s *summary) countStatus(x *affinity.Session, c affinity.Condition) {
	if !affinity.BadStatus(x.LastStatus) || x.LastStatus == tooMany {
		return // 429 has words of its own
	}
	i := slices.IndexFunc(s.statuses, func(n statusCount) bool { return n.status == x.LastStatus })
	if i < 0 {
		i = len(s.statuses)
		s.statuses = append(s.statuses, statusCount{status: x.LastStatus})
	}
	n := &s.statuses[i]
	n.sessions++
	if c != affinity.Failing && !x.Pod.IsZero() {
		n.held++
	}
	if x.StatusRun > n.run {
		n.run, n.why = x.StatusRun, x.StatusWhy()
	}
}

// sortStatuses puts the commonest first.
func (s *summary) sortStatuses() {
	slices.SortFunc(s.statuses, func(a, b statusCount) int {
		return cmp.Or(cmp.Compare(b.sessions, a.sessions), cmp.Compare(a.status, b.status))
	})
}

// refusal is how many sessions are answered to no use in one way, and what one
// of them met.
type refusal struct {
	how      affinity.RefusedBy
	sessions int
	why      string
	advice   string
}

// countRefusal adds x, which is refused as how says.
func (s *summary) countRefusal(x *affinity.Session, how affinity.RefusedBy) {
	i := slices.IndexFunc(s.refused, func(r refusal) bool { return r.how == how })
	if i < 0 {
		i = len(s.refused)
		s.refused = append(s.refused, refusal{how: how})
	}
	r := &s.refused[i]
	r.sessions++
	r.why, r.advice = x.LastFailure.Text, x.Advice()
}

// text is r in one line, of all the sessions there are.
func (r refusal) text(all int) string {
	text := fmt.Sprintf("✗ %d of %d sessions %s", r.sessions, all, r.how)
	if r.advice != "" { // before what they met, which may be long
		text += " (" + r.advice + ")"
	}
	return text + ": " + r.why
}

// pollingOn tells of sessions that are held without their WebSocket; "" when
// there are none.
func (s *summary) pollingOn() run {
	if s.pollOn == 0 {
		return run{}
	}
	return run{warn, fmt.Sprintf("▲ %d of %d sessions got no WebSocket and poll on: %s", s.pollOn, s.total, s.pollWhy)}
}

// badStatus is the commonest error status, for the header's corner: loud when
// no session is answered otherwise and no pod is known to hold any of them.
func (s *summary) badStatus() (status, bool) {
	if len(s.statuses) == 0 {
		return status{}, false
	}
	all, held := 0, 0
	for _, n := range s.statuses {
		all += n.sessions
		held += n.held
	}
	word := "HTTP " + strconv.Itoa(s.statuses[0].status)
	if all == s.total && held == 0 {
		return status{"✗", word, broken}, true
	}
	return status{"▲", word, warn}, true
}

// statusRuns are the error statuses as the header counts them.
func (s *summary) statusRuns() []run {
	var out []run
	for _, n := range s.statuses[:min(len(s.statuses), 3)] {
		out = append(out, run{n.style(), "HTTP " + strconv.Itoa(n.status) + " " + strconv.Itoa(n.sessions) + "/" + strconv.Itoa(s.total)})
	}
	return out
}

// firstRound explains sessions that wait for their first turn; "" when none
// does for long.
func firstRound(d *data) string {
	n := d.sum.unasked
	if n == 0 || d.opt.Round == nil {
		return ""
	}
	round := d.opt.Round(d.sum.total).Round(time.Second)
	if round <= time.Second {
		return ""
	}
	return fmt.Sprintf("%d of %d sessions wait for their first turn: a round takes %s at %g requests/s (--max-rps)", n, d.sum.total, round, d.opt.MaxRPS)
}

func (n statusCount) style() style {
	if n.held == n.sessions && n.status < 500 {
		return warn
	}
	return broken
}

// banner says what the commonest error status is about; "" when there is none.
func (s *summary) banner() run {
	if len(s.statuses) == 0 {
		return run{}
	}
	n := s.statuses[0]
	mark := "✗ "
	if n.style() == warn {
		mark = "▲ "
	}
	text := mark + strconv.Itoa(n.sessions) + " of " + strconv.Itoa(s.total) + " sessions, ×" + strconv.Itoa(n.run) + ": " + n.why
	if n.held == n.sessions && n.status < 500 {
		text += " (the pins are real)"
	}
	if n.status == 404 || n.status == 401 || n.status == 403 {
		text += "; --path asks for another"
	}
	return run{n.style(), text}
}
