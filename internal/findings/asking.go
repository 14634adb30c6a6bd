package findings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/ingress"
)

// This file is how each controller is asked for a cookie that ties clients to
// pods, and what has to be there for it to last.

// ask asks the controller of a route for a cookie; nothing where it has none to
// give, or is not known.
func (c *check) ask(r *route) []edit {
	var all []edit
	switch r.object.Kind {
	case "Ingress":
		if i, ok := c.look().ingresses[r.object]; ok {
			key := cmp.Or(r.policy.Controller, nginxKey)
			return c.askIngress(c.ingresses[i], key)
		}
	case "IngressRoute":
		if at := traefikServices(r); len(at) > 0 {
			var ops []operation
			for _, path := range at {
				ops = append(ops, put(map[string]any{"cookie": map[string]any{"name": cookieName(r.Name), "secure": r.TLS, "httpOnly": true}}, append(path, "sticky")...))
			}
			all = operated(r.object, ops...)
		}
	case "HTTPProxy":
		for i := range r.object.Items("spec", "routes") {
			all = append(all, operated(r.object, put(map[string]any{"strategy": "Cookie"}, "spec", "routes", strconv.Itoa(i), "loadBalancerPolicy"))...)
		}
	case "HTTPRoute":
		if gatewayReads(r.policy.Controller) {
			all = persistentRules(r.object)
		}
	case "VirtualServer":
		for i, u := range r.object.Items("spec", "upstreams") {
			if u.Str("service") == r.Backend.Service.Name {
				all = append(all, operated(r.object, put(map[string]any{"enable": true, "name": cookieName(r.Name), "path": "/", "secure": r.TLS, "httpOnly": true}, "spec", "upstreams", strconv.Itoa(i), "sessionCookie"))...)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return append(all, c.lasting(r, false)...)
}

// gatewayReads reports whether an implementation of Gateway API reads
// sessionPersistence.
func gatewayReads(key string) bool { return key == "envoy-gateway" || key == "kgateway" }

// persistentRules gives every rule of an HTTPRoute a sessionPersistence.
func persistentRules(o *Object) []edit {
	var ops []operation
	for i, rule := range o.Items("spec", "rules") {
		if !rule.Has("sessionPersistence") {
			ops = append(ops, put(map[string]any{"sessionName": cookieName(o.Name), "type": "Cookie"}, "spec", "rules", strconv.Itoa(i), "sessionPersistence"))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return operated(o, ops...)
}

// cookieName is a name for a cookie that no application has.
func cookieName(object string) string { return object + "-sticky" }

// backendOf is a Service that an Ingress leads to.
type backendOf struct {
	name, port string
	at         []string // of the backend in the Ingress
	path, kind string
	host       string
}

func backendsOf(ing ingressFacts) (all []backendOf) {
	add := func(b ingress.Backend, p backendOf) {
		if b.Service != "" {
			p.name, p.port = b.Service, b.Port()
			all = append(all, p)
		}
	}
	for i, r := range ing.Rules {
		for j, p := range r.Paths {
			add(p.Backend, backendOf{at: []string{"spec", "rules", strconv.Itoa(i), "http", "paths", strconv.Itoa(j)}, path: p.Path, kind: p.Type, host: r.Host})
		}
	}
	if ing.DefaultBackend != nil {
		add(*ing.DefaultBackend, backendOf{at: []string{"spec", "defaultBackend"}, path: "/", kind: "Prefix"})
	}
	return all
}

// services are the names of the Services, each once.
func services(all []backendOf) (names []string) {
	for _, b := range all {
		if !slices.Contains(names, b.name) {
			names = append(names, b.name)
		}
	}
	return names
}

// serviceEdit is an edit of a Service, which may not be among the objects.
func serviceEdit(namespace, name string) edit {
	return edit{apiVersion: "v1", kind: "Service", namespace: namespace, name: name}
}

// askIngress asks a controller for a cookie on all that an Ingress leads to.
func (c *check) askIngress(ing ingressFacts, key string) []edit {
	if key == nginxKey && ing.served.By(traefikNginxKey) {
		key = traefikNginxKey
	}
	ns, all := ing.Object.Namespace, backendsOf(ing)
	e := of(ing.Object)
	var more []edit
	onServices := func(set func(edit) edit) {
		for _, name := range services(all) {
			more = append(more, set(serviceEdit(ns, name)))
		}
	}
	nginx := key == nginxKey || key == traefikNginxKey
	switch key {
	case nginxKey, traefikNginxKey:
		e = e.set(nginxPrefix+"affinity", "cookie")
		for _, s := range [][2]string{{"session-cookie-path", "/"}, {"affinity-mode", "persistent"}, {"session-cookie-change-on-failure", "true"}} {
			if key == traefikNginxKey && s[0] != "session-cookie-path" {
				break // Traefik reads neither; L01
			}
			if _, set := ing.Annotations[nginxPrefix+s[0]]; !set || s[0] != "session-cookie-path" && ing.Annotations[nginxPrefix+s[0]] != s[1] {
				e = e.set(nginxPrefix+s[0], s[1])
			}
		}
		for _, name := range []string{"service-upstream", "ssl-passthrough", "upstream-hash-by"} {
			if _, set := ing.Annotations[nginxPrefix+name]; set {
				e = e.unset(nginxPrefix + name)
			}
		}
	case "nginx-inc":
		var parts []string
		for _, name := range services(all) {
			parts = append(parts, "serviceName="+name+" "+cookieName(name)+" path=/")
		}
		e = e.set("nginx.org/sticky-cookie-services", strings.Join(parts, ";"))
	case "haproxytech":
		onServices(func(s edit) edit { return s.set("haproxy.org/cookie-persistence", cookieName(s.name)) })
	case "haproxy-ingress":
		e = e.set("haproxy-ingress.github.io/affinity", "cookie").set("haproxy-ingress.github.io/session-cookie-name", cookieName(ing.Object.Name))
	case "aws-alb":
		e = e.set(albAttributes, "stickiness.enabled=true,stickiness.type=lb_cookie").set(albTargetType, "ip")
	case "azure-agic":
		e = e.set("appgw.ingress.kubernetes.io/cookie-based-affinity", "true")
	case "traefik":
		onServices(func(s edit) edit {
			return s.set(traefikPrefix+"service.sticky.cookie", "true").set(traefikPrefix+"service.sticky.cookie.name", cookieName(s.name))
		})
	case "kong":
		onServices(func(s edit) edit { return s.set("konghq.com/upstream-policy", cookieName(s.name)) })
		for _, name := range services(all) {
			more = append(more, edit{apiVersion: "configuration.konghq.com/v1beta1", kind: "KongUpstreamPolicy", namespace: ns, name: cookieName(name),
				made: nest(map[string]any{"algorithm": "consistent-hashing", "hashOn": map[string]any{"cookie": cookieName(name), "cookiePath": "/"}, "hashOnFallback": map[string]any{"input": "ip"}}, "spec")})
		}
	case "gce":
		onServices(func(s edit) edit {
			return s.set("cloud.google.com/backend-config", `{"default": "`+cookieName(s.name)+`"}`).set("cloud.google.com/neg", `{"ingress": true}`)
		})
		for _, name := range services(all) {
			more = append(more, edit{apiVersion: "cloud.google.com/v1", kind: "BackendConfig", namespace: ns, name: cookieName(name),
				made: nest(map[string]any{"affinityType": "GENERATED_COOKIE"}, "spec", "sessionAffinity")})
		}
	case "istio":
		for _, name := range services(all) {
			more = append(more, c.istioHash(ns, name)...)
		}
	case "contour":
		more = contourProxies(ing, all)
	default:
		return nil
	}
	var out []edit
	if len(e.annotations) > 0 {
		out = append(out, e)
	}
	out = append(out, more...)
	routes := c.look().routes[ing.Object]
	for _, r := range routes[:min(len(routes), maxSharing)] {
		out = append(out, c.lasting(r, nginx)...)
	}
	return out
}

const traefikPrefix = "traefik.ingress.kubernetes.io/"

// istioCookie is a DestinationRule that hashes a cookie, which Istio makes.
func istioCookie(namespace, service string) edit {
	return edit{apiVersion: "networking.istio.io/v1", kind: "DestinationRule", namespace: namespace, name: service,
		made: map[string]any{"spec": map[string]any{"host": service, "trafficPolicy": nest(map[string]any{"name": cookieName(service), "path": "/", "ttl": "0s"}, "loadBalancer", "consistentHash", "httpCookie")}}}
}

// contourProxies are HTTPProxies for what an Ingress serves, one for each host:
// Contour takes no affinity from an Ingress.
func contourProxies(ing ingressFacts, all []backendOf) (out []edit) {
	var hosts []string
	for _, b := range all {
		if !slices.Contains(hosts, b.host) && b.host != "" {
			hosts = append(hosts, b.host)
		}
	}
	for i, host := range hosts {
		var routes []any
		for _, b := range all {
			n, err := strconv.Atoi(b.port)
			if b.host != host || err != nil {
				continue
			}
			routes = append(routes, map[string]any{"conditions": []any{map[string]any{"prefix": rootIfEmpty(b.path)}}, "services": []any{map[string]any{"name": b.name, "port": n}},
				"loadBalancerPolicy": map[string]any{"strategy": "Cookie"}})
		}
		if len(routes) == 0 {
			return nil
		}
		name := ing.Object.Name
		if i > 0 {
			name = fmt.Sprintf("%s-%d", name, i+1)
		}
		virtual := map[string]any{"fqdn": host}
		for j, t := range ing.TLS {
			if secret := ing.Str("spec", "tls", strconv.Itoa(j), "secretName"); slices.Contains(t.Hosts, host) && secret != "" {
				virtual["tls"] = map[string]any{"secretName": secret}
			}
		}
		out = append(out, edit{apiVersion: "projectcontour.io/v1", kind: "HTTPProxy", namespace: ing.Object.Namespace, name: name,
			made: map[string]any{"spec": map[string]any{"virtualhost": virtual, "routes": routes}}})
	}
	if len(out) > 0 { // the same host twice is a conflict
		e := of(ing.Object)
		e.deleted = true
		out = append(out, e)
	}
	return out
}

// lasting is what the pods of a route need so that a cookie's sessions last:
// what C02, C03 and I06 would say next.
func (c *check) lasting(r *route, nginx bool) (all []edit) {
	for _, x := range r.loads {
		if need := graceFor(r.policy.Cookie.MaxAge); !enoughGrace(x, need) {
			all = append(all, gracePatch(x, need)...)
		}
		if nginx {
			all = append(all, c.budgetPatch(x)...)
		}
	}
	if nginx && r.socketHint() != "" {
		if o := c.look().nginx; o != nil && seconds(o.Str("data", shutdownKey)) < 3600 {
			all = append(all, c.shutdownPatch()...)
		}
	}
	return all
}

// lastingOf is what the pods of all routes of an object need.
func (c *check) lastingOf(o *Object) (all []edit) {
	routes := c.look().routes[o]
	for _, r := range routes[:min(len(routes), maxSharing)] {
		all = append(all, c.lasting(r, false)...)
	}
	return all
}

// traefikServices are where an IngressRoute names the Service of r.
func traefikServices(r *route) (all [][]string) {
	for i, rule := range r.object.Items("spec", "routes") {
		for j, s := range rule.Items("services") {
			if s.Str("name") == r.Backend.Service.Name && s.Str("kind") != "TraefikService" {
				all = append(all, []string{"spec", "routes", strconv.Itoa(i), "services", strconv.Itoa(j)})
			}
		}
	}
	return all
}

// flag is an attribute of a cookie that a fix sets.
type flag uint8

const (
	flagName flag = iota
	flagPath
	flagSecure
	flagSameSite
	flagDomain
	flagAge // removed with ""
)

// cookieEdit sets an attribute of a route's cookie where its controller takes it
// from; "" removes it. Nothing where the controller has no such setting.
func (c *check) cookieEdit(r *route, f flag, value string) []edit {
	if r.annotated() && r.object.Kind == "Ingress" {
		name := [...]string{"session-cookie-name", "session-cookie-path", "session-cookie-secure", "session-cookie-samesite", "session-cookie-domain", "session-cookie-max-age"}[f]
		if f == flagAge {
			return append(everywhere(c.deciding(r), nginxPrefix+"session-cookie-max-age", ""), everywhere(c.deciding(r), nginxPrefix+"session-cookie-expires", "")...)
		}
		return everywhere(c.deciding(r), nginxPrefix+name, value)
	}
	switch {
	case r.by("traefik") && r.object.Kind == "Ingress" && r.service != nil:
		name := [...]string{"name", "path", "secure", "samesite", "domain", "maxage"}[f]
		return setOrUnset(r.service, traefikPrefix+"service.sticky.cookie."+name, strings.ToLower(value), value)
	case r.object.Kind == "IngressRoute":
		name := [...]string{"name", "path", "secure", "sameSite", "domain", "maxAge"}[f]
		var ops []operation
		for _, at := range traefikServices(r) {
			at = append(at, "sticky", "cookie", name)
			switch {
			case !r.object.Has(at[:len(at)-1]...):
			case value != "":
				ops = append(ops, put(typed(f, ifElse(f == flagSameSite, strings.ToLower(value), value)), at...))
			case r.object.Has(at...):
				ops = append(ops, take(at...))
			}
		}
		if len(ops) > 0 {
			return operated(r.object, ops...)
		}
	case r.object.Kind == "VirtualServer":
		name := [...]string{"name", "path", "secure", "samesite", "domain", "expires"}[f]
		for i, u := range r.object.Items("spec", "upstreams") {
			at := []string{"spec", "upstreams", strconv.Itoa(i), "sessionCookie", name}
			if u.Str("service") != r.Backend.Service.Name || !u.Has("sessionCookie") {
				continue
			}
			if value == "" {
				return operated(r.object, take(at...))
			}
			return operated(r.object, put(typed(f, value), at...))
		}
	case r.by("nginx-inc") && r.object.Kind == "Ingress":
		for _, key := range []string{"nginx.org/sticky-cookie-services", "nginx.com/sticky-cookie-services"} {
			if text := r.object.annotation(key); text != "" {
				text = nginxIncCookie(text, r.Backend.Service.Name, f, value)
				if g, other := beside(r, f, value); other != "" {
					text = nginxIncCookie(text, r.Backend.Service.Name, g, other)
				}
				return annotate(r.object, key, text)
			}
		}
	case r.by("haproxytech") && f == flagName && r.service != nil:
		for _, o := range []*Object{r.service, r.object} {
			if o.annotation("haproxy.org/cookie-persistence") != "" {
				return annotate(o, "haproxy.org/cookie-persistence", value)
			}
		}
	case r.by("haproxy-ingress") && r.object.Kind == "Ingress":
		return haproxyIngressCookie(r, f, value)
	case r.by("openshift"):
		switch f {
		case flagName:
			return annotate(r.object, "router.openshift.io/cookie_name", value)
		case flagSameSite:
			return annotate(r.object, "router.openshift.io/cookie-same-site", value)
		}
	case r.by("istio"):
		return c.istioEdit(r, f, value)
	case r.object.Kind == "HTTPProxy":
		return contourCookie(r, f, value)
	case r.object.Kind == "HTTPRoute" && r.by("envoy-gateway") && r.policy.Mode == "consistent hash":
		return c.envoyHashCookie(r, f, value)
	case r.object.Kind == "HTTPRoute":
		return routeCookie(r.object, f, value)
	case r.by("kong") && r.service != nil && (f == flagName || f == flagPath):
		if p := c.named("KongUpstreamPolicy", r.service.Namespace, r.service.annotation("konghq.com/upstream-policy")); p != nil {
			if p.Has("spec", "stickySessions") {
				return patched(p, nest(value, "spec", "stickySessions", [...]string{"cookie", "cookiePath"}[f]))
			}
			return patched(p, nest(value, "spec", "hashOn", [...]string{"cookie", "cookiePath"}[f]))
		}
	}
	return nil
}

// beside is the flag that B03 or B04 would set next, of a cookie whose flags are
// in one setting: the fix of each would undo the other's. "" for none.
func beside(r *route, f flag, value string) (flag, string) {
	switch cookie := r.policy.Cookie; {
	case value == "" || !r.TLS:
	case f == flagSecure && cookie.SameSite == "":
		return flagSameSite, "Lax"
	case f == flagSameSite && !cookie.Secure:
		return flagSecure, "true"
	}
	return f, ""
}

// typed is a flag's value as YAML has it.
func typed(f flag, value string) any {
	if f == flagSecure {
		return value == "true"
	}
	return value
}

func setOrUnset(o *Object, key, value, given string) []edit {
	if given == "" {
		return unannotate(o, key)
	}
	return annotate(o, key, value)
}

// nginxIncCookie rewrites "serviceName=web srv_id expires=1h path=/;serviceName=…".
func nginxIncCookie(text, service string, f flag, value string) string {
	parts := strings.Split(text, ";")
	for i, part := range parts {
		words := strings.Fields(part)
		if len(words) < 2 || words[0] != "serviceName="+service {
			continue
		}
		if f == flagName {
			words[1] = value
		} else {
			name := [...]string{"", "path", "secure", "samesite", "domain", "expires"}[f]
			words = slices.DeleteFunc(words, func(w string) bool { return w == name || strings.HasPrefix(w, name+"=") })
			switch {
			case f == flagSecure && value == "true":
				words = append(words, name)
			case f != flagSecure && value != "":
				words = append(words, name+"="+strings.ToLower(value))
			}
		}
		parts[i] = strings.Join(words, " ")
	}
	return strings.Join(parts, ";")
}

// haproxyIngressCookie: flags are words of session-cookie-keywords.
// [haproxy-ingress docs, configuration/keys.md, Affinity]
func haproxyIngressCookie(r *route, f flag, value string) []edit {
	const prefix = "haproxy-ingress.github.io/"
	get := func(name string) string {
		return cmp.Or(r.service.annotationOf(prefix+name), r.object.annotation(prefix+name), r.object.annotation("ingress.kubernetes.io/"+name))
	}
	on := r.object
	if r.service.annotationOf(prefix+"affinity") != "" {
		on = r.service
	}
	words := strings.Fields(cmp.Or(get("session-cookie-keywords"), "indirect nocache httponly"))
	without := func(name string, and int) {
		if i := slices.Index(words, name); i >= 0 {
			words = slices.Delete(words, i, min(i+1+and, len(words)))
		}
	}
	mark := func(f flag, value string) {
		if f == flagSameSite {
			if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "SameSite=") }); i > 0 && words[i-1] == "attr" {
				words = slices.Delete(words, i-1, i+1)
			}
			words = append(words, "attr", "SameSite="+value)
			return
		}
		if without("secure", 0); value == "true" {
			words = append(words, "secure")
		}
	}
	switch f {
	case flagName:
		return annotate(on, prefix+"session-cookie-name", value)
	case flagDomain:
		return annotate(on, prefix+"session-cookie-domain", value)
	case flagSecure, flagSameSite:
		if f == flagSameSite && value == "None" {
			return annotate(on, prefix+"session-cookie-same-site", "true")
		}
		mark(f, value)
		if g, other := beside(r, f, value); other != "" {
			mark(g, other)
		}
	case flagAge:
		without("maxlife", 1)
	default:
		return nil
	}
	return annotate(on, prefix+"session-cookie-keywords", strings.Join(words, " "))
}

// annotationOf is annotation of an object that may be nil.
func (o *Object) annotationOf(key string) string {
	if o == nil {
		return ""
	}
	return o.annotation(key)
}

// contourCookie: the flags of Contour's cookie are those of a
// cookieRewritePolicy for its name. The list is written whole, so that it may
// be applied twice.
func contourCookie(r *route, f flag, value string) []edit {
	const name = "X-Contour-Session-Affinity"
	set := func(p map[string]any, f flag, value string) {
		switch f {
		case flagSecure:
			p["secure"] = value == "true"
		case flagSameSite:
			p["sameSite"] = value
		case flagPath:
			p["pathRewrite"] = map[string]any{"value": value}
		case flagDomain:
			p["domainRewrite"] = map[string]any{"value": value}
		}
	}
	if f == flagName || f == flagAge || value == "" && f != flagSecure {
		return nil
	}
	var ops []operation
	for i, route := range r.object.Items("spec", "routes") {
		if route.Str("loadBalancerPolicy", "strategy") != "Cookie" {
			continue
		}
		var all []any
		own := map[string]any{"name": name}
		for _, p := range route.Items("cookieRewritePolicies") {
			if x, ok := p.plain().(map[string]any); ok && p.Str("name") == name {
				own = x
			} else {
				all = append(all, p.plain())
			}
		}
		set(own, f, value)
		if g, other := beside(r, f, value); other != "" {
			set(own, g, other)
		}
		ops = append(ops, put(append(all, own), "spec", "routes", strconv.Itoa(i), "cookieRewritePolicies"))
	}
	if len(ops) == 0 {
		return nil
	}
	return operated(r.object, ops...)
}

// envoyHashCookie changes the cookie of Envoy Gateway's BackendTrafficPolicy for
// an HTTPRoute or its Gateway.
func (c *check) envoyHashCookie(r *route, f flag, value string) []edit {
	at := []string{"spec", "loadBalancer", "consistentHash", "cookie"}
	for _, o := range c.objects("BackendTrafficPolicy") {
		if !o.Has(at...) || !strings.HasSuffix(r.policy.Why, "backendtrafficpolicy/"+o.Name) {
			continue
		}
		names := [...]string{"", "Path", "Secure", "SameSite", "Domain"}
		switch f {
		case flagName:
			return patched(o, nest(value, append(at, "name")...))
		case flagAge:
			return patched(o, nest("0s", append(at, "ttl")...))
		}
		name := names[f]
		for key := range o.Strings(append(slices.Clip(at), "attributes")...) {
			if strings.EqualFold(key, name) {
				name = key
			}
		}
		switch {
		case f == flagSecure && value == "true":
			return patched(o, nest("", append(at, "attributes", name)...))
		case value == "" || f == flagSecure:
			return patched(o, nest(nil, append(at, "attributes", name)...))
		}
		return patched(o, nest(value, append(at, "attributes", name)...))
	}
	return nil
}

// routeCookie: Gateway API has no flags for the cookie.
func routeCookie(o *Object, f flag, value string) []edit {
	var ops []operation
	for i, rule := range o.Items("spec", "rules") {
		at := []string{"spec", "rules", strconv.Itoa(i), "sessionPersistence"}
		switch {
		case !rule.Has("sessionPersistence"):
		case f == flagName && rule.Has("sessionPersistence", "cookie"):
			ops = append(ops, put(value, append(at, "cookie", "name")...))
		case f == flagName:
			ops = append(ops, put(value, append(at, "sessionName")...))
		case f == flagAge && rule.Has("sessionPersistence", "absoluteTimeout"):
			ops = append(ops, take(append(slices.Clip(at), "absoluteTimeout")...))
			if rule.Has("sessionPersistence", "cookieConfig", "lifetimeType") {
				ops = append(ops, put("Session", append(slices.Clip(at), "cookieConfig", "lifetimeType")...))
			}
			if rule.Has("sessionPersistence", "cookie", "lifetimeType") {
				ops = append(ops, put("Session", append(slices.Clip(at), "cookie", "lifetimeType")...))
			}
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return operated(o, ops...)
}

// istioFlags are names of attributes of an httpCookie.
var istioFlags = [...]string{flagSecure: "Secure", flagSameSite: "SameSite", flagDomain: "Domain"}

// istioEdit changes the httpCookie of the DestinationRule of a route's Service.
func (c *check) istioEdit(r *route, f flag, value string) []edit {
	at := []string{"spec", "trafficPolicy", "loadBalancer", "consistentHash", "httpCookie"}
	for _, o := range c.look().hosts[r.Backend.Service.Name] {
		if !ingress.IstioHostIn(o.Str("spec", "host"), o.Namespace, r.Backend.Service.Namespace) || !o.Has(at...) {
			continue
		}
		switch f {
		case flagName, flagPath:
			return patched(o, nest(value, append(at, [...]string{"name", "path"}[f])...))
		case flagAge:
			return patched(o, nest("0s", append(at, "ttl")...))
		case flagSecure, flagSameSite, flagDomain:
			flags := map[string]string{istioFlags[f]: value}
			if g, other := beside(r, f, value); other != "" {
				flags[istioFlags[g]] = other
			}
			var kept []any
			for _, a := range o.Items(append(at, "attributes")...) {
				if !slices.ContainsFunc(slices.Collect(maps.Keys(flags)), func(name string) bool { return strings.EqualFold(a.Str("name"), name) }) {
					kept = append(kept, a.plain())
				}
			}
			for _, name := range slices.Sorted(maps.Keys(flags)) {
				attribute := map[string]any{"name": name}
				if name != "Secure" {
					attribute["value"] = flags[name]
				}
				if v := flags[name]; v != "" && v != "false" {
					kept = append(kept, attribute)
				}
			}
			return patched(o, nest(kept, append(at, "attributes")...))
		}
	}
	return nil
}
