package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// turnedOn is a route without affinity for ten seconds, in which s01 wanders,
// and then one with it for seconds more.
func turnedOn(more int) (*world, Options) {
	w := base()
	on := w.route
	off := chatRoute()
	off.Layers[0].Candidates = []affinity.Policy{{Why: "no affinity annotation"}}
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{off}})
	w.open("s01", affinity.ClientBrowser)
	w.open("s02", affinity.ClientBrowser)
	for sec := range 10 {
		w.now = start.Add(time.Duration(sec) * time.Second)
		w.answer("s01", []string{podB, podC, podA}[sec/3%3], false, 40*time.Millisecond)
		w.answer("s02", podC, false, 40*time.Millisecond)
	}
	if more > 0 {
		w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{on}})
	}
	for sec := range more {
		w.now = start.Add(time.Duration(10+sec) * time.Second)
		w.answer("s01", podC, sec == 0, 40*time.Millisecond)
		w.answer("s02", podC, sec == 0, 40*time.Millisecond)
	}
	return w, w.options()
}

// text is a frame without its colours, spaces in one.
func text(m *Model) string { return strings.Join(strings.Fields(stripColours(m.View())), " ") }

// TestStuckSaysNoMore: that a session is held says nothing of the changes of
// pod before it was, which its strip shows.
func TestStuckSaysNoMore(t *testing.T) {
	w, o := turnedOn(20)
	for _, width := range []int{80, 140} {
		m := sized(o, width, 40)
		press(m, "2", "enter")
		got := text(m)
		if strings.Contains(got, "last minute") || !strings.Contains(got, "C pq7rw answered every request since 14:00:10Z") {
			t.Errorf("%d wide, %s after the first answer:\n%s", width, w.now.Sub(start), m.View())
		}
	}
}

// TestMovesMeansOne: header, columns, session and Topo count moves and the
// changes that nothing held apart, and alike; HELD counts from the pins on.
func TestMovesMeansOne(t *testing.T) {
	w, o := turnedOn(20)
	unheld := 0
	for _, s := range w.snap().Sessions {
		if s.MoveCount != 0 {
			t.Errorf("%s has %d moves: %+v", s.Spec.ID, s.MoveCount, s.Moves)
		}
		unheld += s.UnheldCount
	}
	if unheld != 4 { // B→C→A→B of s01, and B→C when it is pinned
		t.Errorf("%d changes are unheld, want 4", unheld)
	}
	m := sized(o, 140, 40)
	for keys, wants := range map[string][]string{
		"1": {"moves/10m 0 (0 unexplained, 4 unheld)", " 0 +4 unheld ", "HELD 2/2 100.0% since pinned 14:00:10"},
		"2": {"MOVES UNHELD", "CCC 0 4 C!", "CCC 0 0 C!"},
	} {
		press(m, keys)
		for _, want := range wants {
			if got := text(m); !strings.Contains(got, want) {
				t.Errorf("view %s without %q:\n%s", keys, want, m.View())
			}
		}
	}
	press(m, "2", "enter")
	if want := "moves 0 (4 unheld)"; !strings.Contains(text(m), want) {
		t.Errorf("the session without %q:\n%s", want, m.View())
	}
	m = sized(o, 80, 24)
	for _, want := range []string{"HELD 2/2 sessions kept their pod since pinned 14:00:10", "10m: 0, 4 unheld ▲"} {
		if !strings.Contains(text(m), want) {
			t.Errorf("Topo without %q:\n%s", want, m.View())
		}
	}
}

// TestMovesOfSplit: a cookie that goes back and forth moves every time, which
// the columns and the header count alike.
func TestMovesOfSplit(t *testing.T) {
	w, o := told()
	sum := 0
	for _, s := range w.snap().Sessions {
		sum += s.MoveCount
	}
	if want := fmt.Sprintf("moves/10m %d (", sum); !strings.Contains(text(sized(o, 140, 40)), want) {
		t.Errorf("the columns count %d moves:\n%s", sum, sized(o, 140, 40).View())
	}
}

// TestPinnedWhereAPinIs: what nothing holds is no pin, whatever its state, and
// its changes of pod have no cookie.
func TestPinnedWhereAPinIs(t *testing.T) {
	w, o := turnedOn(0)
	for _, failing := range []bool{false, true} {
		if failing {
			w.fail("s01", affinity.FailureSession, 400, "400 Session ID unknown (code 1)")
			w.fail("s02", affinity.FailureSession, 400, "400 Session ID unknown (code 1)")
		}
		if d := affinity.Distribute(w.snap(), nil); d.Total != 0 || d.None != 2 || d.MaxOverMean != 0 {
			t.Errorf("failing %v: %d pinned, %d not, skew %.2f", failing, d.Total, d.None, d.MaxOverMean)
		}
	}
	m := sized(o, 140, 40)
	press(m, "2", "enter")
	got := text(m)
	if want := "WHY 14:00:09 A→B, unheld, 0 failed: no affinity cookie holds it"; !strings.Contains(got, want) {
		t.Errorf("the session without %q:\n%s", want, m.View())
	}
	if strings.Contains(got, "same cookie") || strings.Contains(got, "pinned") || strings.Contains(got, "PINS") {
		t.Errorf("a cookie or a pin where there is none:\n%s", m.View())
	}
}

// TestCutsAreErrors: a connection that was cut is on every surface that counts
// errors, as it is on the timeline.
func TestCutsAreErrors(t *testing.T) {
	w, o := sockets()
	failed, cuts, requests := 0, 0, 0
	for _, s := range w.snap().Sessions {
		failed, cuts, requests = failed+s.Failures, cuts+s.CutCount, requests+s.Requests
	}
	if failed != 1 || cuts != 1 {
		t.Fatalf("%d failed, %d cut, want one each", failed, cuts)
	}
	m := sized(o, 140, 40)
	for _, want := range []string{"err " + percent(failed+cuts, requests), "█ 2 ││"} {
		if !strings.Contains(text(m), want) {
			t.Errorf("without %q:\n%s", want, m.View())
		}
	}
}

// TestLaneOfReadiness: a pod's lane says when it was not ready, not that it is
// so now.
func TestLaneOfReadiness(t *testing.T) {
	w, o := told()
	ready := func(yes bool) {
		p := w.pods[podB]
		p.Ready = yes
		w.apply(affinity.PodChanged{Pod: p})
	}
	w.now = start.Add(4 * time.Minute)
	ready(false)
	w.now = start.Add(6 * time.Minute)
	ready(true)
	w.now = start.Add(8 * time.Minute)
	ready(false)
	w.now = start.Add(10 * time.Minute)
	m := sized(o, 80, 24)
	press(m, "4")
	_, lane, ok := strings.Cut(stripColours(m.View()), " pod B")
	if !ok {
		t.Fatalf("no lane of B:\n%s", m.View())
	}
	lane, _, _ = strings.Cut(lane, "\n")
	shape := ""
	for _, r := range strings.TrimSpace(lane) {
		if !strings.HasSuffix(shape, string(r)) && r != '◂' && r != '▸' {
			shape += string(r)
		}
	}
	if shape != "─○─○" {
		t.Errorf("the lane is %q, want ready, not, ready, not", lane)
	}
}

// TestOrphanOfAPodThatIsThere: a pod that is not ready is not gone, and its
// sessions are not without a pin.
func TestOrphanOfAPodThatIsThere(t *testing.T) {
	w := base()
	w.open("s01", affinity.ClientBrowser)
	w.answer("s01", podA, true, 40*time.Millisecond)
	p := w.pods[podA]
	p.Ready, p.ReadyN = false, 0
	w.apply(affinity.PodChanged{Pod: p})
	w.eps[0].Ready = false
	w.endpoints()
	for keys, wants := range map[string][2]string{"1": {"— orphan: 1 session", "no pin"}, "2": {"ORPHAN ✗ A○2xkqp", "gone"}, "3": {"— orphan", "no pin"}} {
		m := sized(w.options(), 80, 24)
		press(m, keys)
		if got := text(m); !strings.Contains(got, wants[0]) || strings.Contains(got, wants[1]) {
			t.Errorf("view %s without %q, or with %q:\n%s", keys, wants[0], wants[1], m.View())
		}
	}
	w.remove(podA)
	m := sized(w.options(), 80, 24)
	press(m, "2")
	if !strings.Contains(text(m), "— A gone") {
		t.Errorf("a pod that is gone:\n%s", m.View())
	}
}

// TestOrphansThatFail: that a session is an ORPHAN does not hide that its
// requests fail.
func TestOrphansThatFail(t *testing.T) {
	w := base()
	w.open("s01", affinity.ClientBrowser)
	w.open("s02", affinity.ClientBrowser)
	w.answer("s01", podA, true, 40*time.Millisecond)
	w.answer("s02", podB, true, 40*time.Millisecond)
	w.remove(podA)
	w.fail("s01", affinity.FailureTimeout, 0, "no answer within 5s")
	m := sized(w.options(), 140, 40)
	for _, want := range []string{"▲ FAILING", "ORPHAN 1 (1 failing)", "ORPHAN 1 its pod left the endpoints", "FAILING 1 last request failed", "✗ 1 of 2 sessions get no answer"} {
		if !strings.Contains(text(m), want) {
			t.Errorf("no %q:\n%s", want, m.View())
		}
	}
	press(m, "2", "enter")
	if !strings.Contains(text(m), "1 in a row failed: no answer within 5s") {
		t.Errorf("the session:\n%s", m.View())
	}
}

// TestTopoTellsOfTheReturn: what is said to be lost is said to be back, in the
// same place.
func TestTopoTellsOfTheReturn(t *testing.T) {
	w, o := stale()
	w.now = w.now.Add(time.Second)
	w.sources(affinity.SourceLive, "")
	for _, width := range []int{80, 140} {
		got := text(sized(o, width, 40))
		if !strings.Contains(got, "watch endpointslices, pods back after 43s") {
			t.Errorf("%d wide:\n%s", width, got)
		}
	}
}

// TestNoAnswerIsSaid: an ingress that stopped is no LIVE, and pins that nobody
// has confirmed since are as of the last answer.
func TestNoAnswerIsSaid(t *testing.T) {
	for fails, wants := range map[int][]string{
		1: {"▲ FAILING", "1/2 sessions kept their pod in 21s, 1 failing", "✗ 1 of 2 sessions get no answer, their pins are as of the last:"},
		2: {"✗ FAILING", "HELD 0/2 sessions kept", "✗ 2 of 2 sessions get no answer, their pins are as of the last:"},
	} {
		w := base()
		for _, id := range []string{"s01", "s02"} {
			w.open(id, affinity.ClientBrowser)
			w.answer(id, podA, true, 40*time.Millisecond)
		}
		w.now = w.now.Add(21 * time.Second)
		for _, id := range []string{"s01", "s02"}[:fails] {
			w.fail(id, affinity.FailureRefused, 0, "connection refused")
		}
		m := sized(w.options(), 80, 24)
		for _, want := range wants {
			if !strings.Contains(text(m), want) {
				t.Errorf("%d failing, without %q:\n%s", fails, want, m.View())
			}
		}
	}
}

// TestWaitingIsNoSilence: a request without an answer yet is not a second in
// which nothing was asked.
func TestWaitingIsNoSilence(t *testing.T) {
	w := base()
	w.open("s01", affinity.ClientBrowser)
	w.answer("s01", podA, true, 40*time.Millisecond)
	sent := w.now.Add(time.Second)
	w.now = sent.Add(5 * time.Second)
	m := sized(w.options(), 80, 24)
	press(m, "2")
	if got := text(m); !strings.Contains(got, "A····") {
		t.Errorf("silence:\n%s", m.View())
	}
	w.apply(affinity.Awaiting{Session: "s01", Since: sent})
	for keys, want := range map[string]string{"2": "A…………", "1": "▲ 1 of 1 sessions wait for an answer, the longest for 5s: no error yet"} {
		m = sized(w.options(), 80, 24)
		press(m, keys)
		if !strings.Contains(text(m), want) {
			t.Errorf("view %s without %q:\n%s", keys, want, m.View())
		}
	}
	w.answer("s01", podA, false, 5*time.Second)
	if m = sized(w.options(), 80, 24); strings.Contains(text(m), "wait for an answer") {
		t.Errorf("it waits after the answer:\n%s", m.View())
	}
}

// TestNothingOfNothing: shares and odds are of something, or are not shown.
func TestNothingOfNothing(t *testing.T) {
	_, idle := noProbe()
	for _, width := range []int{80, 140} {
		for _, keys := range []string{"1", "3"} {
			m := sized(idle, width, 40)
			press(m, keys)
			if got := text(m); strings.Contains(got, "0/0") || strings.Contains(got, "fair share") {
				t.Errorf("view %s, %d wide:\n%s", keys, width, m.View())
			}
		}
	}
	w, o := turnedOn(20) // two sessions, one pod of three
	if d := affinity.Distribute(w.snap(), nil); !d.Few {
		t.Fatalf("%+v is not few", d)
	}
	for _, keys := range []string{"1", "3"} {
		m := sized(o, 140, 40)
		press(m, keys)
		if got := text(m); strings.Contains(got, "chi²") || strings.Contains(got, "(p ") || !strings.Contains(got, "too few") {
			t.Errorf("view %s:\n%s", keys, m.View())
		}
	}
}

// TestOneOfSeveralRoutes: a picture of one route says that there are more.
func TestOneOfSeveralRoutes(t *testing.T) {
	_, o := pickable2()
	o.ReadOnly = true
	m := sized(o, 80, 24)
	press(m, "esc") // the choice
	for _, want := range []string{"ing msgapp (ingress-nginx) 1/2", "route 1 of 2: h and l show the others"} {
		if !strings.Contains(text(m), want) {
			t.Errorf("without %q:\n%s", want, m.View())
		}
	}
	press(m, "l")
	if want := "ing shop-web (class nginx) 2/2"; !strings.Contains(text(m), want) {
		t.Errorf("without %q:\n%s", want, m.View())
	}
}

// TestTopoTellsWhatIsAssumed: a policy that rests on defaults of a controller
// whose configuration was not read says so on the route.
func TestTopoTellsWhatIsAssumed(t *testing.T) {
	const told = "defaults assumed (service-upstream)"
	for _, assumed := range []string{"", told} {
		w := newWorld()
		w.route.Layers[0].Candidates[0].Assumed = assumed
		w.apply(affinity.Routes{Source: "kube", Routes: []affinity.Route{w.route}})
		m := sized(w.options(), 140, 40)
		press(m, "1")
		if got := strings.Contains(stripColours(m.View()), told); got != (assumed != "") {
			t.Errorf("assumed %q: told %t:\n%s", assumed, got, m.View())
		}
	}
}

// TestClientIsSeen: where client models differ the list says whose session it
// is, also beside error statuses on a narrow screen.
func TestClientIsSeen(t *testing.T) {
	_, o := sockets()
	for _, size := range [][2]int{{80, 24}, {60, 15}} {
		m := sized(o, size[0], size[1])
		press(m, "2")
		for _, want := range []string{"CLIENT", "HTTP", "no-jar", "browser"} {
			if !strings.Contains(ansi.Strip(m.View()), want) {
				t.Errorf("%v: no %s in\n%s", size, want, ansi.Strip(m.View()))
			}
		}
	}
	for m, want := range map[affinity.ClientModel]string{"browser": "browser", "browser-cross-site": "x-site", "reload=1m30s": "reload", "reload=5s": "reload", "tabs=50": "tabs=50"} {
		if got := clientText(m, 7); got != want {
			t.Errorf("%s in seven cells: %q, want %q", m, got, want)
		}
	}
}

// TestRefusalIsNoLostPath: who is answered and turned away is told so, in the
// server's words, where the way there is open.
func TestRefusalIsNoLostPath(t *testing.T) {
	by := func(kind affinity.FailureKind, text string) *affinity.Failure {
		return &affinity.Failure{Op: "read", Kind: kind, Text: text}
	}
	foreign := "200 with text/html in place of Engine.IO: <!doctype html>"
	for _, tt := range []struct {
		name      string
		transport string
		handshake *affinity.Failure
		end       *affinity.Failure
		by        affinity.EndedBy
		want      string
	}{
		{"middleware", "socketio", nil, by(affinity.FailureDenied, "the namespace / refused the session: not authorized"), affinity.EndedByClient,
			"✗ 1 of 1 sessions are answered, and refused: the namespace / refused the session: not authorized"},
		{"close code", "ws", nil, by(affinity.FailureClosed, "closed by the server with code 4001: go away"), affinity.EndedByServer,
			"✗ 1 of 1 sessions are answered, and ended by the server: closed by the server with code 4001: go away"},
		{"cut", "ws", nil, by(affinity.FailureClosed, "cut without a close frame"), affinity.EndedByUnknown,
			"✗ 1 of 1 sessions get no answer, their pins are as of the last: cut without a close frame"},
		{"html", "socketio", by(affinity.FailureForeign, foreign), nil, affinity.EndedByClient,
			"✗ 1 of 1 sessions are answered, and not as they asked (--socketio-path says where the Socket.IO server is; --transport ws holds plain WebSockets): " + foreign},
	} {
		w := base()
		step := affinity.PathStep{Name: "affinity", Status: affinity.StepFailed, Detail: "no cookie was offered"}
		if tt.handshake != nil {
			step = affinity.PathStep{Name: "HTTP", Status: affinity.StepFailed, Detail: tt.handshake.Text}
		}
		w.apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: w.route.ID, Transport: tt.transport, Client: affinity.ClientBrowser}},
			affinity.Observed{Session: "s01", RequestID: "r1", Leg: affinity.LegHandshake, Status: 200, Failure: tt.handshake},
			affinity.PathChecked{Route: w.route.ID, Steps: []affinity.PathStep{step}})
		if tt.end != nil {
			w.apply(affinity.SocketChanged{Session: "s01", Socket: affinity.Socket{Protocol: "x", Carrier: affinity.CarrierWebSocket, Opened: w.now,
				Ended: &affinity.SocketEnd{At: w.now, By: tt.by, Text: tt.end.Text, Failed: tt.end}}})
		}
		for _, width := range []int{80, 140} {
			m := sized(w.options(), width, 40)
			got := text(m)
			if !strings.Contains(got, "✗ FAILING") || strings.Contains(got, "UNREACHABLE") || strings.Contains(got, "--resolve") {
				t.Errorf("%s, %d wide: want FAILING, not a lost path:\n%s", tt.name, width, m.View())
			}
			if width == 140 && !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(got, "│", " ")), " "), tt.want[:40]) {
				t.Errorf("%s: no %q:\n%s", tt.name, tt.want, m.View())
			}
		}
		d := &sized(w.options(), 140, 40).d
		found := false
		for _, n := range topoNotes(d) {
			found = found || n.text == tt.want
		}
		if !found {
			t.Errorf("%s: no note %q among %v", tt.name, tt.want, topoNotes(d))
		}
	}
}

// TestNoWebSocketIsSaid: sessions that are held and lost their WebSocket are no
// LIVE, and every screen counts them.
func TestNoWebSocketIsSaid(t *testing.T) {
	w := base()
	open := func(id string) {
		w.apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: affinity.SessionID(id), Route: w.route.ID, Transport: "socketio", Client: affinity.ClientBrowser}})
		w.legOf(id, affinity.LegHandshake, podA, true, nil)
		w.apply(affinity.SocketChanged{Session: affinity.SessionID(id), Socket: affinity.Socket{Protocol: "Engine.IO 4", Carrier: affinity.CarrierPolling, Opened: w.now,
			Heard: w.now, Active: w.now, Beat: w.now, Joined: true}})
	}
	open("s01")
	open("s02")
	if got := text(sized(w.options(), 80, 24)); !strings.Contains(got, "● LIVE") || strings.Contains(got, "WebSocket") {
		t.Errorf("before an upgrade was refused:\n%s", got)
	}
	w.legOf("s01", affinity.LegUpgrade, podA, false, &affinity.Refusal{Code: 1, Message: "Session ID unknown"})
	w.now = w.now.Add(25 * time.Second)
	for _, size := range [][2]int{{80, 24}, {140, 40}} {
		for key, want := range map[string]string{
			"1": "▲ 1 of 2 sessions got no WebSocket and poll on:",
			"2": "▲ 1 of 2 sessions got no WebSocket and poll on: 400 Session ID unknown",
		} {
			m := sized(w.options(), size[0], size[1])
			press(m, key)
			got := text(m)
			for _, want := range []string{want, "▲ NO WEBSOCKET", "stuck 2 no WebSocket 1"} {
				if !strings.Contains(got, want) {
					t.Errorf("view %s, %d wide, without %q:\n%s", key, size[0], want, m.View())
				}
			}
			if n := strings.Count(got, "STUCK no ws"); key == "2" && n != 1 {
				t.Errorf("%d wide: %d rows of no WebSocket:\n%s", size[0], n, m.View())
			}
		}
	}
}

// TestSentAwayIsAnswered: a redirect off the host is an answer.
func TestSentAwayIsAnswered(t *testing.T) {
	w := base()
	for _, id := range []string{"s01", "s02"} {
		w.open(id, affinity.ClientBrowser)
		w.fail(id, affinity.FailureRedirect, 302, "302 from chat.example.com leads to https://sso.example.com/login, not followed")
	}
	got := text(sized(w.options(), 140, 40))
	if strings.Contains(got, "get no answer") || !strings.Contains(got, "2 of 2 sessions are answered, and sent away: 302") {
		t.Errorf("%s", got)
	}
}
