package findings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a08 = Rule{
	ID: "A08", Title: "Traefik stickiness on the wrong object", Severity: affinity.SeverityCritical,
	What:    "Traefik takes stickiness from annotations of the Service (Ingress provider) or from services[].sticky.cookie of an IngressRoute. On an Ingress they count for nothing.",
	Impact:  "no cookie is issued: every request may go to any pod",
	Fix:     "move the annotations to the Service",
	Verify:  "stickytop get sessions {obj} --for 30s: states leave COOKIELESS",
	Sources: []string{"traefik/traefik#2392", "traefik/traefik#674", "traefik pkg/provider/kubernetes/ingress/annotations.go"},
	check: func(c *check) {
		for _, ing := range c.ingresses {
			for _, key := range slices.Sorted(maps.Keys(ing.Annotations)) {
				name, ok := strings.CutPrefix(key, "traefik.ingress.kubernetes.io/")
				if !ok || !strings.HasPrefix(strings.ToLower(name), "service.sticky") && name != "affinity" && name != "session-cookie-name" {
					continue
				}
				c.hit(ing.Object, hit{title: fmt.Sprintf("%s is read from the Service, not from the Ingress", affinity.Clean(name, 60)), likely: !ing.served.By("traefik"),
					evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...)},
					patch:    "# on the Service\nmetadata:\n  annotations:\n    traefik.ingress.kubernetes.io/service.sticky.cookie: \"true\""})
			}
		}
	},
}
