package probe

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// wsTransport holds a WebSocket on the route's path (RFC 6455).
type wsTransport struct{}

func (wsTransport) Name() string { return "ws" }

func (wsTransport) Open(c *Client) Session { return &wsSession{client: c} }

type wsSession struct {
	client *Client
	id     string // X-Request-Id of the upgrade
	wire   *wire  // nil while there is none
}

func (s *wsSession) Close() {
	if s.wire != nil {
		s.wire.close()
		s.wire = nil
	}
}

// Observe opens the WebSocket: one request, and so one choice of a pod.
func (s *wsSession) Observe(ctx context.Context, t Target) Trip {
	s.Close()
	u := *t.URL
	if at, err := url.Parse(t.Path); err == nil && at.Host == "" {
		u.Path, u.RawPath, u.RawQuery = at.Path, at.RawPath, at.RawQuery
	} else {
		u.Path, u.RawPath, u.RawQuery = t.Path, "", ""
	}
	o := &s.client.set.Socket
	a := s.client.ask(affinity.LegHandshake, "GET", &u, nil)
	conn, r := dialSocket(ctx, s.client, t, &u, a, o.Header, o.Subprotocols)
	trip := s.client.take(r, t)
	if conn != nil {
		s.id, s.wire = a.id, newWire(conn)
		if trip.Observed.Failure != nil {
			s.Close()
		}
	}
	return trip
}

// Hold keeps the WebSocket until it ends.
func (s *wsSession) Hold(ctx context.Context, line Line) Held {
	defer s.Close()
	now := time.Now()
	o := &s.client.set.Socket
	h := &wsHold{s: s, o: o, line: line, news: news{session: s.client.spec.ID, emit: line.Emit},
		held: affinity.Socket{Protocol: "WebSocket", Carrier: affinity.CarrierWebSocket, Opened: now, Heard: now, Active: now, Idle: o.Idle}}
	if name := s.wire.conn.Subprotocol(); name != "" {
		h.held.Protocol += " " + affinity.Clean(name, 40)
	}
	_, h.reload = s.client.reload(now)
	if !o.Idle {
		h.ping = now.Add(spread(o.Ping))
		h.first()
	}
	if h.held.Joined = h.said.IsZero(); !h.held.Joined {
		h.held.Note = affinity.Clean(fmt.Sprintf("no message with %q yet", o.Expect), maxText)
	}
	h.news.tell(h.held)
	end := h.run(ctx)
	h.held.Ended, h.held.Note = end, ""
	h.news.tell(h.held)
	return Held{Joined: h.held.Joined, Lost: end.Failed != nil}
}

// wsHold is one WebSocket while it is held.
type wsHold struct {
	s    *wsSession
	o    *SocketOptions
	line Line
	news news
	held affinity.Socket

	reload  time.Time // when the page is loaded anew; zero for never
	ping    time.Time // when the next is due; zero for never
	pinged  time.Time // when the last went out; zero once it was answered
	said    time.Time // when the message went out whose answer is expected; zero for none
	heard   int       // messages
	failing error     // of a write
	timer   alarm
}

// first sends the first message.
func (h *wsHold) first() {
	if h.o.Send == "" {
		return
	}
	h.failing = h.s.wire.send(websocket.TextMessage, []byte(h.o.Send))
	h.held.Active = time.Now()
	if h.o.Expect != "" {
		h.said = h.held.Active
	}
}

func (h *wsHold) run(ctx context.Context) *affinity.SocketEnd {
	defer h.timer.stop()
	for {
		if h.failing != nil {
			return socketEnd(h.failing, h.held, time.Now())
		}
		patience := h.s.client.set.Timeout
		var pong, echo time.Time
		if !h.pinged.IsZero() {
			pong = h.pinged.Add(patience)
		}
		if !h.said.IsZero() {
			echo = h.said.Add(patience)
		}
		expiry, _ := h.line.Expiry()
		select {
		case <-ctx.Done():
			h.s.wire.bye()
			return ended(h.held, affinity.EndedByClient, "left", nil)
		case <-h.line.Wake:
			ask, leave := h.line.Attend()
			if leave {
				h.s.wire.bye()
				return ended(h.held, affinity.EndedByClient, "left: the route leads elsewhere now", nil)
			}
			if ask && !h.o.Idle && h.pinged.IsZero() {
				h.sendPing()
			}
		case f := <-h.s.wire.frames:
			if f.err != nil {
				return socketEnd(f.err, h.held, f.at)
			}
			h.frame(f)
		case <-h.timer.set(h.ping, pong, echo, expiry, h.reload, h.news.flush()):
			now := time.Now()
			switch {
			case past(pong, now):
				text := "no pong within " + patience.String()
				return ended(h.held, affinity.EndedByClient, text, &affinity.Failure{Op: "read", Kind: affinity.FailureTimeout, Text: text})
			case past(echo, now):
				text := affinity.Clean(fmt.Sprintf("no message with %q within %s", h.o.Expect, patience), maxText)
				return ended(h.held, affinity.EndedByClient, text, &affinity.Failure{Op: "read", Kind: affinity.FailureTimeout, Text: text})
			case past(h.reload, now):
				h.s.wire.bye()
				return ended(h.held, affinity.EndedByClient, "left: the page is loaded anew", nil)
			case past(h.ping, now):
				h.sendPing()
			case past(expiry, now):
				h.line.Attend()
			}
			if past(h.news.flush(), now) {
				h.news.tell(h.held)
			}
		}
	}
}

func (h *wsHold) sendPing() {
	h.failing = h.s.wire.ping()
	now := time.Now()
	h.pinged, h.held.Active, h.ping = now, now, now.Add(spread(h.o.Ping))
}

// frame takes in one frame of the server's.
func (h *wsHold) frame(f frame) {
	h.held.Heard, h.held.Active = f.at, f.at
	switch f.kind {
	case websocket.PongMessage:
		if !h.pinged.IsZero() && h.s.wire.sighted(f.data) {
			h.held.RTT, h.pinged = f.at.Sub(h.pinged), time.Time{}
			h.news.tell(h.held)
			return
		}
	case websocket.TextMessage, websocket.BinaryMessage:
		h.heard++
		answers := !h.said.IsZero() && strings.Contains(string(f.data), h.o.Expect)
		if answers {
			h.held.RTT, h.said, h.held.Joined, h.held.Note = f.at.Sub(h.said), time.Time{}, true, ""
		}
		// Later messages may speak of other pods: only the greeting and the
		// answer that was asked for are believed.
		if h.heard == 1 || answers {
			h.line.Emit(affinity.Attributed{Session: h.s.client.spec.ID, RequestID: h.s.id, Source: affinity.SourceBody,
				Answer: affinity.Answer{Body: f.data[:min(len(f.data), maxIdentityBody)]}, Detail: "WebSocket message:"})
		}
		if answers {
			h.news.tell(h.held)
			return
		}
	}
	h.news.frame(h.held)
}
