package findings

import (
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Proxy is what keeps pins by address on the nodes, told by something else than
// the objects that are judged.
type Proxy struct {
	Mode string // as in affinity.Dataplane; "" when nothing tells
	From string // what told it; safe to print
}

// ProxySeen is what a run has learnt: by the tables that it read on nodes, else
// by the cluster's own objects. Nodes that differ tell nothing of all.
func ProxySeen(snap *affinity.Snapshot) Proxy {
	var p Proxy
	var nodes []string
	for _, l := range snap.AddressLists {
		switch {
		case l.Mode == "":
			continue
		case p.Mode != "" && p.Mode != l.Mode:
			return Proxy{}
		}
		p.Mode = l.Mode
		if !slices.Contains(nodes, l.Node) {
			nodes = append(nodes, l.Node)
		}
	}
	if p.Mode == "" {
		return Proxy{Mode: snap.Dataplane.Mode, From: snap.Dataplane.Why}
	}
	slices.Sort(nodes)
	p.From = "the tables of " + affinity.Clean(strings.Join(nodes, ", "), 120)
	return p
}

// readProxyMode finds kube-proxy's mode where kubeadm keeps it, unless what runs
// on the nodes was seen.
func (w *world) readProxyMode() {
	if w.Proxy.Mode != "" {
		w.proxyMode = w.Proxy.Mode
		w.proxyFrom = affinity.FindingEvidence{Source: "kernel", Field: "kube-proxy's mode", Value: w.Proxy.Mode, Text: w.Proxy.From}
		return
	}
	for _, o := range w.objects("ConfigMap") {
		if o.Name != "kube-proxy" {
			continue
		}
		for line := range strings.Lines(o.Str("data", "config.conf")) {
			mode, ok := strings.CutPrefix(strings.TrimSpace(line), "mode:")
			if !ok {
				continue
			}
			mode = strings.Trim(strings.TrimSpace(mode), `"'`)
			if mode == "" {
				mode = affinity.ModeIPTables // the default on Linux (kubernetes: pkg/proxy/apis/config, KubeProxyConfiguration.Mode)
			}
			w.proxyMode, w.proxyFrom = mode, o.noted("mode "+affinity.Clean(mode, 20), "data", "config.conf")
		}
	}
}
