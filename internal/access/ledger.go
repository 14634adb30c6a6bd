package access

import (
	"fmt"
	"slices"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Bounds of a Ledger.
const (
	maxAsked  = 8192 // requests that a line may still tell of: a WebSocket's is logged when it ends
	maxEarly  = 4096 // lines whose request is not known yet
	maxStays  = 8    // pods that had one address
	maxAddrs  = 8192
	earlyTime = time.Minute
)

// Ledger brings lines of logs together with the requests that they are about,
// and addresses with the pods that had them then. It is not safe for
// concurrent use.
type Ledger struct {
	asked map[string]*asked
	order []string // of asked, oldest first
	early map[string][]early
	queue []string // of early, oldest first
	stays map[string][]stay

	lines, matched int
	unnamed        map[affinity.PodRef]unnamed // of controllers' logs
}

// unnamed is what of one log carries no ID.
type unnamed struct {
	format string
	others bool // there are accesses that carry one: whoever asked the others sent none
}

// asked is a request of ours.
type asked struct {
	session affinity.SessionID
	at      time.Time // when it was sent
	told    []Origin  // whose log has told of it
}

type early struct {
	line []byte
	from Origin
	at   time.Time
}

// stay is a pod's time at an address; it lasts until the next one's.
type stay struct {
	pod  affinity.PodRef
	from time.Time
}

// Origin is where a line was written: a backend pod, or a controller's.
type Origin struct {
	Pod        affinity.PodRef
	Controller bool
}

// Endpoints notes which pods have which addresses from at on.
func (l *Ledger) Endpoints(all []affinity.Endpoint, at time.Time) {
	if l.stays == nil {
		l.stays = map[string][]stay{}
	}
	for _, e := range all {
		had := l.stays[e.Addr]
		if e.Pod.IsZero() || len(had) > 0 && had[len(had)-1].pod == e.Pod || len(had) == 0 && len(l.stays) >= maxAddrs {
			continue
		}
		had = append(had, stay{e.Pod, at})
		l.stays[e.Addr] = had[max(0, len(had)-maxStays):]
	}
}

// podAt is the pod that had addr at that time, as far as it was watched.
func (l *Ledger) podAt(addr string, at time.Time) affinity.PodRef {
	all := l.stays[addr]
	if len(all) == 0 {
		return affinity.PodRef{}
	}
	found := all[0].pod // before the watch began it was the first that is known
	for _, s := range all[1:] {
		if s.from.After(at) {
			break
		}
		found = s.pod
	}
	return found
}

// Asked notes a request, and returns what lines had to tell of it already.
func (l *Ledger) Asked(o affinity.Observed, at time.Time) []affinity.Attributed {
	if o.RequestID == "" {
		return nil
	}
	if l.asked == nil {
		l.asked = map[string]*asked{}
	}
	if _, had := l.asked[o.RequestID]; !had {
		l.order = append(l.order, o.RequestID)
	}
	l.asked[o.RequestID] = &asked{session: o.Session, at: at.Add(-o.Took)}
	for len(l.order) > maxAsked {
		delete(l.asked, l.order[0])
		l.order = l.order[1:]
	}
	var told []affinity.Attributed
	for _, e := range l.early[o.RequestID] {
		if a, ok := l.tell(o.RequestID, e.line, e.from); ok {
			told = append(told, a)
		}
	}
	delete(l.early, o.RequestID)
	return told
}

// Line takes in a line of a log and returns what it tells of requests of ours.
// The line may be reused afterwards.
func (l *Ledger) Line(line []byte, from Origin, now time.Time) (told []affinity.Attributed) {
	if len(line) > MaxLine {
		return nil
	}
	l.lines++
	ids := IDs(line)
	if u := l.unnamed[from.Pod]; from.Controller && !u.others && (len(ids) > 0 || u.format == "") {
		if e, ok := Parse(line); ok {
			if l.unnamed == nil {
				l.unnamed = map[affinity.PodRef]unnamed{}
			}
			if u.others = len(ids) > 0; !u.others {
				u.format = e.Format
			}
			l.unnamed[from.Pod] = u
		}
	}
	for _, id := range ids {
		if _, ours := l.asked[id]; !ours {
			l.keep(id, line, from, now)
		} else if a, ok := l.tell(id, line, from); ok {
			told = append(told, a)
		}
	}
	return told
}

// keep remembers a line whose request has not been answered yet.
func (l *Ledger) keep(id string, line []byte, from Origin, now time.Time) {
	if l.early == nil {
		l.early = map[string][]early{}
	}
	held := l.early[id]
	if len(held) >= 4 || slices.ContainsFunc(held, func(e early) bool { return e.from == from }) {
		return
	}
	if len(held) == 0 {
		l.queue = append(l.queue, id)
	}
	e := early{from: from, at: now}
	if from.Controller {
		e.line = slices.Clone(line) // what a backend wrote does not matter, only that it did
	}
	l.early[id] = append(held, e)
	for len(l.queue) > maxEarly || len(l.queue) > 0 && l.stale(l.queue[0], now) {
		delete(l.early, l.queue[0])
		l.queue = l.queue[1:]
	}
}

func (l *Ledger) stale(id string, now time.Time) bool {
	held := l.early[id]
	return len(held) == 0 || now.Sub(held[0].at) > earlyTime
}

// tell is what a line says of a request of ours, once for each log.
func (l *Ledger) tell(id string, line []byte, from Origin) (affinity.Attributed, bool) {
	about := l.asked[id]
	a := affinity.Attributed{Session: about.session, RequestID: id, Source: affinity.SourceLog}
	if slices.Contains(about.told, from) {
		return a, false
	}
	where := affinity.Clean(from.Pod.String(), 120)
	if !from.Controller {
		a.Pod, a.Detail = from.Pod, "log of "+where
	} else {
		e, ok := Parse(line)
		switch {
		case !ok, e.Addr == "" && e.Server == "":
			return a, false
		case e.Addr != "":
			a.Addr, a.Pod = e.Addr, l.podAt(e.Addr, about.at)
			a.Detail = fmt.Sprintf("access log of %s (%s): %s", where, e.Format, e.Addr)
		default:
			a.Answer = affinity.Answer{Body: []byte(e.Server)}
			a.Detail = fmt.Sprintf("access log of %s (%s):", where, e.Format)
		}
		a.Unanswered = e.Status >= 502 && e.Status <= 504 // who was asked, not who answered
	}
	about.told = append(about.told, from)
	l.matched++
	return a, true
}

// Summary counts lines that were read, those that told something, and the
// format of a log whose accesses carry no ID, "" while there is none.
func (l *Ledger) Summary() (lines, matched int, format string) {
	for _, u := range l.unnamed {
		if !u.others && u.format != "" {
			format = max(format, u.format)
		}
	}
	return l.lines, l.matched, format
}
