package ui

import (
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// shortFuse is the part of a timer below which it is called short.
const shortFuse = 0.2

// sign is one character for what traffic does to a timer.
func sign(r affinity.Renewal) string {
	return [...]string{affinity.RenewalUnknown: "?", affinity.RenewalAbsolute: "!", affinity.RenewalSliding: "~", affinity.RenewalSession: " "}[r]
}

// remaining shows what a timer has left; ≈ before it says that the timer is
// modelled from configuration, not seen.
func remaining(t affinity.Timer, now time.Time) string {
	text := left(max(0, t.Deadline.Sub(now)))
	if !t.Seen {
		return "≈" + text
	}
	return text
}

// nextFirst orders timers as they will end the session; those that do not run
// follow as they came.
func nextFirst(timers []affinity.Timer, now time.Time) []affinity.Timer {
	out := slices.Clone(timers)
	slices.SortStableFunc(out, func(a, b affinity.Timer) int {
		ra, rb := a.Running(now), b.Running(now)
		switch {
		case ra && rb:
			return a.Deadline.Compare(b.Deadline)
		case ra:
			return -1
		case rb:
			return 1
		}
		return 0
	})
	return out
}

// fraction is what t has left of its whole, in [0, 1], and whether that is
// known.
func fraction(t affinity.Timer, now time.Time) (float64, bool) {
	if t.Total <= 0 || t.Deadline.IsZero() {
		return 0, false
	}
	return min(1, max(0, float64(t.Deadline.Sub(now))/float64(t.Total))), true
}

// eighths are the blocks that fill part of a cell.
var eighths = [...]string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// bar returns w cells of which f are filled: with full blocks, to an eighth of
// a cell, or, for what traffic refills, with shaded ones.
func bar(f float64, w int, refills bool) string {
	if w <= 0 {
		return ""
	}
	n := int(f*float64(w)*8 + 0.5)
	if refills {
		n = (n + 4) / 8
		return strings.Repeat("▒", n) + strings.Repeat("░", w-n)
	}
	whole, part := n/8, n%8
	if part == 0 {
		return strings.Repeat("█", whole) + strings.Repeat("░", w-whole)
	}
	return strings.Repeat("█", whole) + eighths[part] + strings.Repeat("░", w-whole-1)
}

// fuseText says in one line which timer ends s first, without a bar.
func fuseText(s *affinity.Session, now time.Time) string {
	if t, ok := s.Fuse(now); ok {
		return string(t.Letter) + sign(t.Renewal) + " " + remaining(t, now)
	}
	return noFuse(s)
}

// noFuse says why no timer runs.
func noFuse(s *affinity.Session) string {
	if !s.ClosedAt.IsZero() {
		return "ended"
	}
	for _, t := range s.Timers {
		if t.Renewal == affinity.RenewalSession && t.Bypassed == "" {
			return string(t.Letter) + " browser-session"
		}
	}
	return "—"
}

// drawFuse draws the fuse of s into w cells.
func drawFuse(a area, x, y, w int, s *affinity.Session, now time.Time) {
	t, ok := s.Fuse(now)
	if !ok {
		a.clip(x, y, w, muted, noFuse(s))
		return
	}
	st := plain
	f, known := fraction(t, now)
	if known && f < shortFuse {
		st = warn
	}
	text := remaining(t, now)
	a.clip(x, y, w, st, string(t.Letter)+sign(t.Renewal))
	end := x + w
	if width := w - 3 - 7; known && width >= 3 {
		a.clip(x+3, y, width, st, bar(f, width, t.Renewal == affinity.RenewalSliding))
	} else {
		end = min(end, x+3+cells(text))
	}
	a.sub(0, y, end, 1).right(end, 0, st, text)
}
