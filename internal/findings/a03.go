package findings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a03 = Rule{
	ID: "A03", Title: "session-cookie-* without affinity: cookie", Severity: affinity.SeverityCritical,
	What:    "ingress-nginx reads its session-cookie-* annotations only beside affinity: cookie, the one value there is. affinity: ip does not exist.",
	Impact:  "all cookie settings are ignored: no cookie, every request may go to any pod",
	Fix:     "add affinity: cookie",
	Verify:  "stickytop get sessions {obj} --for 30s: states leave COOKIELESS",
	Sources: []string{"ingress-nginx internal/ingress/annotations/sessionaffinity/main.go", "kubernetes/ingress-nginx#10295"},
	check: func(c *check) {
		const key = nginxPrefix + "affinity"
		for _, ing := range c.ingresses {
			if !ing.annotated() { // Traefik's provider reads them likewise
				continue
			}
			value, set := ing.Annotations[key]
			if strings.TrimSpace(value) == "cookie" {
				continue
			}
			var idle []affinity.FindingEvidence
			settings, mode := 0, false
			for _, k := range slices.Sorted(maps.Keys(ing.Annotations)) {
				switch {
				case strings.HasPrefix(k, nginxPrefix+"session-cookie-"):
					settings++
				case k == nginxPrefix+"affinity-mode":
					mode = true
				default:
					continue
				}
				idle = append(idle, ing.field(annotationPath(k)...))
			}
			switch {
			case set && strings.TrimSpace(value) != "":
				c.hit(ing.Object, hit{title: fmt.Sprintf("affinity: %s is not a value ingress-nginx knows", affinity.Clean(value, 40)),
					evidence: append([]affinity.FindingEvidence{ing.field(annotationPath(key)...)}, idle...),
					fix:      "the only value is cookie", patch: c.askIngress(ing, nginxKey)})
			case len(idle) > 0:
				c.hit(ing.Object, hit{title: idleSettings(settings, mode) + " ignored without affinity: cookie",
					evidence: append(idle, ing.field(annotationPath(key)...)), patch: c.askIngress(ing, nginxKey)})
			}
		}
	},
}

// idleSettings counts as the route's own note does.
func idleSettings(settings int, mode bool) string {
	switch {
	case settings == 0:
		return "affinity-mode is"
	case mode:
		return fmt.Sprintf("session-cookie-* (%d found) and affinity-mode are", settings)
	}
	return fmt.Sprintf("session-cookie-* (%d found) is", settings)
}
