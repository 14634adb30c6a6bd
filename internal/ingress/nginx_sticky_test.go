package ingress

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestNginxStickyVectors(t *testing.T) {
	tests := []struct{ addr, value string }{
		{"10.244.0.5:8080", "9ec17d8f00d6c183f7af9494cbf21cb9"},
		{"10.244.1.7:8080", "29f74cc3b98ee8936bb1a6afbfc49ed7"},
		{"[fd00:10:244::5]:8080", "58976119e0404d8a00d5ff403e56fb08"},
	}
	set := affinity.EndpointSet{Current: endpoints(tests[0].addr, tests[1].addr), Gone: endpoints(tests[2].addr)}
	table := newNginxSticky().Table(set)
	for i, tt := range tests {
		if d := table.Lookup(tt.value); !d.Shaped || !d.Exact || addrs(d.Endpoints) != tt.addr || d.Gone != (i == 2) {
			t.Errorf("%s: %+v, want %s", tt.value, d, tt.addr)
		}
	}
	for value, shaped := range map[string]bool{"": false, "B.2": false, strings.Repeat("0", 32): true, strings.Repeat("F", 32): false, strings.Repeat("0", 33): false} {
		if d := table.Lookup(value); d.Shaped != shaped || len(d.Endpoints) != 0 {
			t.Errorf("%q: %+v, want shaped %v and no endpoint", value, d, shaped)
		}
	}
}

// TestNginxStickySample leaves out one record, of a server with route=: its
// value is text of the configuration.
func TestNginxStickySample(t *testing.T) {
	proxyRecords(t, "nginx", 20, func(r proxyRecord) affinity.Decoder {
		if strings.HasSuffix(r.Mode, "route4") {
			return nil
		}
		return newNginxSticky()
	})
}
