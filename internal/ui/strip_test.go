package ui

import (
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestStrip(t *testing.T) {
	at := func(ms int, tag, failure string) affinity.Exchange {
		return affinity.Exchange{At: start.Add(time.Duration(ms) * time.Millisecond), Tag: tag, Failure: failure}
	}
	for _, tt := range []struct {
		name string
		in   []affinity.Exchange
		want string // of the ten seconds from start
	}{
		{"nothing asked", nil, "··········"},
		{"one a second", []affinity.Exchange{at(100, "A", ""), at(1100, "A", ""), at(2100, "B", "")}, "AAB·······"},
		{"a second missed by jitter", []affinity.Exchange{at(950, "A", ""), at(2010, "A", ""), at(2990, "A", ""), at(4020, "B", "")}, "AAAAB·····"},
		{"silence", []affinity.Exchange{at(100, "A", ""), at(5100, "A", "")}, "A····A····"},
		{"the last of a second", []affinity.Exchange{at(100, "A", ""), at(600, "B", "")}, "BB········"},
		{"a failure is never hidden", []affinity.Exchange{at(100, "", "502"), at(600, "B", ""), at(1200, "B", "")}, "×B········"},
		{"answered by nobody known", []affinity.Exchange{at(100, "", ""), at(1000, "AB", "")}, "?+········"},
		{"waited for", []affinity.Exchange{at(100, "A", ""), {At: start.Add(7100 * time.Millisecond), Took: 5 * time.Second, Failure: "no answer"}}, "A·……………×··"},
		{"before and after the strip", []affinity.Exchange{at(-500, "Z", ""), at(10100, "Z", "")}, "··········"},
	} {
		out := make([]stripCell, 10)
		strip(out, tt.in, start.Add(9*time.Second))
		got := ""
		for _, c := range out {
			got += c.glyph
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestStripBefore: the seconds of a held connection stay its pod's once another
// is held.
func TestStripBefore(t *testing.T) {
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	cut := &affinity.Failure{Text: "cut"}
	for name, tt := range map[string]struct {
		end  affinity.SocketEnd
		in   []affinity.Exchange
		held bool
		want string
	}{
		"cut":          {affinity.SocketEnd{At: at(5000), Lasted: 4900 * time.Millisecond, Failed: cut}, []affinity.Exchange{{At: at(100), Tag: "A"}, {At: at(7000), Tag: "B"}}, true, "AAAAA×·B··"},
		"left":         {affinity.SocketEnd{At: at(5000), Lasted: 4900 * time.Millisecond}, []affinity.Exchange{{At: at(100), Tag: "A"}, {At: at(7000), Tag: "B"}}, true, "AAAAAA·B··"},
		"upgraded":     {affinity.SocketEnd{At: at(5000), Lasted: 4900 * time.Millisecond}, []affinity.Exchange{{At: at(100), Tag: "A"}, {At: at(2100), Tag: "C"}, {At: at(7000), Tag: "B"}}, true, "A·CCCC·B··"},
		"pod unknown":  {affinity.SocketEnd{At: at(5000), Lasted: 4900 * time.Millisecond, Failed: cut}, []affinity.Exchange{{At: at(100)}, {At: at(7000), Tag: "B"}}, true, "?······B··"},
		"none is held": {affinity.SocketEnd{At: at(5000), Lasted: 4900 * time.Millisecond, Failed: cut}, []affinity.Exchange{{At: at(100), Tag: "A"}}, false, "A·········"},
		"older answer": {affinity.SocketEnd{At: at(8000), Lasted: 2 * time.Second, Failed: cut}, []affinity.Exchange{{At: at(100), Tag: "A"}, {At: at(6000)}}, true, "A·····?···"},
	} {
		s := &affinity.Session{LastEnd: &tt.end, Exchanges: tt.in}
		if tt.held {
			s.Socket = &affinity.Socket{Opened: at(7000)}
		}
		out := make([]stripCell, 10)
		strip(out, s.Exchanges, start.Add(9*time.Second))
		holdStrip(out, s, start.Add(9*time.Second))
		got := ""
		for _, c := range out {
			got += c.glyph
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestFuseText(t *testing.T) {
	timer := affinity.Timer{Letter: 'C', Renewal: affinity.RenewalAbsolute, Deadline: start.Add(2*time.Hour + 47*time.Minute), Total: 3 * time.Hour, Seen: true}
	modelled := timer
	modelled.Seen, modelled.Renewal, modelled.Letter, modelled.Deadline = false, affinity.RenewalSliding, 'I', start.Add(24*time.Second)
	bypassed := modelled
	bypassed.Bypassed = "never met"
	session := affinity.Timer{Letter: 'C', Renewal: affinity.RenewalSession}
	for _, tt := range []struct {
		name   string
		timers []affinity.Timer
		want   string
	}{
		{"absolute, seen", []affinity.Timer{timer}, "C! 2:47h"},
		{"sliding, modelled, the first to end", []affinity.Timer{timer, modelled}, "I~ ≈0:24"},
		{"bypassed ones do not count", []affinity.Timer{timer, bypassed}, "C! 2:47h"},
		{"browser session", []affinity.Timer{session}, "C browser-session"},
		{"none", nil, "—"},
	} {
		if got := fuseText(&affinity.Session{Timers: tt.timers}, start); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestBar(t *testing.T) {
	for _, tt := range []struct {
		f       float64
		refills bool
		want    string
	}{
		{0, false, "░░░░"}, {1, false, "████"}, {0.5, false, "██░░"}, {0.6, false, "██▍░"}, {0.01, false, "░░░░"},
		{0.5, true, "▒▒░░"}, {1, true, "▒▒▒▒"}, {0.9, true, "▒▒▒▒"},
	} {
		if got := bar(tt.f, 4, tt.refills); got != tt.want {
			t.Errorf("bar(%v, 4, %v) = %s, want %s", tt.f, tt.refills, got, tt.want)
		}
	}
}

func TestDurations(t *testing.T) {
	for _, tt := range []struct {
		d           time.Duration
		left, exact string
		age         string
	}{
		{0, "0:00", "0:00", "0s"},
		{22 * time.Second, "0:22", "0:22", "22s"},
		{59*time.Minute + 59*time.Second, "59:59", "59:59", "59m"},
		{2*time.Hour + 47*time.Minute + 19*time.Second, "2:47h", "2:47:19", "2h"},
		{76 * time.Hour, "3d04h", "3d04h", "3d"},
		{200 * 24 * time.Hour, "200d", "200d00h", "200d"},
	} {
		if l, e, a := left(tt.d), exactly(tt.d), age(tt.d); l != tt.left || e != tt.exact || a != tt.age {
			t.Errorf("%v: left %s, exactly %s, age %s; want %s, %s, %s", tt.d, l, e, a, tt.left, tt.exact, tt.age)
		}
	}
}
