package demo

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// chat is the Socket.IO server of one process: Engine.IO 4 by long polling and
// by WebSocket, with the upgrade between them, and the namespace "/". What it
// knows is in its memory alone, as with socket.io 4 without cluster engine, so
// that another pod, or this one after a restart, answers code 1.
// [socketio/socket.io packages/engine.io/lib/{server,socket}.ts]
//
// It shares no code with the client of internal/probe, which it is a peer of.
type chat struct {
	pod   string
	names string
	gate  func() <-chan struct{} // closed unless the process is frozen

	mu       sync.Mutex
	sessions map[string]*chatSession
}

// Of socket.io by default.
const (
	chatPath       = "/socket.io/"
	pingInterval   = 25 * time.Second
	pingTimeout    = 20 * time.Second
	upgradeTimeout = 10 * time.Second
	maxPayload     = 1_000_000
	maxChat        = 10_000 // sessions
)

// Engine.IO's reasons for a refusal.
const (
	codeTransport = iota
	codeSID
	codeMethod
	codeRequest
	codeForbidden
	codeVersion
)

var codeText = [...]string{"Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version"}

// chatSession is one Engine.IO session.
type chatSession struct {
	sid   string
	ended chan struct{}
	wake  chan struct{} // one slot: there is something to send

	mu      sync.Mutex
	out     []string // packets that wait
	polling bool     // a GET is in flight
	probing bool     // an upgrade is under way: polls come back at once
	socket  bool     // the WebSocket carries it
	joined  bool
	over    bool
	seen    time.Time // last request or frame
	ping    time.Time // last ping, or the handshake
	waiting bool      // for its pong
}

func newChat(pod, names string, gate func() <-chan struct{}) *chat {
	return &chat{pod: pod, names: names, gate: gate, sessions: map[string]*chatSession{}}
}

// ServeHTTP answers one request of an Engine.IO client. That of a WebSocket
// lasts as long as the connection.
func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	upgrade := websocket.IsWebSocketUpgrade(r)
	s, code := c.verify(r.Method, q.Get("EIO"), q.Get("transport"), q.Get("sid"), upgrade)
	if code >= 0 {
		c.refuse(w, upgrade, code)
		return
	}
	switch {
	case upgrade:
		c.upgrade(w, r, s)
	case s == nil:
		if s = c.open(); s == nil {
			c.refuse(w, false, codeForbidden)
			return
		}
		c.reply(w, []string{s.hello()})
	case r.Method == http.MethodPost:
		c.post(w, r, s)
	default:
		c.poll(w, r, s)
	}
}

// verify follows engine.io's, in its order. code is -1 when all is well.
func (c *chat) verify(method, version, transport, sid string, upgrade bool) (s *chatSession, code int) {
	if transport != "polling" && transport != "websocket" {
		return nil, codeTransport
	}
	if sid == "" {
		switch {
		case method != http.MethodGet:
			return nil, codeMethod
		case version != "4":
			return nil, codeVersion
		case transport == "websocket" && !upgrade:
			return nil, codeRequest
		}
		return nil, -1
	}
	c.mu.Lock()
	s = c.sessions[sid]
	c.mu.Unlock()
	if s == nil {
		return nil, codeSID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !upgrade && s.socket != (transport == "websocket") || upgrade && s.socket {
		return nil, codeRequest
	}
	s.seen = time.Now()
	return s, -1
}

// refuse answers with JSON, or to an upgrade with the words alone.
func (c *chat) refuse(w http.ResponseWriter, upgrade bool, code int) {
	c.sign(w.Header())
	status := http.StatusBadRequest
	if code == codeForbidden {
		status = http.StatusForbidden
	}
	if upgrade {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, codeText[code])
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "message": codeText[code]})
}

// sign names the pod in a response, where this workload does so in headers.
func (c *chat) sign(h http.Header) {
	if c.names == namesInHeader {
		h["X-Pod-Name"] = []string{c.pod}
	}
}

func (c *chat) open() *chatSession {
	id := make([]byte, 15)
	_, _ = rand.Read(id)
	now := time.Now()
	s := &chatSession{sid: base64.RawURLEncoding.EncodeToString(id), ended: make(chan struct{}), wake: make(chan struct{}, 1), seen: now, ping: now}
	c.mu.Lock()
	defer c.mu.Unlock()
	for sid, old := range c.sessions {
		if old.silent(now) {
			old.end()
			delete(c.sessions, sid)
		}
	}
	if len(c.sessions) >= maxChat {
		return nil
	}
	c.sessions[s.sid] = s
	return s
}

func (s *chatSession) hello() string {
	return fmt.Sprintf(`0{"sid":%q,"upgrades":["websocket"],"pingInterval":%d,"pingTimeout":%d,"maxPayload":%d}`,
		s.sid, pingInterval.Milliseconds(), pingTimeout.Milliseconds(), maxPayload)
}

// silent reports whether a session that polls has been given up.
func (s *chatSession) silent(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.socket && !s.polling && now.Sub(s.seen) > pingInterval+pingTimeout
}

func (s *chatSession) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		close(s.ended)
	}
}

// drop forgets a session.
func (c *chat) drop(s *chatSession) {
	s.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s.sid)
}

// say sends packets by whatever carries the session.
func (s *chatSession) say(packets ...string) {
	s.mu.Lock()
	s.out = append(s.out, packets...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *chatSession) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out
	s.out = nil
	return out
}

// beat is when the heartbeat has something to do next, and does it when that
// is now. It reports false when the client has not answered in time.
func (s *chatSession) beat(now time.Time) (next time.Time, alive bool) {
	s.mu.Lock()
	due := s.ping.Add(pingInterval)
	if s.waiting {
		due = s.ping.Add(pingTimeout)
	}
	if now.Before(due) {
		s.mu.Unlock()
		return due, true
	}
	if s.waiting {
		s.mu.Unlock()
		return due, false
	}
	s.ping, s.waiting = now, true
	s.mu.Unlock()
	s.say("2")
	return now.Add(pingTimeout), true
}

// handle takes in one packet, and reports whether the session goes on.
func (c *chat) handle(s *chatSession, packet string) bool {
	select {
	case <-c.gate():
	case <-s.ended:
		return false
	}
	s.mu.Lock()
	s.seen = time.Now()
	joined := s.joined
	s.mu.Unlock()
	switch {
	case packet == "3":
		s.mu.Lock()
		s.ping, s.waiting = time.Now(), false
		s.mu.Unlock()
	case packet == "40" || strings.HasPrefix(packet, "40{"):
		s.mu.Lock()
		s.joined = true
		s.mu.Unlock()
		s.say("40" + c.about(map[string]string{"sid": s.sid[:10]}))
	case packet == "1" || packet == "41":
		return false
	case strings.HasPrefix(packet, "42") && joined:
		// An event with an ack: 42ID["whoami"].
		if id, _, found := strings.Cut(packet[2:], `["whoami"`); found && strings.Trim(id, "0123456789") == "" && len(id) < 10 {
			s.say("43" + id + "[" + c.about(map[string]string{"pod": c.pod}) + "]")
		}
	}
	return true
}

// about is a JSON object that also names the pod, where this workload does so
// in bodies.
func (c *chat) about(o map[string]string) string {
	if c.names == namesInBody {
		o["pod"] = c.pod
	}
	text, _ := json.Marshal(o)
	return string(text)
}

// record separates packets in the body of a poll.
const record = "\x1e"

func (c *chat) reply(w http.ResponseWriter, packets []string) {
	c.sign(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_, _ = io.WriteString(w, strings.Join(packets, record))
}

func (c *chat) post(w http.ResponseWriter, r *http.Request, s *chatSession) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	c.sign(w.Header())
	switch {
	case err != nil:
		return
	case len(body) > maxPayload:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	for packet := range strings.SplitSeq(string(body), record) {
		if !c.handle(s, packet) {
			c.drop(s)
			break
		}
	}
	_, _ = io.WriteString(w, "ok")
}

// poll answers a GET once there is something to say. A second one beside it
// ends the session, with an empty 400.
func (c *chat) poll(w http.ResponseWriter, r *http.Request, s *chatSession) {
	s.mu.Lock()
	overlap := s.polling
	s.polling = true
	s.mu.Unlock()
	if overlap {
		c.drop(s)
		c.sign(w.Header())
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	defer func() {
		s.mu.Lock()
		s.polling, s.seen = false, time.Now()
		s.mu.Unlock()
	}()
	for {
		next, alive := s.beat(time.Now())
		if packets := s.take(); len(packets) > 0 {
			c.reply(w, packets)
			return
		}
		s.mu.Lock()
		probing := s.probing
		s.mu.Unlock()
		if probing {
			c.reply(w, []string{"6"})
			return
		}
		if !alive {
			c.drop(s)
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.ended:
			timer.Stop()
			c.reply(w, []string{"1"})
			return
		case <-r.Context().Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// upgrade opens a WebSocket: for a session that polls, or with s nil for one
// that begins with it.
func (c *chat) upgrade(w http.ResponseWriter, r *http.Request, s *chatSession) {
	fresh := s == nil
	if fresh {
		if s = c.open(); s == nil {
			c.refuse(w, true, codeForbidden)
			return
		}
	}
	header := http.Header{}
	c.sign(header)
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, ReadBufferSize: 1024, WriteBufferSize: 1024}
	conn, err := up.Upgrade(w, r, header)
	if err != nil {
		if fresh {
			c.drop(s)
		}
		return
	}
	defer conn.Close()
	conn.SetReadLimit(maxPayload)
	if fresh {
		s.say(s.hello())
	} else if !probe(conn, s) {
		return // and the session goes on polling
	}
	s.mu.Lock()
	s.socket, s.probing = true, false
	s.mu.Unlock()
	defer c.drop(s)
	c.carry(conn, s)
}

// probe does the server's side of an upgrade: 2probe, 3probe, 5.
func probe(conn *websocket.Conn, s *chatSession) bool {
	set := func(probing bool) {
		s.mu.Lock()
		s.probing = probing
		s.mu.Unlock()
	}
	_ = conn.SetReadDeadline(time.Now().Add(upgradeTimeout))
	if _, text, err := conn.ReadMessage(); err != nil || string(text) != "2probe" {
		return false
	}
	set(true)
	select {
	case s.wake <- struct{}{}: // the poll in flight comes back
	default:
	}
	if conn.WriteMessage(websocket.TextMessage, []byte("3probe")) != nil {
		set(false)
		return false
	}
	if _, text, err := conn.ReadMessage(); err != nil || string(text) != "5" {
		set(false)
		return false
	}
	return true
}

// carry talks over a WebSocket until either side ends it.
func (c *chat) carry(conn *websocket.Conn, s *chatSession) {
	var writer sync.WaitGroup
	defer writer.Wait()
	defer s.end()
	writer.Go(func() {
		defer conn.Close()
		for {
			next, alive := s.beat(time.Now())
			for _, p := range s.take() {
				_ = conn.SetWriteDeadline(time.Now().Add(pingTimeout))
				if conn.WriteMessage(websocket.TextMessage, []byte(p)) != nil {
					return
				}
			}
			if !alive {
				return
			}
			timer := time.NewTimer(time.Until(next))
			select {
			case <-s.wake:
			case <-timer.C:
				select { // a frozen process pings nobody
				case <-c.gate():
				case <-s.ended:
				}
			case <-s.ended:
				timer.Stop()
				return
			}
			timer.Stop()
		}
	})
	for {
		_ = conn.SetReadDeadline(time.Now().Add(pingInterval + pingTimeout))
		kind, text, err := conn.ReadMessage()
		if err != nil || kind == websocket.TextMessage && !c.handle(s, string(text)) {
			return
		}
	}
}
