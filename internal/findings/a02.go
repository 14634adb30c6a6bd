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
	Sources: []string{"kubernetes/ingress-nginx#5944", "kubernetes/ingress-nginx#2622", "kubernetes-sigs/aws-load-balancer-controller#895", "ingress-nginx cmd/plugin/lints/ingress.go", "the lists of annotations of each controller: internal/ingress/known.go"},
	check:   checkMisspelt,
}

const legacyPrefix = "ingress.kubernetes.io/"

func checkMisspelt(c *check) {
	names := ingress.NginxAffinityAnnotations()
	for _, ing := range c.ingresses {
		nginx := ing.served.By(nginxKey)
		for _, key := range slices.Sorted(maps.Keys(ing.Annotations)) {
			if name, ok := strings.CutPrefix(key, nginxPrefix); ok && name == "session-cookie-hash" {
				c.hit(ing.Object, hit{title: "session-cookie-hash was removed from ingress-nginx", severity: affinity.SeverityMedium,
					evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...)}, fix: "remove it", patch: unannotate(ing.Object, key)})
			} else if near := nearest(name, names); ok && near != "" {
				c.misspelt(ing.Object, key, nginxPrefix+near)
			}
			if name, ok := strings.CutPrefix(key, legacyPrefix); ok && nginx && slices.Contains(names, name) {
				c.misspelt(ing.Object, key, nginxPrefix+name)
			}
		}
	}
	served := map[*Object]ingressFacts{}
	for _, ing := range c.ingresses {
		served[ing.Object] = ing
	}
	for _, kind := range []string{"Ingress", "Service", "Route"} {
		for _, o := range c.objects(kind) {
			if o.Has("metadata", "annotations") {
				c.slips(o, served[o].served)
			}
		}
	}
}

// slips are the annotations of an object that look like one of another
// controller than ingress-nginx.
func (c *check) slips(o *Object, by ingress.Served) {
	annotations := o.Strings("metadata", "annotations")
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		for _, k := range ingress.AffinityAnnotations {
			if !strings.HasPrefix(key, k.Prefix) || !slices.Contains(k.Kinds, o.Kind) || k.Shared && !by.By(k.Controller) {
				continue
			}
			if meant := k.Meant(key); meant != "" {
				c.misspelt(o, key, meant)
				break
			}
		}
		if key == albAttributes || o.Kind == "Service" && key == nlbAttributes {
			c.attributes(o, key, annotations[key])
		}
	}
}

func (c *check) misspelt(o *Object, key, want string) {
	c.hit(o, hit{title: fmt.Sprintf("unknown annotation %s", affinity.Clean(key, 90)), evidence: []affinity.FindingEvidence{o.field(annotationPath(key)...)},
		fix: "did you mean " + want + "?", patch: c.renamed(o, key, want)})
}

// renamed is an annotation under its right name; one that has that, too, loses
// the other.
func (c *check) renamed(o *Object, key, want string) []edit {
	e := of(o)
	if _, has := o.Strings("metadata", "annotations")[want]; !has {
		e = e.set(want, o.annotation(key))
	}
	return []edit{e.unset(key)}
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

// nlbAttributes are those of a Network Load Balancer.
const nlbAttributes = "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes"

func (c *check) attributes(o *Object, key, value string) {
	for _, part := range strings.Split(value, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
		if slices.Contains(albKnown, name) || !strings.HasPrefix(name, "sti") && nearest(name, albKnown) == "" {
			continue
		}
		h := hit{title: fmt.Sprintf("unknown target group attribute %s", affinity.Clean(name, 60)), evidence: []affinity.FindingEvidence{o.field(annotationPath(key)...)},
			fix: "the known ones are " + strings.Join(albKnown, ", "), patch: annotate(o, key, mendAttributes(value))}
		if near := nearest(name, albKnown); near != "" {
			h.fix = "did you mean " + near + "?"
		}
		c.hit(o, h)
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
