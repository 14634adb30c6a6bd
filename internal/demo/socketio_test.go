package demo_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/engine"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/probe"
)

// TestSocketIOStory tells what the scenario socketio tells, step by step, to the
// real probe and the real watches:
// 400 Session ID unknown while affinity is off, every leg on one pod once it is
// on, and a deleted pod's sockets back elsewhere.
func TestSocketIOStory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	w := run(t, demo.Options{Scenario: "affinity-off"}) // its own steps do nothing
	source, err := kube.New(w.RESTConfig(), kube.Options{Namespace: w.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := probe.NewRunner(probe.Options{Dial: w.DialContext, DialName: "the demo"})
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(engine.Options{Target: w.Target(), Budget: affinity.Budget{PerRoute: 4, Max: 4, Transports: []string{"socketio"}, Clients: []affinity.ClientModel{w.Client()}}}, runner, source)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() { cancel(); <-done }()

	wait := func(what string, ok func(*affinity.Snapshot) string) {
		t.Helper()
		why := ""
		for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if why = ok(e.Snapshot()); why == "" {
				return
			}
		}
		t.Fatalf("never: %s: %s", what, why)
	}
	wait("I01 while affinity is off", func(s *affinity.Snapshot) string {
		for _, f := range s.Findings {
			if f.Rule == "I01" && f.Certainty == affinity.CertaintyExact && strings.HasPrefix(f.Title, "400 Session ID unknown: the handshake was on ") {
				return ""
			}
		}
		return fmt.Sprint(len(s.Findings), " findings")
	})
	do(t, w, "affinity-on")
	wait("all sessions whole", whole)
	wait("I01 and I03 gone", func(s *affinity.Snapshot) string {
		for _, f := range s.Findings {
			if strings.HasPrefix(f.Rule, "I0") {
				return f.Rule + " " + f.Title
			}
		}
		return ""
	})
	before := e.Snapshot()
	do(t, w, "delete-pod")
	var cut affinity.SessionID
	wait("a socket that went with its pod, explained", func(s *affinity.Snapshot) string {
		for _, h := range slices.Backward(s.Timeline) {
			if h.Kind == "socket" && h.Level == affinity.LevelBroken && h.CauseText != "" && h.At.After(before.At) {
				cut = h.Session
				return ""
			}
		}
		return "no line"
	})
	wait(string(cut)+" back on another pod", func(s *affinity.Snapshot) string {
		x := s.Session(cut)
		if old := before.Session(cut); x.Pod == old.Pod {
			return "still on " + x.Pod.Name
		}
		return whole(s)
	})
	if s := e.Snapshot(); len(s.Findings) > 0 {
		t.Errorf("a deleted pod is called %s %s", s.Findings[0].Rule, s.Findings[0].Title)
	}
}

// whole says which session does not hold a WebSocket with all legs on one pod.
func whole(s *affinity.Snapshot) string {
	if len(s.Sessions) < 4 {
		return fmt.Sprint(len(s.Sessions), " sessions")
	}
	for _, x := range s.Sessions {
		held := x.Socket
		if held == nil || held.Ended != nil || !held.Joined || held.Carrier != affinity.CarrierWebSocket {
			return string(x.Spec.ID) + " holds no WebSocket"
		}
		for _, name := range []string{affinity.LegHandshake, affinity.LegConnect, affinity.LegPoll, affinity.LegUpgrade} {
			if l, ok := x.Leg(name); !ok || l.Pod != x.Pod || l.Failure != "" || l.Source != affinity.SourceHeader {
				return fmt.Sprintf("%s: %s by %s on %s %s", x.Spec.ID, name, l.Source, l.Pod.Name, l.Failure)
			}
		}
	}
	return ""
}
