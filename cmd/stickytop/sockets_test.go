package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestLostConnections: notes say how many of the sessions lost theirs alike,
// whether or not a failed request tells of it too.
func TestLostConnections(t *testing.T) {
	session := func(i, cuts int, end *affinity.SocketEnd) *affinity.Session {
		return &affinity.Session{Spec: affinity.SessionSpec{ID: affinity.SessionID(fmt.Sprintf("s%02d", i))}, Socket: &affinity.Socket{Ended: end}, LastEnd: end, CutCount: cuts}
	}
	end := func(by affinity.EndedBy, kind affinity.FailureKind, code int, silent float64, text string) *affinity.SocketEnd {
		if by == affinity.EndedByUnknown {
			text = fmt.Sprintf("%s after %.1fs", text, silent)
		}
		return &affinity.SocketEnd{By: by, Code: code, Lasted: 4 * time.Second, Text: text, Failed: &affinity.Failure{Kind: kind, Text: text}}
	}
	proxy := func() *affinity.SocketEnd {
		return end(affinity.EndedByProxy, affinity.FailureStatus, 0, 0, "poll failed: 502 Bad Gateway")
	}
	cut := func(silent float64) *affinity.SocketEnd {
		return end(affinity.EndedByUnknown, affinity.FailureClosed, 0, silent, "cut without a close frame")
	}
	refused := func(text string) *affinity.SocketEnd {
		return end(affinity.EndedByClient, affinity.FailureDenied, 0, 0, text)
	}
	left := &affinity.SocketEnd{By: affinity.EndedByClient, Text: "left"}
	for name, tt := range map[string]struct {
		ends []*affinity.SocketEnd
		cuts []int
		want string
	}{
		"all alike, some told by a request": {[]*affinity.SocketEnd{proxy(), proxy(), proxy()}, []int{0, 1, 0},
			"note: connection lost, 3 of 3 sessions, as s01 after 4s: poll failed: 502 Bad Gateway\n"},
		"silences differ": {[]*affinity.SocketEnd{left, cut(20), cut(20.1), nil}, []int{0, 1, 1, 0},
			"note: connection lost, 2 of 4 sessions, as s02 after 4s: cut without a close frame after 20.0s\n"},
		"one": {[]*affinity.SocketEnd{cut(20), left}, []int{1, 0},
			"note: connection lost, s01 after 4s: cut without a close frame after 20.0s\n"},
		"two ways": {[]*affinity.SocketEnd{refused("bad token"), refused("no room"), refused("no room")}, []int{1, 1, 1},
			"note: connection lost, 2 of 3 sessions, as s02 after 4s: no room\nnote: connection lost, s01 after 4s: bad token\n"},
		"many ways": {[]*affinity.SocketEnd{refused("a"), refused("b"), refused("c"), refused("d"), refused("e"), refused("f"), refused("g"), refused("h")}, make([]int, 8),
			"note: and those of 2 more of 8 sessions; -o wide lists them\n"},
	} {
		snap := &affinity.Snapshot{}
		for i, e := range tt.ends {
			snap.Sessions = append(snap.Sessions, session(i+1, tt.cuts[i], e))
		}
		var out strings.Builder
		sayOfSockets(snap, &out)
		if got := out.String(); got != tt.want && !strings.HasSuffix(got, "f\n"+tt.want) {
			t.Errorf("%s:\n%swant\n%s", name, got, tt.want)
		}
	}
}

// TestLetters: the letters in LEGS are told apart, and how many are not told.
func TestLetters(t *testing.T) {
	of := func(n int) string {
		x := &affinity.Session{Legs: []affinity.Leg{{Name: affinity.LegPoll, Failure: "no answer"}}}
		for i := range n {
			tag := string(rune('A' + i))
			x.Legs = append(x.Legs, affinity.Leg{Name: affinity.LegHandshake, Tag: tag, Pod: affinity.PodRef{Namespace: "shop", Name: "web-" + tag}, Failure: "refused"})
		}
		var out strings.Builder
		sayLetters(&affinity.Snapshot{Sessions: []*affinity.Session{x, x}}, &out)
		return out.String()
	}
	for n, want := range map[int]string{0: "", 1: "note: in LEGS: A web-A\n", 2: "note: in LEGS: A web-A, B web-B\n"} {
		if got := of(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if got := of(14); !strings.HasSuffix(got, "L web-L, and 2 more: -o json names them\n") {
		t.Errorf("of 14: %q", got)
	}
}
