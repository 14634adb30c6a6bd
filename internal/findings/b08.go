package findings

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b08 = Rule{
	ID: "B08", Title: "The affinity cookie has the name of an app's session cookie", Severity: affinity.SeverityCritical,
	What:    "The app sets a cookie of the same name at login and overwrites what the ingress put there. From then on the value names no pod.",
	Impact:  "clients lose their pod when they log in",
	Fix:     "give the affinity cookie a name of its own",
	Verify:  "stickytop get sessions {obj} -o wide --for 30s: the cookie decodes",
	Sources: []string{"kubernetes/ingress-nginx#2735", "kubernetes/ingress-nginx#2622", "istio/istio#16937", "istio/istio#17406"},
	check: func(c *check) {
		const key = nginxPrefix + "session-cookie-name"
		for _, r := range c.stickyRoutes("") {
			app := appCookie(r.policy.Cookie.Name)
			if app == "" || r.policy.Cookie.Application { // what hashes it writes none over it
				continue
			}
			h := hit{title: fmt.Sprintf("%s is the session cookie of %s", r.policy.Cookie.Name, app), route: r.ID,
				evidence: []affinity.FindingEvidence{{Object: r.object.ObjectRef, Field: "cookie name", Value: r.policy.Cookie.Name, Source: "object"}}}
			if r.object.annotation(key) != "" {
				h.evidence = []affinity.FindingEvidence{r.object.field(annotationPath(key)...)}
			}
			h.patch = c.cookieEdit(r, flagName, cookieName(r.Name))
			c.hit(r.object, h)
		}
		for _, o := range c.destinationRules() {
			for _, at := range hashedCookies(o) {
				name, ttl := append(slices.Clip(at), "name"), append(slices.Clip(at), "ttl")
				app := appCookie(o.Str(name...))
				if app == "" || !o.Has(ttl...) { // without one the application makes it
					continue
				}
				patch := patched(o, nest(cookieName(o.Name), name...))
				if slices.ContainsFunc(at, isNumber) {
					patch = operated(o, put(cookieName(o.Name), name...))
				}
				c.hit(o, hit{title: fmt.Sprintf("%s is the session cookie of %s", o.Str(name...), app), evidence: []affinity.FindingEvidence{o.field(name...), o.field(ttl...)}, patch: patch})
			}
		}
		for _, o := range c.objects("VirtualService") {
			if c.Namespace == "" || o.Namespace == c.Namespace {
				c.virtualService(o)
			}
		}
	},
}

// hashedCookies are where a DestinationRule hashes a cookie: for all, for a port,
// for a subset. [istio/api networking/v1alpha3/destination_rule.proto]
func hashedCookies(o *Object) (all [][]string) {
	places := [][]string{{"spec", "trafficPolicy"}}
	for i := range o.Items("spec", "trafficPolicy", "portLevelSettings") {
		places = append(places, []string{"spec", "trafficPolicy", "portLevelSettings", strconv.Itoa(i)})
	}
	for i := range o.Items("spec", "subsets") {
		places = append(places, []string{"spec", "subsets", strconv.Itoa(i), "trafficPolicy"})
	}
	for _, p := range places {
		if p = append(p, "loadBalancer", "consistentHash", "httpCookie"); o.Has(p...) {
			all = append(all, p)
		}
	}
	return all
}

// virtualService finds an app's cookie by which a VirtualService tells clients
// apart: one that it sets itself, which the app overwrites, or one that it
// matches, which changes when the client logs in.
// [istio/api networking/v1alpha3/virtual_service.proto: HTTPMatchRequest.headers, Headers]
func (c *check) virtualService(o *Object) {
	for i, rule := range o.Items("spec", "http") {
		at := []string{"spec", "http", strconv.Itoa(i)}
		places := [][]string{at}
		for j := range rule.Items("route") {
			places = append(places, append(slices.Clip(at), "route", strconv.Itoa(j)))
		}
		for _, p := range places {
			for _, verb := range []string{"set", "add"} {
				for name, value := range o.Strings(append(slices.Clip(p), "headers", "response", verb)...) {
					cookie, rest, _ := strings.Cut(value, "=")
					app := appCookie(strings.TrimSpace(cookie))
					if !strings.EqualFold(name, "set-cookie") || app == "" {
						continue
					}
					field := append(slices.Clip(p), "headers", "response", verb, name)
					c.hit(o, hit{title: fmt.Sprintf("sets %s, the session cookie of %s", strings.TrimSpace(cookie), app), evidence: []affinity.FindingEvidence{o.field(field...)},
						fix: "give the cookie a name of its own, here and where it is matched", patch: operated(o, append(renamedMatches(o, strings.TrimSpace(cookie)), put(cookieName(o.Name)+"="+rest, field...))...)})
				}
			}
		}
		for j, m := range rule.Items("match") {
			for name, match := range m.fieldsOf("headers") {
				for _, kind := range []string{"exact", "prefix", "regex"} {
					text := match.Str(kind)
					cookie, app := appCookieIn(text)
					if !strings.EqualFold(name, "cookie") || app == "" || setsCookie(o, cookie) {
						continue
					}
					field := append(slices.Clip(at), "match", strconv.Itoa(j), "headers", name, kind)
					c.hit(o, hit{title: fmt.Sprintf("goes by %s, the session cookie of %s", cookie, app), severity: affinity.SeverityHigh, likely: true,
						evidence: []affinity.FindingEvidence{o.field(field...)}, impact: "clients get this cookie, or another value of it, when they log in: from then on another rule of the VirtualService is theirs",
						fix: "match a cookie of its own, which some rule's answers set (headers.response.add); which of them should, the object does not tell"})
				}
			}
		}
	}
}

// fieldsOf are the fields of the map at path, in the order they were written.
func (v *Value) fieldsOf(path ...string) iter.Seq2[string, *Value] {
	return func(yield func(string, *Value) bool) {
		fields := v.At(path...).fields()
		for i := range fields {
			if !yield(fields[i].Name, &fields[i].Value) {
				return
			}
		}
	}
}

// appCookieIn is the app's cookie that a text, or a pattern, of a Cookie header
// names.
func appCookieIn(text string) (name, app string) {
	if len(text) > 1024 {
		return "", ""
	}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("._-", r) && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		word = strings.TrimLeft(word, ".")
		if app := appCookie(word); app != "" && word != "io" && strings.Contains(text, word+"=") {
			return word, app
		}
	}
	return "", ""
}

// setsCookie reports whether a VirtualService sets a cookie in some answer.
func setsCookie(o *Object, cookie string) bool {
	for i, rule := range o.Items("spec", "http") {
		places := []*Value{o.At("spec", "http", strconv.Itoa(i))}
		for _, p := range append(places, rule.Items("route")...) {
			for _, verb := range []string{"set", "add"} {
				for name, value := range p.Strings("headers", "response", verb) {
					if strings.EqualFold(name, "set-cookie") && strings.HasPrefix(value, cookie+"=") {
						return true
					}
				}
			}
		}
	}
	return false
}

// renamedMatches match a cookie's own name instead.
func renamedMatches(o *Object, cookie string) (ops []operation) {
	for i, rule := range o.Items("spec", "http") {
		for j, m := range rule.Items("match") {
			for name, match := range m.fieldsOf("headers") {
				for _, kind := range []string{"exact", "prefix", "regex"} {
					if text := match.Str(kind); strings.EqualFold(name, "cookie") && strings.Contains(text, cookie+"=") {
						ops = append(ops, put(strings.ReplaceAll(text, cookie+"=", cookieName(o.Name)+"="), "spec", "http", strconv.Itoa(i), "match", strconv.Itoa(j), "headers", name, kind))
					}
				}
			}
		}
	}
	return ops
}

// appCookie is what sets session cookies of this name; "" for an unknown one.
func appCookie(name string) string {
	switch strings.ToLower(name) {
	case "jsessionid":
		return "Java servlet containers"
	case "phpsessid":
		return "PHP"
	case "connect.sid":
		return "Express"
	case "asp.net_sessionid", ".aspnetcore.session":
		return "ASP.NET"
	case "sessionid":
		return "Django"
	case "laravel_session":
		return "Laravel"
	case "io":
		return "Socket.IO before version 3"
	}
	return ""
}
