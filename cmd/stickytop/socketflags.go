package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// socketFlags are those of --transport ws and socketio whose words need reading: headers and payloads may be secrets,
// and files keep them out of the list of processes.
type socketFlags struct {
	common  []string
	all     http.Header // of common
	headers []string
	auth    string
}

func (f *probeFlags) addSockets(fs *pflag.FlagSet) {
	fs.StringVar(&f.socket.Origin, "origin", "", "Origin of the page that the sessions come from, http[s]://HOST[:PORT]; the target's own for browsers")
	fs.StringArrayVar(&f.words.common, "header", nil, "header that the application's client adds to its HTTP requests, 'NAME: VALUE', or @FILE with one a line")
	fs.StringSliceVar(&f.socket.Subprotocols, "ws-subprotocol", nil, "WebSocket subprotocols to offer (Sec-WebSocket-Protocol)")
	fs.StringArrayVar(&f.words.headers, "ws-header", nil, "header of the WebSocket upgrade, 'NAME: VALUE', or @FILE with one a line")
	fs.StringVar(&f.socket.Send, "ws-send", "", "first message to send on a WebSocket")
	fs.StringVar(&f.socket.Expect, "ws-expect", "", "what a message must contain, within --probe-timeout of --ws-send")
	fs.IntVar(&f.socket.IOVersion, "socketio-eio", 0, "Engine.IO version of the clients: 3 (Socket.IO 1 and 2) or 4 (3 and later); found out by default, so that a server that refuses one of them (I07) shows only with it")
	fs.StringVar(&f.words.auth, "socketio-auth", "", "auth payload of the Socket.IO CONNECT, a JSON object or @FILE (Socket.IO 3 and later)")
}

// checkSockets reads what the flags say. Its errors never repeat a value.
func (f *probeFlags) checkSockets() error {
	for _, only := range []struct {
		flag, transport string
		given           bool
	}{
		{"--ws-subprotocol", "ws", len(f.socket.Subprotocols) > 0}, {"--ws-header", "ws", len(f.words.headers) > 0},
		{"--ws-send", "ws", f.socket.Send != ""}, {"--ws-expect", "ws", f.socket.Expect != ""},
		{"--socketio-auth", "socketio", f.words.auth != ""},
		{"--socketio-eio", "socketio", f.socket.IOVersion != 0},
	} {
		if only.given && !f.speaks(only.transport) {
			return usageError("%s is for --transport %s", only.flag, only.transport)
		}
	}
	switch {
	case f.socket.IOVersion != 0 && f.socket.IOVersion != 3 && f.socket.IOVersion != 4:
		return usageError("--socketio-eio %d: use 3 or 4", f.socket.IOVersion)
	case f.socket.Idle && f.socket.Send != "":
		return usageError("--idle says nothing on the WebSocket: not with --ws-send")
	case f.socket.Expect != "" && f.socket.Send == "":
		return usageError("--ws-expect is what answers --ws-send")
	}
	auth, err := wordOrFile("--socketio-auth", f.words.auth)
	if err != nil {
		return err
	}
	f.socket.IOAuth = affinity.Secret(strings.TrimSpace(auth))
	if f.words.all, err = readHeaders("--header", f.words.common); err != nil {
		return err
	}
	f.socket.Header, err = readHeaders("--ws-header", f.words.headers)
	return err
}

// maxWord bounds what a file may hold in place of a flag's value.
const maxWord = 64 << 10

// wordOrFile returns the flag's value, or what the file it names holds.
func wordOrFile(flag, value string) (string, error) {
	name, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return value, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return "", usageError("%s: %w", flag, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxWord+1))
	switch {
	case err != nil:
		return "", usageError("%s: %w", flag, err)
	case len(data) > maxWord:
		return "", usageError("%s: %s is longer than %d KiB", flag, affinity.Clean(name, 120), maxWord>>10)
	}
	return string(data), nil
}

// notOurs are headers of the upgrade that the WebSocket library or the probe sets.
var notOurs = map[string]string{
	"Connection": "the WebSocket library", "Upgrade": "the WebSocket library", "Sec-Websocket-Key": "the WebSocket library",
	"Sec-Websocket-Version": "the WebSocket library", "Sec-Websocket-Extensions": "the WebSocket library",
	"Sec-Websocket-Protocol": "--ws-subprotocol", "Origin": "--origin", "Host": "--host", "Cookie": "the session's own jar",
	"User-Agent": "stickytop", "X-Request-Id": "stickytop", "X-Stickytop-Session": "stickytop",
}

func readHeaders(flag string, values []string) (http.Header, error) {
	var header http.Header
	for i, value := range values {
		text, err := wordOrFile(flag, value)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\r\n")
			if strings.TrimSpace(line) == "" {
				continue
			}
			name, value, ok := strings.Cut(line, ":")
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if !ok || name == "" {
				return nil, usageError("%s, the %s: write 'NAME: VALUE'", flag, ordinal(i+1))
			}
			if owner := notOurs[name]; owner != "" {
				return nil, usageError("%s %s: that one is set by %s", flag, affinity.Clean(name, 60), owner)
			}
			if header == nil {
				header = http.Header{}
			}
			header.Add(name, strings.TrimSpace(value))
		}
	}
	return header, nil
}

func ordinal(n int) string {
	if n <= 3 {
		return [...]string{"first", "second", "third"}[n-1]
	}
	return fmt.Sprintf("%dth", n)
}
