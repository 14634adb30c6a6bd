package ingress

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// haproxyIngress is jcmoraisjr/haproxy-ingress, v0.17. A key on the Service
// overrides the same key on the Ingress, which overrides the ConfigMap's.
// [docs, configuration/keys.md; pkg/converters/ingress/annotations/backend.go
// buildBackendAffinity, pkg/converters/ingress/defaults.go]
type haproxyIngress struct{}

const (
	haproxyIngressKey        = "haproxy-ingress"
	haproxyIngressController = "haproxy-ingress.github.io/controller"
	haproxyIngressCookie     = "INGRESSCOOKIE"
	haproxyIngressKeywords   = "indirect nocache httponly"
)

// haproxyIngressPrefixes are the default of --annotations-prefix.
var haproxyIngressPrefixes = []string{"haproxy-ingress.github.io/", "ingress.kubernetes.io/"}

func (haproxyIngress) Key() string { return haproxyIngressKey }
func (haproxyIngress) Claims(controller string) bool {
	return controller == haproxyIngressController || strings.HasPrefix(controller, haproxyIngressController+"/")
}
func (haproxyIngress) KnownAs(class string) bool {
	return class == "haproxy" || class == haproxyIngressKey
}
func (haproxyIngress) Owns(annotation string) bool {
	return strings.HasPrefix(annotation, "haproxy-ingress.github.io/") || annotation == "ingress.kubernetes.io/affinity" ||
		strings.HasPrefix(annotation, "ingress.kubernetes.io/session-cookie-")
}
func (haproxyIngress) Decoders([]string) []affinity.Decoder { return nil }

func (h haproxyIngress) Read(w *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = h.read(w, p)
	}
	return readings
}

func (haproxyIngress) read(w *World, p *Place) Reading {
	r := Reading{Policy: affinity.Policy{Controller: haproxyIngressKey, Why: "no annotation haproxy-ingress.github.io/affinity on the Service or the Ingress"}}
	get := func(name string) (string, string) { return layered(p, haproxyIngressPrefixes, name, true) }
	value := func(name string) string { v, _ := get(name); return v }
	switch {
	case p.Service != nil && p.Service.Type == "ExternalName":
		r.Upstream = UpstreamExternal
	case isTrue(value("service-upstream")):
		r.Upstream, r.Setting = UpstreamClusterIP, "service-upstream"
	}
	if p.Service == nil && w.servicesUnread {
		r.Notes = append(r.Notes, "Services can't be read, and their annotations override the Ingress'")
	}
	switch kind, at := get("affinity"); {
	case at == "":
		r.Notes = append(r.Notes, "an affinity in the controller's ConfigMap would hold for all its routes, and is not read")
	case kind != "cookie":
		r.Policy.Why = fmt.Sprintf("annotation %s is %s: only cookie is known", at, quote(kind))
	default:
		r.Policy = haproxyIngressPolicy(value)
		r.Policy.Why = "annotation " + at + ": cookie"
	}
	return r
}

func haproxyIngressPolicy(get func(string) string) affinity.Policy {
	p := haproxyPolicy(haproxyIngressKey, orElse(get("session-cookie-name"), haproxyIngressCookie))
	p.Cookie.Domain = get("session-cookie-domain")
	strategy := get("session-cookie-strategy")
	if strategy != "rewrite" && strategy != "prefix" {
		if strategy != "" && strategy != "insert" {
			p.Notes = append(p.Notes, fmt.Sprintf("session-cookie-strategy %s is not known: insert is used", quote(strategy)))
		}
		strategy = "insert"
	}
	p.Mode = strategy
	keywords := get("session-cookie-keywords")
	if keywords == "" && strategy == "insert" {
		keywords = haproxyIngressKeywords
	}
	haproxyKeywords(&p, keywords)
	if isTrue(get("session-cookie-same-site")) {
		p.Cookie.SameSite, p.Cookie.Secure = "None", true
	}
	if dynamic := get("session-cookie-dynamic"); dynamic == "" || isTrue(dynamic) {
		p.Decoder = newHAProxyDynamic(haproxyIngressCookieKey)
		p.Notes = append(p.Notes, "decoded with the default cookie-key \"Ingress\": the ConfigMap, which is not read, may set another")
	} else {
		p.Decoder = newHAProxyStatic()
		if get("session-cookie-value-strategy") != "pod-uid" && get("backend-server-naming") != "pod" && get("backend-server-naming") != "ip" {
			p.Notes = append(p.Notes, "the cookie holds a server slot (srvNNN), which the objects do not tie to a pod")
		}
	}
	if strategy == "insert" {
		return p
	}
	// The cookie is the application's, with its lifetime and its flags; HAProxy
	// writes the server into it.
	p.Cookie.Path = ""
	if p.Renewal == affinity.RenewalSession {
		p.Renewal = affinity.RenewalUnknown
	}
	p.Notes = append(p.Notes, fmt.Sprintf("session-cookie-strategy %s: the application issues the cookie and decides how long it lasts", strategy))
	return p
}

// haproxyKeywords reads the words after `cookie NAME insert`. maxidle and
// maxlife are enforced by HAProxy, by dates in the cookie's value: browsers
// still see a session cookie. [HAProxy configuration manual, "cookie"]
func haproxyKeywords(p *affinity.Policy, keywords string) {
	words := strings.Fields(keywords)
	var idle, life time.Duration
	for i := 0; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch words[i] {
		case "httponly":
			p.Cookie.HTTPOnly = true
		case "secure":
			p.Cookie.Secure = true
		case "domain":
			p.Cookie.Domain, i = next, i+1
		case "attr":
			if v, ok := strings.CutPrefix(next, "SameSite="); ok {
				p.Cookie.SameSite = v
			}
			i++
		case "maxidle":
			idle, i = haproxyTime(next), i+1
		case "maxlife":
			life, i = haproxyTime(next), i+1
		}
	}
	switch {
	case idle > 0:
		p.Timeout, p.Renewal = idle, affinity.RenewalSliding
		p.Notes = append(p.Notes, "maxidle: HAProxy dates the cookie's value and forgets it when idle; browsers see a session cookie")
		if life > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("maxlife: it ends %s after the first visit in any case", life))
		}
	case life > 0:
		p.Timeout, p.Renewal = life, affinity.RenewalAbsolute
		p.Notes = append(p.Notes, "maxlife: counted from the first visit, also across servers; browsers see a session cookie")
	}
}

// haproxyTime reads a time as HAProxy does for maxidle and maxlife: a number
// of seconds, or with a unit. 0 for what is none.
func haproxyTime(text string) time.Duration {
	unit := time.Second
	for _, u := range []struct {
		suffix string
		unit   time.Duration
	}{{"us", time.Microsecond}, {"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}} {
		if digits, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = digits, u.unit
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return 0
	}
	return time.Duration(n) * unit
}
