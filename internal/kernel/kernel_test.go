package kernel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var svc5 = affinity.ServiceRef{Namespace: "ns5", Name: "svc5"}

// The names are those of kube-proxy's own tests (kubernetes:
// pkg/proxy/iptables/proxier_test.go, pkg/proxy/nftables/proxier_test.go).
func TestNames(t *testing.T) {
	if got := recentName(svc5, "p80", "TCP", "10.180.0.3:80"); got != "KUBE-SEP-I77PXRDZVX7PMWMN" {
		t.Errorf("list %s", got)
	}
	if got := setName(svc5, "p80", "TCP", "10.180.0.3:80"); got != "affinity-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80" {
		t.Errorf("set %s", got)
	}
	if got := setName(svc5, "p80", "TCP", "[fd00:10:180::3]:80"); !strings.HasSuffix(got, "-ns5/svc5/tcp/p80__fd00.10.180..3/80") {
		t.Errorf("set %s", got)
	}
	long := setName(affinity.ServiceRef{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("s", 63)}, strings.Repeat("p", 63), "TCP", "[fd00:1111:2222:3333:4444:5555:6666:7777]:65535")
	if n := len(strings.TrimPrefix(long, setPrefix)); n > maxSetName || n < maxSetName-5 && strings.HasSuffix(long, setEnd) {
		t.Errorf("%d bytes: %s", n, long)
	}
}

// The lines are literal, of kernel 6.18.
const recentText = `src=10.9.0.4 ttl: 64 last_seen: 4295164197 oldest_pkt: 1 4295164197
src=10.9.0.2 ttl: 64 last_seen: 4295164414 oldest_pkt: 4 4295164124, 4295164276, 4295164344, 4295164414
src=fd00:0009:0000:0000:0000:0000:0000:0002 ttl: 0 last_seen: 4295202741 oldest_pkt: 1 4295202741
`

func TestParseRecent(t *testing.T) {
	got, cut, err := parseRecent(nil, []byte(recentText))
	if err != nil || cut || len(got) != 3 {
		t.Fatalf("%v, cut %v, %v", got, cut, err)
	}
	if got[1].Client != netip.MustParseAddr("10.9.0.2") || got[1].Seen != 4295164414 || len(got[1].stamps(nil)) != 4 || got[2].Client != netip.MustParseAddr("fd00:9::2") {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"src=1.2.3.4\n", "src=x ttl: 1 last_seen: 1 oldest_pkt: 1 1\n", "src=1.2.3.4 ttl: 1 last_seen: -1 oldest_pkt: 1 1\n",
		"src=1.2.3 ttl: 1 last_seen: 1 oldest_pkt: 1 1\n", "src=1.2.3.4.5 ttl: 1 last_seen: 1 oldest_pkt: 1 1\n", "src=1.2.3.256 ttl: 1 last_seen: 1 oldest_pkt: 1 1\n",
		"src=1.2.3.4 ttl: 1 last_seen: 99999999999999999999 oldest_pkt: 1 1\n", "src=fe80::1%eth0 ttl: 1 last_seen: 1 oldest_pkt: 1 1\n"} {
		if _, _, err := parseRecent(nil, []byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestParseIPVS(t *testing.T) {
	text := "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n" +
		"TCP 0AE90001 0000 0A600001 0050 0AF40105 1F90 NONE            58\n" +
		"TCP 0AE90001 C350 0A600001 0050 0AF40105 1F90 ESTABLISHED    899\n" +
		"TCP 0AE90002 0000 0A600001 0050 0AF40105 1F90 NONE            17179869\n"
	got, _, err := parseIPVS(strings.NewReader(text))
	if err != nil || len(got) != 2 {
		t.Fatalf("%v %v", got, err)
	}
	if e := got[0]; e.Client.String() != "10.233.0.1" || e.tie().Front != "10.96.0.1:80" || e.tie().Endpoint != "10.244.1.5:8080" || e.Left != 58*time.Second {
		t.Errorf("%+v", e)
	}
	if got[1].Left != 0 {
		t.Errorf("a wrapped counter gives %s", got[1].Left)
	}
}

// TestClock takes two pairs of CLOCK_MONOTONIC and jiffies, read together on
// one machine with HZ 250.
func TestClock(t *testing.T) {
	var c clock
	if !c.measure(1088775257936, 4295164429) || c.hz != 250 {
		t.Fatalf("%+v", c)
	}
	if age, ok := c.age(4295164414, 1088775257936); !ok || age != 60*time.Millisecond {
		t.Errorf("age %s %v, want 15 jiffies of 4 ms", age, ok)
	}
	var inferred clock
	inferred.infer(4295164414, 1088775257936)
	if inferred.hz != 250 {
		t.Errorf("inferred HZ %d", inferred.hz)
	}
	var lost clock
	if lost.infer(4295000000, 5000*time.Second); lost.hz == 1000 || lost.hz == 250 {
		t.Errorf("an old stamp settles HZ %d", lost.hz)
	}
	if _, ok := lost.age(4295164414, time.Hour); ok && lost.hz == 0 {
		t.Error("an age without HZ")
	}
	if uptime, j := parseTimerList(strings.NewReader("Timer List Version: v0.10\nnow at 1088775257936 nsecs\n\n  jiffies: 4295164429\n")); uptime != 1088775257936 || j != 4295164429 {
		t.Errorf("%d %d", uptime, j)
	}
}

// fixture is svc5 with two endpoints and affinity for 20 s, on an iptables node.
func fixture(timeout time.Duration) (*expected, string, string) {
	var st affinity.State
	now := time.Now()
	st.Apply(affinity.ServiceChanged{Service: affinity.Service{Ref: svc5, ClusterIP: "10.96.0.1", Ports: []affinity.ServicePort{{Name: "p80", Port: 80, Protocol: "TCP"}},
		Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP, Timeout: timeout}}}, now)
	ep := func(a string) affinity.Endpoint {
		return affinity.Endpoint{Addr: a, PortName: "p80", Ready: true, Pod: affinity.PodRef{Namespace: "ns5", Name: "pod-" + a[:10]}}
	}
	st.Apply(affinity.EndpointsChanged{Service: svc5, Endpoints: []affinity.Endpoint{ep("10.180.0.3:80"), ep("10.180.0.10:80")}}, now)
	return expect(st.Snapshot(now)), recentName(svc5, "p80", "TCP", "10.180.0.10:80"), recentName(svc5, "p80", "TCP", "10.180.0.3:80")
}

// TestLedger tells the pins in force from those shadowed and expired:
// 10.180.0.10 comes before 10.180.0.3, as text.
func TestLedger(t *testing.T) {
	want, first, second := fixture(20 * time.Second)
	c := clock{hz: 250, exact: true}
	up, at := 2000*time.Second, time.Now()
	now := uint64(formula(250, up))
	ago := func(s uint64, addr string) Entry {
		seen := now - 250*s
		return Entry{Client: netip.MustParseAddr(addr), Seen: seen, ring: fmt.Appendf(nil, "%d, %d, %d", seen, seen-250*15, seen-250*60)}
	}
	l := newLedger("node1")
	take := func(after time.Duration, lists ...List) (map[string]affinity.AddressPin, map[string]affinity.AddressEndReason) {
		put, gone, _ := l.take(reading{mode: ModeIPTables, at: at.Add(after), uptime: up + after, lists: lists}, want, &c)
		pins, ends := map[string]affinity.AddressPin{}, map[string]affinity.AddressEndReason{}
		for _, p := range put {
			pins[p.Endpoint+" "+p.Client.String()] = p
		}
		for _, g := range gone {
			ends[g.Endpoint+" "+g.Client.String()] = g.Reason
		}
		return pins, ends
	}
	const one, two = "10.180.0.10:80 ", "10.180.0.3:80 "
	a, b := List{Name: first, Limit: 3, Entries: []Entry{ago(10, "10.9.0.2"), ago(50, "10.9.0.3")}}, List{Name: second, Limit: 1, Entries: []Entry{ago(1, "10.9.0.2")}}
	put, gone := take(0, a, b)
	older, newer := put[one+"10.9.0.2"], put[two+"10.9.0.2"]
	if len(put) != 2 || len(gone) != 0 || l.pins != 2 || older.Shadowed || !newer.Shadowed {
		t.Fatalf("%+v, gone %v: the first endpoint wins, not the newest pin", put, gone)
	}
	if older.Expires.Sub(at) != 10*time.Second || at.Sub(older.Since) != 25*time.Second {
		t.Errorf("ends in %s, holds for %s", older.Expires.Sub(at), at.Sub(older.Since))
	}
	if lists := l.relist(); len(lists) != 2 || lists[0].Live+lists[1].Live != 2 || lists[0].Expired+lists[1].Expired != 1 {
		t.Errorf("%+v", lists)
	}
	// The same again is no news.
	lists := l.relist()
	if put, gone = take(time.Second, a, b); len(put)+len(gone) != 0 || &lists[0] != &l.relist()[0] {
		t.Errorf("nothing happened: put %v, gone %v", put, gone)
	}
	// The time of the first is up, though its entry stays: the other serves.
	if put, gone = take(11*time.Second, a, b); len(put) != 1 || put[two+"10.9.0.2"].Shadowed || gone[one+"10.9.0.2"] != affinity.AddressEndExpired || len(gone) != 1 {
		t.Errorf("expired: put %v, gone %v", put, gone)
	}
	// A longer timeout brings old entries to life again, in iptables mode.
	want, _, _ = fixture(100 * time.Second)
	if put, gone = take(12*time.Second, a, b); len(put) != 3 || len(gone) != 0 || !put[two+"10.9.0.2"].Shadowed || put[one+"10.9.0.3"].Timeout != 100*time.Second {
		t.Errorf("a longer timeout: put %v, gone %v", put, gone)
	}
	// One is pushed out of a full list, the endpoint of the others goes.
	if put, gone = take(13*time.Second, List{Name: second, Limit: 1, Entries: []Entry{ago(0, "10.9.0.9")}}); len(put) != 1 || len(gone) != 3 ||
		gone[one+"10.9.0.2"] != affinity.AddressEndRemoved || gone[two+"10.9.0.2"] != affinity.AddressEndEvicted {
		t.Errorf("put %v, ended %v", put, gone)
	}
	if l.pins != 1 || len(l.all()) != 1 {
		t.Errorf("%d pins", l.pins)
	}
}

// TestLedgerSet takes deadlines that the kernel counts down itself.
func TestLedgerSet(t *testing.T) {
	want, _, _ := fixture(20 * time.Second)
	name := setName(svc5, "p80", "TCP", "10.180.0.3:80")
	l, at := newLedger("node1"), time.Now()
	client := netip.MustParseAddr("10.9.0.2")
	take := func(after, left, timeout time.Duration) ([]affinity.AddressPin, []affinity.AddressEnd) {
		n := reading{mode: ModeNFTables, at: at.Add(after), lists: []List{{Name: name, Timeout: timeout, Limit: 65535}}}
		if left > 0 {
			n.lists[0].Entries = []Entry{{Client: client, Left: left}}
		}
		put, gone, _ := l.take(n, want, &clock{})
		return put, gone
	}
	put, _ := take(0, 15*time.Second, 20*time.Second)
	if len(put) != 1 || !put[0].Expires.Equal(at.Add(15*time.Second)) || !put[0].Since.Equal(at.Add(-5*time.Second)) || put[0].Note != "" {
		t.Fatalf("%+v", put)
	}
	if put, gone := take(time.Second, 13900*time.Millisecond, 20*time.Second); len(put)+len(gone) != 0 {
		t.Errorf("counting down is news: %v", put)
	}
	if put, _ := take(2*time.Second, 19900*time.Millisecond, 20*time.Second); len(put) != 1 || !put[0].Since.Equal(at.Add(-5*time.Second)) || !put[0].Renewed.Equal(at.Add(1900*time.Millisecond)) {
		t.Errorf("renewed: %+v", put)
	}
	want, _, _ = fixture(60 * time.Second)
	if put, _ := take(3*time.Second, 18900*time.Millisecond, 20*time.Second); len(put) != 1 || !strings.Contains(put[0].Note, "still enforces 20s") {
		t.Errorf("the node lags behind: %+v", put)
	}
	if put, _ := take(4*time.Second, 17900*time.Millisecond, 60*time.Second); len(put) != 1 || put[0].Note != "" {
		t.Errorf("the node has followed: %+v", put)
	}
	if _, gone := take(30*time.Second, 0, 60*time.Second); len(gone) != 1 || gone[0].Reason != affinity.AddressEndExpired {
		t.Errorf("gone: %+v", gone)
	}
}

func FuzzParseRecent(f *testing.F) {
	f.Add(recentText)
	f.Fuzz(func(t *testing.T, text string) {
		entries, _, err := parseRecent(nil, []byte(text))
		if err != nil {
			return
		}
		for _, e := range entries {
			if !e.Client.IsValid() {
				t.Errorf("%+v", e)
			}
			if n := len(e.stamps(nil)); n > maxStamps {
				t.Errorf("%d stamps", n)
			}
			if a, err := netip.ParseAddr(e.Client.String()); err != nil || a != e.Client {
				t.Errorf("%s is no address", e.Client)
			}
			c := clock{hz: 250}
			if age, ok := c.age(e.Seen, time.Hour); ok && age < 0 {
				t.Errorf("age %s of %d", age, e.Seen)
			}
		}
	})
}

func FuzzParseIPVS(f *testing.F) {
	f.Add("TCP 0AE90001 0000 0A600001 0050 0AF40105 1F90 NONE            58\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, _, err := parseIPVS(strings.NewReader(text))
		for _, e := range entries {
			if err == nil && (!e.Client.IsValid() || e.Left < 0) {
				t.Errorf("%+v", e)
			}
		}
	})
}
