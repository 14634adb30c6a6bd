package findings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

var a02 = Rule{
	ID: "A02", Title: "Misspelt, legacy or removed affinity annotation", Severity: affinity.SeverityCritical,
	What:    "Unknown annotations are ignored silently. Seen in the wild: affinity-node for affinity-mode, the prefix ingress.kubernetes.io/ of 2017, session-cookie-hash (removed), stinkyness in the attributes of an AWS load balancer.",
	Impact:  "the setting is there to be read by people, and by nobody else",
	Fix:     "write the name that the controller knows",
	Verify:  "stickytop get routes {obj}: the setting shows in the route's policy",
	Sources: []string{"kubernetes/ingress-nginx#5944", "kubernetes/ingress-nginx#2622", "kubernetes-sigs/aws-load-balancer-controller#895", "ingress-nginx cmd/plugin/lints/ingress.go"},
	check:   checkMisspelt,
}

const legacyPrefix = "ingress.kubernetes.io/"

func checkMisspelt(c *check) {
	names := ingress.NginxAffinityAnnotations()
	for _, ing := range c.ingresses {
		nginx := ing.served.By(nginxKey)
		for _, key := range slices.Sorted(maps.Keys(ing.Annotations)) {
			value := ing.Annotations[key]
			if name, ok := strings.CutPrefix(key, nginxPrefix); ok && name == "session-cookie-hash" {
				c.hit(ing.Object, hit{title: "session-cookie-hash was removed from ingress-nginx", severity: affinity.SeverityMedium,
					evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...)}, fix: "remove it", patch: unannotate(ing.Object, key)})
			} else if near := nearest(name, names); ok && near != "" {
				c.misspelt(ing, key, nginxPrefix+near, value)
			}
			if name, ok := strings.CutPrefix(key, legacyPrefix); ok && nginx && slices.Contains(names, name) {
				c.misspelt(ing, key, nginxPrefix+name, value)
			}
			if key == albAttributes {
				c.albAttributes(ing, value)
			}
		}
	}
}

func (c *check) misspelt(ing ingressFacts, key, want, value string) {
	c.hit(ing.Object, hit{title: fmt.Sprintf("unknown annotation %s", affinity.Clean(key, 90)),
		evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...)},
		fix:      "did you mean " + want + "?", patch: []edit{of(ing.Object).set(want, value).unset(key)}})
}

// nearest is the known name that name looks like a slip of; "" for a known one
// and for one that is far from all.
func nearest(name string, known []string) string {
	if slices.Contains(known, name) || len(name) > 64 {
		return ""
	}
	for _, k := range known {
		if ingress.Near(name, k) {
			return k
		}
	}
	return ""
}

// albKnown are the target group attributes that have to do with stickiness
// (AWS ELB API, ModifyTargetGroupAttributes).
var albKnown = []string{"stickiness.enabled", "stickiness.type", "stickiness.lb_cookie.duration_seconds", "stickiness.app_cookie.cookie_name", "stickiness.app_cookie.duration_seconds"}

func (c *check) albAttributes(ing ingressFacts, value string) {
	for _, part := range strings.Split(value, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
		if slices.Contains(albKnown, name) || !strings.HasPrefix(name, "sti") && nearest(name, albKnown) == "" {
			continue
		}
		h := hit{title: fmt.Sprintf("unknown target group attribute %s", affinity.Clean(name, 60)), evidence: []affinity.FindingEvidence{ing.field(annotationPath(albAttributes)...)},
			fix: "the known ones are " + strings.Join(albKnown, ", ")}
		if near := nearest(name, albKnown); near != "" {
			h.fix = "did you mean " + near + "?"
		}
		h.patch = annotate(ing.Object, albAttributes, mendAttributes(value))
		c.hit(ing.Object, h)
	}
}

// mendAttributes are target group attributes with the known names for those that
// are near one, and without the others that are meant for stickiness.
func mendAttributes(value string) string {
	var kept []string
	for _, part := range strings.Split(value, ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch near := nearest(name, albKnown); {
		case near != "":
			kept = append(kept, near+"="+rest)
		case slices.Contains(albKnown, name) || !strings.HasPrefix(name, "sti"):
			kept = append(kept, strings.TrimSpace(part))
		}
	}
	return strings.Join(kept, ",")
}
