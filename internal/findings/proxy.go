package findings

import (
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// readProxyMode finds kube-proxy's mode where kubeadm keeps it, unless what runs
// on the nodes was seen.
func (w *world) readProxyMode() {
	if d := w.Dataplane; len(d.Modes()) > 0 {
		w.proxies, w.proxyFrom = d.Modes(), affinity.FindingEvidence{Source: "object", Field: "kube-proxy's mode", Value: strings.Join(d.Modes(), ", "), Text: d.Why}
		if d.Read {
			w.proxyFrom.Source = "kernel"
		}
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
			w.proxies, w.proxyFrom = []string{mode}, o.noted("mode "+affinity.Clean(mode, 20), "data", "config.conf")
		}
	}
}
