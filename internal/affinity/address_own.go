package affinity

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a session with an address of its own knows of its pin: by the node's
// tables where they are read, else derived from its own connections. kube-proxy
// restarts the time of a pin with each new connection (kubernetes:
// pkg/proxy/iptables/proxier.go, --rcheck and --set; pkg/proxy/nftables/proxier.go,
// update @affinity), so a connection of ours says when that was.

func (st *State) applyDataplane(e DataplaneDetected) {
	if e.Node == "" {
		st.dataplane = e.Dataplane
	} else {
		st.addresses.init()
		st.modeOf(e.Node, e.Dataplane.Mode)
	}
	st.judgePlane()
}

// byWord is what tells where a kube-proxy was asked.
const byWord = "kube-proxy on "

// judgePlane works out what keeps pins, of all nodes: what their tables are is
// believed before the cluster's objects, and what the objects tell before the
// word of a node.
func (st *State) judgePlane() {
	a := &st.addresses
	a.plane = st.dataplane
	for _, from := range []struct {
		modes map[string]string
		why   string
	}{{a.tables, "the tables of "}, {a.modes, byWord}} {
		if from.why == byWord && st.dataplane.Mode != "" {
			return
		}
		var nodes, told []string
		mode := ""
		for _, n := range slices.Sorted(maps.Keys(from.modes)) {
			if m := from.modes[n]; m != "" {
				nodes, told = append(nodes, n), append(told, n+" "+m)
				if mode == "" {
					mode = m
				}
			}
		}
		switch differ := slices.ContainsFunc(nodes, func(n string) bool { return from.modes[n] != mode }); {
		case mode == "":
			continue
		case differ:
			modes := slices.Sorted(maps.Values(from.modes))
			modes = slices.DeleteFunc(slices.Compact(modes), func(m string) bool { return m == "" })
			a.plane = Dataplane{Why: "nodes differ: " + Clean(strings.Join(told, ", "), 120), Read: from.why != byWord, Differ: strings.Join(modes, ", ")}
		case mode != st.dataplane.Mode:
			a.plane = Dataplane{Mode: mode, Why: from.why + Clean(strings.Join(nodes, ", "), 120), Read: from.why != byWord}
		}
		return
	}
}

func (st *State) modeOf(node, mode string) {
	if mode != "" {
		st.addresses.modes[node] = mode
	}
}

// planeOf is what keeps pins on a node: by its own word, else by the cluster's
// objects.
func (st *State) planeOf(node string) Dataplane {
	if mode := st.addresses.modes[node]; mode != "" {
		return Dataplane{Mode: mode}
	}
	return st.dataplane
}

// isHost notes the address of a pod's node.
func (a *addresses) isHost(p Pod) {
	a.owners = nil
	ip, err := netip.ParseAddr(p.HostIP)
	if err != nil || p.Node == "" || a.nodes[ip.Unmap()] == p.Node {
		return
	}
	if a.nodes == nil {
		a.nodes = map[netip.Addr]string{}
	}
	a.nodes[ip.Unmap()] = p.Node
}

// meets says which node's rules a connection of s meets: that of the address it
// goes to, else that which it starts from.
func (st *State) meets(s *session) string {
	if at, err := netip.ParseAddrPort(s.LastRemote); err == nil {
		if node := st.addresses.nodes[at.Addr().Unmap()]; node != "" {
			return node
		}
	}
	if st.addresses.isNode(s.Spec.Node) {
		return s.Spec.Node
	}
	return ""
}

// isNode reports whether a name is that of a node: pods are on it, or its
// kube-proxy was met.
func (a *addresses) isNode(name string) bool {
	if a.modes[name] != "" {
		return true
	}
	for _, n := range a.nodes {
		if n == name {
			return true
		}
	}
	return false
}

// addressKey is the key of the pin that s has or would have, without its endpoint;
// ok is false where ClientIP does not hold it.
func (st *State) addressKey(s *session) (key AddressKey, policy Policy, port ServicePort, ok bool) {
	r := st.routes[s.Spec.Route]
	if r == nil || !s.Spec.From.IsValid() {
		return key, policy, port, false
	}
	l, _ := r.Layer(LayerService)
	svc, known := st.services[r.Backend.Service]
	if !known || l.Bypassed != "" || svc.Policy.Mechanism != MechanismClientIP {
		return key, policy, port, false
	}
	i := slices.IndexFunc(svc.Ports, func(p ServicePort) bool { return p.Name == r.Backend.PortName && p.Protocol == "TCP" })
	if i < 0 {
		return key, policy, port, false
	}
	return AddressKey{Node: st.meets(s), Service: svc.Ref, PortName: svc.Ports[i].Name, Protocol: "TCP", Client: s.Spec.From.Unmap()}, svc.Policy, svc.Ports[i], true
}

// pinOf returns the pin that holds s, nil when none is known.
func (st *State) pinOf(s *session) *AddressPin {
	key, _, _, ok := st.addressKey(s)
	if !ok {
		return nil
	}
	var best *AddressPin
	if p := st.addresses.pins[key]; p != nil { // of an endpoint that nothing names
		best = p
	}
	b := st.backends[key.Service]
	if b == nil {
		return best
	}
	for _, list := range [][]Endpoint{b.all, b.gone} {
		for _, e := range list {
			if e.PortName != key.PortName {
				continue
			}
			key.Endpoint = e.Addr
			key.Front = ""
			p := st.addresses.pins[key]
			if p == nil && st.addresses.modes[key.Node] == "ipvs" {
				key.Front = s.LastRemote
				p = st.addresses.pins[key]
			}
			if p != nil && !p.Shadowed && (best == nil || p.Expires.After(best.Expires)) {
				best = p
			}
		}
	}
	return best
}

// kernelPod is the pod that the node's tables tie s to.
func (st *State) kernelPod(s *session, now time.Time) (PodRef, Source) {
	p := st.pinOf(s)
	if p == nil || p.Source != DeadlineKernel || p.Pod.IsZero() || p.Over(now) {
		return PodRef{}, SourceNone
	}
	s.witness(Evidence{Source: SourceKernel, Pod: p.Pod, Addr: p.Endpoint, At: now, Detail: "the tables of " + p.Node})
	return p.Pod, SourceKernel
}

// tieAddress folds that s has made a connection of its own: where nobody reads
// the node's tables, that is a pin.
func (st *State) tieAddress(s *session, o Observed, now time.Time) {
	key, policy, port, ok := st.addressKey(s)
	if !ok || o.Remote == "" {
		return
	}
	a := &st.addresses
	a.init()
	if s.heard(o, now); len(a.lists[key.Node]) > 0 {
		st.judgeAgainst(s, now)
	}
	if len(a.lists[key.Node]) > 0 || o.Failure != nil {
		return
	}
	if key.Node == "" && st.sources["pods"].State == SourceSyncing && st.sources["pods"].Name != "" {
		s.untied = &untied{o, now}
		return
	}
	s.untied = nil
	old := key // as long as no node was known
	if old.Node = ""; key.Node != "" {
		st.rename(old, key)
	}
	if s.Spec.Transport == "tcp" {
		st.derive(AddressPin{AddressKey: key, Port: port.Port, Note: namesNone}, policy, o, now)
		return
	}
	b := st.backends[key.Service]
	if b == nil || s.Via != SourceHeader && s.Via != SourceBody {
		return
	}
	at := slices.IndexFunc(b.all, func(e Endpoint) bool { return e.PortName == key.PortName && endpointPod(key.Service, e) == s.Pod })
	if at < 0 {
		return
	}
	// An older pin of this address elsewhere has ended, or it would have been
	// followed.
	for _, e := range b.all {
		key.Endpoint = e.Addr
		if old := a.pins[key]; old != nil && a.derived[key] && e.Addr != b.all[at].Addr {
			reason := AddressEndUnknown
			if old.Over(now) {
				reason = AddressEndExpired
			}
			a.end(AddressEnd{AddressPin: *old, At: now, Reason: reason})
		}
	}
	key.Endpoint = b.all[at].Addr
	st.derive(AddressPin{AddressKey: key, Port: port.Port, Pod: s.Pod}, policy, o, now)
	st.tagLists([]AddressList{{Service: key.Service, Pod: s.Pod, Live: 1}})
}

// untied is a connection whose node is not known yet: where pods are is being
// listed.
type untied struct {
	o  Observed
	at time.Time
}

// tieUntied folds the connections that waited for what nodes there are.
func (st *State) tieUntied() {
	for _, id := range st.order {
		if s := st.sessions[id]; s.untied != nil {
			u := *s.untied
			s.untied = nil
			st.tieAddress(s, u.o, u.at)
			st.judge(s)
		}
	}
}

// rename gives the pins of our own connections that were derived without a node
// the one that they are on.
func (st *State) rename(from, to AddressKey) {
	a := &st.addresses
	for key := range a.derived {
		if old := a.pins[key]; holderOf(key) == from && old != nil {
			p := *old
			p.Node = to.Node
			delete(a.pins, key)
			delete(a.derived, key)
			a.touched[key] = struct{}{}
			a.put(&p)
			a.derived[p.AddressKey] = true
		}
	}
}

// namesNone is why the pod of a pin of ours is not known.
const namesNone = "a TCP connection names no pod: --kernel reads which one it is tied to"

// derive holds a pin that a connection of ours made or renewed. Where nothing in
// the answer was the Service's, its address has to be.
func (st *State) derive(pin AddressPin, policy Policy, o Observed, now time.Time) {
	a, key, p := &st.addresses, pin.AddressKey, &pin
	made := now.Add(-o.Took)
	p.Timeout, p.Since, p.Renewed, p.Expires = policy.Timeout, made, made, made.Add(policy.Timeout)
	p.Renewal, p.Source = RenewalSliding, DeadlineDerived
	var notes []string
	if p.Note != "" {
		notes = append(notes, p.Note)
	}
	if key.Endpoint == "" && o.Remote != net.JoinHostPort(st.services[key.Service].ClusterIP, strconv.Itoa(p.Port)) {
		p.Source = DeadlineAssumed
		notes = append(notes, "taken that "+Clean(o.Remote, 60)+" leads to the Service")
	}
	plane := st.planeOf(key.Node)
	switch plane.Mode {
	case "iptables", "nftables":
	case "ipvs":
		notes = append(notes, "ipvs holds it beyond its time while connections are open")
	case "":
		p.Source = DeadlineAssumed
		notes = append(notes, "how "+nodeOr(key.Node)+" keeps pins is not known; this is kube-proxy's way with iptables and nftables")
	default:
		p.Source, p.Renewal = DeadlineAssumed, plane.Renews()
		notes = append(notes, plane.Doubt())
	}
	p.Note = strings.Join(notes, "; ")
	if old := a.pins[key]; old != nil && a.derived[key] && !old.Over(now) {
		p.Since = old.Since
		if p.Renewal == RenewalAbsolute {
			p.Renewed, p.Expires = old.Renewed, old.Expires
		}
	}
	a.put(p)
	a.derived[key] = true
}

func nodeOr(name string) string {
	if name == "" {
		return "the node"
	}
	return name
}

// tieAgain tells the sessions whose pins a node's tables show.
func (st *State) tieAgain(e AddressPinsChanged, now time.Time) {
	a := &st.addresses
	if len(a.own) == 0 {
		return
	}
	// What was derived is told by the node itself from now on.
	if len(e.Lists) > 0 {
		for key := range a.derived {
			if key.Node == e.Node {
				a.end(AddressEnd{AddressPin: *a.pins[key], At: now, Reason: AddressEndUnread})
			}
		}
	}
	mine := map[netip.Addr]bool{}
	for _, p := range e.Put {
		if a.own[p.Client] {
			mine[p.Client] = true
		}
	}
	for _, p := range e.Gone {
		if a.own[p.Client] {
			mine[p.Client] = true
		}
	}
	if len(mine) == 0 {
		return
	}
	for _, id := range st.order {
		s := st.sessions[id]
		if !mine[s.Spec.From.Unmap()] || !s.ClosedAt.IsZero() {
			continue
		}
		if s.Requests > s.Failures && (s.Via == SourceNone || s.Via == SourceKernel) {
			if pod, via := st.kernelPod(s, now); !pod.IsZero() && (pod != s.Pod || s.Via != via) {
				st.land(s, pod, via, false, trouble{}, now)
			}
		}
		st.judgeAgainst(s, now)
		st.judge(s)
	}
}

// endDerived ends the derived pins whose time is up: no table tells it.
func (st *State) endDerived(now time.Time) {
	a := &st.addresses
	for key := range a.derived {
		if p := a.pins[key]; p != nil && p.Over(now) {
			a.end(AddressEnd{AddressPin: *p, At: now, Reason: AddressEndExpired})
		}
	}
}

// owns notes the address of a session.
func (a *addresses) owns(ip netip.Addr) {
	if !ip.IsValid() {
		return
	}
	if a.own == nil {
		a.own = map[netip.Addr]bool{}
	}
	a.own[ip.Unmap()] = true
}
