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
					patch:    c.onService(ing)})
			}
		}
	},
}

// onService moves Traefik's annotations for stickiness from an Ingress to the
// Services that it leads to.
func (c *check) onService(ing ingressFacts) []edit {
	from, moved := of(ing.Object), edit{}
	moved = moved.set(traefikPrefix+"service.sticky.cookie", "true")
	for _, key := range slices.Sorted(maps.Keys(ing.Annotations)) {
		name, ok := strings.CutPrefix(key, traefikPrefix)
		if !ok || !strings.HasPrefix(strings.ToLower(name), "service.sticky") && name != "affinity" && name != "session-cookie-name" {
			continue
		}
		from = from.unset(key)
		switch {
		case name == "session-cookie-name":
			moved = moved.set(traefikPrefix+"service.sticky.cookie.name", ing.Annotations[key])
		case name != "affinity" && name != "service.sticky.cookie":
			moved = moved.set(key, ing.Annotations[key])
		}
	}
	edits := []edit{from}
	for _, name := range services(backendsOf(ing)) {
		e := serviceEdit(ing.Object.Namespace, name)
		e.annotations = moved.annotations
		edits = append(edits, e)
	}
	return edits
}
