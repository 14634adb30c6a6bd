package affinity

import (
	"strings"
	"testing"
	"time"
)

// TestFindingsOfThePast: what pins showed is told as of now only while it is so.
func TestFindingsOfThePast(t *testing.T) {
	ends := func(w *rulesWorld, lists []AddressList, pins ...AddressPin) {
		var gone []AddressEnd
		for _, p := range pins {
			gone = append(gone, AddressEnd{AddressPin: p, At: w.now, Reason: AddressEndRemoved})
		}
		w.apply(AddressPinsChanged{Node: pins[0].Node, Lists: lists, Gone: gone})
		w.st.Snapshot(w.now)
	}
	none := func(w *rulesWorld, part string) {
		if got := w.found(); strings.Contains(got, part) {
			t.Errorf("found:\n%s\nstill says %q", got, part)
		}
	}
	t.Run("F02", func(t *testing.T) {
		w := newRulesWorld(t)
		one, two := w.pin("node1", "203.0.113.7", "http", "a"), w.pin("node2", "203.0.113.7", "http", "b")
		w.read("node1", nil, one)
		w.read("node2", nil, two)
		w.want("F02 high exact: one client is on pod")
		w.after(10 * time.Second)
		ends(w, []AddressList{w.list("node1", "a", 0, 100, true)}, one)
		w.want("F02 high exact: one client was on pod b through node2, on pod a through node1, until 14:00:10Z")
		none(w, "client is on")
		w.after(10 * time.Second)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.want("F02 high exact: one client is on pod a through node1, on pod b through node2")
		none(w, "until")
	})
	t.Run("E03", func(t *testing.T) {
		w := newRulesWorld(t)
		p := w.pin("node1", "10.244.1.90", "http", "a")
		w.read("node1", nil, p)
		w.want("E03 critical exact: all users of ingress pod traefik/traefik-1 are one client")
		ends(w, nil, p)
		w.want("E03 critical exact: all users of ingress pod traefik/traefik-1 were one client, on pod a, until 14:00:00Z")
	})
	t.Run("D02", func(t *testing.T) {
		w := newRulesWorld(t)
		w.pod("a", false)
		w.read("node1", nil)
		w.after(proxyLag + time.Second)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.want("node1 still sends clients to pod a, which is not ready")
		w.after(time.Second)
		w.pod("a", true)
		w.read("node1", nil)
		w.want("D02 high exact: node1 sent clients to pod a while it was not ready, until 14:00:07Z")
	})
	t.Run("E04", func(t *testing.T) {
		w := newRulesWorld(t)
		p := w.pin("node1", "203.0.113.7", "http", "a")
		lists := []AddressList{w.list("node1", "a", 1, 100, true), w.list("node1", "b", 1, 100, true)}
		w.after(68 * time.Second)
		p.Timeout, p.Renewed, p.Expires = 20*time.Second, w.now, w.now.Add(20*time.Second)
		w.read("node1", lists, p)
		w.want("E04 info likely: 203.0.113.7 has held its pin since 14:00:00Z, for 3 times the timeout of 20s or more")
		w.after(time.Second)
		p.Timeout, p.Renewed, p.Expires = time.Minute, w.now, w.now.Add(time.Minute)
		w.read("node1", lists, p)
		w.want("E04 info likely: 203.0.113.7 held its pin from 14:00:00Z to 14:01:09Z, 3 times the timeout of 20s")
	})
}
