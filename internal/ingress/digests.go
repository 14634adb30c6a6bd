package ingress

import (
	"net/netip"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// hits finds an endpoint by what a cookie's value says of it.
type hits map[string]hit

// newHits enters every endpoint under the names that values give it; "" is no
// name. The first entry of a name stays: what is current before what is gone,
// of the gone ones the newest.
func newHits(set affinity.EndpointSet, names func(affinity.Endpoint) []string) hits {
	h := make(hits, len(set.Current)+len(set.Gone))
	for _, e := range set.Current {
		h.add(names(e), hit{endpoint: e})
	}
	for _, e := range set.Gone {
		h.add(names(e), hit{endpoint: e, gone: true})
	}
	return h
}

func (h hits) add(names []string, x hit) {
	for _, n := range names {
		if _, ok := h[n]; !ok && n != "" {
			h[n] = x
		}
	}
}

// read puts the endpoint of that name into d, if there is one, and returns its
// address, fit to be shown.
func (h hits) read(name string, d *affinity.Decoded) (addr string, ok bool) {
	x, ok := h[name]
	if !ok {
		return "", false
	}
	d.Endpoints, d.Gone, d.Exact, d.Shaped = []affinity.Endpoint{x.endpoint}, x.gone, true, true
	return affinity.Clean(x.endpoint.Addr, maxText), true
}

// fate says what becomes of a client whose cookie names the endpoint in d;
// kept tells of endpoints that are not ready.
func fate(d affinity.Decoded, kept string) string {
	switch {
	case !d.Hit():
		return ""
	case d.Gone:
		return "; that endpoint is gone, the next request is pinned anew"
	case !d.Endpoints[0].Ready:
		return "; that endpoint is not ready, " + kept
	}
	return ""
}

// canonical writes "ip:port" as inet_ntop does: IPv6 compressed and in lower
// case. What is no address stays as it is.
func canonical(addr string) string {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return a.String()
	}
	return addr
}
