package ingress

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is F5's NGINX Ingress Controller: annotations of an Ingress, and
// its VirtualServer. [nginx/kubernetes-ingress internal/configs/parsing_helpers.go
// ParseStickyServiceList, internal/configs/annotations.go,
// pkg/apis/configuration/v1/types.go]

const (
	nginxIncKey            = "nginx-inc"
	resVirtualServers      = "virtualservers.k8s.nginx.org"
	resVirtualServerRoutes = "virtualserverroutes.k8s.nginx.org"
)

type nginxInc struct{}

func (nginxInc) Key() string                   { return nginxIncKey }
func (nginxInc) Claims(controller string) bool { return controller == "nginx.org/ingress-controller" }
func (nginxInc) KnownAs(class string) bool     { return class == "nginx-org" }
func (nginxInc) Owns(annotation string) bool {
	return strings.HasPrefix(annotation, "nginx.org/") || strings.HasPrefix(annotation, "nginx.com/")
}

func (n nginxInc) Read(_ *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = n.read(p)
	}
	return readings
}

func (nginxInc) read(p *Place) Reading {
	r := Reading{Policy: affinity.Policy{Controller: nginxIncKey, Why: "no annotation nginx.org/sticky-cookie-services on the Ingress"}}
	if p.Service != nil && p.Service.Type == "ExternalName" {
		r.Upstream = UpstreamExternal
	}
	if on, _ := p.Annotation("nginx.org/use-cluster-ip"); isTrue(on) {
		r.Upstream, r.Setting = UpstreamClusterIP, "nginx.org/use-cluster-ip"
	}
	key := "nginx.org/sticky-cookie-services" // of the two this one counts
	text, ok := p.Annotation(key)
	if !ok {
		key = "nginx.com/sticky-cookie-services"
		text, ok = p.Annotation(key)
	}
	if !ok {
		if method, set := p.Annotation("nginx.org/lb-method"); set {
			r.Policy.Why = fmt.Sprintf("annotation nginx.org/lb-method: %s", quote(method))
		}
		return r
	}
	cookie, ok := stickyService(text, p.Backend.Service)
	if !ok {
		r.Policy.Why = fmt.Sprintf("annotation %s does not name service %s", key, quote(p.Backend.Service))
		return r
	}
	r.Policy = cookie
	r.Policy.Why = "annotation " + key + " of " + objectOf(p.Ingress)
	need := "it takes NGINX Plus, or version 5.4.0 or later of the controller; an earlier one without Plus sets no cookie"
	if strings.HasPrefix(key, "nginx.com/") {
		need = "it takes NGINX Plus; without, no cookie is set (nginx.org/sticky-cookie-services does it since 5.4.0)"
	}
	r.Policy.Notes = append(r.Policy.Notes, need)
	return r
}

// stickyService reads "serviceName=web srv_id expires=1h path=/;serviceName=…".
func stickyService(text, service string) (affinity.Policy, bool) {
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) < 2 || words[0] != "serviceName="+service {
			continue
		}
		p := nginxStickyPolicy(nginxIncKey, words[1])
		for _, word := range words[2:] {
			key, value, _ := strings.Cut(word, "=")
			nginxStickyWord(&p, key, value)
		}
		return p, true
	}
	return affinity.Policy{}, false
}

// nginxStickyWord reads a parameter of `sticky cookie`.
func nginxStickyWord(p *affinity.Policy, key, value string) {
	switch strings.ToLower(key) {
	case "expires":
		nginxExpires(p, value)
	case "domain":
		p.Cookie.Domain = value
	case "path":
		p.Cookie.Path = value
	case "httponly":
		p.Cookie.HTTPOnly = true
	case "secure":
		p.Cookie.Secure = true
	case "samesite":
		p.Cookie.SameSite = value
	}
}

// nginxExpires reads `expires`. `max` is 31 December 2037, which is said
// and not counted.
func nginxExpires(p *affinity.Policy, value string) {
	switch d := nginxTime(value); {
	case value == "":
	case value == "max":
		p.Renewal = affinity.RenewalUnknown
		p.Notes = append(p.Notes, "expires max: the cookie is kept until the end of 2037")
	case d > 0:
		slidingAge(p, d)
	default:
		p.Renewal = affinity.RenewalUnknown
		p.Notes = append(p.Notes, fmt.Sprintf("expires %s is not understood", quote(value)))
	}
}

// nginxTime reads a time of nginx: "1h", "1h 30m", "90". 0 for what is none.
// [nginx documentation, "Configuration file measurement units"]
func nginxTime(text string) time.Duration {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
		'M': 30 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}
	var total time.Duration
	digits := ""
	for i := range len(text) {
		c := text[i]
		switch unit := units[c]; {
		case c >= '0' && c <= '9' && len(digits) < 10:
			digits += string(c)
		case c == ' ' && digits == "":
		case unit > 0 && digits != "":
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil || n > int64(100*365*24*time.Hour/unit) {
				return 0
			}
			total, digits = total+time.Duration(n)*unit, ""
		default:
			return 0
		}
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		total += time.Duration(min(n, int64(100*365*24*time.Hour/time.Second))) * time.Second
	}
	return total
}

type (
	virtualServer struct {
		Spec struct {
			Host             string               `json:"host"`
			IngressClassName string               `json:"ingressClassName"`
			TLS              *struct{}            `json:"tls"`
			Upstreams        []virtualUpstream    `json:"upstreams"`
			Routes           []virtualServerRoute `json:"routes"`
			Subroutes        []virtualServerRoute `json:"subroutes"` // of a VirtualServerRoute
		} `json:"spec"`
		Status struct {
			State             string `json:"state"`
			Message           string `json:"message"`
			ExternalEndpoints []struct {
				IP       string `json:"ip"`
				Hostname string `json:"hostname"`
			} `json:"externalEndpoints"`
		} `json:"status"`
	}
	virtualUpstream struct {
		Name          string `json:"name"`
		Service       string `json:"service"`
		Port          word   `json:"port"`
		LBMethod      string `json:"lb-method"`
		UseClusterIP  bool   `json:"use-cluster-ip"`
		SessionCookie *struct {
			Enable   bool   `json:"enable"`
			Name     string `json:"name"`
			Path     string `json:"path"`
			Expires  string `json:"expires"`
			Domain   string `json:"domain"`
			HTTPOnly bool   `json:"httpOnly"`
			Secure   bool   `json:"secure"`
			SameSite string `json:"samesite"`
		} `json:"sessionCookie"`
	}
	virtualServerRoute struct {
		Path   string         `json:"path"`
		Route  string         `json:"route"` // "namespace/name" of a VirtualServerRoute
		Action *virtualAction `json:"action"`
		Splits []struct {
			Weight int            `json:"weight"`
			Action *virtualAction `json:"action"`
		} `json:"splits"`
		Matches []struct{} `json:"matches"`
	}
	virtualAction struct {
		Pass  string `json:"pass"`
		Proxy *struct {
			Upstream    string `json:"upstream"`
			RewritePath string `json:"rewritePath"`
		} `json:"proxy"`
	}
)

func virtualServers(w *World) (all []*customRoute) {
	for c, v := range customs[virtualServer](w, resVirtualServers) {
		var notes, addresses []string
		if v.Status.State == "Invalid" || v.Status.State == "Warning" {
			notes = append(notes, fmt.Sprintf("the controller says %s: %s", v.Status.State, quote(v.Status.Message)))
		}
		for _, e := range v.Status.ExternalEndpoints {
			addresses = append(addresses, orElse(e.IP, e.Hostname))
		}
		before := len(all)
		add := func(of *Custom, server *virtualServer, r *virtualServerRoute) {
			if len(all)-before < maxCustomRoutes {
				f := w.virtualRoute(of, v, server, r)
				f.addresses, f.notes = addresses, append(slices.Clip(notes), f.notes...)
				if of != c {
					f.via = []affinity.Via{c.via(affinity.RouteVirtualServer), of.via("VirtualServerRoute")}
				}
				all = append(all, f)
			}
		}
		for i := range v.Spec.Routes {
			r := &v.Spec.Routes[i]
			if r.Route == "" {
				add(c, v, r)
				continue
			}
			namespace, name, ok := strings.Cut(r.Route, "/")
			if !ok {
				namespace, name = c.Namespace, r.Route
			}
			sub, server := findCustom[virtualServer](w, resVirtualServerRoutes, namespace, name)
			if sub == nil {
				notes = append(notes, fmt.Sprintf("virtualserverroute %s is not known", quote(namespace+"/"+name)))
				continue
			}
			for j := range server.Spec.Subroutes {
				add(sub, server, &server.Spec.Subroutes[j])
			}
		}
	}
	return all
}

// virtualRoute is one path of v, written in of: itself, or a VirtualServerRoute.
func (w *World) virtualRoute(of *Custom, v, written *virtualServer, r *virtualServerRoute) *customRoute {
	p := Place{Host: v.Spec.Host, Path: rootIfEmpty(r.Path), Type: "Prefix", TLS: v.Spec.TLS != nil}
	switch { // "~ regex", "~* regex", "=/exact"
	case strings.HasPrefix(r.Path, "~"):
		p.Path, p.Type = strings.TrimSpace(strings.TrimLeft(r.Path, "~*")), "Regexp"
	case strings.HasPrefix(r.Path, "="):
		p.Path, p.Type = strings.TrimSpace(r.Path[1:]), "Exact"
	}
	action := r.Action
	var shares sharing
	if len(r.Splits) > 0 {
		all, beside := written.sharers(of, r)
		shares = share(all, beside)
		if shares.first != (sharer{}) {
			action = r.Splits[shares.first.at].Action
		}
	}
	notes := shares.notes
	if len(r.Splits) > 1 && len(shares.rest) == 0 {
		notes = append(notes, "requests are split; shown is the first upstream with the largest weight")
	}
	if len(r.Matches) > 0 {
		notes = append(notes, "the route has matches that are not read: what is shown is the rest's")
	}
	if action != nil && action.Proxy != nil {
		p.rewritten = action.Proxy.RewritePath != ""
	}
	i := written.upstream(action)
	if i < 0 {
		f := w.newCustomRoute(of, affinity.RouteVirtualServer, p, affinity.ServiceRef{}, "")
		f.notes = append(notes, "the route passes to no upstream of this object")
		f.readings = []Reading{{Policy: affinity.Policy{Controller: nginxIncKey, Why: "no upstream"}}}
		return f
	}
	u := &written.Spec.Upstreams[i]
	f := w.newCustomRoute(of, affinity.RouteVirtualServer, p, affinity.ServiceRef{Namespace: of.Namespace, Name: u.Service}, string(u.Port))
	f.class, f.notes = v.Spec.IngressClassName, notes
	reading := u.read(of)
	reading.Policy.Branches = w.branches(shares, of.object(virtualKind(of)), func(x sharer) Reading {
		return written.Spec.Upstreams[written.upstream(r.Splits[x.at].Action)].read(of)
	})
	f.readings = []Reading{reading}
	return f
}

func virtualKind(of *Custom) string {
	if of.Key == resVirtualServerRoutes {
		return "virtualserverroute"
	}
	return "virtualserver"
}

// upstream is the index of the upstream that an action passes to, or -1.
func (v *virtualServer) upstream(a *virtualAction) int {
	name := ""
	if a != nil {
		name = a.Pass
		if a.Proxy != nil {
			name = a.Proxy.Upstream
		}
	}
	return slices.IndexFunc(v.Spec.Upstreams, func(u virtualUpstream) bool { return u.Name == name && name != "" })
}

// sharers are the upstreams that a route is split over, one for each request by
// chance (split_clients over $request_id), whatever cookies it has; beside is the
// weight of what is none.
// [internal/configs/virtualserver.go generateSplitClients]
func (v *virtualServer) sharers(of *Custom, r *virtualServerRoute) (all []sharer, beside int) {
	for i, s := range r.Splits {
		n := v.upstream(s.Action)
		if n < 0 {
			beside += max(0, s.Weight)
			continue
		}
		u := &v.Spec.Upstreams[n]
		all = append(all, sharer{ref: affinity.ServiceRef{Namespace: of.Namespace, Name: u.Service}, port: string(u.Port), weight: s.Weight, at: i})
	}
	return all, beside
}

func (u *virtualUpstream) read(of *Custom) Reading {
	at := fmt.Sprintf("upstream %s of %s", quote(u.Name), of.object("virtualserver"))
	r := Reading{Policy: affinity.Policy{Controller: nginxIncKey, Why: "no sessionCookie in " + at}}
	if u.UseClusterIP {
		r.Upstream, r.Setting = UpstreamClusterIP, "use-cluster-ip"
	}
	s := u.SessionCookie
	switch {
	case s == nil || !s.Enable:
		if u.LBMethod != "" {
			r.Policy.Why += ", lb-method " + quote(u.LBMethod)
		}
		return r
	case s.Name == "":
		r.Policy.Why = "sessionCookie of " + at + " has no name"
		return r
	}
	r.Policy = nginxStickyPolicy(nginxIncKey, s.Name)
	r.Policy.Why = "sessionCookie of " + at
	r.Policy.Cookie.Path, r.Policy.Cookie.Domain, r.Policy.Cookie.SameSite = s.Path, s.Domain, s.SameSite
	r.Policy.Cookie.HTTPOnly, r.Policy.Cookie.Secure = s.HTTPOnly, s.Secure
	nginxExpires(&r.Policy, s.Expires)
	r.Policy.Notes = append(r.Policy.Notes, "it takes NGINX Plus, or nginx 1.29.6 and a controller that gives it to open source nginx")
	return r
}
