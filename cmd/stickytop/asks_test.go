package main

import (
	"context"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestAsks: what the user typed is asked for, --path before the path in a URL, and
// that before the readiness probe's.
func TestAsks(t *testing.T) {
	for _, tt := range []struct{ url, path, want, why string }{
		{"", "", "/ready", "the readiness probe"},
		{"http://node:30080", "", "/ready", "the readiness probe"},
		{"http://node:30080/", "", "/ready", "the readiness probe"},
		{"http://node:30080/chat?x=1", "", "/chat?x=1", "--url"},
		{"http://node:30080/chat", "/mine", "/mine", "--path"},
		{"", "/mine", "/mine", "--path"},
	} {
		f := &probeFlags{url: tt.url, path: tt.path}
		var got affinity.Route
		ctx, stop := context.WithCancel(t.Context())
		err := f.asks(fixed{affinity.Route{ID: "r", ProbePath: "/ready", ProbeWhy: "the readiness probe"}}).Run(ctx, func(e affinity.Event) {
			if all, ok := e.(affinity.Routes); ok {
				got = all.Routes[0]
				stop()
			}
		})
		if err != nil || got.ProbePath != tt.want || got.ProbeWhy != tt.why {
			t.Errorf("--url %q --path %q: asks for %s (%s), %v; want %s (%s)", tt.url, tt.path, got.ProbePath, got.ProbeWhy, err, tt.want, tt.why)
		}
	}
	r, err := urlRoute("http://node:30080/chat?x=1#top", "")
	if err != nil || r.ProbePath != "/chat?x=1" || r.Path != "/chat" {
		t.Errorf("a URL alone: asks for %s on %s, %v", r.ProbePath, r.Path, err)
	}
}
