package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestNoPathTellsOfBefore: the page names what sessions ask for, and until when
// they were answered.
func TestNoPathTellsOfBefore(t *testing.T) {
	w := base()
	w.apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: w.route.ID, Transport: "socketio", Client: affinity.ClientBrowser, Path: "/socket.io/"}})
	lost := func() string {
		w.fail("s01", affinity.FailureRefused, 0, "connection refused")
		w.apply(affinity.PathChecked{Route: w.route.ID, Steps: []affinity.PathStep{{Name: "TCP", Status: affinity.StepFailed, Detail: "connection refused"}}})
		return text(sized(w.options(), 100, 30))
	}
	if got := lost(); strings.Contains(got, "answered before") || !strings.Contains(got, "UNREACHABLE FROM HERE https://chat.example.com/socket.io/ ") {
		t.Errorf("never answered:\n%s", got)
	}
	w.answer("s01", podA, true, time.Millisecond)
	at := w.now
	for range affinity.MaxExchanges + 1 {
		w.now = w.now.Add(time.Second)
		w.fail("s01", affinity.FailureRefused, 0, "connection refused")
	}
	want := "1 of 1 answered before, last heard at " + at.UTC().Format("15:04:05")
	if got := lost(); !strings.Contains(got, want) || !strings.Contains(got, exactly(w.now.Sub(at))+" ago") {
		t.Errorf("no %q:\n%s", want, got)
	}
}
