package report

import (
	"encoding/json"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Watch writes sessions as they change: one JSON object on a line, or one row.
type Watch struct {
	Options
	Format string // "json", "wide", "name" or ""

	seen   map[affinity.SessionID]mark
	header bool
}

// mark is what a session's line said last; a line is written when it differs.
type mark struct {
	state    string
	pod      affinity.PodRef
	requests int
	moves    int
	held     string // how the held connection stands
	polls    bool   // on, without the WebSocket that it asked for
}

// Write prints what changed since the last call. With Format json every
// request is a line, so that a reader misses nothing that is counted; tables
// get a line for each change of state or pod, and for a WebSocket that is refused.
func (w *Watch) Write(out io.Writer, s *affinity.Snapshot) error {
	if w.seen == nil {
		w.seen = map[affinity.SessionID]mark{}
	}
	for _, x := range s.Sessions {
		if !w.wants(x.Spec.Route) {
			continue
		}
		condition, _ := x.Condition(s.At)
		now := mark{state: condition.String(), pod: x.Pod, moves: x.MoveCount, polls: x.NoWebSocket() != ""}
		if w.Format == "json" {
			now.requests = x.Requests
			if h := x.Socket; h != nil {
				now.held = fmt.Sprint(h.Protocol, h.Carrier, h.Joined, h.Ended != nil)
			}
		}
		if old, ok := w.seen[x.Spec.ID]; ok && old == now {
			continue
		}
		w.seen[x.Spec.ID] = now
		if err := w.line(out, NewSession(s, x, w.Options)); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watch) line(out io.Writer, x Session) error {
	switch w.Format {
	case "json":
		x.TypeMeta = metav1.TypeMeta{APIVersion: APIVersion, Kind: "Session"}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		return e.Encode(x)
	case "name":
		_, err := fmt.Fprintf(out, "session.stickytop.dev/%s\n", x.Name)
		return err
	}
	const layout = "%-6s %-8s %-13s %-28s %-7s %8s %8s %6s %-8s %s\n"
	if !w.header {
		w.header = true
		if _, err := fmt.Fprintf(out, layout, "NAME", "KIND", "STATE", "POD", "VIA", "REQUESTS", "FAILURES", "MOVES", "LEFT", "DETAIL"); err != nil {
			return err
		}
	}
	row := x.row(false)
	_, err := fmt.Fprintf(out, layout, row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], x.Detail)
	return err
}
