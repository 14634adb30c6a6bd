package engineio

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPayloads(t *testing.T) {
	tests := []struct {
		name string
		v    Version
		body string
		want []Packet
		err  string
	}{
		{"one", 4, "6", []Packet{{Type: Noop, Data: []byte{}}}, ""},
		{"several", 4, "40\x1e2\x1e42[\"a\",\"€\"]", []Packet{{Type: Message, Data: []byte("0")}, {Type: Ping, Data: []byte{}}, {Type: Message, Data: []byte("2[\"a\",\"€\"]")}}, ""},
		{"binary", 4, "bAQID", []Packet{{Type: Message, Data: []byte{1, 2, 3}, Binary: true}}, ""},
		{"nothing", 4, "", nil, "an empty packet"},
		{"two separators", 4, "6\x1e\x1e6", []Packet{{Type: Noop, Data: []byte{}}}, "an empty packet"},
		{"bad base64", 4, "b!", nil, "a binary message: illegal base64 data at input byte 0"},
		{"HTML", 4, "<html>", nil, `packet type '<'`},
		{"not UTF-8", 4, "4\xff", nil, "a text packet is not UTF-8"},
		// recorded of socket.io 2.5.1
		{"version 3", 3, `97:0{"sid":"MbiF2JSpD6pJGzGnAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}2:40`,
			[]Packet{{Type: Open, Data: []byte(`{"sid":"MbiF2JSpD6pJGzGnAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}`)}, {Type: Message, Data: []byte("0")}}, ""},
		{"counted in UTF-16", 3, "4:4€😀1:6", []Packet{{Type: Message, Data: []byte("€😀")}, {Type: Noop, Data: []byte{}}}, ""},
		{"binary 3", 3, "6:b4AQID", []Packet{{Type: Message, Data: []byte{1, 2, 3}, Binary: true}}, ""},
		{"half a pair", 3, "2:4😀", nil, "a packet shorter than its length 2"},
		{"too long", 3, "5:40", nil, "a packet shorter than its length 5"},
		{"no length", 3, ":40", nil, "a payload without a length"},
		{"negative", 3, "-1:40", nil, "a payload without a length"},
		{"signed", 3, "+2:40", nil, "a payload without a length"},
		{"huge", 3, "99999999999999999999:40", nil, "a payload without a length"},
		{"binary without a type", 3, "1:b", nil, "a binary packet without a type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePayload([]byte(tt.body), tt.v)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != tt.err {
				t.Errorf("error %q, want %q", text, tt.err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := ParsePayload([]byte(strings.Repeat("6\x1e", maxPackets)+"6"), 4); err == nil {
		t.Error("more packets than the limit were taken")
	}
}

func TestRoundTrip(t *testing.T) {
	packets := []Packet{{Type: Message, Data: []byte(`2["x","€😀"]`)}, {Type: Pong, Data: []byte("probe")}}
	for _, v := range []Version{3, 4} {
		got, err := ParsePayload(Payload(v, packets...), v)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(packets, got); d != "" {
			t.Errorf("version %d: %s", v, d)
		}
	}
}

func TestDetect(t *testing.T) {
	for body, want := range map[string]Version{`0{"sid":1}`: 4, `97:0{"sid":1}2:40`: 3, "": 0, "<!doctype html>": 0, `{"code":1}`: 0, ":0{": 0, "x:0{": 0, "ok": 0} {
		if got, ok := Detect([]byte(body)); got != want || ok != (want != 0) {
			t.Errorf("Detect(%q) = %d, %v; want %d", body, got, ok, want)
		}
	}
}

func TestBinaryFrames(t *testing.T) {
	if p, err := ParseBinary([]byte{4, 9}, 4); err != nil || !p.Binary || len(p.Data) != 2 {
		t.Errorf("version 4: %+v, %v", p, err)
	}
	if p, err := ParseBinary([]byte{4, 9}, 3); err != nil || p.Type != Message || len(p.Data) != 1 {
		t.Errorf("version 3: %+v, %v", p, err)
	}
	for _, frame := range [][]byte{nil, {7}} {
		if p, err := ParseBinary(frame, 3); err == nil {
			t.Errorf("%v is %+v", frame, p)
		}
	}
}

func TestHandshake(t *testing.T) {
	h, err := ParseHandshake([]byte(`{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":["websocket","carrier-pigeon"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`))
	want := Handshake{SID: "lv_VI97HAXpY6yYWAAAB", Upgrades: []string{"websocket"}, PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, MaxPayload: 1e6}
	if d := cmp.Diff(want, h); err != nil || d != "" {
		t.Error(err, d)
	}
	if !h.Upgrade("websocket") || h.Upgrade("carrier-pigeon") {
		t.Errorf("upgrades %v", h.Upgrades)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"sid":"a b","pingInterval":1,"pingTimeout":1}`, `{"sid":"a","pingInterval":0,"pingTimeout":1}`,
		`{"sid":"a","pingInterval":-5,"pingTimeout":1}`, `{"sid":"` + strings.Repeat("x", maxSID+1) + `","pingInterval":1,"pingTimeout":1}`} {
		if h, err := ParseHandshake([]byte(bad)); err == nil {
			t.Errorf("%.60s is %+v", bad, h)
		}
	}
	if h, err := ParseHandshake([]byte(`{"sid":"a","pingInterval":1e300,"pingTimeout":1e300,"maxPayload":1e300}`)); err != nil || h.PingInterval != maxPing || h.MaxPayload != 1<<30 {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		body string
		want Refusal
		ok   bool
	}{
		{`{"code":1,"message":"Session ID unknown"}`, Refusal{UnknownSID, "Session ID unknown"}, true},
		{`{"code":5,"message":"Unsupported protocol version"}`, Refusal{UnsupportedProtocol, "Unsupported protocol version"}, true},
		{`{"code":4,"message":"no entry"}`, Refusal{Forbidden, "no entry"}, true},
		{"Session ID unknown", Refusal{UnknownSID, "Session ID unknown"}, true}, // a refused upgrade
		{`"Invalid session"`, Refusal{UnknownSID, "Invalid session"}, true},     // python-engineio
		{`{"message":"no code"}`, Refusal{Code: UnknownCode}, false},
		{"<html><title>400 Bad Request</title>", Refusal{Code: UnknownCode}, false},
		{"", Refusal{Code: UnknownCode}, false}, // "overlap from client"
	}
	for _, tt := range tests {
		if got, ok := ParseRefusal([]byte(tt.body)); got != tt.want || ok != tt.ok {
			t.Errorf("ParseRefusal(%q) = %+v, %v; want %+v, %v", tt.body, got, ok, tt.want, tt.ok)
		}
	}
}

func TestSocketPackets(t *testing.T) {
	tests := []struct {
		data string
		want SocketPacket
		err  bool
	}{
		{`0`, SocketPacket{Type: Connect, Namespace: "/", ID: -1}, false},
		{`0{"sid":"x"}`, SocketPacket{Type: Connect, Namespace: "/", ID: -1, Data: json.RawMessage(`{"sid":"x"}`)}, false},
		{`0/admin,{"sid":"x"}`, SocketPacket{Type: Connect, Namespace: "/admin", ID: -1, Data: json.RawMessage(`{"sid":"x"}`)}, false},
		{`0/admin?token=1`, SocketPacket{Type: Connect, Namespace: "/admin", ID: -1}, false},
		{`2["a",1]`, SocketPacket{Type: Event, Namespace: "/", ID: -1, Data: json.RawMessage(`["a",1]`)}, false},
		{`2/admin,456["a"]`, SocketPacket{Type: Event, Namespace: "/admin", ID: 456, Data: json.RawMessage(`["a"]`)}, false},
		{`313[{"pod":"x"}]`, SocketPacket{Type: Ack, Namespace: "/", ID: 13, Data: json.RawMessage(`[{"pod":"x"}]`)}, false},
		{`4{"message":"no"}`, SocketPacket{Type: ConnectError, Namespace: "/", ID: -1, Data: json.RawMessage(`{"message":"no"}`)}, false},
		{`51-["a",{"_placeholder":true,"num":0}]`, SocketPacket{Type: BinaryEvent, Attachments: 1, Namespace: "/", ID: -1, Data: json.RawMessage(`["a",{"_placeholder":true,"num":0}]`)}, false},
		{``, SocketPacket{}, true}, {`9`, SocketPacket{}, true}, {`5["a"]`, SocketPacket{}, true}, {`599999999-["a"]`, SocketPacket{}, true},
		{`2[`, SocketPacket{}, true}, {`21234567890["a"]`, SocketPacket{}, true},
		{`2` + strings.Repeat("[", 40) + strings.Repeat("]", 40), SocketPacket{}, true},
		{`2["` + strings.Repeat("[", 40) + `"]`, SocketPacket{Type: Event, Namespace: "/", ID: -1, Data: json.RawMessage(`["` + strings.Repeat("[", 40) + `"]`)}, false},
		{`0/` + strings.Repeat("n", maxNamespace+1) + `,`, SocketPacket{}, true},
	}
	for _, tt := range tests {
		got, err := ParseSocket([]byte(tt.data))
		if (err != nil) != tt.err {
			t.Errorf("%.60s: %v", tt.data, err)
			continue
		}
		if d := cmp.Diff(tt.want, got); !tt.err && d != "" {
			t.Errorf("%.60s: %s", tt.data, d)
		}
	}
	p := SocketPacket{Type: Event, Namespace: "/admin", ID: 7, Data: json.RawMessage(`["whoami"]`)}
	if got := string(p.Packet().Text()); got != `42/admin,7["whoami"]` {
		t.Errorf("written as %s", got)
	}
	if name, args, err := (SocketPacket{Data: json.RawMessage(`["hello",{"pod":"a"}]`)}).EventName(); name != "hello" || len(args) != 1 || err != nil {
		t.Errorf("%q %s %v", name, args, err)
	}
	for data, want := range map[string]string{`{"message":"not allowed"}`: "not allowed", `"Invalid namespace"`: "Invalid namespace", `[1]`: "[1]"} {
		if got := (SocketPacket{Data: json.RawMessage(data)}).Refusal(); got != want {
			t.Errorf("%s is %q", data, got)
		}
	}
}

// FuzzPayload checks that what is read is no larger than what came, and that
// text packets survive being written again.
func FuzzPayload(f *testing.F) {
	f.Add([]byte("40\x1e2\x1ebAQID"), false)
	f.Add([]byte("2:40\u00e91:66:b4AQID4:4€😀"), true)
	f.Fuzz(func(t *testing.T, body []byte, three bool) {
		v := Version(4)
		if three {
			v = 3
		}
		packets, err := ParsePayload(body, v)
		size := 0
		text := true
		for _, p := range packets {
			size += len(p.Data)
			text = text && !p.Binary
			if p.Type < Open || p.Type > Noop {
				t.Errorf("type %q", p.Type)
			}
		}
		if size > len(body) || len(packets) > maxPackets+1 {
			t.Errorf("%d packets of %d bytes in %d", len(packets), size, len(body))
		}
		if err != nil || !text || len(packets) == 0 {
			return
		}
		again, err := ParsePayload(Payload(v, packets...), v)
		if d := cmp.Diff(packets, again); err != nil || d != "" {
			t.Errorf("%v %s", err, d)
		}
	})
}

// FuzzSocket reads any message, and any answer to a handshake.
func FuzzSocket(f *testing.F) {
	f.Add([]byte(`2/admin,456["a",{"pod":"x"}]`))
	f.Add([]byte(`51-["a"]`))
	f.Add([]byte(`{"code":1,"message":"Session ID unknown"}`))
	f.Add([]byte(`{"sid":"a","upgrades":["websocket"],"pingInterval":1,"pingTimeout":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := ParseHandshake(data); err == nil && (h.PingInterval <= 0 || h.PingInterval > maxPing || len(h.SID) > maxSID) {
			t.Errorf("%+v", h)
		}
		ParseRefusal(data)
		Detect(data)
		p, err := ParseSocket(data)
		if err != nil {
			return
		}
		if _, _, err := p.EventName(); err == nil && len(p.Data) == 0 {
			t.Error("an event without data")
		}
		_ = p.Refusal()
		if p.Type == BinaryEvent || p.Type == BinaryAck { // never written
			return
		}
		again, err := ParseSocket(p.Packet().Data)
		if d := cmp.Diff(p, again); err != nil || d != "" {
			t.Errorf("%q: %v %s", data, err, d)
		}
	})
}
