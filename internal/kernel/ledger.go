package kernel

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// ledger holds what the last reading meant, and finds out what another one
// changes. Most entries of most readings say what they said before; they cost a
// look-up and nothing else.
type ledger struct {
	node  string
	books map[bookKey]*book
	turn  uint32 // of the reading
	pins  int    // in force

	noClock bool // ages cannot be told: HZ is not known
	cut     bool // there were more entries than are read
	lists   []affinity.AddressList
	clock   clock // that ages were told by

	changed []*held // of this reading
	first   map[holder]bool
	groups  map[groupKey][]*book
}

// bookKey is a place on this node: what has a list of its own.
type bookKey struct {
	groupKey
	endpoint string
}

// groupKey is what a node's rules look a client up for, one endpoint after the
// other, until the first that has it.
type groupKey struct {
	service  affinity.ServiceRef
	portName string
	protocol string
}

// book is one list, as the last reading had it.
type book struct {
	place   place
	timeout time.Duration // of the kernel's list, where it has one
	mode    Mode
	list    affinity.AddressList
	held    map[holder]*held
	turn    uint32
	again   bool // the reading before had the list too
	changed bool
}

// holder is a client, as a list knows it.
type holder struct {
	client netip.Addr
	front  string // of ipvs and Cilium
}

// held is an entry of a list.
type held struct {
	pin     *affinity.AddressPin // told last; nil when its time is up
	seen    uint64               // of xt_recent
	turn    uint32
	changed bool // in ledger.changed
}

func newLedger(node string) *ledger {
	return &ledger{node: node, books: map[bookKey]*book{}, first: map[holder]bool{}, groups: map[groupKey][]*book{}}
}

// take folds a reading. Its results are the caller's.
func (l *ledger) take(n reading, want *expected, c *clock) (put []affinity.AddressPin, gone []affinity.AddressEnd, lists []affinity.AddressList) {
	l.turn++
	l.cut, l.noClock, l.changed = false, false, l.changed[:0]
	if n.mode == ModeIPTables && c.hz == 0 {
		c.infer(newest(n.lists), n.uptime)
		l.noClock = c.hz == 0
	}
	fresh := *c != l.clock
	l.clock = *c
	for i := range n.lists {
		list := &n.lists[i]
		l.cut = l.cut || list.Cut
		if n.mode.byFront() {
			gone = l.templates(n, list, want, gone)
			continue
		}
		at, ok := want.recent[list.Name]
		if n.mode == ModeNFTables {
			at, ok = want.sets[list.Name]
		}
		if !ok {
			continue
		}
		b, redo := l.open(want.places[at], list, n.mode)
		redo = redo || fresh
		for i := range list.Entries {
			gone = l.entry(b, &list.Entries[i], list, n, redo, gone)
		}
	}
	gone = l.close(n, gone)
	l.shadow()
	if len(l.changed) > 0 {
		put = make([]affinity.AddressPin, 0, len(l.changed))
	}
	for _, h := range l.changed {
		h.changed = false
		if h.pin != nil {
			put = append(put, *h.pin)
		}
	}
	return put, gone, l.relist()
}

// open finds the book of a list, and reports whether its entries mean something
// else than before: the Service's timeout or the pod is another.
func (l *ledger) open(p place, list *List, mode Mode) (b *book, redo bool) {
	key := bookKey{groupKey{p.service, p.portName, p.protocol}, p.endpoint.Addr}
	b = l.books[key]
	if b == nil {
		b = &book{held: make(map[holder]*held, len(list.Entries))}
		l.books[key] = b
	}
	redo = b.place != p || b.timeout != list.Timeout || b.mode != mode
	b.changed = b.changed || b.place.order != p.order
	b.place, b.timeout, b.mode = p, list.Timeout, mode
	if b.turn != l.turn {
		b.again = b.turn != 0 && b.turn == l.turn-1
		b.turn = l.turn
		b.list = affinity.AddressList{Node: l.node, Service: p.service, PortName: p.portName, Protocol: p.protocol, Endpoint: p.endpoint.Addr,
			Pod: p.endpoint.Pod, Mode: string(mode), Name: list.Name, Limit: list.Limit, Evicts: mode == ModeIPTables}
	}
	return b, redo
}

// entry folds one entry. redo asks to work out anew what it means.
func (l *ledger) entry(b *book, e *Entry, list *List, n reading, redo bool, gone []affinity.AddressEnd) []affinity.AddressEnd {
	k := holder{e.Client, e.tie().Front}
	h := b.held[k]
	if h == nil {
		h = &held{}
		b.held[k] = h
	}
	begins := h.pin == nil && (h.turn == 0 && b.again || h.turn != 0 && !redo)
	known := h.turn != 0 && !redo
	h.turn = l.turn
	if known && h.same(e, n) {
		if h.pin == nil {
			b.list.Expired++
		} else {
			b.list.Live++
		}
		return gone
	}
	h.seen = e.Seen
	p := b.place
	pin := affinity.AddressPin{Port: p.port, Pod: p.endpoint.Pod, Renewal: affinity.RenewalSliding, Source: affinity.DeadlineKernel,
		AddressKey: affinity.AddressKey{Node: l.node, Service: p.service, PortName: p.portName, Protocol: p.protocol, Client: e.Client, Endpoint: p.endpoint.Addr, Front: k.front}}
	switch n.mode {
	case ModeNFTables:
		fromSet(&pin, n, *list, *e, p)
	case ModeIPVS:
		pin.Timeout, pin.Expires, pin.Note = p.timeout, n.at.Add(e.Left), "open connections hold it beyond its time"
		pin.SinceOrBefore = true
	case ModeCilium:
		fromMap(&pin, n, *e, p)
	default:
		if !l.clock.fromRecent(&pin, n, *e, p) {
			b.list.Expired++
			if h.pin != nil {
				gone = append(gone, affinity.AddressEnd{AddressPin: *h.pin, At: n.at, Reason: affinity.AddressEndExpired})
				h.pin, b.changed = nil, true
			}
			return gone
		}
	}
	b.list.Live++
	pin.SinceOrBefore = pin.SinceOrBefore && !begins
	l.tell(b, h, pin, n.at)
	return gone
}

// same reports whether an entry says what it said at the last reading.
func (h *held) same(e *Entry, n reading) bool {
	if n.mode == ModeIPTables {
		return h.seen == e.Seen && (h.pin == nil || !h.pin.Over(n.at))
	}
	if h.pin == nil {
		return false
	}
	d := n.at.Add(e.Left).Sub(h.pin.Expires)
	if n.mode.byFront() {
		return d < time.Second+jitter && d > -time.Second-jitter // whole seconds, cut off
	}
	return d < jitter && d > -jitter
}

// tell keeps what is known of a pin from before: since when it holds, and its
// deadline unless it was renewed.
func (l *ledger) tell(b *book, h *held, pin affinity.AddressPin, at time.Time) {
	if before := h.pin; before != nil {
		pin.Shadowed = before.Shadowed
		if d := pin.Expires.Sub(before.Expires); d < jitter && d > -jitter {
			pin.Expires, pin.Renewed = before.Expires, before.Renewed
		}
		if pin.Since.IsZero() || !before.Since.IsZero() && !pin.Since.Before(before.Since) {
			pin.Since, pin.SinceOrBefore = before.Since, before.SinceOrBefore
		}
		if *before == pin {
			return
		}
	} else {
		b.changed = true
		if pin.Since.IsZero() {
			pin.Since = at
		}
	}
	h.pin = &pin
	l.change(h)
}

func (l *ledger) change(h *held) {
	if !h.changed {
		h.changed = true
		l.changed = append(l.changed, h)
	}
}

// templates takes the pins of ipvs and Cilium, which are apart for every address that
// clients ask for.
func (l *ledger) templates(n reading, list *List, want *expected, gone []affinity.AddressEnd) []affinity.AddressEnd {
	redone := map[int]bool{}
	for i := range list.Entries {
		e := &list.Entries[i]
		at, ok := want.ofTemplate(e.tie())
		if !ok {
			continue
		}
		b, redo := l.open(want.places[at], list, n.mode)
		redone[at] = redone[at] || redo
		gone = l.entry(b, e, list, n, redone[at], gone)
	}
	return gone
}

// close ends the pins that the reading did not show.
func (l *ledger) close(n reading, gone []affinity.AddressEnd) []affinity.AddressEnd {
	l.pins = 0
	for key, b := range l.books {
		there := b.turn == l.turn
		for k, h := range b.held {
			if there && h.turn == l.turn {
				continue
			}
			delete(b.held, k)
			b.changed = true
			if h.pin == nil {
				continue
			}
			end := affinity.AddressEnd{AddressPin: *h.pin, At: n.at, Reason: affinity.AddressEndUnknown}
			switch {
			case h.pin.Over(n.at.Add(jitter)), n.mode == ModeIPTables && b.reaps(h.pin, n.at):
				end.Reason = affinity.AddressEndExpired
			case !there && slices.Contains(n.absent, b.place.family):
				end.Reason = affinity.AddressEndUnread
			case !there:
				end.Reason = affinity.AddressEndRemoved
			case b.list.Full() && b.list.Evicts:
				end.Reason = affinity.AddressEndEvicted
			}
			gone = append(gone, end)
		}
		if !there {
			delete(l.books, key)
			l.touch(key.groupKey)
			continue
		}
		l.pins += b.list.Live
	}
	return gone
}

// reaps reports whether a node that does as the Service says now had let a pin
// expire by at: its rule counts a shorter timeout for old entries too, and takes
// away what it finds expired (kubernetes: pkg/proxy/iptables/proxier.go, --reap).
func (b *book) reaps(p *affinity.AddressPin, at time.Time) bool {
	return !p.Renewed.IsZero() && b.place.timeout > 0 && !at.Add(jitter).Before(p.Renewed.Add(b.place.timeout))
}

// touch makes a group look for the first in order again.
func (l *ledger) touch(g groupKey) {
	for key, b := range l.books {
		if key.groupKey == g {
			b.changed = true
		}
	}
}

// shadow finds the pins that are never used, in the groups where any came or
// went: an endpoint that comes earlier in the node's rules holds the client.
func (l *ledger) shadow() {
	clear(l.groups)
	for key, b := range l.books {
		if !b.mode.byFront() {
			l.groups[key.groupKey] = append(l.groups[key.groupKey], b)
		}
	}
	for _, books := range l.groups {
		if !slices.ContainsFunc(books, func(b *book) bool { return b.changed }) {
			continue
		}
		slices.SortFunc(books, func(a, b *book) int { return cmp.Compare(a.place.order, b.place.order) })
		clear(l.first)
		for _, b := range books {
			b.changed = false
			for k, h := range b.held {
				if h.pin == nil {
					continue
				}
				if h.pin.Shadowed != l.first[k] {
					pin := *h.pin // the one before is a snapshot's
					pin.Shadowed = l.first[k]
					h.pin = &pin
					l.change(h)
				}
			}
			for k, h := range b.held {
				if h.pin != nil {
					l.first[k] = true
				}
			}
		}
	}
}

// relist returns the lists in order: the same slice as before when nothing
// about them has changed.
func (l *ledger) relist() []affinity.AddressList {
	now := make([]affinity.AddressList, 0, len(l.books))
	for _, b := range l.books {
		now = append(now, b.list)
	}
	slices.SortFunc(now, func(a, b affinity.AddressList) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Endpoint, b.Endpoint), strings.Compare(a.PortName, b.PortName),
			strings.Compare(a.Service.String(), b.Service.String()))
	})
	if !slices.Equal(now, l.lists) {
		l.lists = now
	}
	return l.lists
}

// all are the pins in force, for when they end together.
func (l *ledger) all() []affinity.AddressPin {
	var out []affinity.AddressPin
	for _, b := range l.books {
		for _, h := range b.held {
			if h.pin != nil {
				out = append(out, *h.pin)
			}
		}
	}
	return out
}
