package probe

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// FuzzAnswer sends any bytes as the answer to a request. Whatever they are, the
// report of them is bounded and safe to print.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nSet-Cookie: route=69e3|9d64; Expires=Mon, 23-Nov-26 11:48:14 GMT; Path=/x\r\nX-Pod-Name: a\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 302 Found\r\nLocation: //evil.test/?q\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	f.Add("HTTP/1.0 503 \r\nRetry-After: Mon, 23 Nov 2026 08:30:20 GMT\r\n\r\n")
	f.Add("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x00")
	f.Fuzz(func(t *testing.T, answer string) {
		dial := func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				_ = server.SetDeadline(time.Now().Add(5 * time.Second))
				request := make([]byte, 4096)
				if _, err := server.Read(request); err == nil {
					_, _ = io.WriteString(server, answer)
				}
			}()
			return client, nil
		}
		trip := onceURL(t, Options{Dial: dial, Timeout: 2 * time.Second}, "http://chat.test/app/")
		checkBounds(t, trip.Observed)
		if o := trip.Observed; o.Failure == nil && o.Status == 0 {
			t.Errorf("neither an answer nor a failure: %+v", o)
		}
		if f := trip.Observed.Failure; f != nil && (f.Text == "" || f.Text != affinity.Clean(f.Text, maxText)) {
			t.Errorf("failure text %q", f.Text)
		}
		if trip.RetryAfter < 0 || trip.RetryAfter > maxRetryAfter {
			t.Errorf("Retry-After %s", trip.RetryAfter)
		}
		for _, s := range trip.Steps {
			if s.Detail != affinity.Clean(s.Detail, maxText) {
				t.Errorf("step detail %q", s.Detail)
			}
		}
	})
}

// FuzzOverride reads --resolve.
func FuzzOverride(f *testing.F) {
	f.Add("chat.test:80:127.0.0.1,[::1]")
	f.Add("[::1]:443:::1")
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parseOverride(line)
		if err != nil {
			return
		}
		for _, a := range o.addrs {
			if _, port, err := net.SplitHostPort(a); err != nil || port != o.port {
				t.Errorf("parseOverride(%q) = %+v", line, o)
			}
		}
		if o.host == "" || o.host != strings.ToLower(o.host) || len(o.addrs) == 0 {
			t.Errorf("parseOverride(%q) = %+v", line, o)
		}
	})
}
