package probe

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 wants it
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// rawSocket serves WebSockets frame by frame.
func rawSocket(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	raw, _ := rawServer(t, upgrading(talk))
	return raw
}

// upgrading answers a request to upgrade, and then talks.
func upgrading(talk func(net.Conn)) func(net.Conn, string) { return upgradingWith("", talk) }

// upgradingWith answers with more header lines.
func upgradingWith(lines string, talk func(net.Conn)) func(net.Conn, string) {
	return func(c net.Conn, request string) {
		q, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Pod-Name: msgapp-0\r\nSec-WebSocket-Accept: "+
			base64.StdEncoding.EncodeToString(sum[:])+"\r\n"+lines+"\r\n")
		talk(c)
	}
}

// wsFrame is one unmasked frame with any length in its header.
func wsFrame(op byte, fin bool, length uint64, payload []byte) []byte {
	if fin {
		op |= 0x80
	}
	f := []byte{op}
	switch {
	case length < 126:
		f = append(f, byte(length))
	case length < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 126), uint16(length))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 127), length)
	}
	return append(f, payload...)
}

func text(s string) []byte { return wsFrame(1, true, uint64(len(s)), []byte(s)) }

// TestBadSockets feeds a session what no server should send. Each ends that
// one session with a clear state, and memory stays bounded.
func TestBadSockets(t *testing.T) {
	zeroes := make([]byte, 64<<10)
	forever := func(c net.Conn, f []byte) {
		for {
			if _, err := c.Write(f); err != nil {
				return
			}
		}
	}
	write := func(parts ...[]byte) func(net.Conn) {
		return func(c net.Conn) {
			for _, p := range parts {
				_, _ = c.Write(p)
			}
			_, _ = io.Copy(io.Discard, c)
		}
	}
	tests := []struct {
		name string
		talk func(net.Conn)
		by   affinity.EndedBy
		kind affinity.FailureKind
		text string
	}{
		{"a frame of 100 MB", func(c net.Conn) {
			_, _ = c.Write(wsFrame(2, true, 100<<20, nil))
			forever(c, zeroes)
		}, affinity.EndedByClient, affinity.FailureProtocol, "a message of more than 16 MiB"},
		{"endless fragments", func(c net.Conn) {
			_, _ = c.Write(wsFrame(2, false, uint64(len(zeroes)), zeroes))
			forever(c, wsFrame(0, false, uint64(len(zeroes)), zeroes))
		}, affinity.EndedByClient, affinity.FailureProtocol, "a message of more than 16 MiB"},
		{"a length with the highest bit", write(wsFrame(2, true, 1<<63, nil)), affinity.EndedByClient, affinity.FailureProtocol, "a message of more than 16 MiB"},
		{"a long control frame", write(wsFrame(9, true, 200, zeroes[:200])), affinity.EndedByClient, affinity.FailureProtocol, "len > 125 for control"},
		{"a fragmented control frame", write(wsFrame(9, false, 0, nil)), affinity.EndedByClient, affinity.FailureProtocol, "FIN not set on control"},
		{"a continuation of nothing", write(wsFrame(0, true, 0, nil)), affinity.EndedByClient, affinity.FailureProtocol, "continuation after FIN"},
		{"reserved bits", write(wsFrame(0x41, true, 0, nil)), affinity.EndedByClient, affinity.FailureProtocol, "RSV1 set"},
		{"an unknown opcode", write(wsFrame(3, true, 0, nil)), affinity.EndedByClient, affinity.FailureProtocol, "bad opcode 3"},
		{"a masked frame", write([]byte{0x81, 0x81, 1, 2, 3, 4, 'a' ^ 1}), affinity.EndedByClient, affinity.FailureProtocol, "bad MASK"},
		{"text that is not UTF-8", write(text("a\xff")), affinity.EndedByClient, affinity.FailureProtocol, "a text message is not UTF-8"},
		{"text that ends in the middle of a character", write(wsFrame(1, false, 2, []byte("a\xe2")), wsFrame(0, true, 1, []byte("\x82"))), affinity.EndedByClient, affinity.FailureProtocol, "not UTF-8"},
		{"a close code", write(wsFrame(8, true, 11, append([]byte{0x0f, 0xa1}, "\x1b[31m red"...))), affinity.EndedByServer, affinity.FailureClosed, "closed by the server with code 4001: "},
		{"a close without a code", write(wsFrame(8, true, 0, nil)), affinity.EndedByServer, affinity.FailureClosed, "closed by the server with code 1005 (no status)"},
		{"a bad close code", write(wsFrame(8, true, 2, []byte{0, 1})), affinity.EndedByClient, affinity.FailureProtocol, "bad close code 1"},
		{"a cut", func(net.Conn) {}, affinity.EndedByUnknown, affinity.FailureClosed, "cut without a close frame after 0."},
		{"a cut in a frame", func(c net.Conn) { _, _ = c.Write(wsFrame(1, true, 100, []byte("a"))) }, affinity.EndedByUnknown, affinity.FailureClosed, "cut without a close frame"},
		{"a reset", reset, affinity.EndedByUnknown, affinity.FailureClosed, "cut without a close frame"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := rawSocket(t, tt.talk)
			beside(t, raw, "ws", SocketOptions{}, hasEnded).check(t, tt.by, tt.kind, tt.text, 8<<20)
		})
	}
}

// TestTextAcrossFragments keeps a character that is split between frames.
func TestTextAcrossFragments(t *testing.T) {
	raw := rawSocket(t, func(c net.Conn) {
		_, _ = c.Write(wsFrame(1, false, 2, []byte("a\xe2")))
		_, _ = c.Write(wsFrame(0, true, 2, []byte("\x82\xac")))
		_, _ = io.Copy(io.Discard, c)
	})
	r := mustRunner(t, Options{})
	rec, stop := start(t, r)
	defer stop()
	r.Want(socketPlan(raw, "ws", 1, affinity.ClientBrowser))
	rec.until(t, "message", func(all []affinity.Event) bool { return len(eventsOf[affinity.Attributed](all)) > 0 })
	if got := string(eventsOf[affinity.Attributed](rec.all())[0].Answer.Body); got != "a€" {
		t.Errorf("message %q", got)
	}
}

// TestRefusedSockets are upgrades that come to nothing; what the server said
// is kept.
func TestRefusedSockets(t *testing.T) {
	tests := []struct {
		name, answer string
		kind         affinity.FailureKind
		text         string
		code         int // -2 for none
	}{
		{"of engine.io", "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 18\r\n\r\nSession ID unknown", affinity.FailureSession, "400 Session ID unknown (code 1)", 1},
		{"forbidden", "HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\n\r\nwrong origin", affinity.FailureDenied, "403 Forbidden: wrong origin", -2},
		{"bad gateway", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", affinity.FailureStatus, "502 Bad Gateway", -2},
		{"a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", affinity.FailureForeign, "200 with text/html in place of a WebSocket: <html>", -2},
		{"sent away", "HTTP/1.1 302 Found\r\nLocation: https://sso.test/\r\nContent-Length: 0\r\n\r\n", affinity.FailureRedirect, "302 leads to https://sso.test/, not followed", -2},
		{"an upgrade to something else", "HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", affinity.FailureDenied, "101 Switching Protocols", -2},
		{"a wrong accept key", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", affinity.FailureDenied, "101 Switching Protocols", -2},
		{"no answer", "", affinity.FailureOther, "the connection closed before an answer came", -2},
		{"no HTTP", "SSH-2.0-OpenSSH\r\n", affinity.FailureProtocol, "not a usable HTTP answer", -2},
		{"a header that does not end", "HTTP/1.1 101 x\r\nX: " + strings.Repeat("a", 1<<20), affinity.FailureProtocol, "not a usable HTTP answer", -2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leakCheck(t)
			raw, _ := rawServer(t, say(tt.answer))
			c := newTestClient(t, Options{}, affinity.ClientBrowser)
			s := wsTransport{}.Open(c)
			defer s.Close()
			o := s.Observe(t.Context(), c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: raw})).Observed
			checkBounds(t, o)
			code := -2
			if o.Refused != nil {
				code = o.Refused.Code
			}
			if o.Failure == nil || o.Failure.Kind != tt.kind || !strings.Contains(o.Failure.Text, tt.text) || code != tt.code {
				t.Errorf("status %d, code %d, %+v", o.Status, code, o.Failure)
			}
		})
	}
}

// TestSocketWithARealServer speaks with the ws package.
func TestSocketWithARealServer(t *testing.T) {
	p := startPeer(t, "ws", "msgapp-a", "")
	r := mustRunner(t, Options{Socket: SocketOptions{Subprotocols: []string{"chat.v2", "chat.v1"}, Header: http.Header{"X-Extra": {"more"}},
		Send: "hello", Expect: `"text":"hello"`, Ping: time.Second}})
	rec, stop := start(t, r)
	r.Want(socketPlan(p.url.String()+"/chat?room=1", "ws", 1, affinity.ClientBrowser))
	rec.until(t, "two round trips", func(all []affinity.Event) bool {
		n := 0
		for _, s := range socketsOf(all) {
			if s.RTT > 0 {
				n++
			}
		}
		return n >= 2
	})
	said := eventsOf[affinity.Attributed](rec.all())
	if len(said) != 2 || string(said[0].Answer.Body) != `{"pod":"msgapp-a"}` || !strings.Contains(string(said[1].Answer.Body), "hello") {
		t.Errorf("the server said %+v", said)
	}
	all := socketsOf(rec.all())
	last := all[0]
	if last.Joined || !strings.HasPrefix(last.Note, "no message with ") || !all[1].Joined || all[1].Note != "" {
		t.Errorf("the answer came, and first it stood %+v, then %+v", last, all[1])
	}
	if last.Protocol != "WebSocket chat.v2" {
		t.Errorf("protocol %q", last.Protocol)
	}
	stop()
	saw := p.waitLog(t, "connect", 1)[0]
	legs := eventsOf[affinity.Observed](rec.all())
	if saw.Protocol != "chat.v2" || saw.Extra != "more" || saw.Origin != p.url.String() || saw.RequestID != legs[0].RequestID || len(legs) != 1 || legs[0].Status != 101 {
		t.Errorf("the server saw %+v, the session %+v", saw, legs)
	}
	if bye := p.waitLog(t, "disconnect", 1)[0]; bye.Code != 1000 {
		t.Errorf("it left with code %d", bye.Code)
	}
}

// TestSocketEnds are the ways that a real server ends a WebSocket.
func TestSocketEnds(t *testing.T) {
	for send, want := range map[string]struct {
		by   affinity.EndedBy
		code int
		text string
	}{
		"close":        {affinity.EndedByServer, 4001, "closed by the server with code 4001: go away"},
		"kill":         {affinity.EndedByUnknown, 0, "cut without a close frame"},
		"big 17000000": {affinity.EndedByClient, 0, "a message of more than 16 MiB"},
	} {
		t.Run(send, func(t *testing.T) {
			p := startPeer(t, "ws", "msgapp-a", "")
			r := mustRunner(t, Options{Socket: SocketOptions{Send: send}})
			rec, stop := start(t, r)
			defer stop()
			r.Want(socketPlan(p.url.String(), "ws", 1, affinity.ClientNoJar))
			rec.until(t, "end", func(all []affinity.Event) bool { return len(endsOf(all)) > 0 })
			end := endsOf(rec.all())[0]
			if end.By != want.by || end.Code != want.code || !strings.Contains(end.Text, want.text) {
				t.Errorf("ended by %s, %d: %q", end.By, end.Code, end.Text)
			}
			if origin := p.waitLog(t, "connect", 1)[0].Origin; origin != "" {
				t.Errorf("a client that is no browser came from %q", origin)
			}
		})
	}
}

// TestSubprotocolNotAgreed: clients give up a WebSocket whose server picks none of
// the subprotocols that they offered, or one that they did not.
func TestSubprotocolNotAgreed(t *testing.T) {
	for name, tt := range map[string]struct {
		offered []string
		picked  string // header line of the answer
		want    string // "" for an open WebSocket
	}{
		"none of those":       {[]string{"other", "more"}, "", "the server picked no subprotocol of those offered: other, more"},
		"an empty one":        {[]string{"other"}, "Sec-WebSocket-Protocol: \r\n", "the server picked no subprotocol of those offered: other"},
		"another":             {[]string{"other"}, "Sec-WebSocket-Protocol: chat.v1\r\n", `the server picked subprotocol "chat.v1", which was not offered: other`},
		"two":                 {[]string{"a", "b"}, "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n", `the server picked subprotocol "a, b"`},
		"one, asked of none":  {nil, "Sec-WebSocket-Protocol: chat.v1\r\n", `the server picked subprotocol "chat.v1", and none was offered`},
		"the second":          {[]string{"a", "b"}, "Sec-WebSocket-Protocol: b\r\n", ""},
		"none, asked of none": {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			raw, _ := rawServer(t, upgradingWith(tt.picked, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
			r := mustRunner(t, Options{Socket: SocketOptions{Subprotocols: tt.offered}})
			rec, stop := start(t, r)
			defer stop()
			r.Want(socketPlan(raw, "ws", 1, affinity.ClientBrowser))
			rec.until(t, "answer", func(all []affinity.Event) bool { return len(eventsOf[affinity.Observed](all)) > 0 })
			o := eventsOf[affinity.Observed](rec.all())[0]
			if tt.want == "" {
				if o.Failure != nil {
					t.Errorf("%+v", o.Failure)
				}
				rec.until(t, "held", func(all []affinity.Event) bool { return len(socketsOf(all)) > 0 })
				return
			}
			if o.Failure == nil || o.Failure.Kind != affinity.FailureDenied || !strings.HasPrefix(o.Failure.Text, tt.want) || len(socketsOf(rec.all())) > 0 {
				t.Errorf("status %d, %+v, want %q", o.Status, o.Failure, tt.want)
			}
		})
	}
}

// TestNoEcho ends a session whose server takes messages and answers none.
func TestNoEcho(t *testing.T) {
	raw := rawSocket(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, o := range map[string]SocketOptions{"echo": {Send: "hello", Expect: "hello"}, "pong": {Ping: time.Second}} {
		joined := name == "pong" // nothing was expected of it
		r := mustRunner(t, Options{Timeout: 300 * time.Millisecond, Socket: o})
		rec, stop := start(t, r)
		r.Want(socketPlan(raw, "ws", 1, affinity.ClientBrowser))
		rec.until(t, "end", func(all []affinity.Event) bool { return len(endsOf(all)) > 0 })
		stop()
		if end := endsOf(rec.all())[0]; end.By != affinity.EndedByClient || end.Failed == nil || end.Failed.Kind != affinity.FailureTimeout || !strings.HasSuffix(end.Text, "within 300ms") {
			t.Errorf("%s: ended by %s: %q", name, end.By, end.Text)
		}
		all := socketsOf(rec.all())
		if all[len(all)-1].Joined != joined {
			t.Errorf("%s: joined %t", name, !joined)
		}
		if note := map[bool]string{false: `no message with "hello" yet`}[joined]; all[0].Note != note || endedNote(all) != "" {
			t.Errorf("%s: notes %q, want %q while it is held: %q", name, all[0].Note, note, endedNote(all))
		}
	}
}

// endedNote is the note of the first connection that ended.
func endedNote(all []affinity.Socket) string {
	for _, s := range all {
		if s.Ended != nil {
			return s.Note
		}
	}
	return "none ended"
}

// TestIdle holds a quiet WebSocket behind a proxy that cuts after a while, and
// says after how much silence, and that nobody said why.
func TestIdle(t *testing.T) {
	raw := rawSocket(t, func(c net.Conn) {
		_ = c.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
		n, _ := io.Copy(io.Discard, c)
		if n > 0 {
			t.Errorf("%d bytes were sent", n)
		}
	})
	r := mustRunner(t, Options{Socket: SocketOptions{Idle: true, Send: "hello", Ping: time.Second}})
	rec, stop := start(t, r)
	defer stop()
	r.Want(socketPlan(raw, "ws", 1, affinity.ClientBrowser))
	rec.until(t, "end", func(all []affinity.Event) bool { return len(endsOf(all)) > 0 })
	end := endsOf(rec.all())[0]
	if end.By != affinity.EndedByUnknown || end.Silent < 600*time.Millisecond || end.Silent > 2*time.Second || !strings.Contains(end.Text, "without a frame") {
		t.Errorf("ended by %s after %s: %q", end.By, end.Silent, end.Text)
	}
}

func TestSocketOptions(t *testing.T) {
	for want, o := range map[string]SocketOptions{
		"ping interval 1ms":                 {Ping: time.Millisecond},
		`Socket.IO path "x"`:                {IOPath: "x"},
		`Socket.IO namespace "admin"`:       {IONamespace: "admin"},
		`Socket.IO transports "carrier"`:    {IOTransports: "carrier"},
		"engine.IO version 5":               {IOVersion: 5},
		"the Socket.IO auth payload is not": {IOAuth: "[1]"},
		`origin "chat.test"`:                {Origin: "chat.test"},
		`header "A B"`:                      {Header: http.Header{"A B": {"x"}}},
		`header "A"`:                        {Header: http.Header{"A": {"x\r\nB: y"}}},
	} {
		if _, err := NewRunner(Options{Socket: o}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}
