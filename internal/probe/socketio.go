package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe/engineio"
)

// ioTransport does what socket.io-client does in a browser: it polls, joins a
// namespace, upgrades to a WebSocket and answers heartbeats
// (packages/engine.io-client/lib/socket.ts and packages/socket.io-client of
// socketio/socket.io).
type ioTransport struct{}

func (ioTransport) Name() string { return "socketio" }

func (ioTransport) Open(c *Client) Session {
	return &ioSession{http: httpSession{client: c}, client: c, version: engineio.Version(c.set.Socket.IOVersion)}
}

type ioSession struct {
	http    httpSession // for its connections
	client  *Client
	target  Target
	version engineio.Version // 0 until the server showed it

	opened engineio.Handshake // of the last Observe
	first  []engineio.Packet  // that came with it
	id     string             // X-Request-Id of the handshake
	wire   *wire              // WebSocket-only
	// Why it polls in place of the WebSocket that comes first; "" where it does not.
	fellBack string
}

func (s *ioSession) Close() {
	if s.wire != nil {
		s.wire.close()
		s.wire = nil
	}
	s.http.Close()
}

// at returns the URL of a request with transport, for the session when it has
// a sid.
func (s *ioSession) at(transport string) *url.URL {
	u := *s.target.URL
	path, query := s.client.set.Socket.EnginePath()
	u.Path, u.RawPath = path, ""
	q := url.Values{"EIO": {strconv.Itoa(int(s.asks()))}, "transport": {transport}}
	if transport == affinity.CarrierPolling {
		q.Set("t", randomHex(4))
	}
	if transport == affinity.CarrierPolling && s.version != 4 {
		q.Set("b64", "1") // version 3: binary as text, settled with the handshake
	}
	if s.opened.SID != "" {
		q.Set("sid", s.opened.SID)
	}
	u.RawQuery = q.Encode()
	if query != "" {
		u.RawQuery = query + "&" + u.RawQuery
	}
	return &u
}

// asks is the version of Engine.IO that requests are made in.
func (s *ioSession) asks() engineio.Version {
	if s.version == 0 {
		return 4
	}
	return s.version
}

// Observe makes the handshake: one request, by polling unless the session is
// WebSocket-only.
func (s *ioSession) Observe(ctx context.Context, t Target) Trip {
	s.Close()
	s.http.retarget(t)
	s.target, s.opened, s.first = t, engineio.Handshake{}, nil
	if v := s.client.set.Socket.IOVersion; v != 0 {
		s.version = engineio.Version(v)
	}
	s.fellBack = ""
	var before []affinity.Observed
	switch s.transports() {
	case IOWebSocket:
		return s.observeSocket(ctx)
	case IOSocketFirst:
		trip := s.observeSocket(ctx)
		f := trip.Observed.Failure
		// The library goes on by an error of the transport, which silence is not.
		if f == nil || f.Kind == affinity.FailureTimeout || ctx.Err() != nil || s.client.allowed(ctx) != nil {
			return trip
		}
		s.fellBack = "fell back to polling, no WebSocket: " + f.Text
		before = append(before, trip.Observed)
	}
	a := s.client.ask(affinity.LegHandshake, http.MethodGet, s.at(affinity.CarrierPolling), nil)
	if names := s.client.asksLeave(a.url); len(names) > 0 {
		r, _ := s.client.askLeave(ctx, s.http.rt, t, a.method, a.url, names)
		trip := s.client.take(r, t)
		if trip.Observed.Failure != nil {
			return trip
		}
		before = append(before, trip.Observed)
		a.began = time.Now()
	}
	r := a.send(ctx, s.client, s.http.rt, t, s.client.set.Timeout)
	s.http.rt.CloseIdleConnections()
	s.id = a.id
	trip := s.client.take(r, t)
	trip.Before = before
	o := &trip.Observed
	s.advise(o, affinity.CarrierPolling)
	if o.Failure == nil {
		o.Failure = s.open(r)
	} else if o.Refused != nil && o.Refused.Code == engineio.UnsupportedProtocol && s.client.set.Socket.IOVersion == 0 {
		s.version = s.asks().Other() // next time
	}
	trip.Steps = r.seen.steps(*o)
	return trip
}

// advise adds to the refusal of a handshake what it tells: in which version the
// server speaks, or, where it does not know the carrier, how to ask by the other
// one, if that has not been tried.
func (s *ioSession) advise(o *affinity.Observed, carrier string) {
	if o.Failure != nil && o.Refused != nil && o.Refused.Code == engineio.UnsupportedProtocol {
		asked := s.asks()
		f := mismatch(asked.Other(), asked)
		f.Text = affinity.Clean(f.Text+": "+o.Failure.Text, maxText)
		o.Failure = f
	}
	if o.Failure == nil || o.Refused == nil || o.Refused.Code != engineio.UnknownTransport {
		return
	}
	other := map[string]string{affinity.CarrierPolling: IOWebSocket, affinity.CarrierWebSocket: IOPolling}[carrier]
	text := o.Failure.Text + "; the server takes no " + carrier
	if s.transports() != IOSocketFirst && s.client.spec.Client != affinity.ClientWSOnly {
		text += ": --socketio-transports " + other
	}
	f := *o.Failure
	f.Text = affinity.Clean(text, maxText)
	o.Failure = &f
}

// transports are those of the session's client model, or of the options.
func (s *ioSession) transports() string {
	if s.client.spec.Client == affinity.ClientWSOnly {
		return IOWebSocket
	}
	return s.client.set.Socket.IOTransports
}

func (s *ioSession) observeSocket(ctx context.Context) Trip {
	u := s.at(affinity.CarrierWebSocket)
	a := s.client.ask(affinity.LegHandshake, http.MethodGet, u, nil)
	conn, r := dialSocket(ctx, s.client, s.target, u, a, nil, nil)
	s.id = a.id
	trip := s.client.take(r, s.target)
	s.advise(&trip.Observed, affinity.CarrierWebSocket)
	if conn != nil {
		s.wire = newWire(conn)
		if trip.Observed.Failure != nil {
			s.Close()
		}
	}
	return trip
}

// open reads the answer to a handshake by polling.
func (s *ioSession) open(r reply) *affinity.Failure {
	v, ok := engineio.Detect(r.body)
	if !ok {
		return &affinity.Failure{Op: "status", Kind: affinity.FailureForeign, Text: foreign(r)}
	}
	if asked := s.client.set.Socket.IOVersion; asked != 0 && int(v) != asked {
		// A client of one version cannot read the other's payloads.
		return mismatch(v, engineio.Version(asked))
	}
	s.version = v
	packets, err := engineio.ParsePayload(r.body, v)
	if err == nil {
		s.opened, err = engineio.ParseHandshake(packets[0].Data)
	}
	if err != nil {
		return brokenPackets(err)
	}
	s.first = packets[1:]
	return nil
}

// mismatch is the failure of a client of one version of Engine.IO at a server of
// another.
func mismatch(server, client engineio.Version) *affinity.Failure {
	return &affinity.Failure{Op: "read", Kind: affinity.FailureVersion, Text: fmt.Sprintf("the server speaks Engine.IO %d, the client %d", server, client)}
}

func brokenPackets(err error) *affinity.Failure {
	return &affinity.Failure{Op: "read", Kind: affinity.FailureProtocol, Text: affinity.Clean("not usable Engine.IO: "+err.Error(), maxText)}
}

// upgradeTime is how long the other side has to answer the probe of an upgrade
// (upgradeTimeout of engine.io).
const upgradeTime = 10 * time.Second

// pollGap keeps polls of one session apart, however fast they are answered.
const pollGap = 100 * time.Millisecond

// maxEvents bounds the events a second that are believed to name the pod.
const maxEvents = 5

// greetTime is how long a server that does not name its version by its framing
// may take to greet unasked, as Socket.IO 2 does.
const greetTime = 300 * time.Millisecond

// stage is how far an upgrade has come.
type stage uint8

const (
	stageNone    stage = iota
	stageDialing       // the WebSocket is being opened
	stageProbing       // 2probe is out
	stagePausing       // 3probe came; the poll in flight must end first
	stageDone
	stageFailed
)

// Hold goes on from the handshake until the session ends.
func (s *ioSession) Hold(ctx context.Context, line Line) Held {
	now := time.Now()
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &ioHold{s: s, o: &s.client.set.Socket, line: line, ctx: inner, replies: make(chan response, 8), askID: -1,
		events: rate.NewLimiter(maxEvents, maxEvents),
		news:   news{session: s.client.spec.ID, emit: line.Emit},
		held:   affinity.Socket{Carrier: affinity.CarrierPolling, Opened: now, Heard: now, Active: now, Beat: now}}
	h.requests = 1
	h.most, h.reload = s.client.reload(now)
	if s.wire != nil {
		h.held.Carrier, h.wire, h.stage, h.carrierID = affinity.CarrierWebSocket, s.wire, stageDone, s.id
		s.wire = nil
		h.opening = now.Add(s.client.set.Timeout)
	} else {
		h.carrierID = s.id
		h.begin()
	}
	end := h.run(ctx)
	if end.By == affinity.EndedByClient {
		h.goodbye()
	}
	cancel()
	h.timer.stop()
	if h.wire != nil {
		h.wire.close()
	}
	h.group.Wait()
	h.drain()
	s.Close()
	h.held.Ended = end
	h.news.tell(h.held)
	return Held{Joined: h.held.Joined, Lost: end.Failed != nil, Slow: h.slow}
}

// word is what an application said that may name its pod.
func (h *ioHold) word(data json.RawMessage, from string) {
	if len(data) == 0 {
		return
	}
	h.line.Emit(affinity.Attributed{Session: h.s.client.spec.ID, RequestID: h.carrierID, Source: affinity.SourceBody,
		Answer: affinity.Answer{Body: data[:min(len(data), maxIdentityBody)]}, Detail: affinity.Clean(from, 60)})
}

// begin does what a client does with an open packet.
func (h *ioHold) begin() {
	v, open := h.s.version, h.s.opened
	h.opening = time.Time{}
	h.held.Protocol, h.held.SID = fmt.Sprintf("Engine.IO %d", v), affinity.Secret(open.SID)
	h.held.PingInterval, h.held.PingTimeout = open.PingInterval, open.PingTimeout
	h.authless = v == 3 && h.o.IOAuth != ""
	h.held.Note = h.note()
	if v == 3 {
		h.ping = time.Now().Add(open.PingInterval)
	} else {
		h.join()
	}
	h.news.tell(h.held)
	for _, p := range h.s.first {
		h.packet(p)
	}
	h.s.first = nil
	if h.held.Carrier == affinity.CarrierPolling && h.s.transports() == IOBoth && open.Upgrade("websocket") {
		h.upgrade()
	}
}

// join asks for the namespace.
func (h *ioHold) join() {
	p := engineio.SocketPacket{Type: engineio.Connect, Namespace: h.o.IONamespace, ID: -1}
	if h.s.version != 3 && h.o.IOAuth != "" {
		p.Data = json.RawMessage(h.o.IOAuth.Reveal())
	}
	h.say(p.Packet())
	h.joining = true
}

// askPod emits the event whose ack names the pod.
func (h *ioHold) askPod() {
	if h.o.IOAsk == "" || !h.held.Joined || h.askID >= 0 && !h.asked.IsZero() && !h.unheard {
		return
	}
	h.unheard = false
	name, _ := json.Marshal([]string{h.o.IOAsk})
	h.askID = h.nextID
	h.nextID++
	h.asked = time.Now()
	h.say(engineio.SocketPacket{Type: engineio.Event, Namespace: h.o.IONamespace, ID: h.askID, Data: name}.Packet())
}

// unanswered is when the ack that is waited for is late; zero when none is.
func (h *ioHold) unanswered() time.Time {
	if h.asked.IsZero() || h.unheard {
		return time.Time{}
	}
	return h.asked.Add(h.s.client.set.Timeout)
}

// note is what of the session's options came to nothing.
func (h *ioHold) note() string {
	var all []string
	if h.s.fellBack != "" {
		all = append(all, h.s.fellBack)
	}
	if h.authless {
		all = append(all, "the auth payload is not sent: Socket.IO 2 takes none")
	}
	if h.unheard {
		all = append(all, fmt.Sprintf("no ack of %s within %s", h.o.IOAsk, h.s.client.set.Timeout))
	}
	return affinity.Clean(strings.Join(all, "; "), maxText)
}

// say sends a packet, at once or with the next POST.
func (h *ioHold) say(p engineio.Packet) {
	h.held.Active = time.Now()
	if h.held.Carrier != affinity.CarrierWebSocket {
		pong := func(waiting engineio.Packet) bool { return waiting.Type == engineio.Pong }
		if p.Type != engineio.Pong || !slices.ContainsFunc(h.outbox, pong) { // one answers all pings that came meanwhile
			h.outbox = append(h.outbox, p)
		}
		return
	}
	if err := h.wire.send(websocket.TextMessage, p.Text()); err != nil {
		h.end = socketEnd(err, h.held, time.Now())
	}
}

// packet takes in one Engine.IO packet.
func (h *ioHold) packet(p engineio.Packet) {
	now := time.Now()
	h.held.Heard, h.held.Active = now, now
	switch p.Type {
	case engineio.Ping:
		h.held.Beat = now
		h.say(engineio.Packet{Type: engineio.Pong}) // without the ping's data, as the library
	case engineio.Pong:
		h.held.Beat = now
		if !h.pinged.IsZero() {
			h.held.RTT, h.pinged = now.Sub(h.pinged), time.Time{}
		}
	case engineio.Close:
		h.finish(affinity.EndedByServer, affinity.FailureClosed, "closed by the server (Engine.IO packet 1)")
	case engineio.Message:
		if p.Binary {
			return
		}
		said, err := engineio.ParseSocket(p.Data)
		if err != nil {
			h.finish(affinity.EndedByClient, affinity.FailureProtocol, "not usable Socket.IO: "+err.Error())
			return
		}
		h.socket(said)
	}
}

// socket takes in one Socket.IO packet.
func (h *ioHold) socket(p engineio.SocketPacket) {
	if p.Type == engineio.Connect && h.s.version == 3 && p.Namespace == "/" && h.o.IONamespace != "/" && !h.joining {
		h.join() // version 3 servers join "/" unasked, others after it
		return
	}
	if p.Namespace != h.o.IONamespace {
		return
	}
	switch p.Type {
	case engineio.Connect:
		if !h.held.Joined {
			h.held.Joined = true
			h.word(p.Data, "CONNECT payload:")
			h.news.tell(h.held)
			h.askPod()
		}
	case engineio.ConnectError:
		h.slow = true
		h.finish(affinity.EndedByClient, affinity.FailureDenied, "the namespace "+h.o.IONamespace+" refused the session: "+p.Refusal())
	case engineio.Disconnect:
		h.slow = true // the library does not connect again by itself
		h.finish(affinity.EndedByServer, affinity.FailureClosed, "disconnected by the application (Socket.IO DISCONNECT)")
	case engineio.Event:
		if name, args, err := p.EventName(); err == nil && name == h.o.IOEvent && name != "" && len(args) > 0 && h.events.Allow() {
			h.word(args[0], "event "+name+":")
		}
	case engineio.Ack:
		if p.ID != h.askID || h.asked.IsZero() {
			return
		}
		h.held.RTT, h.asked, h.unheard = time.Since(h.asked), time.Time{}, false
		h.held.Note = h.note()
		var args []json.RawMessage
		if json.Unmarshal(p.Data, &args) == nil && len(args) > 0 {
			h.word(args[0], "ack of "+h.o.IOAsk+":")
		}
	}
}

// finish ends the session because of the other side.
func (h *ioHold) finish(by affinity.EndedBy, kind affinity.FailureKind, text string) {
	text = affinity.Clean(text, maxText)
	h.end = ended(h.held, by, text, &affinity.Failure{Op: "read", Kind: kind, Text: text})
}
