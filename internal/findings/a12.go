package findings

import (
	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a12 = Rule{
	ID: "A12", Title: "The network plugin ignores sessionAffinity", Severity: affinity.SeverityCritical,
	What:    "Cilium without kube-proxy replacement can still serve Services to pods with its own socket load balancing, which keeps sessionAffinity only when enable-session-affinity is on.",
	Impact:  "clients of the Service are spread over all pods",
	Fix:     "set kubeProxyReplacement: true or sessionAffinity: true in Cilium's Helm values, or what they become in its ConfigMap, and restart its agents",
	Verify:  "from one pod, ask the Service ten times with new connections: one pod answers",
	Sources: []string{"cilium/cilium#35254", "canonical/k8s-snap#1146", "cilium/cilium#9076"},
	Needs:   []string{"ConfigMap"},
	check: func(c *check) {
		var pinned *Object
		for _, s := range c.services() {
			if clientIP(s) && s.Str("spec", "clusterIP") != "None" {
				pinned = s
				break
			}
		}
		for _, o := range c.objects("ConfigMap") {
			if o.Name != "cilium-config" || pinned == nil {
				continue
			}
			replaced := o.Str("data", "kube-proxy-replacement")
			if replaced == "true" || replaced == "strict" || o.Str("data", "enable-session-affinity") == "true" {
				continue
			}
			on := of(o)
			on.fields, on.after = nest("true", "data", "enable-session-affinity"), "kubectl rollout restart daemonset cilium -n "+quote(o.Namespace)
			c.hit(o, hit{title: "Cilium does not keep sessionAffinity here", likely: true, patch: []edit{on},
				evidence: []affinity.FindingEvidence{o.field("data", "enable-session-affinity"), o.field("data", "kube-proxy-replacement"), pinned.field("spec", "sessionAffinity")}})
		}
	},
}
