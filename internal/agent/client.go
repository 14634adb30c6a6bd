package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/kernel"
)

// DialFunc opens a connection to a pod's loopback: a port-forward.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Client is the near end of one agent. It is safe for concurrent use.
type Client struct {
	dial    DialFunc
	address string
	token   Token
	http    *http.Client

	mu    sync.Mutex
	known string // ID of the names that the agent has
}

// NewClient returns the near end of the agent on that port of a pod's loopback.
func NewClient(dial DialFunc, port int, token Token) *Client {
	c := &Client{dial: dial, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), token: token}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxIdleConns: 2, IdleConnTimeout: 30 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Hello asks who is there.
func (c *Client) Hello(ctx context.Context) (Hello, error) {
	var h Hello
	err := c.ask(ctx, http.MethodGet, "/v1/hello", nil, &h, 64<<10)
	h.Version, h.Role, h.Pod, h.Node, h.Run = clean(h.Version), clean(h.Role), clean(h.Pod), clean(h.Node), clean(h.Run)
	return h, err
}

func clean(s string) string { return affinity.Clean(s, 253) }

// Beat tells the agent that somebody is there.
func (c *Client) Beat(ctx context.Context) error {
	return c.ask(ctx, http.MethodGet, "/v1/beat", nil, nil, 0)
}

// End asks the agent to end.
func (c *Client) End(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/v1/end", nil, nil, 0)
}

// Keep beats until ctx ends, often enough for an agent of that silence. One
// that does not answer is asked again.
func (c *Client) Keep(ctx context.Context, silence time.Duration) {
	tick := time.NewTicker(max(silence/4, 10*time.Millisecond))
	defer tick.Stop()
	for {
		_ = c.Beat(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Tables asks what changed in the node's tables since a frame, and says when
// the reading was, on our own clock.
func (c *Client) Tables(ctx context.Context, names kernel.Names, since uint64) (kernel.Frame, time.Time, error) {
	id := idOf(names)
	c.mu.Lock()
	q := question{ID: id, Since: since}
	if c.known != id {
		q.Names = &names
	}
	c.mu.Unlock()
	frame, at, err := c.tables(ctx, q)
	if errors.Is(err, errNames) { // another agent by now, of the same name
		q.Names = &names
		frame, at, err = c.tables(ctx, q)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known = id; err != nil {
		c.known = ""
	}
	return frame, at, err
}

func (c *Client) tables(ctx context.Context, q question) (kernel.Frame, time.Time, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return kernel.Frame{}, time.Time{}, err
	}
	var a answer
	began := time.Now()
	if err := c.ask(ctx, http.MethodPost, "/v1/tables", body, &a, maxFrame); err != nil {
		return kernel.Frame{}, time.Time{}, err
	}
	// The answer came half of the way's time after it was made.
	now := time.Now()
	way := min(max(0, now.Sub(began)-max(0, a.Took)), askTimeout) / 2
	return a.Frame, now.Add(-way - min(max(0, a.Frame.Age), time.Minute)), nil
}

func idOf(n kernel.Names) string {
	slices.Sort(n.Sets)
	slices.Sort(n.Recent)
	h := xxhash.New()
	for _, all := range [][]string{n.Sets, n.Recent} {
		for _, s := range all {
			_, _ = h.WriteString(s + "\n")
		}
		_, _ = h.WriteString("\n")
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

// errNames: the agent does not have the names that an ID stands for.
var errNames = errors.New("the agent does not know these names")

func (c *Client) ask(ctx context.Context, method, path string, body []byte, into any, limit int64) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+string(c.token))
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNoContent:
		return nil
	case http.StatusUnauthorized:
		return ErrToken
	case http.StatusPreconditionFailed:
		return errNames
	default:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		return fmt.Errorf("the agent answered %d: %s", resp.StatusCode, affinity.Clean(string(text), 200))
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, limit)).Decode(into); err != nil {
		return fmt.Errorf("the agent's answer: %w", err)
	}
	return nil
}

// DialContext opens a new connection to address from the agent's pod. Names are
// looked up there.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, c.address)
	if err != nil {
		return nil, fmt.Errorf("reach the agent: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := c.connect(conn, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect to %s from the agent: %w", address, ctx.Err())
		}
		return nil, err
	}
	return tunnel, nil
}

func (c *Client) connect(conn net.Conn, address string) (net.Conn, error) {
	if _, err := fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\nAuthorization: Bearer %[2]s\r\n\r\n", address, string(c.token)); err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	// 16 KiB is far more than an agent's header; a longer one is no agent's.
	limited := &io.LimitedReader{R: conn, N: 16 << 10}
	in := bufio.NewReader(limited)
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, fmt.Errorf("the agent's answer: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return nil, ErrToken
	default:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		return nil, errorOf(resp.Header.Get(headerReason), string(text), address)
	}
	t := &tunnel{Conn: conn, remote: address, local: ""}
	if at, err := netip.ParseAddrPort(resp.Header.Get(headerRemote)); err == nil {
		t.remote = at.String()
	}
	if at, err := netip.ParseAddrPort(resp.Header.Get(headerLocal)); err == nil {
		t.local = at.String()
	}
	if n := in.Buffered(); n > 0 { // the other end spoke first
		t.first, _ = in.Peek(n)
	}
	return t, nil
}

// tunnel is a connection from the agent's pod. Its addresses are those of the
// far connection, not of the way there.
type tunnel struct {
	net.Conn
	remote, local string
	first         []byte // came with the agent's answer
}

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

func (t *tunnel) RemoteAddr() net.Addr { return addr(t.remote) }
func (t *tunnel) LocalAddr() net.Addr  { return addr(t.local) }

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.first) > 0 {
		n := copy(p, t.first)
		t.first = t.first[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}
