package proxy

import (
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

const prefix = "nginx.ingress.kubernetes.io/"

// stickiness is the cookie that a backend's requests are tied with.
type stickiness struct {
	persistent      bool
	changeOnFailure bool
	cookie          cookieFields
	locations       map[string]map[string]bool // host → paths on which the cookie is set
}

// cookieFields are the session-cookie-* annotations. Numbers are the text that
// was written, "" where there is none or it is not a number.
type cookieFields struct {
	name, path, domain, sameSite string
	expires, maxAge              string
	secure                       bool
}

// wantsCookie reports whether ing asks for cookie affinity: the value is
// compared as it is, by case.
func wantsCookie(ing *networkingv1.Ingress) bool {
	return ing.Annotations[prefix+"affinity"] == "cookie"
}

func readCookie(ing *networkingv1.Ingress) cookieFields {
	get := func(name string) string { return ing.Annotations[prefix+"session-cookie-"+name] }
	c := cookieFields{
		name: get("name"), path: get("path"), domain: get("domain"), sameSite: get("samesite"),
		expires: number(get("expires")), maxAge: number(get("max-age")),
		secure: truth(get("secure")),
	}
	if c.name == "" {
		c.name = "INGRESSCOOKIE"
	}
	return c
}

func number(s string) string {
	if _, err := strconv.Atoi(s); err != nil {
		return ""
	}
	return s
}

func truth(s string) bool {
	b, err := strconv.ParseBool(strings.TrimSpace(s))
	return err == nil && b
}
