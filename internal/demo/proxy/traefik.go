package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// traefik balances as Traefik 3.7 does with its provider for the annotations
// of ingress-nginx (pkg/provider/kubernetes/ingress-nginx,
// pkg/server/service/loadbalancer).
type traefik struct{}

func (traefik) tries() int { return 1 } // no retry middleware by default

// usable keeps what serves. Those that terminate are fenced: they keep their
// clients and get no new ones.
func (traefik) usable(all []endpoint) []string {
	var addrs []string
	for _, e := range all {
		if e.serving {
			addrs = append(addrs, e.addr)
		}
	}
	return addrs
}

func (t traefik) pick(x *exchange) string {
	fresh := make([]string, 0, len(x.usable))
	for _, e := range x.backend.endpoints {
		if e.serving && !e.terminating {
			fresh = append(fresh, e.addr)
		}
	}
	a := x.backend.affinity
	if a == nil {
		return t.choose(x, fresh)
	}
	if c, err := (&http.Request{Header: x.header}).Cookie(a.cookie.name); err == nil {
		for _, addr := range x.usable {
			if traefikKey(addr) == c.Value {
				return addr
			}
		}
	}
	addr := t.choose(x, fresh)
	if addr != "" {
		x.setCookies = append(x.setCookies, t.setCookie(a.cookie, addr, x))
	}
	return addr
}

// choose picks an endpoint. The original goes round them; as everybody's
// requests take turns, whose turn it is is chance to each client.
func (traefik) choose(x *exchange, fresh []string) string {
	if len(fresh) == 0 {
		return ""
	}
	return fresh[x.draw()%uint32(len(fresh))]
}

// traefikKey is the first 16 hex digits of the server URL's SHA-256.
func traefikKey(addr string) string {
	sum := sha256.Sum256([]byte("http://" + addr))
	return hex.EncodeToString(sum[:8])
}

// setCookie writes the header with net/http, as Traefik does. Its Path is "/"
// unless configured, whatever the Ingress path is.
func (traefik) setCookie(c cookieFields, addr string, x *exchange) string {
	cookie := http.Cookie{
		Name: c.name, Value: traefikKey(addr), Path: "/", Domain: c.domain, HttpOnly: true, Secure: c.secure,
		MaxAge: int(seconds(c.maxAge).Seconds()),
	}
	if c.path != "" {
		cookie.Path = c.path
	}
	if d := seconds(c.expires); d > 0 {
		cookie.Expires = x.now().Add(d)
	}
	switch strings.ToLower(c.sameSite) {
	case "none":
		cookie.SameSite = http.SameSiteNoneMode
	case "lax":
		cookie.SameSite = http.SameSiteLaxMode
	case "strict":
		cookie.SameSite = http.SameSiteStrictMode
	}
	return cookie.String()
}
