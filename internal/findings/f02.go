package findings

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f02 = Rule{
	ID: "F02", Title: "ClientIP is remembered by each node for itself", Severity: affinity.SeverityHigh,
	What:    "kube-proxy and its replacements keep the table of clients on each node. A load balancer that spreads the connections of one client over nodes gets a pod from each.",
	Shown:   "the tables of two nodes (--kernel) hold one client in its time on two pods.",
	Impact:  "one client has as many pods as it meets nodes",
	Fix:     "let the load balancer hash by source address, or use a cookie on an ingress",
	Verify:  "ask each node's NodePort from one client: one pod answers",
	Sources: []string{"cloudnativelabs/kube-router#159", "kubernetes/kubernetes#13865"},
	Needs:   []string{"Node"},
	check: func(c *check) {
		nodes := len(c.objects("Node"))
		if c.Unread["Node"] != "" || nodes == 1 {
			return
		}
		for _, s := range c.objects("Service") {
			kind := s.Str("spec", "type")
			if !clientIP(s) || kind != "LoadBalancer" && kind != "NodePort" || balancesBySource(s) {
				continue
			}
			h := hit{title: fmt.Sprintf("ClientIP on a %s holds on each node for itself", kind), likely: true,
				evidence: []affinity.FindingEvidence{s.field("spec", "type"), s.field("spec", "sessionAffinity")}, severity: affinity.SeverityMedium,
				impact: "unless the cluster has one node, one client has as many pods as it meets nodes"}
			if nodes > 1 {
				h.severity, h.impact = affinity.SeverityHigh, fmt.Sprintf("one client may have a pod on each of %d nodes", nodes)
			}
			c.hit(s, h)
		}
	},
}

// balancesBySource reports whether an annotation asks the load balancer for
// stickiness of its own.
func balancesBySource(s *Object) bool {
	for k, v := range s.Strings("metadata", "annotations") {
		k, v = strings.ToLower(k), strings.ToLower(v)
		if strings.Contains(k, "sticky") || strings.Contains(v, "stickiness.enabled=true") || strings.Contains(k, "algorithm") && strings.Contains(v, "source") {
			return true
		}
	}
	return false
}
