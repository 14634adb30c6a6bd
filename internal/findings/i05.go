package findings

import (
	"fmt"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var i05 = Rule{
	ID: "I05", Title: "proxy-read-timeout cuts idle connections", Severity: affinity.SeverityHigh,
	What:    "A connection on which the pod sends nothing for proxy-read-timeout (60 s by default) is closed. Engine.IO 4 pings every 25 s; a ping that comes later than the timeout comes too late.",
	Impact:  "WebSockets and long polls close and open again and again",
	Fix:     "set proxy-read-timeout well above the ping interval of the app, and of every load balancer before it",
	Verify:  "an idle WebSocket through the ingress is open after two minutes",
	Sources: []string{"kubernetes/ingress-nginx#2917", "kubernetes/ingress-nginx#5167", "kubernetes/ingress-nginx#5539", "kubernetes/ingress-nginx#5830", "nginx/kubernetes-ingress#715"},
	Shown:   "a WebSocket is cut without a word after as long a silence as the proxy is configured to wait, or twice after the same silence (certain), or after one that a hop is known for, or with --idle (likely). Also, likely, when the server's pingInterval is not below the proxy's read timeout, or when a poll is refused with code 1 after just that time: the answer to the proxy's second try.",
	check: func(c *check) {
		const ping = 25 // seconds; engine.io's pingInterval since version 4
		const key = nginxPrefix + "proxy-read-timeout"
		general, config, _ := c.controllerConfig("proxy-read-timeout")
		for _, r := range c.stickyRoutes(nginxKey) {
			own := r.object.annotation(key)
			timeout := seconds(own)
			e := r.object.noted("60 when absent", annotationPath(key)...)
			if timeout == 0 && seconds(general) > 0 {
				timeout, e = seconds(general), config.field("data", "proxy-read-timeout")
			}
			if timeout == 0 {
				timeout = 60
			}
			hint := r.socketHint()
			if r.plainSocket() {
				severity := affinity.SeverityInfo
				if timeout <= ping {
					severity = affinity.SeverityMedium
				}
				if timeout < 3600 {
					c.hit(r.object, hit{title: fmt.Sprintf("a WebSocket on %s that is silent for %d s is cut", affinity.Clean(r.Path, 60), timeout), severity: severity,
						likely: true, route: r.ID, evidence: []affinity.FindingEvidence{e}, patch: annotate(r.object, key, "3600"),
						impact: fmt.Sprintf("unless the server sends a ping or a message more often than every %d s, which no object tells, idle connections close and open again", timeout)})
				}
				continue
			}
			h := hit{title: fmt.Sprintf("proxy-read %ds > Engine.IO's ping at %ds", timeout, ping), passed: true, route: r.ID, evidence: []affinity.FindingEvidence{e}}
			if timeout <= ping {
				h.passed, h.likely = false, true
				h.title = fmt.Sprintf("proxy-read-timeout %ds is over before Engine.IO's ping at %ds", timeout, ping)
				h.severity, h.patch = affinity.SeverityMedium, annotate(r.object, key, ifElse(hint != "", "3600", "300"))
				if hint != "" {
					h.severity = affinity.SeverityHigh
					h.evidence = append(h.evidence, affinity.FindingEvidence{Source: "object", Text: "sockets: " + hint})
				}
			}
			c.hit(r.object, h)
		}
	},
}
