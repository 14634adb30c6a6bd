package affinity

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestDataplaneOfPins: what the cluster's objects tell makes a deadline derived,
// or says why it is assumed; a node's own word goes first.
func TestDataplaneOfPins(t *testing.T) {
	tests := []struct {
		plane  Dataplane
		node   string // its kube-proxy's own word
		source DeadlineSource
		note   string
		again  time.Duration // the deadline after a second connection at 30 s
	}{
		{Dataplane{}, "", DeadlineAssumed, "is not known", 90 * time.Second},
		{Dataplane{Mode: ModeNFTables}, "", DeadlineDerived, "", 90 * time.Second},
		{Dataplane{Mode: ModeIPVS}, "", DeadlineDerived, "connections are open", 90 * time.Second},
		{Dataplane{Mode: ModeCilium}, "", DeadlineAssumed, "cilium, unless --kernel reads its maps", 90 * time.Second},
		{Dataplane{Mode: ModeCalicoEBPF}, "", DeadlineAssumed, "after the first connection", 60 * time.Second},
		{Dataplane{Mode: ModeOVN}, "", DeadlineAssumed, "65535", 90 * time.Second},
		{Dataplane{Mode: ModeCilium}, ModeIPTables, DeadlineDerived, "", 90 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.plane.Mode+tt.node, func(t *testing.T) {
			st, at := ownWorld()
			at(DataplaneDetected{Dataplane: tt.plane}, 0)
			if tt.node != "" {
				at(DataplaneDetected{Node: "node2", Dataplane: Dataplane{Mode: tt.node}}, 0)
			}
			at(spec("s01", "10.244.2.7"), 0)
			at(came("s01", "echo-a"), 0)
			at(came("s01", "echo-a"), 30*time.Second)
			p := st.onlyPin(t, 30*time.Second)
			if p.Source != tt.source || !strings.Contains(p.Note, tt.note) || tt.note == "" && p.Note != "" || !p.Expires.Equal(tNow.Add(tt.again)) {
				t.Errorf("%s, note %q, ends after %s; want %s, %q, %s", p.Source, p.Note, p.Expires.Sub(tNow), tt.source, tt.note, tt.again)
			}
			if got := st.Snapshot(tNow).Dataplane; got != tt.plane {
				t.Errorf("the snapshot says %+v", got)
			}
		})
	}
}

// TestPlanOnNodes: agents are on nodes of their own.
func TestPlanOnNodes(t *testing.T) {
	one, two := netip.MustParseAddr("10.244.1.7"), netip.MustParseAddr("10.244.2.7")
	plan := MakePlan(nil, []Route{{ID: "r"}}, Budget{From: []netip.Addr{one, two}, Nodes: map[netip.Addr]string{one: "node1"}, Node: "here"})
	if len(plan.Sessions) != 2 || plan.Sessions[0].Node != "node1" || plan.Sessions[1].Node != "here" || plan.Sessions[0].From != one || plan.Sessions[1].From != two {
		t.Errorf("%+v", plan.Sessions)
	}
}

// TestDataplaneByTables: what was read on nodes is believed, though no list is in
// it, and forgotten when it is not read any more.
func TestDataplaneByTables(t *testing.T) {
	unknown := Dataplane{Why: "may not be read: DaemonSets"}
	objects := Dataplane{Mode: ModeNFTables, Why: "configmap/kube-proxy"}
	read := func(node, mode string) Event { return AddressPinsChanged{Node: node, Mode: mode} }
	for _, c := range []struct {
		name   string
		plane  Dataplane
		events []Event
		want   Dataplane
	}{
		{"read", unknown, []Event{read("node2", "nftables"), read("node1", "nftables")}, Dataplane{Mode: ModeNFTables, Why: "the tables of node1, node2", Read: true}},
		{"read, and the objects say so", objects, []Event{read("node1", "nftables")}, objects},
		{"read before the objects", objects, []Event{read("node1", "iptables")}, Dataplane{Mode: ModeIPTables, Why: "the tables of node1", Read: true}},
		{"nodes differ", objects, []Event{read("node1", "iptables"), read("node2", "nftables")}, Dataplane{Why: "nodes differ: node1 iptables, node2 nftables", Read: true, Differ: "iptables, nftables"}},
		{"read no more", objects, []Event{read("node1", "iptables"), read("node1", "")}, objects},
		{"a word", unknown, []Event{DataplaneDetected{Node: "node1", Dataplane: Dataplane{Mode: "ipvs"}}}, Dataplane{Mode: ModeIPVS, Why: "kube-proxy on node1"}},
	} {
		var st State
		st.Apply(DataplaneDetected{Dataplane: c.plane}, tNow)
		for _, e := range c.events {
			st.Apply(e, tNow)
		}
		if got := st.Snapshot(tNow).Dataplane; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestNodesDiffer: each node's pins go by its own tables, be it beside others.
func TestNodesDiffer(t *testing.T) {
	w := newRulesWorld(t)
	list := func(node, mode string) []AddressList {
		l := w.list(node, "a", 90, 100, mode == ModeIPTables)
		l.Mode = mode
		return []AddressList{l}
	}
	w.read("node1", list("node1", ModeIPTables), w.pin("node1", "203.0.113.7", "http", "a"))
	w.read("node2", list("node2", ModeNFTables), w.pin("node2", "203.0.113.7", "http", "a"))
	s := w.st.Snapshot(w.now)
	for node, mode := range map[string]string{"node1": ModeIPTables, "node2": ModeNFTables} {
		if got := s.PlaneOf(node); got.Mode != mode || !got.Read {
			t.Errorf("%s: %+v", node, got)
		}
	}
	for _, f := range s.Findings { // of each list, what becomes of the next clients
		if iptables := strings.HasPrefix(f.Title, "node1"); strings.Contains(f.Impact, "push") != iptables {
			t.Errorf("%s: %s", f.Title, f.Impact)
		}
	}
	if len(s.Findings) != 2 {
		t.Errorf("%d findings", len(s.Findings))
	}
	d := s.Dataplane
	if !d.Runs(ModeIPTables) || !d.Runs(ModeNFTables) || d.Runs(ModeIPVS) || d.Semantics() != (Dataplane{Mode: ModeIPTables}).Semantics() {
		t.Errorf("%+v: %s", d, d.Semantics())
	}
	d.Differ = ModeIPTables + ", " + ModeIPVS
	if text := d.Semantics(); !strings.Contains(text, "iptables: each") || !strings.Contains(text, "ipvs: each") {
		t.Errorf("modes that pin differently: %s", text)
	}
}
