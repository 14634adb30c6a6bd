package probe

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// besides is what became of a session of a hostile server, s01, next to which
// one of a good server, s02, went on asking.
type besides struct {
	all       []affinity.Event
	allocated int64 // bytes, by everything in the process until the end
	kept      int64 // bytes more than before, with the sessions still held
}

// beside holds a session of hostile's until done, and checks that its neighbour
// in the same Runner is still answered after that.
func beside(t *testing.T, hostile, transport string, o SocketOptions, done func([]affinity.Event) bool) besides {
	t.Helper()
	leakCheck(t)
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(good.Close)
	r := mustRunner(t, Options{Interval: 100 * time.Millisecond, Socket: o})
	rec, stop := start(t, r)
	before, live := allocated(), inUse()
	r.Want(affinity.Plan{
		Routes: []affinity.Route{{ID: "bad", Kind: affinity.RouteURL, URL: hostile}, {ID: "good", Kind: affinity.RouteURL, URL: good.URL}},
		Sessions: []affinity.SessionSpec{{ID: "s01", Route: "bad", Transport: transport, Client: affinity.ClientBrowser},
			{ID: "s02", Route: "good", Transport: "http", Client: affinity.ClientBrowser}},
	})
	rec.until(t, "end of the hostile server's session", done)
	b := besides{allocated: allocated() - before}
	neighbours := neighbour(t, rec.all())
	rec.until(t, "answer to the neighbour", func(all []affinity.Event) bool { return neighbour(t, all) >= neighbours+2 })
	b.kept = inUse() - live
	stop()
	b.all = rec.all()
	return b
}

func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// neighbour counts the neighbour's answers, all of which are to be good.
func neighbour(t *testing.T, all []affinity.Event) int {
	t.Helper()
	n := 0
	for _, o := range eventsOf[affinity.Observed](all) {
		if o.Session == "s02" {
			n++
			if o.Failure != nil {
				t.Fatalf("the neighbour's: %+v", o.Failure)
			}
		}
	}
	return n
}

func hasEnded(all []affinity.Event) bool { return len(endsOf(all)) > 0 }

// check checks the end, and what it took to come to it.
func (b besides) check(t *testing.T, by affinity.EndedBy, kind affinity.FailureKind, text string, most int64) {
	t.Helper()
	end := endsOf(b.all)[0]
	if end.By != by || end.Failed == nil || end.Failed.Kind != kind || !strings.Contains(end.Text, text) || end.Text != affinity.Clean(end.Text, maxText) {
		t.Errorf("ended by %s: %q %+v, want by %s, %s: %q", end.By, end.Text, end.Failed, by, kind, text)
	}
	if b.allocated > most {
		t.Errorf("allocated %d KiB, want at most %d", b.allocated>>10, most>>10)
	}
	for _, o := range eventsOf[affinity.Observed](b.all) {
		checkBounds(t, o)
	}
}

// TestBadCloses sends close frames that RFC 6455 §7.4 does not know, on a
// WebSocket and on one that carries Engine.IO.
func TestBadCloses(t *testing.T) {
	joined := append(text(openPacket("[]")), text(`40{"sid":"x"}`)...)
	const server, client = affinity.EndedByServer, affinity.EndedByClient
	tests := []struct {
		name    string
		payload string
		by      affinity.EndedBy
		kind    affinity.FailureKind
		text    string
	}{
		{"code 0", "\x00\x00", client, affinity.FailureProtocol, "bad close code 0"},
		{"code 999", "\x03\xe7", client, affinity.FailureProtocol, "bad close code 999"},
		{"1004, reserved", "\x03\xec", client, affinity.FailureProtocol, "bad close code 1004"},
		{"1005, not to be sent", "\x03\xed", client, affinity.FailureProtocol, "bad close code 1005"},
		{"1006, not to be sent", "\x03\xee", client, affinity.FailureProtocol, "bad close code 1006"},
		{"1015, not to be sent", "\x03\xf7", client, affinity.FailureProtocol, "bad close code 1015"},
		{"65535", "\xff\xff", client, affinity.FailureProtocol, "bad close code 65535"},
		{"a reason that is not UTF-8", "\x03\xe9\xff\xfe", client, affinity.FailureProtocol, "invalid utf8 payload in close frame"},
		{"half a code", "\x03", server, affinity.FailureClosed, "code 1005 (no status)"},
		{"the longest reason, in colours", "\x0f\xa1" + strings.Repeat("\x1b[31m\u202e", 15), server, affinity.FailureClosed, "code 4001: ·[31m"},
	}
	for _, transport := range []string{"ws", "socketio"} {
		for _, tt := range tests {
			t.Run(transport+" "+tt.name, func(t *testing.T) {
				raw := rawSocket(t, func(c net.Conn) {
					if transport == "socketio" {
						_, _ = c.Write(joined)
					}
					_, _ = c.Write(wsFrame(8, true, uint64(len(tt.payload)), []byte(tt.payload)))
					_, _ = io.Copy(io.Discard, c)
				})
				beside(t, raw, transport, SocketOptions{IOTransports: IOWebSocket}, hasEnded).check(t, tt.by, tt.kind, tt.text, 1<<30)
			})
		}
	}
}

// openPacket is engine.io 6's, with upgrades, a JSON array.
func openPacket(upgrades string) string {
	return fmt.Sprintf(`0{"sid":"a","upgrades":%s,"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, upgrades)
}

// answer is a whole HTTP answer with body.
func answer(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// polls answers the requests of a session that polls, each on a connection of
// its own: the handshake, the polls and the POSTs.
func polls(handshake, poll, post func(net.Conn, string)) func(net.Conn, string) {
	return func(c net.Conn, request string) {
		line, _, _ := strings.Cut(request, "\r\n")
		switch {
		case strings.HasPrefix(line, http.MethodPost):
			post(c, request)
		case strings.Contains(line, "sid="):
			poll(c, request)
		default:
			handshake(c, request)
		}
	}
}

const open3 = `97:0{"sid":"MbiF2JSpD6pJGzGnAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}2:40`

// TestBadPolls answers a session's polls, or its POSTs, with what no server
// should send. Each ends that one session, within bounds.
func TestBadPolls(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	zeroes := strings.Repeat("4", 64<<10)
	endless := func(head string) func(net.Conn, string) { return repeat(ok+head, zeroes, 0) }
	chunks := repeat(ok+"Transfer-Encoding: chunked\r\n\r\n", "10000\r\n"+zeroes+"\r\n", 0)
	const server, unknown, client = affinity.EndedByServer, affinity.EndedByUnknown, affinity.EndedByClient
	const broken = affinity.FailureProtocol
	tests := []struct {
		name string
		open string // the handshake; version 4's for ""
		poll func(net.Conn, string)
		post func(net.Conn, string) // says ok for nil
		by   affinity.EndedBy
		kind affinity.FailureKind
		text string
	}{
		{"100 MB", "", endless("Content-Length: 104857600\r\n\r\n"), nil, client, broken, "poll failed: an answer of more than 2 MiB"},
		{"endless chunks", "", chunks, nil, client, broken, "poll failed: an answer of more than 2 MiB"},
		{"without a length, endless", "", endless("\r\n"), nil, client, broken, "poll failed: an answer of more than 2 MiB"},
		{"100 MB, version 3", open3, endless("Content-Length: 104857600\r\n\r\n104857590:"), nil, client, broken, "poll failed: an answer of more than 2 MiB"},
		{"100 MB in answer to a POST", "", sayAndHold(""), endless("Content-Length: 104857600\r\n\r\n"), client, broken, "connect failed: an answer of more than 2 MiB"},
		{"endless headers", "", repeat(ok, "X-More: "+zeroes+"\r\n", 0), nil, unknown, broken, "exceeded 262144 bytes"},
		{"a bomb that nobody asked for", "", say(gzipBomb(t)), nil, client, broken, "not usable Engine.IO: packet type"},

		{"shorter than its length", "", say(ok + "Content-Length: 10\r\n\r\n40"), nil, unknown, affinity.FailureOther, "in the middle of the answer, after 2 bytes"},
		{"longer than its length", "", say(ok + "Content-Length: 1\r\n\r\n40{\"sid\":\"x\"}"), nil, client, broken, "not usable Socket.IO"},
		{"two lengths", "", say(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n40"), nil, unknown, broken, "Content-Length"},
		{"broken chunks", "", say(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n40\r\n"), nil, unknown, affinity.FailureOther, "in the middle of the answer"},
		{"drips", `0{"sid":"a","upgrades":[],"pingInterval":500,"pingTimeout":500}`, repeat(ok+"Content-Length: 1000\r\n\r\n", "4", 50*time.Millisecond), nil, client, affinity.FailureTimeout, "ping timeout: no heartbeat within 500ms + 500ms"},

		{"nothing", "", say(answer("")), nil, client, broken, "not usable Engine.IO: an empty packet"},
		{"text that is not UTF-8", "", say(answer("42[\"\xff\"]")), nil, client, broken, "not UTF-8"},
		{"text that ends within a character", "", say(answer("42[\"\xe2\x82")), nil, client, broken, "not UTF-8"},
		{"a type that is none", "", say(answer("\x1b[31m40")), nil, client, broken, "not usable Engine.IO: packet type"},
		{"JSON", "", say(answer(`{"code":1}`)), nil, client, broken, "not usable Engine.IO: packet type '{'"},
		{"a page", "", say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<html>\x1b[31m…"), nil, unknown, affinity.FailureForeign, "200 with text/html in place of Engine.IO"},
		{"separators", "", say(answer(strings.Repeat("\x1e", 4096))), nil, client, broken, "not usable Engine.IO: an empty packet"},
		{"a million packets", "", say(answer(strings.Repeat("6\x1e", 1<<20-1) + "6")), nil, client, broken, "more than 4096 packets in one payload"},
		{"binary that is none", "", say(answer("b!!")), nil, client, broken, "not usable Engine.IO: a binary message"},
		{"deep JSON", "", say(answer("42" + strings.Repeat("[", 1<<20))), nil, client, broken, "not usable Socket.IO"},
		{"attachments without end", "", say(answer(`4599999999999-["x"]`)), nil, client, broken, "not usable Socket.IO"},
		{"a Socket.IO type that is none", "", say(answer("49")), nil, client, broken, "not usable Socket.IO"},

		{"a proxy's 502", "", say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nBad Gateway"), nil, affinity.EndedByProxy, affinity.FailureStatus, "poll failed: 502 Bad Gateway"},
		{"a proxy's 504 to a POST", "", sayAndHold(""), say("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"), affinity.EndedByProxy, affinity.FailureStatus, "connect failed: 504 Gateway Timeout"},
		{"a route that is gone", "", say("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 19\r\n\r\n404 page not found\n"), nil, unknown, affinity.FailureForeign, "poll failed: 404"},
		{"the server's refusal", "", say("HTTP/1.1 400 Bad Request\r\nContent-Length: 41\r\n\r\n" + `{"code":1,"message":"Session ID unknown"}`), nil, server, affinity.FailureSession, "poll failed: 400 Session ID unknown (code 1)"},

		{"a length that is too long", open3, say(answer("5:40")), nil, client, broken, "a packet shorter than its length 5"},
		{"a length that is too short", open3, say(answer(`2:42["x"]`)), nil, client, broken, "a payload without a length"},
		{"a length of nothing", open3, say(answer("0:")), nil, client, broken, "a payload without a length"},
		{"a negative length", open3, say(answer("-1:40")), nil, client, broken, "a payload without a length"},
		{"a length beyond 64 bits", open3, say(answer("99999999999999999999:40")), nil, client, broken, "a payload without a length"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opening, post := tt.open, tt.post
			if opening == "" {
				opening = openPacket("[]")
			}
			if post == nil {
				post = say(answer("ok"))
			}
			raw, sent := rawServer(t, polls(say(answer(opening)), tt.poll, post))
			b := beside(t, raw, "socketio", SocketOptions{IOTransports: IOPolling}, hasEnded)
			b.check(t, tt.by, tt.kind, tt.text, 24<<20)
			if n := sent.Load(); n > 32<<20 {
				t.Errorf("the server got rid of %d KiB", n>>10)
			}
		})
	}
}

// TestBadHandshakes are those that no session comes of.
func TestBadHandshakes(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	letters := strings.Repeat("a", 64<<10)
	for name, tt := range map[string]struct {
		handshake func(net.Conn, string)
		kind      affinity.FailureKind
		text      string
	}{
		"100 MB":               {repeat(ok+"Content-Length: 104857600\r\n\r\n0{\"sid\":\"", letters, 0), affinity.FailureProtocol, "an answer of more than 2 MiB"},
		"endless":              {repeat(ok+"\r\n0{\"sid\":\"", letters, 0), affinity.FailureProtocol, "an answer of more than 2 MiB"},
		"a sid of 1 MB":        {say(answer(`0{"sid":"` + strings.Repeat("a", 1<<20) + `"}`)), affinity.FailureProtocol, "sid has 1048576 characters"},
		"a sid in colours":     {say(answer(`0{"sid":"\u001b[31m"}`)), affinity.FailureProtocol, "sid is not printable ASCII"},
		"not UTF-8":            {say(answer("0{\"sid\":\"\xff\"}")), affinity.FailureProtocol, "not UTF-8"},
		"a wrong length":       {say(answer(`970:0{"sid":"a"}`)), affinity.FailureProtocol, "shorter than its length 970"},
		"no time for a beat":   {say(answer(`0{"sid":"a","pingInterval":-1,"pingTimeout":1e308}`)), affinity.FailureProtocol, "no pingInterval and pingTimeout"},
		"a million packets":    {say(answer(openPacket("[]") + strings.Repeat("\x1e6", 1<<20-200))), affinity.FailureProtocol, "more than 4096 packets"},
		"a page in its place":  {say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"), affinity.FailureForeign, "200 with text/html in place of Engine.IO"},
		"a refusal in colours": {say("HTTP/1.1 400 x\r\nContent-Length: 37\r\n\r\n{\"code\":7,\"message\":\"\\u001b[31m red\"}"), affinity.FailureDenied, "400 ·[31m red (code 7)"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, sent := rawServer(t, tt.handshake)
			b := beside(t, raw, "socketio", SocketOptions{}, func(all []affinity.Event) bool { return len(ofSession(all, "s01")) > 0 })
			o := ofSession(b.all, "s01")[0]
			checkBounds(t, o)
			checkFailure(t, o.Failure, o.Failure.Op, tt.kind, tt.text)
			if b.allocated > 24<<20 || sent.Load() > 32<<20 {
				t.Errorf("allocated %d KiB, the server got rid of %d KiB", b.allocated>>10, sent.Load()>>10)
			}
		})
	}
}

func ofSession(all []affinity.Event, id affinity.SessionID) []affinity.Observed {
	var found []affinity.Observed
	for _, o := range eventsOf[affinity.Observed](all) {
		if o.Session == id {
			found = append(found, o)
		}
	}
	return found
}

// TestBadUpgrades are WebSockets that come to nothing while they are tried: the
// session goes on polling, as a browser's does.
func TestBadUpgrades(t *testing.T) {
	letters := []byte(strings.Repeat("a", 64<<10))
	forever := func(first, again []byte) func(net.Conn) {
		return func(c net.Conn) {
			_, err := c.Write(first)
			for err == nil {
				_, err = c.Write(again)
			}
		}
	}
	write := func(f []byte) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Write(f)
			_, _ = io.Copy(io.Discard, c)
		}
	}
	for name, talk := range map[string]func(net.Conn){
		"a frame of 100 MB":        forever(wsFrame(1, true, 100<<20, []byte("3probe")), letters),
		"endless fragments":        forever(wsFrame(1, false, 1, []byte("3")), wsFrame(0, false, uint64(len(letters)), letters)),
		"a wrong length":           write(wsFrame(1, true, 1<<63, nil)),
		"text that is not UTF-8":   write(text("3prob\xff")),
		"a bad close code":         write(wsFrame(8, true, 2, []byte{0, 1})),
		"a cut":                    func(net.Conn) {},
		"a cut after its answer":   func(c net.Conn) { _, _ = c.Write(text("3probe")) },
		"something else, and goes": func(c net.Conn) { _, _ = c.Write(text("3wrong")) },
	} {
		t.Run(name, func(t *testing.T) {
			held := polls(say(answer(openPacket(`["websocket"]`))), func(c net.Conn, _ string) {
				time.Sleep(50 * time.Millisecond)
				_, _ = io.WriteString(c, answer(`40{"sid":"x"}`))
			}, say(answer("ok")))
			socket := upgrading(talk)
			raw, _ := rawServer(t, func(c net.Conn, request string) {
				if strings.Contains(request, "Sec-WebSocket-Key") {
					socket(c, request)
					return
				}
				held(c, request)
			})
			after := -1 // polls that had been made when the upgrade had been answered
			b := beside(t, raw, "socketio", SocketOptions{}, func(all []affinity.Event) bool {
				polls, upgraded := 0, false
				for _, o := range ofSession(all, "s01") {
					upgraded = upgraded || o.Leg == affinity.LegUpgrade
					if o.Leg == affinity.LegPoll {
						polls++
					}
				}
				if upgraded && after < 0 {
					after = polls
				}
				return upgraded && polls >= after+3
			})
			if hasEnded(b.all) {
				t.Errorf("it ended: %+v", endsOf(b.all))
			}
			for _, s := range socketsOf(b.all) {
				if s.Carrier != affinity.CarrierPolling {
					t.Errorf("carried by %s", s.Carrier)
				}
			}
			if b.allocated > 16<<20 {
				t.Errorf("allocated %d KiB", b.allocated>>10)
			}
		})
	}
}

// TestFloods sends what is allowed, without end. The session lives on, and what
// it makes of it is not more than the fold can take.
func TestFloods(t *testing.T) {
	joined := append(text(openPacket("[]")), text(`40{"sid":"x"}`)...)
	flood := func(head, again []byte) func(net.Conn) {
		block := []byte(strings.Repeat(string(again), 100))
		return func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }() // it ends with c
			_, err := c.Write(head)
			for err == nil {
				_, err = c.Write(block)
			}
		}
	}
	for name, tt := range map[string]struct {
		transport string
		talk      func(net.Conn, string)
		socket    SocketOptions
	}{
		"pings on a WebSocket":      {"ws", upgrading(flood(nil, wsFrame(9, true, 0, nil))), SocketOptions{}},
		"pongs on a WebSocket":      {"ws", upgrading(flood(nil, wsFrame(10, true, 0, nil))), SocketOptions{}},
		"messages on a WebSocket":   {"ws", upgrading(flood(nil, text("x"))), SocketOptions{}},
		"heartbeats":                {"socketio", upgrading(flood(joined, text("2"))), SocketOptions{IOTransports: IOWebSocket}},
		"answers to nothing":        {"socketio", upgrading(flood(joined, text("3"))), SocketOptions{IOTransports: IOWebSocket}},
		"joins":                     {"socketio", upgrading(flood(joined, text(`40{"sid":"y"}`))), SocketOptions{IOTransports: IOWebSocket}},
		"events that name a pod":    {"socketio", upgrading(flood(joined, text(`42["pod",{"pod":"a"}]`))), SocketOptions{IOTransports: IOWebSocket, IOEvent: "pod"}},
		"heartbeats by polling":     {"socketio", polls(say(answer(openPacket("[]"))), say(answer(strings.Repeat("2\x1e", 4000)+"2")), say(answer("ok"))), SocketOptions{IOTransports: IOPolling}},
		"heartbeats of a megabyte":  {"socketio", polls(say(answer(openPacket("[]"))), say(answer("2"+strings.Repeat("x", 1<<20))), sayAndHold("")), SocketOptions{IOTransports: IOPolling}},
		"events by polling":         {"socketio", polls(say(answer(openPacket("[]"))), say(answer("40\x1e"+strings.Repeat("42[\"pod\",1]\x1e", 4000)+"6")), say(answer("ok"))), SocketOptions{IOTransports: IOPolling, IOEvent: "pod"}},
		"polls that are empty news": {"socketio", polls(say(answer(openPacket("[]"))), say(answer("6")), say(answer("ok"))), SocketOptions{IOTransports: IOPolling}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, _ := rawServer(t, tt.talk)
			began := time.Now()
			b := beside(t, raw, tt.transport, tt.socket, func([]affinity.Event) bool { return time.Since(began) > 1500*time.Millisecond })
			if hasEnded(b.all) {
				t.Errorf("it ended: %+v", endsOf(b.all))
			}
			n := 0
			for _, e := range b.all {
				switch e := e.(type) {
				case affinity.SocketChanged, affinity.Attributed:
					n++
				case affinity.Observed:
					if e.Session == "s01" {
						n++
					}
				}
			}
			// On a WebSocket the flood goes on while it is measured, and counts.
			if tt.socket.IOTransports == IOPolling && b.kept > 8<<20 {
				t.Errorf("%d KiB are kept", b.kept>>10)
			}
			if most := 30 * int(time.Since(began).Seconds()+1); n > most {
				t.Errorf("%d events, want at most %d", n, most)
			}
		})
	}
}
