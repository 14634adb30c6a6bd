package ui

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// clockFormat is how instants are shown.
type clockFormat uint8

const (
	clockUTC clockFormat = iota
	clockLocal
	clockAge
	clockFormats
)

func (c clockFormat) String() string { return [...]string{"utc", "local", "age"}[c] }

// format shows at, 8 or 9 cells wide.
func (c clockFormat) format(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "—"
	case c == clockLocal:
		return at.Local().Format("15:04:05")
	case c == clockAge:
		return "-" + age(now.Sub(at))
	}
	return at.UTC().Format("15:04:05")
}

// wall shows the clock of the header.
func (c clockFormat) wall(now time.Time) string {
	if c == clockLocal {
		return now.Local().Format("15:04:05")
	}
	return now.UTC().Format("15:04:05Z")
}

// left shows how long something still runs, at most 6 cells: 0:22, 2:47h, 3d04h.
func left(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%d:%02dh", s/3600, s/60%60)
	case s < 100*24*3600:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
	return fmt.Sprintf("%dd", s/86400)
}

// exactly shows a duration to the second: 2:47:19.
func exactly(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	case s < 48*3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// age shows how old something is in its largest unit: 12s, 5m, 3d.
func age(d time.Duration) string {
	s := int64(max(0, d) / time.Second)
	switch {
	case s < 120:
		return strconv.FormatInt(s, 10) + "s"
	case s < 2*3600:
		return strconv.FormatInt(s/60, 10) + "m"
	case s < 48*3600:
		return strconv.FormatInt(s/3600, 10) + "h"
	}
	return strconv.FormatInt(s/86400, 10) + "d"
}

// millis shows a round trip in milliseconds.
func millis(d time.Duration) string {
	if d <= 0 {
		return "—"
	}
	if d < time.Millisecond {
		return "<1"
	}
	return strconv.FormatInt(int64(d/time.Millisecond), 10)
}

// millisUnit is the same with its unit, which nothing has not.
func millisUnit(d time.Duration) string {
	if d <= 0 {
		return millis(d)
	}
	return millis(d) + "ms"
}

// percent shows part of whole with one digit.
func percent(part, whole int) string {
	if whole == 0 {
		return "—"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + "%"
}

// podName shows a pod's name in w cells. What tells pods apart stands at the
// end of it, so a long one is cut in the middle.
func podName(ref affinity.PodRef, w int) string {
	r := []rune(ref.Name)
	if cells(ref.Name) <= w || len(r) != cells(ref.Name) {
		return ref.Name
	}
	tail := len([]rune(ref.Short())) + 1
	if head := w - 1 - tail; head >= 3 {
		return string(r[:head]) + "…" + string(r[len(r)-tail:])
	}
	return ref.Short()
}

// plural puts n before one or many.
// firstThatFits returns the first of texts, longest first, that w cells hold,
// else the last.
func firstThatFits(w int, texts ...string) string {
	for _, t := range texts {
		if cells(t) <= w {
			return t
		}
	}
	return texts[len(texts)-1]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// conditionStyle is how loud a condition is.
func conditionStyle(c affinity.Condition) style {
	switch c {
	case affinity.RePinned:
		return changed
	case affinity.MovedSilent:
		return silent
	case affinity.Split, affinity.Orphan, affinity.Failing:
		return broken
	case affinity.Cookieless, affinity.NotReturned, affinity.Expired:
		return warn
	case affinity.Waiting, affinity.Closed:
		return muted
	}
	return plain
}

// conditionMark is the glyph behind a condition that needs a look.
func conditionMark(c affinity.Condition) string {
	switch c {
	case affinity.Split:
		return " ▲"
	case affinity.Orphan, affinity.Failing:
		return " ✗"
	}
	return ""
}

// podGlyph says in one cell how a pod is.
func podGlyph(p affinity.Pod, known, stale bool) (string, style) {
	switch {
	case stale && !p.NamedOnly:
		return "?", muted
	case !known || p.NamedOnly:
		return "?", plain
	case !p.Gone.IsZero():
		return "✗", broken
	case p.Terminating():
		return "◐", warn
	case p.Ready:
		return "●", plain
	case p.Reason != "" || p.Phase == "Failed":
		return "✗", broken
	}
	return "○", warn
}

// endpointGlyph is podGlyph for a pod as its Service sees it: one that is ready
// but not a ready endpoint gets no traffic.
func endpointGlyph(p affinity.Pod, known, stale bool, s affinity.Share) (string, style) {
	glyph, st := podGlyph(p, known, stale)
	if glyph == "●" && !s.Ready {
		return "○", warn
	}
	return glyph, st
}

// tagCell is a pod's tag in one cell: its letter, or + from the 53rd pod on.
func tagCell(tag string) string {
	if len(tag) == 1 {
		return tag
	}
	return "+"
}
