package ingress

import (
	"net/netip"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// nginxSticky reads the cookies of nginx's `sticky cookie`: md5 of the peer's
// address, unsalted. [nginx src/http/ngx_http_upstream_round_robin.c, 1.29.6
// and later; compared with 1.31.5, see testdata/proxies-sample.jsonl]
type nginxSticky struct{}

// newNginxSticky reads the cookies of F5's NGINX Ingress Controller and of
// NGINX Gateway Fabric.
func newNginxSticky() affinity.Decoder { return nginxSticky{} }

func (nginxSticky) Name() string { return "nginx sticky" }

func (nginxSticky) Table(set affinity.EndpointSet) affinity.Table {
	return nginxStickyTable{newHits(set, func(e affinity.Endpoint) []string { return []string{md5hex(nginxPeer(e.Addr))} })}
}

// nginxPeer is a peer's name: its address in nginx's own writing, which adds
// port 80 where none is given, and writes an IPv4-compatible IPv6 address with
// dots. [nginx src/core/ngx_inet.c ngx_inet6_ntop, as recorded]
func nginxPeer(addr string) string {
	if !strings.Contains(addr, ":") {
		addr += ":80"
	}
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return addr
	}
	b := a.Addr().As16()
	if compatible := [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0 || b[14] != 0 && b[15] != 1); compatible && !a.Addr().Is4() {
		return "[::" + netip.AddrFrom4([4]byte(b[12:])).String() + "]:" + itoa(int(a.Port()))
	}
	return a.String()
}

type nginxStickyTable struct{ hits hits }

func (t nginxStickyTable) Lookup(value string) affinity.Decoded {
	d := affinity.Decoded{Shaped: isHex(value, 32)}
	addr, ok := t.hits.read(value, &d)
	if !ok {
		d.Detail = "md5 of no endpoint known here; a server with route= has another text"
		return d
	}
	d.Detail = "md5(" + addr + ")" + fate(d, "the next request is pinned anew")
	return d
}
