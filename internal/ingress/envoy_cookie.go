package ingress

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// envoyStateful reads the cookies of Envoy's stateful_session filter: the
// host's address, in clear. [envoy
// source/extensions/http/stateful_session/cookie/{cookie.h,cookie.cc,cookie.proto}]
type envoyStateful struct{}

// newEnvoyStateful reads the session cookies, and the session headers, of
// Envoy Gateway, of Istio's persistent-session label and of kgateway.
func newEnvoyStateful() affinity.Decoder { return envoyStateful{} }

func (envoyStateful) Name() string { return "Envoy stateful session" }

func (envoyStateful) Table(set affinity.EndpointSet) affinity.Table {
	return envoyTable{newHits(set, func(e affinity.Endpoint) []string { return []string{canonical(e.Addr)} })}
}

type envoyTable struct{ hits hits }

func (t envoyTable) Lookup(value string) affinity.Decoded {
	s, ok := readEnvoy(unquoted(value))
	if !ok {
		return affinity.Decoded{Detail: "no base64 of an address"}
	}
	d := affinity.Decoded{Shaped: true, Addr: s.host.String(), Expires: s.expires}
	_, known := t.hits.read(d.Addr, &d)
	d.Detail = "holds " + d.Addr + s.detail
	if !known {
		d.Detail += "; no endpoint known here has that address"
	}
	d.Detail += fate(d, "the cluster's override_host_status decides whether it still is used")
	return d
}

type envoySession struct {
	host    netip.AddrPort
	expires time.Time
	detail  string
}

// readEnvoy reads base64 of a Cookie message or, as older Envoys wrote it and
// as headers hold it, of the address alone. Without the '=' at the end it is
// read too, as people lose them in copying.
func readEnvoy(value string) (envoySession, bool) {
	if len(value) > 256 {
		return envoySession{}, false
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil || len(raw) == 0 {
		return envoySession{}, false
	}
	if host, err := netip.ParseAddrPort(string(raw)); err == nil {
		return envoySession{host: host, detail: ", without a date, as older Envoys and headers write it"}, true
	}
	return readEnvoyMessage(raw)
}

// readEnvoyMessage reads field 1, the address, and field 2, the end in
// seconds; others are passed over, as protobuf does.
func readEnvoyMessage(raw []byte) (s envoySession, ok bool) {
	for len(raw) > 0 {
		field, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return s, false
		}
		raw = raw[n:]
		switch {
		case field == 1 && kind == protowire.BytesType:
			var text []byte
			if text, n = protowire.ConsumeBytes(raw); n < 0 {
				return s, false
			}
			host, err := netip.ParseAddrPort(string(text))
			if err != nil {
				return s, false
			}
			s.host, ok = host, true
		case field == 2 && kind == protowire.VarintType:
			var seconds uint64
			if seconds, n = protowire.ConsumeVarint(raw); n < 0 {
				return s, false
			}
			s.expires, s.detail = envoyEnd(seconds)
		default:
			if n = protowire.ConsumeFieldValue(field, kind, raw); n < 0 {
				return s, false
			}
		}
		raw = raw[n:]
	}
	return s, ok
}

// envoyEnd reads the end. Before envoy#44981 (2026) it was seconds of a clock
// that starts with the machine: what no calendar date of this kind of cookie
// can be is not taken for one.
func envoyEnd(seconds uint64) (time.Time, string) {
	const earliest, latest = 1_500_000_000, 4_102_444_800 // 2017-07-14, 2100-01-01
	switch {
	case seconds == 0:
		return time.Time{}, ""
	case seconds < earliest || seconds > latest:
		return time.Time{}, ", its end counted by the proxy's own clock"
	}
	end := time.Unix(int64(seconds), 0).UTC()
	return end, ", valid until " + end.Format(time.RFC3339)
}
