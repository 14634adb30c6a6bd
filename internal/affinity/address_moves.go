package affinity

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// maxNamed bounds the addresses that one line of the timeline names.
const maxNamed = 3

// maxMoveLines bounds the lines of moved addresses that one reading gives.
const maxMoveLines = 16

// addressMove is what addresses that moved have in common.
type addressMove struct {
	service  ServiceRef
	from, to string // endpoints
	why      AddressEndReason
	first    bool // the pin to from goes on, behind that to to
}

// addressMoved are those of one reading.
type addressMoved struct {
	addressMove
	fromPod, toPod PodRef
	clients        []netip.Addr // the first maxNamed
	n              int
	ended          time.Time // of the newest pin that ended
}

// holderOf is the key of all pins of a client that exclude one another.
func holderOf(key AddressKey) AddressKey {
	key.Endpoint = ""
	return key
}

// moveAddresses tells of clients that a node's tables tie to another endpoint
// than before. It comes before the pins of e are put. Our own sessions tell of
// themselves.
func (st *State) moveAddresses(e AddressPinsChanged, now time.Time) {
	a := &st.addresses
	moved := map[addressMove]*addressMoved{}
	for i := range e.Put {
		p := &e.Put[i]
		if p.Shadowed || p.Source != DeadlineKernel {
			continue
		}
		old := a.pins[p.AddressKey]
		if old != nil && !old.Shadowed {
			continue
		}
		who := holderOf(p.AddressKey)
		before, had := a.lastEnds[who]
		delete(a.lastEnds, who)
		m := addressMove{service: p.Service, to: p.Endpoint, why: before.Reason}
		if other := st.inForce(p, now); other != nil {
			before, had, m.first = AddressEnd{AddressPin: *other, At: now}, true, true
		}
		if !had || before.Endpoint == p.Endpoint || a.own[p.Client.Unmap()] {
			continue
		}
		m.from = before.Endpoint
		g := moved[m]
		if g == nil {
			g = &addressMoved{addressMove: m, fromPod: before.Pod, toPod: p.Pod}
			moved[m] = g
		}
		if g.n++; len(g.clients) < maxNamed {
			g.clients = append(g.clients, p.Client)
		}
		if before.At.After(g.ended) {
			g.ended = before.At
		}
	}
	st.tellMoved(e.Node, moved, now)
}

// inForce finds the pin that decided for p's client until now, although it is
// not over: rules that stand in another order, or two connections at once.
func (st *State) inForce(p *AddressPin, now time.Time) *AddressPin {
	b := st.backends[p.Service]
	if b == nil {
		return nil
	}
	key := p.AddressKey
	for _, e := range b.all {
		if key.Endpoint = e.Addr; e.PortName != p.PortName || e.Addr == p.Endpoint {
			continue
		}
		if other := st.addresses.pins[key]; other != nil && !other.Shadowed && other.Source == DeadlineKernel && !other.Over(now) {
			return other
		}
	}
	return nil
}

func (st *State) tellMoved(node string, moved map[addressMove]*addressMoved, now time.Time) {
	all := make([]*addressMoved, 0, len(moved))
	for _, g := range moved {
		all = append(all, g)
	}
	slices.SortFunc(all, func(x, y *addressMoved) int {
		return cmp.Or(compareService(x.service, y.service), cmp.Compare(y.n, x.n), strings.Compare(x.from, y.from), strings.Compare(x.to, y.to), cmp.Compare(x.why, y.why))
	})
	for _, g := range all[:min(len(all), maxMoveLines)] {
		h := Happening{At: now, Source: "kernel", Kind: "pin", Pod: g.toPod, Level: LevelChange,
			Text: fmt.Sprintf("%s→%s on %s: %s of %s", st.endpointLabel(g.fromPod, g.from), st.endpointLabel(g.toPod, g.to), node, st.addressNames(g), g.service)}
		h.CauseText, h.Cause = st.whyMoved(g, now)
		st.happen(h)
	}
	if rest := len(all) - maxMoveLines; rest > 0 {
		n := 0
		for _, g := range all[maxMoveLines:] {
			n += g.n
		}
		st.happen(Happening{At: now, Source: "kernel", Kind: "pin", Level: LevelChange, Text: fmt.Sprintf("%d more addresses have another pod on %s", n, node)})
	}
}

// addressNames names those that moved, and whose they are where that is known.
func (st *State) addressNames(g *addressMoved) string {
	names := make([]string, 0, maxNamed+1)
	for _, c := range g.clients {
		name := c.String()
		if o := st.ownerOf(c).String(); o != "" {
			name += " (" + o + ")"
		}
		names = append(names, name)
	}
	if rest := g.n - len(g.clients); rest > 0 {
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return strings.Join(names, ", ")
}

// endpointLabel is the tag of a pod, or the address where no pod is known.
func (st *State) endpointLabel(pod PodRef, endpoint string) string {
	if pod.IsZero() {
		return endpoint
	}
	return st.tag(pod)
}

// whyMoved says why the node asked its dice again, or which of its rules came
// first.
func (st *State) whyMoved(g *addressMoved, now time.Time) (text string, seq uint64) {
	from := st.endpointLabel(g.fromPod, g.from)
	switch {
	case g.first:
		return "the pin to " + from + " is still in its time, but " + st.endpointLabel(g.toPod, g.to) + " stands earlier in the node's rules", 0
	case g.why == AddressEndExpired && g.n == 1:
		return "its pin to " + from + " had expired " + shortDuration(now.Sub(g.ended)) + " before", 0
	case g.why == AddressEndExpired:
		return "their pins to " + from + " had expired, the last " + shortDuration(now.Sub(g.ended)) + " before", 0
	case g.why == AddressEndEvicted:
		return "the node's list of " + from + " was full and pushed them out", 0
	case g.why == AddressEndOff:
		return "the Service's sessionAffinity was not ClientIP in between", 0
	case g.why == AddressEndUnread:
		return "it happened while the tables were not read", 0
	}
	text = "the node dropped " + from + " and its pins"
	if g.why == AddressEndUnknown {
		text = "the node dropped the pin to " + from + " before its time"
	}
	if b := st.backends[g.service]; b != nil {
		for i := len(b.changes) - 1; i >= 0; i-- {
			if why, ok := b.changes[i].left[g.fromPod]; ok {
				return text + ": " + why, b.told(b.changes[i], g.fromPod)
			}
		}
	}
	return text, 0
}
