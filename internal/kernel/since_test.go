package kernel

import (
	"net/netip"
	"testing"
	"time"
)

// TestSinceIsSeen: a pin's beginning is told where it was seen, by the reading
// before or by the stamps; else it may have been earlier.
func TestSinceIsSeen(t *testing.T) {
	at, client, other := time.Now(), netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.3")
	t.Run("nftables", func(t *testing.T) {
		want, _, _ := fixture(20 * time.Second)
		name := setName(svc5, "p80", "TCP", "10.180.0.3:80")
		l := newLedger("node1")
		take := func(after time.Duration, entries ...Entry) map[netip.Addr]bool {
			put, _, _ := l.take(reading{mode: ModeNFTables, at: at.Add(after), lists: []List{{Name: name, Timeout: 20 * time.Second, Limit: 65535, Entries: entries}}}, want, &clock{})
			before := map[netip.Addr]bool{}
			for _, p := range put {
				before[p.Client] = p.SinceOrBefore
			}
			return before
		}
		if got := take(0, Entry{Client: client, Left: 15 * time.Second}); !got[client] {
			t.Errorf("one reading tells the last connection alone: %v", got)
		}
		got := take(time.Second, Entry{Client: client, Left: 19900 * time.Millisecond}, Entry{Client: other, Left: 19900 * time.Millisecond})
		if before, put := got[other]; !got[client] || !put || before {
			t.Errorf("one was renewed, one began: %v", got)
		}
	})
	t.Run("iptables", func(t *testing.T) {
		want, _, _ := fixture(20 * time.Second)
		const up = 2000 * time.Second
		now, c := uint64(formula(250, up)), clock{hz: 250, exact: true}
		stamps := func(addr netip.Addr, ago ...uint64) Entry {
			e := Entry{Client: addr, Seen: now - 250*ago[0]}
			for _, s := range ago {
				e.Stamps = append(e.Stamps, now-250*s)
			}
			return e
		}
		l := newLedger("node1")
		put, _, _ := l.take(reading{mode: ModeIPTables, at: at, uptime: up, lists: []List{{Name: recentName(svc5, "p80", "TCP", "10.180.0.3:80"), Limit: 100,
			Entries: []Entry{stamps(client, 1, 15, 60), stamps(other, 1, 15)}}}}, want, &c)
		if len(put) != 2 {
			t.Fatalf("%+v", put)
		}
		for _, p := range put {
			if want := p.Client == other; p.SinceOrBefore != want {
				t.Errorf("%s: or before %t, want %t", p.Client, p.SinceOrBefore, want)
			}
		}
	})
}

// TestReapedByShorterTimeout: a pin that a shorter timeout ended has expired,
// also where the node took the entry away before it was read again.
func TestReapedByShorterTimeout(t *testing.T) {
	up, at := 2000*time.Second, time.Now()
	now, c := uint64(formula(250, up)), clock{hz: 250, exact: true}
	entry := func(addr string, ago uint64) Entry {
		seen := now - 250*ago
		return Entry{Client: netip.MustParseAddr(addr), Seen: seen, Stamps: []uint64{seen}}
	}
	name := recentName(svc5, "p80", "TCP", "10.180.0.3:80")
	l := newLedger("node1")
	read := func(timeout, after time.Duration, entries ...Entry) map[string]string {
		want, _, _ := fixture(timeout)
		_, gone, _ := l.take(reading{mode: ModeIPTables, at: at.Add(after), uptime: up + after, lists: []List{{Name: name, Limit: 100, Entries: entries}}}, want, &c)
		ends := map[string]string{}
		for _, g := range gone {
			ends[g.Client.String()] = g.Reason.String()
		}
		return ends
	}
	old, young, reset := entry("10.9.0.2", 40), entry("10.9.0.3", 5), entry("10.9.0.4", 5)
	read(60*time.Second, 0, old, young, reset)
	if got := read(20*time.Second, time.Second, young); len(got) != 2 || got["10.9.0.2"] != "expired" || got["10.9.0.4"] != "gone" {
		t.Errorf("%v", got)
	}
}
