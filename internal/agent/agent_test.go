package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/kernel"
)

// started is an agent on this machine's loopback.
type started struct {
	server *Server
	client *Client
	port   int
	token  Token
	why    chan string // why it ended
	cancel context.CancelFunc
}

func direct(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func start(t *testing.T, role string, change func(*Config)) *started {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s := &started{token: NewToken(), why: make(chan string, 1)}
	config := Config{Role: role, Address: address, Digest: s.token.Digest(), Silence: time.Minute, Life: time.Hour, Version: "test", Run: "r1", Pod: "p1", Node: "n1"}
	if change != nil {
		change(&config)
	}
	if s.server, err = NewServer(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		why, err := s.server.Run(ctx)
		if err != nil {
			t.Errorf("Run() = %v", err)
		}
		s.why <- why
	}()
	_, port, _ := net.SplitHostPort(address)
	s.port, _ = strconv.Atoi(port)
	s.client = NewClient(direct, s.port, s.token)
	for range 200 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Cleanup(func() {
		s.client.Close()
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("the agent does not end")
		}
	})
	return s
}

func TestHello(t *testing.T) {
	s := start(t, RoleClient, nil)
	h, err := s.client.Hello(t.Context())
	if err != nil || h.Role != RoleClient || h.Pod != "p1" || h.Node != "n1" || h.Run != "r1" || h.Left <= 0 || h.Silence != time.Minute {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestStrangers: whoever has no token, or reads the pod and has its digest, gets nothing at all.
func TestStrangers(t *testing.T) {
	s := start(t, RoleClient, func(c *Config) { c.Silence = 300 * time.Millisecond })
	base := fmt.Sprintf("http://127.0.0.1:%d", s.port)
	for _, header := range []string{"", "Bearer ", "Bearer " + s.token.Digest(), "Bearer " + string(NewToken()), string(s.token)} {
		for _, path := range []string{"/v1/hello", "/v1/beat", "/v1/end", "/"} {
			r, _ := http.NewRequest(http.MethodGet, base+path, nil)
			r.Header.Set("Authorization", header)
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized || strings.Contains(string(body), "p1") {
				t.Errorf("%s with %q: %d %s", path, header, resp.StatusCode, body)
			}
		}
	}
	other := NewClient(direct, s.port, NewToken())
	defer other.Close()
	if _, err := other.DialContext(t.Context(), "tcp", "192.0.2.1:80"); !errors.Is(err, ErrToken) {
		t.Errorf("a tunnel with another token: %v", err)
	}
	// Their talk does not keep it alive either.
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_ = other.Beat(context.Background())
			}
		}
	}()
	select {
	case why := <-s.why:
		if !strings.Contains(why, "nobody spoke") {
			t.Errorf("it ended: %s", why)
		}
		s.why <- why
	case <-time.After(5 * time.Second):
		t.Error("strangers keep it alive")
	}
}

func TestEnds(t *testing.T) {
	tests := []struct {
		name   string
		config func(*Config)
		do     func(*started)
		why    string
	}{
		{"silence", func(c *Config) { c.Silence = 50 * time.Millisecond }, func(*started) {}, "nobody spoke to it for 50ms"},
		{"life", func(c *Config) { c.Life = 300 * time.Millisecond; c.Silence = 200 * time.Millisecond },
			func(s *started) { go s.client.Keep(t.Context(), 200*time.Millisecond) }, "its time was up: 300ms"},
		{"asked to", nil, func(s *started) { _ = s.client.End(t.Context()) }, "its run has ended"},
		{"told to", nil, func(s *started) { s.cancel() }, "it was told to stop"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, RoleClient, tt.config)
			tt.do(s)
			select {
			case why := <-s.why:
				if why != tt.why {
					t.Errorf("%q, want %q", why, tt.why)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("it goes on")
			}
		})
	}
}

// TestTunnel needs an address that is not loopback, which every machine with a network has.
func TestTunnel(t *testing.T) {
	l, address := outside(t)
	var from atomic.Value
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from.Store(r.RemoteAddr)
		fmt.Fprint(w, "hello")
	}))
	web.Listener.Close()
	web.Listener = l
	web.Start()
	defer web.Close()
	s := start(t, RoleClient, nil)
	through := &http.Client{Transport: &http.Transport{DialContext: s.client.DialContext, DisableKeepAlives: true}}
	for range 3 {
		resp, err := through.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "hello" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	}
	conn, err := s.client.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if conn.RemoteAddr().String() != address || conn.LocalAddr().String() == "" {
		t.Errorf("from %s to %s, want to %s", conn.LocalAddr(), conn.RemoteAddr(), address)
	}
	// The agent's end takes its connections along.
	s.cancel()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a tunnel of an agent that ended: %v", err)
	}
}

// TestTunnelWhereTheServerSpeaksFirst: nothing that came with the agent's answer is lost.
func TestTunnelWhereTheServerSpeaksFirst(t *testing.T) {
	l, address := outside(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 welcome")
			c.Close()
		}
	}()
	s := start(t, RoleClient, nil)
	for range 10 {
		conn, err := s.client.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(conn)
		if string(text) != "220 welcome" {
			t.Errorf("read %q", text)
		}
		conn.Close()
	}
}

// outside listens on an address of this machine that is not loopback.
func outside(t *testing.T) (net.Listener, string) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip(err)
	}
	for _, a := range all {
		ip, ok := a.(*net.IPNet)
		if !ok || !ip.IP.IsGlobalUnicast() || ip.IP.To4() == nil {
			continue
		}
		if l, err := net.Listen("tcp", net.JoinHostPort(ip.IP.String(), "0")); err == nil {
			t.Cleanup(func() { l.Close() })
			return l, l.Addr().String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return nil, ""
}

func TestTunnelsThatAreRefused(t *testing.T) {
	l, address := outside(t)
	l.Close()
	s := start(t, RoleClient, nil)
	var dns *net.DNSError
	tests := []struct {
		address string
		check   func(error) bool
	}{
		{address, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		{"127.0.0.1:" + strconv.Itoa(s.port), func(err error) bool { return strings.Contains(err.Error(), "loopback") }},
		{"169.254.169.254:80", func(err error) bool { return strings.Contains(err.Error(), "link-local") }},
		{"[::1]:80", func(err error) bool { return strings.Contains(err.Error(), "loopback") }},
		{"no.such.host.invalid:80", func(err error) bool { return errors.As(err, &dns) }},
	}
	for _, tt := range tests {
		conn, err := s.client.DialContext(t.Context(), "tcp", tt.address)
		if err == nil {
			conn.Close()
			t.Errorf("%s: connected", tt.address)
		} else if !tt.check(err) {
			t.Errorf("%s: %v", tt.address, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.client.DialContext(ctx, "tcp", address); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled dial: %v", err)
	}
}

// TestHostileAgent: a pod that is no agent, or one that was taken over, breaks nothing here.
func TestHostileAgent(t *testing.T) {
	for _, text := range []string{"", "HTTP/1.1", "HTTP/1.1 502 No\r\nX-Stickytop-Reason: other\r\n\r\n\x1b[2J", strings.Repeat("A", 64<<10),
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("B", 64<<10), "HTTP/1.1 401 No\r\n\r\n"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.ReadFull(conn, make([]byte, 20))
					_, _ = io.WriteString(conn, text)
					conn.Close()
				}()
			}
		}()
		c := NewClient(direct, l.Addr().(*net.TCPAddr).Port, NewToken())
		if conn, err := c.DialContext(t.Context(), "tcp", "192.0.2.1:80"); err == nil || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%.30q: %v, %v", text, conn, err)
		}
		if _, err := c.Hello(t.Context()); err == nil {
			t.Errorf("%.30q greets", text)
		}
		c.Close()
		l.Close()
	}
}

func TestTables(t *testing.T) {
	s := start(t, RoleKernel, nil)
	names := kernel.Names{Sets: []string{"affinity-B", "affinity-A"}}
	before := time.Now()
	f, at, err := s.client.Tables(t.Context(), names, 0)
	if err != nil || f.Seq == 0 || !f.Full {
		t.Fatalf("%+v, %v", f, err)
	}
	if f.Fault == "" && (at.Before(before.Add(-time.Second)) || at.After(time.Now())) {
		t.Errorf("a reading at %s, asked at %s", at, before)
	}
	// The names are sent once; another asker's make them be sent again.
	other := NewClient(direct, s.port, s.token)
	defer other.Close()
	if _, _, err := other.Tables(t.Context(), kernel.Names{Recent: []string{"KUBE-SEP-X"}}, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.client.Tables(t.Context(), names, f.Seq); err != nil {
		t.Errorf("after another asker: %v", err)
	}
	if conn, err := s.client.DialContext(t.Context(), "tcp", "192.0.2.1:80"); err == nil {
		conn.Close()
		t.Error("a reader of tables opens connections")
	}
}

func TestConfig(t *testing.T) {
	good := Config{Role: RoleClient, Address: "127.0.0.1:1", Digest: NewToken().Digest(), Silence: 1, Life: 1}
	for name, change := range map[string]func(*Config){
		"all interfaces": func(c *Config) { c.Address = "0.0.0.0:1" }, "no port": func(c *Config) { c.Address = "127.0.0.1" },
		"a role": func(c *Config) { c.Role = "x" }, "no digest": func(c *Config) { c.Digest = "" }, "no silence": func(c *Config) { c.Silence = 0 }, "no life": func(c *Config) { c.Life = 0 },
	} {
		c := good
		change(&c)
		if _, err := NewServer(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if s := fmt.Sprintf("%s %v", NewToken(), NewToken()); s != "(token) (token)" {
		t.Errorf("a token prints as %q", s)
	}
}
