package main

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestUnpinned(t *testing.T) {
	ref := func(name string) affinity.ServiceRef { return affinity.ServiceRef{Namespace: "shop", Name: name} }
	pinning := affinity.Policy{Mechanism: affinity.MechanismClientIP}
	snap := &affinity.Snapshot{
		Services: []affinity.Service{
			{Ref: ref("cart"), Policy: pinning},
			{Ref: ref("db"), Headless: true, Policy: pinning},
			{Ref: ref("web"), Policy: affinity.Policy{Mechanism: affinity.MechanismNone}},
		},
		Routes: []affinity.Route{
			{Kind: affinity.RouteIngress, Namespace: "shop", Name: "front", Backend: affinity.Backend{Service: ref("web")}},
			{Kind: affinity.RouteIngress, Namespace: "shop", Name: "cart", Backend: affinity.Backend{Service: ref("cart")},
				Layers: []affinity.Layer{{Where: affinity.LayerService, Bypassed: "traefik connects to pods"}}},
			{Kind: affinity.RouteIngress, Namespace: "shop", Name: "met", Backend: affinity.Backend{Service: ref("cart")},
				Layers: []affinity.Layer{{Where: affinity.LayerService}}},
			{Kind: affinity.RouteIngress, Namespace: "shop", Name: "both", Backend: affinity.Backend{Service: ref("web")}},
			{Kind: affinity.RouteIngress, Namespace: "shop", Name: "both", Path: "/db", Backend: affinity.Backend{Service: ref("db")}},
		},
	}
	for _, c := range []struct{ kind, name, want string }{
		{"service", "cart", ""},
		{"service", "db", "headless"},
		{"service", "web", "no sessionAffinity: ClientIP"},
		{"service", "other", ""},
		{"ingress", "cart", "traefik connects to pods"},
		{"ingress", "met", ""},
		{"ingress", "front", "svc/web has no"},
		{"ingress", "both", ""}, // two Services: each for reasons of its own
		{"", "", ""},
	} {
		got := unpinned(snap, affinity.Target{Kind: c.kind, Namespace: "shop", Name: c.name})
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s/%s: %q, want %q", c.kind, c.name, got, c.want)
		}
	}
}

// TestUnreadYet: a window that ends before the first reading is told as that.
func TestUnreadYet(t *testing.T) {
	of := func(state affinity.SourceState) *affinity.Snapshot {
		return &affinity.Snapshot{Sources: []affinity.SourceStatus{{Name: "kernel", State: state, Detail: "why"}}}
	}
	if err := pinsVerdict(of(affinity.SourceLive)); err != nil {
		t.Error(err)
	}
	if err := pinsVerdict(of(affinity.SourceSyncing)); err == nil || !strings.Contains(err.Error(), "not read yet") {
		t.Errorf("%v", err)
	}
	if err := pinsVerdict(of(affinity.SourceAbsent)); err == nil || strings.Contains(err.Error(), "yet") {
		t.Errorf("%v", err)
	}
}

// TestTellNodes: under -w a table that goes is told once, and that it is back.
func TestTellNodes(t *testing.T) {
	var out strings.Builder
	told := map[string]affinity.SourceState{}
	for _, state := range []affinity.SourceState{affinity.SourceSyncing, affinity.SourceLive, affinity.SourceAbsent, affinity.SourceAbsent, affinity.SourceLive} {
		tellNodes(&affinity.Snapshot{Sources: []affinity.SourceStatus{{Name: "kernel/node1", State: state, Detail: "no table"}, {Name: "pods", State: state}}}, told, &out)
	}
	if want := "warning: kernel/node1 absent: no table\nnote: kernel/node1 is read again\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestSayUnseen: where the tables that the user asked for cannot be read, each
// list says so; what is not there of other sources is no news.
func TestSayUnseen(t *testing.T) {
	for _, c := range []struct {
		name  string
		state affinity.SourceState
		what  string
		want  string
	}{
		{"kernel", affinity.SourceAbsent, "findings", "warning: kernel: why\n"},
		{"kernel/node1", affinity.SourceAbsent, "sessions", "warning: kernel/node1: why\n"},
		{"kernel", affinity.SourceForbidden, "findings", "warning: kernel forbidden: why\n"},
		{"kernel", affinity.SourceAbsent, "pins", ""}, // an error there
		{"kernel", affinity.SourceLive, "findings", ""},
		{"ingressroutes", affinity.SourceAbsent, "findings", ""},
		{"logs", affinity.SourceSyncing, "sessions", "warning: logs: why\n"},
	} {
		var out strings.Builder
		sayUnseen(&affinity.Snapshot{Sources: []affinity.SourceStatus{{Name: c.name, State: c.state, Detail: "why"}}}, c.what, &out)
		if out.String() != c.want {
			t.Errorf("%s %s of get %s: %q, want %q", c.name, c.state, c.what, out.String(), c.want)
		}
	}
}

func TestKeeps(t *testing.T) {
	for want, d := range map[string]affinity.Dataplane{
		"": {Why: "may not be read: DaemonSets"},
		"nftables keeps these pins (the tables of node1): each new":                             {Mode: "nftables", Why: "the tables of node1", Read: true},
		"nodes differ: node1 ipvs, node2 nftables; each pin goes by its own node's: ipvs: each": {Why: "nodes differ: node1 ipvs, node2 nftables", Differ: "ipvs, nftables"},
	} {
		if got := keeps(d); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%+v: %q", d, got)
		}
	}
}
