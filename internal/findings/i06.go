package findings

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var i06 = Rule{
	ID: "I06", Title: "Any Ingress edit ends WebSockets after worker-shutdown-timeout", Severity: affinity.SeverityHigh,
	What:    "A change of any Ingress that needs a reload starts new nginx workers. The old ones keep their connections for worker-shutdown-timeout, 240 s by default, and then close them all.",
	Impact:  "four minutes after somebody's edit all WebSockets through the controller close at once",
	Fix:     "raise worker-shutdown-timeout in the controller's ConfigMap to the length of a session",
	Verify:  "edit an unrelated Ingress; a WebSocket is open five minutes later",
	Sources: []string{"ingress-nginx docs, configmap, worker-shutdown-timeout", "kubernetes/ingress-nginx#8977", "kubernetes/ingress-nginx#7115", "kubernetes/ingress-nginx#11515"},
	Shown:   "three connections of a route or more are cut within two seconds, four minutes after an Ingress changed, and their pods are there. Likely: the timing alone tells.",
	Needs:   []string{"ConfigMap"},
	check: func(c *check) {
		value, config, known := c.controllerConfig(shutdownKey)
		if seconds(value) >= 3600 || c.Unread["ConfigMap"] != "" {
			return
		}
		all := c.stickyRoutes(nginxKey)
		hints := make(map[*route]string, len(all))
		for _, r := range all {
			hints[r] = r.socketHint()
		}
		slices.SortStableFunc(all, func(a, b *route) int { return cmp.Compare(hints[b], hints[a]) }) // of one object's, the worst
		patch := c.shutdownPatch()
		for _, r := range all {
			hint := hints[r]
			h := hit{title: "an Ingress edit ends WebSockets after 240 s", route: r.ID, likely: !known, patch: patch}
			if seconds(value) > 0 {
				h.title = fmt.Sprintf("an Ingress edit ends WebSockets after %d s", seconds(value))
			}
			if config != nil {
				h.evidence = append(h.evidence, config.noted("240s when absent", "data", "worker-shutdown-timeout"))
			} else {
				h.evidence = append(h.evidence, affinity.FindingEvidence{Source: "object", Text: "240s is the default; the controller's ConfigMap, which may set it, " + ifElse(c.Cluster, "was not found where ingress-nginx keeps it", "is not among the objects")})
			}
			if hint == "" {
				h.severity, h.likely, h.impact = affinity.SeverityInfo, true, "only if clients of this app hold WebSockets"
			} else {
				h.evidence = append(h.evidence, affinity.FindingEvidence{Source: "object", Text: "sockets: " + hint})
				if !known { // an application's files never have it
					h.severity = affinity.SeverityMedium
				}
			}
			c.hit(r.object, h)
		}
	},
}

const shutdownKey = "worker-shutdown-timeout"

// shutdownPatch lets old workers of ingress-nginx keep their connections for
// four hours: in its ConfigMap or, where that was not read, in the one that its
// chart and its manifests make. [ingress-nginx deploy/static/provider/cloud/deploy.yaml]
func (c *check) shutdownPatch() []edit {
	e := edit{apiVersion: "v1", kind: "ConfigMap", namespace: "ingress-nginx", name: "ingress-nginx-controller"}
	if o := c.look().nginx; o != nil {
		e = of(o)
	}
	e.fields = nest("14400s", "data", shutdownKey)
	return []edit{e}
}
