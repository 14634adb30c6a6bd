package ingress

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var web3 = []string{"10.244.0.5:8080", "10.244.1.7:8080", "10.244.2.9:8080"}

const webKey = "6cde5721ec2c7e2bce07cff7d0e4ac37" // backend key of default-web-80

// TestPersistentVectors: computed apart from this package, with coreutils.
func TestPersistentVectors(t *testing.T) {
	tests := []struct {
		backend, key string
		hits         map[string]string
	}{
		{"default-web-80", webKey, map[string]string{
			"10.244.0.5:8080": "a4218db18517898613a5b988c1d68087",
			"10.244.1.7:8080": "f80e698df1ee02ab3cbfca44f7769f63",
			"10.244.2.9:8080": "14b39e16b47200d60fa233790cd75e71"}},
		{"shop-cart-http", "9cd18470ce6eb663a7d180ff6eb997bb", map[string]string{
			"10.244.1.11:3000": "7d41a59bb79c04763713e8c82e8e3373",
			"10.244.1.12:3000": "7abfff1940616947c323ed44764ea553"}},
		{"access-router-production-web-80", "3ec0ac2d8dd2cda20a93dee13e737231", map[string]string{
			"10.184.7.40:8080": "ce8f959dcbe10d546cb8a4cc705e10f0",
			"10.184.7.41:8080": "6001ea941bacf56eb97addd3ec826862"}},
		{"v6-api-8443", "73d72c69b50bdc94abe207c6b73cda1c", map[string]string{
			"[fd00:10:244::5]:8443":   "f9a7fb9dbc9f84f9949115ab63506f5c",
			"[fd00:10:244:1::6]:8443": "00bb48493a92129542ad335f8ae6a278"}},
	}
	for _, tt := range tests {
		if got := backendKey(tt.backend); got != tt.key {
			t.Errorf("backendKey(%s) = %s, want %s", tt.backend, got, tt.key)
		}
		var all []string
		for addr := range tt.hits {
			all = append(all, addr)
		}
		table := nginxPersistent{backend: tt.backend}.Table(affinity.EndpointSet{Current: endpoints(all...)})
		for addr, key := range tt.hits {
			if d := table.Lookup(key + "|" + tt.key); addrs(d.Endpoints) != addr || !d.Exact || d.Backend != tt.backend {
				t.Errorf("%s: %+v, want %s", tt.backend, d, addr)
			}
		}
	}
}

// TestBalancedVectors: computed with lua-resty-balancer's chash.c.
func TestBalancedVectors(t *testing.T) {
	tests := []struct{ key, three, without, with string }{
		{"1767225601.1.28.1", "10.244.0.5", "10.244.0.5", "10.244.0.5"},
		{"1767225638.138.29.102948", "10.244.0.5", "10.244.0.5", "10.244.3.3"},
		{"1767225712.412.31.308842", "10.244.1.7", "10.244.1.7", "10.244.1.7"},
		{"1767225823.823.28.617683", "10.244.2.9", "10.244.1.7", "10.244.3.3"},
		{"1767225897.98.30.823577", "10.244.2.9", "10.244.0.5", "10.244.2.9"},
		{"1767226045.646.28.235366", "10.244.2.9", "10.244.1.7", "10.244.3.3"},
		{"1700000001.123.45.678901", "10.244.1.7", "10.244.1.7", "10.244.3.3"},
		{"1767225601.5.31.42", "10.244.1.7", "10.244.1.7", "10.244.1.7"},
		{"1611061352.163.33.588213", "10.244.0.5", "10.244.0.5", "10.244.0.5"},
		{"garbage", "10.244.1.7", "10.244.1.7", "10.244.1.7"},
	}
	decoder := nginxBalanced{backend: "default-web-80"}
	table := func(a ...string) affinity.Table {
		return decoder.Table(affinity.EndpointSet{Current: endpoints(a...)})
	}
	three, without, with := table(web3...), table(web3[:2]...), table(append([]string{"10.244.3.3:8080"}, web3...)...)
	for _, tt := range tests {
		for _, c := range []struct {
			table affinity.Table
			want  string
		}{{three, tt.three}, {without, tt.without}, {with, tt.with}} {
			d := c.table.Lookup(tt.key + "|" + webKey)
			if addrs(d.Endpoints) != c.want+":8080" || d.Exact || !d.Shaped || d.Backend != "default-web-80" {
				t.Errorf("%s: %+v, want %s", tt.key, d, c.want)
			}
		}
	}
	more := []struct{ nodes, key, want string }{
		{"10.244.1.11:3000 10.244.1.12:3000", "1700000001.123.45.678901", "10.244.1.12:3000"},
		{"10.244.1.11:3000 10.244.1.12:3000", "1767225601.5.31.42", "10.244.1.12:3000"},
		{"10.244.1.11:3000 10.244.1.12:3000", "1767225600.001.33.999999", "10.244.1.11:3000"},
		{"10.244.1.11:3000 10.244.1.12:3000", "1754000002.75.29.123456", "10.244.1.11:3000"},
		{"[fd00:10:244::5]:8443 [fd00:10:244:1::6]:8443", "1767225601.5.31.42", "[fd00:10:244::5]:8443"},
		{"[fd00:10:244::5]:8443 [fd00:10:244:1::6]:8443", "garbage", "[fd00:10:244:1::6]:8443"},
		{"[fd00:10:244::5]:8443 [fd00:10:244:1::6]:8443", "1611061352.163.33.588213", "[fd00:10:244:1::6]:8443"},
	}
	for _, tt := range more {
		if d := table(strings.Fields(tt.nodes)...).Lookup(tt.key); addrs(d.Endpoints) != tt.want {
			t.Errorf("%s on %s: %+v, want %s", tt.key, tt.nodes, d, tt.want)
		}
	}
}

func TestRingPoints(t *testing.T) {
	r := newRing(endpoints(web3...))
	if n := len(r.points); n != 480 {
		t.Fatalf("%d points, want 480", n)
	}
	first, last := r.points[0], r.points[479]
	if first != (point{0x00645545, 1}) || last != (point{0xff0c126a, 0}) {
		t.Errorf("first %x, last %x", first, last)
	}
	for i := 1; i < len(r.points); i++ {
		if r.points[i-1].hash > r.points[i].hash {
			t.Fatalf("point %d is out of order", i)
		}
	}
	if got := crcLE(0x8e900f55, 0); got != 0xad8a438c {
		t.Errorf("first point of 10.244.0.5:8080 = %x, want ad8a438c", got)
	}
}

// TestRingTie: two addresses that own one point. Which of them nginx takes
// differs between its workers, so both are named.
func TestRingTie(t *testing.T) {
	const shared = 0x2469369b
	r := newRing(endpoints("10.244.0.46:8080", "10.244.1.79:8080"))
	at := r.search(shared)
	if r.points[at].hash != shared || r.points[at+1].hash != shared {
		t.Fatalf("no tie at %x: %x, %x", shared, r.points[at], r.points[at+1])
	}
	before := r.points[at-1].hash
	for i := 0; ; i++ {
		key := fmt.Sprintf("%d.5.31.%d", 1767225601+i/1000, i)
		if h := crc32.ChecksumIEEE([]byte(key)); h <= before || h > shared {
			continue
		}
		set := affinity.EndpointSet{Current: endpoints("10.244.0.46:8080", "10.244.1.79:8080")}
		d := nginxBalanced{backend: "default-web-80"}.Table(set).Lookup(key)
		if d.Hit() || len(d.Endpoints) != 2 || !strings.Contains(d.Detail, "tie") {
			t.Errorf("%s: %+v, want a tie", key, d)
		}
		if v := Locate("", affinity.Secret(key), []Scope{{Names: []string{"default-web-80"}, Set: set}}, Hints{}); !v.Tie || v.Decided {
			t.Errorf("Locate(%s) = %+v, want a tie", key, v)
		}
		return
	}
}

// TestNginxLookups: what the recordings and the source say about odd values.
func TestNginxLookups(t *testing.T) {
	set := affinity.EndpointSet{Current: endpoints(web3[0], web3[1]), Gone: endpoints(web3[2])}
	set.Current[1].Ready = false
	keys := newBackendKeys([]string{"default-web-80", "default-other-80", "default-canary-80"})
	other, canary, unknown := backendKey("default-other-80"), backendKey("default-canary-80"), backendKey("nobody")
	persistent := nginxPersistent{backend: "default-web-80", partner: "default-canary-80", keys: keys}
	balanced := nginxBalanced{backend: "default-web-80", partner: "default-canary-80", keys: keys}
	const p0, p1, p2 = "a4218db18517898613a5b988c1d68087", "f80e698df1ee02ab3cbfca44f7769f63", "14b39e16b47200d60fa233790cd75e71"
	tests := []struct {
		name    string
		decoder affinity.Decoder
		value   string
		want    string // shaped, endpoints, gone, exact, backend
		detail  string
	}{
		{"before v0.49", persistent, p0, "true 10.244.0.5:8080 false true ", "before controller v0.49"},
		{"not ready", persistent, p1 + "|" + webKey, "true 10.244.1.7:8080 false true default-web-80", "not ready"},
		{"gone", persistent, p2 + "|" + webKey, "true 10.244.2.9:8080 true true default-web-80", "gone"},
		{"the other side of a canary", persistent, p0 + "|" + canary, "true  false false default-canary-80", "canary"},
		{"another backend's key is not looked at", persistent, p0 + "|" + other, "true 10.244.0.5:8080 false true default-other-80", "not look at"},
		{"an unknown backend's key neither", persistent, p0 + "|" + unknown, "true 10.244.0.5:8080 false true ", "unknown backend"},
		{"empty parts are dropped", persistent, "|" + p0 + "||" + webKey + "|x", "true 10.244.0.5:8080 false true default-web-80", ""},
		{"upper case is not decoded", persistent, strings.ToUpper(p0) + "|" + webKey, "false  false false default-web-80", ""},
		{"quotes are not decoded", persistent, `"` + p0 + "|" + webKey + `"`, "false  false false ", ""},
		{"percent-encoded", persistent, p0 + "%7C" + webKey, "false  false false ", ""},
		{"empty", persistent, "", "false  false false ", ""},
		{"balanced: before v0.49", balanced, "1767225601.1.28.1", "true 10.244.0.5:8080 false false ", "v0.49"},
		{"balanced: only ready endpoints", balanced, "1767225712.412.31.308842|" + webKey, "true 10.244.0.5:8080 false false default-web-80", "ring of 1"},
		{"balanced: the other side of a canary", balanced, "1767225601.1.28.1|" + canary, "true  false false default-canary-80", "canary"},
		{"balanced: a cookie of the other mode is hashed", balanced, p1 + "|" + webKey, "true 10.244.0.5:8080 false false default-web-80", ""},
		{"balanced: any text is hashed, but not proposed", balanced, "hello", "false 10.244.0.5:8080 false false ", ""},
		{"balanced: empty", balanced, "|", "false  false false ", "no key"},
	}
	for _, tt := range tests {
		d := tt.decoder.Table(set).Lookup(tt.value)
		got := fmt.Sprintf("%v %s %v %v %s", d.Shaped, addrs(d.Endpoints), d.Gone, d.Exact, d.Backend)
		if got != tt.want || !strings.Contains(d.Detail, tt.detail) {
			t.Errorf("%s: %s (%s), want %s (%s)", tt.name, got, d.Detail, tt.want, tt.detail)
		}
	}
	none := balanced.Table(affinity.EndpointSet{Gone: set.Gone}).Lookup("1767225601.1.28.1|" + webKey)
	if len(none.Endpoints) != 0 || !none.Shaped {
		t.Errorf("without ready endpoints: %+v", none)
	}
	twice := balanced.Table(affinity.EndpointSet{Current: endpoints(web3[0], web3[0])}).(*balancedTable)
	if twice.ring.size() != 1 {
		t.Errorf("an address in two slices counts %d times", twice.ring.size())
	}
}

func TestKeyTime(t *testing.T) {
	tests := []struct {
		key  string
		want string // "" when it is no key
	}{
		{"1795423817.4.7044.88", "2026-11-23T08:50:16.4Z"},
		{"1795423814.7045.649583", "2026-11-23T08:50:13Z"}, // a whole second: three parts
		{"1767225601.1234.31.42", "2026-01-01T00:00:00.1234Z"},
		{"1767225601.12345.31.42", ""},
		{"176722560.1.31.42", ""},
		{"17672256011.1.31.42", ""},
		{"1767225601.31", ""},
		{"1767225601.1.2.3.4", ""},
		{"1767225601..31.42", ""},
		{"1767225601.-1.31.42", ""},
		{"1767225601.1.31.4e2", ""},
		{"1767225601.1.31." + strings.Repeat("4", 60), ""},
	}
	for _, tt := range tests {
		got, ok := keyTime(tt.key)
		if ok != (tt.want != "") || ok && got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("keyTime(%s) = %v, %v; want %q", tt.key, got, ok, tt.want)
		}
	}
}
