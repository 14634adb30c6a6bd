package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestHeld prints a session whose upgrade was refused by another pod, and one
// whose WebSocket was closed.
func TestHeld(t *testing.T) {
	st, now := world()
	route := st.Snapshot(now).Routes[0].ID
	at := func(s float64) time.Time { return tNow.Add(time.Duration(s * float64(time.Second))) }
	for _, spec := range []affinity.SessionSpec{{ID: "s04", Transport: "socketio"}, {ID: "s05", Transport: "ws"}} {
		spec.Route, spec.Client = route, affinity.ClientBrowser
		st.Apply(affinity.SessionOpened{Spec: spec}, at(4))
	}
	leg := func(id, request, name, pod string, status int, refused *affinity.Refusal) affinity.Observed {
		o := affinity.Observed{Session: affinity.SessionID(id), RequestID: request, Leg: name, Took: 9 * time.Millisecond, Status: status, Refused: refused,
			Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: pod}}}}
		if refused != nil {
			o.Failure = &affinity.Failure{Op: "status", Kind: affinity.FailureSession, Text: "400 Session ID unknown (code 1)"}
		}
		return o
	}
	const a, b = "msgapp-7c9f-2xkqp", "msgapp-7c9f-8mmzd"
	st.Apply(leg("s04", "r10", affinity.LegHandshake, a, 200, nil), at(5))
	held := affinity.Socket{Protocol: "Engine.IO 4", Carrier: affinity.CarrierPolling, Opened: at(5), Heard: at(6), Active: at(6), Beat: at(6), SID: "lv_VI97HAXpY6yYWAAAC",
		PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, RTT: 7 * time.Millisecond, Joined: true}
	st.Apply(affinity.SocketChanged{Session: "s04", Socket: held}, at(6))
	st.Apply(leg("s04", "r11", affinity.LegConnect, a, 200, nil), at(6))
	st.Apply(leg("s04", "r12", affinity.LegPoll, a, 200, nil), at(6.5))
	st.Apply(leg("s04", "r13", affinity.LegUpgrade, b, 400, &affinity.Refusal{Code: 1, Message: "Session ID unknown"}), at(7))
	st.Apply(leg("s05", "r14", affinity.LegHandshake, b, 101, nil), at(5))
	end := &affinity.SocketEnd{At: at(8), Lasted: 3 * time.Second, Silent: 1200 * time.Millisecond, Code: 1001, By: affinity.EndedByServer, Text: "closed by the server with code 1001 (going away)",
		Failed: &affinity.Failure{Op: "read", Kind: affinity.FailureClosed, Text: "closed by the server with code 1001 (going away)"}}
	st.Apply(affinity.SocketChanged{Session: "s05", Socket: affinity.Socket{Protocol: "WebSocket", Carrier: affinity.CarrierWebSocket, Opened: at(5), Joined: true, Ended: end}}, at(8))
	list := Sessions(st.Snapshot(at(9)), Options{Exchanges: true})
	list.Items = list.Items[3:]
	for name, format := range map[string]string{"table": "", "wide": "wide", "json": "json", "yaml": "yaml"} {
		p, err := NewPrinter(format, false)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := p(&out, list); err != nil {
			t.Fatal(err)
		}
		golden(t, "held."+name, out.Bytes())
		if bytes.Contains(out.Bytes(), []byte("lv_VI97")) {
			t.Errorf("-o %s shows an Engine.IO sid, which lets anyone speak for the session", name)
		}
	}
	w := Watch{Format: "json"}
	lines := func() int {
		var out bytes.Buffer
		if err := w.Write(&out, st.Snapshot(at(9))); err != nil {
			t.Fatal(err)
		}
		return bytes.Count(out.Bytes(), []byte("\n"))
	}
	lines()
	held.Carrier = affinity.CarrierWebSocket
	st.Apply(affinity.SocketChanged{Session: "s04", Socket: held}, at(9))
	if n := lines(); n != 1 {
		t.Errorf("an upgrade is %d lines of a watch, want 1", n)
	}
	if got := list.Items[0].Fuses[0].Name; got != "heartbeat" {
		t.Errorf("the fuse is %s, want the heartbeat", got)
	}
}

// TestHeldAgain keeps how a connection ended, and when, while the next is held.
func TestHeldAgain(t *testing.T) {
	st, _ := world()
	at := func(s float64) time.Time { return tNow.Add(time.Duration(s * float64(time.Second))) }
	st.Apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s04", Transport: "ws", Route: st.Snapshot(tNow).Routes[0].ID}}, at(0))
	held := affinity.Socket{Protocol: "WebSocket", Carrier: affinity.CarrierWebSocket, Opened: at(1), Joined: true}
	cut := held
	cut.Ended = &affinity.SocketEnd{At: at(61), Lasted: time.Minute, Silent: time.Minute, By: affinity.EndedByUnknown, Text: "cut without a close frame",
		Failed: &affinity.Failure{Op: "read", Kind: affinity.FailureClosed, Text: "cut"}}
	again := held
	again.Opened = at(63)
	for i, socket := range []affinity.Socket{held, cut, again} {
		st.Apply(affinity.SocketChanged{Session: "s04", Socket: socket}, at(float64(i*62)))
	}
	item := Sessions(st.Snapshot(at(130)), Options{}).Items[3]
	if item.HeldSince == nil || !item.HeldSince.Equal(instant(at(63))) {
		t.Errorf("held since %v", item.HeldSince)
	}
	if c := item.Closed; c == nil || !c.At.Time.Equal(at(61)) || c.By != "cut" || c.After != "1m0s" || !c.Failed {
		t.Errorf("closed %+v", c)
	}
	if want := "cut after 1m0s at " + at(61).UTC().Format("15:04:05Z"); item.closedText() != want {
		t.Errorf("%q, want %q", item.closedText(), want)
	}
}

// TestSentTo: where a log says that an unanswered request was sent is apart from
// the pod that answered one.
func TestSentTo(t *testing.T) {
	to := &affinity.SentTo{Pod: affinity.PodRef{Namespace: "msgapp", Name: "msgapp-7c9f-2xkqp"}, Tag: "A", Addr: "10.244.1.5:5000", Detail: "access log of ingress/traefik (traefik): 10.244.1.5:5000"}
	x := &affinity.Session{Exchanges: []affinity.Exchange{{RequestID: "r1", Failure: "no answer within 10s", Leg: affinity.LegHandshake, SentTo: to}, {RequestID: "r2", Status: 200}},
		Legs: []affinity.Leg{{Name: affinity.LegHandshake, RequestID: "r1", Failure: "no answer within 10s", SentTo: to}}}
	out, err := json.Marshal(NewSession(&affinity.Snapshot{}, x, Options{Exchanges: true}))
	if err != nil {
		t.Fatal(err)
	}
	want := `"failure":"no answer within 10s","sentTo":{"address":"10.244.1.5:5000","pod":"msgapp-7c9f-2xkqp","detail":"access log of ingress/traefik (traefik): 10.244.1.5:5000"}`
	if n := strings.Count(string(out), want); n != 2 || strings.Count(string(out), "2xkqp") != 2 || strings.Contains(string(out), `"evidence":[{`) {
		t.Errorf("%d of the exchange and the leg in %s", n, out)
	}
}
