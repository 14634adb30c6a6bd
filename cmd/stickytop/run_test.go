package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/ui"
)

func TestConclude(t *testing.T) {
	tests := []struct {
		name        string
		err         error
		interrupted bool
		code        int
		says        string
	}{
		{"unknown flag", errors.New("unknown flag: --x"), false, exitUsage, "--help"},
		{"wrong value", usageError("--sessions %d: must not be negative", -1), false, exitUsage, "negative"},
		{"no cluster", fmt.Errorf("watch: %w", &kube.Problem{What: "refused", Hint: "is it up?"}), false, exitCannot, "is it up?"},
		{"panic of the screen", fmt.Errorf("%w: %w", ui.ErrBroken, errors.New("index out of range")), false, exitBroken, "report"},
		{"interrupted", context.Canceled, true, exitInterrupted, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if code := conclude(&out, "stickytop", tt.err, tt.interrupted); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(out.String(), tt.says) || tt.says == "" && out.Len() > 0 {
				t.Errorf("says %q, want %q in it", out.String(), tt.says)
			}
		})
	}
}

// TestHintsNameTheProgram: a hint can be typed as the program was.
func TestHintsNameTheProgram(t *testing.T) {
	for _, tt := range []struct{ name, hint, want string }{
		{"kubectl stickytop", "stickytop rbac --missing prints the Role", "kubectl stickytop rbac --missing prints the Role"},
		{"kubectl stickytop", "kubectl stickytop rbac --missing prints the Role", "kubectl stickytop rbac --missing prints the Role"},
		{"stickytop", "kubectl stickytop rbac --missing prints the Role", "stickytop rbac --missing prints the Role"},
		{"kubectl stickytop", "--url probes without a cluster, 'stickytop demo' needs none", "--url probes without a cluster, 'kubectl stickytop demo' needs none"},
		{"kubectl stickytop", "kubectl delete jobs -l stickytop.dev/run=x", "kubectl delete jobs -l stickytop.dev/run=x"},
	} {
		for _, err := range []error{cannot(tt.hint, "no"), &kube.Problem{What: "no", Hint: tt.hint}} {
			var out strings.Builder
			conclude(&out, tt.name, err, false)
			if want := "error: no\nhint: " + tt.want + "\n"; out.String() != want {
				t.Errorf("run as %q: %q, want %q", tt.name, out.String(), want)
			}
		}
	}
}

// TestHintsOfWhatFailed: what is to try next is not what just failed.
func TestHintsOfWhatFailed(t *testing.T) {
	for _, tt := range []struct {
		name     string
		via      string
		kind     affinity.FailureKind
		says     []string
		saysNone []string
	}{
		{"no address", "", affinity.FailureNoAddress, []string{"--resolve", "--via-controller goes"}, nil},
		{"by way of the controller", "auto", affinity.FailureOther, []string{"--via-controller=NAMESPACE/POD", "pods/portforward", "rbac --missing --via-controller"}, []string{"goes through the API server"}},
		{"sent away", "", affinity.FailureRedirect, []string{"--url", "sent away"}, []string{"--resolve", "no session was answered"}},
	} {
		snap := &affinity.Snapshot{Sessions: []*affinity.Session{{Requests: 1, Failures: 1, InARow: 1, LastFailure: &affinity.Failure{Op: "dial", Kind: tt.kind, Text: "why"}}}}
		s := setup{via: tt.via, cluster: true}
		var out strings.Builder
		conclude(&out, "stickytop", s.unanswered(snap), false)
		for _, want := range tt.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in %q", tt.name, want, out.String())
			}
		}
		for _, not := range tt.saysNone {
			if strings.Contains(out.String(), not) {
				t.Errorf("%s: %q in %q", tt.name, not, out.String())
			}
		}
	}
}

// TestVersionMismatch: a server that speaks another Engine.IO has answered; the way
// to it is right.
func TestVersionMismatch(t *testing.T) {
	for status, refused := range map[int]*affinity.Refusal{200: nil, 400: {Code: 5, Message: "Unsupported protocol version"}} {
		var st affinity.State
		st.Apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: "r", Transport: "socketio", Client: affinity.ClientBrowser}}, time.Unix(0, 0))
		st.Apply(affinity.Observed{Session: "s01", Leg: affinity.LegHandshake, Status: status, Refused: refused,
			Failure: &affinity.Failure{Op: "read", Kind: affinity.FailureVersion, Text: "the server speaks one, the client another"}}, time.Unix(0, 0))
		var out strings.Builder
		err := new(setup).howTheyFare(st.Snapshot(time.Unix(0, 0)), &out)
		if err != nil || !strings.Contains(out.String(), "every session fails: the server speaks one, the client another (--socketio-eio asks") {
			t.Errorf("status %d: %v\n%s", status, err, out.String())
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		sessions int
		says     string
	}{{500, ""}, {501, "--sessions 501: at most 500 in all"}, {-1, "must not be negative"}} {
		f := noProbes()
		f.sessions = tt.sessions
		if err := f.check(); (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%d sessions: %v, want %q", tt.sessions, err, tt.says)
		}
	}
}

// TestSelection: what there is to choose from is told whole, or how much of it
// is not told, each by what it is called.
func TestSelection(t *testing.T) {
	var st affinity.State
	route := func(kind, name string) affinity.Route {
		return affinity.Route{ID: affinity.RouteKey(kind, "shop", name, name+".test", "/"), Kind: kind, Namespace: "shop", Name: name, Host: name + ".test"}
	}
	of := func(n int) string {
		routes := []affinity.Route{route(affinity.RouteHTTPRoute, "gate")}
		for i := range n - 1 {
			routes = append(routes, route(affinity.RouteIngress, fmt.Sprintf("web-%02d", i)))
		}
		st.Apply(affinity.Routes{Source: "kubernetes", Routes: routes}, time.Unix(0, 0))
		st.Apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: "ingresses", State: affinity.SourceLive}}, time.Unix(0, 0))
		err := new(setup).selection(st.Snapshot(time.Unix(0, 0)))
		var f *failure
		if !errors.As(err, &f) {
			t.Fatalf("%v", err)
		}
		return f.hint
	}
	if got := of(8); strings.Count(got, "\n") != 8 || strings.Contains(got, "more") || !strings.Contains(got, "\n  httproute/gate -n shop   gate.test") || !strings.Contains(got, "\n  ing/web-06 -n shop") {
		t.Errorf("of 8: %s", got)
	}
	if got := of(11); strings.Count(got, "\n") != 9 || !strings.HasSuffix(got, "\n  and 3 more: get routes -A lists them") {
		t.Errorf("of 11: %s", got)
	}
}
