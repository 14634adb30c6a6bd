package probe

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe/engineio"
)

// ioHold is one Engine.IO session while it is held. Its goroutine alone
// touches it; requests run in goroutines of their own, one GET, one POST and
// one upgrade at most.
type ioHold struct {
	s    *ioSession
	o    *SocketOptions
	line Line
	ctx  context.Context // of the requests
	news news
	held affinity.Socket

	replies chan response
	group   sync.WaitGroup
	polling bool      // a GET is in flight
	posting bool      // a POST is
	polled  time.Time // when the last GET went out
	outbox  []engineio.Packet

	stage     stage
	probed    time.Time // when the probe went out
	wire      *wire     // nil before the upgrade
	carrierID string    // X-Request-Id of the request that what is said comes by
	socketID  string    // of the upgrade, until it is done

	opening  time.Time // until when the open packet must come; zero once it did
	greeted  time.Time // until when a server may greet unasked
	ping     time.Time // when the next is due: version 3 clients ping
	pinged   time.Time
	joining  bool
	nextID   int
	askID    int
	asked    time.Time // zero once it was answered
	unheard  bool      // the answer is late
	authless bool      // the server takes no auth payload
	events   *rate.Limiter
	slow     bool
	reload   time.Time // when the page is loaded anew; zero for never
	most     int       // requests before it is; 0 for any
	requests int
	end      *affinity.SocketEnd
	timer    alarm
}

// response is a request's reply, and the WebSocket when it opened one.
type response struct {
	reply reply
	conn  *websocket.Conn
}

func (h *ioHold) run(ctx context.Context) *affinity.SocketEnd {
	for {
		h.drive()
		if h.end != nil {
			return h.end
		}
		if past(h.leaving(), time.Now()) || h.most > 0 && h.requests >= h.most && !h.upgrading() {
			return ended(h.held, affinity.EndedByClient, "left: the page is loaded anew", nil)
		}
		expiry, _ := h.line.Expiry()
		var frames chan frame
		if h.wire != nil {
			frames = h.wire.frames
		}
		select {
		case <-ctx.Done():
			return ended(h.held, affinity.EndedByClient, "left", nil)
		case <-h.line.Wake:
			ask, leave := h.line.Attend()
			if leave {
				return ended(h.held, affinity.EndedByClient, "left: the route leads elsewhere now", nil)
			}
			if ask {
				h.askPod()
			}
		case o := <-h.replies:
			h.answered(o)
		case f := <-frames:
			h.frame(f)
		case <-h.timer.set(h.opening, h.greeted, h.ping, h.dead(), h.upgradeEnd(), h.unanswered(), h.nextPoll(), expiry, h.leaving(), h.news.flush()):
			h.due(time.Now(), expiry)
		}
	}
}

// dead is when the heartbeat's time is up.
func (h *ioHold) dead() time.Time {
	if h.held.PingInterval == 0 {
		return time.Time{}
	}
	return h.held.Beat.Add(h.held.PingInterval + h.held.PingTimeout)
}

// leaving is when the page is loaded anew; zero for not yet. An upgrade on its
// way is waited for: refused because of our own leave it would look like a
// fault of the route.
func (h *ioHold) leaving() time.Time {
	if h.upgrading() {
		return time.Time{}
	}
	return h.reload
}

func (h *ioHold) upgrading() bool { return h.stage == stageProbing || h.stage == stagePausing }

func (h *ioHold) upgradeEnd() time.Time {
	if h.upgrading() {
		return h.probed.Add(upgradeTime)
	}
	return time.Time{}
}

// nextPoll is when a poll that is held back may go out; zero when none is.
func (h *ioHold) nextPoll() time.Time {
	if h.held.Carrier != affinity.CarrierPolling || h.polling || h.stage == stagePausing {
		return time.Time{}
	}
	return h.polled.Add(pollGap)
}

func (h *ioHold) due(now time.Time, expiry time.Time) {
	switch {
	case past(h.opening, now):
		h.finish(affinity.EndedByClient, affinity.FailureTimeout, "no open packet within "+h.s.client.set.Timeout.String())
	case past(h.greeted, now):
		h.greeted, h.s.version = time.Time{}, 4
		h.begin()
	case past(h.dead(), now):
		h.finish(affinity.EndedByClient, affinity.FailureTimeout, fmt.Sprintf("ping timeout: no heartbeat within %s + %s", h.held.PingInterval, h.held.PingTimeout))
	case past(h.upgradeEnd(), now):
		h.giveUp()
	case past(h.unanswered(), now):
		h.unheard = true
		h.held.Note = h.note()
		h.news.tell(h.held)
	case past(h.ping, now):
		h.pinged, h.ping = now, now.Add(h.held.PingInterval)
		h.say(engineio.Packet{Type: engineio.Ping})
	case past(expiry, now):
		h.line.Attend()
	}
	if past(h.news.flush(), now) {
		h.news.tell(h.held)
	}
}

// drive sends what can be sent: the client library keeps one GET in flight,
// and posts what waits when no POST is.
func (h *ioHold) drive() {
	if h.end != nil || h.held.Carrier != affinity.CarrierPolling {
		return
	}
	now := time.Now()
	if !h.polling && h.stage != stagePausing && !now.Before(h.polled.Add(pollGap)) {
		h.polling, h.polled = true, now
		h.request(affinity.LegPoll, http.MethodGet, nil, h.held.PingInterval+h.held.PingTimeout)
	}
	if !h.posting && len(h.outbox) > 0 && h.stage != stagePausing {
		leg := affinity.LegPost
		if h.outbox[0].Type == engineio.Message && len(h.outbox[0].Data) > 0 && h.outbox[0].Data[0] == byte(engineio.Connect) {
			leg = affinity.LegConnect
		}
		h.posting = true
		h.request(leg, http.MethodPost, engineio.Payload(h.s.version, h.outbox...), h.s.client.set.Timeout)
		h.outbox = nil
	}
	if h.stage == stagePausing && !h.polling && !h.posting {
		h.switchOver()
	}
}

// request starts one request of the session.
func (h *ioHold) request(leg, method string, body []byte, timeout time.Duration) {
	a := h.s.client.ask(leg, method, h.s.at(affinity.CarrierPolling), body)
	rt, client, target := h.s.http.rt, h.s.client, h.s.target
	names := client.asksLeave(a.url)
	h.requests++
	h.group.Go(func() {
		if len(names) > 0 { // each poll has a URL of its own, so no earlier answer holds
			r, _ := client.askLeave(h.ctx, rt, target, method, a.url, names)
			h.replies <- response{reply: r}
			if r.failure != nil {
				main := aborted(a, target)
				main.failure.Text = "not sent: " + r.failure.Text
				h.replies <- response{reply: main}
				return
			}
		}
		if h.line.Allow(h.ctx) != nil {
			h.replies <- response{reply: aborted(a, target)}
			return
		}
		a.began = time.Now()
		h.replies <- response{reply: a.send(h.ctx, client, rt, target, timeout)}
	})
}

func aborted(a asking, t Target) reply {
	return reply{asking: a, seen: newSighting(t, false), failure: &affinity.Failure{Op: "write", Kind: affinity.FailureOther, Text: "not sent"}}
}

// upgrade starts opening the WebSocket beside the polls.
func (h *ioHold) upgrade() {
	h.stage = stageDialing
	h.requests++
	u := h.s.at(affinity.CarrierWebSocket)
	a := h.s.client.ask(affinity.LegUpgrade, http.MethodGet, u, nil)
	client, target := h.s.client, h.s.target
	h.group.Go(func() {
		if h.line.Allow(h.ctx) != nil {
			h.replies <- response{reply: aborted(a, target)}
			return
		}
		a.began = time.Now()
		conn, r := dialSocket(h.ctx, client, target, u, a, nil, nil)
		h.replies <- response{reply: r, conn: conn}
	})
}

// answered takes in the reply to a request.
func (h *ioHold) answered(o response) {
	trip := h.s.client.take(o.reply, h.s.target)
	failure := trip.Observed.Failure
	switch o.reply.leg {
	case affinity.LegPoll:
		h.polling = false
		var packets []engineio.Packet
		if failure == nil {
			var err error
			if packets, err = engineio.ParsePayload(o.reply.body, h.s.version); err != nil {
				failure = brokenPackets(err)
				if isHTML(o.reply) {
					failure = &affinity.Failure{Op: "status", Kind: affinity.FailureForeign, Text: foreign(o.reply)}
				}
				trip.Observed.Failure = failure
			}
		}
		h.line.Emit(trip.Observed)
		h.carrierID = o.reply.id
		for _, p := range packets {
			if h.end == nil {
				h.packet(p)
			}
		}
		h.news.frame(h.held)
	case affinity.LegUpgrade:
		h.line.Emit(trip.Observed)
		h.opened(o, failure)
		return
	case affinity.LegPreflight:
		h.line.Emit(trip.Observed)
		return // the request that it was for tells the rest
	default:
		h.posting = false
		h.line.Emit(trip.Observed)
	}
	if failure != nil && h.end == nil {
		// The request has been reported as failed; the session ends with it.
		h.end = ended(h.held, endedBy(trip.Observed), o.reply.leg+" failed: "+failure.Text, failure)
	}
}

// endedBy is who ended a session by the answer to a request of it.
func endedBy(o affinity.Observed) affinity.EndedBy {
	switch f := o.Failure; {
	case o.Refused != nil:
		return affinity.EndedByServer // in its own words
	case f.Kind == affinity.FailureStatus:
		return affinity.EndedByProxy
	case f.Kind == affinity.FailureProtocol && o.Status == http.StatusOK:
		return affinity.EndedByClient // it cannot read the answer
	}
	return affinity.EndedByUnknown
}

// opened goes on with the upgrade, or without.
func (h *ioHold) opened(o response, failure *affinity.Failure) {
	if o.conn == nil || failure != nil {
		if o.conn != nil {
			_ = o.conn.Close()
		}
		h.stage = stageFailed // and the session goes on polling, as a browser's does
		return
	}
	h.wire, h.socketID = newWire(o.conn), o.reply.id
	h.stage, h.probed = stageProbing, time.Now()
	if err := h.wire.send(websocket.TextMessage, engineio.Packet{Type: engineio.Ping, Data: []byte("probe")}.Text()); err != nil {
		h.giveUp()
	}
}

// giveUp stays on polling.
func (h *ioHold) giveUp() {
	h.stage = stageFailed
	if h.wire != nil {
		h.wire.close()
		h.wire = nil
	}
}

// switchOver completes the upgrade.
func (h *ioHold) switchOver() {
	if err := h.wire.send(websocket.TextMessage, engineio.Packet{Type: engineio.Upgrade}.Text()); err != nil {
		h.giveUp()
		return
	}
	h.stage, h.held.Carrier, h.carrierID = stageDone, affinity.CarrierWebSocket, h.socketID
	h.held.Active = time.Now()
	waiting := h.outbox
	h.outbox = nil
	for _, p := range waiting {
		h.say(p)
	}
	h.news.tell(h.held)
	h.askPod()
}

// frame takes in a WebSocket frame.
func (h *ioHold) frame(f frame) {
	if h.stage != stageDone {
		h.probeFrame(f)
		return
	}
	switch {
	case f.err != nil:
		h.end = socketEnd(f.err, h.held, f.at)
	case f.kind == websocket.PingMessage || f.kind == websocket.PongMessage:
		h.held.Heard, h.held.Active = f.at, f.at
		h.news.frame(h.held)
	default:
		p, err := packetOf(f, h.s.version)
		if err != nil {
			h.finish(affinity.EndedByClient, affinity.FailureProtocol, "not usable Engine.IO: "+err.Error())
			return
		}
		if h.held.PingInterval == 0 {
			h.greet(p)
			return
		}
		h.packet(p)
		h.news.frame(h.held)
	}
}

func packetOf(f frame, v engineio.Version) (engineio.Packet, error) {
	if f.kind == websocket.BinaryMessage {
		return engineio.ParseBinary(f.data, v)
	}
	return engineio.ParseText(f.data)
}

// probeFrame takes in what comes by a WebSocket that is not yet in use.
func (h *ioHold) probeFrame(f frame) {
	if f.err != nil {
		h.giveUp()
		return
	}
	if p, err := packetOf(f, h.s.version); err == nil && p.Type == engineio.Pong && string(p.Data) == "probe" && h.stage == stageProbing {
		h.stage = stagePausing
	}
}

// greet takes in the first packets of a WebSocket-only session, whose framing
// does not tell the version: Socket.IO 2 joins "/" unasked, later ones wait.
func (h *ioHold) greet(p engineio.Packet) {
	if !h.greeted.IsZero() {
		h.greeted, h.s.version = time.Time{}, 3
		h.s.first = []engineio.Packet{p}
		h.begin()
		return
	}
	open, err := engineio.ParseHandshake(p.Data)
	if p.Type != engineio.Open {
		err = fmt.Errorf("packet %q in place of the open packet", rune(p.Type))
	}
	if err != nil {
		h.finish(affinity.EndedByClient, affinity.FailureProtocol, "not usable Engine.IO: "+err.Error())
		return
	}
	h.opening, h.s.opened = time.Time{}, open
	switch {
	case h.o.IOVersion != 0:
		h.s.version = engineio.Version(h.o.IOVersion)
	case open.MaxPayload > 0: // said since engine.io 6.2
		h.s.version = 4
	default:
		h.greeted = time.Now().Add(greetTime)
		return
	}
	h.begin()
}

// goodbye tells the server that the session ends, within a second.
func (h *ioHold) goodbye() {
	leave := engineio.SocketPacket{Type: engineio.Disconnect, Namespace: h.o.IONamespace, ID: -1}.Packet()
	if h.held.Carrier == affinity.CarrierWebSocket {
		if h.held.PingInterval > 0 {
			_ = h.wire.send(websocket.TextMessage, leave.Text())
		}
		h.wire.bye()
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, time.Second)
	defer cancel()
	for h.posting { // one POST at a time
		select {
		case o := <-h.replies:
			h.posting = h.posting && (o.reply.leg == affinity.LegPoll || o.reply.leg == affinity.LegUpgrade)
			h.late(o)
		case <-ctx.Done():
			return
		}
	}
	// Two requests, as the library makes them: in one payload the server acts
	// on the second packet first.
	for _, p := range []engineio.Packet{leave, {Type: engineio.Close}} {
		if h.line.Allow(ctx) != nil {
			return
		}
		a := h.s.client.ask(affinity.LegPost, http.MethodPost, h.s.at(affinity.CarrierPolling), engineio.Payload(h.s.version, p))
		a.most = 4 << 10 // nobody looks at it
		if r := a.send(ctx, h.s.client, h.s.http.rt, h.s.target, time.Second); r.failure != nil {
			return
		}
	}
}

// drain takes in what came while the session ended.
func (h *ioHold) drain() {
	for {
		select {
		case o := <-h.replies:
			h.late(o)
		default:
			return
		}
	}
}

// late tells of a request that was answered while the session ended, and
// closes what was opened for nobody. A refusal is news only where a refusal
// ended the session: of one that was left or closed nobody is to know.
func (h *ioHold) late(o response) {
	if o.reply.resp != nil && o.reply.failure == nil {
		seen := h.s.client.take(o.reply, h.s.target).Observed
		refused := h.end != nil && h.end.Failed != nil && h.end.Failed.Kind == affinity.FailureSession
		if seen.Failure == nil || refused {
			h.line.Emit(seen)
		}
	}
	if o.conn != nil {
		_ = o.conn.Close()
	}
}
