package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 wants it
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// streamServer answers in memory: a request to upgrade with stream, byte for
// byte, and each other one with the next of bodies; after that it is gone.
type streamServer struct {
	stream []byte
	bodies [][]byte
	group  sync.WaitGroup
	mu     sync.Mutex
}

func (s *streamServer) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	s.group.Go(func() {
		defer server.Close()
		_ = server.SetDeadline(time.Now().Add(10 * time.Second))
		in := bufio.NewReader(server)
		for {
			q, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, q.Body)
			if key := q.Header.Get("Sec-WebSocket-Key"); key != "" {
				s.upgrade(server, in, key)
				return
			}
			body, ok := s.next(q.Method)
			if !ok {
				return
			}
			_, _ = fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
	return client, nil
}

func (s *streamServer) upgrade(c net.Conn, in io.Reader, key string) {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	s.group.Go(func() { _, _ = io.Copy(io.Discard, in) })
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Pod-Name: msgapp-0\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	_, _ = c.Write(s.stream)
}

func (s *streamServer) next(method string) (body []byte, ok bool) {
	if method == http.MethodPost {
		return []byte("ok"), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bodies) == 0 {
		return nil, false
	}
	body, s.bodies = s.bodies[0], s.bodies[1:]
	return body, true
}

// holdStream takes one session of transport through what s sends, and checks
// that it ends, once, in a state that is fit to be shown.
func holdStream(t *testing.T, s *streamServer, transport Transport, o SocketOptions) {
	t.Helper()
	c := newTestClient(t, Options{Dial: s.dial, Timeout: 2 * time.Second, Socket: o}, affinity.ClientBrowser)
	session := transport.Open(c)
	trip := session.Observe(t.Context(), c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: "http://chat.test/app/"}))
	checkBounds(t, trip.Observed)
	if trip.Observed.Failure == nil {
		hold(t, session.(Holder))
	} else if text := trip.Observed.Failure.Text; text == "" || text != affinity.Clean(text, maxText) {
		t.Errorf("failure text %q", text)
	}
	session.Close()
	s.group.Wait()
}

// hold goes on from a handshake.
func hold(t *testing.T, h Holder) {
	t.Helper()
	var mu sync.Mutex
	var ends, events int
	emit := func(e affinity.Event) {
		mu.Lock()
		defer mu.Unlock()
		events++
		switch e := e.(type) {
		case affinity.Observed:
			checkBounds(t, e)
		case affinity.Attributed:
			if len(e.Answer.Body) > maxMessageHead || e.Detail != affinity.Clean(e.Detail, maxText) {
				t.Errorf("word of %d bytes, %q", len(e.Answer.Body), e.Detail)
			}
		case affinity.SocketChanged:
			if p := e.Socket.Protocol; p != affinity.Clean(p, 80) {
				t.Errorf("protocol %q", p)
			}
			end := e.Socket.Ended
			if end == nil {
				return
			}
			ends++
			if end.Text == "" || end.Text != affinity.Clean(end.Text, maxText) || end.Lasted < 0 || end.Silent < 0 || end.Failed == nil {
				t.Errorf("ended %+v", end)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	h.Hold(ctx, Line{Emit: emit, Allow: func(context.Context) error { return nil }, Attend: func() (bool, bool) { return false, false },
		Expiry: func() (time.Time, bool) { return time.Time{}, false }})
	if ctx.Err() != nil {
		t.Error("the session did not end with what it was fed")
	}
	mu.Lock()
	defer mu.Unlock()
	if ends != 1 {
		t.Errorf("it ended %d times", ends)
	}
}

// Frames and packets that real servers send, for fuzzers to start from.
var streamSeeds = [][]byte{
	text(`0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`),
	bytes.Join([][]byte{text(`0{"sid":"a","upgrades":[],"pingInterval":1,"pingTimeout":1}`), text("40"), text(`42["whoami",{"pod":"x"}]`), text("2"), text("41")}, nil),
	bytes.Join([][]byte{text(`0{"sid":"a","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1}`), text(`40{"sid":"x"}`), text("1")}, nil),
	wsFrame(8, true, 11, append([]byte{0x0f, 0xa1}, "\x1b[31m red"...)),
	wsFrame(2, true, 100<<20, []byte("short")),
	wsFrame(1, true, 1<<63, nil),
	bytes.Join([][]byte{wsFrame(1, false, 2, []byte("a\xe2")), wsFrame(0, true, 1, []byte("\x82"))}, nil),
	bytes.Join([][]byte{wsFrame(9, true, 1, []byte("p")), wsFrame(10, true, 8, make([]byte, 8)), text("\xff")}, nil),
}

// FuzzWebSocketStream sends any bytes after the upgrade of a plain WebSocket,
// and of an Engine.IO session that has no other carrier.
func FuzzWebSocketStream(f *testing.F) {
	for _, s := range streamSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		holdStream(t, &streamServer{stream: stream}, wsTransport{}, SocketOptions{Send: "hello"})
		holdStream(t, &streamServer{stream: stream}, ioTransport{}, SocketOptions{IOTransports: IOWebSocket, IOEvent: "whoami", IOAsk: "whoami"})
	})
}

// FuzzPollingStream answers a handshake and the poll after it with any bytes,
// and sends any on the WebSocket that an upgrade opens meanwhile.
func FuzzPollingStream(f *testing.F) {
	const open = `0{"sid":"a","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
	f.Add([]byte(open), []byte("40{\"sid\":\"x\"}\x1e2"), text("3probe"))
	f.Add([]byte(`97:0{"sid":"a","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}2:40`), []byte("1:2"), []byte{})
	f.Add([]byte(open+"\x1e40\x1e6"), []byte("bAAAA\x1e44{\"message\":\"\x1b[31m\"}"), text("3wrong"))
	f.Add([]byte("<!doctype html>"), []byte{}, []byte{})
	f.Add([]byte(open), []byte("4\xff"), wsFrame(8, true, 0, nil))
	f.Fuzz(func(t *testing.T, handshake, poll, stream []byte) {
		holdStream(t, &streamServer{bodies: [][]byte{handshake, poll}, stream: stream}, ioTransport{}, SocketOptions{IOEvent: "whoami"})
	})
}

// endless is a connection whose reads never end, for a stream of any size.
type endless struct {
	head, again []byte
	sent        atomic.Int64
}

func (e *endless) write(c net.Conn) {
	if _, err := c.Write(e.head); err != nil {
		return
	}
	for {
		n, err := c.Write(e.again)
		e.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// TestBadEngineIO is TestBadSockets for an Engine.IO session: it ends with a
// clear state, and memory stays bounded however much comes.
func TestBadEngineIO(t *testing.T) {
	open := text(`0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	joined := append(bytes.Clone(open), text(`40{"sid":"x"}`)...)
	zeroes := make([]byte, 64<<10)
	letters := bytes.Repeat([]byte("a"), 64<<10)
	tests := []struct {
		name        string
		head, again []byte
		text        string
	}{
		{"a frame of 100 MB", append(bytes.Clone(joined), wsFrame(1, true, 100<<20, []byte("4"))...), letters, "a message of more than 16 MiB"},
		{"endless fragments", append(bytes.Clone(joined), wsFrame(1, false, 1, []byte("4"))...), wsFrame(0, false, uint64(len(letters)), letters), "a message of more than 16 MiB"},
		{"an endless handshake", wsFrame(1, false, 1, []byte("0")), wsFrame(0, false, uint64(len(letters)), letters), "a message of more than 16 MiB"},
		{"a wrong length", append(bytes.Clone(joined), wsFrame(1, true, 1<<63, nil)...), nil, "a message of more than 16 MiB"},
		{"text that is not UTF-8", append(bytes.Clone(joined), text("42[\"\xff\"]")...), nil, "not UTF-8"},
		{"no open packet", text("40"), nil, "in place of the open packet"},
		{"an open packet of the wrong shape", text(`0{"sid":7}`), nil, "the open packet's sid is a number"},
		{"a heartbeat of no time", text(`0{"sid":"a","upgrades":[],"pingInterval":0,"pingTimeout":0}`), nil, "not usable Engine.IO"},
		{"a type that is none", append(bytes.Clone(joined), text("9")...), nil, "not usable Engine.IO"},
		{"an empty packet", append(bytes.Clone(joined), text("")...), nil, "not usable Engine.IO"},
		{"Socket.IO that is none", append(bytes.Clone(joined), text("49")...), nil, "not usable Socket.IO"},
		{"a refusal in colours", append(bytes.Clone(open), text(`44{"message":"\u001b[31mno"}`)...), nil, "the namespace / refused the session: ·[31mno"},
		{"binary of another version", append(bytes.Clone(joined), wsFrame(2, true, uint64(len(zeroes)), zeroes)...), []byte{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := &endless{head: tt.head, again: tt.again}
			raw := rawSocket(t, func(c net.Conn) {
				if len(e.again) > 0 {
					e.write(c)
					return
				}
				_, _ = c.Write(e.head)
				if tt.text != "" {
					_, _ = io.Copy(io.Discard, c)
				}
			})
			b := beside(t, raw, "socketio", SocketOptions{IOTransports: IOWebSocket}, hasEnded)
			end := endsOf(b.all)[0]
			b.check(t, end.By, end.Failed.Kind, tt.text, 8<<20)
		})
	}
}
