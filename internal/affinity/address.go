package affinity

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Families of addresses, in the words of Service.spec.ipFamilies.
const (
	IPv4 = "IPv4"
	IPv6 = "IPv6"
)

// FamilyOf returns the family of an address.
func FamilyOf(a netip.Addr) string {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// DeadlineSource is how the deadline of a pin by address is known.
type DeadlineSource uint8

const (
	DeadlineAssumed DeadlineSource = iota // the dataplane is not known
	DeadlineDerived                       // from our own connection and a known dataplane
	DeadlineKernel                        // read from the tables of the node
)

func (s DeadlineSource) String() string { return [...]string{"assumed", "derived", "kernel"}[s] }

// AddressKey says which pin by address it is. A Service with ClientIP affinity
// ties a client once for each node, family and port, never as a whole.
type AddressKey struct {
	Node     string
	Service  ServiceRef
	PortName string
	Protocol string // "TCP"
	Client   netip.Addr
	Endpoint string // "ip:port", as Endpoint.Addr; "" of a pin that our own connection made, and whose pod nothing names
	Front    string // "ip:port" that was asked for, where the dataplane keeps pins apart by it (ipvs); else ""
}

// AddressPin ties a client's address to an endpoint on one node.
type AddressPin struct {
	AddressKey
	Port    int    // of the Service
	Pod     PodRef // zero when the EndpointSlice names none
	Timeout time.Duration

	Since time.Time // of the unbroken pin, as far back as the node or this run knows
	// SinceOrBefore reports that Since is only as far back as was seen: one
	// reading of a set tells the last connection, not the first.
	SinceOrBefore bool
	Renewed       time.Time // of the last connection that restarted the timer; zero when not known
	Expires       time.Time // zero when not known
	Renewal       Renewal
	Source        DeadlineSource

	// Shadowed pins are in their time but never used: an endpoint that comes
	// earlier in the node's rules holds the same client.
	Shadowed bool
	Note     string // "the node still enforces 3h0m0s", safe to print
}

// Family returns the family of the client's address.
func (p AddressPin) Family() string { return FamilyOf(p.Client) }

// Remaining returns the time left, 0 when it is over; ok is false when no
// deadline is known.
func (p AddressPin) Remaining(now time.Time) (left time.Duration, ok bool) {
	if p.Expires.IsZero() {
		return 0, false
	}
	return max(0, p.Expires.Sub(now)), true
}

// Over reports whether the deadline has passed.
func (p AddressPin) Over(now time.Time) bool { return !p.Expires.IsZero() && !now.Before(p.Expires) }

// AddressList is where a node keeps the pins of one endpoint: an affinity set
// of nftables, a list of xt_recent. Its size is bounded.
type AddressList struct {
	Node     string
	Service  ServiceRef
	PortName string
	Protocol string
	Endpoint string
	Pod      PodRef
	Mode     string // of kube-proxy: "nftables", "iptables", "ipvs"
	Name     string // the kernel's
	Live     int    // pins in their time
	Expired  int    // entries whose time is up but which still take a place (xt_recent)
	Limit    int    // 0: not known
	// Evicts reports what a full list does: xt_recent drops the client that was
	// longest away, an nftables set takes no new one and leaves it unpinned.
	Evicts bool
}

// Filling reports whether it is four fifths full, or full.
func (l AddressList) Filling() bool {
	return l.Limit > 0 && float64(l.Live+l.Expired) >= listFilling*float64(l.Limit)
}

// Full reports whether no further client fits.
func (l AddressList) Full() bool { return l.Limit > 0 && l.Live+l.Expired >= l.Limit }

// AddressEndReason is why a pin by address ended.
type AddressEndReason uint8

const (
	AddressEndUnknown AddressEndReason = iota // it was there, and is not
	AddressEndExpired                         // no new connection came in time
	AddressEndEvicted                         // the list was full and others came
	AddressEndRemoved                         // the node dropped the endpoint and its pins
	AddressEndUnread                          // the tables are not read any more
	AddressEndOff                             // the Service pins nobody any more: its sessionAffinity was changed
)

func (r AddressEndReason) String() string {
	return [...]string{"gone", "expired", "evicted", "endpoint-removed", "unread", "affinity-off"}[r]
}

// AddressEnd is a pin that ended.
type AddressEnd struct {
	AddressPin
	At     time.Time
	Seq    uint64 // grows; set by the State
	Reason AddressEndReason
}

// AddressPinsChanged is the difference between two readings of a node's tables.
type AddressPinsChanged struct {
	Node  string
	Mode  string        // of what keeps them there, as in Dataplane; "" when it is not read any more
	Put   []AddressPin  // new, or with another deadline or state
	Gone  []AddressEnd  // no longer there; Seq is the State's
	Lists []AddressList // all of the node's, also those without a pin
}

func (AddressPinsChanged) event() {}

// maxAddressEnds bounds the ended pins that are remembered.
const maxAddressEnds = 4096

// addresses is the part of a State that holds pins by address.
type addresses struct {
	pins  map[AddressKey]*AddressPin
	lists map[string][]AddressList // by node
	ends  []AddressEnd
	ended uint64
	// lastEnds are the newest of ends by holderOf, until the client is pinned again.
	lastEnds map[AddressKey]AddressEnd

	found     map[addressKeyed]Finding    // what pins showed
	standing  map[addressKeyed]*standing  // of those of found that speak of now
	news      bool                        // found has changed since it was told
	foundWith uint64                      // State.routesVersion when found was told last
	unready   map[PodRef]time.Time        // since when pods with pins are not, as far as it was seen
	owners    map[netip.Addr]AddressOwner // nil when pods have changed
	nodes     map[netip.Addr]string       // by the address that their pods give as their host's
	modes     map[string]string           // of kube-proxy, by node
	tables    map[string]string           // likewise, of the nodes whose tables are read
	plane     Dataplane                   // what the nodes and the objects amount to
	derived   map[AddressKey]bool         // pins that our own connections made, and no kernel told of
	own       map[netip.Addr]bool         // addresses of sessions

	viewPins  []*AddressPin
	viewLists []AddressList           // nil when they have changed
	touched   map[AddressKey]struct{} // pins that changed since viewPins was made
}

func (st *State) applyAddressPins(e AddressPinsChanged, now time.Time) {
	a := &st.addresses
	a.init()
	a.viewLists = nil
	a.lists[e.Node] = e.Lists
	mode := e.Mode
	if mode == "" && len(e.Lists) > 0 {
		mode = e.Lists[0].Mode
	}
	st.modeOf(e.Node, mode)
	if a.tables[e.Node] != mode {
		a.tables[e.Node] = mode
		st.judgePlane()
	}
	evicted := map[string]int{} // by endpoint
	for _, end := range e.Gone {
		if a.pins[end.AddressKey] == nil {
			continue
		}
		if svc, known := st.services[end.Service]; end.Reason == AddressEndRemoved && known && svc.Policy.Mechanism != MechanismClientIP {
			end.Reason = AddressEndOff
		}
		a.end(end)
		if end.Reason == AddressEndEvicted {
			evicted[end.Service.String()+" "+cmp.Or(end.Pod.Name, end.Endpoint)]++
		}
	}
	if cut := len(a.ends) - maxAddressEnds; cut >= maxAddressEnds {
		for _, end := range a.ends[:cut] {
			if last, ok := a.lastEnds[holderOf(end.AddressKey)]; ok && last.Seq == end.Seq {
				delete(a.lastEnds, holderOf(end.AddressKey))
			}
		}
		a.ends = slices.Clone(a.ends[cut:])
	}
	st.tagLists(e.Lists)
	st.moveAddresses(e, now)
	for i := range e.Put {
		p := e.Put[i]
		a.put(&p)
	}
	st.tieAgain(e, now)
	st.judgeAddresses(e, now)
	for _, name := range sortedKeys(evicted) {
		service, pod, _ := strings.Cut(name, " ")
		st.happen(Happening{At: now, Source: "kernel", Kind: "pin", Level: LevelWarning,
			Text: fmt.Sprintf("%d of %s's addresses lost the pin to %s on %s before its time: the node's list is full", evicted[name], service, pod, e.Node)})
	}
}

// tagLists gives the pods that clients are pinned to their letters.
func (st *State) tagLists(lists []AddressList) {
	for _, l := range lists {
		if l.Live == 0 || l.Pod.IsZero() || st.tags[l.Pod] != "" {
			continue
		}
		if b := st.backends[l.Service]; b != nil {
			st.tagEndpoints(b)
		}
		st.tag(l.Pod)
	}
}

func (a *addresses) init() {
	if a.pins == nil {
		a.pins, a.lists, a.touched = map[AddressKey]*AddressPin{}, map[string][]AddressList{}, map[AddressKey]struct{}{}
		a.tables = map[string]string{}
		a.modes, a.derived, a.lastEnds = map[string]string{}, map[AddressKey]bool{}, map[AddressKey]AddressEnd{}
	}
}

// put holds a pin that is new or has changed.
func (a *addresses) put(p *AddressPin) {
	a.pins[p.AddressKey] = p
	a.touched[p.AddressKey] = struct{}{}
	delete(a.derived, p.AddressKey)
}

// end forgets a pin.
func (a *addresses) end(e AddressEnd) {
	delete(a.pins, e.AddressKey)
	delete(a.derived, e.AddressKey)
	a.touched[e.AddressKey] = struct{}{}
	a.ended++
	e.Seq = a.ended
	a.ends = append(a.ends, e)
	if !e.Shadowed && e.Source == DeadlineKernel {
		a.lastEnds[holderOf(e.AddressKey)] = e
	}
}

// lastOf returns the last n, without room to append over what follows.
func lastOf[T any](all []T, n int) []T { return all[max(0, len(all)-n):len(all):len(all)] }

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// view brings what is handed out up to date. Most readings change few of many
// pins: their places are looked up, and what lies between is copied.
func (a *addresses) view() {
	if len(a.touched) > 0 {
		a.viewPins = a.mergePins()
		if len(a.touched) > 1024 {
			a.touched = map[AddressKey]struct{}{} // a cleared map keeps the room of all the pins there are
		} else {
			clear(a.touched)
		}
	}
	if a.viewLists == nil {
		a.viewLists = []AddressList{}
		for _, l := range a.lists {
			a.viewLists = append(a.viewLists, l...)
		}
		slices.SortFunc(a.viewLists, func(x, y AddressList) int {
			return cmp.Or(compareService(x.Service, y.Service), strings.Compare(x.PortName, y.PortName), strings.Compare(x.Endpoint, y.Endpoint),
				strings.Compare(x.Node, y.Node), strings.Compare(x.Name, y.Name))
		})
	}
}

// mergePins returns viewPins with what was touched since; the old slice stays
// as it is, as snapshots have it.
func (a *addresses) mergePins() []*AddressPin {
	changed := make([]AddressKey, 0, len(a.touched))
	for key := range a.touched {
		changed = append(changed, key)
	}
	slices.SortFunc(changed, compareAddress)
	old, pins := a.viewPins, make([]*AddressPin, 0, len(a.pins))
	for _, key := range changed {
		at, there := slices.BinarySearchFunc(old, key, func(p *AddressPin, k AddressKey) int { return compareAddress(p.AddressKey, k) })
		pins = append(pins, old[:at]...)
		if there {
			at++
		}
		old = old[at:]
		if p := a.pins[key]; p != nil {
			pins = append(pins, p)
		}
	}
	return append(pins, old...)
}

func compareService(x, y ServiceRef) int {
	return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name))
}

func compareAddress(x, y AddressKey) int {
	return cmp.Or(compareService(x.Service, y.Service), strings.Compare(x.PortName, y.PortName), x.Client.Compare(y.Client),
		strings.Compare(x.Node, y.Node), strings.Compare(x.Endpoint, y.Endpoint), strings.Compare(x.Front, y.Front), strings.Compare(x.Protocol, y.Protocol))
}

// KnownAddresses says whose an address is, where the objects tell: a pod's
// name, "node NAME" for a node's, "ingress pod NAME" for a controller's.
func (s *Snapshot) KnownAddresses() map[netip.Addr]string {
	owners := s.Owners()
	known := make(map[netip.Addr]string, len(owners))
	for ip, o := range owners {
		known[ip] = o.String()
	}
	return known
}
