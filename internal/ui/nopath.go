package ui

import (
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// unreachable reports whether a step towards r failed and no session gets an
// answer from it either. An error page is an answer, as is a refusal: the way
// there is open.
func unreachable(d *data, r affinity.Route) bool {
	broken := false
	for _, s := range r.Steps {
		broken = broken || s.Status == affinity.StepFailed
	}
	if !broken {
		return false
	}
	for _, s := range d.snap.Sessions {
		if s.Spec.Route == r.ID && s.ClosedAt.IsZero() && s.Reached() {
			return false
		}
	}
	return true
}

// drawNoPath is the screen of an ingress that cannot be reached from here.
func drawNoPath(a area, d *data) {
	r := d.route()
	target := askedURL(d, r)
	what, tries := "INGRESS", triesOfIngress
	if r.Kind == affinity.RouteService {
		what, tries = "SERVICE", triesOfService
	}
	x := a.put(2, 0, broken, what+" UNREACHABLE FROM HERE")
	if x+3+cells(target) <= a.w {
		a.put(x+3, 0, plain, target)
	} else {
		a.put(2, 1, plain, target)
	}
	y := 2
	for _, s := range r.Steps {
		y = drawStep(a, y, s)
	}
	for _, text := range r.Unheeded {
		for _, line := range wrap("▲ "+text, max(20, a.w-4)) {
			a.put(2, y, warn, line)
			y++
		}
	}
	answering, all, before := 0, 0, 0
	var heard time.Time
	for _, s := range d.snap.Sessions {
		if s.Spec.Route == r.ID && s.ClosedAt.IsZero() {
			all++
			if s.InARow == 0 && s.Requests > 0 {
				answering++
			} else if last := lastHeard(s); !last.IsZero() {
				before++
				if last.After(heard) {
					heard = last
				}
			}
		}
	}
	gap := 1
	if a.h < 12 {
		gap = 0
	}
	y += gap
	a.put(2, y, plain, "sessions "+strconv.Itoa(answering)+" of "+strconv.Itoa(all)+" answered; probes go on, backing off")
	y++
	if before > 0 {
		a.put(2, y, plain, strconv.Itoa(before)+" of "+strconv.Itoa(all)+" answered before, last heard at "+d.clock.format(heard, d.now)+", "+exactly(max(0, d.now.Sub(heard)))+" ago")
		y++
	}
	y += gap
	a.put(2, y, strong, "Try")
	for _, t := range tries {
		if r.Kind == affinity.RouteURL && t.flag == "--via-controller" {
			continue // takes a cluster
		}
		y = drawTry(a, y, t)
	}
}

// lastHeard is when the way to s was last seen to be open: an answer, or a frame
// of a held connection; zero where it never was, as far as is kept.
func lastHeard(s *affinity.Session) time.Time {
	var last time.Time
	if s.Socket != nil {
		last = s.Socket.Heard
	}
	for _, x := range s.Exchanges {
		if x.Failure == "" && x.At.After(last) {
			last = x.At
		}
	}
	for _, e := range s.Evidence {
		switch e.Source {
		case affinity.SourceHeader, affinity.SourceBody, affinity.SourceLog:
			if e.At.After(last) {
				last = e.At
			}
		}
	}
	return last
}

// What to try where an ingress, or a Service itself, does not answer.
var (
	triesOfIngress = []suggestion{
		{"--via-controller", "a port-forward to the controller's pod"},
		{"--resolve HOST:PORT:ADDRESS", "another address for the same name"},
		{"--probe-ca FILE, --probe-insecure", "another trust for the probes"},
		{"--host NAME", "another name in the request"},
	}
	triesOfService = []suggestion{
		{"--url http://NODE:NODEPORT", "another of the Service's front doors"},
		{"--agents 2", "ask from pods of the cluster"},
		{"svc/NAME without --from", "ask by the ingress that leads to it"},
	}
)

// suggestion is something to try, and what it does.
type suggestion struct{ flag, does string }

// drawTry draws t at line y, what it does beside it or else below, and returns
// the line after it.
func drawTry(a area, y int, t suggestion) int {
	x := a.put(8, y, plain, t.flag)
	const beside = 8 + 34
	switch {
	case max(beside, x+1)+cells(t.does) <= a.w:
		a.put(max(beside, x+1), y, plain, t.does)
	case x+2+cells(t.does) <= a.w:
		a.put(x+2, y, plain, t.does)
	default:
		y++
		a.put(10, y, plain, t.does)
	}
	return y + 1
}

func drawStep(a area, y int, s affinity.PathStep) int {
	mark, st, detail := "·", muted, s.Detail
	switch s.Status {
	case affinity.StepOK:
		mark, st = "✓", plain
	case affinity.StepFailed:
		mark, st = "✗", broken
	default:
		if detail == "" {
			detail = "not tried"
		}
	}
	a.put(2, y, st, mark)
	a.clip(4, y, 10, plain, s.Name)
	if s.Took > 0 {
		a.right(a.w-2, y, plain, s.Took.Round(time.Millisecond).String())
	}
	for _, line := range wrap(detail, max(20, a.w-26)) {
		a.put(15, y, st&^muted, line)
		y++
	}
	if detail == "" {
		y++
	}
	return y
}

// drawSync is the screen before the first answers of the API server.
func drawSync(a area, d *data) {
	a.put(2, 1, strong, "First look at the cluster")
	shown, absent := installed(d.snap.Sources)
	for i, s := range shown {
		y := 3 + i
		mark := "◌"
		switch s.State {
		case affinity.SourceLive:
			mark = "✓"
		case affinity.SourceForbidden, affinity.SourceStale:
			mark = "✗"
		case affinity.SourceOff:
			mark = "·"
		}
		a.put(2, y, plain, mark)
		a.clip(4, y, 20, plain, s.Name)
		a.put(25, y, plain, s.State.String())
		if s.Objects > 0 {
			a.put(36, y, plain, plural(s.Objects, "object", "objects"))
		} else {
			a.put(36, y, plain, s.Detail)
		}
	}
	y := 3 + len(shown)
	y += drawAbsent(a, y, absent)
	a.put(2, y+1, muted, "Nothing waits for this: what is known shows at once.")
}

// drawStaleNote explains a screen whose cluster side is out of date.
func drawStaleNote(a area, d *data) {
	lines := staleLines(d, a.w)
	for y, line := range lines[:min(len(lines), a.h)] {
		room := a.sub(0, y, a.w, 1)
		if y == a.h-1 && y < len(lines)-1 {
			room.w = drawMore(a, y, paneKeys)
		}
		pen := room.pen(0, 0)
		for _, r := range line {
			pen.put(r.st, r.text)
		}
	}
}

// staleLines is all that is to say of it, in lines of w cells.
func staleLines(d *data, w int) [][]run {
	since, _ := d.stale()
	out := [][]run{{{broken, " CLUSTER VIEW IS STALE for " + exactly(max(0, d.now.Sub(since))) + "."}}}
	why := staleWhy(d)
	for _, line := range wrap(why, w-2) {
		out = append(out, []run{{broken, " " + line}})
	}
	for _, line := range wrap("Probes still run, so the pins above are live; pod states, ages and causes are as of "+d.clock.format(since, d.now)+
		". Moves during the gap are kept, and explained again when the watch returns.", w-2) {
		out = append(out, []run{{plain, " " + line}})
	}
	out = append(out, nil)
	shown, _ := installed(d.snap.Sources)
	for _, s := range shown {
		mark := run{plain, " ● "}
		if s.State == affinity.SourceStale {
			mark = run{broken, " ✗ "}
		}
		name, retry := pad("watch "+s.Name, 21)+" ", ""
		if s.State == affinity.SourceStale && !s.Retry.IsZero() {
			retry = "  retry in " + exactly(max(0, s.Retry.Sub(d.now)))
		}
		if s.State == affinity.SourceStale && s.Detail == why {
			s.Detail = "" // it stands above
		}
		room := w - 1 - 3 - cells(name) - cells(retry)
		if cells(s.Detail) > room { // what is wrong has lines of its own then
			out = append(out, []run{mark, {plain, name}, {plain, pad("", room) + retry}})
			for _, line := range wrap(s.Detail, w-6) {
				out = append(out, []run{{plain, "     " + line}})
			}
			continue
		}
		out = append(out, []run{mark, {plain, name}, {plain, strings.TrimRight(pad(s.Detail, room)+retry, " ")}})
	}
	return append(out, nil, []run{{plain, " R reconnects now."}})
}
