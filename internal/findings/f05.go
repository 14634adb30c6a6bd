package findings

import (
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f05 = Rule{
	ID: "F05", Title: "iptables mode remembers 100 clients for each pod and node", Severity: affinity.SeverityMedium,
	What:    "kube-proxy in iptables mode keeps clients with xt_recent, whose list holds 100 addresses unless the module was loaded with ip_list_tot. The hundred-and-first pushes the oldest out, whatever the timeout.",
	Shown:   "a list of a node (--kernel) is four fifths full, or full, which is high. Filling up goes when it empties; having been full stays.",
	Impact:  "with more than about 100 active client addresses for each pod and node, pins end early",
	Fix:     "use nftables mode (Linux 5.13, Kubernetes 1.31) and restart kube-proxy, or load xt_recent with a larger ip_list_tot on every node; a cookie on an ingress has no such limit",
	Verify:  "on a node: cat /sys/module/xt_recent/parameters/ip_list_tot",
	Sources: []string{"Linux net/netfilter/xt_recent.c, ip_list_tot", "kubernetes pkg/proxy/iptables/proxier.go"},
	check: func(c *check) {
		for _, s := range c.services() {
			kind := s.Str("spec", "type")
			if !clientIP(s) || s.Str("spec", "clusterIP") == "None" || kind != "LoadBalancer" && kind != "NodePort" {
				continue
			}
			switch {
			case slices.Contains(c.proxies, affinity.ModeIPTables):
				c.hit(s, hit{title: "kube-proxy remembers 100 client addresses for each pod and node", likely: true,
					evidence: []affinity.FindingEvidence{s.field("spec", "sessionAffinity"), c.proxyFrom}, patch: c.nftables()})
			case len(c.proxies) == 0:
				c.notChecked(s, "kube-proxy's mode is not among the objects (ConfigMap kube-system/kube-proxy)")
			}
		}
	},
}

// nftables puts kube-proxy into that mode, where kubeadm keeps its configuration.
func (c *check) nftables() []edit {
	o := c.look().kubeProxy
	const key = "config.conf"
	if o == nil || o.Str("data", key) == "" || len(o.Str("data", key)) > maxPatch/2 {
		return nil
	}
	var b strings.Builder
	found := false
	for line := range strings.Lines(o.Str("data", key)) {
		if strings.HasPrefix(line, "mode:") {
			line, found = "mode: nftables\n", true
		}
		b.WriteString(line)
	}
	if !found {
		b.WriteString("mode: nftables\n")
	}
	e := of(o)
	e.fields, e.after = nest(b.String(), "data", key), "kubectl rollout restart daemonset kube-proxy -n "+quote(o.Namespace)
	return []edit{e}
}
