package ingress

import (
	"fmt"
	"strings"
)

// nginxCookieNotes tells what the reader of a cookie policy would not expect.
func nginxCookieNotes(p *Place, c nginxCookieConf, secureAnnotated bool) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if p.Path == "" {
		add("no cookie is ever issued on a rule without path: its location is \"/\", which matches no path of the rule; write path: /")
	}
	if isPattern(p) && c.Path == p.Path {
		add("the cookie's Path is the pattern %s, which no client matches: set session-cookie-path", quote(p.Path))
	}
	if c.ExpiresOnly {
		add("lifetime by Expires alone: clients on Go's net/http don't read its two-digit year")
	}
	if c.SecureFalse && p.TLS {
		add("session-cookie-secure: false does not turn Secure off on HTTPS")
	}
	if c.SameSite == "None" && !secureAnnotated && !p.TLS {
		add("SameSite=None without Secure: browsers refuse the cookie over HTTP")
	}
	if c.ConditionalNone && c.SameSite == "None" {
		add("SameSite=None is left out for browsers known to reject it (conditional-samesite-none)")
	}
	if _, ok := p.Annotation(nginxPrefix + "upstream-hash-by"); ok {
		add("upstream-hash-by is ignored: the cookie wins")
	}
	if lb := strings.TrimSpace(p.Ingress.Annotations[nginxPrefix+"load-balance"]); lb != "" {
		add("load-balance: %s is ignored: the cookie wins", quote(lb))
	}
	return notes
}

// hashNote tells of upstream-hash-by, which the Ingress that makes the backend
// sets. It is no affinity of its own: it keeps requests together that share
// the hashed text.
func (b *nginxBackend) hashNote() []string {
	by := strings.TrimSpace(b.first.Annotations[nginxPrefix+"upstream-hash-by"])
	if by == "" {
		return nil
	}
	return []string{fmt.Sprintf("upstream-hash-by: %s: requests with the same text share a pod until the endpoints change", quote(by))}
}

// balanceNote tells of a load-balance that is no affinity, however it reads.
// [balancer.lua get_implementation]
func (b *nginxBackend) balanceNote() []string {
	switch lb := strings.TrimSpace(b.first.Annotations[nginxPrefix+"load-balance"]); lb {
	case "", "round_robin", "ewma":
		return nil
	case "chash", "chashsubset":
		return []string{fmt.Sprintf("load-balance: %s has nothing to hash without upstream-hash-by", quote(lb))}
	case "sticky_balanced", "sticky_persistent":
		return []string{fmt.Sprintf("load-balance: %s is no affinity: that takes affinity: cookie", quote(lb))}
	default:
		return []string{fmt.Sprintf("load-balance: %s is not one of ingress-nginx', which takes round_robin instead", quote(lb))}
	}
}

// aliasNotes tells of the other names of a host. Cookies without a domain are
// kept for each name apart.
func aliasNotes(p *Place) []string {
	aliases := strings.TrimSpace(p.Ingress.Annotations[nginxPrefix+"server-alias"])
	if aliases == "" || p.Host == "" {
		return nil
	}
	note := "also served as " + quote(aliases) + " (server-alias)"
	if p.Ingress.Annotations[nginxPrefix+"affinity"] == nginxTypeCookie && p.Ingress.Annotations[nginxPrefix+"session-cookie-domain"] == "" {
		note += ": a client has a cookie, and perhaps a pod, for each name"
	}
	return []string{note}
}

// canaryNotes tells of the canary that takes a share of a backend's requests.
// Only the first counts. [balancer.lua route_to_alternative_balancer]
func (b *nginxBackend) canaryNotes() []string {
	if len(b.canaries) == 0 || b.canaries[0].backend.deleted {
		return nil
	}
	c := b.canaries[0]
	takes := fmt.Sprintf("%s takes a share (%s)", objectOf(c.place.Ingress), canaryShare(c.place.Ingress.Annotations))
	switch {
	case c.legacy:
		return []string{takes + " of the requests that bring no cookie, and issues none"}
	case b.conf.Type == nginxTypeCookie:
		return []string{fmt.Sprintf("%s: cookies whose second half is %s belong to it", takes, backendKey(c.backend.name))}
	}
	return []string{takes}
}

// mergeNotes tells how Ingresses that share the backend were merged, and where
// its cookie is issued.
func (b *nginxBackend) mergeNotes(p *Place) []string {
	var notes []string
	if b.cookie != b.from {
		notes = append(notes, fmt.Sprintf("merged on backend %s: affinity and mode of %s, cookie fields of %s",
			b.name, objectOf(b.from), objectOf(b.cookie)))
	} else if p.Ingress != b.cookie {
		notes = append(notes, fmt.Sprintf("merged on backend %s: the settings are those of %s", b.name, objectOf(b.cookie)))
	}
	if b.issuedAt(p) {
		return notes
	}
	return append(notes, fmt.Sprintf("the cookie is honoured here, but only issued on the paths of %s", objectOf(b.cookie)))
}
