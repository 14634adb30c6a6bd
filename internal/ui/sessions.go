package ui

import (
	"cmp"
	"slices"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// How long the order of rows stays as it is: after sorting, and after the user
// moved the cursor, who would lose the row they look at.
const (
	sortEvery = time.Second
	holdOrder = 2 * time.Second
)

// sessionsPanel is the list of sessions.
type sessionsPanel struct {
	table[affinity.SessionID]
	filterLine
	wide   bool
	legs   bool // some session holds a connection
	unheld bool // some session changed pods that nothing held
	sortBy string
	down   bool

	sorted  time.Time // when the order was computed last
	touched time.Time // when the cursor was moved last
	kinds   bool      // sessions differ in what they speak
	clients bool      // and in whom they act for
	dirty   bool      // sort and filter again, hold or not
	born    uint64    // data.born of the rows
}

// refresh takes over a new snapshot or instant.
func (p *sessionsPanel) refresh(d *data) {
	if !p.dirty && (d.now.Sub(p.sorted) < sortEvery || d.now.Sub(p.touched) < holdOrder) {
		p.set(p.keep(d))
		return
	}
	p.dirty, p.sorted, p.born = false, d.now, d.born
	p.legs = slices.ContainsFunc(d.snap.Sessions, func(s *affinity.Session) bool { return len(s.Legs) > 0 })
	p.unheld = slices.ContainsFunc(d.snap.Sessions, func(s *affinity.Session) bool { return s.UnheldCount > 0 })
	p.kinds, p.clients = false, false
	for _, s := range d.snap.Sessions {
		p.kinds = p.kinds || s.Spec.Transport != d.snap.Sessions[0].Spec.Transport
		p.clients = p.clients || s.Spec.Client != d.snap.Sessions[0].Spec.Client
	}
	rows := make([]affinity.SessionID, 0, len(d.snap.Sessions))
	for _, s := range d.snap.Sessions {
		if p.match == nil || p.match.match(sessionRow{s, d}) {
			rows = append(rows, s.Spec.ID)
		}
	}
	p.sort(d, rows)
	p.set(rows)
}

// keep returns the rows as they are, without those that are gone and with new
// ones at the end.
func (p *sessionsPanel) keep(d *data) []affinity.SessionID {
	if p.born == d.born {
		return p.rows
	}
	p.born = d.born
	shown := make(map[affinity.SessionID]bool, len(p.rows))
	rows := make([]affinity.SessionID, 0, len(d.snap.Sessions))
	for _, id := range p.rows {
		if d.session(id) != nil {
			rows, shown[id] = append(rows, id), true
		}
	}
	if len(d.snap.Sessions) == len(rows) {
		return rows
	}
	for _, s := range d.snap.Sessions {
		if !shown[s.Spec.ID] && (p.match == nil || p.match.match(sessionRow{s, d})) {
			rows = append(rows, s.Spec.ID)
		}
	}
	return rows
}

// sort orders rows by the chosen column; rows that are alike keep the order
// in which they were opened.
func (p *sessionsPanel) sort(d *data, rows []affinity.SessionID) {
	if p.sortBy == "" || p.sortBy == "id" {
		if p.down {
			slices.Reverse(rows)
		}
		return
	}
	type keyed struct {
		id  affinity.SessionID
		key sortKey
	}
	all := make([]keyed, len(rows))
	for i, id := range rows {
		all[i] = keyed{id, sessionKey(d, d.session(id), p.sortBy)}
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		if p.down {
			return b.key.compare(a.key)
		}
		return a.key.compare(b.key)
	})
	for i := range all {
		rows[i] = all[i].id
	}
}

// sortKey orders first by number, then by text.
type sortKey struct {
	num  int64
	text string
}

func (a sortKey) compare(b sortKey) int {
	return cmp.Or(cmp.Compare(a.num, b.num), cmp.Compare(a.text, b.text))
}

// never sorts what has no value behind all that have.
const never = int64(1) << 62

func sessionKey(d *data, s *affinity.Session, by string) sortKey {
	switch by {
	case "state":
		c, _ := s.Condition(d.now)
		return sortKey{num: severity(c)}
	case "pod":
		return sortKey{num: int64(len(s.Tag)), text: s.Tag}
	case "via":
		return sortKey{num: int64(s.Via)}
	case "fuse":
		if t, ok := s.Fuse(d.now); ok {
			return sortKey{num: t.Deadline.UnixNano()}
		}
		return sortKey{num: never}
	case "moves":
		return sortKey{num: int64(s.MoveCount)}
	case "unheld":
		return sortKey{num: int64(s.UnheldCount)}
	case "rtt":
		return sortKey{num: int64(roundTrip(s))}
	case "req":
		return sortKey{num: int64(s.Requests)}
	case "fail":
		return sortKey{num: int64(s.Failed())}
	case "age":
		return sortKey{num: -s.Opened.UnixNano()}
	case "kind":
		return sortKey{text: s.Spec.Transport}
	case "client":
		return sortKey{text: string(s.Spec.Client)}
	case "legs":
		return sortKey{text: legText(s)}
	case "route":
		return sortKey{text: string(s.Spec.Route)}
	}
	return sortKey{}
}

// severity puts the conditions that need a look first.
func severity(c affinity.Condition) int64 {
	order := [...]affinity.Condition{affinity.Split, affinity.Orphan, affinity.Failing, affinity.MovedSilent, affinity.RePinned,
		affinity.Expired, affinity.NotReturned, affinity.Cookieless, affinity.Unknown, affinity.Waiting, affinity.Stuck, affinity.Closed}
	return int64(slices.Index(order[:], c))
}

// sortOn chooses the column to sort by, or turns the order around when it is
// chosen already.
func (p *sessionsPanel) sortOn(name string) {
	if p.sortKeyName() == name {
		p.down = !p.down
	} else {
		p.sortBy, p.down = name, name == "moves" || name == "unheld" || name == "rtt" || name == "req" || name == "fail"
	}
	p.dirty = true
}

func (p *sessionsPanel) sortKeyName() string {
	if p.sortBy == "" {
		return "id"
	}
	return p.sortBy
}

// sessionFields are what filters can ask of a session.
var sessionFields = []string{"id", "kind", "state", "pod", "via", "route", "moves", "unheld", "fuse", "rtt", "req", "fail", "age", "client", "status", "cookie", "legs", "carrier"}

// sessionRow is a session as filters see it.
type sessionRow struct {
	*affinity.Session
	d *data
}

func (r sessionRow) text() string {
	c, detail := r.Condition(r.d.now)
	return string(r.Spec.ID) + " " + r.Spec.Transport + " " + c.String() + " " + r.Tag + " " + r.Pod.Name + " " + r.Via.Via() + " " +
		string(r.Spec.Route) + " " + detail
}

func (r sessionRow) field(name string) field {
	switch name {
	case "id":
		return words(string(r.Spec.ID))
	case "kind":
		return words(r.Spec.Transport, kindText(r.Session, false))
	case "legs":
		return words(legText(r.Session))
	case "carrier":
		if r.Socket != nil {
			return words(r.Socket.Carrier)
		}
	case "state":
		c, _ := r.Condition(r.d.now)
		return words(c.String())
	case "pod":
		w := []string{r.Tag, r.Pod.Name, r.Pod.Short()}
		for _, p := range r.Split {
			known, _ := r.d.snap.Pod(p)
			w = append(w, known.Tag, p.Name)
		}
		return words(w...)
	case "via":
		return words(r.Via.Via(), r.Via.String())
	case "route":
		return words(string(r.Spec.Route))
	case "moves":
		return number(r.MoveCount)
	case "unheld":
		return number(r.UnheldCount)
	case "fuse":
		if t, ok := r.Fuse(r.d.now); ok {
			return span(t.Deadline.Sub(r.d.now), time.Second)
		}
		return noSpan(time.Second)
	case "rtt":
		return span(roundTrip(r.Session), time.Millisecond)
	case "req":
		return number(r.Requests)
	case "fail":
		return number(r.Failed())
	case "age":
		return span(r.d.now.Sub(r.Opened), time.Second)
	case "client":
		return words(string(r.Spec.Client))
	case "status":
		return number(r.LastStatus)
	case "cookie":
		if r.Pin != nil {
			return words(r.Pin.Key)
		}
	}
	return field{}
}
