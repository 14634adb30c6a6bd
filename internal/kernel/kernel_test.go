package kernel

import (
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
	got, cut, err := parseRecent(strings.NewReader(recentText))
	if err != nil || cut || len(got) != 3 {
		t.Fatalf("%v, cut %v, %v", got, cut, err)
	}
	if got[1].Client != netip.MustParseAddr("10.9.0.2") || got[1].Seen != 4295164414 || len(got[1].Stamps) != 4 || got[2].Client != netip.MustParseAddr("fd00:9::2") {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"src=1.2.3.4\n", "src=x ttl: 1 last_seen: 1 oldest_pkt: 1 1\n", "src=1.2.3.4 ttl: 1 last_seen: -1 oldest_pkt: 1 1\n"} {
		if _, _, err := parseRecent(strings.NewReader(bad)); err == nil {
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
	if e := got[0]; e.Client.String() != "10.233.0.1" || e.Front != "10.96.0.1:80" || e.Endpoint != "10.244.1.5:8080" || e.Left != 58*time.Second {
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

// TestInterpret tells the pins in force from those shadowed and expired:
// 10.180.0.10 comes before 10.180.0.3, as text.
func TestInterpret(t *testing.T) {
	want, first, second := fixture(20 * time.Second)
	r := &Reader{clock: clock{hz: 250, exact: true}}
	up := 2000 * time.Second
	now := uint64(formula(250, up))
	ago := func(s uint64, addr string) Entry {
		return Entry{Client: netip.MustParseAddr(addr), Seen: now - 250*s, Stamps: []uint64{now - 250*s, now - 250*(s+15), now - 250*(s+60)}}
	}
	at := time.Now()
	n := reading{mode: ModeIPTables, at: at, uptime: up, lists: []List{
		{Name: first, Limit: 3, Entries: []Entry{ago(10, "10.9.0.2"), ago(50, "10.9.0.3")}},
		{Name: second, Limit: 1, Entries: []Entry{ago(1, "10.9.0.2")}}}}
	w := r.interpret(n, want, "node1")
	if len(w.pins) != 2 || len(w.expired) != 1 {
		t.Fatalf("%d pins, %d expired", len(w.pins), len(w.expired))
	}
	for k, p := range w.pins {
		older := k.Endpoint == "10.180.0.10:80"
		if p.Shadowed == older {
			t.Errorf("%s: shadowed %v; the first endpoint wins, not the newest pin", k.Endpoint, p.Shadowed)
		}
		if older && (p.Expires.Sub(at) != 10*time.Second || at.Sub(p.Since) != 25*time.Second) {
			t.Errorf("ends in %s, holds for %s", p.Expires.Sub(at), at.Sub(p.Since))
		}
	}
	// The newer one is evicted, the older one's endpoint goes.
	n2 := reading{mode: ModeIPTables, at: at.Add(time.Second), uptime: up + time.Second,
		lists: []List{{Name: second, Limit: 1, Entries: []Entry{ago(0, "10.9.0.9")}}}}
	put, gone := difference(w, r.interpret(n2, want, "node1"), "node1", n2.at)
	reasons := map[string]affinity.AddressEndReason{}
	for _, g := range gone {
		reasons[g.Endpoint] = g.Reason
	}
	if len(put) != 1 || reasons["10.180.0.10:80"] != affinity.AddressEndRemoved || reasons["10.180.0.3:80"] != affinity.AddressEndEvicted {
		t.Errorf("put %v, ended %v", put, reasons)
	}
}

func FuzzParseRecent(f *testing.F) {
	f.Add(recentText)
	f.Fuzz(func(t *testing.T, text string) {
		entries, _, err := parseRecent(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, e := range entries {
			if !e.Client.IsValid() {
				t.Errorf("%+v", e)
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
