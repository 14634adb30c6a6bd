package probe

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestSocketIOWithRealServers does the whole of a browser's session with each
// version of the server and each choice of transports.
func TestSocketIOWithRealServers(t *testing.T) {
	for _, kind := range []string{"io4", "io2"} {
		for _, transports := range []string{IOBoth, IOPolling, IOWebSocket} {
			t.Run(kind+" "+transports, func(t *testing.T) {
				t.Parallel()
				p := startPeer(t, kind, "msgapp-a", `{"engine":{"pingInterval":400,"pingTimeout":1000}}`)
				r := mustRunner(t, Options{Socket: SocketOptions{IOTransports: transports, IOAsk: "whoami", IOEvent: "hello"}})
				rec, stop := start(t, r)
				r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
				carrier := affinity.CarrierPolling
				if transports != IOPolling {
					carrier = affinity.CarrierWebSocket
				}
				rec.until(t, "session on "+carrier, func(all []affinity.Event) bool { return carried(all, carrier) })
				// Held over three heartbeats, or the server would have ended it.
				time.Sleep(2500 * time.Millisecond)
				if ends := endsOf(rec.all()); len(ends) > 0 {
					t.Fatalf("it ended: %+v", ends)
				}
				for _, o := range eventsOf[affinity.Observed](rec.all()) {
					checkBounds(t, o)
					if o.Failure != nil || o.RequestID == "" || o.Leg == "" {
						t.Errorf("leg %q: %+v", o.Leg, o.Failure)
					}
				}
				checkLegs(t, rec.all(), kind, transports)
				checkWords(t, rec.all(), "msgapp-a")
				last := socketsOf(rec.all())[len(socketsOf(rec.all()))-1]
				if want := map[string]string{"io4": "Engine.IO 4", "io2": "Engine.IO 3"}[kind]; last.Protocol != want || last.PingInterval != 400*time.Millisecond || last.RTT <= 0 {
					t.Errorf("protocol %q, ping %s, rtt %s", last.Protocol, last.PingInterval, last.RTT)
				}
				stop()
				if n := len(p.log("connect")); n != 1 {
					t.Errorf("the server saw %d sessions", n)
				}
				bye := p.waitLog(t, "disconnect", 1)[0]
				if bye.Reason != "client namespace disconnect" {
					t.Errorf("the server saw it leave by %q", bye.Reason)
				}
				if bad := p.log("refused"); len(bad) > 0 {
					t.Errorf("the server refused %+v", bad)
				}
			})
		}
	}
}

// TestSocketIOPath: the path is completed as the client library completes it, and
// its query goes along.
func TestSocketIOPath(t *testing.T) {
	for given, want := range map[string]string{"": "/socket.io/ ", "/socket.io": "/socket.io/ ", "/rt/": "/rt/ ", "/rt/?x=1": "/rt/ 1", "/rt?x=1": "/rt/ 1", "/": "/ "} {
		asked := make(chan string, 1)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case asked <- r.URL.Path + " " + r.URL.Query().Get("x"):
			default:
			}
		}))
		r := mustRunner(t, Options{Socket: SocketOptions{IOPath: given}})
		_, stop := start(t, r)
		r.Want(socketPlan(server.URL, "socketio", 1, affinity.ClientBrowser))
		if got := <-asked; got != want {
			t.Errorf("--socketio-path %q asks for %q, want %q", given, got, want)
		}
		stop()
		server.Close()
	}
}

// TestSocketIOInVain: an event that the server does not answer, and auth that it
// does not take, are told of; the session is held all the same.
func TestSocketIOInVain(t *testing.T) {
	for kind, wants := range map[string][]string{"io4": {"", "no ack of nobody within 500ms"},
		"io2": {"the auth payload is not sent: Socket.IO 2 takes none", "the auth payload is not sent: Socket.IO 2 takes none; no ack of nobody within 500ms"}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, kind, "msgapp-a", `{}`)
			r := mustRunner(t, Options{Timeout: 500 * time.Millisecond, Socket: SocketOptions{IOTransports: IOBoth, IOAsk: "nobody", IOAuth: `{"token":"x"}`}})
			rec, _ := start(t, r)
			r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
			rec.until(t, wants[1], func(all []affinity.Event) bool {
				held := socketsOf(all)
				return len(held) > 0 && held[len(held)-1].Note == wants[1]
			})
			all := socketsOf(rec.all())
			if last := all[len(all)-1]; all[0].Note != wants[0] || !last.Joined || last.Ended != nil {
				t.Errorf("began with %q, then %+v", all[0].Note, last)
			}
		})
	}
}

// TestEngineIOMismatch: clients of one version at a server of the other, as
// asked for.
func TestEngineIOMismatch(t *testing.T) {
	for _, tt := range []struct {
		server string
		asks   int
		kind   affinity.FailureKind // of the handshake; FailureOther for none
		text   string
	}{
		{"io4", 3, affinity.FailureVersion, "the server speaks Engine.IO 4, the client 3: 400 Unsupported protocol version (code 5)"},
		{"io2", 4, affinity.FailureVersion, "the server speaks Engine.IO 3, the client 4"},
		{"io4", 4, affinity.FailureOther, ""},
		{"io2", 3, affinity.FailureOther, ""},
	} {
		t.Run(tt.server+" asked in "+strconv.Itoa(tt.asks), func(t *testing.T) {
			p := startPeer(t, tt.server, "msgapp-a", "")
			r := mustRunner(t, Options{Socket: SocketOptions{IOVersion: tt.asks}})
			rec, stop := start(t, r)
			r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
			rec.until(t, "a handshake", func(all []affinity.Event) bool { return len(eventsOf[affinity.Observed](all)) > 0 })
			stop()
			f := eventsOf[affinity.Observed](rec.all())[0].Failure
			if tt.text == "" && f == nil {
				return
			}
			if f == nil || f.Kind != tt.kind || !strings.Contains(f.Text, tt.text) {
				t.Errorf("%+v, want %s %q", f, tt.kind, tt.text)
			}
		})
	}
}

// TestWebSocketFirst: transports ["websocket", "polling"] with tryAllTransports.
// Polling comes where the WebSocket cannot be opened, stays, and the next
// connection begins with the WebSocket again (engine.io-client 6.6.8,
// lib/socket.ts, _onError and _filterUpgrades; so seen of socket.io-client 4.8.4).
func TestWebSocketFirst(t *testing.T) {
	p := startPeer(t, "io4", "msgapp-a", "")
	t.Run("opens", func(t *testing.T) {
		r := mustRunner(t, Options{Socket: SocketOptions{IOTransports: IOSocketFirst}})
		rec, stop := start(t, r)
		r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
		rec.until(t, "a WebSocket", func(all []affinity.Event) bool { return carried(all, affinity.CarrierWebSocket) })
		stop()
		if legs := eventsOf[affinity.Observed](rec.all()); len(legs) != 1 || legs[0].Status != 101 {
			t.Errorf("%+v", legs)
		}
	})
	t.Run("refused", func(t *testing.T) {
		front := balance(t, true, p)
		refuse := front.Config.Handler
		front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Header.Get("Upgrade") != "" {
				http.Error(w, "no WebSocket here", http.StatusBadRequest)
				return
			}
			refuse.ServeHTTP(w, q)
		})
		r := mustRunner(t, Options{Socket: SocketOptions{IOTransports: IOSocketFirst}})
		rec, stop := start(t, r)
		plan := socketPlan(front.URL, "socketio", 1, affinity.ClientBrowser)
		plan.Sessions[0].Client = "reload=1s"
		r.Want(plan)
		rec.until(t, "a WebSocket is tried again", func(all []affinity.Event) bool { return tried(all) == 2 })
		stop()
		all := eventsOf[affinity.Observed](rec.all())
		if all[0].Failure == nil || all[0].Status != 400 || all[1].Leg != affinity.LegHandshake || all[1].Failure != nil {
			t.Fatalf("began with %+v, %+v", all[0], all[1])
		}
		for _, o := range all {
			if o.Leg == affinity.LegUpgrade {
				t.Errorf("it upgrades: %+v", o)
			}
		}
		held := socketsOf(rec.all())
		if note := held[0].Note; held[0].Carrier != affinity.CarrierPolling || !strings.Contains(note, "fell back to polling, no WebSocket: 400") {
			t.Errorf("%+v", held[0])
		}
	})
	t.Run("silence", func(t *testing.T) { // the library's own time ends such an attempt: no polling
		quiet := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }))
		defer quiet.Close()
		r := mustRunner(t, Options{Timeout: 200 * time.Millisecond, Socket: SocketOptions{IOTransports: IOSocketFirst}})
		rec, stop := start(t, r)
		r.Want(socketPlan(quiet.URL, "socketio", 1, affinity.ClientBrowser))
		rec.until(t, "two attempts", func(all []affinity.Event) bool { return len(eventsOf[affinity.Observed](all)) >= 2 })
		stop()
		if n := tried(rec.all()); n < 2 {
			t.Errorf("%d of %d requests open a WebSocket", n, len(eventsOf[affinity.Observed](rec.all())))
		}
	})
}

// tried counts the handshakes by WebSocket that failed.
func tried(all []affinity.Event) (n int) {
	for _, o := range eventsOf[affinity.Observed](all) {
		if o.Failure != nil && o.Leg == affinity.LegHandshake {
			n++
		}
	}
	return n
}

// checkLegs looks for the requests that a browser would have made.
func checkLegs(t *testing.T, all []affinity.Event, kind, transports string) {
	t.Helper()
	var legs []string
	for _, o := range eventsOf[affinity.Observed](all) {
		legs = append(legs, o.Leg)
	}
	want := []string{affinity.LegHandshake}
	if transports != IOWebSocket {
		want = append(want, affinity.LegPoll)
		if kind == "io4" {
			want = append(want, affinity.LegConnect)
		}
	}
	if transports == IOBoth {
		want = append(want, affinity.LegUpgrade)
	}
	for _, leg := range want {
		if !slices.Contains(legs, leg) {
			t.Errorf("no %s among %v", leg, legs)
		}
	}
	if transports == IOWebSocket && len(legs) != 1 {
		t.Errorf("a WebSocket-only session made %v", legs)
	}
}

// checkWords looks for the application's own answers.
func checkWords(t *testing.T, all []affinity.Event, pod string) {
	t.Helper()
	var from []string
	for _, a := range eventsOf[affinity.Attributed](all) {
		from = append(from, a.Detail)
		if a.Detail != "CONNECT payload:" && !strings.Contains(string(a.Answer.Body), pod) {
			t.Errorf("%s %s", a.Detail, a.Answer.Body)
		}
	}
	if !slices.Contains(from, "ack of whoami:") || !slices.Contains(from, "event hello:") {
		t.Errorf("the application spoke by %v", from)
	}
}

// TestSocketIOLegsAgree compares what each leg says of its pod with the log of
// the balancer that chose it, for a cookie and for chance.
func TestSocketIOLegsAgree(t *testing.T) {
	a, b := startPeer(t, "io4", "msgapp-a", ""), startPeer(t, "io4", "msgapp-b", "")
	for _, tt := range []struct {
		name    string
		sticky  bool
		client  affinity.ClientModel
		unknown bool // Session ID unknown is seen
	}{
		{"by cookie", true, affinity.ClientBrowser, false},
		{"in turn", false, affinity.ClientBrowser, true},
		{"no jar", true, affinity.ClientNoJar, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			front := balance(t, tt.sticky, a, b)
			r := mustRunner(t, Options{})
			rec, stop := start(t, r)
			r.Want(socketPlan(front.URL, "socketio", 4, tt.client))
			rec.until(t, "legs", func(all []affinity.Event) bool {
				return len(eventsOf[affinity.Observed](all)) >= 24 || carriedBy(all) == 4
			})
			stop()
			unknown := false
			for _, o := range eventsOf[affinity.Observed](rec.all()) {
				front.mu.Lock()
				chosen := front.chosen[o.RequestID]
				front.mu.Unlock()
				if o.Status != 0 && podHeader(o) != chosen {
					t.Errorf("%s %s: %q answered, %q was chosen", o.Session, o.Leg, podHeader(o), chosen)
				}
				if o.Refused != nil && o.Refused.Code == 1 {
					unknown = true
					if o.Failure.Kind != affinity.FailureSession || !strings.Contains(o.Failure.Text, "400 Session ID unknown (code 1)") {
						t.Errorf("failure %+v", o.Failure)
					}
				}
			}
			if unknown != tt.unknown {
				t.Errorf("Session ID unknown: %v, want %v", unknown, tt.unknown)
			}
		})
	}
}

func carriedBy(all []affinity.Event) int {
	up := map[affinity.SessionID]bool{}
	for _, e := range eventsOf[affinity.SocketChanged](all) {
		up[e.Session] = up[e.Session] || e.Socket.Joined && e.Socket.Carrier == affinity.CarrierWebSocket
	}
	n := 0
	for _, is := range up {
		if is {
			n++
		}
	}
	return n
}

func podHeader(o affinity.Observed) string {
	for _, f := range o.Answer.Header {
		if f.Name == "X-Pod-Name" {
			return f.Value
		}
	}
	return ""
}

// TestSocketIOEdges are what the server libraries do at their edges.
func TestSocketIOEdges(t *testing.T) {
	tests := []struct {
		name, kind, options string
		socket              SocketOptions
		end                 string // part of how it ends
		by                  affinity.EndedBy
		kindOf              affinity.FailureKind
	}{
		{"namespace", "io4", `{"namespace":"/admin"}`, SocketOptions{IONamespace: "/admin", IOAuth: `{"token":"t0p"}`}, "", 0, 0},
		{"namespace of version 2", "io2", `{"namespace":"/admin"}`, SocketOptions{IONamespace: "/admin"}, "", 0, 0},
		{"no such namespace", "io4", ``, SocketOptions{IONamespace: "/none"}, "the namespace /none refused the session: Invalid namespace", affinity.EndedByClient, affinity.FailureDenied},
		{"no such namespace of version 2", "io2", ``, SocketOptions{IONamespace: "/none"}, "the namespace /none refused the session: Invalid namespace", affinity.EndedByClient, affinity.FailureDenied},
		{"middleware error", "io4", `{"namespace":"/admin","refuse":"not \u001b[31mallowed"}`, SocketOptions{IONamespace: "/admin"}, "refused the session: not ", affinity.EndedByClient, affinity.FailureDenied},
		{"binary", "io4", `{"binary":true}`, SocketOptions{}, "", 0, 0},
		{"binary by polling", "io4", `{"binary":true}`, SocketOptions{IOTransports: IOPolling}, "", 0, 0},
		{"binary of version 2", "io2", `{"binary":true}`, SocketOptions{IOTransports: IOPolling}, "", 0, 0},
		{"disconnected", "io4", `{"kick":"namespace"}`, SocketOptions{}, "disconnected by the application", affinity.EndedByServer, affinity.FailureClosed},
		{"closed", "io4", `{"kick":"close"}`, SocketOptions{IOTransports: IOPolling}, "", affinity.EndedByServer, affinity.FailureClosed},
		{"no polling", "io4", `{"engine":{"transports":["websocket"]}}`, SocketOptions{IOTransports: IOWebSocket}, "", 0, 0},
		{"EIO 3 allowed", "io4", `{"engine":{"allowEIO3":true}}`, SocketOptions{IOVersion: 3}, "", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, tt.kind, "msgapp-a", tt.options)
			r := mustRunner(t, Options{Socket: tt.socket})
			rec, stop := start(t, r)
			r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
			if tt.kindOf != 0 {
				rec.until(t, "end", func(all []affinity.Event) bool { return len(endsOf(all)) > 0 })
				stop()
				end := endsOf(rec.all())[0]
				if end.By != tt.by || !strings.Contains(end.Text, tt.end) || end.Failed == nil || end.Failed.Kind != tt.kindOf || end.Text != affinity.Clean(end.Text, maxText) {
					t.Errorf("ended by %s: %q %+v", end.By, end.Text, end.Failed)
				}
				return
			}
			rec.until(t, "session", func(all []affinity.Event) bool {
				return carried(all, affinity.CarrierPolling) || carried(all, affinity.CarrierWebSocket)
			})
			time.Sleep(500 * time.Millisecond)
			if ends := endsOf(rec.all()); len(ends) > 0 {
				t.Errorf("it ended: %+v", ends)
			}
			stop()
			joined := false
			for _, l := range p.waitLog(t, "connect", 1) {
				joined = joined || tt.socket.IONamespace == "" || l.Namespace == tt.socket.IONamespace && (tt.socket.IOAuth == "" || l.Auth["token"] == "t0p")
			}
			if !joined {
				t.Errorf("the server saw %+v", p.log("connect"))
			}
		})
	}
}

// TestSocketIORefusals are handshakes that come to nothing.
func TestSocketIORefusals(t *testing.T) {
	tests := []struct {
		name, kind, options string
		socket              SocketOptions
		code                int // of the refusal; -2 for none
		failure             affinity.FailureKind
		text                string
	}{
		{"EIO mismatch", "io4", ``, SocketOptions{IOVersion: 3}, 5, affinity.FailureVersion, "the server speaks Engine.IO 4, the client 3: 400 Unsupported protocol version (code 5)"},
		{"transport disabled", "io4", `{"engine":{"transports":["websocket"]}}`, SocketOptions{}, 0, affinity.FailureDenied,
			"400 Transport unknown (code 0); the server takes no polling: --socketio-transports websocket"},
		{"WebSocket disabled", "io4", `{"engine":{"transports":["polling"]}}`, SocketOptions{IOTransports: IOWebSocket}, 0, affinity.FailureDenied,
			"400 Transport unknown (code 0); the server takes no websocket: --socketio-transports polling"},
		{"HTML", "io4", ``, SocketOptions{IOPath: "/elsewhere/"}, -2, affinity.FailureForeign, "200 with text/html in place of Engine.IO: <!doctype html>"},
		{"HTML for a WebSocket", "io4", ``, SocketOptions{IOPath: "/elsewhere/", IOTransports: IOWebSocket}, -2, affinity.FailureOther, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, tt.kind, "msgapp-a", tt.options)
			c := newTestClient(t, Options{Socket: tt.socket, Timeout: 3 * time.Second}, affinity.ClientBrowser)
			s := ioTransport{}.Open(c)
			defer s.Close()
			o := s.Observe(t.Context(), c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: p.url.String()})).Observed
			checkBounds(t, o)
			code := -2
			if o.Refused != nil {
				code = o.Refused.Code
			}
			if o.Failure == nil || code != tt.code || o.Failure.Kind != tt.failure || !strings.HasPrefix(o.Failure.Text, tt.text) {
				t.Errorf("status %d code %d %+v", o.Status, code, o.Failure)
			}
		})
	}
}

// TestSocketIOReconnects after the server is gone, at the client library's
// pace at the fastest.
func TestSocketIOReconnects(t *testing.T) {
	p := startPeer(t, "io4", "msgapp-a", "")
	r := mustRunner(t, Options{Interval: 100 * time.Millisecond})
	rec, stop := start(t, r)
	defer stop()
	r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
	rec.until(t, "session", func(all []affinity.Event) bool { return carried(all, affinity.CarrierWebSocket) })
	n := len(eventsOf[affinity.Observed](rec.all()))
	p.stop()
	began := time.Now()
	rec.until(t, "attempts", func(all []affinity.Event) bool { return len(eventsOf[affinity.Observed](all)) >= n+3 })
	// 1 s, 1 s, 2 s by stickytop's own manners, 1 s, 2 s, 4 s by the library's, each less by half at most.
	if took := time.Since(began); took < 2500*time.Millisecond {
		t.Errorf("three attempts within %s", took)
	}
	end := endsOf(rec.all())[0]
	if end.By != affinity.EndedByUnknown || end.Failed == nil || !strings.Contains(end.Text, "without a close frame") {
		t.Errorf("ended by %s: %q", end.By, end.Text)
	}
}

func TestReconnect(t *testing.T) {
	for n := 1; n < 20; n++ {
		least, most := 500*time.Millisecond<<min(n-1, 6), 1500*time.Millisecond<<min(n-1, 6)
		for range 200 {
			if d := reconnect(n); d < min(least, 5*time.Second) || d > min(most, 5*time.Second) {
				t.Fatalf("attempt %d after %s", n, d)
			}
		}
	}
}
