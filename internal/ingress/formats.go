package ingress

import (
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Format is one way a controller writes its cookie.
type Format struct {
	Controller string // key of Controllers, or of what is recognised by name
	Mode       string // the controller's own word; "" when it has one way only
	affinity.Decoder
}

// Known is what a cookie can be read with, besides the endpoints of one port
// of a Service.
type Known struct {
	Cookie  string   // the cookie's name; "" when unknown
	Names   []string // what ingress-nginx and Traefik call the port: "namespace-service-port", as an Ingress may write it
	Service string   // the Service's name
	Servers []Server // endpoints whose URLs somebody wrote
	Keys    []string // dynamic-cookie-keys of HAProxy besides the controllers' defaults
	// Controller is the key of the one that reads the cookie, when somebody
	// said so. Those that hash a cookie of the application's own, which has no
	// shape, are asked only then.
	Controller string
}

// formats are the formats that can be decoded. To add one, write a file with
// its decoder, a line here, and testdata/KEY/cookies.jsonl.
var formats = []struct {
	controller, mode string
	decoders         func(Known) []affinity.Decoder
}{
	{nginxKey, "persistent", func(k Known) []affinity.Decoder {
		return each(k.Names, func(name string) affinity.Decoder {
			return nginxPersistent{backend: name, keys: newBackendKeys(k.Names)}
		})
	}},
	{nginxKey, "balanced", func(k Known) []affinity.Decoder {
		return each(k.Names, func(name string) affinity.Decoder { return nginxBalanced{backend: name, keys: newBackendKeys(k.Names)} })
	}},
	{traefikKey, "", func(k Known) []affinity.Decoder {
		children := make([]string, len(k.Names))
		for i, n := range k.Names {
			children[i] = traefikName(n)
		}
		return []affinity.Decoder{traefikSticky{children: children, servers: k.Servers}}
	}},
	{"haproxytech", "dynamic", func(Known) []affinity.Decoder {
		return []affinity.Decoder{newHAProxyDynamic(haproxytechCookieKey)}
	}},
	{"haproxytech", "no-dynamic", func(Known) []affinity.Decoder {
		return []affinity.Decoder{haproxyStatic{slots: []haproxySlot{haproxytechSlot}}}
	}},
	{"haproxy-ingress", "dynamic", func(Known) []affinity.Decoder {
		return []affinity.Decoder{newHAProxyDynamic(haproxyIngressCookieKey)}
	}},
	{"haproxy-ingress", "static", func(Known) []affinity.Decoder {
		return []affinity.Decoder{haproxyStatic{named: true, slots: []haproxySlot{haproxyIngressSlot}}}
	}},
	{"haproxy", "dynamic", func(k Known) []affinity.Decoder { return each(k.Keys, newHAProxyDynamic) }},
	{"nginx-inc", "sticky", func(Known) []affinity.Decoder { return []affinity.Decoder{newNginxSticky()} }},
	{"openshift", "router", func(k Known) []affinity.Decoder { return []affinity.Decoder{newOpenShift(k.Service)} }},
	{"openshift", "dynamic", func(k Known) []affinity.Decoder {
		if !isHex(k.Cookie, 32) { // a Route's routing key, which names its cookie unless an annotation does
			return nil
		}
		return []affinity.Decoder{newHAProxyDynamic(k.Cookie)}
	}},
	{"envoy", "stateful-session", func(Known) []affinity.Decoder { return []affinity.Decoder{newEnvoyStateful()} }},
	{apisixKey, "chash", func(k Known) []affinity.Decoder { return k.said(apisixKey, apisixHash{}) }},
	{skipperKey, "consistentHash", func(k Known) []affinity.Decoder { return k.said(skipperKey, skipperHash{scheme: k.scheme()}) }},
}

// scheme is that of the servers' URLs, where they have one.
func (k Known) scheme() string {
	for _, s := range k.Servers {
		if scheme, _, ok := strings.Cut(s.URL, "://"); ok {
			return strings.ToLower(scheme)
		}
	}
	return "http"
}

// said returns a decoder that answers any text, if its controller was named.
func (k Known) said(controller string, d affinity.Decoder) []affinity.Decoder {
	if k.Controller != controller {
		return nil
	}
	return []affinity.Decoder{d}
}

// answersAny reports whether a decoder takes any text for a cookie of its own:
// it is asked about a cookie of its name alone.
func answersAny(d affinity.Decoder) bool {
	switch d.(type) {
	case apisixHash, skipperHash:
		return true
	}
	return false
}

// FormatKeys returns the keys of the controllers whose cookies can be decoded,
// sorted.
func FormatKeys() []string {
	var keys []string
	for _, f := range formats {
		keys = append(keys, f.controller)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func each(texts []string, make func(string) affinity.Decoder) []affinity.Decoder {
	var all []affinity.Decoder
	for _, s := range texts {
		all = append(all, make(s))
	}
	return all
}

// Formats returns every format that a cookie may have, likeliest first.
// Without names those that are salted by one still tell their shape.
func Formats(k Known) []Format {
	if len(k.Names) == 0 {
		k.Names = []string{""}
	}
	k.Keys = slices.Compact(slices.Sorted(slices.Values(k.Keys)))
	var all []Format
	for _, f := range formats {
		if k.Controller != "" && k.Controller != f.controller {
			continue
		}
		for _, d := range f.decoders(k) {
			all = append(all, Format{f.controller, f.mode, d})
		}
	}
	return all
}
