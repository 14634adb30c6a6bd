package findings

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var e05 = Rule{
	ID: "E05", Title: "The hash key is absent on the first request", Severity: affinity.SeverityCritical,
	What:    "The request that creates a session has no session id yet: it hashes the empty text, which sends all creations to one pod. The next request brings the id and hashes elsewhere, where nobody knows it.",
	Impact:  "sessions are created on one pod and asked for on another",
	Fix:     "hash what every request brings ($remote_addr, a cookie of the client), or use affinity: cookie",
	Verify:  "open a session and ask again: both answers are from one pod",
	Sources: []string{"SolaceProducts/solace-broker-mcp#358", "mercuretechnologies/xprem#149", "ingress-nginx rootfs/etc/nginx/lua/balancer.lua, get_implementation"},
	check: func(c *check) {
		const key = nginxPrefix + "upstream-hash-by"
		for _, ing := range c.ingresses {
			value := strings.ToLower(ing.Annotations[key])
			if value == "" || !ing.served.By(nginxKey) || strings.TrimSpace(ing.Annotations[nginxPrefix+"affinity"]) == "cookie" {
				continue // affinity: cookie wins where both are set
			}
			if generated := serverGenerated(value); generated != "" {
				c.hit(ing.Object, hit{title: fmt.Sprintf("%s does not exist before the first answer", generated), likely: true,
					evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...)}, patch: c.askIngress(ing, nginxKey)})
			}
		}
		for _, o := range c.destinationRules() {
			for _, name := range []string{"httpHeaderName", "httpQueryParameterName"} {
				at := []string{"spec", "trafficPolicy", "loadBalancer", "consistentHash", name}
				if serverGenerated("$http_"+strings.ToLower(strings.ReplaceAll(o.Str(at...), "-", "_"))) != "" {
					c.hit(o, hit{title: fmt.Sprintf("%s does not exist before the first answer", affinity.Clean(o.Str(at...), 60)), likely: true, evidence: []affinity.FindingEvidence{o.field(at...)},
						fix: "hash an httpCookie with a ttl, which Istio sets itself", patch: patched(o, nest(map[string]any{name: nil,
							"httpCookie": map[string]any{"name": cookieName(o.Name), "path": "/", "ttl": "0s"}}, at[:len(at)-1]...))})
				}
			}
		}
	},
}

// serverGenerated is the variable of an nginx expression that looks like an id
// that the server makes up; "" when there is none.
func serverGenerated(expression string) string {
	for _, word := range strings.FieldsFunc(expression, func(r rune) bool { return r != '$' && r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		for _, v := range strings.SplitAfter(word, "$")[1:] {
			for _, id := range []string{"http_mcp_session_id", "arg_sid", "arg_id", "arg_session_id", "arg_sessionid", "http_x_session_id", "http_session_id", "arg_connectiontoken", "http_sid"} {
				if strings.TrimSuffix(v, "$") == id {
					return "$" + id
				}
			}
		}
	}
	return ""
}
