package affinity

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// What pins by address show, against what the YAML promises. The rules about
// the objects alone are in internal/findings; these have seen it happen.

// addressSource is theirs among the sources of findings.
const addressSource = "clientip"

const (
	listFilling = 0.8 // of a list that is said to fill up

	// proxyLag is how long a node may go on with an endpoint that is not ready
	// any more: the kubelet's, the API server's and kube-proxy's turns.
	proxyLag = 5 * time.Second

	// heldFor is how many times its own timeout a pin has to last before it is
	// said to be held alive.
	heldFor = 3

	// maxJudged bounds the pins of one reading that are looked at one by one.
	maxJudged = 256

	// ingressAnswers is how many answers through an ingress have to leave no
	// pin before the node is believed.
	ingressAnswers = 10
)

// addressKeyed is what a finding of the pins is about: one rule on one Service
// and, where each tells its own story, one list or node.
type addressKeyed struct {
	rule    string
	service ServiceRef
	detail  string
}

// judgeAddresses looks at one reading of a node's tables.
func (st *State) judgeAddresses(e AddressPinsChanged, now time.Time) {
	a := &st.addresses
	before := len(a.found)
	changed := st.judgeLists(e, now)
	st.watchReadiness(now)
	a.judgeStanding(now)
	for i := range e.Put[:min(len(e.Put), maxJudged)] {
		p := &e.Put[i]
		if p.Shadowed || p.Source != DeadlineKernel {
			continue
		}
		st.judgeShared(p, now)
		st.judgeElsewhere(p, now)
		st.judgeUnready(p, now)
		st.judgeHeld(p, now)
	}
	st.judgeBypass(e, now)
	st.tellFound(st.judgeUnseen(now) || changed || len(a.found) != before)
}

// applyIngressPods keeps whose addresses those are, and judges the pins that were
// read before.
func (st *State) applyIngressPods(e IngressPodsListed, now time.Time) {
	a := &st.addresses
	st.ingressPods, a.owners = e.Pods, nil
	before := len(a.found)
	mine := map[netip.Addr]bool{}
	for _, p := range e.Pods {
		if ip, err := netip.ParseAddr(p.IP); err == nil {
			mine[ip.Unmap()] = true
		}
	}
	for _, p := range a.pins {
		if mine[p.Client] && !p.Shadowed && p.Source == DeadlineKernel {
			st.judgeShared(p, now)
		}
	}
	st.tellFound(len(a.found) != before)
}

// IngressPodsSource is the source of the pods of ingress controllers in other
// namespaces, in a run that watches one.
const IngressPodsSource = "ingress pods"

// judgeUnseen is E03 where those pods may not be listed: for the Services that
// nodes pin clients of, it is not checked. It reports whether that is news.
func (st *State) judgeUnseen(now time.Time) (changed bool) {
	a := &st.addresses
	why := ""
	if src := st.sources[IngressPodsSource]; src.State == SourceAbsent {
		why = src.Detail
	}
	pinned := map[ServiceRef]bool{}
	for _, lists := range a.lists {
		for _, l := range lists {
			pinned[l.Service] = true
		}
	}
	for key, f := range a.found {
		if key.rule == "E03" && f.Certainty == CertaintyNotChecked && (f.NotChecked != why || !pinned[key.service]) {
			delete(a.found, key)
			changed = true
		}
	}
	for ref := range pinned {
		if why != "" && !a.has("E03", ref, IngressPodsSource) {
			a.find(IngressPodsSource, ref, Finding{Rule: "E03", NotChecked: why}, now)
			changed = true
		}
	}
	return changed
}

// tellFound makes what was found the findings of pins, where that is news.
func (st *State) tellFound(changed bool) {
	a := &st.addresses
	if changed || a.news || len(a.found) > 0 && a.foundWith != st.routesVersion {
		a.foundWith, a.news = st.routesVersion, false
		all := make([]Finding, 0, len(a.found))
		for key, f := range a.found {
			f.Routes = st.routesTo(key.service)
			all = append(all, f)
		}
		SortFindings(all)
		st.applyFindings(Findings{Source: addressSource, Findings: all})
	}
}

// routesTo are the routes that lead to a Service.
func (st *State) routesTo(ref ServiceRef) []RouteID {
	var ids []RouteID
	for id, r := range st.routes {
		if r.Backend.Service == ref {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// find records a finding of the pins, the first time.
func (a *addresses) find(detail string, service ServiceRef, f Finding, now time.Time) {
	key := addressKeyed{f.Rule, service, detail}
	if _, had := a.found[key]; had || len(a.found) >= maxFindings {
		return
	}
	if a.found == nil {
		a.found = map[addressKeyed]Finding{}
	}
	f.Object, f.At = ObjectRef{Kind: "Service", Namespace: service.Namespace, Name: service.Name}, now
	a.found[key] = f
}

func kernelEvidence(node, field, value, text string) FindingEvidence {
	return FindingEvidence{Source: "kernel", Field: field, Value: value, Text: cmp.Or(text, "the tables of "+node)}
}

// judgeLists is F05: lists that fill up or are full. It is about now, so it
// goes when they empty. It reports whether a finding went or changed.
func (st *State) judgeLists(e AddressPinsChanged, now time.Time) (changed bool) {
	a := &st.addresses
	for _, l := range e.Lists {
		key := addressKeyed{"F05", l.Service, l.Node + " " + l.Name}
		old, had := a.found[key]
		if !l.Filling() {
			if had && old.Severity < SeverityHigh { // one that was full has lost clients: that stays
				delete(a.found, key)
				changed = true
			}
			continue
		}
		if had && (old.Severity >= SeverityHigh || !l.Full()) {
			continue
		}
		f := Finding{Rule: "F05", Severity: SeverityMedium, Certainty: CertaintyExact,
			Title:  fmt.Sprintf("%s remembers %d of at most %d clients of pod %s", l.Node, l.Live+l.Expired, l.Limit, cmp.Or(l.Pod.Short(), l.Endpoint)),
			Impact: "the next clients push those out that were longest away, whatever the timeout",
			Fix:    "use kube-proxy's nftables mode, or load xt_recent with a larger ip_list_tot on every node; a cookie on an ingress has no such limit",
			Verify: "view 6 ClientIP: how full the nodes' lists are", objectsMend: l.Evicts,
			Evidence: []FindingEvidence{kernelEvidence(l.Node, l.Name, fmt.Sprintf("%d of %d", l.Live+l.Expired, l.Limit),
				fmt.Sprintf("%d in their time, %d expired but still there, %s of %s", l.Live, l.Expired, l.Mode, l.Node))},
		}
		if !l.Evicts {
			f.Impact, f.Fix = "clients beyond that are not pinned at all: each of their connections may go to another pod", "spread the clients over more pods, or use a cookie on an ingress"
		}
		if l.Full() {
			f.Severity, f.Title = SeverityHigh, fmt.Sprintf("%s remembers no more than %d clients of pod %s: its list is full", l.Node, l.Limit, cmp.Or(l.Pod.Short(), l.Endpoint))
		}
		delete(a.found, key)
		a.find(key.detail, l.Service, f, now)
		changed = true
	}
	return changed
}

// judgeShared is E03: an address that many clients share.
func (st *State) judgeShared(p *AddressPin, now time.Time) {
	a := &st.addresses
	o := st.ownerOf(p.Client)
	about := p.Client.String()
	if o.Kind == OwnerNode {
		about = o.Kind // one node tells the story of them all
	}
	if !o.Shared() || a.has("E03", p.Service, about) {
		return
	}
	f := Finding{Rule: "E03", Severity: SeverityCritical, Certainty: CertaintyExact,
		Title:    fmt.Sprintf("all users of %s are one client, on pod %s", o, cmp.Or(p.Pod.Short(), p.Endpoint)),
		Impact:   "everybody who comes that way lands on one pod, until the ingress has not connected for a whole timeout",
		Fix:      "let the ingress connect to pods, with a cookie of its own: remove service-upstream (or nativeLB)",
		Verify:   "view 6 ClientIP, filter who=ingress: no pin is left",
		Evidence: []FindingEvidence{kernelEvidence(p.Node, "client", p.Client.String(), o.String()+", pinned by "+p.Node)}, objectsMend: o.Kind == OwnerIngress,
	}
	if o.Kind == OwnerNode {
		f.Severity, f.Certainty = SeverityMedium, CertaintyLikely
		f.Title = fmt.Sprintf("what comes from %s itself is one client, on pod %s", o, cmp.Or(p.Pod.Short(), p.Endpoint))
		f.Impact = "its processes, pods on the host's network and whoever is masqueraded there share one pod"
		f.Fix = "nothing to do if only probes and agents connect from there; otherwise let clients connect with addresses of their own"
		f.Verify = "view 6 ClientIP, filter who=node"
	}
	was := strings.Replace(f.Title, " are one client", " were one client", 1)
	if o.Kind == OwnerNode {
		was = strings.Replace(strings.Replace(f.Title, "what comes from", "what came from", 1), " is one client", " was one client", 1)
	}
	a.findWhile(about, p.Service, f, standing{holds: a.pinsHold(p), was: literal(was) + ", until %s"}, now)
}

// literal keeps a text as it is in a format.
func literal(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// ownerOf says whose address it is.
func (st *State) ownerOf(ip netip.Addr) AddressOwner {
	a := &st.addresses
	if a.owners == nil {
		pods := make([]Pod, 0, len(st.pods)+len(st.ingressPods))
		for _, p := range st.pods {
			pods = append(pods, p)
		}
		a.owners = owners(append(pods, st.ingressPods...))
	}
	return a.owners[ip]
}

// judgeElsewhere is F02 and F03: the client of p has another pod through
// another node, or for another port.
func (st *State) judgeElsewhere(p *AddressPin, now time.Time) {
	a := &st.addresses
	b := st.backends[p.Service]
	if b == nil || p.Pod.IsZero() || a.has("F02", p.Service, "") && a.has("F03", p.Service, "") {
		return
	}
	try := func(node, port, endpoint string) *AddressPin {
		key := p.AddressKey
		key.Node, key.PortName, key.Endpoint, key.Front = node, port, endpoint, ""
		if other := a.pins[key]; other != nil && !other.Shadowed && !other.Over(now) && !other.Pod.IsZero() && other.Pod != p.Pod {
			return other
		}
		return nil
	}
	evidence := func(x, y *AddressPin) []FindingEvidence {
		var out []FindingEvidence
		for _, z := range []*AddressPin{x, y} {
			out = append(out, kernelEvidence(z.Node, z.Client.String(), z.Pod.Name, fmt.Sprintf("port %s on %s, until %s", cmp.Or(z.PortName, fmt.Sprint(z.Port)), z.Node, z.Expires.UTC().Format("15:04:05Z"))))
		}
		return out
	}
	for _, e := range b.all {
		if e.PortName != p.PortName {
			if other := try(p.Node, e.PortName, e.Addr); other != nil {
				a.findWhile("", p.Service, Finding{Rule: "F03", Severity: SeverityMedium, Certainty: CertaintyExact, Evidence: evidence(p, other), objectsMend: true,
					Title:  fmt.Sprintf("one client is on pod %s by port %s, on pod %s by port %s", p.Pod.Short(), cmp.Or(p.PortName, fmt.Sprint(p.Port)), other.Pod.Short(), cmp.Or(other.PortName, fmt.Sprint(other.Port))),
					Impact: "what one port's connections leave in a pod, those of the other do not find",
					Fix:    "serve both on one port, or keep what they share outside the pods", Verify: "view 6 ClientIP, filter by an address: one pod for all ports"},
					standing{holds: a.pinsHold(p, other), was: literal(fmt.Sprintf("one client was on pod %s by port %s, on pod %s by port %s", p.Pod.Short(), cmp.Or(p.PortName, fmt.Sprint(p.Port)), other.Pod.Short(), cmp.Or(other.PortName, fmt.Sprint(other.Port)))) + ", until %s"}, now)
			}
			continue
		}
		for node := range a.lists {
			if node == p.Node || len(a.lists) > 64 {
				continue
			}
			if other := try(node, p.PortName, e.Addr); other != nil {
				a.findWhile("", p.Service, Finding{Rule: "F02", Severity: SeverityHigh, Certainty: CertaintyExact, Evidence: evidence(p, other), objectsMend: true,
					Title:  fmt.Sprintf("one client is on pod %s through %s, on pod %s through %s", p.Pod.Short(), p.Node, other.Pod.Short(), other.Node),
					Impact: "one client has as many pods as it meets nodes",
					Fix:    "let the load balancer hash by source address, or use a cookie on an ingress", Verify: "view 6 ClientIP, filter by an address: one pod on all nodes"},
					standing{holds: a.pinsHold(p, other), was: literal(fmt.Sprintf("one client was on pod %s through %s, on pod %s through %s", p.Pod.Short(), p.Node, other.Pod.Short(), other.Node)) + ", until %s"}, now)
			}
		}
	}
}

// watchReadiness notes since when pods with pins are not ready.
func (st *State) watchReadiness(now time.Time) {
	a := &st.addresses
	for _, lists := range a.lists {
		for _, l := range lists {
			p, ok := st.pods[l.Pod]
			bad := ok && (!p.Gone.IsZero() || p.Terminating() || !p.Ready)
			if !bad {
				delete(a.unready, l.Pod)
				continue
			}
			if _, noted := a.unready[l.Pod]; !noted {
				if a.unready == nil {
					a.unready = map[PodRef]time.Time{}
				}
				a.unready[l.Pod] = now
			}
		}
	}
}

// judgeUnready is D02: a connection was sent to a pod that had not been ready
// for longer than it takes a node to notice.
func (st *State) judgeUnready(p *AddressPin, now time.Time) {
	a := &st.addresses
	since, bad := a.unready[p.Pod]
	if !bad || p.Renewed.IsZero() || p.Renewed.Before(since.Add(proxyLag)) || a.has("D02", p.Service, p.Pod.String()) {
		return
	}
	pod := st.pods[p.Pod]
	word := "not ready"
	switch {
	case !pod.Gone.IsZero():
		word = "gone"
	case pod.Terminating():
		word = "terminating"
	}
	why, patch := "no endpoint of the Service is ready", ""
	if word == "not ready" && pasteable(pod) {
		patch = fmt.Sprintf("# why it is not ready\nkubectl -n %s describe pod %s", p.Pod.Namespace, p.Pod.Name)
	}
	b := st.backends[p.Service]
	if b != nil {
		for _, e := range b.all {
			if e.Ready && endpointPod(p.Service, e) == p.Pod {
				why = "its EndpointSlice calls it ready (publishNotReadyAddresses?)"
				if word != "gone" { // a slice that is late
					patch = patchService(p.Service, `{"spec":{"publishNotReadyAddresses":false}}`)
				}
				break
			}
			if e.Ready && e.PortName == p.PortName {
				why = "other endpoints are ready"
			}
		}
	}
	pinned, ref := a.pinsHold(p), p.Pod
	holds := func(now time.Time) bool {
		_, bad := a.unready[ref]
		return bad && pinned(now)
	}
	a.findWhile(p.Pod.String(), p.Service, Finding{Rule: "D02", Severity: SeverityHigh, Certainty: CertaintyExact,
		Title:  fmt.Sprintf("%s still sends clients to pod %s, which is %s", p.Node, p.Pod.Short(), word),
		Impact: "pinned clients stay with a pod that does not serve, and each attempt renews their pin",
		Fix:    "unset publishNotReadyAddresses; let the pod fail fast so that clients give up longer than the timeout",
		Patch:  patch,
		Verify: "view 6 ClientIP, filter by the pod: no pin is renewed",
		Evidence: []FindingEvidence{kernelEvidence(p.Node, p.Client.String(), "renewed "+p.Renewed.UTC().Format("15:04:05Z"), fmt.Sprintf("in the tables of %s; pod %s since %s or before", p.Node, word, since.UTC().Format("15:04:05Z"))),
			{Source: "object", Object: ObjectRef{Kind: "Pod", Namespace: p.Pod.Namespace, Name: p.Pod.Name}, Text: why}},
	}, standing{holds: holds, was: literal(fmt.Sprintf("%s sent clients to pod %s while it was %s", p.Node, p.Pod.Short(), word)) + ", until %s"}, now)
}

// judgeHeld is E04: new connections have kept a pin for several times its
// timeout, and the Service's clients are all on one pod because of it.
func (st *State) judgeHeld(p *AddressPin, now time.Time) {
	a := &st.addresses
	age := now.Sub(p.Since)
	if p.Timeout <= 0 || p.Since.IsZero() || p.Renewed.IsZero() || age < heldFor*p.Timeout || a.has("E04", p.Service, "") {
		return
	}
	pods, clients := a.livesOn(p.AddressKey)
	key, since, times := p.AddressKey, p.Since.UTC().Format("15:04:05Z"), fmt.Sprintf("%d times the timeout of %s", int(age/p.Timeout), p.Timeout)
	held := standing{was: literal(p.Client.String()+" held its pin from "+since) + " to %s, " + literal(times), holds: func(now time.Time) bool {
		p := a.inForce(key, now)
		return p != nil && now.Sub(p.Since) >= heldFor*p.Timeout
	}}
	f := Finding{Rule: "E04", Severity: SeverityInfo, Certainty: CertaintyLikely,
		Title:  fmt.Sprintf("%s has held its pin since %s, for %s or more", p.Client, since, times),
		Impact: "a client that connects more often than the timeout never moves, also when pods are added",
		Fix:    "nothing to do for a user who is active all the time; a health check or a poller should go past the Service, to the pods",
		Verify: "view 6 ClientIP: SINCE of that address",
		Evidence: []FindingEvidence{kernelEvidence(p.Node, "since", p.Since.UTC().Format("15:04:05Z"), "renewed by new connections until "+p.Renewed.UTC().Format("15:04:05Z")+", timeout "+shortDuration(p.Timeout)),
			kernelEvidence(p.Node, "clients", fmt.Sprint(clients), fmt.Sprintf("on %d of %d endpoints, through %s", pods, st.endpointsOf(p.Service, p.PortName), p.Node))},
	}
	if o := st.ownerOf(p.Client); clients == 1 && st.endpointsOf(p.Service, p.PortName) > 1 {
		f.Severity = SeverityHigh
		who := cmp.Or(o.String(), p.Client.String())
		f.Title = fmt.Sprintf("the only client, %s, has kept one pod for %d times the timeout: the others get nothing", who, int(age/p.Timeout))
		alone := held.holds
		held.was = literal("the only client, "+who+", kept one pod from "+since) + " to %s, " + literal(times)
		held.holds = func(now time.Time) bool {
			_, clients := a.livesOn(key)
			return clients == 1 && alone(now)
		}
		f.Impact = "through this node one pod has all the traffic, the others have none"
		if o.Kind == OwnerIngress { // whoever is behind it is not told apart
			f.Fix = "let the ingress connect to pods, with a cookie of its own, or do without sessionAffinity"
			f.Patch = patchService(p.Service, `{"spec":{"sessionAffinity":"None","sessionAffinityConfig":null}}`)
		}
	}
	a.findWhile("", p.Service, f, held, now) // one client tells the story of them all
}

// livesOn counts the pins of a Service's port on a node that are in their time,
// and the endpoints that they are to.
func (a *addresses) livesOn(key AddressKey) (pods, clients int) {
	for _, l := range a.lists[key.Node] {
		if l.Service == key.Service && l.PortName == key.PortName && l.Live > 0 {
			pods++
			clients += l.Live
		}
	}
	return pods, clients
}

// patchService is the command that changes a Service; "" where its name is none
// to type.
func patchService(s ServiceRef, patch string) string {
	if !plainName(s.Namespace) || !plainName(s.Name) {
		return ""
	}
	return fmt.Sprintf("kubectl patch service %s -n %s -p '%s'", s.Name, s.Namespace, patch)
}

func (st *State) endpointsOf(ref ServiceRef, port string) (n int) {
	if b := st.backends[ref]; b != nil {
		for _, e := range b.all {
			if e.PortName == port && e.Ready {
				n++
			}
		}
	}
	return n
}

// judgeBypass is F01, seen: requests came through the ingress, and none of them
// is a pin on the node, whose tables are read.
func (st *State) judgeBypass(e AddressPinsChanged, now time.Time) {
	a := &st.addresses
	for _, r := range st.routes {
		l, ok := r.Layer(LayerService)
		ref := r.Backend.Service
		if !ok || l.Bypassed == "" || l.Policy().Mechanism != MechanismClientIP || a.has("F01", ref, "") ||
			!slices.ContainsFunc(e.Lists, func(x AddressList) bool { return x.Service == ref }) {
			continue
		}
		answers, by := 0, SessionID("")
		for _, id := range st.order {
			if s := st.sessions[id]; s.Spec.Route == r.ID && s.Requests > s.Failures && !s.Pod.IsZero() {
				answers += s.Requests - s.Failures
				by = id
			}
		}
		if answers < ingressAnswers || st.ingressPinned(ref) {
			continue
		}
		a.find("", ref, Finding{Rule: "F01", Severity: SeverityInfo, Certainty: CertaintyLikely, Route: r.ID, Session: by,
			Title:  fmt.Sprintf("%d answers came through the ingress, and %s holds no pin of it", answers, e.Node),
			Impact: "what the Service says about affinity does not count for users of the ingress",
			Fix:    "nothing to do if the ingress's cookie is what you rely on", Verify: "view 6 ClientIP, filter who=ingress",
			Evidence: []FindingEvidence{{Source: "session", Text: fmt.Sprintf("%d requests answered through %s", answers, r.Name)},
				kernelEvidence(e.Node, "clients", "none is an ingress pod's", l.Bypassed)}}, now)
	}
}

// ingressPinned reports whether an ingress pod is among a Service's clients.
func (st *State) ingressPinned(ref ServiceRef) bool {
	for _, p := range st.addresses.viewPins {
		if p.Service == ref && st.ownerOf(p.Client).Kind == OwnerIngress {
			return true
		}
	}
	return false
}
