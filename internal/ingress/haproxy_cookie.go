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
type haproxyStatic struct{}

// newHAProxyStatic reads the cookies of HAProxy servers that are named by
// their pod, their address or their pod's UID: haproxy-ingress with
// session-cookie-dynamic "false" and backend-server-naming pod or ip, or
// session-cookie-value-strategy pod-uid. [haproxy-ingress docs, configuration/keys.md]
func newHAProxyStatic() affinity.Decoder { return haproxyStatic{} }

func (haproxyStatic) Name() string { return "HAProxy static" }

func (haproxyStatic) Table(set affinity.EndpointSet) affinity.Table {
	return haproxyStaticTable{newHits(set, func(e affinity.Endpoint) []string {
		return []string{e.Pod.Name, e.Addr, unbracketed(e.Addr), e.PodUID}
	})}
}

// unbracketed is an IPv6 address and port as HAProxy itself writes them.
func unbracketed(addr string) string {
	return strings.NewReplacer("[", "", "]", "").Replace(addr)
}

type haproxyStaticTable struct{ hits hits }

func (t haproxyStaticTable) Lookup(value string) affinity.Decoded {
	server, dates, d := splitHAProxy(value)
	addr, ok := t.hits.read(server, &d)
	switch slot := haproxySlot(server); {
	case ok:
		d.Detail = "the server of that name, " + addr + dates + fate(d, haproxyKept)
	case slot != "":
		d.Shaped = true
		d.Detail = slot + dates
	default:
		d.Detail = "the name of no endpoint known here" + dates
	}
	return d
}

// haproxySlot tells what a numbered server is: "SRV_7" of haproxytech's
// controller, "srv007" of haproxy-ingress. "" when the name is neither.
func haproxySlot(server string) string {
	if n, ok := strings.CutPrefix(server, "SRV_"); ok && isDigits(n) && len(n) <= 6 {
		return "a server slot of haproxytech's controller, which the objects do not tie to a pod: HAProxy's runtime API does (show servers state)"
	}
	if n, ok := strings.CutPrefix(server, "srv"); ok && isDigits(n) && len(n) >= 3 && len(n) <= 6 {
		return "a server slot of haproxy-ingress, which the objects do not tie to a pod: HAProxy's runtime API does (show servers state)"
	}
	return ""
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
