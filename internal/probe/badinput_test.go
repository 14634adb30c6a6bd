package probe

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// rawServer answers every connection with talk, after reading the request.
// sent counts the bytes that talk managed to write.
func rawServer(t *testing.T, talk func(net.Conn, string)) (url string, sent *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sent = new(atomic.Int64)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				request := make([]byte, 64<<10)
				n, err := c.Read(request)
				if err != nil {
					return
				}
				talk(countingConn{c, sent}, string(request[:n]))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return "http://" + l.Addr().String() + "/", sent
}

type countingConn struct {
	net.Conn
	n *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func say(text string) func(net.Conn, string) {
	return func(c net.Conn, _ string) { _, _ = io.WriteString(c, text) }
}

// sayAndHold leaves the connection open until the client goes.
func sayAndHold(text string) func(net.Conn, string) {
	return func(c net.Conn, _ string) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	}
}

// repeat writes text until the client goes.
func repeat(head, text string, pause time.Duration) func(net.Conn, string) {
	return func(c net.Conn, _ string) {
		_, err := io.WriteString(c, head)
		for err == nil {
			_, err = io.WriteString(c, text)
			time.Sleep(pause)
		}
	}
}

func manyHeaders(n int) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
	for i := range n {
		fmt.Fprintf(&b, "H%d: v\r\n", i)
	}
	b.WriteString("X-Pod-Name: msgapp-0\r\n\r\nok")
	return b.String()
}

func gzipBomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.CopyN(z, zeros{}, 50<<20)
	_ = z.Close()
	return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(b.Len()) + "\r\n\r\n" + b.String()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// client makes a Client outside a Runner.
func newTestClient(t *testing.T, o Options, model affinity.ClientModel) *Client {
	t.Helper()
	set, err := o.settings()
	if err != nil {
		t.Fatal(err)
	}
	return &Client{spec: affinity.SessionSpec{ID: "s01", Transport: "http", Client: model}, set: set}
}

// once makes one round trip.
func once(t *testing.T, o Options, route affinity.Route) Trip {
	t.Helper()
	c := newTestClient(t, o, affinity.ClientBrowser)
	s := httpTransport{}.Open(c)
	defer s.Close()
	target := c.set.target(route)
	if target.Missing != "" {
		t.Fatal(target.Missing)
	}
	return s.Observe(t.Context(), target)
}

func onceURL(t *testing.T, o Options, raw string) Trip {
	t.Helper()
	return once(t, o, affinity.Route{Kind: affinity.RouteURL, URL: raw})
}

func TestBadAnswers(t *testing.T) {
	leakCheck(t)
	const ok = "HTTP/1.1 200 OK\r\n"
	chunked := ok + "Transfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name   string
		talk   func(net.Conn, string)
		status int
		op     string // of the failure; "" for an answer
		kind   affinity.FailureKind
		text   string // part of the failure
	}{
		{"not found is an answer", say("HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\ndefault backend - 404"), 404, "", 0, ""},
		{"internal error is an answer", say("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), 500, "", 0, ""},
		{"unknown status", say("HTTP/1.1 799 \x1b[31m\r\nContent-Length: 0\r\n\r\n"), 799, "", 0, ""},
		{"bad gateway", say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), 502, "status", affinity.FailureStatus, "502 Bad Gateway"},
		{"unavailable", say("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"), 503, "status", affinity.FailureStatus, "503 Service Unavailable"},
		{"gateway timeout", say("HTTP/1.1 504 x\r\nContent-Length: 0\r\n\r\n"), 504, "status", affinity.FailureStatus, "504 Gateway Timeout"},
		{"limited", say("HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n"), 429, "status", affinity.FailureLimited, "429 Too Many Requests"},

		{"garbage", say("\x00\x1b[2J\xff\xfe garbage\r\n\r\n"), 0, "read", affinity.FailureProtocol, "malformed HTTP"},
		{"endless garbage", repeat("", strings.Repeat("x", 4096), 0), 0, "read", affinity.FailureProtocol, "not a usable HTTP answer"},
		{"HTTP/0.9", say("<html><body>hello</body></html>\n"), 0, "read", affinity.FailureProtocol, "malformed HTTP response"},
		{"status is no number", say("HTTP/1.1 abc OK\r\n\r\n"), 0, "read", affinity.FailureProtocol, "malformed HTTP status"},
		{"status is nothing", say("HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"), 0, "read", affinity.FailureProtocol, "status 000"},
		{"two lengths", say(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 0, "read", affinity.FailureProtocol, "Content-Length"},
		{"escape sequence in a header", say(ok + "Set-Cookie: a=\x1b[31mred\r\nContent-Length: 0\r\n\r\n"), 0, "read", affinity.FailureProtocol, "malformed MIME header line"},
		{"broken chunks", say(chunked + "zz\r\nabc\r\n"), 200, "read", affinity.FailureProtocol, "body is broken"},
		{"endless headers", repeat(ok, "X-More: "+strings.Repeat("y", 1000)+"\r\n", 0), 0, "read", affinity.FailureProtocol, "exceeded 262144 bytes"},
		{"one endless header", repeat(ok+"X-More: ", strings.Repeat("y", 1000), 0), 0, "read", affinity.FailureProtocol, "exceeded 262144 bytes"},
		{"endless early hints", repeat("", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 0), 0, "read", affinity.FailureProtocol, ""},
		{"10,000 headers", say(manyHeaders(10_000)), 200, "", 0, ""},

		{"closes without a word", func(net.Conn, string) {}, 0, "read", affinity.FailureOther, "closed before an answer"},
		{"resets", func(c net.Conn, _ string) { reset(c) }, 0, "read", affinity.FailureOther, "closed before an answer"},
		{"says nothing", sayAndHold(""), 0, "read", affinity.FailureTimeout, "no answer within 3s"},
		{"drips its header", repeat(ok+"X-A: ", "y", 100*time.Millisecond), 0, "read", affinity.FailureTimeout, "no answer within 3s"},
		{"stalls in a short body", sayAndHold(ok + "Content-Length: 10\r\n\r\nabc"), 200, "read", affinity.FailureTimeout, "stalled after 3 of 10 bytes"},
		{"breaks off in its body", say(ok + "Content-Length: 10\r\n\r\nabc"), 200, "read", affinity.FailureOther, "in the middle of the answer, after 3 bytes"},
		{"drips an endless body", repeat(chunked, "1\r\nx\r\n", 50*time.Millisecond), 200, "", 0, ""},
		{"a gigabyte", repeat(ok+"Content-Length: 1073741824\r\n\r\n", strings.Repeat("z", 32<<10), 0), 200, "", 0, ""},
		{"endless chunks", repeat(chunked, "8000\r\n"+strings.Repeat("z", 0x8000)+"\r\n", 0), 200, "", 0, ""},
		{"a gzip bomb", say(gzipBomb(t)), 200, "", 0, ""},
		{"switches protocols unasked", sayAndHold("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), 101, "", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, sent := rawServer(t, tt.talk)
			before := allocated()
			began := time.Now()
			trip := onceURL(t, Options{Timeout: 3 * time.Second}, raw)
			o := trip.Observed
			took := time.Since(began)
			if took > 4*time.Second || trip.Observed.Failure == nil && took > bodyPatience+700*time.Millisecond {
				t.Errorf("took %s", took)
			}
			if grown := allocated() - before; grown > 8<<20 {
				t.Errorf("allocated %d KiB", grown>>10)
			}
			if n := sent.Load(); n > 16<<20 {
				t.Errorf("the server got rid of %d KiB", n>>10)
			}
			checkBounds(t, o)
			if o.Status != tt.status {
				t.Errorf("status %d, want %d", o.Status, tt.status)
			}
			checkFailure(t, o.Failure, tt.op, tt.kind, tt.text)
		})
	}
}

func checkFailure(t *testing.T, f *affinity.Failure, op string, kind affinity.FailureKind, text string) {
	t.Helper()
	switch {
	case f == nil && op == "":
	case f == nil:
		t.Errorf("no failure, want %s %s", op, kind)
	case f.Op != op || f.Kind != kind || !strings.Contains(f.Text, text):
		t.Errorf("failure %s %s %q, want %s %s %q", f.Op, f.Kind, f.Text, op, kind, text)
	case f.Text != affinity.Clean(f.Text, maxText):
		t.Errorf("failure text %q is not clean", f.Text)
	}
}

// checkBounds checks what every Observed promises.
func checkBounds(t *testing.T, o affinity.Observed) {
	t.Helper()
	if len(o.Answer.Body) > maxIdentityBody || len(o.Answer.Header) > maxFields || len(o.Offers) > maxCookies || len(o.Sent) > maxCookies {
		t.Errorf("body %d, header %d, offers %d, sent %d", len(o.Answer.Body), len(o.Answer.Header), len(o.Offers), len(o.Sent))
	}
	shown := []string{o.Remote, o.Redirect}
	for _, f := range o.Answer.Header {
		shown = append(shown, f.Name, f.Value)
	}
	for _, x := range o.Offers {
		shown = append(shown, x.Name, x.Path, x.Domain, x.SameSite, x.NotReturned)
	}
	for _, s := range shown {
		if s != affinity.Clean(s, maxFieldValue+2) {
			t.Errorf("%.80q is not clean or too long", s)
		}
	}
}

func reset(c net.Conn) {
	if counted, ok := c.(countingConn); ok {
		_ = counted.Conn.(*net.TCPConn).SetLinger(0)
	}
}

func allocated() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.TotalAlloc)
}

func TestManyHeadersKeepThePodsName(t *testing.T) {
	raw, _ := rawServer(t, say(manyHeaders(10_000)))
	o := onceURL(t, Options{KeepHeaders: []string{"h9999"}}, raw).Observed
	if len(o.Answer.Header) != maxFields {
		t.Fatalf("%d fields, want %d", len(o.Answer.Header), maxFields)
	}
	if a, b := o.Answer.Header[0], o.Answer.Header[1]; a.Name != "H9999" || b.Name != "X-Pod-Name" || b.Value != "msgapp-0" {
		t.Errorf("first fields %v, %v, want the one asked for, then X-…", a, b)
	}
}

func TestNoCompressionIsAskedFor(t *testing.T) {
	got := make(chan string, 1)
	raw, _ := rawServer(t, func(c net.Conn, request string) {
		got <- request
		say("HTTP/1.1 204 No Content\r\n\r\n")(c, request)
	})
	onceURL(t, Options{}, raw)
	request := strings.ToLower(<-got)
	if strings.Contains(request, "accept-encoding") || !strings.Contains(request, "connection: close") || !strings.HasPrefix(request, "get / http/1.1\r\n") {
		t.Errorf("request:\n%s", request)
	}
}

func TestHugeCookies(t *testing.T) {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
	b.WriteString("Set-Cookie: huge=" + strings.Repeat("x", 64<<10) + "\r\n")
	for i := range 100 {
		fmt.Fprintf(&b, "Set-Cookie: c%d=v; Path=/\u202e\r\n", i)
	}
	raw, _ := rawServer(t, say(b.String()+"\r\n"))
	o := onceURL(t, Options{}, raw).Observed
	checkBounds(t, o)
	if o.Failure != nil || len(o.Offers) != maxCookies {
		t.Fatalf("%+v, %d offers", o.Failure, len(o.Offers))
	}
	huge := o.Offers[0]
	if huge.Name != "huge" || !strings.Contains(huge.NotReturned, "longer than 4096 bytes") || len(huge.Value) > 4096 {
		t.Errorf("huge cookie: %d bytes, %q", len(huge.Value), huge.NotReturned)
	}
}

func TestConnectFailures(t *testing.T) {
	leakCheck(t)
	closed := closedPort(t)
	blackhole := blackholeDial
	tests := []struct {
		name string
		o    Options
		raw  string
		kind affinity.FailureKind
		text string
	}{
		{"refused", Options{}, "http://" + closed, affinity.FailureRefused, "connect to " + closed + ": connection refused"},
		{"no such host", Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "chat.test", IsNotFound: true}}
		}}, "http://chat.test/", affinity.FailureDNS, "chat.test: no such host in DNS"},
		{"no answer", Options{Dial: blackhole, DialName: "the tunnel", ConnectTimeout: 1100 * time.Millisecond}, "http://h.test/",
			affinity.FailureTimeout, "connect to the tunnel: no answer within 1.1s"},
		{"forward breaks", Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, fmt.Errorf("pod \x1b[31mgone")
		}, DialName: "the tunnel"}, "http://h.test/", affinity.FailureOther, "connect to the tunnel: pod ·[31mgone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			trip := onceURL(t, tt.o, tt.raw)
			checkFailure(t, trip.Observed.Failure, "dial", tt.kind, tt.text)
			failed := 1
			if tt.kind == affinity.FailureDNS {
				failed = 0
			}
			for i, s := range trip.Steps {
				switch {
				case i < failed && s.Status == affinity.StepFailed, i == failed && s.Status != affinity.StepFailed, i > failed && s.Status != affinity.StepNotTried:
					t.Errorf("step %+v", s)
				}
			}
		})
	}
}

func blackholeDial(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAddressesAreTriedInOrder(t *testing.T) {
	raw, _ := rawServer(t, say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	u, _ := url.Parse(raw)
	o := Options{Resolve: []string{"chat.test:" + u.Port() + ":127.0.0.99,127.0.0.1"}}
	trip := onceURL(t, o, "http://chat.test:"+u.Port()+"/")
	if trip.Observed.Failure != nil || trip.Observed.Remote != u.Host {
		t.Errorf("%+v by way of %q, want %q", trip.Observed.Failure, trip.Observed.Remote, u.Host)
	}
}
