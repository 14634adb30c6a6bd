package demo

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubestickytop/stickytop/internal/demo/loopback"
)

// serveChat runs a chat server until the test ends, or stop is called.
func serveChat(t *testing.T, names string) (c *chat, base string, stop func()) {
	t.Helper()
	open := make(chan struct{})
	close(open)
	c = newChat("web-1", names, func() <-chan struct{} { return open })
	server, err := loopback.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("the server does not end while sessions are held")
		}
	})
	t.Cleanup(stop)
	return c, "http://" + server.Addr() + chatPath, stop
}

func request(t *testing.T, method, url, body string) (status int, answer string, header http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// handshake returns the sid of a new session.
func handshake(t *testing.T, base string) string {
	t.Helper()
	status, text, _ := request(t, http.MethodGet, base+"?EIO=4&transport=polling", "")
	return sidOf(t, status, text)
}

func sidOf(t *testing.T, status int, text string) string {
	t.Helper()
	var open struct {
		SID      string
		Upgrades []string
	}
	if status != http.StatusOK && status != http.StatusSwitchingProtocols || !strings.HasPrefix(text, "0{") || json.Unmarshal([]byte(text[1:]), &open) != nil || open.SID == "" {
		t.Fatalf("handshake: %d %q", status, text)
	}
	return open.SID
}

// TestChatPolls does what a client without WebSockets does.
func TestChatPolls(t *testing.T) {
	_, base, _ := serveChat(t, namesInHeader)
	at := base + "?EIO=4&transport=polling&sid=" + handshake(t, base)
	if status, text, header := request(t, http.MethodPost, at, "40"); status != 200 || text != "ok" || header.Get("X-Pod-Name") != "web-1" {
		t.Errorf("CONNECT: %d %q %v", status, text, header)
	}
	if status, text, _ := request(t, http.MethodGet, at, ""); status != 200 || !strings.HasPrefix(text, `40{"sid":"`) {
		t.Errorf("poll: %d %q", status, text)
	}
	request(t, http.MethodPost, at, `421["whoami"]`+record+"3")
	if _, text, _ := request(t, http.MethodGet, at, ""); text != `431[{"pod":"web-1"}]` {
		t.Errorf("ack: %q", text)
	}
	request(t, http.MethodPost, at, "41")
	if status, text, _ := request(t, http.MethodGet, at, ""); status != 400 || !strings.Contains(text, `"code":1`) {
		t.Errorf("after DISCONNECT: %d %q", status, text)
	}
}

func TestChatRefuses(t *testing.T) {
	_, base, _ := serveChat(t, namesInBody)
	sid := handshake(t, base)
	for _, tt := range []struct {
		method, query, body string
		status              int
		answer              string
	}{
		{"GET", "?EIO=4&transport=carrier-pigeon", "", 400, `{"code":0,"message":"Transport unknown"}`},
		{"GET", "?EIO=4&transport=polling&sid=nobodys", "", 400, `{"code":1,"message":"Session ID unknown"}`},
		{"POST", "?EIO=4&transport=polling", "40", 400, `{"code":2,"message":"Bad handshake method"}`},
		// The ownership oracle: naming the other transport, without an upgrade.
		{"GET", "?EIO=4&transport=websocket&sid=" + sid, "", 400, `{"code":3,"message":"Bad request"}`},
		{"GET", "?EIO=3&transport=polling", "", 400, `{"code":5,"message":"Unsupported protocol version"}`},
		{"POST", "?EIO=4&transport=polling&sid=" + sid, strings.Repeat("4", maxPayload+1), 413, ""},
	} {
		status, text, _ := request(t, tt.method, base+tt.query, tt.body)
		if status != tt.status || strings.TrimSpace(text) != tt.answer {
			t.Errorf("%s %s: %d %q, want %d %s", tt.method, tt.query, status, text, tt.status, tt.answer)
		}
	}
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(base, "http")+"?EIO=4&transport=websocket&sid=nobodys", nil)
	if err == nil || resp == nil || resp.StatusCode != 400 {
		t.Fatalf("upgrade of nobody's session: %v", err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); string(text) != "Session ID unknown" {
		t.Errorf("upgrade of nobody's session: %q, want the words alone", text)
	}
}

// TestChatOverlap wants a second poll beside the first to end the session.
func TestChatOverlap(t *testing.T) {
	c, base, _ := serveChat(t, namesInHeader)
	sid := handshake(t, base)
	at := base + "?EIO=4&transport=polling&sid=" + sid
	first := make(chan string, 1)
	go func() {
		_, text, _ := request(t, http.MethodGet, at, "")
		first <- text
	}()
	for inFlight := false; !inFlight; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		s := c.sessions[sid]
		c.mu.Unlock()
		s.mu.Lock()
		inFlight = s.polling
		s.mu.Unlock()
	}
	if status, text, _ := request(t, http.MethodGet, at, ""); status != 400 || text != "" {
		t.Errorf("second poll: %d %q, want an empty 400", status, text)
	}
	if text := <-first; text != "1" {
		t.Errorf("first poll: %q, want the close packet", text)
	}
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func expect(t *testing.T, conn *websocket.Conn, prefix string) string {
	t.Helper()
	_, text, err := conn.ReadMessage()
	if err != nil || !strings.HasPrefix(string(text), prefix) {
		t.Fatalf("%q, %v, want %q", text, err, prefix)
	}
	return string(text)
}

func send(t *testing.T, conn *websocket.Conn, packet string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		t.Fatal(err)
	}
}

// TestChatUpgrades takes a session from polling to a WebSocket, and ends the
// process under it.
func TestChatUpgrades(t *testing.T) {
	_, base, stop := serveChat(t, namesInBody)
	sid := handshake(t, base)
	at := base + "?EIO=4&transport=polling&sid=" + sid
	polled := make(chan string, 1)
	go func() {
		_, text, _ := request(t, http.MethodGet, at, "")
		polled <- text
	}()
	conn := dial(t, base+"?EIO=4&transport=websocket&sid="+sid)
	send(t, conn, "2probe")
	expect(t, conn, "3probe")
	if text := <-polled; text != "6" {
		t.Errorf("the poll in flight came back with %q, want a noop", text)
	}
	send(t, conn, "5")
	send(t, conn, "40")
	if text := expect(t, conn, "40{"); !strings.Contains(text, `"pod":"web-1"`) {
		t.Errorf("CONNECT payload %s does not name the pod", text)
	}
	if status, text, _ := request(t, http.MethodGet, at, ""); status != 400 || !strings.Contains(text, `"code":3`) {
		t.Errorf("a poll after the upgrade: %d %q, want code 3", status, text)
	}
	stop()
	if _, _, err := conn.ReadMessage(); err == nil || websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
		t.Errorf("the process ended: %v, want a cut without a word", err)
	}
}

func TestChatWebSocketOnly(t *testing.T) {
	c, base, _ := serveChat(t, namesInHeader)
	conn := dial(t, base+"?EIO=4&transport=websocket")
	sidOf(t, http.StatusSwitchingProtocols, expect(t, conn, "0{"))
	send(t, conn, "40{}")
	expect(t, conn, "40{")
	send(t, conn, "1")
	if _, _, err := conn.ReadMessage(); err == nil {
		t.Error("the connection goes on after a close packet")
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		n := len(c.sessions)
		c.mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Error("the session is still known")
}

// TestChatBeats follows the heartbeat's clock, without waiting for it.
func TestChatBeats(t *testing.T) {
	now := time.Now()
	s := &chatSession{ended: make(chan struct{}), wake: make(chan struct{}, 1), ping: now}
	step := func(after time.Duration, next time.Duration, alive bool, out string) {
		t.Helper()
		got, ok := s.beat(now.Add(after))
		if got.Sub(now) != next || ok != alive || strings.Join(s.take(), " ") != out {
			t.Errorf("at %s: next %s, alive %v", after, got.Sub(now), ok)
		}
	}
	step(24*time.Second, 25*time.Second, true, "")
	step(25*time.Second, 45*time.Second, true, "2")
	step(44*time.Second, 45*time.Second, true, "")
	step(45*time.Second, 45*time.Second, false, "")
}
