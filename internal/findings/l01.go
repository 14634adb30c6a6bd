package findings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var l01 = Rule{
	ID: "L01", Title: "ingress-nginx is retired, and its settings mean other things elsewhere", Severity: affinity.SeverityHigh,
	What:    "kubernetes/ingress-nginx was retired in March 2026: no releases, no fixes. Traefik's provider for its annotations does not read session-cookie-change-on-failure nor affinity-mode; GKE maps neither mode nor cookie name; Envoy Gateway's sessionPersistence is a pin, its ConsistentHash a hash.",
	Impact:  "what looks the same after a migration is not",
	Fix:     "plan the migration, and compare both entry points with the same sessions before the cut-over",
	Verify:  "stickytop get sessions --url OLD and --url NEW on {obj}: the same states",
	Sources: []string{"kubernetes/ingress-nginx README", "traefik/traefik#12989", "traefik/traefik#12998", "traefik/traefik#13485", "kubernetes-sigs/ingress2gateway#310", "kubernetes-sigs/ingress2gateway#312", "envoyproxy/gateway#3315"},
	check:   checkMigration,
}

func checkMigration(c *check) {
	retired := hit{title: "controller ingress-nginx is retired (March 2026)", severity: affinity.SeverityInfo, impact: "no releases and no fixes, of security holes neither"}
	certain := false
	for _, x := range c.workloads {
		if i, ok := controllerImage(x); ok {
			certain = true
			h := retired
			h.evidence = []affinity.FindingEvidence{x.field(containerPath(i, "image")...)}
			c.hit(x.Object, h)
		}
	}
	traefik := traefikProvider(c.workloads)
	if !certain && traefik == nil {
		c.retiredClass(retired)
	}
	for _, ing := range c.ingresses {
		byTraefik := ing.settled && ing.served.By(traefikNginxKey)
		if traefik == nil && !byTraefik || !ing.annotated() || strings.TrimSpace(ing.Annotations[nginxPrefix+"affinity"]) != "cookie" {
			continue
		}
		for _, name := range []string{"session-cookie-change-on-failure", "session-cookie-conditional-samesite-none"} {
			if key := nginxPrefix + name; ing.Annotations[key] == "true" {
				h := hit{title: fmt.Sprintf("Traefik's provider does not read %s", name), likely: certain && !byTraefik,
					evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...)}, impact: "clients of a failing pod keep failing after the migration",
					fix: "Traefik has nothing like it: remove it once Traefik serves, and let readiness probes take failing pods out soon", patch: unannotate(ing.Object, key)}
				if certain && !byTraefik { // it counts as long as ingress-nginx serves
					h.title = fmt.Sprintf("Traefik's provider, which runs beside it, will not read %s", name)
					h.fix, h.patch = "keep it while ingress-nginx serves; before the cut-over let readiness probes take failing pods out soon, for Traefik has nothing like it", nil
				}
				if byTraefik {
					h.impact = "clients of a failing pod keep failing"
					at := nameKey{ing.Kind, ing.Object.Namespace, ing.Object.Name}
					source := "cookie"
					if c.settled[at] == c.ran[at] {
						source = "object"
					}
					h.evidence = append(h.evidence, affinity.FindingEvidence{Source: source, Text: "Traefik serves it: " + c.settled[at].Proof})
				} else {
					h.evidence = append(h.evidence, traefik.noted("runs the provider kubernetesIngressNGINX", "spec", "template", "spec", "containers"))
				}
				c.hit(ing.Object, h)
			}
		}
	}
}

// retiredClass tells of the class alone: Traefik's provider answers to it too.
func (c *check) retiredClass(h hit) {
	h.likely = true
	for _, o := range c.objects("IngressClass") {
		if o.Str("spec", "controller") == "k8s.io/ingress-nginx" && c.mayRunNginx(o.Name) {
			h.evidence = []affinity.FindingEvidence{o.noted("or Traefik's provider for its annotations, which claims it too", "spec", "controller")}
			if c.provedNginx(o.Name) {
				h.likely, h.evidence = false, []affinity.FindingEvidence{o.noted("cookies of its routes are ingress-nginx's", "spec", "controller")}
			}
			c.hit(o, h)
			return
		}
	}
	for _, ing := range c.ingresses {
		if ing.served.By(nginxKey) {
			h.likely = !ing.settled
			h.evidence = []affinity.FindingEvidence{ing.classEvidence()}
			c.hit(ing.Object, h)
			return
		}
	}
}

// mayRunNginx reports whether ingress-nginx may be what serves a class: not
// where cookies have proved another, and it nowhere.
func (c *check) mayRunNginx(class string) bool {
	used, presumed, other := false, false, false
	for _, ing := range c.ingresses {
		if ing.served.Class != class {
			continue
		}
		used = true
		presumed = presumed || ing.served.By(nginxKey)
		other = other || ing.settled && !ing.served.By(nginxKey)
	}
	return c.provedNginx(class) || !other && (presumed || !used)
}

func (c *check) provedNginx(class string) bool {
	return slices.ContainsFunc(c.ingresses, func(i ingressFacts) bool { return i.settled && i.served.Class == class && i.served.By(nginxKey) })
}

// traefikProvider is a Traefik that serves ingress-nginx' annotations.
func traefikProvider(all []*workload) *workload {
	for _, x := range all {
		for _, cont := range x.containers() {
			if strings.Contains(strings.ToLower(strings.Join(cont.words("args"), " ")), "providers.kubernetesingressnginx") {
				return x
			}
		}
	}
	return nil
}
