package ui

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// lanes draws the last ten minutes, one line for every actor, all to one
// scale, so that what happened together stands together.
type lanes struct {
	area
	d *data
	x int // first column of the scale
	w int
}

const laneName = 8

// listLines is what the list of events has beside its rows: titles, the count.
const listLines = 2

// drawLanes draws the lanes on top of a and returns how many lines they took.
func drawLanes(a area, d *data, p *eventsPanel) int {
	if a.h < 12 {
		return 0
	}
	room := a.h / 2
	if d.class < classM { // where nothing else stands under the list, it need not have what it does not fill
		room = max(room, a.h-listLines-len(p.rows))
	}
	l := lanes{area: a, d: d, x: laneName, w: a.w - laneName - 2}
	if d.class >= classM {
		l.w -= 18
	}
	a.put(1, 0, strong, "LANES")
	a.put(l.x, 0, plain, "10m ago")
	a.right(l.x+l.w, 0, plain, "now")
	l.cluster(1)
	y := 2
	shown, more := fitLanes(d, lanePods(d), room-y-3)
	for _, s := range shown {
		l.pod(y, s)
		y++
	}
	if more != "" {
		const ago, now = len("10m ago  "), len("  now")
		a.clip(l.x+ago, 0, l.w-ago-now, plain, more)
	}
	h, ok := p.happening()
	if s := d.session(h.Session); s != nil {
		l.session(y, s)
		y++
	}
	a.put(1, y, plain, "errors")
	spark(a, l.x, y, l.w, broken, d.hist.failures[:])
	y++
	if ok {
		if x := l.column(h.At); x >= 0 {
			a.put(l.x+x, y, strong, "▲")
			text := "cursor " + d.clock.format(h.At, d.now) + " "
			if x > len(text) {
				a.right(l.x+x, y, plain, text)
			} else {
				a.put(l.x+x+2, y, plain, text)
			}
		}
	}
	return y + 1
}

// lanePods are the pods that have sessions or could have, and those that went
// away within the scale, by letter.
func lanePods(d *data) []affinity.Share {
	var out []affinity.Share
	for _, s := range d.sum.dist.Shares {
		if s.Tag != "" {
			out = append(out, s)
		}
	}
	for _, p := range d.snap.Pods {
		known := slices.ContainsFunc(out, func(s affinity.Share) bool { return s.Pod == p.Ref })
		if p.Tag != "" && !known && !p.Gone.IsZero() && d.now.Sub(p.Gone) < recent {
			out = append(out, affinity.Share{Pod: p.Ref, Tag: p.Tag})
		}
	}
	slices.SortStableFunc(out, func(a, b affinity.Share) int {
		return cmp.Or(cmp.Compare(len(a.Tag), len(b.Tag)), strings.Compare(a.Tag, b.Tag))
	})
	return out
}

// fitLanes keeps at most n of the pods, in their order: those that went away
// longest ago go first. more says what was left out.
func fitLanes(d *data, all []affinity.Share, n int) (kept []affinity.Share, more string) {
	if len(all) <= n {
		return all, ""
	}
	n = max(n, 0)
	gone := func(s affinity.Share) time.Time {
		p, _ := d.snap.Pod(s.Pod)
		return p.Gone
	}
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b affinity.Share) int {
		switch x, y := gone(a), gone(b); {
		case x.IsZero() && y.IsZero():
			return cmp.Compare(b.Pins, a.Pins)
		case x.IsZero():
			return -1
		case y.IsZero():
			return 1
		default:
			return y.Compare(x)
		}
	})
	tags := make([]string, 0, len(all)-n)
	for _, s := range order[n:] {
		tag := s.Tag
		if !gone(s).IsZero() {
			tag += " gone"
		}
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	kept = slices.DeleteFunc(slices.Clone(all), func(s affinity.Share) bool {
		return !slices.ContainsFunc(order[:n], func(o affinity.Share) bool { return o.Pod == s.Pod })
	})
	return kept, "+ " + plural(len(tags), "pod", "pods") + ": " + strings.Join(tags, ", ")
}

// column is the place of an instant on the scale; negative when it is older.
func (l lanes) column(at time.Time) int {
	since := l.d.now.Sub(at)
	if since > recent {
		return -1
	}
	return min(l.w-1, max(0, l.w-1-int(int64(since)*int64(l.w)/int64(recent))))
}

// mark puts a glyph at an instant, if the scale reaches that far.
func (l lanes) mark(y int, at time.Time, st style, glyph string) {
	if x := l.column(at); x >= 0 {
		l.put(l.x+x, y, st, glyph)
	}
}

// cluster is the lane of everything the API server told.
func (l lanes) cluster(y int) {
	l.put(1, y, plain, "k8s")
	l.fill(l.x, y, l.w, muted, "·")
	for _, h := range l.d.snap.Timeline {
		if h.Source == "probe" {
			continue
		}
		glyph := "◆"
		if h.Kind == "endpoints" {
			glyph = "▼"
		}
		l.mark(y, h.At, levelStyle(h), glyph)
	}
}

// pod is the lane of one pod: where it exists, who came (◂) and who left (▸).
func (l lanes) pod(y int, s affinity.Share) {
	x := l.put(1, y, plain, "pod ")
	l.put(x, y, podStyle(s.Tag), s.Tag)
	pod, _ := l.d.snap.Pod(s.Pod)
	from, to := 0, l.w
	if !pod.Created.IsZero() {
		from = max(0, l.column(pod.Created))
	}
	if !pod.Gone.IsZero() {
		to = l.column(pod.Gone)
	}
	l.fill(l.x, y, l.w, muted, "·")
	st := podStyle(s.Tag)
	l.fill(l.x+from, y, max(0, to-from), st, "─")
	l.readiness(y, pod, from, to)
	for _, h := range l.d.snap.Timeline {
		if h.Kind != "move" {
			continue
		}
		m, ok := l.moveOf(h)
		switch {
		case ok && m.From == s.Pod:
			l.mark(y, h.At, st, "▸")
		case h.Pod == s.Pod:
			l.mark(y, h.At, st, "◂")
		}
	}
	if !pod.Gone.IsZero() {
		l.mark(y, pod.Gone, broken, "╳")
	}
	l.note(y, pod, s)
}

// readiness draws over the columns from to to of a pod's lane when it was not
// ready. How it was before it was seen first nobody knows.
func (l lanes) readiness(y int, pod affinity.Pod, from, to int) {
	for i, turn := range pod.Turns {
		x, end := l.column(turn.At), to
		if i+1 < len(pod.Turns) {
			end = l.column(pod.Turns[i+1].At)
		}
		if i == 0 && !turn.Ready && x > from {
			l.fill(l.x+from, y, x-from, muted, "─")
		}
		if !turn.Ready {
			x = max(x, from)
			l.fill(l.x+x, y, max(1, end-x), warn, "○")
		}
	}
}

func (l lanes) moveOf(h affinity.Happening) (affinity.Move, bool) {
	s := l.d.session(h.Session)
	if s == nil {
		return affinity.Move{}, false
	}
	for i := len(s.Moves) - 1; i >= 0; i-- {
		if s.Moves[i].At.Equal(h.At) {
			return s.Moves[i], true
		}
	}
	return affinity.Move{}, false
}

// note says how a pod is now, where there is room for it.
func (l lanes) note(y int, pod affinity.Pod, s affinity.Share) {
	if l.d.class < classM {
		return
	}
	text := plural(s.Pins, "pin", "pins")
	switch {
	case !pod.Gone.IsZero():
		text = "gone " + l.d.clock.format(pod.Gone, l.d.now)
	case pod.Terminating():
		text += ", draining"
	case !pod.Ready && !pod.NamedOnly:
		text += ", not ready"
	}
	l.put(l.x+l.w+1, y, plain, text)
}

// session is the lane of one session: the pod that answered, × for errors.
func (l lanes) session(y int, s *affinity.Session) {
	l.put(1, y, plain, string(s.Spec.ID))
	var seconds [int(recent / time.Second)]stripCell
	strip(seconds[:], s.Exchanges, l.d.now.Add(-time.Second))
	for i := range l.w {
		from, to := i*len(seconds)/l.w, max((i+1)*len(seconds)/l.w, i*len(seconds)/l.w+1)
		c := silence
		for _, x := range seconds[from:to] {
			if x == failed {
				c = failed
				break
			}
			if x != silence {
				c = x
			}
		}
		l.put(l.x+i, y, c.st, c.glyph)
	}
	if l.d.class >= classM {
		text := plural(s.MoveCount, "move", "moves")
		if s.UnheldCount > 0 {
			text += " " + strconv.Itoa(s.UnheldCount) + " unheld"
		}
		l.put(l.x+l.w+1, y, plain, text)
	}
}
