package ingress

import (
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const apisixKey = "apisix"

// apisixHash reads a cookie that APISIX hashes: type chash, hash_on cookie. The
// application makes it, so it has no shape of its own. The ring is
// ingress-nginx's, on which a node is its address with NUL for the colon, and
// weights are divided by what all have in common: a Service's pods weigh the
// same. [apisix apisix/balancer/chash.lua; apisix-ingress-controller
// internal/adc/translator/ingress.go; it is the ring of nginx' own "hash KEY
// consistent", compared with nginx 1.22.1]
type apisixHash struct{}

func (apisixHash) Name() string { return "APISIX chash" }

func (apisixHash) Table(set affinity.EndpointSet) affinity.Table {
	nodes := readyOnce(set.Current)
	if slices.ContainsFunc(nodes, isIPv6) {
		return unsureTable{"how APISIX writes IPv6 addresses on its ring is not established"}
	}
	return apisixTable{newRingOf(nodes, func(e affinity.Endpoint) string { return strings.ReplaceAll(e.Addr, ":", "\x00") })}
}

func isIPv6(e affinity.Endpoint) bool { return strings.Count(e.Addr, ":") > 1 }

type apisixTable struct{ ring ring }

func (t apisixTable) Lookup(value string) affinity.Decoded {
	if value == "" { // APISIX hashes the client's address then
		return affinity.Decoded{Detail: "no value"}
	}
	return onRing(t.ring.find(value), t.ring.size(), "160 points each")
}

// onRing says what a ring of size endpoints answers for a cookie that is the
// application's own.
func onRing(found []affinity.Endpoint, size int, points string) affinity.Decoded {
	d := affinity.Decoded{Shaped: true, Endpoints: found}
	switch len(found) {
	case 0:
		d.Detail = "no endpoint is ready"
	case 1:
		d.Detail = "ring of " + itoa(size) + " endpoints, " + points + "; the cookie is the application's own, and any text has a place"
	default:
		d.Detail = affinity.Clean("a tie on the ring between "+found[0].Addr+" and "+found[1].Addr+": either may serve it", maxNote)
	}
	return d
}

// unsureTable finds nobody, for a reason that all cookies share.
type unsureTable struct{ why string }

func (t unsureTable) Lookup(value string) affinity.Decoded {
	return affinity.Decoded{Shaped: value != "", Detail: t.why}
}
