package kernel

import (
	"net/netip"
	"slices"
	"time"
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
	FaultChanging    Fault = "changing"
	FaultUnsupported Fault = "unsupported"
	FaultOther       Fault = "other"
)

var faults = map[Fault]error{FaultNoProxy: ErrNoProxy, FaultNotAllowed: ErrNotAllowed, FaultChanging: ErrChanging, FaultUnsupported: ErrUnsupported}

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

func toFrame(e Entry, uptime time.Duration) EntryFrame {
	f := EntryFrame{EntryKey: EntryKey{e.Client, e.Front, e.Endpoint, e.Protocol}, Timeout: e.Timeout, Seen: e.Seen, Stamps: e.Stamps}
	if e.Seen == 0 {
		f.End = uptime + e.Left
	}
	return f
}

func (f EntryFrame) entry(uptime time.Duration) Entry {
	e := Entry{Client: f.Client, Front: f.Front, Endpoint: f.Endpoint, Protocol: f.Protocol, Timeout: f.Timeout, Seen: f.Seen, Stamps: f.Stamps}
	if f.Seen == 0 {
		e.Left = max(0, f.End-uptime)
	}
	return e
}

// same reports whether nothing happened to an entry between two readings, which
// tell one deadline a little differently.
func (f EntryFrame) same(o EntryFrame) bool {
	d := (f.End - o.End).Abs()
	return f.EntryKey == o.EntryKey && d < jitter && f.Timeout == o.Timeout && f.Seen == o.Seen && slices.Equal(f.Stamps, o.Stamps)
}

// Feed reads the tables of this machine for another one. One goroutine at a
// time may use it.
type Feed struct {
	reader *Reader
	seq    uint64
	sent   map[string]sentList
}

type sentList struct {
	head    ListFrame
	entries map[EntryKey]EntryFrame
}

// NewFeed returns a Feed of this machine.
func NewFeed() *Feed { return &Feed{reader: NewReader()} }

// Close ends what the Feed holds open.
func (f *Feed) Close() { f.reader.Close() }

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
	n, err := f.reader.read(want)
	if err != nil {
		return f.fault(err)
	}
	out := Frame{Full: since == 0 || since != f.seq, Mode: n.mode, Uptime: n.uptime, Age: time.Since(n.at), Unknown: n.unknown}
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

// difference adds to a frame what the last one did not have.
func (f *Feed) difference(out *Frame, n reading) {
	now := make(map[string]sentList, len(n.lists))
	for _, l := range n.lists {
		s := sentList{head: ListFrame{Name: l.Name, Family: l.Family, Timeout: l.Timeout, Limit: l.Limit, Cut: l.Cut}, entries: make(map[EntryKey]EntryFrame, len(l.Entries))}
		before, known := f.sent[l.Name]
		change := s.head
		for _, e := range l.Entries {
			x := toFrame(e, n.uptime)
			if old, ok := before.entries[x.EntryKey]; ok && old.same(x) {
				x = old // what was sent stays the measure, or small steps would add up
			} else {
				change.Put = append(change.Put, x)
			}
			s.entries[x.EntryKey] = x
		}
		for key := range before.entries {
			if _, still := s.entries[key]; !still {
				change.Gone = append(change.Gone, key)
			}
		}
		now[l.Name] = s
		if !known || len(change.Put) > 0 || len(change.Gone) > 0 || !sameHead(before.head, s.head) {
			out.Lists = append(out.Lists, change)
		}
	}
	for name := range f.sent {
		if _, still := now[name]; !still {
			out.Gone = append(out.Gone, name)
		}
	}
	f.sent = now
}

func sameHead(x, y ListFrame) bool {
	return x.Family == y.Family && x.Timeout == y.Timeout && x.Limit == y.Limit && x.Cut == y.Cut
}
