package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// world is what one reading means, in the words of the objects.
type world struct {
	pins    map[affinity.AddressKey]*affinity.AddressPin
	expired map[affinity.AddressKey]bool // entries whose time is up, still in their list
	lists   []affinity.AddressList
	noClock bool // ages cannot be told: HZ is not known
	cut     bool
}

// client is what a node's rules look up, one after the other over the
// endpoints, until the first that has it.
type client struct {
	service  affinity.ServiceRef
	portName string
	protocol string
	address  netip.Addr
	front    string
}

// interpret joins what the kernel holds with what the objects say.
func (r *Reader) interpret(n reading, want *expected, node string) world {
	w := world{pins: map[affinity.AddressKey]*affinity.AddressPin{}, expired: map[affinity.AddressKey]bool{}}
	if n.mode == ModeIPTables && r.clock.hz == 0 {
		r.clock.infer(newest(n.lists), n.uptime)
		w.noClock = r.clock.hz == 0
	}
	first := map[client]*affinity.AddressPin{}
	order := map[*affinity.AddressPin]int{}
	for _, l := range n.lists {
		w.cut = w.cut || l.Cut
		if n.mode == ModeIPVS {
			w.templates(n, l, want, node)
			continue
		}
		at, ok := want.recent[l.Name]
		if n.mode == ModeNFTables {
			at, ok = want.sets[l.Name]
		}
		if !ok {
			continue
		}
		p := want.places[at]
		list := affinity.AddressList{Node: node, Service: p.service, PortName: p.portName, Protocol: p.protocol, Endpoint: p.endpoint.Addr,
			Pod: p.endpoint.Pod, Mode: string(n.mode), Name: l.Name, Limit: l.Limit, Evicts: n.mode == ModeIPTables}
		for _, e := range l.Entries {
			key := affinity.AddressKey{Node: node, Service: p.service, PortName: p.portName, Protocol: p.protocol, Client: e.Client, Endpoint: p.endpoint.Addr}
			pin := &affinity.AddressPin{AddressKey: key, Port: p.port, Pod: p.endpoint.Pod, Renewal: affinity.RenewalSliding, Source: affinity.DeadlineKernel}
			if n.mode == ModeNFTables {
				fromSet(pin, n, l, e, p)
			} else if !r.clock.fromRecent(pin, n, e, p) {
				list.Expired++
				w.expired[key] = true
				continue
			}
			list.Live++
			w.pins[key] = pin
			order[pin] = p.order
			c := client{p.service, p.portName, p.protocol, e.Client, ""}
			if other := first[c]; other == nil || order[other] > p.order {
				first[c] = pin
			}
		}
		w.lists = append(w.lists, list)
	}
	for _, pin := range w.pins {
		if n.mode != ModeIPVS {
			pin.Shadowed = first[client{pin.Service, pin.PortName, pin.Protocol, pin.Client, ""}] != pin
		}
	}
	return w
}

func newest(lists []List) (stamp uint64) {
	for _, l := range lists {
		for _, e := range l.Entries {
			stamp = max(stamp, e.Seen)
		}
	}
	return stamp
}

// fromSet takes the deadline that the kernel counts down itself. An element
// keeps it when the set's timeout changes, until its next connection.
func fromSet(pin *affinity.AddressPin, n reading, l List, e Entry, p place) {
	pin.Timeout, pin.Expires = l.Timeout, n.at.Add(e.Left)
	if e.Timeout == 0 && e.Left <= l.Timeout+jitter {
		pin.Renewed = pin.Expires.Add(-l.Timeout)
		pin.Since = pin.Renewed
	}
	if l.Timeout != p.timeout {
		pin.Note = fmt.Sprintf("the Service says %s, the node still enforces %s", p.timeout, l.Timeout)
	}
}

// fromRecent works the deadline out from the last connection: xt_recent holds
// no timeout, the rule that looks a client up does, so that a changed
// timeoutSeconds counts for old entries too. It returns false when the time of
// the entry is up.
func (c clock) fromRecent(pin *affinity.AddressPin, n reading, e Entry, p place) bool {
	pin.Timeout = p.timeout
	age, ok := c.age(e.Seen, n.uptime)
	if !ok {
		pin.Note = "when it ends cannot be told: the kernel's HZ is not known"
		return true
	}
	if age > p.timeout {
		return false
	}
	pin.Renewed = n.at.Add(-age)
	pin.Expires = pin.Renewed.Add(p.timeout)
	pin.Since = pin.Renewed
	// Back through the stamps while no gap is longer than the timeout.
	stamps := slices.Clone(e.Stamps)
	slices.Sort(stamps)
	last := age
	for _, s := range slices.Backward(stamps) {
		a, ok := c.age(s, n.uptime)
		if !ok || a-last > p.timeout {
			break
		}
		last = max(a, last)
	}
	pin.Since = n.at.Add(-last)
	return true
}

// templates takes the pins of ipvs, which are apart for every address that
// clients ask for.
func (w *world) templates(n reading, l List, want *expected, node string) {
	lists := map[int]*affinity.AddressList{}
	for _, e := range l.Entries {
		at, ok := want.ofTemplate(e)
		if !ok {
			continue
		}
		p := want.places[at]
		key := affinity.AddressKey{Node: node, Service: p.service, PortName: p.portName, Protocol: p.protocol, Client: e.Client, Endpoint: p.endpoint.Addr, Front: e.Front}
		w.pins[key] = &affinity.AddressPin{AddressKey: key, Port: p.port, Pod: p.endpoint.Pod, Timeout: p.timeout, Expires: n.at.Add(e.Left),
			Renewal: affinity.RenewalSliding, Source: affinity.DeadlineKernel, Note: "open connections hold it beyond its time"}
		if lists[at] == nil {
			lists[at] = &affinity.AddressList{Node: node, Service: p.service, PortName: p.portName, Protocol: p.protocol, Endpoint: p.endpoint.Addr,
				Pod: p.endpoint.Pod, Mode: string(n.mode), Name: l.Name}
		}
		lists[at].Live++
	}
	for _, list := range lists {
		w.lists = append(w.lists, *list)
	}
}

// jitter is how far two readings of one deadline lie apart without anything
// having happened.
const jitter = 250 * time.Millisecond

// difference compares two readings; old is not used afterwards. Pins keep what
// is known from before: since when they hold, and their deadline unless it was
// renewed.
func difference(old, now world, node string, at time.Time) (put []affinity.AddressPin, gone []affinity.AddressEnd) {
	for key, pin := range now.pins {
		before := old.pins[key]
		if before != nil {
			if d := pin.Expires.Sub(before.Expires); d < jitter && d > -jitter {
				pin.Expires, pin.Renewed = before.Expires, before.Renewed
			}
			if pin.Since.IsZero() || !before.Since.IsZero() && before.Since.Before(pin.Since) {
				pin.Since = before.Since
			}
			if *before == *pin {
				continue
			}
		} else if pin.Since.IsZero() {
			pin.Since = at
		}
		put = append(put, *pin)
	}
	full, there := map[listKey]bool{}, map[listKey]bool{}
	for _, l := range now.lists {
		k := listKey{l.Service, l.PortName, l.Protocol, l.Endpoint}
		there[k], full[k] = true, l.Full() && l.Evicts
	}
	for key, pin := range old.pins {
		if now.pins[key] != nil {
			continue
		}
		end := affinity.AddressEnd{AddressPin: *pin, At: at, Reason: affinity.AddressEndUnknown}
		k := listKey{key.Service, key.PortName, key.Protocol, key.Endpoint}
		switch {
		case pin.Over(at.Add(jitter)) || now.expired[key]:
			end.Reason = affinity.AddressEndExpired
		case !there[k]:
			end.Reason = affinity.AddressEndRemoved
		case full[k]:
			end.Reason = affinity.AddressEndEvicted
		}
		gone = append(gone, end)
	}
	return put, gone
}

type listKey struct {
	service  affinity.ServiceRef
	portName string
	protocol string
	endpoint string
}
