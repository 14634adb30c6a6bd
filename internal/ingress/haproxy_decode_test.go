package ingress

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// proxyRecord is a line of testdata/proxies-sample.jsonl.
type proxyRecord struct {
	Proxy, Mode, Key, Served string // Served is written as the proxy writes it
	Endpoints                []string
	CookieValue              string `json:"cookie_value"`
}

// proxyRecords returns the lines of one proxy that decide picks a decoder for,
// and fails when they are not as many as the sample holds.
func proxyRecords(t *testing.T, proxy string, want int, decide func(proxyRecord) affinity.Decoder) {
	t.Helper()
	seen := 0
	for i, r := range readLines[proxyRecord](t, "proxies-sample.jsonl") {
		if r.Proxy != proxy {
			continue
		}
		decoder := decide(r)
		if decoder == nil {
			continue
		}
		seen++
		d := decoder.Table(affinity.EndpointSet{Current: endpoints(r.Endpoints...)}).Lookup(r.CookieValue)
		if !d.Shaped || !d.Exact || !d.Hit() || nginxPeer(addrs(d.Endpoints)) != nginxPeer(r.Served) {
			t.Errorf("line %d (%s, %s): %+v, want %s", i+1, r.Mode, r.CookieValue, d, r.Served)
		}
	}
	if seen != want {
		t.Errorf("%d records, want %d", seen, want)
	}
}

func TestHAProxyDynamicVectors(t *testing.T) {
	tests := []struct{ addr, tech, ingress string }{
		{"10.244.0.5:8080", "0fba5c0ba8372774", "8284434f14da8452"},
		{"10.244.1.7:8080", "542a88fce5dcb317", "d4aa9682826109e9"},
		{"10.244.2.9:8080", "63963991254dccd4", "85427b4e0b26f588"},
		{"[fd00:10:244::5]:8080", "cabfc8d524a0dff1", "7030bcb0ae30a769"},
	}
	for _, tt := range tests {
		if got := haproxyHash(haproxytechCookieKey, tt.addr); got != tt.tech {
			t.Errorf("%s with haproxytech's key: %s, want %s", tt.addr, got, tt.tech)
		}
		if got := haproxyHash(haproxyIngressCookieKey, tt.addr); got != tt.ingress {
			t.Errorf("%s with haproxy-ingress' key: %s, want %s", tt.addr, got, tt.ingress)
		}
	}
	if got := haproxyHash("x", "web.default.svc:80"); got != "" {
		t.Errorf("a name: %s, want none", got)
	}
}

func TestHAProxyDynamicSample(t *testing.T) {
	proxyRecords(t, "haproxy", 52, func(r proxyRecord) affinity.Decoder {
		if strings.HasPrefix(r.Mode, "static") {
			return nil
		}
		return newHAProxyDynamic(r.Key)
	})
}

// The static cookies of the sample are those of numbered slots, which no
// object ties to a server: they are recognised, and name nobody.
func TestHAProxyStaticSample(t *testing.T) {
	seen := 0
	for i, r := range readLines[proxyRecord](t, "proxies-sample.jsonl") {
		if r.Proxy != "haproxy" || !strings.HasPrefix(r.Mode, "static") {
			continue
		}
		seen++
		d := newHAProxyStatic().Table(affinity.EndpointSet{Current: endpoints(r.Endpoints...)}).Lookup(r.CookieValue)
		if !d.Shaped || d.Exact || len(d.Endpoints) != 0 || !strings.Contains(d.Detail, "runtime API") {
			t.Errorf("line %d (%s): %+v, want a slot", i+1, r.CookieValue, d)
		}
	}
	if seen != 2 {
		t.Errorf("%d records, want 2", seen)
	}
}

func TestHAProxyStatic(t *testing.T) {
	set := affinity.EndpointSet{Current: endpoints("10.244.0.5:8080", "[fd00:10:244::5]:8080"), Gone: endpoints("10.244.2.9:8080")}
	set.Current[0].Pod, set.Current[0].PodUID = affinity.PodRef{Namespace: "default", Name: "web-6d4cf56db6-abcde"}, "8c9ad4f1-6c0e-4b0e-9d53-0d9f4b8f4b57"
	set.Gone[0].Pod = affinity.PodRef{Namespace: "default", Name: "web-6d4cf56db6-fghij"}
	table := newHAProxyStatic().Table(set)
	tests := []struct {
		value, addr  string
		shaped, gone bool
	}{
		{"web-6d4cf56db6-abcde", "10.244.0.5:8080", true, false},
		{"web-6d4cf56db6-abcde|awQEn|awQEn", "10.244.0.5:8080", true, false},
		{"web-6d4cf56db6-abcde~the application's own", "10.244.0.5:8080", true, false},
		{"8c9ad4f1-6c0e-4b0e-9d53-0d9f4b8f4b57", "10.244.0.5:8080", true, false},
		{"10.244.0.5:8080", "10.244.0.5:8080", true, false},
		{"fd00:10:244::5:8080", "[fd00:10:244::5]:8080", true, false},
		{"web-6d4cf56db6-fghij", "10.244.2.9:8080", true, true},
		{"SRV_1", "", true, false},
		{"srv012", "", true, false},
		{"SRV_", "", false, false},
		{"srv1", "", false, false},
		{"web-1", "", false, false},
		{"", "", false, false},
	}
	for _, tt := range tests {
		d := table.Lookup(tt.value)
		if d.Shaped != tt.shaped || d.Gone != tt.gone || addrs(d.Endpoints) != tt.addr || d.Exact != (tt.addr != "") {
			t.Errorf("%q: %+v, want %q, shaped %v, gone %v", tt.value, d, tt.addr, tt.shaped, tt.gone)
		}
	}
}

func TestHAProxyDates(t *testing.T) {
	table := newHAProxyDynamic("Ingress").Table(affinity.EndpointSet{Current: endpoints("10.244.0.5:8080")})
	tests := []struct {
		value, issued, detail string
		hit                   bool
	}{
		{"8284434f14da8452", "", "XXH64(key + 10.244.0.5:8080)", true},
		{"8284434f14da8452|awQEk", "2026-11-23T09:17:04Z", "written 2026-11-23T09:17:04Z", true},
		{"8284434f14da8452|awQEl|awQEk", "2026-11-23T09:17:08Z", "first visit 2026-11-23T09:17:04Z", true},
		{"8284434f14da8452~s%3Aabc", "", "prefix mode", true},
		{"8284434f14da8452|awQE", "", "no endpoint", false},
		{"8284434f14da8452|awQE-", "", "no endpoint", false},
		{"8284434f14da8452|awQEk|", "", "no endpoint", false},
		{"8284434f14da8452|awQEk|awQEk|awQEk", "", "no endpoint", false},
		{"8284434F14DA8452", "", "no endpoint", false},
	}
	for _, tt := range tests {
		d := table.Lookup(tt.value)
		issued := ""
		if !d.Issued.IsZero() {
			issued = d.Issued.Format(time.RFC3339)
		}
		if d.Hit() != tt.hit || issued != tt.issued || !strings.Contains(d.Detail, tt.detail) {
			t.Errorf("%q: %+v issued %s, want hit %v issued %s and %q", tt.value, d, issued, tt.hit, tt.issued, tt.detail)
		}
	}
}

// A server's state decides what its cookie is worth.
func TestHAProxyFate(t *testing.T) {
	set := affinity.EndpointSet{Current: endpoints("10.244.1.7:8080"), Gone: endpoints("10.244.0.5:8080", "10.244.1.7:8080")}
	set.Current[0].Ready = false
	table := newHAProxyDynamic("Ingress").Table(set)
	if d := table.Lookup("8284434f14da8452"); !d.Gone || !strings.Contains(d.Detail, "is gone") {
		t.Errorf("gone: %+v", d)
	}
	if d := table.Lookup("d4aa9682826109e9"); d.Gone || !d.Hit() || !strings.Contains(d.Detail, "not ready") {
		t.Errorf("not ready, and gone before: %+v", d)
	}
}
