package findings_test

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

func TestProxySeen(t *testing.T) {
	list := func(node, mode string) affinity.AddressList { return affinity.AddressList{Node: node, Mode: mode} }
	told := affinity.Dataplane{Mode: affinity.ModeIPVS, Why: "configmap/kube-proxy in kube-system"}
	for _, c := range []struct {
		name  string
		plane affinity.Dataplane
		lists []affinity.AddressList
		want  findings.Proxy
	}{
		{"nothing", affinity.Dataplane{Why: "may not be read"}, nil, findings.Proxy{From: "may not be read"}},
		{"objects", told, nil, findings.Proxy{Mode: "ipvs", From: told.Why}},
		{"tables before objects", told, []affinity.AddressList{list("node2", "nftables"), list("node1", "nftables"), list("node2", "nftables")},
			findings.Proxy{Mode: "nftables", From: "the tables of node1, node2"}},
		{"nodes differ", told, []affinity.AddressList{list("node1", "nftables"), list("node2", "iptables")}, findings.Proxy{}},
	} {
		if got := findings.ProxySeen(&affinity.Snapshot{Dataplane: c.plane, AddressLists: c.lists}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestByTheProxy judges Services whose objects do not tell kube-proxy's mode by
// what was seen of it.
func TestByTheProxy(t *testing.T) {
	for mode, want := range map[string]string{
		"":         "F04 not-checked, F05 not-checked",
		"iptables": "F05 likely kernel",
		"ipvs":     "F04 exact kernel",
		"nftables": "",
		"cilium":   "",
	} {
		f := read(t, "testdata/proxy.yaml")
		f.Proxy = findings.Proxy{Mode: mode, From: "the tables of node1"}
		var got []string
		for _, x := range findings.Check(f, findings.Options{Only: []string{"F04", "F05"}}).Findings {
			text := x.Rule + " " + x.Certainty.String()
			for _, e := range x.Evidence {
				if e.Source == "kernel" && e.Value == mode && e.Text == "the tables of node1" {
					text += " kernel"
				}
			}
			got = append(got, text)
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%q: %q, want %q", mode, text, want)
		}
	}
}
