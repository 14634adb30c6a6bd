package findings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a01 = Rule{
	ID: "A01", Title: "Affinity annotations belong to another controller", Severity: affinity.SeverityCritical,
	What:    "The Ingress asks for stickiness with annotations of a controller that does not serve its class. Controllers ignore annotations they do not know, without a word.",
	Impact:  "no cookie is issued: every request may go to any pod",
	Fix:     "use the serving controller's own annotations, or the class of the controller these are for",
	Verify:  "stickytop get sessions {obj} --for 30s: states leave COOKIELESS",
	Sources: []string{"nginx/kubernetes-ingress#1431", "nginx/kubernetes-ingress#500", "kubernetes-retired/contrib#2631", "kubernetes/kubernetes#51711", "jcmoraisjr/haproxy-ingress#344"},
	Needs:   []string{"IngressClass"},
	check:   checkForeign,
}

// asks are the annotations by which an Ingress asks for stickiness, and the
// controllers that read them.
var asks = []struct {
	key    string
	title  string
	owners []string
}{
	{nginxPrefix + "affinity", "ingress-nginx", []string{nginxKey, "traefik-ingress-nginx"}},
	{"nginx.org/sticky-cookie-services", "the F5 NGINX Ingress Controller", []string{"nginx-inc"}},
	{"nginx.com/sticky-cookie-services", "the F5 NGINX Ingress Controller", []string{"nginx-inc"}},
	{"haproxy.org/cookie-persistence", "the HAProxy Kubernetes Ingress Controller", []string{"haproxytech"}},
	{"haproxy-ingress.github.io/affinity", "HAProxy Ingress", []string{"haproxy-ingress"}},
	{"ingress.kubernetes.io/affinity", "HAProxy Ingress", []string{"haproxy-ingress"}},
	{"appgw.ingress.kubernetes.io/cookie-based-affinity", "Azure Application Gateway", []string{"azure-agic"}},
	{albAttributes, "the AWS Load Balancer Controller", []string{"aws-alb"}},
}

// instead is how each controller is asked.
var instead = map[string]string{
	nginxKey:          nginxPrefix + `affinity: cookie`,
	"nginx-inc":       `nginx.org/sticky-cookie-services: "serviceName=SERVICE name expires=1h path=/"`,
	"haproxytech":     `haproxy.org/cookie-persistence: NAME`,
	"haproxy-ingress": `haproxy-ingress.github.io/affinity: cookie`,
	"aws-alb":         albAttributes + `: stickiness.enabled=true, with target-type: ip`,
	"azure-agic":      `appgw.ingress.kubernetes.io/cookie-based-affinity: "true"`,
	"traefik":         `traefik.ingress.kubernetes.io/service.sticky.cookie: "true" on the Service`,
	"gce":             `a BackendConfig with sessionAffinity on the Service`,
	"contour":         `an HTTPProxy with loadBalancerPolicy.strategy: Cookie`,
	"kong":            `a KongUpstreamPolicy with sticky sessions`,
}

func checkForeign(c *check) {
	routes := map[*Object][]*route{}
	for i := range c.routes {
		routes[c.routes[i].object] = append(routes[c.routes[i].object], &c.routes[i])
	}
	for _, ing := range c.ingresses {
		if len(ing.served.Keys) == 0 {
			continue
		}
		var foreign []int
		own := false
		for i, a := range asks {
			value, ok := ing.Annotations[a.key]
			if !ok || a.key == albAttributes && !strings.Contains(value, "stickiness.enabled=true") {
				continue
			}
			if intersects(a.owners, ing.served.Keys) {
				own = true
			} else {
				foreign = append(foreign, i)
			}
		}
		if own {
			continue // a chart for several controllers
		}
		for _, i := range foreign {
			h := hit{
				title:    fmt.Sprintf("%s ignores %s", ing.served.Title, asks[i].key),
				likely:   ing.served.Presumed,
				evidence: []affinity.FindingEvidence{ing.field(annotationPath(asks[i].key)...), ing.classEvidence()},
				fix:      "the annotation is for " + asks[i].title,
			}
			if use := instead[ing.served.Keys[0]]; use != "" {
				h.fix += "; this class needs " + use
			}
			h.patch = c.askInstead(ing, asks[i].key)
			switch sticky, unread := stickiness(routes[ing.Object]); {
			case sticky != nil:
				h.severity, h.impact = affinity.SeverityLow, "the route is sticky by other means; whoever edits this annotation changes nothing"
				h.evidence = append(h.evidence, affinity.FindingEvidence{Object: sticky.object.ObjectRef, Field: "cookie " + sticky.policy.Cookie.Name, Source: "object", Text: sticky.policy.Why})
				h.fix, h.patch = "remove it", unannotate(ing.Object, asks[i].key)
			case unread && slices.Contains(asksService, ing.served.Keys[0]):
				h.likely = true
				h.evidence = append(h.evidence, affinity.FindingEvidence{Source: "object", Text: "its Service, whose annotations this controller reads, is not among the objects"})
			}
			c.hit(ing.Object, h)
		}
	}
}

// askInstead asks the serving controller, and takes the annotation away that is
// not for it.
func (c *check) askInstead(ing ingressFacts, key string) []edit {
	edits := c.askIngress(ing, ing.served.Keys[0])
	if slices.ContainsFunc(edits, func(e edit) bool { return e.deleted }) {
		return edits
	}
	return append(edits, unannotate(ing.Object, key)...)
}

// asksService are the controllers that read annotations of the Service, too.
var asksService = []string{"haproxytech", "haproxy-ingress", "traefik"}

// stickiness is one of an Ingress' routes where all of them are sticky, else
// nil, and whether a Service of theirs was not read.
func stickiness(all []*route) (sticky *route, unread bool) {
	for _, r := range all {
		unread = unread || r.service == nil
	}
	if len(all) > 0 && !slices.ContainsFunc(all, func(r *route) bool { return !r.sticky() }) {
		sticky = all[0]
	}
	return sticky, unread
}

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// classEvidence is where the Ingress names its class.
func (i ingressFacts) classEvidence() affinity.FindingEvidence {
	if i.ClassName == "" && i.Annotations[annotationClass] != "" {
		return i.noted("served by "+i.served.Title, annotationPath(annotationClass)...)
	}
	return i.noted("served by "+i.served.Title, "spec", "ingressClassName")
}

const annotationClass = "kubernetes.io/ingress.class"
