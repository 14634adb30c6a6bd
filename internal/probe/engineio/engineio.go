// Package engineio reads and writes the packets of Engine.IO 3 and 4 and of the
// Socket.IO protocol on top of them. It is pure: bytes in, values out, bounded.
//
// What it knows is from socketio/engine.io-protocol and from the documents
// docs/engine.io-protocol and docs/socket.io-protocol of socketio/socket.io.
package engineio

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Type is the first character of a packet.
type Type byte

// Packet types, the same in both versions.
const (
	Open    Type = '0'
	Close   Type = '1'
	Ping    Type = '2'
	Pong    Type = '3'
	Message Type = '4'
	Upgrade Type = '5'
	Noop    Type = '6'
)

// Packet is one Engine.IO packet.
type Packet struct {
	Type   Type
	Data   []byte
	Binary bool // only messages can be
}

// Version is the EIO query parameter: 3 (Socket.IO 1 and 2) or 4 (3 and 4).
type Version int

// Other is the version that a server speaks which refuses v: there are two in use.
func (v Version) Other() Version { return 7 - v }

// maxPackets bounds the packets of one payload.
const maxPackets = 4096

const separator = 0x1e // between the packets of a version 4 payload

// Text returns p as a text frame, and as a part of a version 4 payload.
func (p Packet) Text() []byte {
	return append([]byte{byte(p.Type)}, p.Data...)
}

// ParseText reads a text frame.
func ParseText(frame []byte) (Packet, error) {
	if len(frame) == 0 {
		return Packet{}, errors.New("an empty packet")
	}
	if frame[0] < byte(Open) || frame[0] > byte(Noop) {
		return Packet{}, fmt.Errorf("packet type %q", rune(frame[0]))
	}
	if !utf8.Valid(frame) {
		return Packet{}, errors.New("a text packet is not UTF-8")
	}
	return Packet{Type: Type(frame[0]), Data: frame[1:]}, nil
}

// ParseBinary reads a binary frame: in version 4 a message as it is, in version
// 3 with its type in front.
func ParseBinary(frame []byte, v Version) (Packet, error) {
	if v != 3 {
		return Packet{Type: Message, Data: frame, Binary: true}, nil
	}
	if len(frame) == 0 || frame[0] > 6 {
		return Packet{}, errors.New("a binary packet without a type")
	}
	return Packet{Type: Open + Type(frame[0]), Data: frame[1:], Binary: true}, nil
}

// Detect tells the version that an answer to a handshake is framed in; a
// version 2 server of Socket.IO ignores EIO=4 and frames as version 3.
func Detect(body []byte) (v Version, ok bool) {
	if bytes.HasPrefix(body, []byte("0{")) {
		return 4, true
	}
	digits, rest, found := bytes.Cut(body, []byte(":"))
	if found && len(digits) > 0 && len(digits) < 10 && len(bytes.Trim(digits, "0123456789")) == 0 && bytes.HasPrefix(rest, []byte("0{")) {
		return 3, true
	}
	return 0, false
}

// ParsePayload reads the body of a poll.
func ParsePayload(body []byte, v Version) ([]Packet, error) {
	if v == 3 {
		return parsePayload3(body)
	}
	var packets []Packet
	for part := range bytes.SplitSeq(body, []byte{separator}) {
		p, err := parsePart(part)
		if err != nil {
			return packets, err
		}
		if packets = append(packets, p); len(packets) > maxPackets {
			return packets, fmt.Errorf("more than %d packets in one payload", maxPackets)
		}
	}
	return packets, nil
}

func parsePart(part []byte) (Packet, error) {
	if len(part) == 0 || part[0] != 'b' {
		return ParseText(part)
	}
	data, err := base64.StdEncoding.DecodeString(string(part[1:]))
	if err != nil {
		return Packet{}, fmt.Errorf("a binary message: %w", err)
	}
	return Packet{Type: Message, Data: data, Binary: true}, nil
}

// parsePayload3 reads LENGTH:PACKET… where the length counts UTF-16 units, as
// JavaScript does, and binary is b4BASE64 (asked for with b64=1).
func parsePayload3(body []byte) ([]Packet, error) {
	var packets []Packet
	for len(body) > 0 {
		digits, rest, found := bytes.Cut(body, []byte(":"))
		n, err := strconv.Atoi(string(digits[:min(len(digits), 10)]))
		if !found || err != nil || n < 1 || len(digits) > 10 || digits[0] == '+' {
			return packets, errors.New("a payload without a length")
		}
		size, ok := bytesOf(rest, n)
		if !ok {
			return packets, fmt.Errorf("a packet shorter than its length %d", n)
		}
		p, err := parsePart3(rest[:size])
		if err != nil {
			return packets, err
		}
		if packets = append(packets, p); len(packets) > maxPackets {
			return packets, fmt.Errorf("more than %d packets in one payload", maxPackets)
		}
		body = rest[size:]
	}
	return packets, nil
}

func parsePart3(part []byte) (Packet, error) {
	if part[0] != 'b' {
		return ParseText(part)
	}
	if len(part) < 2 || part[1] < byte(Open) || part[1] > byte(Noop) {
		return Packet{}, errors.New("a binary packet without a type")
	}
	data, err := base64.StdEncoding.DecodeString(string(part[2:]))
	if err != nil {
		return Packet{}, fmt.Errorf("a binary packet: %w", err)
	}
	return Packet{Type: Type(part[1]), Data: data, Binary: true}, nil
}

// bytesOf returns how many bytes of text n UTF-16 units are.
func bytesOf(text []byte, n int) (int, bool) {
	at := 0
	for n > 0 {
		r, size := utf8.DecodeRune(text[at:])
		if size == 0 {
			return 0, false
		}
		at += size
		n--
		if r > 0xffff {
			n--
		}
	}
	return at, n == 0
}

// Payload writes text packets as the body of a POST.
func Payload(v Version, packets ...Packet) []byte {
	var body []byte
	for i, p := range packets {
		text := p.Text()
		if v == 3 {
			body = append(strconv.AppendInt(body, int64(units(text)), 10), ':')
		} else if i > 0 {
			body = append(body, separator)
		}
		body = append(body, text...)
	}
	return body
}

// units counts text's UTF-16 units.
func units(text []byte) int {
	n := 0
	for _, r := range string(text) {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// Handshake is what an open packet says.
type Handshake struct {
	SID          string
	Upgrades     []string
	PingInterval time.Duration
	PingTimeout  time.Duration
	MaxPayload   int // bytes of a payload; 0 where the server does not say
}

// Upgrade reports whether the server offers transport.
func (h Handshake) Upgrade(transport string) bool {
	for _, u := range h.Upgrades {
		if u == transport {
			return true
		}
	}
	return false
}

const (
	maxSID  = 256
	maxPing = 24 * time.Hour
)

// ParseHandshake reads the data of an open packet.
func ParseHandshake(data []byte) (Handshake, error) {
	var said struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval float64  `json:"pingInterval"`
		PingTimeout  float64  `json:"pingTimeout"`
		MaxPayload   float64  `json:"maxPayload"`
	}
	if err := json.Unmarshal(data, &said); err != nil {
		if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // else it would print our types
			return Handshake{}, fmt.Errorf("the open packet's %s is a %s", cmp.Or(kind.Field, "JSON"), kind.Value)
		}
		return Handshake{}, fmt.Errorf("the open packet is not JSON: %w", err)
	}
	if said.SID == "" || len(said.SID) > maxSID {
		return Handshake{}, fmt.Errorf("the open packet's sid has %d characters", len(said.SID))
	}
	for _, c := range []byte(said.SID) {
		if c <= ' ' || c >= 0x7f {
			return Handshake{}, errors.New("the open packet's sid is not printable ASCII")
		}
	}
	h := Handshake{SID: said.SID, PingInterval: millis(said.PingInterval), PingTimeout: millis(said.PingTimeout),
		MaxPayload: int(min(max(0, said.MaxPayload), 1<<30))}
	if h.PingInterval <= 0 || h.PingTimeout <= 0 {
		return Handshake{}, errors.New("the open packet has no pingInterval and pingTimeout")
	}
	for _, u := range said.Upgrades[:min(len(said.Upgrades), 8)] {
		if u == "websocket" || u == "webtransport" {
			h.Upgrades = append(h.Upgrades, u)
		}
	}
	return h, nil
}

func millis(n float64) time.Duration {
	return time.Duration(min(max(0, n), float64(maxPing/time.Millisecond)) * float64(time.Millisecond))
}

// Codes of engine.io's errors (packages/engine.io/lib/server.ts).
const (
	UnknownTransport    = 0
	UnknownSID          = 1
	BadHandshakeMethod  = 2
	BadRequest          = 3
	Forbidden           = 4
	UnsupportedProtocol = 5
	UnknownCode         = -1 // a refusal in other words
)

// Refusal is a server's own reason for an error status.
type Refusal struct {
	Code    int
	Message string
}

// messages are the texts that a failed WebSocket upgrade has in place of JSON
// (abortUpgrade), and what python-engineio says instead.
var messages = []struct {
	text string
	code int
}{
	{"Session ID unknown", UnknownSID}, {"Invalid session", UnknownSID}, {"Transport unknown", UnknownTransport}, {"Invalid transport", UnknownTransport},
	{"Bad handshake method", BadHandshakeMethod}, {"Bad request", BadRequest}, {"Unsupported protocol version", UnsupportedProtocol},
	{"The client is using an unsupported version of the Socket.IO or Engine.IO protocols", UnsupportedProtocol}, {"Forbidden", Forbidden},
}

// ParseRefusal reads the body of an answer with an error status.
func ParseRefusal(body []byte) (Refusal, bool) {
	var said struct {
		Code    *int    `json:"code"`
		Message *string `json:"message"`
	}
	if err := json.Unmarshal(body, &said); err == nil && said.Code != nil && said.Message != nil {
		return Refusal{*said.Code, *said.Message}, true
	}
	text := bytes.TrimSpace(bytes.Trim(bytes.TrimSpace(body), `"`))
	for _, m := range messages {
		if bytes.HasPrefix(text, []byte(m.text)) {
			return Refusal{m.code, m.text}, true
		}
	}
	return Refusal{UnknownCode, ""}, false
}
