package findings

import (
	"fmt"
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
	traefik := c.traefikProvider()
	if !certain && traefik == nil {
		c.retiredClass(retired)
	}
	if traefik == nil {
		return
	}
	for _, ing := range c.ingresses {
		if !ing.served.By(nginxKey) || strings.TrimSpace(ing.Annotations[nginxPrefix+"affinity"]) != "cookie" {
			continue
		}
		for _, name := range []string{"session-cookie-change-on-failure", "session-cookie-conditional-samesite-none"} {
			if key := nginxPrefix + name; ing.Annotations[key] == "true" {
				c.hit(ing.Object, hit{title: fmt.Sprintf("Traefik's provider does not read %s", name), likely: certain,
					evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...), traefik.noted("runs the provider kubernetesIngressNGINX", "spec", "template", "spec", "containers")},
					impact:   "clients of a failing pod keep failing after the migration"})
			}
		}
	}
}

// retiredClass tells of the class alone: Traefik's provider answers to it too.
func (c *check) retiredClass(h hit) {
	h.likely = true
	for _, o := range c.objects("IngressClass") {
		if o.Str("spec", "controller") == "k8s.io/ingress-nginx" {
			h.evidence = []affinity.FindingEvidence{o.noted("or Traefik's provider for its annotations, which claims it too", "spec", "controller")}
			c.hit(o, h)
			return
		}
	}
	for _, ing := range c.ingresses {
		if ing.served.By(nginxKey) {
			h.evidence = []affinity.FindingEvidence{ing.classEvidence()}
			c.hit(ing.Object, h)
			return
		}
	}
}

// traefikProvider is a Traefik that serves ingress-nginx' annotations.
func (c *check) traefikProvider() *workload {
	for _, x := range c.workloads {
		for _, cont := range x.containers() {
			if strings.Contains(strings.ToLower(strings.Join(cont.words("args"), " ")), "providers.kubernetesingressnginx") {
				return x
			}
		}
	}
	return nil
}
