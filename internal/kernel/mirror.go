package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Remote reads the tables of another machine: it answers with what changed
// since the frame since, and with the instant of the reading on our own clock.
type Remote func(ctx context.Context, names Names, since uint64) (Frame, time.Time, error)

// ErrOutOfStep: a frame is not the next one, so that the next has to be full.
var ErrOutOfStep = errors.New("the node's agent lost the thread; everything is read again")

// mirror holds what another machine's frames add up to.
type mirror struct {
	seq     uint64
	lists   map[string]sentList
	entries []Entry // of a reading, used again by the next
}

type sentList struct {
	head    ListFrame
	entries map[entryKey]sent
}

// sent is an EntryFrame without its key, in the little memory that one of 50,000
// may take.
type sent struct {
	end, timeout time.Duration
	seen         uint64
	stamps       []uint64
}

func (s sent) entry(k entryKey, uptime time.Duration) Entry {
	e := Entry{Client: k.client, via: k.via, Timeout: s.timeout, Seen: s.seen, Stamps: s.stamps}
	if s.seen == 0 {
		e.Left = max(0, s.end-uptime)
	}
	return e
}

// maxMirrored bounds what is held of one node, in entries.
const maxMirrored = 1 << 20

// apply takes a frame of the reading at that time on our own clock. The entries
// of its reading are good until the next.
func (m *mirror) apply(f Frame, at time.Time) (reading, clock, error) {
	if f.Fault != "" {
		*m = mirror{}
		if err, ok := faults[f.Fault]; ok {
			return reading{}, clock{}, err
		}
		return reading{}, clock{}, errors.New("the node's agent: " + affinity.Clean(f.Text, 200))
	}
	if f.Full {
		m.lists = nil
	} else if f.Seq != m.seq+1 {
		*m = mirror{}
		return reading{}, clock{}, ErrOutOfStep
	}
	if !f.Mode.known() {
		*m = mirror{}
		return reading{}, clock{}, fmt.Errorf("the node's agent: unknown mode %q", affinity.Clean(string(f.Mode), 20))
	}
	m.seq = f.Seq
	if m.lists == nil {
		m.lists = map[string]sentList{}
	}
	for _, name := range f.Gone {
		delete(m.lists, name)
	}
	for _, l := range f.Lists {
		m.list(l)
	}
	n := reading{mode: f.Mode, at: at, uptime: f.Uptime, unknown: f.Unknown, others: f.Others, absent: f.Absent}
	total := 0
	for _, s := range m.lists {
		total += len(s.entries)
	}
	if total > maxMirrored {
		*m = mirror{}
		return reading{}, clock{}, errors.New("the node's agent sends more pins than a node can hold")
	}
	m.entries = slices.Grow(m.entries[:0], total)
	for name, s := range m.lists {
		from := len(m.entries)
		for k, e := range s.entries {
			m.entries = append(m.entries, e.entry(k, f.Uptime))
		}
		n.lists = append(n.lists, List{Name: name, Family: s.head.Family, Timeout: s.head.Timeout, Limit: s.head.Limit, Cut: s.head.Cut, Entries: m.entries[from:len(m.entries):len(m.entries)]})
	}
	c := clock{exact: f.Exact}
	if slices.Contains(hertz, f.HZ) {
		c.hz, c.offset = f.HZ, f.Offset
	}
	return n, c, nil
}

func (m *mirror) list(l ListFrame) {
	s := m.lists[l.Name]
	if s.entries == nil {
		s.entries = make(map[entryKey]sent, len(l.Put))
	}
	s.head = ListFrame{Family: l.Family, Timeout: l.Timeout, Limit: l.Limit, Cut: l.Cut}
	for _, key := range l.Gone {
		delete(s.entries, key.key())
	}
	for _, e := range l.Put {
		if e.Client.IsValid() {
			s.entries[e.key()] = sent{e.End, e.Timeout, e.Seen, e.Stamps}
		}
	}
	m.lists[l.Name] = s
}

// names are those of the lists that a node may have.
func (x *expected) names() Names {
	var n Names
	for name := range x.sets {
		n.Sets = append(n.Sets, name)
	}
	for name := range x.recent {
		n.Recent = append(n.Recent, name)
	}
	return n
}

// read reads this machine or, where there is a Remote, another.
func (s *Source) read(ctx context.Context, want *expected) (reading, error) {
	if s.opts.Remote == nil {
		return s.reader.read(want)
	}
	f, at, err := s.opts.Remote(ctx, want.names(), s.mirror.seq)
	if err != nil {
		s.mirror = mirror{}
		return reading{}, err
	}
	n, c, err := s.mirror.apply(f, at)
	s.reader.clock = c
	return n, err
}
