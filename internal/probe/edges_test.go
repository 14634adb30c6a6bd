package probe

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestSocketIOServersLimits are edges of the server libraries that end a
// session: each is to be told as what it is, cleaned and bounded.
func TestSocketIOServersLimits(t *testing.T) {
	big := affinity.Secret(fmt.Sprintf(`{"token":"%s"}`, strings.Repeat("x", 4000)))
	tests := []struct {
		name, kind, options string
		socket              SocketOptions
		end                 string // part of how it ends, or of a request's failure
		failure             affinity.FailureKind
	}{
		{"maxHttpBufferSize by polling", "io4", `{"engine":{"maxHttpBufferSize":1000}}`, SocketOptions{IOTransports: IOPolling, IOAuth: big}, "connect failed: 413", affinity.FailureDenied},
		{"maxHttpBufferSize by WebSocket", "io4", `{"engine":{"maxHttpBufferSize":1000}}`, SocketOptions{IOTransports: IOWebSocket, IOAuth: big}, "code 1009 (message too big)", affinity.FailureClosed},
		{"unknown packet type", "io4", `{"raw":["9[\"x\"]"]}`, SocketOptions{IOTransports: IOWebSocket}, "not usable Socket.IO", affinity.FailureProtocol},
		{"not JSON, by polling", "io4", `{"raw":["2[\"x\u001b[31m"]}`, SocketOptions{IOTransports: IOPolling, IOEvent: "x"}, "not usable Socket.IO", affinity.FailureProtocol},
		{"attachments without end", "io4", `{"raw":["599999999-[\"x\"]"]}`, SocketOptions{IOTransports: IOWebSocket}, "not usable Socket.IO", affinity.FailureProtocol},
		{"a second CONNECT error", "io4", `{"raw":["4{\"message\":\"gone \\u001b[2J\"}"]}`, SocketOptions{IOTransports: IOWebSocket}, "refused the session: gone", affinity.FailureDenied},
		{"unknown packet type of version 2", "io2", `{"raw":["9x"]}`, SocketOptions{IOTransports: IOPolling}, "not usable Socket.IO", affinity.FailureProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, tt.kind, "msgapp-a", tt.options)
			r := mustRunner(t, Options{Socket: tt.socket})
			rec, stop := start(t, r)
			defer stop()
			r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
			rec.until(t, "end", func(all []affinity.Event) bool { return len(endsOf(all)) > 0 })
			stop()
			end := endsOf(rec.all())[0]
			if end.Failed == nil || end.Failed.Kind != tt.failure || !strings.Contains(end.Text, tt.end) || end.Text != affinity.Clean(end.Text, maxText) {
				t.Errorf("ended by %s: %q, %+v", end.By, end.Text, end.Failed)
			}
			if strings.Contains(end.Text, "xxxx") {
				t.Errorf("the payload is told: %q", end.Text)
			}
		})
	}
}

// TestSocketIOServersWays are edges that a session is to live with.
func TestSocketIOServersWays(t *testing.T) {
	tests := []struct {
		name, kind, options string
		socket              SocketOptions
		carrier             string
		upgrade             bool // a leg of that kind was made
	}{
		{"server without WebSocket", "io4", `{"engine":{"transports":["polling"]}}`, SocketOptions{}, affinity.CarrierPolling, false},
		{"upgrades forbidden", "io4", `{"engine":{"allowUpgrades":false}}`, SocketOptions{}, affinity.CarrierPolling, false},
		{"server's own cookie", "io4", `{"engine":{"cookie":true}}`, SocketOptions{}, affinity.CarrierWebSocket, true},
		{"binary ack", "io4", `{"binaryAck":true,"binary":true}`, SocketOptions{IOAsk: "whoami"}, affinity.CarrierWebSocket, true},
		{"binary ack by polling", "io2", `{"binaryAck":true,"binary":true}`, SocketOptions{IOAsk: "whoami", IOTransports: IOPolling}, affinity.CarrierPolling, false},
		{"state recovery", "io4", `{"engine":{"connectionStateRecovery":{}}}`, SocketOptions{IOAsk: "whoami"}, affinity.CarrierWebSocket, true},
		{"compression", "io4", `{"engine":{"perMessageDeflate":{"threshold":0},"httpCompression":{"threshold":0}}}`, SocketOptions{IOAsk: "whoami"}, affinity.CarrierWebSocket, true},
		{"events of nobody, other namespaces", "io4", `{"raw":["2/other,[\"hello\",{\"pod\":\"elsewhere\"}]","3/other,0[1]","397[{\"pod\":\"elsewhere\"}]","0/other,{\"sid\":\"x\"}","2[\"hello\"]"]}`,
			SocketOptions{IOAsk: "whoami", IOEvent: "hello", IOTransports: IOWebSocket}, affinity.CarrierWebSocket, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, tt.kind, "msgapp-a", tt.options)
			r := mustRunner(t, Options{Socket: tt.socket})
			rec, stop := start(t, r)
			defer stop()
			r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
			rec.until(t, "session on "+tt.carrier, func(all []affinity.Event) bool { return carried(all, tt.carrier) })
			time.Sleep(2 * time.Second)
			if ends := endsOf(rec.all()); len(ends) > 0 {
				t.Errorf("it ended: %+v", ends)
			}
			stop()
			upgraded := false
			for _, o := range eventsOf[affinity.Observed](rec.all()) {
				upgraded = upgraded || o.Leg == affinity.LegUpgrade
				if o.Failure != nil {
					t.Errorf("%s: %+v", o.Leg, o.Failure)
				}
			}
			if last := socketsOf(rec.all()); upgraded != tt.upgrade || last[len(last)-1].Carrier != tt.carrier {
				t.Errorf("an upgrade was tried: %v; it ended on %s", upgraded, last[len(last)-1].Carrier)
			}
			for _, a := range eventsOf[affinity.Attributed](rec.all()) {
				if strings.Contains(string(a.Answer.Body), "elsewhere") {
					t.Errorf("believed %s %s", a.Detail, a.Answer.Body)
				}
			}
			if n := len(p.log("connect")); n != 1 {
				t.Errorf("the server saw %d sessions", n)
			}
		})
	}
}

// TestSocketIOForbidden is allowRequest's no: code 4, by polling and by
// WebSocket, and no hurry to ask again.
func TestSocketIOForbidden(t *testing.T) {
	p := startPeer(t, "io4", "msgapp-a", `{"forbid":"no \u001b[31mentry"}`)
	for _, transports := range []string{IOBoth, IOWebSocket} {
		c := newTestClient(t, Options{Socket: SocketOptions{IOTransports: transports}, Timeout: 3 * time.Second}, affinity.ClientBrowser)
		s := ioTransport{}.Open(c)
		o := s.Observe(t.Context(), c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: p.url.String()})).Observed
		s.Close()
		checkBounds(t, o)
		status := map[string]int{IOBoth: http.StatusForbidden, IOWebSocket: http.StatusBadRequest}[transports] // abortUpgrade knows 400 alone
		if o.Status != status || o.Failure == nil || o.Failure.Kind != affinity.FailureDenied || strings.ContainsRune(o.Failure.Text, 0x1b) || !strings.Contains(o.Failure.Text, "entry") {
			t.Errorf("%s: status %d, %+v", transports, o.Status, o.Failure)
		}
		if transports == IOBoth && (o.Refused == nil || o.Refused.Code != 4) {
			t.Errorf("refused %+v", o.Refused)
		}
	}
}

// TestSocketIOOverlap: a second poll of a session, which somebody else makes,
// ends it at the server. The session is to say so and to connect again.
func TestSocketIOOverlap(t *testing.T) {
	for _, kind := range []string{"io4", "io2"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, kind, "msgapp-a", "")
			r := mustRunner(t, Options{Socket: SocketOptions{IOTransports: IOPolling}})
			rec, stop := start(t, r)
			defer stop()
			r.Want(socketPlan(p.url.String(), "socketio", 1, affinity.ClientBrowser))
			rec.until(t, "session", func(all []affinity.Event) bool { return carried(all, affinity.CarrierPolling) })
			sid := socketsOf(rec.all())[0].SID.Reveal()
			eio := map[string]string{"io4": "4", "io2": "3"}[kind]
			status := 0
			for range 50 { // until it meets a poll in flight
				resp, err := http.Get(p.url.String() + DefaultIOPath + "?EIO=" + eio + "&transport=polling&sid=" + sid)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if status = resp.StatusCode; status != http.StatusOK {
					break
				}
			}
			if status == http.StatusOK {
				t.Fatal("the server lets polls overlap")
			}
			rec.until(t, "another session", func(all []affinity.Event) bool {
				ends, joined := len(endsOf(all)), map[string]bool{}
				for _, s := range socketsOf(all) {
					if s.Joined && s.Ended == nil {
						joined[s.SID.Reveal()] = true
					}
				}
				return ends > 0 && len(joined) > 1
			})
			stop()
			end := endsOf(rec.all())[0]
			t.Logf("status %d; ended by %s: %s", status, end.By, end.Text)
			if end.Failed == nil || end.By == affinity.EndedByClient {
				t.Errorf("ended by %s: %q", end.By, end.Text)
			}
		})
	}
}
