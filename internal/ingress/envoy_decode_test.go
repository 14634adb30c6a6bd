package ingress

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// envoyCookie writes a value as Envoy does. [envoy cookie.proto, cookie.h]
func envoyCookie(addr string, expires uint64) string {
	raw := protowire.AppendTag(nil, 1, protowire.BytesType)
	raw = protowire.AppendString(raw, addr)
	if expires > 0 {
		raw = protowire.AppendTag(raw, 2, protowire.VarintType)
		raw = protowire.AppendVarint(raw, expires)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestEnvoyVectors(t *testing.T) {
	tests := []struct{ value, addr, expires, detail string }{
		{"Cg8xMC4yNDQuMC41OjgwODA=", "10.244.0.5:8080", "", "holds 10.244.0.5:8080"},
		{`"Cg8xMC4yNDQuMC41OjgwODA="`, "10.244.0.5:8080", "", ""},
		{"Cg8xMC4yNDQuMC41OjgwODA", "10.244.0.5:8080", "", ""},
		{"Cg8xMC4yNDQuMC41OjgwODAQgPLWygY=", "10.244.0.5:8080", "2026-01-01T00:00:00Z", "valid until"},
		{"MTAuMjQ0LjAuNTo4MDgw", "10.244.0.5:8080", "", "older Envoys"},
		{"ChVbZmQwMDoxMDoyNDQ6OjVdOjgwODA=", "[fd00:10:244::5]:8080", "", ""},
		{"MS4yLjMuNDo4MA==", "1.2.3.4:80", "", ""}, // of Envoy's documentation
		{envoyCookie("10.244.0.5:8080", 93_211), "10.244.0.5:8080", "", "the proxy's own clock"},
		{envoyCookie("10.244.0.5:8080", 1<<63), "10.244.0.5:8080", "", "the proxy's own clock"},
	}
	set := affinity.EndpointSet{Current: endpoints("10.244.0.5:8080", "[fd00:10:244::5]:8080"), Gone: endpoints("1.2.3.4:80")}
	for _, tt := range tests {
		d := newEnvoyStateful().Table(set).Lookup(tt.value)
		expires := ""
		if !d.Expires.IsZero() {
			expires = d.Expires.Format(time.RFC3339)
		}
		if !d.Shaped || !d.Exact || d.Addr != tt.addr || addrs(d.Endpoints) != tt.addr || expires != tt.expires || !strings.Contains(d.Detail, tt.detail) {
			t.Errorf("%s: %+v, want %s until %q, %q", tt.value, d, tt.addr, tt.expires, tt.detail)
		}
		d = newEnvoyStateful().Table(affinity.EndpointSet{}).Lookup(tt.value)
		if !d.Shaped || d.Exact || d.Addr != tt.addr || len(d.Endpoints) != 0 || !strings.Contains(d.Detail, "no endpoint known here") {
			t.Errorf("%s without endpoints: %+v, want the address alone", tt.value, d)
		}
	}
}

func TestEnvoyRefuses(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for _, value := range []string{
		"", "=", `""`, "bef67460d38c7acf", "not base64!", encode([]byte("10.244.0.5")), encode([]byte("web.default.svc:80")),
		encode([]byte{0x0a}), encode([]byte{0x0a, 0xff, 0xff}), encode([]byte{0x10, 0x01}), encode([]byte("\x0a\x0f10.244.0.5:8080\x10")),
		encode([]byte("\x0a\x0f10.244.0.5:8080\x00")), strings.Repeat("Cg8x", 1000),
	} {
		if d := newEnvoyStateful().Table(affinity.EndpointSet{}).Lookup(value); d.Shaped || d.Addr != "" {
			t.Errorf("%q: %+v, want nothing", value, d)
		}
	}
}
