package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// legOrder are the legs of a held connection that the list of sessions shows,
// in this order, each by one letter.
var legOrder = [...]struct{ name, letter string }{
	{affinity.LegHandshake, "h"}, {affinity.LegConnect, "c"}, {affinity.LegPoll, "p"}, {affinity.LegUpgrade, "u"},
}

// kindText is a session's transport in four cells and, with room, what carries
// it now.
func kindText(s *affinity.Session, wide bool) string {
	text := kindShort(s.Spec.Transport)
	if held := s.Socket; wide && held != nil && s.Spec.Transport == "socketio" {
		text += "/" + map[string]string{affinity.CarrierPolling: "poll", affinity.CarrierWebSocket: "ws"}[held.Carrier]
	}
	return text
}

// kindShort is a transport's name in four cells.
func kindShort(transport string) string {
	if transport == "socketio" {
		return "sio"
	}
	return transport
}

// legPod is the pod of a leg in one cell: its letter, ? when it is not known,
// × when the leg failed.
func legPod(l affinity.Leg) (string, style) {
	switch {
	case l.Failure != "":
		return "×", broken
	case l.Tag == "":
		return "?", plain
	}
	return tagCell(l.Tag), podStyle(l.Tag)
}

// legRuns is where each leg of s went: "AAAA" or, with room, "hA cA pA uB".
func legRuns(s *affinity.Session, wide bool) []run {
	var out []run
	for _, o := range legOrder {
		l, ok := s.Leg(o.name)
		if o.name == affinity.LegConnect && (!ok || l.Failure == "") {
			if post, posted := s.Leg(affinity.LegPost); posted && post.Failure != "" {
				l, ok = post, true
			}
		}
		text, st := "·", muted
		if ok {
			text, st = legPod(l)
		}
		switch {
		case wide && ok:
			out = append(out, run{plain, o.letter}, run{st, text}, run{plain, " "})
		case wide:
		default:
			out = append(out, run{st, text})
		}
	}
	return out
}

func legText(s *affinity.Session) string {
	if len(s.Legs) == 0 {
		return "—"
	}
	text := ""
	for _, r := range legRuns(s, true) {
		text += r.text
	}
	return strings.TrimSpace(text)
}

func drawLegs(a area, s *affinity.Session) {
	if len(s.Legs) == 0 {
		a.put(0, 0, muted, "—")
		return
	}
	p := a.pen(0, 0)
	for _, r := range legRuns(s, a.w >= 15) {
		p.put(r.st, r.text)
	}
}

// roundTrip is what a session's RTT column shows: of the last ping while a
// connection is held, else of the last request.
func roundTrip(s *affinity.Session) time.Duration {
	if held := s.Socket; held != nil && held.Ended == nil && held.RTT > 0 {
		return held.RTT
	}
	return s.LastTook
}

// holdStrip fills the seconds in which nothing was asked because a WebSocket
// was held: its pod had the session all the same. The last of out is the
// second that starts at end.
func holdStrip(out []stripCell, s *affinity.Session, end time.Time) {
	held := s.Socket
	heldBefore(out, s, end)
	l, ok := s.HeldLeg()
	if !ok || l.Tag == "" {
		return
	}
	until, first := end, end.Unix()-int64(len(out))+1
	if held.Ended != nil {
		until = held.Ended.At
	}
	for i := max(0, l.At.Unix()-first); i < int64(len(out)) && first+i <= until.Unix(); i++ {
		if out[i] == silence {
			out[i] = stripCell{tagCell(l.Tag), podStyle(l.Tag)}
		}
	}
	if i := until.Unix() - first; held.Ended != nil && held.Ended.Failed != nil && i >= 0 && i < int64(len(out)) {
		out[i] = failed
	}
}

// heldBefore does so for the connection before the one that is held: it was where
// the last answer before its end came from.
func heldBefore(out []stripCell, s *affinity.Session, end time.Time) {
	was := s.LastEnd
	if was == nil || s.Socket == nil || s.Socket.Ended != nil {
		return
	}
	cell, from := silence, was.At.Add(-was.Lasted)
	for _, x := range s.Exchanges {
		if x.At.After(was.At) {
			break
		}
		if x.Failure == "" && x.Tag != "" && !x.At.Before(from.Add(-x.Took-time.Second)) {
			cell, from = stripCell{tagCell(x.Tag), podStyle(x.Tag)}, x.At
		}
	}
	first := end.Unix() - int64(len(out)) + 1
	for i := max(0, from.Unix()-first); cell != silence && i < int64(len(out)) && first+i <= was.At.Unix(); i++ {
		if out[i] != silence {
			continue
		}
		if out[i] = cell; first+i == was.At.Unix() && was.Failed != nil {
			out[i] = failed
		}
	}
}

// mediumSheet is the width from which the notes of legs stand beside them.
const mediumSheet = 57 + sheetNote

// socket tells how the held connection stands, and each leg of it.
func (t *sheet) socket() {
	held := t.s.Socket
	if held != nil {
		t.add("SOCKET", plain, socketText(held, t.d.now))
	}
	if end := t.s.LastEnd; end != nil {
		name, text, st := "ENDED", socketEndText(end), plain
		if end.Failed != nil {
			st = broken
		}
		if held != nil && held.Ended == nil { // another is held
			name, text, st = "BEFORE", age(t.d.now.Sub(end.At))+" ago "+text, plain
		}
		t.add(name, st, text)
	}
	if len(t.s.Legs) > 0 {
		note := ""
		if t.w >= mediumSheet {
			note = "NOTE" // under the row else
		}
		t.row("LEGS", run{strong, pad("LEG", 10)}, run{strong, pad("POD", 11)}, run{strong, pad("VIA", 5)}, run{strong, pad("HTTP", 5)},
			run{strong, pad("TOOK", 7)}, run{strong, pad("N", 4)}, run{strong, pad("SEEN", 5)}, run{strong, note})
		for _, l := range t.s.Legs {
			t.leg(l)
		}
	}
	if held != nil || len(t.s.Legs) > 0 {
		t.blank()
	}
}

// sentTo is where a log says that a request was sent which no backend answered.
func (t *sheet) sentTo(to *affinity.SentTo) string {
	switch {
	case to == nil:
		return ""
	case to.Pod.IsZero():
		return "; sent to " + affinity.Clean(to.Addr, 60)
	}
	return "; sent to " + t.d.podLabel(to.Pod)
}

func (t *sheet) leg(l affinity.Leg) {
	pod, st := "?", plain
	if !l.Pod.IsZero() {
		pod, st = t.d.podLabel(l.Pod), podStyle(l.Tag)
	}
	note, noteStyle := "", plain
	switch {
	case l.Failure != "":
		note, noteStyle = l.Failure+t.sentTo(l.SentTo), broken
	case !l.Cookie && l.Name != affinity.LegHandshake:
		note = unsent(l.Others, l.Unsure)
	}
	status := "—"
	if l.Status != 0 {
		status = strconv.Itoa(l.Status)
	}
	t.noted("", run{noteStyle, note}, run{plain, pad(l.Name, 10)}, run{st, pad(pod, 11)}, run{plain, pad(l.Source.Via(), 5)}, run{plain, pad(status, 5)},
		run{plain, pad(millisUnit(l.Took), 7)}, run{plain, pad(strconv.Itoa(l.Count), 4)}, run{plain, pad(age(t.d.now.Sub(l.At)), 5)})
}

// socketText is a held connection, or the last, in one line.
func socketText(held *affinity.Socket, now time.Time) string {
	parts := []string{held.Protocol + " by " + held.Carrier}
	if held.Protocol == "" {
		parts[0] = held.Carrier
	}
	switch {
	case held.Ended != nil:
	case held.Joined && held.PingInterval > 0:
		parts = append(parts, "joined")
	case held.Joined:
	case strings.HasPrefix(held.Protocol, "WebSocket"):
		parts = append(parts, "awaits the expected message")
	default:
		parts = append(parts, "not joined")
	}
	if held.Ended == nil {
		parts = append(parts, "held "+exactly(now.Sub(held.Opened)), "heard "+age(now.Sub(held.Heard))+" ago")
	}
	if held.RTT > 0 {
		parts = append(parts, "ping "+millisUnit(held.RTT))
	}
	if held.PingInterval > 0 {
		parts = append(parts, fmt.Sprintf("heartbeat %s+%s", held.PingInterval, held.PingTimeout))
	}
	if held.Idle {
		parts = append(parts, "says nothing (--idle)")
	}
	if held.Note != "" {
		parts = append(parts, held.Note)
	}
	return strings.Join(parts, ", ")
}

// socketEndText is how a connection ended: who, why, after how long.
func socketEndText(end *affinity.SocketEnd) string {
	if end.By == affinity.EndedByUnknown {
		return fmt.Sprintf("after %s, nobody said by whom: %s", exactly(end.Lasted), end.Text)
	}
	who := map[affinity.EndedBy]string{affinity.EndedByClient: "by this client", affinity.EndedByServer: "by the server",
		affinity.EndedByProxy: "by a proxy, in the server's place"}[end.By]
	return fmt.Sprintf("%s after %s: %s", who, exactly(end.Lasted), end.Text)
}
