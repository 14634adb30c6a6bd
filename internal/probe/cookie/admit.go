package cookie

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// secureReason is said of every Secure cookie over http. Browsers make an
// exception for localhost; we do not, for a probe stands for users elsewhere.
const secureReason = "Secure: not kept or sent over http (browsers except localhost, a probe does not: it stands for users elsewhere)"

// admit turns c, as answered by u, into a cookie to hold, or says why a browser
// refuses it (RFC 6265 §5.3, RFC 6265bis §5.7).
func admit(u *url.URL, c Cookie) (h held, refused string) {
	// Cloned, or a short value would keep the whole line alive.
	h = held{name: strings.Clone(c.Name), value: strings.Clone(c.Value), path: strings.Clone(c.Path), secure: c.Secure}
	if !strings.HasPrefix(h.path, "/") {
		h.path = DefaultPath(RequestPath(u))
	}
	if h.domain, h.hostOnly, refused = scope(Host(u), c.Domain); refused != "" {
		return held{}, refused
	}
	switch {
	case c.Secure && u.Scheme != "https":
		return held{}, secureReason
	case c.SameSite == "None" && !c.Secure:
		return held{}, "SameSite=None without Secure: browsers refuse it"
	}
	return h, prefixed(c, h)
}

// scope returns the domain that a cookie of host is kept under, and whether it
// goes to that one host alone.
func scope(host, attribute string) (domain string, hostOnly bool, refused string) {
	domain = strings.Clone(strings.ToLower(strings.TrimPrefix(attribute, ".")))
	switch {
	case domain == "":
		return host, true, ""
	case domain == host && (isIP(host) || isPublicSuffix(host)):
		return host, true, ""
	case !DomainMatch(host, domain):
		return "", false, fmt.Sprintf("Domain=%s does not cover %s", domain, host)
	case isPublicSuffix(domain):
		return "", false, fmt.Sprintf("Domain=%s is a public suffix: browsers refuse it", domain)
	}
	return domain, false, ""
}

// prefixed says which promise of a name prefix c breaks
// (RFC 6265bis §4.1.3; compared without regard to case, §5.7).
func prefixed(c Cookie, h held) (refused string) {
	name := strings.ToLower(c.Name)
	if name == "" { // a bare value may not pretend to have a name
		name = strings.ToLower(c.Value)
		if strings.HasPrefix(name, "__secure-") || strings.HasPrefix(name, "__host-") {
			return "a cookie without a name that pretends to a name prefix: browsers refuse it"
		}
	}
	switch {
	case strings.HasPrefix(name, "__secure-") && !c.Secure:
		return "a __Secure- name needs Secure"
	case strings.HasPrefix(name, "__host-") && !(c.Secure && h.hostOnly && c.Domain == "" && c.Path == "/"):
		return "a __Host- name needs Secure, Path=/ and no Domain"
	}
	return ""
}

// endedReason says how c came to be over when it arrived.
func endedReason(c Cookie) string {
	if c.HasMaxAge {
		return fmt.Sprintf("Max-Age=%d ends it at once", c.MaxAge)
	}
	return "Expires=" + c.Expires.Format(time.RFC3339) + " had passed when it arrived"
}
