package findings

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f03 = Rule{
	ID: "F03", Title: "ClientIP is kept for each port apart", Severity: affinity.SeverityMedium,
	What:    "The table of clients is kept by Service port: a client that uses two ports of one Service may have two pods.",
	Shown:   "the tables of a node (--kernel) hold one client in its time on two pods, by two ports of the Service.",
	Impact:  "HTTP and WebSocket of one client, on two ports, lead to different pods",
	Fix:     "serve both on one port and drop the others from the Service once the app does, or keep what they share outside the pods",
	Verify:  "ask both ports from one client: one pod answers",
	Sources: []string{"kubernetes/kubernetes#103000", "K8sbykeshed/k8s-service-validator#34"},
	check: func(c *check) {
		for _, s := range c.services() {
			if !clientIP(s) || s.Str("spec", "clusterIP") == "None" {
				continue
			}
			var names []string
			var others []operation // the last first: positions move
			for i, p := range s.Items("spec", "ports") {
				n := strings.ToLower(cmp.Or(p.Str("name"), p.Str("port")))
				if !strings.Contains(n, "metric") && !strings.Contains(n, "prom") && !strings.Contains(n, "health") && !strings.Contains(n, "admin") && !strings.Contains(n, "debug") {
					if len(names) > 0 {
						others = append([]operation{take("spec", "ports", strconv.Itoa(i))}, others...)
					}
					names = append(names, n)
				}
			}
			if len(names) > 1 {
				c.hit(s, hit{title: fmt.Sprintf("ports %s each pin clients for themselves", affinity.Clean(strings.Join(names, ", "), 60)),
					evidence: []affinity.FindingEvidence{s.field("spec", "sessionAffinity"), s.noted(strings.Join(names, ", "), "spec", "ports")}, patch: operated(s, others...)})
			}
		}
	},
}
