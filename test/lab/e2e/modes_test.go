package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNodesOfTwoModes has one kube-proxy in nftables mode and one in iptables mode: agents read both, each pin agrees with
// the tables of its node, and it is said that the nodes differ.
func TestNodesOfTwoModes(t *testing.T) {
	t.Parallel()
	l := labOf(t, "clientip-both")
	modes := map[string]string{"node1": "nftables", "node2": "iptables"}
	for n := 1; n <= 2; n++ {
		for client := 110; client < 115; client++ {
			if out, err := l.Exec(within(t, 10*time.Second), "client", "curl", "-s", "-m", "5", "-o", "/dev/null", "--interface", fmt.Sprintf("172.30.0.%d", client), "http://"+l.NodeIP(n)+":30080/"); err != nil {
				t.Fatalf("client %d by node %d: %v: %s", client, n, err, out)
			}
		}
	}
	truth := map[string]float64{}
	began := time.Now()
	for node, mode := range modes {
		for key, left := range nodePins(t, l, node, mode, 60) {
			truth[node+" "+key] = left
		}
	}
	args := append([]string{"get", "pins", "svc/echo", "-n", "msgapp", "--kernel", "--yes", "-o", "json"}, agentImage...)
	r := stickytop(t, l, args...)
	took := time.Since(began).Seconds()
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	var list struct {
		pinList
		Metadata struct {
			Dataplane struct {
				Mode, Why string
				Modes     []string
			}
		}
	}
	check(t, json.Unmarshal([]byte(r.out), &list))
	if d := list.Metadata.Dataplane; d.Mode != "" || !slices.Equal(d.Modes, []string{"iptables", "nftables"}) {
		t.Errorf("the nodes' modes are %+v", d)
	}
	if want := "nodes differ: node1 nftables, node2 iptables"; !strings.Contains(r.err, want) {
		t.Errorf("it says %q, want %q", r.err, want)
	}
	if len(list.Items) != 10 || len(truth) != 10 {
		t.Errorf("%d pins, the nodes have %d, want 10", len(list.Items), len(truth))
	}
	for _, p := range list.Items {
		left, ok := truth[p.Node+" "+p.Client+" "+p.Endpoint]
		if !ok || p.RemainingSeconds == nil || *p.RemainingSeconds > left+1 || *p.RemainingSeconds < left-took-1 || p.Source != "kernel" {
			t.Errorf("%+v: its node said %.1f s up to %.1f s before", p, left, took)
		}
	}
}
