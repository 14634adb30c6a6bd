package findings

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b03 = Rule{
	ID: "B03", Title: "Secure does not fit the way clients come", Severity: affinity.SeverityHigh,
	What:    "ingress-nginx marks its cookie Secure when the request it sees is HTTPS. Where TLS ends before it, it does not; other controllers do only when told to. A cookie with SameSite=None and without Secure is refused by browsers; one with Secure is not returned over HTTP.",
	Impact:  "browsers drop the cookie, or send it in the clear",
	Fix:     "say in the configuration whether clients use HTTPS",
	Verify:  "stickytop get sessions {obj} --for 30s: the offered cookie is returned",
	Sources: []string{"kubernetes/ingress-nginx#6812", "kubernetes/ingress-nginx#7399", "kubernetes/ingress-nginx#1759", "RFC 6265bis section 5.6"},
	Shown:   "a session's affinity cookie is not sent back because of Secure, and a later request is refused with code 1 by another pod.",
	check: func(c *check) {
		const key = nginxPrefix + "session-cookie-secure"
		for _, r := range c.stickyRoutes("") {
			cookie := r.policy.Cookie
			if cookie.FlagsUnknown {
				continue
			}
			h := hit{route: r.ID}
			switch {
			case r.annotated():
				h.evidence = []affinity.FindingEvidence{r.object.field(annotationPath(key)...), c.tlsOf(r)}
			case !r.by("traefik"):
				h.evidence = []affinity.FindingEvidence{r.setting("")}
			default:
				h.evidence = []affinity.FindingEvidence{{Object: r.object.ObjectRef, Field: "sticky.cookie.secure", Value: "false", Source: "object"}, r.object.field("spec", "tls")}
			}
			if h.patch = c.cookieEdit(r, flagSecure, "true"); len(h.patch) == 0 {
				h.fix = noSetting
			}
			outer := endsTLSBefore(r.object)
			balancer, at := c.endsTLSAtBalancer(r)
			switch {
			case cookie.SameSite == "None" && !cookie.Secure:
				h.title = "SameSite=None without Secure: browsers refuse the cookie"
				if len(h.patch) > 0 && balancer == nil {
					h.fix = "set Secure, which SameSite=None needs" + withCertificate(r)
					if !r.TLS && outer == "" {
						h.patch = append(h.patch, withTLS(r.object)...)
					}
				}
				c.hit(r.object, h)
			case balancer != nil && r.by(nginxKey) && !strings.EqualFold(r.object.annotation(key), "true"), balancer != nil && !cookie.Secure:
				h.title, h.likely = "TLS ends at the load balancer, so the cookie lacks Secure", true
				if r.by(nginxKey) { // whatever spec.tls says: it goes by the connection that it sees
					h.patch = everywhere(c.deciding(r), key, "true")
				}
				h.evidence = append(h.evidence, balancer.noted("ends TLS before the controller, and speaks HTTP to it", annotationPath(at)...))
				c.hit(r.object, h)
			case r.TLS && !cookie.Secure:
				h.title, h.severity = "the cookie of a TLS host lacks Secure", affinity.SeverityMedium
				c.hit(r.object, h)
			case outer != "" && !cookie.Secure:
				h.title, h.likely = "TLS seems to end before the ingress, so the cookie lacks Secure", true
				h.evidence = append(h.evidence, r.object.field(annotationPath(outer)...))
				c.hit(r.object, h)
			case cookie.Secure && !r.TLS && outer == "" && balancer == nil && (r.object.Kind != "HTTPRoute" || len(c.objects("Gateway")) > 0):
				h.title, h.severity, h.likely, h.patch = "the cookie is Secure, and nothing here speaks TLS", affinity.SeverityMedium, true, c.unsecure(r)
				h.fix = "add a tls section, or remove Secure if clients come over HTTP; browsers do not return it then"
				c.hit(r.object, h)
			}
		}
	},
}

// noSetting is the fix where no object can ask for a flag.
const noSetting = "its controller has no setting for this flag of its cookie: where it matters, a proxy before it has to add the flag, or another controller to serve the route"

// tlsOf is where the objects say that a route's host speaks TLS, or would.
func (c *check) tlsOf(r *route) affinity.FindingEvidence {
	switch r.object.Kind {
	case "HTTPProxy":
		if at := []string{"spec", "virtualhost", "tls"}; r.object.Has(at...) || !r.TLS {
			return r.object.field(at...)
		}
		return affinity.FindingEvidence{Object: r.object.ObjectRef, Field: "host " + r.Host, Source: "object", Text: "the HTTPProxy that includes it has the certificate"}
	case "HTTPRoute":
		for _, parent := range r.object.Items("spec", "parentRefs") {
			gateway := c.named("Gateway", cmp.Or(parent.Str("namespace"), r.Namespace), parent.Str("name"))
			if gateway == nil {
				continue
			}
			for i, l := range gateway.Items("spec", "listeners") {
				if section := parent.Str("sectionName"); (section == "" || section == l.Str("name")) && (l.Str("protocol") == "HTTPS") == r.TLS {
					return gateway.field("spec", "listeners", strconv.Itoa(i), "protocol")
				}
			}
		}
		return r.object.field("spec", "parentRefs")
	case "VirtualService":
		return r.object.noted(ifElse(r.TLS, "they speak TLS", ""), "spec", "gateways")
	}
	return r.object.field("spec", "tls")
}

// unsecure takes Secure from a cookie; where SameSite=None needs it, it adds TLS
// instead.
func (c *check) unsecure(r *route) []edit {
	if r.policy.Cookie.SameSite == "None" {
		return withTLS(r.object)
	}
	return c.cookieEdit(r, flagSecure, "")
}

// withTLS lets an Ingress speak TLS for all of its hosts. The Secret with the
// certificate has to be there.
func withTLS(o *Object) []edit {
	if o.Kind != "Ingress" {
		return nil
	}
	var hosts []any
	for _, r := range o.Items("spec", "rules") {
		if h := r.Str("host"); h != "" && !slices.Contains(hosts, any(h)) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	return patched(o, nest([]any{map[string]any{"hosts": hosts, "secretName": o.Name + "-tls"}}, "spec", "tls"))
}

// tlsBalancers are annotations of a Service of type LoadBalancer by which its
// load balancer ends TLS. [Kubernetes documentation, Service, TLS support on AWS;
// digitalocean-cloud-controller-manager docs/controllers/services/annotations.md;
// oci-cloud-controller-manager docs/load-balancer-annotations.md;
// hcloud-cloud-controller-manager internal/annotation/load_balancer.go;
// cloud-provider-openstack, default-tls-container-ref;
// scaleway-cloud-controller-manager docs/loadbalancer-annotations.md]
var tlsBalancers = []string{
	"service.beta.kubernetes.io/aws-load-balancer-ssl-cert",
	"service.beta.kubernetes.io/do-loadbalancer-certificate-id",
	"service.beta.kubernetes.io/oci-load-balancer-tls-secret",
	"load-balancer.hetzner.cloud/http-certificates",
	"loadbalancer.openstack.org/default-tls-container-ref",
	"service.beta.kubernetes.io/scw-loadbalancer-certificate-ids",
}

// endsTLSAtBalancer is the Service of r's controller whose load balancer ends
// TLS and does not begin it again, and the annotation that says so.
func (c *check) endsTLSAtBalancer(r *route) (*Object, string) {
	key := r.policy.Controller
	if key == traefikNginxKey {
		key = "traefik"
	}
	for _, s := range c.look().balancers[key] {
		if p := s.annotation("service.beta.kubernetes.io/aws-load-balancer-backend-protocol"); p == "ssl" || p == "https" || s.annotation("service.beta.kubernetes.io/do-loadbalancer-tls-passthrough") == "true" {
			continue
		}
		for _, at := range tlsBalancers {
			if s.annotation(at) != "" {
				return s, at
			}
		}
	}
	return nil, ""
}

// frontOf is the controller whose pods a Service leads to; "" for none.
func (w *world) frontOf(s *Object) string {
	for _, x := range w.behind(s) {
		for _, cont := range x.containers() {
			switch image := cont.Str("image"); {
			case strings.Contains(image, "ingress-nginx/controller"), strings.Contains(image, "nginx-ingress-controller"):
				return nginxKey
			case strings.Contains(image, "traefik"):
				return "traefik"
			}
		}
	}
	switch s.Str("spec", "selector", "app.kubernetes.io/name") {
	case "ingress-nginx", "rke2-ingress-nginx":
		return nginxKey
	case "traefik":
		return "traefik"
	}
	return ""
}

// endsTLSBefore is the annotation that tells that clients speak HTTPS though
// the Ingress has no certificate; "" when there is none.
func endsTLSBefore(o *Object) string {
	if o.Has("spec", "tls") {
		return ""
	}
	for _, key := range []string{nginxPrefix + "force-ssl-redirect", nginxPrefix + "ssl-redirect", "alb.ingress.kubernetes.io/certificate-arn", "networking.gke.io/managed-certificates"} {
		if v := o.annotation(key); v != "" && v != "false" {
			return key
		}
	}
	return ""
}
