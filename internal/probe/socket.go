package probe

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// SocketOptions are for the transports that hold a connection. The zero value
// is usable.
type SocketOptions struct {
	// Origin is the page that a browser's session comes from, for the Origin
	// header; the target's own for browsers, none for other clients.
	Origin string
	// Idle says nothing on a WebSocket, to see when and by whom it is closed.
	Idle bool

	Subprotocols []string      // ws: Sec-WebSocket-Protocol
	Header       http.Header   // ws: more headers of the upgrade
	Send         string        // ws: the first message; none
	Expect       string        // ws: what a message must contain, within Options.Timeout; nothing
	Ping         time.Duration // ws: between pings; 25 s

	IOPath       string          // socketio: /socket.io/
	IONamespace  string          // socketio: "/"
	IOAuth       affinity.Secret // socketio: JSON object that CONNECT carries; none
	IOTransports string          // socketio: IOBoth or another of these
	IOVersion    int             // socketio: EIO to ask for, 3 or 4; 0 finds out
	IOAsk        string          // socketio: event that is emitted, whose ack names the pod; none
	IOEvent      string          // socketio: event of the server that names the pod; none
}

// Defaults of SocketOptions.
const (
	DefaultPing   = 25 * time.Second
	DefaultIOPath = "/socket.io/"
)

// EnginePath is the path that Socket.IO sessions ask for, and the query that goes
// with it; "" for none. It ends in a slash as the client library's does
// (addTrailingSlash, packages/engine.io-client/lib/socket.ts of socketio/socket.io).
func (o *SocketOptions) EnginePath() (path, query string) {
	path, query, _ = strings.Cut(cmp.Or(o.IOPath, DefaultIOPath), "?")
	return strings.TrimSuffix(path, "/") + "/", query
}

// The values that IOTransports may have. IOSocketFirst is socket.io-client's
// transports: ["websocket", "polling"] with tryAllTransports: true (since 4.8):
// polling where the WebSocket cannot be opened, without an upgrade, and every
// connection begins with the WebSocket again. Without that option the client
// knows of WebSocket alone.
const (
	IOBoth        = "polling,websocket"
	IOSocketFirst = "websocket,polling"
	IOPolling     = "polling"
	IOWebSocket   = "websocket"
)

// A count of {0,120} would be written out 120 times at every start.
var namespaceName = regexp.MustCompile(`^/[0-9A-Za-z_./~-]*$`)

const maxNamespaceName = 121

// check completes o. Its errors name the option.
func (o *SocketOptions) check() error {
	if o.Ping == 0 {
		o.Ping = DefaultPing
	}
	if o.IOPath == "" {
		o.IOPath = DefaultIOPath
	}
	if o.IONamespace == "" {
		o.IONamespace = "/"
	}
	if o.IOTransports == "" {
		o.IOTransports = IOBoth
	}
	var object map[string]json.RawMessage
	switch {
	case o.Ping < time.Second:
		return fmt.Errorf("ping interval %s: the shortest is 1s", o.Ping)
	case !strings.HasPrefix(o.IOPath, "/"):
		return fmt.Errorf("Socket.IO path %q: must begin with /", o.IOPath)
	case len(o.IONamespace) > maxNamespaceName, !namespaceName.MatchString(o.IONamespace):
		return fmt.Errorf("Socket.IO namespace %q: write /NAME", o.IONamespace)
	case !slices.Contains([]string{IOBoth, IOSocketFirst, IOPolling, IOWebSocket}, o.IOTransports):
		return fmt.Errorf("Socket.IO transports %q: use %s, %s, %s or %s", o.IOTransports, IOBoth, IOSocketFirst, IOPolling, IOWebSocket)
	case o.IOVersion != 0 && o.IOVersion != 3 && o.IOVersion != 4:
		return fmt.Errorf("engine.IO version %d: use 3 or 4", o.IOVersion)
	case o.IOAuth != "" && json.Unmarshal([]byte(o.IOAuth.Reveal()), &object) != nil:
		return errors.New("the Socket.IO auth payload is not a JSON object")
	}
	if o.Origin != "" {
		if u, err := url.Parse(o.Origin); err != nil || u.Scheme == "" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return fmt.Errorf("origin %q: write http[s]://HOST[:PORT]", o.Origin)
		}
	}
	return checkHeader(o.Header)
}

func checkHeader(h http.Header) error {
	for name, values := range h {
		if !isToken(name) || hasControl(strings.Join(values, "")) {
			return fmt.Errorf("header %q: write NAME: VALUE", name)
		}
	}
	return nil
}

func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// Bounds of what comes over a WebSocket.
const (
	maxMessage     = 16 << 20 // bytes of a message, fragments and all; more ends the session
	maxMessageHead = 64 << 10 // bytes of it that are looked at
	messageTime    = 30 * time.Second
	writeTime      = 5 * time.Second
	// newsGap keeps a talkative server from flooding the fold.
	newsGap = time.Second
)

// writeBuffers are shared by all connections, which write rarely.
var writeBuffers sync.Pool

// origin is the Origin that a session's requests carry; "" for none.
func (c *Client) origin(u *url.URL) string {
	switch {
	case c.set.Socket.Origin != "":
		return strings.TrimSuffix(c.set.Socket.Origin, "/")
	case c.spec.Client == affinity.ClientNoJar:
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// dialSocket opens a WebSocket to u. The Trip tells how that went; the
// connection is nil when it failed. Cookies are not received yet: lines are the
// Set-Cookie lines of the answer, for whoever owns the jar.
func dialSocket(ctx context.Context, c *Client, t Target, u *url.URL, a asking, more http.Header, protocols []string) (*websocket.Conn, reply) {
	ctx, cancel := context.WithTimeout(ctx, c.set.Timeout)
	defer cancel()
	at := *u
	at.Scheme = map[string]string{"https": "wss"}[u.Scheme]
	if at.Scheme == "" {
		at.Scheme = "ws"
	}
	for name, values := range more {
		if _, own := a.header[name]; !own {
			a.header[name] = values
		}
	}
	bounded := &boundedConn{}
	d := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			var err error
			if addr == t.authority() {
				bounded.Conn, err = c.Dial(ctx, t)
			} else {
				bounded.Conn, err = (&net.Dialer{Timeout: c.set.ConnectTimeout}).DialContext(ctx, network, addr)
			}
			if err != nil {
				return nil, err
			}
			bounded.left = maxResponseHeader
			return bounded, nil
		},
		Proxy: c.set.Proxy, TLSClientConfig: c.set.tls.Clone(), HandshakeTimeout: c.set.Timeout, Subprotocols: protocols,
		ReadBufferSize: 512, WriteBufferSize: 1024, WriteBufferPool: &writeBuffers,
	}
	r := reply{asking: a, seen: c.look(t, c.set.Insecure)}
	conn, resp, err := d.DialContext(httptrace.WithClientTrace(ctx, r.seen.hooks()), at.String(), a.header) //nolint:bodyclose // the library has read it: nothing is left open
	r.took = time.Since(a.began)
	if resp != nil {
		r.resp = resp
		if conn == nil {
			r.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxIdentityBody))
		}
	}
	switch {
	case errors.Is(err, websocket.ErrBadHandshake):
		r.refused = true
	case err != nil:
		r.failure = c.set.failure(err, r.seen.phase(), t)
	default:
		bounded.free()
		r.failure = subprotocolFailure(resp.Header, protocols)
	}
	return conn, r
}

// subprotocolFailure is why clients give up a WebSocket whose server picked none
// of the subprotocols that were offered (browsers and npm ws: "establish a
// WebSocket connection" of the WHATWG's WebSockets standard), or another one
// (RFC 6455 §4.1); nil where it picked well.
func subprotocolFailure(answer http.Header, offered []string) *affinity.Failure {
	picked := answer.Values("Sec-Websocket-Protocol")
	text := ""
	switch {
	case len(picked) == 1 && slices.Contains(offered, picked[0]), len(picked) == 0 && len(offered) == 0:
		return nil
	case len(offered) == 0:
		text = fmt.Sprintf("the server picked subprotocol %q, and none was offered", strings.Join(picked, ", "))
	case strings.Join(picked, "") == "":
		text = "the server picked no subprotocol of those offered: " + strings.Join(offered, ", ")
	default:
		text = fmt.Sprintf("the server picked subprotocol %q, which was not offered: %s", strings.Join(picked, ", "), strings.Join(offered, ", "))
	}
	return &affinity.Failure{Op: "status", Kind: affinity.FailureDenied, Text: affinity.Clean(text+"; clients close such a WebSocket", maxText)}
}

// boundedConn fails when more than left bytes come before free is called: an
// answer's header that does not end.
type boundedConn struct {
	net.Conn
	mu     sync.Mutex
	left   int
	opened bool
}

func (b *boundedConn) free() {
	b.mu.Lock()
	b.opened = true
	b.mu.Unlock()
}

func (b *boundedConn) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened {
		return n, err
	}
	if b.left -= n; b.left < 0 {
		return n, fmt.Errorf("the answer's header is longer than %d bytes", maxResponseHeader)
	}
	return n, err
}

// wire reads a WebSocket in a goroutine of its own.
type wire struct {
	conn   *websocket.Conn
	frames chan frame
	done   chan struct{}
	group  sync.WaitGroup
	pings  uint64
}

// frame is one message, the start of it, or a control frame, or the end.
type frame struct {
	kind int // websocket.TextMessage, BinaryMessage, PingMessage, PongMessage; 0 with err
	data []byte
	err  error
	at   time.Time
}

func newWire(conn *websocket.Conn) *wire {
	w := &wire{conn: conn, frames: make(chan frame), done: make(chan struct{})}
	conn.SetReadLimit(maxMessage)
	answer := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		err := answer(data)
		w.deliver(frame{kind: websocket.PingMessage})
		return err
	})
	conn.SetPongHandler(func(data string) error {
		w.deliver(frame{kind: websocket.PongMessage, data: []byte(data)})
		return nil
	})
	w.group.Go(w.read)
	return w
}

func (w *wire) deliver(f frame) bool {
	f.at = time.Now()
	select {
	case w.frames <- f:
		return true
	case <-w.done:
		return false
	}
}

func (w *wire) read() {
	for {
		kind, data, err := w.message()
		if err != nil {
			w.deliver(frame{err: err})
			return
		}
		if !w.deliver(frame{kind: kind, data: data}) {
			return
		}
	}
}

// errNotUTF8 and errEndless are failures of the other side's that the library
// leaves to its caller.
var (
	errNotUTF8 = errors.New("a text message is not UTF-8")
	errEndless = fmt.Errorf("a message did not end within %s", messageTime)
)

// message reads one message to its end, and keeps the start of it.
func (w *wire) message() (int, []byte, error) {
	_ = w.conn.SetReadDeadline(time.Time{})
	kind, r, err := w.conn.NextReader()
	if err != nil {
		return 0, nil, err
	}
	_ = w.conn.SetReadDeadline(time.Now().Add(messageTime))
	head, err := io.ReadAll(io.LimitReader(r, maxMessageHead))
	check := &textCheck{skip: kind != websocket.TextMessage}
	if err == nil {
		_, _ = check.Write(head)
		_, err = io.Copy(check, r)
	}
	switch {
	case err != nil && isTimeout(err):
		return 0, nil, errEndless
	case err != nil:
		return 0, nil, err
	case !check.done():
		_ = w.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInvalidFramePayloadData, ""), time.Now().Add(writeTime))
		return 0, nil, errNotUTF8
	}
	return kind, head, nil
}

// textCheck checks UTF-8 across writes (RFC 6455 §8.1).
type textCheck struct {
	skip, bad bool
	rest      []byte // of a character that goes on in the next write
}

func (c *textCheck) Write(p []byte) (int, error) {
	if c.skip || c.bad {
		return len(p), nil
	}
	text := p
	if len(c.rest) > 0 {
		text = append(c.rest, p...)
	}
	cut := len(text)
	for back := 1; back <= 3 && back <= len(text); back++ {
		if utf8.RuneStart(text[len(text)-back]) {
			if !utf8.FullRune(text[len(text)-back:]) {
				cut = len(text) - back
			}
			break
		}
	}
	c.bad = !utf8.Valid(text[:cut])
	c.rest = append([]byte(nil), text[cut:]...)
	return len(p), nil
}

func (c *textCheck) done() bool { return !c.bad && len(c.rest) == 0 }

// send writes one message.
func (w *wire) send(kind int, data []byte) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeTime))
	return w.conn.WriteMessage(kind, data)
}

// ping sends a ping frame whose pong sighted recognises.
func (w *wire) ping() error {
	w.pings++
	return w.conn.WriteControl(websocket.PingMessage, binary.BigEndian.AppendUint64(nil, w.pings), time.Now().Add(writeTime))
}

// sighted reports whether data is the pong of the last ping.
func (w *wire) sighted(data []byte) bool {
	return len(data) == 8 && binary.BigEndian.Uint64(data) == w.pings
}

// bye closes politely, and does not wait for the answer.
func (w *wire) bye() {
	_ = w.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
}

// close gives the connection up, and waits for its reader.
func (w *wire) close() {
	close(w.done)
	_ = w.conn.Close()
	w.group.Wait()
}

// socketEnd words how a WebSocket ended.
func socketEnd(err error, held affinity.Socket, now time.Time) *affinity.SocketEnd {
	end := &affinity.SocketEnd{At: now, Lasted: max(0, now.Sub(held.Opened)), Silent: max(0, now.Sub(held.Active)), By: affinity.EndedByUnknown}
	kind := affinity.FailureClosed
	closed, isClose := errors.AsType[*websocket.CloseError](err)
	silence := fmt.Sprintf("after %.1fs without a frame", end.Silent.Seconds())
	switch {
	case isClose && closed.Code != websocket.CloseAbnormalClosure:
		end.By, end.Code = affinity.EndedByServer, closed.Code
		end.Text = fmt.Sprintf("closed by the server with code %d%s", closed.Code, codeName(closed.Code))
		if closed.Text != "" {
			end.Text += ": " + closed.Text
		}
	case isClose, isCutOff(err):
		end.Text = "cut without a close frame " + silence
	case errors.Is(err, websocket.ErrReadLimit):
		end.By, kind = affinity.EndedByClient, affinity.FailureProtocol
		end.Text = fmt.Sprintf("ended here: a message of more than %d MiB", maxMessage>>20)
	case errors.Is(err, errNotUTF8), errors.Is(err, errEndless):
		end.By, kind = affinity.EndedByClient, affinity.FailureProtocol
		end.Text = "ended here: " + err.Error()
	case isTimeout(err):
		end.By, kind = affinity.EndedByClient, affinity.FailureTimeout
		end.Text = "ended here: the other side takes nothing, " + silence
	case strings.HasPrefix(err.Error(), "websocket: "):
		end.By, kind = affinity.EndedByClient, affinity.FailureProtocol
		end.Text = "ended here: " + strings.TrimPrefix(err.Error(), "websocket: ")
	default:
		end.Text = cause(err) + ", " + silence
	}
	end.Text = affinity.Clean(end.Text, maxText)
	end.Failed = &affinity.Failure{Op: "read", Kind: kind, Text: end.Text}
	return end
}

// codeName names the close codes of RFC 6455 §7.4.1 that are seen in the wild.
func codeName(code int) string {
	name := map[int]string{1000: "normal", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "no status", 1007: "invalid text",
		1008: "policy", 1009: "message too big", 1011: "internal error", 1012: "service restart", 1013: "try again later"}[code]
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

// ended is a session's own end: left on purpose, or given up with a reason.
func ended(held affinity.Socket, by affinity.EndedBy, text string, failed *affinity.Failure) *affinity.SocketEnd {
	now := time.Now()
	return &affinity.SocketEnd{At: now, Lasted: now.Sub(held.Opened), Silent: now.Sub(held.Active), By: by, Text: affinity.Clean(text, maxText), Failed: failed}
}

// news tells the fold how a held connection stands, changes at once and
// frames at most every newsGap.
type news struct {
	session affinity.SessionID
	emit    func(affinity.Event)
	last    time.Time
	due     bool // frames came since
}

func (n *news) tell(held affinity.Socket) {
	n.last, n.due = time.Now(), false
	n.emit(affinity.SocketChanged{Session: n.session, Socket: held})
}

// frame tells of a frame, now or when flush comes.
func (n *news) frame(held affinity.Socket) {
	if time.Since(n.last) < newsGap {
		n.due = true
		return
	}
	n.tell(held)
}

// flush is when to tell what was held back; zero for never.
func (n *news) flush() time.Time {
	if !n.due {
		return time.Time{}
	}
	return n.last.Add(newsGap)
}

// alarm is one timer for the earliest of several instants.
type alarm struct{ timer *time.Timer }

// set returns a channel that fires at the earliest of times that is not zero.
func (a *alarm) set(times ...time.Time) <-chan time.Time {
	var next time.Time
	for _, t := range times {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.IsZero() {
		a.stop()
		return nil
	}
	if a.timer == nil {
		a.timer = time.NewTimer(time.Until(next))
	} else {
		a.timer.Reset(time.Until(next))
	}
	return a.timer.C
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// past reports whether t has come.
func past(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
