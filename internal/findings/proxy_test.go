package findings_test

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestByTheProxy judges Services whose objects do not tell kube-proxy's mode by
// what was seen of it.
func TestByTheProxy(t *testing.T) {
	for mode, want := range map[string]string{
		"":         "F04 not-checked, F05 not-checked",
		"iptables": "F05 likely kernel",
		"ipvs":     "F04 exact kernel",
		"nftables": "",
		"cilium":   "",

		"iptables, nftables": "F05 likely kernel", // some nodes each
		"ipvs, nftables":     "F04 exact kernel",
	} {
		f := read(t, "testdata/proxy.yaml")
		f.Dataplane = affinity.Dataplane{Mode: mode, Why: "the tables of node1", Read: true}
		if strings.Contains(mode, ",") {
			f.Dataplane.Mode, f.Dataplane.Differ = "", mode
		}
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
