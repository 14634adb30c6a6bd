package ui

import (
	"slices"
	"strconv"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// recent is how far back the screens count moves, errors and held sessions.
const recent = 10 * time.Minute

// summary is the numbers of the header and of Topo.
type summary struct {
	total       int // sessions that have not ended
	by          [12]int
	held        int       // still on the pod they were on ten minutes ago, or since they opened, or were pinned
	from        time.Time // when the first of those that are held opened, or was pinned
	pinned      bool      // from is when it was pinned, after changes that nothing held
	requests    int
	failures    int // without an answer, or with one that no pod is known to have given
	errors      int // answers with an error status that a pod gave, and connections that were cut
	statuses    []statusCount
	limited     int       // whose last answer was 429
	failing     int       // whose last request failed, whatever else is to be said of them
	noAnswer    int       // without any answer so far
	mute        int       // whose last request got no answer at all, or whose connection was cut
	refused     []refusal // who are answered, but to no use
	pollOn      int       // who are held, but without the WebSocket that they asked for
	pollWhy     string    // what one of them met
	unasked     int       // that have had no answer ever
	awaiting    int       // whose request has no answer yet, for longer than is usual
	longest     time.Time // the first of them was sent then
	awaits      string    // and waits for this
	muteWhy     string    // what one of them met
	p95         time.Duration
	moves       int  // in the last ten minutes
	more        bool // and some that are not remembered
	unexplained int
	dist        affinity.Distribution
}

func summarize(d *data) summary {
	var s summary
	took := make([]time.Duration, 0, len(d.snap.Sessions))
	for _, x := range d.snap.Sessions {
		c, _ := x.Condition(d.now)
		s.by[c]++
		s.requests += x.Requests
		s.failures += x.Failures
		s.errors += x.ErrorAnswers + x.CutCount
		s.countMoves(x, d.now)
		if !x.ClosedAt.IsZero() {
			continue
		}
		s.total++
		s.count(x, c, d.now)
		s.countStatus(x, c)
		if x.LastTook > 0 && x.InARow == 0 {
			took = append(took, x.LastTook)
		}
	}
	s.sortStatuses()
	if len(took) > 0 {
		slices.Sort(took)
		s.p95 = took[(len(took)*95+99)/100-1]
	}
	s.dist = affinity.Distribute(d.snap, d.scopeIDs())
	return s
}

func (s *summary) count(x *affinity.Session, c affinity.Condition, now time.Time) {
	if c == affinity.Stuck && !movedSince(x, now.Add(-recent)) {
		s.held++
	}
	from := x.Opened
	if x.PinnedSince.After(from) {
		from = x.PinnedSince
	}
	if !x.Unheld && (s.from.IsZero() || from.Before(s.from)) {
		s.from, s.pinned = from, from != x.Opened
	}
	if x.LastFailure != nil && x.InARow > 0 && x.LastFailure.Kind == affinity.FailureLimited {
		s.limited++
	}
	if c == affinity.Failing || x.InARow > 0 {
		s.failing++
	}
	if x.Requests == x.Failures && x.LastStatus == 0 {
		s.noAnswer++
	}
	if why := x.NoWebSocket(); why != "" && c != affinity.Failing && x.InARow == 0 {
		s.pollOn++
		s.pollWhy = why
	}
	if c == affinity.Waiting && x.Requests == 0 {
		s.unasked++
	}
	if !x.Awaiting.IsZero() {
		s.awaiting++
		if s.longest.IsZero() || x.Awaiting.Before(s.longest) {
			s.longest, s.awaits = x.Awaiting, x.AwaitingStep
		}
	}
	if (c == affinity.Failing || x.InARow > 0) && x.LastFailure != nil && !affinity.BadStatus(x.LastStatus) {
		if how := x.Refusal(); how != affinity.RefusedNot {
			s.countRefusal(x, how)
		} else {
			s.mute++
			s.muteWhy = x.LastFailure.Text
		}
	}
}

// countMoves adds the moves of x; what nothing held is counted apart, by history.
func (s *summary) countMoves(x *affinity.Session, now time.Time) {
	n := 0
	for i := len(x.Moves) - 1; i >= 0; i-- {
		m := x.Moves[i]
		if now.Sub(m.At) > recent {
			return
		}
		if m.Unheld {
			continue
		}
		n++
		s.moves++
		if !m.Explained() {
			s.unexplained++
		}
	}
	s.more = s.more || x.MoveCount > n
}

// movedSince reports whether x moved after at.
func movedSince(x *affinity.Session, at time.Time) bool {
	for i := len(x.Moves) - 1; i >= 0 && x.Moves[i].At.After(at); i-- {
		if !x.Moves[i].Unheld {
			return true
		}
	}
	return false
}

// movesText is how many moves were counted in the last ten minutes.
func (s *summary) movesText() string {
	if s.more {
		return strconv.Itoa(s.moves) + "+"
	}
	return strconv.Itoa(s.moves)
}

// judged is how many sessions HELD is about: of those that wait for an answer,
// or whose pod nothing names, it cannot be told.
func (s *summary) judged() int { return s.total - s.by[affinity.Unknown] - s.by[affinity.Waiting] }

// heldWindow says over which time HELD counts: "in 10m", or since when there
// are pins.
func (d *data) heldWindow() string {
	s := d.sum
	switch {
	case s.from.IsZero():
		return ""
	case s.pinned && d.now.Sub(s.from) < recent:
		return "since pinned " + d.clock.format(s.from, d.now)
	}
	return "in " + briefly(min(recent, max(time.Second, d.now.Sub(s.from).Truncate(time.Second))))
}

// history is what sparklines and lanes draw: the last ten minutes, one bucket
// for every few seconds.
type history struct {
	end      int64 // unix second after the last bucket
	requests [historyLen]int
	failures [historyLen]int
	moves    [historyLen]int
	loose    [historyLen]int           // changes of pod that nothing held
	took     [historyLen]time.Duration // the slowest answer
	partial  bool                      // not all sessions were read
}

const (
	historyLen  = 120
	bucketLen   = int64(recent/time.Second) / historyLen
	historyCost = 50_000 // exchanges read at most, to keep ten thousand sessions cheap
)

// collect reads the exchanges again, unless that was done this second.
func (h history) collect(snap *affinity.Snapshot, now time.Time) history {
	end := now.Unix() + 1
	if h.end == end {
		return h
	}
	h = history{end: end}
	first := end - historyLen*bucketLen
	budget := historyCost
	for _, s := range snap.Sessions {
		for n := len(s.Exchanges) - 1; n >= 0; n-- {
			i := h.bucket(s.Exchanges[n].At, first)
			if i < 0 {
				break
			}
			if budget--; budget < 0 {
				h.partial = true
				break
			}
			h.add(i, s.Exchanges[n])
		}
		if h.partial {
			break
		}
	}
	for _, s := range snap.Sessions {
		for n := len(s.Moves) - 1; n >= 0; n-- {
			i := h.bucket(s.Moves[n].At, first)
			if i < 0 {
				break
			}
			if !s.Moves[n].Unheld {
				h.moves[i]++
			}
		}
		for n := len(s.Cuts) - 1; n >= 0; n-- {
			i := h.bucket(s.Cuts[n], first)
			if i < 0 {
				break
			}
			h.failures[i]++
		}
	}
	return h
}

func (h *history) bucket(at time.Time, first int64) int {
	i := at.Unix() - first
	if i < 0 {
		return -1
	}
	return int(min(i/bucketLen, historyLen-1))
}

func (h *history) add(i int, x affinity.Exchange) {
	h.requests[i]++
	if x.Loose {
		h.loose[i]++
	}
	if x.Failure != "" {
		h.failures[i]++
		return
	}
	h.took[i] = max(h.took[i], x.Took)
}

// changes are the moves and, with them, the changes of pod that nothing held.
func (h *history) changes() []int {
	all := h.moves
	for i, n := range h.loose {
		all[i] += n
	}
	return all[:]
}

// looseText says how often sessions changed pods that nothing held; "" when
// they did not.
func (h *history) looseText() string {
	n := 0
	for _, v := range h.loose {
		n += v
	}
	if n == 0 {
		return ""
	}
	more := ""
	if h.partial {
		more = "+"
	}
	return strconv.Itoa(n) + more + " unheld"
}

var sparks = [...]string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

// spark draws values into w cells, the newest on the right, each the largest
// of the values it stands for.
func spark(a area, x, y, w int, st style, values []int) {
	peak := 1
	for _, v := range values {
		peak = max(peak, v)
	}
	for i := range w {
		from, to := i*len(values)/w, max((i+1)*len(values)/w, i*len(values)/w+1)
		v := slices.Max(values[from:to])
		cell, cellStyle := sparks[0], muted
		if v > 0 {
			cell, cellStyle = sparks[max(1, v*(len(sparks)-1)/peak)], st
		}
		a.put(x+i, y, cellStyle, cell)
	}
}
