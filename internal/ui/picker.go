package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// pickerPanel is the choice of an ingress, when the user named none.
type pickerPanel struct {
	table[string]
	filterLine
	objects map[string]pickable
	rev     uint64 // of the data they were made from
	made    string // and the filter
}

// pickable is one object that can be probed, with all its routes.
type pickable struct {
	target affinity.Target
	routes []affinity.Route
}

var pickerFields = []string{"namespace", "name", "host", "class"}

func (p pickable) text() string {
	text := p.target.Namespace + " " + p.target.String()
	for _, r := range p.routes {
		text += " " + r.Host + r.Path + " " + r.Class
	}
	return text
}

func (p pickable) field(name string) field {
	switch name {
	case "namespace":
		return words(p.target.Namespace)
	case "name":
		return words(p.target.Name)
	}
	var all []string
	for _, r := range p.routes {
		if name == "host" {
			all = append(all, r.Host)
		} else {
			all = append(all, r.Class)
		}
	}
	return words(all...)
}

func (p *pickerPanel) refresh(d *data) {
	if p.rev == d.rev && p.made == p.input {
		return
	}
	p.rev, p.made = d.rev, p.input
	p.objects = map[string]pickable{}
	for _, r := range d.snap.Routes {
		if r.Kind == affinity.RouteURL {
			continue
		}
		key := r.Kind + " " + r.Namespace + " " + r.Name
		o := p.objects[key]
		o.target = affinity.Target{Kind: strings.ToLower(r.Kind), Namespace: r.Namespace, Name: r.Name}
		o.routes = append(o.routes, r)
		p.objects[key] = o
	}
	rows := make([]string, 0, len(p.objects))
	for key, o := range p.objects {
		if p.match == nil || p.match.match(o) {
			rows = append(rows, key)
		}
	}
	slices.SortFunc(rows, func(a, b string) int {
		x, y := p.objects[a].target, p.objects[b].target
		return strings.Compare(x.Namespace+" "+x.Name+" "+x.Kind, y.Namespace+" "+y.Name+" "+y.Kind)
	})
	p.set(rows)
}

// choices is how many objects there are.
func (p *pickerPanel) choices() int { return len(p.objects) }

func (p *pickerPanel) target(*data) (affinity.Target, bool) {
	key, ok := p.selected()
	return p.objects[key].target, ok
}

func (p *pickerPanel) draw(a area, d *data) {
	if len(p.objects) == 0 {
		drawNothing(a, d)
		return
	}
	y := 0
	if a.h > 8 {
		a.put(2, 1, strong, "Which one?")
		a.put(14, 1, plain, firstThatFits(a.w-14, "Nothing is probed before you choose. enter opens sessions on it.", "Nothing is probed before you choose."))
		or := "or  " + d.opt.Title + " ing/NAME"
		a.put(2, a.h-1, muted, firstThatFits(a.w-2, or+"   or  "+d.opt.Title+" --url https://host/path", or+"  or  --url https://host/path", or))
		y = 3
	}
	slots := place([]column{
		{name: "namespace", title: "NAMESPACE", min: 9, ideal: 12, flex: 1},
		{name: "name", title: "INGRESS", min: 14, ideal: 20, flex: 1},
		{name: "host", title: "HOST", min: 14, ideal: 18, flex: 1, drop: 1},
		{name: "affinity", title: "AFFINITY", min: 12, ideal: 30, flex: 1},
	}, a.w-5)
	body := a.sub(4, y, a.w-5, a.h-y-min(y, 2))
	drawHead(body, slots, -1, "", false)
	from, to := p.window(body.h - 1)
	for i := from; i < to; i++ {
		o := p.objects[p.rows[i]]
		for _, s := range slots {
			body.clip(s.x, 1+i-from, s.w, plain, o.cell(s.name))
		}
		if i == p.at {
			drawCursor(a.sub(0, y, a.w, a.h), 1+i-from, 4)
		}
	}
	if len(p.rows) == 0 {
		body.put(0, 1, plain, "nothing matches; esc clears the filter")
	}
}

func (p pickable) cell(name string) string {
	switch name {
	case "namespace":
		return p.target.Namespace
	case "name":
		return p.target.String()
	case "host":
		var hosts []string
		for _, r := range p.routes {
			host := r.Host
			if host == "" {
				host = "*"
			}
			if !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
		return strings.Join(hosts, " ")
	}
	var all []string
	for _, r := range p.routes {
		if text := shortPolicy(r.Policy()); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}

// drawNothing is the screen when there is nothing to probe.
func drawNothing(a area, d *data) {
	if unknown := d.snap.Unknown(); len(unknown) > 0 {
		drawUnread(a, d, unknown)
		return
	}
	ns := d.opt.Namespace
	where := `in namespace "` + ns + `"`
	if ns == "" {
		where = "in any namespace that may be read"
	}
	if d.opt.Selector != "" {
		where += " that -l " + affinity.Clean(d.opt.Selector, 120) + " selects"
	}
	text := "No Ingress found " + where + "."
	if !d.target.IsZero() {
		text = "No route leads to " + affinity.Clean(d.target.String(), 60) + " " + where + "."
	}
	y := 1
	for _, line := range wrap(text, a.w-4) {
		a.put(2, y, strong, line)
		y++
	}
	for _, line := range wrap(unrouted(d), a.w-4) {
		a.put(2, y, plain, line)
		y++
	}
	tries := triesElsewhere(d.opt.Title)
	y = drawLookedFor(a, d, y+1, len(tries)+3)
	for _, line := range tries {
		a.put(2, y, plain, line)
		y++
	}
	a.put(2, y+1, muted, "This screen fills in by itself when an Ingress appears.")
}

func triesElsewhere(title string) []string {
	return []string{
		"Try  " + title + " -n NAMESPACE             another namespace",
		"     " + title + " -A                       all of them",
		"     " + title + " --url https://host/path  probe without Kubernetes",
		"     " + title + " demo                     a world built in",
	}
}

// drawLookedFor lists from line y what was looked for and how much of it was
// found, leaves the last lines alone, and returns the line after it and a blank.
func drawLookedFor(a area, d *data, y, keep int) int {
	a.put(2, y, plain, "Looked for")
	a.put(28, y, plain, "found")
	shown, absent := installed(d.snap.Sources)
	room := max(2, a.h-keep-y-1)
	if a.h < 16 && keep > 0 { // they have no room either way
		room = len(shown)
	}
	for i, s := range shown {
		y++
		if i == room-1 && len(shown) > room {
			a.put(2, y, muted, fmt.Sprintf("and %d more (A)", len(shown)-i))
			break
		}
		a.put(2, y, plain, s.Name)
		switch {
		case s.State == affinity.SourceStale && s.Unread:
			a.put(28, y, warn, "unknown")
		case s.State == affinity.SourceLive, s.State == affinity.SourceStale:
			a.put(28, y, plain, plural(s.Objects, "object", "objects"))
		default:
			a.put(28, y, warn, s.State.String())
			a.put(40, y, plain, s.Detail)
		}
	}
	y += 2
	if lines := absentLines(a, absent); len(lines) > 0 && y+len(lines)+keep <= a.h {
		y += drawAbsent(a, y-1, absent)
	}
	return y
}

// drawUnread is the screen while the API server is out of reach and has not been
// read before: nothing is known to be there, nor not to be.
func drawUnread(a area, d *data, unknown []affinity.SourceStatus) {
	gap := 1
	if a.h < 12 {
		gap = 0
	}
	y := gap
	say := func(st style, text string) {
		for _, line := range wrap(text, a.w-4) {
			a.put(2, y, st, line)
			y++
		}
	}
	say(broken, unreadWhy(d, unknown))
	what := "What can be probed"
	if !d.target.IsZero() {
		what = "What leads to " + affinity.Clean(d.target.String(), 60)
	}
	say(plain, what+" is not known before that is read. "+tryingAgain(d, unknown)+" R asks now.")
	y += gap
	head := "Try  "
	for _, t := range []suggestion{
		{"kubectl cluster-info", "the address, a VPN, the credentials"},
		{d.opt.Title + " --context NAME", "another cluster"},
		{d.opt.Title + " --url https://host/path", "probe without Kubernetes"},
	} {
		line := head + pad(t.flag, cells(d.opt.Title)+26) + t.does
		a.put(2, y, plain, firstThatFits(a.w-3, line, head+t.flag))
		head = "     "
		y++
	}
	drawLookedFor(a, d, y+gap, 0)
}

// unreadWhy says why nothing could be read, of most of the sources.
func unreadWhy(d *data, unknown []affinity.SourceStatus) string {
	why, server := cmp.Or(staleWhy(d), unknown[0].Detail), "the API server"
	if d.opt.Server != "" {
		server += " " + affinity.Clean(d.opt.Server, 80)
	}
	for _, s := range unknown {
		if s.Detail == why && !s.Unreached {
			return "Could not read " + s.Name + " from " + server + ": " + why
		}
	}
	return "Cannot reach " + server + ": " + strings.TrimPrefix(why, "no answer from the API server: ")
}

// tryingAgain says when the next attempt is.
func tryingAgain(d *data, unknown []affinity.SourceStatus) string {
	var next time.Time
	for _, s := range unknown {
		if !s.Retry.IsZero() && (next.IsZero() || s.Retry.Before(next)) {
			next = s.Retry
		}
	}
	if left := next.Sub(d.now); !next.IsZero() && left > 0 {
		return "It is tried again in " + exactly(left) + " and on."
	}
	return "It is tried again and again."
}

// unrouted says of a Service that was named, and that nothing leads to, how its
// clients are held; "" of anything else.
func unrouted(d *data) string {
	s := d.snap.Named(d.target)
	if s == nil {
		return ""
	}
	clientIP := s.Policy.Mechanism == affinity.MechanismClientIP
	switch {
	case s.NeedsNone != "":
		return "It needs no affinity: " + s.NeedsNone + "."
	case clientIP:
		return "Clients inside the cluster are held by " + timeoutText(s.Policy) + " of ClientIP (6 ClientIP; --from local asks it itself)."
	}
	return "Nothing holds its clients: sessionAffinity is not ClientIP."
}
