package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

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
