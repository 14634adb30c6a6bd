package ui

import (
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// holdCell is how long an answer stands for a second in which nothing was
// asked. A client that asks once a second, with jitter, misses some seconds of
// the wall clock without ever being silent.
const holdCell = 1500 * time.Millisecond

// stripCell is one second of a pin strip.
type stripCell struct {
	glyph string
	st    style
}

var (
	silence = stripCell{"·", muted}
	waiting = stripCell{"…", warn}
	failed  = stripCell{"×", broken}
)

// strip fills out with one cell per second, the last of them for the second
// that starts at end: the letter of the pod that answered last, × when a
// request failed, … while one had no answer yet, · when none was made.
func strip(out []stripCell, exchanges []affinity.Exchange, end time.Time) {
	for i := range out {
		out[i] = stripCell{}
	}
	first := end.Unix() - int64(len(out)) + 1
	for n := len(exchanges) - 1; n >= 0; n-- {
		x := exchanges[n]
		i := int(x.At.Unix() - first)
		if i < 0 {
			break
		}
		if i >= len(out) || out[i] == failed {
			continue
		}
		switch {
		case x.Failure != "":
			out[i] = failed
		case out[i].glyph == "":
			out[i] = answered(x)
		}
		// The second after it, when nothing was asked then.
		if i+1 < len(out) && out[i+1].glyph == "" && time.Unix(first+int64(i)+2, 0).Sub(x.At) <= holdCell {
			out[i+1] = out[i]
		}
	}
	for n := len(exchanges) - 1; n >= 0 && exchanges[n].At.Unix() >= first; n-- {
		if x := exchanges[n]; x.Took > slow && x.Leg == "" { // a long poll waits for news
			await(out, x.At.Add(-x.Took), x.At, first)
		}
	}
	for i := range out {
		if out[i].glyph == "" {
			out[i] = silence
		}
	}
}

// slow is how long an answer takes that a strip shows the waiting for.
const slow = holdCell

// await fills the empty seconds from one instant to another, of which the first
// of out is the second first.
func await(out []stripCell, from, to time.Time, first int64) {
	for i := max(0, from.Unix()-first); i < int64(len(out)) && first+i <= to.Unix(); i++ {
		if out[i].glyph == "" || out[i] == silence {
			out[i] = waiting
		}
	}
}

// waits fills the seconds since the request was sent that s has no answer to.
func waits(out []stripCell, s *affinity.Session, end time.Time) {
	if !s.Awaiting.IsZero() {
		await(out, s.Awaiting, end, end.Unix()-int64(len(out))+1)
	}
}

func answered(x affinity.Exchange) stripCell {
	if x.Tag == "" {
		return stripCell{"?", plain}
	}
	return stripCell{tagCell(x.Tag), podStyle(x.Tag)}
}

// drawStrip draws the w seconds before now.
func drawStrip(a area, x, y, w int, s *affinity.Session, now time.Time) {
	var room [600]stripCell
	out := room[:min(max(w, 0), len(room))]
	strip(out, s.Exchanges, now.Add(-time.Second))
	holdStrip(out, s, now.Add(-time.Second))
	waits(out, s, now.Add(-time.Second))
	for i, c := range out {
		a.put(x+i, y, c.st, c.glyph)
	}
}
