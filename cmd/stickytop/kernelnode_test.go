package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestStrangeNode(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("172.30.0.12")}
	pods := []affinity.Pod{{Node: "node1", HostIP: "172.30.0.11"}, {}, {Node: "node2", HostIP: "172.30.0.12"}}
	for _, tt := range []struct {
		name string
		pods []affinity.Pod
		want string
		away bool // no node for sure
	}{
		{"node2", pods, "", false},
		{"vm", nil, "", false},
		{"vm", []affinity.Pod{{}}, "", false},
		{"vm", pods, "the cluster calls it node2: --kernel-node node2", false},
		{"vm", pods, "the cluster calls it node2: --kernel-node node2", true},
		{"vm", pods[:1], "", true},
		{"vm", pods[:1], "no pod here is on a node of that name", false},
		{"vm", []affinity.Pod{{Node: "kind", HostIP: "127.0.0.1"}}, "no pod here is on a node of that name", false},
	} {
		if got := strangeNode(tt.name, !tt.away, tt.pods, own); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s among %v: %q, want %q", tt.name, tt.pods, got, tt.want)
		}
	}
}
