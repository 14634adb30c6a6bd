package ui

import (
	"fmt"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// sockets is a minute of a chat: s01 upgraded and holds, s02 still polls, s03
// sends no cookies and is refused, s04's quiet WebSocket was cut.
func sockets() (*world, Options) {
	w := base()
	p := &w.route.Layers[0].Candidates[0]
	p.ReadTimeout, p.ReadTimeoutWhy = time.Minute, "proxy-read-timeout, 60s by default; the controller's ConfigMap is not read"
	p.AnswerTimeout, p.AnswerTimeoutWhy = p.ReadTimeout, p.ReadTimeoutWhy
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	for id, spec := range map[string][2]string{"s01": {"socketio", "browser"}, "s02": {"socketio", "browser"}, "s03": {"socketio", "no-jar"}, "s04": {"ws", "browser"}} {
		w.apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: affinity.SessionID(id), Route: w.route.ID, Transport: spec[0], Client: affinity.ClientModel(spec[1])}})
	}
	held := map[string]affinity.Socket{}
	socket := func(id string, change func(*affinity.Socket)) {
		h := held[id]
		h.Heard, h.Active, h.Beat = w.now, w.now, w.now
		change(&h)
		held[id] = h
		w.apply(affinity.SocketChanged{Session: affinity.SessionID(id), Socket: h})
	}
	open := func(id, carrier string) {
		socket(id, func(h *affinity.Socket) {
			*h = affinity.Socket{Protocol: "Engine.IO 4", Carrier: carrier, Opened: w.now, Heard: w.now, Active: w.now, Beat: w.now,
				PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second}
		})
	}
	for i, id := range []string{"s01", "s02"} {
		pod := []string{podA, podB}[i]
		w.legOf(id, affinity.LegHandshake, pod, true, nil)
		open(id, affinity.CarrierPolling)
		w.legOf(id, affinity.LegConnect, pod, false, nil)
		w.legOf(id, affinity.LegPoll, pod, false, nil)
		socket(id, func(h *affinity.Socket) { h.Joined = true })
	}
	w.now = w.now.Add(time.Second)
	w.legOf("s01", affinity.LegUpgrade, podA, false, nil)
	socket("s01", func(h *affinity.Socket) { h.Carrier, h.RTT = affinity.CarrierWebSocket, 11*time.Millisecond })
	w.legOf("s04", affinity.LegHandshake, podC, true, nil)
	socket("s04", func(h *affinity.Socket) {
		*h = affinity.Socket{Protocol: "WebSocket", Carrier: affinity.CarrierWebSocket, Opened: w.now, Heard: w.now, Active: w.now, Joined: true, Idle: true}
	})
	for range 2 {
		w.now = w.now.Add(25 * time.Second)
		socket("s01", func(h *affinity.Socket) {})
		w.legOf("s02", affinity.LegPoll, podB, false, nil)
		socket("s02", func(h *affinity.Socket) {})
	}
	w.now = w.now.Add(10 * time.Second)
	end := affinity.SocketEnd{At: w.now, Lasted: time.Minute, Silent: time.Minute, By: affinity.EndedByUnknown, Text: "cut without a close frame after 60.0s without a frame"}
	end.Failed = &affinity.Failure{Op: "read", Kind: affinity.FailureClosed, Text: end.Text}
	socket("s04", func(h *affinity.Socket) {
		h.Heard, h.Active, h.Beat = end.At.Add(-time.Minute), end.At.Add(-time.Minute), time.Time{}
		h.Ended = &end
	})
	w.now = w.now.Add(2 * time.Second)
	w.legOf("s03", affinity.LegHandshake, podA, true, nil)
	open("s03", affinity.CarrierPolling)
	w.now = w.now.Add(time.Second)
	w.legOf("s03", affinity.LegConnect, podB, false, &affinity.Refusal{Code: 1, Message: "Session ID unknown"})
	w.now = w.now.Add(time.Second)
	return w, w.options()
}

// legOf is one request of a held connection.
func (w *world) legOf(id, leg, pod string, renew bool, refused *affinity.Refusal) {
	w.n++
	o := affinity.Observed{Session: affinity.SessionID(id), RequestID: fmt.Sprintf("r%04d", w.n), Leg: leg, Took: 12 * time.Millisecond, Status: 200,
		Remote: "203.0.113.10:443", Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: pod}}}}
	if v := w.jar[id]; v != "" {
		o.Sent = []affinity.Sent{{Name: "msgapp-sticky", Value: affinity.Secret(v)}}
	}
	if renew {
		v := "k-" + w.pods[pod].IP + ":3000-" + fmt.Sprint(w.n)
		offer := affinity.Offer{Name: "msgapp-sticky", Value: affinity.Secret(v), Path: "/", HTTPOnly: true, Expires: w.now.Add(3 * time.Hour)}
		if id == "s03" {
			offer.NotReturned = "this client keeps no cookies"
		} else {
			w.jar[id] = v
		}
		o.Offers = []affinity.Offer{offer}
	}
	switch {
	case refused != nil:
		o.Status, o.Refused = 400, refused
		o.Failure = &affinity.Failure{Op: "status", Kind: affinity.FailureSession, Text: fmt.Sprintf("400 %s (code %d)", refused.Message, refused.Code)}
	case leg == affinity.LegUpgrade:
		o.Status = 101
	}
	w.apply(o)
}
