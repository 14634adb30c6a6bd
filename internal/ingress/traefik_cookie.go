package ingress

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// traefikSticky reads Traefik's cookies: a hash of the server's URL or, one
// level up, of the name of the chosen service. Read from Traefik v3.7.13,
// pkg/server/service/loadbalancer/sticky.go, and compared with a running one,
// see testdata/proxies-sample.jsonl.
type traefikSticky struct {
	children []string // services that a weighted service chooses from
	servers  []Server // endpoints whose URLs are known to the letter
}

func (traefikSticky) Name() string { return "Traefik" }

// traefikSchemes are those a server URL can have: https by port 443 or port
// name, h2c by an annotation. All are tried, as the value tells them apart.
var traefikSchemes = [...]string{"http", "https", "h2c"}

func (d traefikSticky) Table(set affinity.EndpointSet) affinity.Table {
	t := &traefikTable{hits: make(map[string]traefikHit, 4*(len(traefikSchemes)*(len(set.Current)+len(set.Gone))+len(d.children)+len(d.servers)))}
	for _, c := range d.children {
		t.add(c, traefikHit{child: true})
	}
	if len(d.servers) > 0 {
		at := make(map[string]affinity.Endpoint, len(set.Current))
		for _, e := range set.Current {
			at[e.Addr] = e
		}
		for _, s := range d.servers {
			if e, ok := at[s.Addr]; ok {
				t.add(s.URL, traefikHit{endpoint: e})
			}
		}
	}
	for _, e := range set.Current {
		for _, scheme := range traefikSchemes {
			t.add(scheme+"://"+e.Addr, traefikHit{endpoint: e})
		}
	}
	for _, e := range set.Gone {
		for _, scheme := range traefikSchemes {
			t.add(scheme+"://"+e.Addr, traefikHit{endpoint: e, gone: true})
		}
	}
	return t
}

type traefikTable struct{ hits map[string]traefikHit }

type traefikHit struct {
	endpoint affinity.Endpoint
	name     string // what was hashed
	form     string
	child    bool // a service, not a server
	gone     bool
}

// add enters a name in every form Traefik accepts. The first entry of a value
// stays: what is current, before what is gone.
func (t *traefikTable) add(name string, h traefikHit) {
	h.name = name
	fnv1 := fnvHex(name)
	for _, f := range [...]struct{ value, form string }{
		{traefikHash(name), "sha256"},
		{name, "name as such, an older form"},
		{fnv1, "FNV-1, an older form"},
		{fnvHex(fnv1), "FNV-1 twice, an older form"},
	} {
		if _, ok := t.hits[f.value]; !ok {
			h.form = f.form
			t.hits[f.value] = h
		}
	}
}

func (t *traefikTable) Lookup(value string) affinity.Decoded {
	value = unquoted(value)
	h, ok := t.hits[value]
	if !ok {
		return affinity.Decoded{Shaped: traefikShaped(value), Detail: "the hash of no server or service known here"}
	}
	d := affinity.Decoded{Shaped: true, Exact: true, Gone: h.gone, Detail: affinity.Clean(h.name, maxText) + " (" + h.form + ")"}
	if h.child {
		d.Backend = affinity.Clean(h.name, maxText)
		d.Detail = "service " + d.Detail
		return d
	}
	d.Endpoints = []affinity.Endpoint{h.endpoint}
	switch {
	case h.gone:
		d.Detail += "; that endpoint is gone, the next request is pinned anew"
	case !h.endpoint.Serving && !h.endpoint.Ready:
		d.Detail += "; that endpoint is not serving, the next request is pinned anew"
	}
	return d
}

// traefikShaped reports whether a value looks like a hash or a server's URL.
// The older hash drops leading zeros; shorter than 12 digits is one in 65,536.
func traefikShaped(value string) bool {
	if n := len(value); n >= 12 && n <= 16 && isHex(value, n) {
		return true
	}
	for _, scheme := range traefikSchemes {
		if len(value) < 512 && strings.HasPrefix(value, scheme+"://") {
			return true
		}
	}
	return false
}

// unquoted drops the double quotes around a value, as net/http does for
// Traefik.
func unquoted(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

func traefikHash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

func fnvHex(s string) string {
	h := fnv.New64()
	_, _ = h.Write([]byte(s)) // never fails
	return strconv.FormatUint(h.Sum64(), 16)
}

// traefikCookieName is the cookie's name: the configured one with characters
// no token may have replaced, else one made of the service's qualified name.
// [pkg/server/cookie/cookie.go]
func traefikCookieName(configured, service string) string {
	if configured == "" {
		sum := sha1.Sum([]byte("_TRAEFIK_BACKEND_" + service))
		return "_" + hex.EncodeToString(sum[:])[:5]
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("!#$%&'*+-.^`|~", r):
			return r
		}
		return '_'
	}, configured)
}

// traefikName joins the letter and digit runs of a name with dashes.
// [pkg/provider/configuration.go Normalize]
func traefikName(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }), "-")
}

// traefikPolicy is the policy of a sticky.cookie on the service of that
// qualified name. The cookie is only set when a server is chosen: its lifetime
// is absolute.
func traefikPolicy(c TraefikCookie, service string) affinity.Policy {
	p := affinity.Policy{
		Mechanism: affinity.MechanismCookie, Controller: traefikKey, Renewal: affinity.RenewalSession, KeepsTerminating: true,
		Cookie: affinity.CookieSpec{
			Name: traefikCookieName(c.Name, service), Path: "/", Domain: c.Domain,
			Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: traefikSameSite(c.SameSite),
		},
		Decoder: traefikSticky{},
	}
	if c.Path != nil {
		p.Cookie.Path = *c.Path
	}
	switch {
	case c.MaxAge > 0:
		p.Timeout = seconds(int64(c.MaxAge))
		p.Cookie.MaxAge, p.Cookie.HasAge, p.Renewal = p.Timeout, true, affinity.RenewalAbsolute
	case c.MaxAge < 0:
		p.Cookie.MaxAge, p.Cookie.HasAge, p.Renewal = seconds(int64(c.MaxAge)), true, affinity.RenewalAbsolute
		p.Notes = append(p.Notes, "maxAge is negative, sent as Max-Age=0: clients drop the cookie at once")
	}
	if p.Cookie.SameSite == "None" && !c.Secure {
		p.Notes = append(p.Notes, "SameSite=None without Secure: browsers refuse the cookie")
	}
	return p
}

func traefikSameSite(value string) string {
	switch strings.ToLower(value) {
	case "none":
		return "None"
	case "lax":
		return "Lax"
	case "strict":
		return "Strict"
	}
	return ""
}
