package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func (p *clientIPPanel) columns(c class) []column {
	if c == classXS {
		return []column{{name: "address", title: "ADDRESS", min: 15, ideal: 15}, {name: "pod", title: "POD", min: 6, ideal: 7},
			{name: "fuse", title: "FUSE", min: 9, ideal: 9}, {name: "state", title: "STATE", min: 8, ideal: 8, drop: 1}}
	}
	all := []column{
		{name: "address", title: "ADDRESS", min: 15, ideal: 15},
		{name: "who", title: "WHO", min: 7, ideal: 9, drop: 2},
		{name: "node", title: "NODE", min: 6, ideal: 6, drop: 3},
		{name: "service", title: "SERVICE", min: 10, ideal: 10, drop: 1, flex: 1},
		{name: "pod", title: "POD", min: 7, ideal: 9},
		{name: "fuse", title: "FUSE", min: 12, ideal: 13},
		{name: "source", title: "SRC", min: 4, ideal: 4},
	}
	if c >= classM {
		for i, ideal := range []int{20, 24, 12, 18, 20, 20, 7} {
			all[i].ideal = ideal
		}
		all = append(all, column{name: "since", title: "SINCE", min: 9, ideal: 9, drop: 4})
	}
	return append(all, column{name: "state", title: "STATE", min: 8, ideal: 8})
}

func (p *clientIPPanel) draw(a area, d *data) {
	r, ok := p.selected()
	if ok {
		r = r.now(d)
	}
	switch {
	case ok && p.full:
		p.drawPin(a.sub(1, 0, a.w-2, a.h), d, r)
		return
	case len(p.rows) == 0:
		p.drawEmpty(a, d)
		return
	}
	below := 0
	switch {
	case d.class >= classM && a.h >= 18:
		below = 9
	case d.class == classS && a.h >= 16:
		below = 7
	}
	rows := a.h - 2 - below
	if d.class == classXS {
		rows++
	}
	p.drawList(a, d, rows)
	if d.class == classXS {
		return
	}
	p.drawLegend(a, d, a.h-1-below)
	if below == 0 {
		return
	}
	low := a.sub(0, a.h-below, a.w, below)
	if d.class >= classM {
		half := a.w / 2
		p.drawPin(low.sub(0, 0, half, below).box("Pin "+r.Client.String(), "enter more", false), d, r)
		p.drawFills(low.sub(half, 0, a.w-half, below).box("How full the nodes' lists are", "", false), d)
		return
	}
	low.fill(1, 0, a.w-2, muted, "─")
	p.drawShort(low.sub(1, 1, a.w-2, 2), d, r)
	p.drawFills(low.sub(1, 3, a.w-2, below-3), d)
}

func (p *clientIPPanel) drawList(a area, d *data, rows int) {
	gutter := cursorGutter
	if d.class == classXS {
		gutter = 1
	}
	slots := place(p.columns(d.class), a.w-gutter-1)
	p.col = min(max(p.col, 0), len(slots)-1)
	body := a.sub(gutter, 0, a.w-gutter, a.h)
	drawHead(body, slots, p.col, cmp.Or(p.sortBy, "service"), p.down)
	from, to := p.window(rows)
	for i := from; i < to; i++ {
		y, r := 1+i-from, p.rows[i].now(d)
		for _, s := range slots {
			p.drawCell(body.sub(s.x, y, s.w, 1), d, r, s)
		}
		if i == p.at {
			drawCursor(a, y, gutter)
		}
	}
}

func (p *clientIPPanel) drawCell(a area, d *data, r pinRow, s slot) {
	switch s.name {
	case "fuse":
		drawPinFuse(a, d, r)
	case "pod":
		drawPinPod(a, d, r)
	case "state":
		word, st := pinState(r, d.now)
		a.put(0, 0, st, word)
	case "source":
		text := r.Source.String()
		if a.w < 7 {
			text = [...]string{affinity.DeadlineAssumed: "≈", affinity.DeadlineDerived: "own", affinity.DeadlineKernel: "kern"}[r.Source]
		}
		a.put(0, 0, plain, text)
	case "who":
		st := plain
		if p.who(r).Shared() {
			st = warn
		}
		a.put(0, 0, st, p.text(d, r, s.name))
	default:
		a.put(0, 0, plain, p.text(d, r, s.name))
	}
}

// drawPinFuse draws what a pin has left of its time.
func drawPinFuse(a area, d *data, r pinRow) {
	left1, ok := r.Remaining(d.now)
	if !ok || r.end != nil {
		a.put(0, 0, muted, "—")
		return
	}
	text, st := left(left1), plain
	f := 0.0
	if r.Timeout > 0 {
		f = min(1, float64(left1)/float64(r.Timeout))
		if f < shortFuse {
			st = warn
		}
	}
	a.put(0, 0, st, sign(r.Renewal))
	if w := a.w - 2 - 7; w >= 3 && r.Timeout > 0 {
		a.put(2, 0, st, bar(f, w, r.Renewal == affinity.RenewalSliding))
	}
	a.right(a.w, 0, st, text)
}

// drawPinPod draws the pod of a pin, and how it is when it is not ready.
func drawPinPod(a area, d *data, r pinRow) {
	if r.Pod.IsZero() {
		a.put(0, 0, plain, cmp.Or(r.Endpoint, "not known"))
		return
	}
	pod, known := d.snap.Pod(r.Pod)
	x := 0
	if pod.Tag != "" {
		x = a.put(0, 0, podStyle(pod.Tag), pod.Tag)
		mark, st := podGlyph(pod, known, false)
		if mark == "●" || mark == "?" {
			mark, st = " ", plain
		}
		x = a.put(x, 0, st, mark)
	}
	name := r.Pod.Short()
	if a.w >= 16 {
		name = podName(r.Pod, a.w-x)
	}
	a.put(x, 0, plain, name)
}

// text is the text of a cell, which c copies.
func (p *clientIPPanel) text(d *data, r pinRow, name string) string {
	switch name {
	case "address":
		return r.Client.String()
	case "who":
		return orDash(p.whoText(d, r))
	case "node":
		return r.Node
	case "service":
		return servicePort(r.AddressPin)
	case "pod":
		return cmp.Or(r.Pod.Name, r.Endpoint, "not known")
	case "fuse":
		if l, ok := r.Remaining(d.now); ok && r.end == nil {
			return sign(r.Renewal) + " " + left(l)
		}
		return "—"
	case "source":
		return r.Source.String()
	case "since":
		return sinceText(d, r.AddressPin)
	}
	word, _ := pinState(r, d.now)
	return word
}

// sinceText is since when a pin holds, ≤ that where its beginning was not seen.
func sinceText(d *data, p *affinity.AddressPin) string {
	text := d.clock.format(p.Since, d.now)
	if p.SinceOrBefore {
		text = "≤" + text
	}
	return text
}

// whoText is whose address it is, in as many words as there is room for.
func (p *clientIPPanel) whoText(d *data, r pinRow) string {
	own := p.sessions[r.Client]
	if own == "" || d.class < classM {
		return cmp.Or(own, p.ownerText(d, r))
	}
	return strings.TrimSpace(own + " " + p.ownerText(d, r))
}

func (p *clientIPPanel) ownerText(d *data, r pinRow) string {
	o := p.who(r)
	_, name, _ := strings.Cut(o.Name, "/")
	switch {
	case o.Kind == affinity.OwnerPod && d.class < classM:
		return affinity.PodRef{Name: name}.Short()
	case o.Kind == affinity.OwnerPod:
		return "pod " + name
	case d.class < classM:
		word, _, _ := strings.Cut(o.Kind, " ")
		return word
	case o.Kind == affinity.OwnerIngress:
		return "ing " + name
	case o.Kind == affinity.OwnerAgent:
		return "agent " + name
	}
	return o.String()
}

func (p *clientIPPanel) drawLegend(a area, d *data, y int) {
	text := plural(p.live, "pin", "pins")
	if p.ended > 0 {
		text += fmt.Sprintf(", %d ended in the last minute", p.ended)
	}
	if len(p.rows) > p.height {
		text = fmt.Sprintf("%d-%d of %d, ", p.top+1, min(len(p.rows), p.top+p.height), len(p.rows)) + text
	}
	x := a.put(3, y, plain, text)
	refills := "~ a new connection refills"
	legend := refills
	if a.w >= mediumWidth {
		legend += "   kernel: read there  derived: from own connections  assumed: what it rests on is not certain"
	}
	a.put(x+2, y, muted, firstThatFits(a.w-x-2, legend, refills+"  kernel: read there  derived: own connections  assumed: not certain", "~ refills  kernel: read  derived: own  assumed: not certain", refills, "~ refills", ""))
}

// drawShort says in two lines what is known of a pin.
func (p *clientIPPanel) drawShort(a area, d *data, r pinRow) {
	pen := a.pen(0, 0).put(strong, r.Client.String())
	if own := p.sessions[r.Client]; own != "" {
		pen.put(plain, " (session "+own+")")
	}
	if o := p.who(r); o.Name != "" {
		pen.put(plain, " ("+o.String()+")")
	}
	pen.put(plain, " on "+r.Node+" → ").put(plain, d.podLabel(r.Pod)).put(plain, "  "+r.Endpoint)
	text := "since " + d.clock.format(r.Since, d.now)
	if r.SinceOrBefore {
		text += " or before"
	}
	if !r.Renewed.IsZero() && r.Renewed.Sub(r.Since) >= 1e9 {
		text += ", last connection " + d.clock.format(r.Renewed, d.now)
	}
	if r.end != nil {
		text = r.end.Reason.String() + " " + d.clock.format(r.end.At, d.now) + ", " + text
	}
	a.put(0, 1, plain, text+"  "+r.Note)
}

// drawFills draws how full the nodes' lists are, fullest first.
func (p *clientIPPanel) drawFills(a area, d *data) {
	if len(p.fills) == 0 {
		a.put(0, 0, muted, "no node's lists are read")
		return
	}
	for y, l := range p.fills {
		if y >= a.h {
			return
		}
		if y == a.h-1 && len(p.fills) > a.h {
			a.put(0, y, muted, fmt.Sprintf("and %d more lists, less full", len(p.fills)-y))
			return
		}
		drawFill(a.sub(0, y, a.w, 1), d, l)
	}
}

func drawFill(a area, d *data, l affinity.AddressList) {
	a.clip(0, 0, 8, plain, l.Node)
	x := 9 + min(12, max(8, a.w/5))
	a.clip(9, 0, x-10, plain, l.Service.Name+":"+cmp.Or(l.PortName, l.Protocol))
	a.clip(x, 0, 9, plain, cmp.Or(d.podLabel(l.Pod), l.Endpoint))
	x += 10
	text, st := fillText(l), plain
	switch {
	case l.Full():
		st = broken
	case taken(l) >= nearlyFull:
		st = warn
	}
	a.right(a.w, 0, st, text)
	if w := a.w - x - max(cells(text), 16) - 1; w >= 4 && l.Limit > 0 {
		a.put(x, 0, st, bar(taken(l), w, false))
	}
}

// nearlyFull is the part of a list from which on it is called so.
const nearlyFull = 0.8

// fillText says how full a list is, and what happens when it is.
func fillText(l affinity.AddressList) string {
	text := strconv.Itoa(l.Live)
	if l.Expired > 0 {
		text += "+" + strconv.Itoa(l.Expired) + " old"
	}
	if l.Limit > 0 {
		text += " of " + strconv.Itoa(l.Limit)
	}
	switch {
	case l.Full() && l.Evicts:
		text += " ▲ evicts"
	case l.Full():
		text += " ▲ unpinned"
	}
	return text
}

// drawPin draws all that is known of a pin.
func (p *clientIPPanel) drawPin(a area, d *data, r pinRow) {
	y := 0
	say := func(label string, st style, text string) {
		for _, line := range wrap(text, a.w-10) {
			a.put(0, y, strong, label)
			a.put(10, y, st, line)
			label = ""
			y++
		}
	}
	state, st := pinState(r, d.now)
	if r.Shadowed && r.end == nil {
		state += ": an endpoint earlier in the node's rules holds the same client and wins"
	}
	if r.end != nil {
		state += " " + d.clock.format(r.end.At, d.now) + ": " + endText(r.end.Reason)
	}
	address := r.Client.String() + " " + r.Family()
	if own := p.sessions[r.Client]; own != "" {
		address += ", session " + own
	}
	if o := p.who(r); o.Name != "" {
		address += ", " + o.String()
		if o.Shared() {
			address += ": many clients share it"
		}
	}
	say("ADDRESS", plain, address)
	front := ""
	if r.Front != "" {
		front = ", asked as " + r.Front
	}
	say("SERVICE", plain, fmt.Sprintf("%s port %d/%s %s%s", r.Service, r.Port, r.Protocol, r.PortName, front))
	if r.Endpoint == "" {
		say("POD", plain, "not known")
	} else {
		say("POD", plain, d.podLabel(r.Pod)+"  "+r.Endpoint+"  "+podWords(d, r))
	}
	say("STATE", st, state)
	if l, ok := r.Remaining(d.now); ok && r.end == nil {
		f := 0.0
		if r.Timeout > 0 {
			f = min(1, float64(l)/float64(r.Timeout))
		}
		a.put(0, y, strong, "FUSE")
		a.put(10, y, plain, sign(r.Renewal)+" "+bar(f, 12, r.Renewal == affinity.RenewalSliding)+" "+exactly(l)+" of "+exactly(r.Timeout)+", ends "+d.clock.format(r.Expires, d.now))
		y++
	}
	since := d.clock.format(r.Since, d.now)
	if r.SinceOrBefore {
		since += " or before"
	}
	if !r.Renewed.IsZero() {
		since += ", last connection " + d.clock.format(r.Renewed, d.now)
	}
	say("SINCE", plain, since)
	source, plane := sourceText(r.AddressPin), d.snap.PlaneOf(r.Node)
	if d.snap.Dataplane.Differ != "" && plane.Mode != "" {
		source += ", in mode " + plane.Mode
	}
	say("SOURCE", plain, source)
	if r.Note != "" {
		say("NOTE", warn, r.Note)
	}
	if !p.full {
		return
	}
	say("RENEWAL", plain, plane.Semantics())
	say("NODE", plain, r.Node+" alone knows this pin: every node, family and port pins for itself")
	for _, l := range d.snap.AddressLists {
		if l.Node == r.Node && l.Service == r.Service && l.PortName == r.PortName && l.Protocol == r.Protocol && l.Endpoint == r.Endpoint {
			say("LIST", plain, fillText(l)+" in "+l.Name+" ("+l.Mode+")")
		}
	}
	label := "ELSEWHERE"
	for _, x := range p.elsewhere {
		word, _ := pinState(x, d.now)
		say(label, plain, fmt.Sprintf("%s %s → %s  %s  %s", x.Node, servicePort(x.AddressPin), d.podLabel(x.Pod), p.text(d, x, "fuse"), word))
		label = ""
	}
}

func podWords(d *data, r pinRow) string {
	pod, ok := d.snap.Pod(r.Pod)
	switch {
	case !ok:
		return ""
	case !pod.Gone.IsZero():
		return "✗ gone"
	case pod.Terminating():
		return "◐ terminating"
	case !pod.Ready:
		return "○ not ready"
	}
	return "● ready"
}

// endText says what ended a pin, in a sentence.
func endText(r affinity.AddressEndReason) string {
	return [...]string{
		affinity.AddressEndUnknown: "it is not in the node's tables any more; why was not seen",
		affinity.AddressEndExpired: "no new connection came in time",
		affinity.AddressEndEvicted: "the list was full and other addresses came",
		affinity.AddressEndRemoved: "the node dropped the endpoint, and its pins with it",
		affinity.AddressEndUnread:  "the tables are not read any more",
		affinity.AddressEndOff:     "the Service's sessionAffinity is not ClientIP any more",
	}[r]
}

func sourceText(p *affinity.AddressPin) string {
	switch p.Source {
	case affinity.DeadlineKernel:
		return "kernel: read from the tables of " + p.Node
	case affinity.DeadlineDerived:
		return "derived: from stickytop's own connection and the Service's timeout"
	}
	return "assumed: it is not known how the node keeps pins"
}

// drawEmpty says why there is nothing, and how to see something.
func (p *clientIPPanel) drawEmpty(a area, d *data) {
	if p.live+p.ended > 0 {
		a.put(2, 1, plain, p.noMatch("pin"))
		return
	}
	y := 1
	say := func(st style, text string) {
		for _, line := range wrap(text, a.w-4) {
			a.put(2, y, st, line)
			y++
		}
	}
	services := 0
	for _, s := range d.snap.Services {
		if s.Policy.Mechanism == affinity.MechanismClientIP && !s.Headless && s.Type != "ExternalName" && d.snap.Meant(d.target)(s.Ref) {
			services++
		}
	}
	sources := d.kernelSources()
	switch {
	case services > 0 || len(d.snap.Sources) == 0:
	case slices.ContainsFunc(d.snap.Unknown(), func(s affinity.SourceStatus) bool { return s.Name == "services" }):
		say(broken, unreadWhy(d, d.snap.Unknown()))
		say(plain, "Whether a Service here pins by address is not known before that is read. "+tryingAgain(d, d.snap.Unknown()))
		y++
	default:
		say(strong, "No Service here pins by address: none has sessionAffinity: ClientIP.")
		y++
	}
	if len(sources) == 0 {
		if services > 0 {
			say(strong, "No pins by address are known: "+plural(services, "Service has", "Services have")+" ClientIP affinity, no node's tables are read.")
			y++
		}
		say(plain, "kube-proxy keeps pins by address in the kernel of each node, the API does not show them.")
		y++
		say(plain, "stickytop --kernel reads them by an agent on every node, which it makes and removes; it says so first. On a node, --kernel local reads its own, and makes nothing: nftables takes root or CAP_NET_ADMIN, iptables no right at all.")
		return
	}
	for _, s := range sources {
		switch s.State {
		case affinity.SourceLive:
			say(plain, s.Name+" is read ("+s.Detail+"), and holds no client: none has connected within the timeout.")
		case affinity.SourceSyncing:
			say(plain, s.Name+": "+s.Detail)
		default:
			say(warn, s.Name+" is not read: "+s.Detail)
		}
	}
}
