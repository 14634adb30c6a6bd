package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// podsPanel is the list of the pods behind the routes in scope, with how the
// sessions lie on them.
type podsPanel struct {
	table[affinity.PodRef]
	filterLine
	sortBy string
	down   bool
	shares map[affinity.PodRef]affinity.Share
	made   podsInput
}

// podsInput is what the rows were made from.
type podsInput struct {
	rev    uint64
	filter string
	sortBy string
	down   bool
}

var podFields = []string{"tag", "pod", "node", "phase", "ready", "pins", "restarts", "ip", "owner"}

// podRow is a pod as filters see it.
type podRow struct {
	affinity.Pod
	pins int
}

func (r podRow) text() string {
	return r.Tag + " " + r.Ref.Name + " " + r.Node + " " + r.Phase + " " + r.Reason + " " + r.IP + " " + r.Owner
}

func (r podRow) field(name string) field {
	switch name {
	case "tag":
		return words(r.Tag)
	case "pod":
		return words(r.Ref.Name, r.Ref.Short(), r.Tag)
	case "node":
		return words(r.Node)
	case "phase":
		return words(r.Phase, r.Reason)
	case "ready":
		return words(strconv.FormatBool(r.Ready))
	case "pins":
		return number(r.pins)
	case "restarts":
		return number(r.Restarts)
	case "ip":
		return words(r.IP)
	}
	return words(r.Owner)
}

func (p *podsPanel) refresh(d *data) {
	input := podsInput{d.rev, p.input, p.sortBy, p.down}
	if p.made == input {
		return
	}
	p.made = input
	p.shares = map[affinity.PodRef]affinity.Share{}
	var rows []affinity.PodRef
	for _, s := range d.sum.dist.Shares {
		p.shares[s.Pod] = s
		pod, ok := d.snap.Pod(s.Pod)
		if !ok {
			pod = affinity.Pod{Ref: s.Pod}
		}
		if p.match == nil || p.match.match(podRow{pod, s.Pins}) {
			rows = append(rows, s.Pod)
		}
	}
	slices.SortStableFunc(rows, func(a, b affinity.PodRef) int { return p.compare(d, a, b) })
	if p.down {
		slices.Reverse(rows)
	}
	p.set(rows)
}

// compare orders two pods by the chosen column; without one they are in the
// order of their letters already.
func (p *podsPanel) compare(d *data, a, b affinity.PodRef) int {
	x, _ := d.snap.Pod(a)
	y, _ := d.snap.Pod(b)
	switch p.sortBy {
	case "pod":
		return strings.Compare(a.Name, b.Name)
	case "node":
		return strings.Compare(x.Node, y.Node)
	case "pins", "share":
		return cmp.Compare(p.shares[a].Pins, p.shares[b].Pins)
	case "age":
		return y.Created.Compare(x.Created)
	case "restarts":
		return cmp.Compare(x.Restarts, y.Restarts)
	}
	return 0
}

func (p *podsPanel) columns(c class) []column {
	all := []column{
		{name: "tag", title: "TAG", min: 3, ideal: 4},
		{name: "pod", title: "POD", min: 16, ideal: 28},
	}
	if c >= classM {
		all = append(all, column{name: "node", title: "NODE", min: 8, ideal: 14, drop: 3}, column{name: "ip", title: "IP", min: 12, ideal: 15, drop: 4})
	}
	return append(all,
		column{name: "state", title: "ST", min: 2, ideal: 2},
		column{name: "ready", title: "READY", min: 5, ideal: 5},
		column{name: "age", title: "AGE", min: 4, ideal: 4, drop: 1, right: true},
		column{name: "restarts", title: "RST", min: 3, ideal: 3, drop: 2, right: true},
		column{name: "pins", title: "PINS", min: 4, ideal: 4, right: true},
		column{name: "share", title: "SHARE", min: 10, ideal: 20, flex: 1, drop: 1},
		column{name: "percent", title: "", min: 6, ideal: 6, right: true})
}

func (p *podsPanel) sortByColumn(c class) {
	columns := p.columns(c)
	name := columns[min(max(p.col, 0), len(columns)-1)].name
	if p.sortBy == name {
		p.down = !p.down
		return
	}
	p.sortBy, p.down = name, name == "pins" || name == "share" || name == "restarts"
}

func (p *podsPanel) draw(a area, d *data) {
	if len(p.rows) == 0 {
		p.drawEmpty(a, d)
		return
	}
	slots := place(p.columns(d.class), a.w-cursorGutter-1)
	p.col = min(max(p.col, 0), len(slots)-1)
	body := a.sub(cursorGutter, 0, a.w-cursorGutter, a.h)
	drawHead(body, slots, p.col, p.sortBy, p.down)
	rows := min(len(p.rows), max(3, a.h-11))
	from, to := p.window(rows)
	for i := from; i < to; i++ {
		y := 1 + i - from
		p.drawRow(body.sub(0, y, body.w, 1), d, slots, p.rows[i])
		if i == p.at {
			drawCursor(a, y, cursorGutter)
		}
	}
	y := 1 + to - from
	p.drawFairLine(a.sub(cursorGutter, y, a.w-cursorGutter, 1), d, slots)
	rest := a.sub(0, y+2, a.w, a.h-y-2)
	if d.class < classM && rest.h < 7 {
		drawVerdict(rest.sub(1, 0, rest.w-2, rest.h), d)
		return
	}
	if d.class < classM {
		used := drawKinds(rest.sub(1, 0, rest.w-2, rest.h-4), d)
		drawVerdict(rest.sub(1, used+1, rest.w-2, rest.h-used-1), d)
		return
	}
	half := rest.w / 2
	lower := rest.sub(0, 0, rest.w, min(rest.h, 6))
	drawKinds(lower.sub(0, 0, half, lower.h).box("By kind and pod", "", false), d)
	drawVerdict(lower.sub(half, 0, rest.w-half, lower.h).box("Is it skewed?", "", false), d)
	if ref, ok := p.selected(); ok && rest.h >= lower.h+5 {
		p.drawPod(rest.sub(0, lower.h, rest.w, 5), d, ref)
	}
}

func (p *podsPanel) drawEmpty(a area, d *data) {
	switch {
	case len(d.sum.dist.Shares) > 0:
		a.put(2, 1, plain, p.noMatch("pod"))
	case len(d.scope) == 0:
		drawNothing(a, d)
	case d.route().Kind == affinity.RouteURL:
		a.put(2, 1, plain, "No answer has named a pod.  Behind a URL, pods are what answers name.")
	default:
		a.put(2, 1, broken, "No pods are behind "+d.route().Backend.Service.String()+", or none may be read.")
	}
}

func (p *podsPanel) drawRow(a area, d *data, slots []slot, ref affinity.PodRef) {
	pod, known := d.snap.Pod(ref)
	s := p.shares[ref]
	for _, c := range slots {
		cellArea := a.sub(c.x, 0, c.w, 1)
		switch c.name {
		case "tag":
			cellArea.put(0, 0, podStyle(s.Tag), s.Tag)
		case "state":
			glyph, st := endpointGlyph(pod, known, d.isStale(), s)
			cellArea.put(0, 0, st, glyph)
		case "pod":
			cellArea.put(0, 0, plain, podName(ref, c.w))
		case "share":
			shareBar(cellArea, s, d.sum.dist.Fair)
		default:
			text, st := p.cell(d, pod, s, c.name)
			if c.right {
				cellArea.right(c.w, 0, st, text)
				continue
			}
			cellArea.put(0, 0, st, text)
		}
	}
}

func (p *podsPanel) cell(d *data, pod affinity.Pod, s affinity.Share, name string) (string, style) {
	switch name {
	case "node":
		return pod.Node, plain
	case "ip":
		return pod.IP, plain
	case "ready":
		return podReady(pod)
	case "age":
		if pod.Created.IsZero() {
			return "—", plain
		}
		return age(d.now.Sub(pod.Created)), plain
	case "restarts":
		if pod.NamedOnly || pod.Created.IsZero() { // what the API server says of a pod was not seen
			return "—", plain
		}
		return strconv.Itoa(pod.Restarts), plain
	case "pins":
		return strconv.Itoa(s.Pins), plain
	case "percent":
		return percentOf(s.Fraction), plain
	}
	return "", plain
}

// podReady says in five cells how ready a pod is.
func podReady(pod affinity.Pod) (string, style) {
	switch {
	case !pod.Gone.IsZero():
		return "gone", broken
	case pod.NamedOnly || pod.Total == 0:
		return "—", plain
	}
	st := plain
	if !pod.Ready {
		st = warn
	}
	return fmt.Sprintf("%d/%d", pod.ReadyN, pod.Total), st
}

// drawFairLine draws the sessions that no pod holds, and the fair share.
func (p *podsPanel) drawFairLine(a area, d *data, slots []slot) {
	dist := d.sum.dist
	if n := dist.None + dist.Orphans; n > 0 {
		text := "no pin"
		switch {
		case dist.None == 0:
			text = "orphan"
		case dist.Orphans > 0:
			text = countedNowhere(dist)
		}
		a.put(0, 0, warn, "—    "+text)
		for _, s := range slots {
			if s.name == "pins" {
				a.sub(s.x, 0, s.w, 1).right(s.w, 0, warn, strconv.Itoa(n))
			}
		}
	}
	if dist.Fair > 0 && dist.Total > 0 && a.w >= 50 {
		a.right(a.w-1, 0, muted, "┆ fair share "+percentOf(dist.Fair)+" of "+plural(dist.Total, "session", "sessions"))
	}
}

// drawKinds draws the sessions by transport and pod, and returns its lines.
func drawKinds(a area, d *data) int {
	dist := d.sum.dist
	kinds := map[string]int{}
	for _, s := range dist.Shares {
		for k, n := range s.ByTransport {
			kinds[k] += n
		}
	}
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	const first, width = 13, 6
	shares := dist.Shares[:min(len(dist.Shares), max(0, (a.w-first)/width))]
	a.put(0, 0, strong, "BY KIND")
	for i, s := range shares {
		a.sub(first+i*width, 0, width-1, 1).right(width-1, 0, podStyle(s.Tag), s.Tag)
	}
	y := 1
	for _, k := range names {
		if y >= a.h {
			break
		}
		a.clip(0, y, 6, plain, kindShort(k))
		a.right(11, y, plain, strconv.Itoa(kinds[k]))
		for i, s := range shares {
			a.sub(first+i*width, y, width-1, 1).right(width-1, 0, plain, strconv.Itoa(s.ByTransport[k]))
		}
		y++
	}
	if on, total := d.pinsOnPods(); total > 0 && y < a.h {
		a.put(0, y, plain, "by addr")
		a.right(12, y, plain, strconv.Itoa(total))
		for i, s := range shares {
			a.sub(first+i*width, y, width-1, 1).right(width-1, 0, plain, strconv.Itoa(on[s.Pod]))
		}
		y++
	}
	return y
}

// drawVerdict compares the spread with chance.
func drawVerdict(a area, d *data) {
	s := d.sum.dist
	a.put(0, 0, strong, "SKEW")
	if s.MaxOverMean > 0 {
		a.put(8, 0, plain, fmt.Sprintf("max/mean %.2f   chance alone gives about %.2f", s.MaxOverMean, s.Chance))
		text := fmt.Sprintf("Jain %.2f (1 is even)", s.Jain)
		if !s.Few {
			text += fmt.Sprintf("   chi² %.2f (df %d)   p %.2f", s.ChiSquare, s.DF, s.P)
		}
		a.put(8, 1, plain, text)
		a.put(8, 2, strong, s.Verdict)
		return
	}
	a.put(8, 0, plain, s.Verdict)
}

// drawPod draws what is known of one pod.
func (p *podsPanel) drawPod(a area, d *data, ref affinity.PodRef) {
	pod, known := d.snap.Pod(ref)
	in := a.box("Pod "+d.podLabel(ref), "", d.isStale())
	if !known {
		in.put(0, 0, plain, "nothing but its address is known: pods may not be read")
		return
	}
	in.put(0, 0, plain, fmt.Sprintf("%s  ip %s  node %s  owner %s", pod.Ref, orDash(pod.IP), orDash(pod.Node), orDash(pod.Owner)))
	state := "phase " + orDash(pod.Phase)
	if pod.Reason != "" {
		state += " (" + pod.Reason + ")"
	}
	switch {
	case !pod.Gone.IsZero():
		state += "  gone, last seen " + d.clock.format(pod.Gone, d.now)
	case pod.Terminating():
		state += "  draining, grace ends in " + exactly(max(0, pod.Deletion.Sub(d.now)))
	}
	in.put(0, 1, plain, state)
	x := in.put(0, 2, plain, "sessions  ")
	for _, s := range d.snap.Sessions {
		if s.Pod == ref && s.ClosedAt.IsZero() {
			if x+5 > in.w-1 {
				in.put(x, 2, plain, "…")
				break
			}
			x = in.put(x, 2, plain, string(s.Spec.ID)+" ")
		}
	}
}

func orDash(s string) string {
	if s == "" {
		return "—"
	}
	return s
}
