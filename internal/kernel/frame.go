package kernel

import (
	"net/netip"
	"time"
	"unique"
)

// Names are the lists that a reading on another machine is to hold.
type Names struct {
	Sets   []string `json:"sets,omitempty"`   // of nftables
	Recent []string `json:"recent,omitempty"` // of xt_recent
}

// Frame is what changed in a node's tables since the frame before, as one
// machine tells another. It compares no wall clocks: instants are on the node's
// CLOCK_MONOTONIC, and Age says how old the reading is.
type Frame struct {
	Seq     uint64        `json:"seq"`            // of this frame; one more than the last
	Full    bool          `json:"full,omitempty"` // everything there is, not a change
	Mode    Mode          `json:"mode,omitempty"`
	Uptime  time.Duration `json:"uptime,omitempty"` // of the reading
	Age     time.Duration `json:"age,omitempty"`    // of the reading when the frame was made
	Unknown int           `json:"unknown,omitempty"`
	Others  int           `json:"others,omitempty"` // pins that no address names
	Absent  []string      `json:"absent,omitempty"` // families without a table
	HZ      uint64        `json:"hz,omitempty"`
	Offset  int64         `json:"offset,omitempty"`
	Exact   bool          `json:"exact,omitempty"`
	Lists   []ListFrame   `json:"lists,omitempty"`
	Gone    []string      `json:"gone,omitempty"`  // lists that are not there any more
	Fault   Fault         `json:"fault,omitempty"` // why there was no reading
	Text    string        `json:"text,omitempty"`  // of a fault without a name
}

// Fault names an error of a reading across machines.
type Fault string

// Faults, each for the error of that name.
const (
	FaultNoProxy     Fault = "no-proxy"
	FaultNotAllowed  Fault = "not-allowed"
	FaultMaps        Fault = "maps-not-allowed"
	FaultChanging    Fault = "changing"
	FaultUnsupported Fault = "unsupported"
	FaultOther       Fault = "other"
)

var faults = map[Fault]error{FaultNoProxy: ErrNoProxy, FaultNotAllowed: ErrNotAllowed, FaultMaps: ErrMapsNotAllowed, FaultChanging: ErrChanging, FaultUnsupported: ErrUnsupported}

// ListFrame is what changed in one list.
type ListFrame struct {
	Name    string        `json:"name"`
	Family  string        `json:"family,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	Limit   int           `json:"limit,omitempty"`
	Cut     bool          `json:"cut,omitempty"`
	Put     []EntryFrame  `json:"put,omitempty"`
	Gone    []EntryKey    `json:"gone,omitempty"`
}

// EntryKey tells the entries of a list apart.
type EntryKey struct {
	Client   netip.Addr `json:"c"`
	Front    string     `json:"f,omitempty"`
	Endpoint string     `json:"e,omitempty"`
	Protocol string     `json:"p,omitempty"`
}

// EntryFrame is an Entry that does not change while nothing happens to it: End
// stands for what is left.
type EntryFrame struct {
	EntryKey
	End     time.Duration `json:"x,omitempty"` // on the node's CLOCK_MONOTONIC
	Timeout time.Duration `json:"t,omitempty"`
	Seen    uint64        `json:"s,omitempty"`
	Stamps  []uint64      `json:"r,omitempty"`
}

func toFrame(e *Entry, uptime time.Duration) EntryFrame {
	f := EntryFrame{EntryKey: e.key().frame(), Timeout: e.Timeout, Seen: e.Seen, Stamps: e.stamps(nil)}
	if e.Seen == 0 {
		f.End = uptime + e.Left
	}
	return f
}

// entryKey is an EntryKey, in the little memory that an agent may take.
type entryKey struct {
	client netip.Addr
	via    unique.Handle[Tie]
}

func (e *Entry) key() entryKey { return entryKey{e.Client, e.via} }

func (k EntryKey) key() entryKey {
	return entryKey{k.Client, tie(Tie{k.Front, k.Endpoint, k.Protocol})}
}

func (k entryKey) frame() EntryKey {
	e := Entry{via: k.via}
	t := e.tie()
	return EntryKey{k.client, t.Front, t.Endpoint, t.Protocol}
}

// Feed reads the tables of this machine for another one. One goroutine at a
// time may use it.
type Feed struct {
	reader *Reader
	seq    uint64
	turn   uint32
	sent   map[string]*fed

	read time.Time     // when the last reading began
	used time.Duration // of the cores by this process until then
}

// fed is a list as the other machine knows it.
type fed struct {
	head    ListFrame
	entries map[entryKey]*fedEntry
	order   []*fedEntry // as the last reading showed them: the next mostly does
	turn    uint32      // of that reading
}

// fedEntry is what the other machine was told of an entry. There is one for each
// client of the node.
type fedEntry struct {
	entryKey
	end, timeout time.Duration
	seen         uint64
	turn         uint32
}

// tells reports whether nothing has happened to an entry since: two readings
// tell one deadline a little differently, and every connection changes Seen.
func (x *fedEntry) tells(e *Entry, uptime time.Duration) bool {
	if x.timeout != e.Timeout || x.seen != e.Seen {
		return false
	}
	return e.Seen != 0 || (x.end-uptime-e.Left).Abs() < jitter
}

// NewFeed returns a Feed of this machine.
func NewFeed() *Feed { return &Feed{reader: NewReader()} }

// Close ends what the Feed holds open.
func (f *Feed) Close() { f.reader.Close() }

// Wait returns how long it is until the next Read may begin, for this process to
// stay under 1 % of a core: an agent does nothing but read and answer, so that
// all it has used since the last Read began is the cost of that.
func (f *Feed) Wait() time.Duration {
	if f.read.IsZero() {
		return 0
	}
	return max(0, budget(processTime()-f.used)-time.Since(f.read))
}

// Read reads the named lists and returns what changed since the frame since;
// everything, where that is not the last one. That the tables cannot be read is
// in the frame.
func (f *Feed) Read(names Names, since uint64) Frame {
	want := &expected{recent: map[string]int{}, sets: map[string]int{}}
	for _, n := range names.Sets {
		want.sets[n] = 0
	}
	for _, n := range names.Recent {
		want.recent[n] = 0
	}
	f.read, f.used = time.Now(), processTime()
	full := since == 0 || since != f.seq
	f.reader.brief = !full
	n, err := f.reader.read(want)
	if err != nil {
		return f.fault(err)
	}
	out := Frame{Full: full, Mode: n.mode, Uptime: n.uptime, Age: time.Since(n.at), Unknown: n.unknown, Others: n.others, Absent: n.absent}
	if n.mode == ModeIPTables {
		if f.reader.clock.hz == 0 {
			f.reader.clock.infer(newest(n.lists), n.uptime)
		}
		c := f.reader.clock
		out.HZ, out.Offset, out.Exact = c.hz, c.offset, c.exact
	}
	f.seq++
	out.Seq = f.seq
	if out.Full {
		f.sent = nil
	}
	f.difference(&out, n)
	return out
}

func (f *Feed) fault(err error) Frame {
	f.sent, f.seq = nil, f.seq+1
	out := Frame{Seq: f.seq, Full: true, Fault: FaultOther, Text: err.Error()}
	for name, known := range faults {
		if err == known { //nolint:errorlint // read returns these as they are
			out.Fault, out.Text = name, ""
		}
	}
	return out
}

// difference adds to a frame what the last one did not have. What was sent stays
// the measure, or small steps would add up.
func (f *Feed) difference(out *Frame, n reading) {
	f.turn++
	if f.sent == nil {
		f.sent = map[string]*fed{}
	}
	for i := range n.lists {
		l := &n.lists[i]
		s := f.sent[l.Name]
		known := s != nil
		if !known {
			s = &fed{entries: make(map[entryKey]*fedEntry, len(l.Entries))}
			f.sent[l.Name] = s
		}
		head := ListFrame{Name: l.Name, Family: l.Family, Timeout: l.Timeout, Limit: l.Limit, Cut: l.Cut}
		change, shown := head, 0
		for i := range l.Entries {
			e := &l.Entries[i]
			x := s.at(i, e)
			if x.turn != f.turn {
				shown++ // a set that grows meanwhile may show one twice
			}
			if x.turn == 0 || !x.tells(e, n.uptime) {
				told := toFrame(e, n.uptime)
				x.end, x.timeout, x.seen = told.End, told.Timeout, told.Seen
				change.Put = append(change.Put, told)
			}
			x.turn = f.turn
		}
		clear(s.order[min(len(l.Entries), len(s.order)):])
		s.order = s.order[:min(len(l.Entries), len(s.order))]
		if len(s.entries) > shown {
			for key, x := range s.entries {
				if x.turn != f.turn {
					delete(s.entries, key)
					change.Gone = append(change.Gone, key.frame())
				}
			}
		}
		if !known || len(change.Put) > 0 || len(change.Gone) > 0 || !sameHead(s.head, head) {
			out.Lists = append(out.Lists, change)
		}
		s.head, s.turn = head, f.turn
	}
	for name, s := range f.sent {
		if s.turn != f.turn {
			delete(f.sent, name)
			out.Gone = append(out.Gone, name)
		}
	}
}

// at returns what is known of the entry that a reading shows as its ith.
func (s *fed) at(i int, e *Entry) *fedEntry {
	if i < len(s.order) {
		if x := s.order[i]; x.entryKey == e.key() {
			return x
		}
	}
	key := e.key()
	x := s.entries[key]
	if x == nil {
		x = &fedEntry{entryKey: key}
		s.entries[key] = x
	}
	if i < len(s.order) {
		s.order[i] = x
	} else {
		s.order = append(s.order, x)
	}
	return x
}

func sameHead(x, y ListFrame) bool {
	return x.Family == y.Family && x.Timeout == y.Timeout && x.Limit == y.Limit && x.Cut == y.Cut
}
