package ingress

import (
	"crypto/md5"
	"encoding/hex"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// backendKeys finds a backend's name, fit to be shown, by the key that ends
// ingress-nginx's cookies.
type backendKeys map[string]string

func newBackendKeys(names []string) backendKeys {
	keys := make(backendKeys, len(names))
	for _, n := range names {
		keys[backendKey(n)] = affinity.Clean(n, maxText)
	}
	return keys
}

// backendKey is the second half of a cookie: hex(md5(hex(md5(name)) + name)).
// [sticky.lua sync]
func backendKey(name string) string { return md5hex(md5hex(name) + name) }

func md5hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// splitNginx splits a cookie's value as util/split.lua does: at '|', empty
// parts dropped; the third and later are not looked at.
func splitNginx(value string) (key, suffix string) {
	for part := range strings.SplitSeq(value, "|") {
		switch {
		case part == "":
		case key == "":
			key = part
		default:
			return key, part
		}
	}
	return key, ""
}

// nginxPersistent reads cookies of affinity-mode: persistent.
type nginxPersistent struct {
	backend string // ns-service-port, the salt
	partner string // the other side of a canary pair; "" when none
	keys    backendKeys
	other   bool // it is read for the partner's routes: only cookies that name backend are its
}

func (nginxPersistent) Name() string { return "ingress-nginx persistent" }

// Table computes md5(backend + "ip:port") of each endpoint. Without a backend
// there is nothing to compute: that md5 would be nginx sticky's.
// [sticky_persistent.lua, util/nodemap.lua]
func (d nginxPersistent) Table(set affinity.EndpointSet) affinity.Table {
	t := &persistentTable{suffixes: newSuffixes(d.backend, d.partner, d.keys, d.other), hits: make(map[string]hit, len(set.Current)+len(set.Gone))}
	if d.backend == "" {
		return t
	}
	for _, e := range set.Gone {
		t.add(d.backend, e, true)
	}
	for _, e := range set.Current {
		t.add(d.backend, e, false)
	}
	return t
}

type hit struct {
	endpoint affinity.Endpoint
	gone     bool
}

type persistentTable struct {
	suffixes suffixes
	hits     map[string]hit
}

// add puts an endpoint in. Current ones come last and win; of the gone ones
// the newest, which comes first, wins.
func (t *persistentTable) add(backend string, e affinity.Endpoint, gone bool) {
	key := md5hex(backend + e.Addr)
	if old, ok := t.hits[key]; ok && (gone || !old.gone) {
		return
	}
	t.hits[key] = hit{e, gone}
}

func (t *persistentTable) Lookup(value string) affinity.Decoded {
	key, suffix := splitNginx(value)
	d := affinity.Decoded{Shaped: isHex(key, 32) && (suffix == "" || isHex(suffix, 32))}
	side, detail := t.suffixes.read(suffix, &d)
	if side == sidePartner {
		d.Shaped, d.Detail = !t.suffixes.other, detail
		return d
	}
	h, ok := t.hits[key]
	if !ok {
		d.Detail = "md5 of no endpoint known for this backend; " + detail
		if t.suffixes.own == "" {
			d.Detail = "its md5 takes the backend's name; " + detail
		}
		return d
	}
	d.Endpoints, d.Gone, d.Exact = []affinity.Endpoint{h.endpoint}, h.gone, true
	d.Detail = "md5(" + t.suffixes.own + " + " + affinity.Clean(h.endpoint.Addr, maxText) + "); " + detail
	switch {
	case h.gone:
		d.Detail += "; that endpoint is gone, the next request is pinned anew"
	case !h.endpoint.Ready:
		d.Detail += "; that endpoint is not ready, the next request is pinned anew"
	}
	return d
}

// suffixes reads the second half of cookies for one backend.
type suffixes struct {
	own, partner       string // names, fit to be shown
	ownKey, partnerKey string
	keys               backendKeys
	other              bool
}

func newSuffixes(own, partner string, keys backendKeys, other bool) suffixes {
	s := suffixes{other: other, own: affinity.Clean(own, maxText), partner: affinity.Clean(partner, maxText), ownKey: backendKey(own), keys: keys}
	if partner != "" {
		s.partnerKey = backendKey(partner)
	}
	return s
}

type side uint8

const (
	sideAny     side = iota // the suffix decides nothing
	sideOwn                 // this backend's own cookie
	sidePartner             // the other side of a canary pair serves it, or may
)

// read names the backend of a suffix in d. Outside of a canary pair
// ingress-nginx does not look at the suffix: whatever it says, the first half
// decides. [balancer.lua route_to_alternative_balancer, and as recorded]
func (s suffixes) read(suffix string, d *affinity.Decoded) (side, string) {
	d.Backend = s.keys[suffix]
	switch {
	case suffix == s.ownKey:
		d.Backend = s.own
		return sideOwn, "backend key of " + s.own
	case s.partner != "" && suffix == s.partnerKey:
		d.Backend = s.partner
		return sidePartner, "backend key of " + s.partner + ": the other side of the canary serves it"
	case s.other:
		return sidePartner, "not of " + s.own
	case suffix == "":
		return sideAny, "no backend key, as before controller v0.49"
	case d.Backend != "":
		return sideAny, "backend key of another backend, " + d.Backend + ", which ingress-nginx does not look at"
	}
	return sideAny, "backend key of an unknown backend, which ingress-nginx does not look at"
}

// isHex reports whether s is n lower-case hex digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
