package ui

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// drawPath draws clients ─▶ ingress ──▶ service ── pods in one row.
func (p *topoPanel) drawPath(a area, d *data, focused bool) {
	r := d.route()
	box1 := max(18, min(30, a.w*23/100))
	box2 := max(19, min(30, a.w*24/100))
	x1 := 13
	if a.w < 76 { // the clients are one number, which the header has too
		x1 = 1
	}
	x2 := x1 + box1 + 3
	pods := x2 + box2 + 2
	if focused {
		a.put(0, 0, strong, ">")
	}
	service := "SERVICE"
	if n := len(r.Branches()); n > 0 && branchRows(r, a.h-7) == 0 {
		service = fmt.Sprintf("SERVICE +%d more", n)
		if n == 1 {
			service = "SERVICE +" + branchNames(r.Branches())
		}
	}
	for _, h := range []struct {
		x    int
		text string
	}{{x1, "INGRESS"}, {x2, service}, {pods + 1, "PODS"}} {
		a.put(h.x, 0, strong, h.text)
	}
	if since, ok := d.stale(); ok {
		asOf := "as of " + d.clock.format(since, d.now)
		if pods+7+cells(asOf) > a.w-1 {
			asOf = "stale" // the last line says since when
		}
		a.right(a.w-1, 0, warn, asOf)
	} else {
		a.right(a.w-1, 0, strong, "PINS")
	}
	if x1 > 1 {
		a.put(1, 0, strong, "CLIENTS")
		p.drawClients(a.sub(0, 2, 13, min(4, a.h-3)))
	}
	dotted := d.isStale()
	drawLayerBox(a.sub(x1, 1, box1, min(6, a.h-1)), d, r, affinity.LayerIngress, dotted)
	a.put(x1+box1, 3, plain, "──▶")
	drawLayerBox(a.sub(x2, 1, box2, a.h-1), d, r, affinity.LayerService, dotted)
	a.put(x2+box2, 3, plain, "──")
	drawPodTree(a.sub(pods, 1, a.w-pods, a.h-1), d, p.dist)
}

// drawClients counts the sessions of each transport.
func (p *topoPanel) drawClients(a area) {
	names := slices.Sorted(maps.Keys(p.clients))
	if len(names) == 0 {
		a.put(1, 1, muted, "none")
	}
	mid := 1
	for i, n := range names[:min(len(names), a.h)] {
		y := i
		if len(names) == 1 {
			y = mid
		}
		a.clip(1, y, 5, plain, kindShort(n))
		a.right(10, y, plain, strconv.Itoa(p.clients[n]))
		join := "┐"
		switch {
		case y == mid:
			join = "┼"
		case y > mid:
			join = "┘"
		}
		if len(names) > 1 {
			a.put(11, y, plain, join)
		}
	}
	if len(names) < 2 {
		a.put(11, mid, plain, "─")
	}
	a.put(12, mid, plain, "▶")
}

// drawLayerBox draws one layer: what it is, and how it holds clients. One that
// the traffic bypasses says so in the box.
func drawLayerBox(a area, d *data, r affinity.Route, where string, dotted bool) {
	l, ok := r.Layer(where)
	in := a.box("", d.findingMark(r.Namespace, l.Object), dotted)
	if rows := branchRows(r, in.h-4); where == affinity.LayerService && rows > 0 {
		drawBranches(in.sub(0, in.h-rows, in.w, rows), d, r)
		in = in.sub(0, 0, in.w, in.h-rows)
	}
	lines := layerLines(d, r, l, ok, where)
	if len(lines) > in.h && len(lines) > 3 {
		lines = append(lines[:in.h-1:in.h-1], lines[len(lines)-1])
	}
	for y, line := range lines {
		in.put(0, y, line.st, line.text)
	}
	y := min(len(lines), in.h-1)
	switch {
	case ok && l.Bypassed != "":
		in.fill(0, y, in.w, muted, "╌")
		in.put(2, y, muted, " BYPASSED ")
	case ok && where == affinity.LayerService && l.Policy().Mechanism == affinity.MechanismClientIP:
		in.fill(0, y, in.w, plain, "─")
		in.put(2, y, strong, " DECIDES ")
	}
}

func layerLines(d *data, r affinity.Route, l affinity.Layer, known bool, where string) []run {
	var out []run
	if where == affinity.LayerIngress && r.Kind == affinity.RouteService {
		return []run{{strong, "none"}, {plain, "straight to"}, {plain, "the Service"}}
	}
	if where == affinity.LayerIngress {
		name := r.Name
		if r.Kind == affinity.RouteURL {
			name = r.Host
		}
		out = append(out, run{strong, name})
		if c := controllerName(r); c != "" && d.class == classL {
			out = append(out, run{plain, c})
		}
	} else {
		out = append(out, serviceLines(d, r)...)
	}
	if !known {
		if where == affinity.LayerService {
			return out
		}
		return append(out, run{muted, "affinity ?"})
	}
	p := l.Policy()
	st := plain
	if l.Bypassed != "" {
		st = muted
	}
	switch p.Mechanism {
	case affinity.MechanismNone:
		text := "no affinity"
		if where == affinity.LayerIngress {
			st = warn
			text += " ▲"
		} else if why := needsNone(d, r); why != "" {
			text = "needs none: " + why
		}
		return append(out, run{st, text})
	case affinity.MechanismUnknown:
		return append(out, run{muted, "affinity ?"})
	case affinity.MechanismClientIP:
		out = append(out, run{st, "ClientIP " + seconds(p.Timeout)})
		if _, n := d.pinsOnPods(); n > 0 && d.class == classL {
			out = append(out, run{st, plural(n, "address pinned", "addresses pinned")})
		}
		return out
	}
	name := p.Cookie.Name
	if name == "" {
		name = "name not configured"
	}
	mode := p.Mode
	if mode != "" && !l.Settled() {
		mode += "?"
	}
	return append(out, run{st, p.Mechanism.String()}, run{st, name}, run{st, strings.TrimSpace(mode + " " + timeoutText(p))})
}

func serviceLines(d *data, r affinity.Route) []run {
	if r.Kind == affinity.RouteURL && r.Backend.Service.Name == "" {
		return []run{{muted, "no cluster"}, {muted, "pods are what"}, {muted, "responses name"}}
	}
	port := r.Backend.Port
	if port != "" {
		port = ":" + port
	}
	ready, all := 0, 0
	for _, e := range d.snap.RouteEndpoints(r) {
		all++
		if e.Ready {
			ready++
		}
	}
	text, st := fmt.Sprintf("ready %d of %d", ready, all), plain
	switch {
	case d.unread("endpointslices"):
		text, st = "ready ? no right", warn
	case d.isStale():
		text, st = fmt.Sprintf("ready ? (was %d)", ready), warn
	case ready == 0:
		st = broken
	}
	return []run{{strong, r.Backend.Service.Name + port}, {st, text}}
}

func needsNone(d *data, r affinity.Route) string {
	for _, s := range d.snap.Services {
		if s.Ref == r.Backend.Service {
			return s.NeedsNone
		}
	}
	return ""
}

// drawPodTree draws the pods with how many sessions each holds, and the share
// that would be fair.
func drawPodTree(a area, d *data, dist affinity.Distribution) {
	shares := dist.Shares
	rows := a.h - 1
	loose := countedNowhere(dist)
	if loose != "" {
		rows--
	}
	hidden := 0
	if len(shares) > rows {
		hidden = len(shares) - max(rows-1, 0)
		shares = shares[:max(rows-1, 0)]
	}
	name := max(5, min(20, a.w/2-8))
	for y, s := range shares {
		join := "├─ "
		switch {
		case len(shares) == 1 && hidden == 0:
			join = "── "
		case y == 0:
			join = "┌─ "
		case y == len(shares)-1 && hidden == 0:
			join = "└─ "
		}
		a.put(0, y, plain, join)
		drawShare(a.sub(3, y, a.w-3, 1), d, s, name, dist.Fair)
	}
	y := len(shares)
	if hidden > 0 {
		a.put(0, y, plain, "└─ "+strconv.Itoa(hidden)+" more on 3 Pods")
		y++
	}
	if len(dist.Shares) == 0 {
		a.put(0, 2, muted, noPods(d))
	}
	if loose != "" {
		if room := a.w - 5; cells(loose) > room { // the kinds are told apart on 3 Pods
			loose = strings.NewReplacer(" sessions", "", " session", "").Replace(loose)
		}
		a.put(0, y, warn, "   — "+loose)
		y++
	}
	if y < a.h && len(dist.Shares) > 0 {
		a.put(1, a.h-1, muted, "◐ drain ○ start")
	}
	if dist.Fair > 0 && a.w > name+22 {
		a.right(a.w-1, a.h-1, muted, "┆fair")
	}
}

// noPods says that no cluster tells of pods, and which ones sessions name.
func noPods(d *data) string {
	var named []string
	for _, s := range d.snap.Sessions {
		if s.ClosedAt.IsZero() && !s.Pod.IsZero() && !slices.Contains(named, d.podLabel(s.Pod)) {
			named = append(named, d.podLabel(s.Pod))
		}
	}
	switch {
	case len(named) == 0:
		return "no pods known"
	case len(named) > 3:
		return plural(len(named), "pod", "pods") + " named"
	}
	return strings.Join(named, ", ") + " named"
}

// countedNowhere counts the sessions that no pod can be counted for; "" when there
// are none.
func countedNowhere(d affinity.Distribution) string {
	switch {
	case d.None > 0 && d.Orphans > 0:
		return fmt.Sprintf("no pin: %d, orphan: %d", d.None, d.Orphans)
	case d.Orphans > 0:
		return "orphan: " + plural(d.Orphans, "session", "sessions")
	case d.None > 0:
		return "no pin: " + plural(d.None, "session", "sessions")
	}
	return ""
}

// drawShare draws one pod: letter, state, name, sessions, share.
func drawShare(a area, d *data, s affinity.Share, name int, fair float64) {
	pod, known := d.snap.Pod(s.Pod)
	tag := s.Tag
	if tag == "" {
		tag = "·"
	}
	x := a.put(0, 0, podStyle(s.Tag), tag)
	glyph, st := endpointGlyph(pod, known, d.isStale(), s)
	x = a.put(x+1, 0, st, glyph) + 1
	a.clip(x, 0, name, plain, podName(s.Pod, name))
	x += name + 1
	a.right(x+3, 0, plain, strconv.Itoa(s.Pins))
	shareBar(a.sub(x+4, 0, a.w-x-5, 1), s, fair)
}

// shareBar draws a share with a tick where the fair share ends. The scale goes
// to twice the fair share, or to everything.
func shareBar(a area, s affinity.Share, fair float64) {
	if a.w < 4 {
		return
	}
	scale := 1.0
	if fair > 0 {
		scale = min(1, max(2*fair, 0.02))
	}
	if s.Pins == 0 {
		a.put(0, 0, muted, "·")
	} else {
		n := max(1, int(min(1, s.Fraction/scale)*float64(a.w*8)+0.5))
		text := bar(float64(n)/float64(a.w*8), a.w, false)
		for i, r := range []rune(text) {
			if r != '░' {
				a.put(i, 0, podStyle(s.Tag), string(r))
			}
		}
	}
	if fair > 0 && fair < 1 {
		a.put(min(a.w-1, int(fair/scale*float64(a.w))), 0, plain, "┆")
	}
}
