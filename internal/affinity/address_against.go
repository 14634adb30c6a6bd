package affinity

import (
	"fmt"
	"time"
)

// against is an answer of a session that the node's tables contradict.
type against struct {
	made  time.Time // when the connection was begun
	until time.Time // when its answer was folded
	pod   PodRef    // that answered, by its own word
	via   Source
	done  bool // the tables have spoken of it
	times int  // in a row
}

const (
	// heldBefore is how long a pin has to have been in force before a
	// connection: two first connections at once may be split.
	heldBefore = 2 * time.Second
	// stampSlack is what a pin's time may be off: ages in jiffies are up to a
	// second long.
	stampSlack = time.Second
	// againstTimes is how many answers in a row have to be contradicted:
	// another process at the address may connect at the same instant once.
	againstTimes = 2
)

// heard notes an answer by a connection of the session's own.
func (s *session) heard(o Observed, now time.Time) {
	if s.Via != SourceHeader && s.Via != SourceBody || o.Failure != nil {
		return
	}
	s.against.made, s.against.until, s.against.pod, s.against.via, s.against.done = now.Add(-o.Took), now, s.Pod, s.Via, false
}

// judgeAgainst is F09: the node's tables sent a connection of s to one pod, and
// another one answered.
//
// Silence is for what explains itself: a pin that this connection did not renew
// (it met another node's rules, or came by an address that a load balancer put
// in its place), that is over or shadowed, that began with the connection, or
// beside which the node has one for the pod that answered; ipvs, which does not
// tell when it renewed.
func (st *State) judgeAgainst(s *session, now time.Time) {
	x := &s.against
	p := st.pinOf(s)
	if x.done || x.made.IsZero() || p == nil || p.Source != DeadlineKernel || p.Pod.IsZero() || p.Renewed.IsZero() || p.Over(x.until) ||
		p.Renewed.Before(x.made.Add(-stampSlack)) || p.Renewed.After(x.until.Add(stampSlack)) {
		return
	}
	if p.Pod == x.pod {
		x.done, x.times = true, 0
		return
	}
	if !p.Since.Before(x.made.Add(-heldBefore)) || st.pinnedTo(p.AddressKey, x.pod) {
		return
	}
	x.done = true
	if x.times++; x.times < againstTimes {
		return
	}
	a := &st.addresses
	a.find("", p.Service, Finding{Rule: "F09", Severity: SeverityHigh, Certainty: CertaintyLikely,
		Title: fmt.Sprintf("%s sent a connection to pod %s, and pod %s answered", p.Node, p.Pod.Short(), x.pod.Short()),
		Evidence: []FindingEvidence{
			kernelEvidence(p.Node, "pin", p.Client.String()+" → "+p.Endpoint, fmt.Sprintf("the tables of %s: pod %s since %s, renewed by this connection at %s", p.Node, p.Pod.Name,
				p.Since.UTC().Format("15:04:05Z"), p.Renewed.UTC().Format("15:04:05Z"))),
			{Source: "session " + string(s.Spec.ID), Field: x.via.String(), Value: x.pod.Name, Text: fmt.Sprintf("said the answer at %s, for %d connections in a row", x.until.UTC().Format("15:04:05Z"), x.times)},
		},
		Impact: "either something behind the Service passes requests on to other pods, and ClientIP does not hold them, or the answer names a pod that it is not from",
		Fix:    "find what stands between the node and the application (a sidecar, a proxy in the pod, a mesh) and keep it from balancing; or let the application name its own pod",
		Verify: "the pod that answers is the pod of the pin in view 6 ClientIP"}, now)
}

// pinnedTo reports whether the node has a pin of that client for the pod too,
// shadowed or not.
func (st *State) pinnedTo(key AddressKey, pod PodRef) bool {
	b := st.backends[key.Service]
	if b == nil {
		return false
	}
	for _, list := range [][]Endpoint{b.all, b.gone} {
		for _, e := range list {
			key.Endpoint = e.Addr
			if p := st.addresses.pins[key]; p != nil && p.Pod == pod {
				return true
			}
		}
	}
	return false
}
