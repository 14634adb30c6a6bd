package ui

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// nodePin is a pin on node-2 of the n-th address, until left from now.
func (w *world) nodePin(client, pod string, timeout, left time.Duration) affinity.AddressPin {
	ip := w.pods[pod].IP
	return affinity.AddressPin{
		AddressKey: affinity.AddressKey{Node: "node-2", Service: chat, PortName: "http", Protocol: "TCP", Client: netip.MustParseAddr(client), Endpoint: ip + ":3000"},
		Port:       80, Pod: podRef(pod), Timeout: timeout, Since: w.now.Add(-5 * time.Minute), Renewed: w.now.Add(left - timeout), Expires: w.now.Add(left),
		Renewal: affinity.RenewalSliding, Source: affinity.DeadlineKernel,
	}
}

// pinned is a node in iptables mode with pins in every state: one list is full
// and has evicted, one client is shadowed, one pod drains.
func pinned() (*world, Options) {
	w := base()
	w.sources(affinity.SourceLive, "")
	w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: "kernel", State: affinity.SourceLive, Detail: "iptables: 3 lists"}})
	svc := affinity.Service{Ref: chat, Type: "NodePort", ClusterIP: "10.96.0.12", HasIngress: true, Ports: []affinity.ServicePort{{Name: "http", Port: 80, Protocol: "TCP"}},
		Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP, Timeout: time.Minute}}
	w.apply(affinity.ServiceChanged{Service: svc},
		affinity.PodChanged{Pod: affinity.Pod{Ref: affinity.PodRef{Namespace: "ingress-nginx", Name: "controller-7d4f-x1"}, IP: "10.4.1.90", HostIP: "172.30.0.11", Node: "node-1",
			Phase: "Running", Ready: true, Labels: map[string]string{"app.kubernetes.io/name": "ingress-nginx"}}})
	w.drain(podC)
	const minute = time.Minute
	e := affinity.AddressPinsChanged{Node: "node-2", Put: []affinity.AddressPin{
		w.nodePin("203.0.113.7", podA, minute, 43*time.Second),
		w.nodePin("203.0.113.8", podB, minute, 9*time.Second),
		w.nodePin("203.0.113.8", podC, minute, 51*time.Second),
		w.nodePin("198.51.100.23", podC, minute, 30*time.Second),
		w.nodePin("10.4.1.23", podA, minute, minute),
		w.nodePin("10.4.1.90", podB, minute, 59*time.Second),
		w.nodePin("172.30.0.11", podA, minute, 20*time.Second),
		w.nodePin("2001:db8:1:2:3:4:5:6", podA, minute, 12*time.Second),
	}}
	e.Put[2].Shadowed, e.Put[1].SinceOrBefore = true, true
	unknown := w.nodePin("203.0.113.99", podB, minute, 0)
	unknown.Expires, unknown.Renewed, unknown.Source, unknown.Note = time.Time{}, time.Time{}, affinity.DeadlineAssumed, "when it ends cannot be told: the kernel's HZ is not known"
	derived := w.nodePin("127.0.0.5", podB, minute, 33*time.Second)
	derived.Source = affinity.DeadlineDerived
	old, late := w.nodePin("203.0.113.40", podA, minute, 20*time.Second), w.nodePin("203.0.113.41", podB, minute, -time.Second)
	e.Put = append(e.Put, unknown, derived, old, late)
	list := func(pod string, live, expired int) affinity.AddressList {
		return affinity.AddressList{Node: "node-2", Service: chat, PortName: "http", Protocol: "TCP", Endpoint: w.pods[pod].IP + ":3000", Pod: podRef(pod),
			Mode: "iptables", Name: "KUBE-SEP-" + strings.ToUpper(pod[len(pod)-5:]) + "ABCDEFGHIJK", Live: live, Expired: expired, Limit: 100, Evicts: true}
	}
	e.Lists = []affinity.AddressList{list(podA, 97, 3), list(podB, 84, 1), list(podC, 2, 0)}
	w.apply(e)
	w.now = w.now.Add(10 * time.Second)
	w.apply(affinity.AddressPinsChanged{Node: "node-2", Lists: e.Lists, Gone: []affinity.AddressEnd{
		{AddressPin: old, At: w.now, Reason: affinity.AddressEndEvicted}, {AddressPin: late, At: w.now, Reason: affinity.AddressEndExpired}}})
	o := w.options()
	o.ReadOnly = true
	return w, o
}

// decides is a route whose ingress leaves the choice to the Service.
func decides() (*world, Options) {
	w, o := pinned()
	w.route.Layers[0].Candidates = []affinity.Policy{{Why: "no affinity annotation"}}
	w.route.Layers[1].Bypassed = ""
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	return w, o
}

func unpinned() (*world, Options) {
	w := base()
	w.apply(affinity.ServiceChanged{Service: affinity.Service{Ref: chat, Type: "NodePort", Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP}}})
	o := w.options()
	o.ReadOnly = true
	return w, o
}

func forbiddenNode() (*world, Options) {
	w, o := unpinned()
	w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: "kernel", State: affinity.SourceForbidden,
		Detail: "reading nftables needs CAP_NET_ADMIN on this node: run as root, or give the program that one capability"}})
	return w, o
}

// TestClientIPNamesOurSessions: whose addresses are our own sessions' is said.
func TestClientIPNamesOurSessions(t *testing.T) {
	w, o := pinned()
	for id, ip := range map[string]string{"s07": "127.0.0.5", "s08": "10.4.1.23"} {
		w.apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: affinity.SessionID(id), Route: w.route.ID, Transport: "http", From: netip.MustParseAddr(ip)}})
	}
	for width, wants := range map[int][]string{80: {"127.0.0.5 s07", "10.4.1.23 s08"}, 140: {"127.0.0.5 s07", "10.4.1.23 s08 pod msgapp-7c9f"}} {
		m := sized(o, width, 40)
		press(m, "6")
		for _, want := range wants {
			if !strings.Contains(text(m), want) {
				t.Errorf("%d wide, without %q:\n%s", width, want, m.View())
			}
		}
		press(m, "/", "type:who=s08", "enter")
		if len(m.clientip.rows) != 1 {
			t.Errorf("%d rows are s08's", len(m.clientip.rows))
		}
	}
}

func TestClientIP(t *testing.T) {
	w, o := pinned()
	r := &recorder{}
	o.Controls, o.Clipboard = r, r
	m := sized(o, 140, 40)
	press(m, "6")
	if len(m.clientip.rows) != 12 || m.clientip.live != 10 || m.clientip.ended != 2 {
		t.Errorf("%d rows, %d pins, %d ended", len(m.clientip.rows), m.clientip.live, m.clientip.ended)
	}
	frame := m.View()
	for _, want := range []string{"97+3 old of 100 ▲ evicts", "node node-1", "shadowed", "evicted", "ing controller-7d4f-x1", "2001:db8:1:2:3:4:5:6", "assumed", "derived"} {
		if !strings.Contains(frame, want) {
			t.Errorf("%q is not on the screen", want)
		}
	}
	for filter, want := range map[string]int{"fuse<12s": 3, "left<12s": 3, "state=shadowed": 1, "state=evicted": 1, "who=node": 1, "family=IPv6": 1, "pod=C": 2, "source=assumed": 1, "203.0.113": 6, "address=203.0.113.8 and not state=shadowed": 1, "node=node-9": 0} {
		press(m, "/", "type:"+filter, "enter")
		if len(m.clientip.rows) != want {
			t.Errorf("filter %q: %d rows, want %d", filter, len(m.clientip.rows), want)
		}
		press(m, "esc")
	}
	press(m, "X")
	if got := m.clientip.rows[1].Client.String(); got != "2001:db8:1:2:3:4:5:6" { // behind the one that expired
		t.Errorf("by fuse %s is the first", got)
	}
	press(m, "S")
	if word, _ := pinState(m.clientip.rows[0], w.now); word != "evicted" {
		t.Errorf("by state %s is the first", word)
	}
	press(m, "/", "type:203.0.113.8", "enter", "enter")
	if frame := m.View(); !strings.Contains(frame, "ELSEWHERE") || !strings.Contains(frame, "KUBE-SEP-") || !strings.Contains(frame, "many clients") == m.clientip.who(m.clientip.rows[0]).Shared() {
		t.Errorf("the detail lacks what is known:\n%s", frame)
	}
	press(m, "esc")
	if m.clientip.full || m.view != viewClientIP {
		t.Error("esc does not close the detail")
	}
	if cmd := press(m, "c"); !isMsg[copiedMsg](cmd) || r.copied != "203.0.113.8" {
		t.Errorf("c copied %q", r.copied)
	}
}

// TestPinSeverity: every way in which a pin can end has a word and a place.
func TestPinSeverity(t *testing.T) {
	pin := &affinity.AddressPin{}
	seen := map[string]bool{}
	for reason := affinity.AddressEndUnknown; reason <= affinity.AddressEndOff; reason++ {
		r := pinRow{AddressPin: pin, end: &affinity.AddressEnd{Reason: reason}}
		word, _ := pinState(r, time.Unix(1_700_000_000, 0))
		if n := pinSeverity(r, time.Unix(1_700_000_000, 0)); n < 0 || seen[word] {
			t.Errorf("%s: %q has place %d, seen before: %t", reason, word, n, seen[word])
		}
		seen[word] = true
	}
}

// TestClientIPKeepsItsRow moves the cursor, then renews that pin and adds
// others before it.
func TestClientIPKeepsItsRow(t *testing.T) {
	w, o := pinned()
	m := sized(o, 80, 24)
	press(m, "6", "j", "j", "j")
	old, _ := m.clientip.selected()
	renewed := *old.AddressPin
	renewed.Expires = renewed.Expires.Add(10 * time.Second)
	w.now = w.now.Add(time.Second)
	w.apply(affinity.AddressPinsChanged{Node: "node-2", Put: []affinity.AddressPin{renewed, w.nodePin("10.0.0.1", podA, time.Minute, time.Minute)}})
	m.tick(w.snap(), w.now)
	now, _ := m.clientip.selected()
	if now.AddressKey != old.AddressKey || now.AddressPin == old.AddressPin || m.clientip.at != 4 {
		t.Errorf("the cursor went from %v to %v, row %d", old.AddressKey, now.AddressKey, m.clientip.at)
	}
}

// manyPins is a node with n pins.
func manyPins(n int) *world {
	w, _ := pinned()
	e := affinity.AddressPinsChanged{Node: "node-2"}
	for i := range n {
		e.Put = append(e.Put, w.nodePin(fmt.Sprintf("10.%d.%d.%d", 100+i>>16, i>>8&255, i&255), podA, time.Hour, time.Duration(i%3600)*time.Second))
	}
	w.apply(e)
	return w
}

// TestClientIPLegend: how full the list is does not take the words that explain
// its columns.
func TestClientIPLegend(t *testing.T) {
	for _, n := range []int{0, 100, 50_000} {
		w := manyPins(n)
		for _, width := range []int{120, 140, 200} {
			m := sized(w.options(), width, 40)
			press(m, "6")
			if frame := m.View(); !strings.Contains(frame, "kernel: read") || !strings.Contains(frame, "assumed: ") {
				t.Errorf("%d pins at %d columns: the legend lacks a source", n, width)
			}
		}
	}
}

// TestClientIPNodesDiffer: where nodes are in different modes, a pin says which is
// its own node's, and what that means.
func TestClientIPNodesDiffer(t *testing.T) {
	w, o := pinned()
	p := w.nodePin("203.0.113.200", podA, time.Minute, 30*time.Second)
	p.Node = "node-9"
	w.apply(affinity.AddressPinsChanged{Node: "node-9", Mode: affinity.ModeIPVS, Put: []affinity.AddressPin{p},
		Lists: []affinity.AddressList{{Node: "node-9", Service: chat, PortName: "http", Protocol: "TCP", Endpoint: p.Endpoint, Pod: p.Pod, Mode: affinity.ModeIPVS, Name: "ip_vs_conn", Live: 1}}})
	m := sized(o, 140, 40)
	press(m, "6", "/", "203.0.113.200", "enter")
	if frame := m.View(); !strings.Contains(frame, "the tables of node-9, in mode ipvs") {
		t.Errorf("the pin does not say its node's mode:\n%s", frame)
	}
	press(m, "enter")
	if frame := m.View(); !strings.Contains(frame, "open connections hold it beyond its time") {
		t.Errorf("the pin does not say how ipvs renews:\n%s", frame)
	}
}

// BenchmarkClientIP draws and takes over fifty thousand pins.
func BenchmarkClientIP(b *testing.B) {
	w := manyPins(50_000)
	m := sized(w.options(), 140, 40)
	press(m, "6")
	b.Run("frame", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.rev++
			m.View()
		}
	})
	again := func(b *testing.B) {
		p := *w.snap().AddressPins[7]
		b.ReportAllocs()
		for b.Loop() {
			w.now = w.now.Add(time.Second)
			p.Expires = w.now
			w.apply(affinity.AddressPinsChanged{Node: "node-2", Put: []affinity.AddressPin{p}})
			m.adopt(w.snap(), w.now)
		}
	}
	b.Run("adopt", again)
	press(m, "X")
	b.Run("adopt-sorted", again)
	press(m, "/", "type:fuse<30s or 10.100.7", "enter")
	b.Run("adopt-filtered", again)
}

// TestLostAgent: the watches go on without an agent, and its loss is said.
func TestLostAgent(t *testing.T) {
	w := story()
	w.sources(affinity.SourceLive, "")
	const why = "agent a-1 does not answer: its pod is gone"
	w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: affinity.AgentsSource, State: affinity.SourceStale, Objects: 2, Detail: why}})
	m := sized(w.options(), 140, 40)
	for _, view := range []string{"1", "2", "3", "6"} {
		press(m, view)
		if got := text(m); strings.Contains(got, "STALE") || strings.Contains(got, "stale") || !strings.Contains(got, why) {
			t.Errorf("view %s:\n%s", view, got)
		}
	}
}
