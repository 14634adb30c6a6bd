package ui

import (
	"slices"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// recent is how far back the screens count moves, errors and held sessions.
const recent = 10 * time.Minute

// summary is the numbers of the header and of Topo.
type summary struct {
	total       int // sessions that have not ended
	by          [12]int
	held        int // still on the pod they were on ten minutes ago, or since they opened
	requests    int
	failures    int // without an answer, or with one that no pod is known to have given
	errors      int // answers with an error status that a pod gave
	statuses    []statusCount
	limited     int // whose last answer was 429
	noAnswer    int // without any answer so far
	p95         time.Duration
	moves       int // in the last ten minutes
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
		s.errors += x.ErrorAnswers
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
	for i := len(d.snap.Timeline) - 1; i >= 0; i-- {
		h := d.snap.Timeline[i]
		if d.now.Sub(h.At) > recent {
			break
		}
		if h.Kind == "move" {
			s.moves++
			if h.CauseText == "" {
				s.unexplained++
			}
		}
	}
	s.dist = affinity.Distribute(d.snap, d.scopeIDs())
	return s
}

func (s *summary) count(x *affinity.Session, c affinity.Condition, now time.Time) {
	m, moved := x.LastMove()
	settled := !moved || now.Sub(m.At) >= recent
	if c == affinity.Stuck && settled {
		s.held++
	}
	if x.LastFailure != nil && x.InARow > 0 && x.LastFailure.Kind == affinity.FailureLimited {
		s.limited++
	}
	if x.Requests == x.Failures {
		s.noAnswer++
	}
}

// history is what sparklines and lanes draw: the last ten minutes, one bucket
// for every few seconds.
type history struct {
	end      int64 // unix second after the last bucket
	requests [historyLen]int
	failures [historyLen]int
	moves    [historyLen]int
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
	for n := len(snap.Timeline) - 1; n >= 0; n-- {
		if i := h.bucket(snap.Timeline[n].At, first); i < 0 {
			break
		} else if snap.Timeline[n].Kind == "move" {
			h.moves[i]++
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
	if x.Failure != "" {
		h.failures[i]++
		return
	}
	h.took[i] = max(h.took[i], x.Took)
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
