package ui

import (
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// pause is a screen that stands still while the world goes on.
type pause struct {
	on     bool
	since  time.Time
	looked time.Time // when what is missed was counted last
	seq    uint64    // of the last happening that is shown
	asked  int       // requests until then
	missed string
}

func (p *pause) start(d *data) {
	*p = pause{on: true, since: d.now, seq: lastSeq(d.snap), asked: d.sum.requests, missed: "nothing missed yet"}
}

// look counts what is missed, and reports whether that changed.
func (p *pause) look(fresh *affinity.Snapshot, now time.Time) bool {
	p.looked = now
	moves, other, asked := 0, 0, -p.asked
	for i := len(fresh.Timeline) - 1; i >= 0 && fresh.Timeline[i].Seq > p.seq; i-- {
		if fresh.Timeline[i].Kind == "move" {
			moves++
		} else {
			other++
		}
	}
	for _, s := range fresh.Sessions {
		asked += s.Requests
	}
	var parts []string
	if moves > 0 {
		parts = append(parts, plural(moves, "move", "moves"))
	}
	if other > 0 {
		parts = append(parts, plural(other, "other event", "other events"))
	}
	if asked > 0 {
		parts = append(parts, plural(asked, "request", "requests"))
	}
	text := "nothing missed yet"
	if len(parts) > 0 {
		text = "missed " + strings.Join(parts, ", ")
	}
	was := p.missed
	p.missed = text + " in " + exactly(now.Sub(p.since))
	return p.missed != was
}
