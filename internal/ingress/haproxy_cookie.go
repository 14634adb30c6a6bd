package ingress

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Keys that the controllers give to HAProxy's dynamic-cookie-key unless told
// otherwise.
const (
	haproxytechCookieKey    = "ohph7OoGhong" // [haproxytech/kubernetes-ingress pkg/service/service.go]
	haproxyIngressCookieKey = "Ingress"      // [jcmoraisjr/haproxy-ingress pkg/converters/ingress/defaults.go, cookie-key]
)

// haproxyDynamic reads HAProxy's dynamic cookies: 16 hex digits of XXH64 over
// a key and the server's address. [haproxy src/server.c srv_set_dyncookie;
// compared with HAProxy 2.6.12, see testdata/proxies-sample.jsonl]
type haproxyDynamic struct{ key string }

// newHAProxyDynamic reads the cookies of HAProxy's `cookie … dynamic` with
// that dynamic-cookie-key.
func newHAProxyDynamic(key string) affinity.Decoder { return haproxyDynamic{key} }

func (haproxyDynamic) Name() string { return "HAProxy dynamic" }

func (d haproxyDynamic) Table(set affinity.EndpointSet) affinity.Table {
	return haproxyDynamicTable{newHits(set, func(e affinity.Endpoint) []string { return []string{haproxyHash(d.key, e.Addr)} })}
}

// haproxyHash returns "" for what is not an IP address and a port. An
// IPv4-mapped IPv6 address counts with its 16 bytes, as recorded.
func haproxyHash(key, addr string) string {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ""
	}
	b := append([]byte(key), a.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(a.Port()))
	return fmt.Sprintf("%016x", xxhash.Sum64(b))
}

type haproxyDynamicTable struct{ hits hits }

func (t haproxyDynamicTable) Lookup(value string) affinity.Decoded {
	server, dates, d := splitHAProxy(value)
	d.Shaped = isHex(server, 16)
	addr, ok := t.hits.read(server, &d)
	if !ok {
		d.Detail = "XXH64 with this key of no endpoint known here" + dates
		return d
	}
	d.Detail = "XXH64(key + " + addr + ")" + dates + fate(d, haproxyKept)
	return d
}

const haproxyKept = "the next request is pinned anew unless the controller drains it (weight 0)"

// haproxyStatic reads the cookies of servers that were given one: the text of
// the server's name or of what the controller names it by. Those of numbered
// slots are recognised, and name nobody without HAProxy's runtime API.
type haproxyStatic struct {
	named bool // servers can be named by pod, address or UID
	slots []haproxySlot
}

// haproxySlot is how a controller numbers its servers.
type haproxySlot struct {
	prefix string
	digits int // at least
	title  string
}

var (
	haproxytechSlot    = haproxySlot{"SRV_", 1, "haproxytech's controller"} // [haproxytech/kubernetes-ingress pkg/service/endpoints.go]
	haproxyIngressSlot = haproxySlot{"srv", 3, "haproxy-ingress"}           // [haproxy-ingress docs, backend-server-naming]
)

// newHAProxyStatic reads the cookies of HAProxy servers that are named by
// their pod, their address or their pod's UID: haproxy-ingress with
// session-cookie-dynamic "false" and backend-server-naming pod or ip, or
// session-cookie-value-strategy pod-uid. [haproxy-ingress docs, configuration/keys.md]
func newHAProxyStatic() affinity.Decoder {
	return haproxyStatic{named: true, slots: []haproxySlot{haproxytechSlot, haproxyIngressSlot}}
}

func (haproxyStatic) Name() string { return "HAProxy static" }

func (s haproxyStatic) Table(set affinity.EndpointSet) affinity.Table {
	t := haproxyStaticTable{slots: s.slots}
	if s.named {
		t.hits = newHits(set, func(e affinity.Endpoint) []string {
			return []string{e.Pod.Name, e.Addr, unbracketed(e.Addr), e.PodUID}
		})
	}
	return t
}

// unbracketed is an IPv6 address and port as HAProxy itself writes them.
func unbracketed(addr string) string {
	return strings.NewReplacer("[", "", "]", "").Replace(addr)
}

type haproxyStaticTable struct {
	hits  hits
	slots []haproxySlot
}

func (t haproxyStaticTable) Lookup(value string) affinity.Decoded {
	server, dates, d := splitHAProxy(value)
	if addr, ok := t.hits.read(server, &d); ok {
		d.Detail = "the server of that name, " + addr + dates + fate(d, haproxyKept)
		return d
	}
	for _, slot := range t.slots {
		if n, ok := strings.CutPrefix(server, slot.prefix); ok && isDigits(n) && len(n) >= slot.digits && len(n) <= 6 {
			d.Shaped = true
			d.Detail = "a server slot of " + slot.title + ", which no object ties to a pod; HAProxy's runtime API does (show servers state)" + dates
			return d
		}
	}
	d.Detail = "the name of no endpoint known here" + dates
	return d
}

// splitHAProxy takes the server out of a cookie's value: before '~' when the
// application's own value follows (prefix mode), before '|' when dates do
// (maxidle, maxlife). d holds the time the value was written.
func splitHAProxy(value string) (server, dates string, d affinity.Decoded) {
	if server, _, ok := strings.Cut(value, "~"); ok {
		return server, "; the application's own value follows (prefix mode)", d
	}
	server, rest, dated := strings.Cut(value, "|")
	if !dated {
		return value, "", d
	}
	last, first, two := strings.Cut(rest, "|")
	written, ok := haproxyDate(last)
	if !ok {
		return value, "", d
	}
	d.Issued = written
	dates = "; written " + written.Format(time.RFC3339)
	if two {
		visit, ok := haproxyDate(first)
		if !ok {
			return value, "", affinity.Decoded{}
		}
		dates += ", first visit " + visit.Format(time.RFC3339) + " whatever the server then"
	}
	return server, dates, d
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// haproxyDate reads a date of five base64 digits, most significant first, in
// units of four seconds, rounded up: what it dates was up to three seconds
// earlier. [haproxy src/base64.c s30tob64, src/http_ana.c; as recorded]
func haproxyDate(text string) (time.Time, bool) {
	if len(text) != 5 {
		return time.Time{}, false
	}
	var n int64
	for i := range len(text) {
		digit := strings.IndexByte(base64Digits, text[i])
		if digit < 0 {
			return time.Time{}, false
		}
		n = n<<6 | int64(digit)
	}
	return time.Unix(n<<2, 0).UTC(), true
}
