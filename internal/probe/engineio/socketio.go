package engineio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// SocketType is the type of a Socket.IO packet, which is the data of an
// Engine.IO message.
type SocketType byte

// Types of Socket.IO packets.
const (
	Connect      SocketType = '0'
	Disconnect   SocketType = '1'
	Event        SocketType = '2'
	Ack          SocketType = '3'
	ConnectError SocketType = '4'
	BinaryEvent  SocketType = '5'
	BinaryAck    SocketType = '6'
)

// SocketPacket is one Socket.IO packet, without its attachments.
type SocketPacket struct {
	Type        SocketType
	Attachments int
	Namespace   string // "/" for the main one
	ID          int    // of an event that wants an ack, or of the ack; -1 for none
	Data        json.RawMessage
}

const (
	maxAttachments = 1 << 10
	maxNamespace   = 1 << 10
	maxDepth       = 32 // of the arguments' JSON, arrays and objects
)

// ParseSocket reads a message's data: TYPE [ATTACHMENTS-] [/NAMESPACE,] [ID] [JSON].
func ParseSocket(data []byte) (SocketPacket, error) {
	p := SocketPacket{Namespace: "/", ID: -1}
	if len(data) == 0 || data[0] < byte(Connect) || data[0] > byte(BinaryAck) {
		return p, errors.New("a Socket.IO packet without a type")
	}
	p.Type, data = SocketType(data[0]), data[1:]
	if p.Type == BinaryEvent || p.Type == BinaryAck {
		digits, rest, found := bytes.Cut(data, []byte("-"))
		n, ok := number(digits)
		if !found || !ok || n > maxAttachments {
			return p, errors.New("a binary Socket.IO packet without its number of attachments")
		}
		p.Attachments, data = n, rest
	}
	if len(data) > 0 && data[0] == '/' {
		name, rest, _ := bytes.Cut(data, []byte(","))
		if len(name) > maxNamespace {
			return p, errors.New("a Socket.IO namespace that is too long")
		}
		name, _, _ = bytes.Cut(name, []byte("?")) // version 4 of the protocol puts the query there
		p.Namespace, data = string(name), rest
	}
	end := 0
	for end < len(data) && '0' <= data[end] && data[end] <= '9' {
		end++
	}
	if end > 0 {
		n, ok := number(data[:end])
		if !ok {
			return p, errors.New("a Socket.IO ack id that is too long")
		}
		p.ID, data = n, data[end:]
	}
	if len(data) > 0 {
		if tooDeep(data) || !json.Valid(data) {
			return p, errors.New("a Socket.IO packet whose data is not JSON")
		}
		p.Data = data
	}
	return p, nil
}

// tooDeep keeps the JSON decoder from recursing on command.
func tooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

func number(digits []byte) (int, bool) {
	if len(digits) == 0 || len(digits) > 9 || len(bytes.Trim(digits, "0123456789")) > 0 {
		return 0, false
	}
	n, err := strconv.Atoi(string(digits))
	return n, err == nil
}

// Packet returns p as an Engine.IO message.
func (p SocketPacket) Packet() Packet {
	data := []byte{byte(p.Type)}
	if p.Namespace != "" && p.Namespace != "/" {
		data = append(append(data, p.Namespace...), ',')
	}
	if p.ID >= 0 {
		data = strconv.AppendInt(data, int64(p.ID), 10)
	}
	return Packet{Type: Message, Data: append(data, p.Data...)}
}

// EventName returns the name and the arguments of an event.
func (p SocketPacket) EventName() (name string, args []json.RawMessage, err error) {
	var all []json.RawMessage
	if err := json.Unmarshal(p.Data, &all); err != nil || len(all) == 0 {
		return "", nil, errors.New("a Socket.IO event that is no array")
	}
	if err := json.Unmarshal(all[0], &name); err != nil {
		return "", nil, errors.New("a Socket.IO event without a name")
	}
	return name, all[1:], nil
}

// Refusal returns the message of a CONNECT_ERROR: an object with one since
// version 5 of the protocol, a string before.
func (p SocketPacket) Refusal() string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(p.Data, &said) == nil && said.Message != "" {
		return said.Message
	}
	var text string
	if json.Unmarshal(p.Data, &text) == nil {
		return text
	}
	return fmt.Sprintf("%.80s", p.Data)
}
