package ingress

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is Contour: its HTTPProxy, and what it makes of an Ingress, which
// cannot ask for affinity. [projectcontour/contour internal/dag/policy.go,
// internal/dag/httpproxy_processor.go, apis/projectcontour/v1/httpproxy.go]

const (
	contourKey    = "contour"
	contourCookie = "X-Contour-Session-Affinity"
	resHTTPProxy  = "httpproxies.projectcontour.io"
)

type (
	httpProxy struct {
		Spec struct {
			IngressClassName string `json:"ingressClassName"`
			VirtualHost      *struct {
				FQDN string    `json:"fqdn"`
				TLS  *struct{} `json:"tls"`
			} `json:"virtualhost"`
			Routes   []httpProxyRoute `json:"routes"`
			Includes []struct {
				Name       string               `json:"name"`
				Namespace  string               `json:"namespace"`
				Conditions []httpProxyCondition `json:"conditions"`
			} `json:"includes"`
			TCPProxy *struct{} `json:"tcpproxy"`
		} `json:"spec"`
		Status struct {
			CurrentStatus string `json:"currentStatus"`
			Description   string `json:"description"`
			LoadBalancer  struct {
				Ingress []struct {
					IP       string `json:"ip"`
					Hostname string `json:"hostname"`
				} `json:"ingress"`
			} `json:"loadBalancer"`
		} `json:"status"`
	}
	httpProxyRoute struct {
		Conditions []httpProxyCondition `json:"conditions"`
		Services   []struct {
			Name   string `json:"name"`
			Port   word   `json:"port"`
			Weight *int   `json:"weight"`
			Mirror bool   `json:"mirror"`
		} `json:"services"`
		LoadBalancerPolicy *struct {
			Strategy string `json:"strategy"`
		} `json:"loadBalancerPolicy"`
		TimeoutPolicy struct {
			Response string `json:"response"`
			Idle     string `json:"idle"`
		} `json:"timeoutPolicy"`
		PathRewritePolicy     *struct{} `json:"pathRewritePolicy"`
		RequestRedirectPolicy *struct{} `json:"requestRedirectPolicy"`
		CookieRewritePolicies []struct {
			Name        string `json:"name"`
			Secure      *bool  `json:"secure"`
			SameSite    string `json:"sameSite"`
			PathRewrite *struct {
				Value string `json:"value"`
			} `json:"pathRewrite"`
			DomainRewrite *struct {
				Value string `json:"value"`
			} `json:"domainRewrite"`
		} `json:"cookieRewritePolicies"`
	}
	httpProxyCondition struct {
		Prefix string    `json:"prefix"`
		Exact  string    `json:"exact"`
		Regex  string    `json:"regex"`
		Header *struct{} `json:"header"`
		Query  *struct{} `json:"queryParameter"`
	}
)

type contour struct{}

func (contour) Key() string { return contourKey }
func (contour) Claims(controller string) bool {
	return strings.HasPrefix(controller, "projectcontour.io/")
}
func (contour) KnownAs(class string) bool { return class == "contour" }
func (contour) Owns(annotation string) bool {
	return strings.HasPrefix(annotation, "projectcontour.io/")
}

// Read: no annotation chooses a load-balancing strategy.
func (contour) Read(_ *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i := range places {
		readings[i].Policy = affinity.Policy{Controller: contourKey, Why: "Contour takes affinity from an HTTPProxy only, not from an Ingress"}
	}
	return readings
}

// contourRoutes are the routes of HTTPProxies that have a virtual host, and of
// those that they include.
func contourRoutes(w *World) (all []*customRoute) {
	for c, p := range customs[httpProxy](w, resHTTPProxy) {
		if p.Spec.VirtualHost == nil {
			continue
		}
		t := &proxyTree{world: w, root: c, proxy: p}
		if p.Spec.TCPProxy != nil {
			t.notes = append(t.notes, "the tcpproxy of this host is not read")
		}
		if p.Status.CurrentStatus != "" && p.Status.CurrentStatus != "valid" {
			t.notes = append(t.notes, fmt.Sprintf("Contour says %s: %s", quote(p.Status.CurrentStatus), quote(p.Status.Description)))
		}
		for _, in := range p.Status.LoadBalancer.Ingress {
			t.addresses = append(t.addresses, orElse(in.IP, in.Hostname))
		}
		t.walk(c, p, "", nil)
		for _, f := range t.routes {
			f.notes = append(slices.Clip(t.notes), f.notes...)
		}
		all = append(all, t.routes...)
	}
	return all
}

// maxProxyDepth bounds HTTPProxies that include HTTPProxies.
const maxProxyDepth = 16

// proxyTree is one virtual host.
type proxyTree struct {
	world     *World
	root      *Custom
	proxy     *httpProxy
	addresses []string
	notes     []string
	seen      []*Custom // on the way down
	routes    []*customRoute
}

// walk adds the routes of p, whose conditions are below prefix.
func (t *proxyTree) walk(c *Custom, p *httpProxy, prefix string, notes []string) {
	if slices.Contains(t.seen, c) || len(t.seen) >= maxProxyDepth {
		return // Contour refuses circles
	}
	t.seen = append(t.seen, c)
	defer func() { t.seen = t.seen[:len(t.seen)-1] }()
	for i := range p.Spec.Routes {
		if len(t.routes) >= maxCustomRoutes {
			return
		}
		t.routes = append(t.routes, t.route(c, &p.Spec.Routes[i], prefix, notes))
	}
	for _, in := range p.Spec.Includes {
		namespace := orElse(in.Namespace, c.Namespace)
		child, proxy := findCustom[httpProxy](t.world, resHTTPProxy, namespace, in.Name)
		if child == nil {
			t.notes = append(t.notes, fmt.Sprintf("it includes httpproxy %s, which is not known", quote(namespace+"/"+in.Name)))
			continue
		}
		m, more := proxyMatch(prefix, in.Conditions)
		t.walk(child, proxy, m.Path, append(slices.Clip(notes), more...))
	}
}

// proxyMatch adds conditions to a prefix: those of an include and of its routes
// are one after the other.
func proxyMatch(prefix string, conditions []httpProxyCondition) (p Place, notes []string) {
	p = Place{Path: rootIfEmpty(prefix), Type: "Prefix"}
	for _, c := range conditions {
		switch {
		case c.Prefix != "":
			p.Path = rootIfEmpty(strings.TrimSuffix(strings.TrimSuffix(p.Path, "/")+"/"+strings.TrimPrefix(c.Prefix, "/"), "/"))
		case c.Exact != "":
			p.Path, p.Type = strings.TrimSuffix(p.Path, "/")+c.Exact, "Exact"
		case c.Regex != "":
			p.Path, p.Type = strings.TrimSuffix(p.Path, "/")+c.Regex, "Regexp"
		case c.Header != nil, c.Query != nil:
			notes = []string{"the route has conditions that are not read: headers or query parameters"}
		}
	}
	return p, notes
}

func (t *proxyTree) route(c *Custom, r *httpProxyRoute, prefix string, notes []string) *customRoute {
	m, more := proxyMatch(prefix, r.Conditions)
	m.Host, m.TLS = t.proxy.Spec.VirtualHost.FQDN, t.proxy.Spec.VirtualHost.TLS != nil
	m.rewritten = r.PathRewritePolicy != nil
	shares := share(r.sharers(c.Namespace), 0)
	f := t.world.newCustomRoute(c, affinity.RouteHTTPProxy, m, shares.first.ref, shares.first.port)
	f.class, f.addresses = orElse(t.proxy.Spec.IngressClassName, t.root.Annotations["projectcontour.io/ingress.class"]), t.addresses
	f.notes = slices.Concat(notes, more)
	for _, above := range t.seen {
		if above != c {
			f.via = append(f.via, above.via(affinity.RouteHTTPProxy))
		}
	}
	switch {
	case r.RequestRedirectPolicy != nil:
		f.notes = append(f.notes, "the route answers with a redirect: no backend gets the request")
	case shares.first == (sharer{}):
		f.notes = append(f.notes, "the route has no services")
	}
	f.notes = append(f.notes, shares.notes...)
	policy := r.idles(c, r.policy(c))
	policy.Branches = t.world.branches(shares, c.object("httpproxy"), func(sharer) Reading { return Reading{Policy: policy} })
	f.readings = []Reading{{Policy: policy}}
	return f
}

// sharers are the services that answer. Where none has a weight, all have the
// same. Each is a cluster of its own, and Envoy chooses one for each request: the
// route's cookie is hashed over the pods of the one that is chosen.
// [internal/envoy/v3/route.go weightedClusters]
func (r *httpProxyRoute) sharers(namespace string) (all []sharer) {
	total := 0
	for i, s := range r.Services {
		if s.Mirror {
			continue
		}
		x := sharer{ref: affinity.ServiceRef{Namespace: namespace, Name: s.Name}, port: string(s.Port), at: i}
		if s.Weight != nil {
			x.weight = *s.Weight
		}
		total += max(0, x.weight)
		all = append(all, x)
	}
	if total == 0 {
		for i := range all {
			all[i].weight = 1
		}
	}
	return all
}

// policy: strategy Cookie is a hash cookie of Envoy without a lifetime. Its
// flags come from cookieRewritePolicies only.
func (r *httpProxyRoute) policy(c *Custom) affinity.Policy {
	strategy := ""
	if r.LoadBalancerPolicy != nil {
		strategy = r.LoadBalancerPolicy.Strategy
	}
	why := "loadBalancerPolicy.strategy " + orElse(affinity.Clean(strategy, 40), "is not set") + " in " + c.object("httpproxy")
	switch strategy {
	case "Cookie":
	case "RequestHash":
		p := affinity.Policy{Controller: contourKey, MovesSilently: true, Why: why}
		return withNotes(p, "the pod is chosen by a hash of headers, query parameters or the client's address, which is no session")
	default:
		return affinity.Policy{Controller: contourKey, Why: why}
	}
	p := envoyHashCookie(contourCookie, "/", new(time.Duration))
	p.Controller, p.Why = contourKey, why
	for _, rewrite := range r.CookieRewritePolicies {
		if rewrite.Name != contourCookie {
			continue
		}
		p.Cookie.Secure, p.Cookie.SameSite = rewrite.Secure != nil && *rewrite.Secure, rewrite.SameSite
		if rewrite.PathRewrite != nil {
			p.Cookie.Path = rewrite.PathRewrite.Value
		}
		if rewrite.DomainRewrite != nil {
			p.Cookie.Domain = rewrite.DomainRewrite.Value
		}
	}
	return p
}
