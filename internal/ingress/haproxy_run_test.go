package ingress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestHAProxyItself runs HAProxy on loopback, with dynamic and with static
// cookies, and decodes every cookie it sets to the server that answered.
func TestHAProxyItself(t *testing.T) {
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed; Debian's package haproxy is enough")
	}
	set := listeners(t)
	tests := []struct {
		name, key, keywords string
		controller, mode    string
		keys                []string
		server              func(affinity.Endpoint) string // the server's name, and its cookie unless that is dynamic
		visits              int
		dated               bool
	}{
		{name: "haproxytech's key", key: haproxytechCookieKey, keywords: "insert indirect nocache dynamic", controller: "haproxytech", mode: "dynamic", visits: 12},
		{name: "haproxy-ingress' key", key: haproxyIngressCookieKey, keywords: "insert indirect nocache httponly dynamic", controller: "haproxy-ingress", mode: "dynamic", visits: 12},
		{name: "another key", key: "q9ZfT3vXw1LmB7eK", keywords: "insert dynamic", keys: []string{"x", "q9ZfT3vXw1LmB7eK"}, controller: "haproxy", mode: "dynamic", visits: 12},
		{name: "dates", key: haproxyIngressCookieKey, keywords: "insert dynamic maxidle 30m maxlife 3h", controller: "haproxy-ingress", mode: "dynamic", visits: 12, dated: true},
		{name: "by address", keywords: "insert indirect nocache", controller: "haproxy-ingress", mode: "static", visits: 12,
			server: func(e affinity.Endpoint) string { return e.Addr }},
		{name: "by pod", keywords: "insert indirect nocache maxidle 30m", controller: "haproxy-ingress", mode: "static", visits: 12, dated: true,
			server: func(e affinity.Endpoint) string { return e.Pod.Name }},
		{name: "by UID", keywords: "insert indirect nocache", controller: "haproxy-ingress", mode: "static", visits: 12,
			server: func(e affinity.Endpoint) string { return e.PodUID }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var servers strings.Builder
			for i, e := range set.Current {
				if tt.server != nil {
					fmt.Fprintf(&servers, "  server s%d %s cookie %s\n", i, e.Addr, tt.server(e))
				} else {
					fmt.Fprintf(&servers, "  server s%d %s\n", i, e.Addr)
				}
			}
			key := ""
			if tt.key != "" {
				key = "  dynamic-cookie-key " + tt.key + "\n"
			}
			url := startHAProxy(t, binary, "  cookie lb "+tt.keywords+"\n"+key+servers.String())
			answered := map[string]bool{}
			for range tt.visits {
				cookie, server := visit(t, url)
				answered[server] = true
				v := Locate(cookie.Name, affinity.Secret(cookie.Value), []Scope{{Set: set}}, Hints{Keys: tt.keys})
				if !v.Decided || v.Answers[0].Controller != tt.controller || v.Answers[0].Mode != tt.mode || addrs(v.Answers[0].Decoded.Endpoints) != server {
					t.Errorf("%s: %+v, want %s %s %s", cookie.Value, v, tt.controller, tt.mode, server)
					continue
				}
				if issued := v.Answers[0].Decoded.Issued; issued.IsZero() == tt.dated || tt.dated && time.Since(issued).Abs() > time.Minute {
					t.Errorf("%s: issued %v", cookie.Value, issued)
				}
			}
			if len(answered) != len(set.Current) {
				t.Errorf("%d servers answered, want all %d", len(answered), len(set.Current))
			}
		})
	}
}

// listeners answer with their own address, of either family.
func listeners(t *testing.T) affinity.EndpointSet {
	t.Helper()
	var set affinity.EndpointSet
	for i, host := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
		if err != nil && i > 0 { // no IPv6, or no 127.0.0.2, on this machine
			t.Logf("without %s: %v", host, err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, addr) }))
		s.Listener.Close()
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
		e := endpoints(addr)[0]
		e.Pod, e.PodUID = affinity.PodRef{Namespace: "default", Name: fmt.Sprintf("web-6d4cf56db6-%d", i)}, fmt.Sprintf("8c9ad4f1-6c0e-4b0e-9d53-0d9f4b8f4b5%d", i)
		set.Current = append(set.Current, e)
	}
	return set
}

// startHAProxy runs a HAProxy with that backend until the test ends.
func startHAProxy(t *testing.T, binary, backend string) (url string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // HAProxy binds it next
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := "global\n  maxconn 50\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n" +
		"frontend f\n  bind " + addr + "\n  default_backend b\nbackend b\n  balance roundrobin\n" + backend
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "-db", "-f", config)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			c.Close()
			return "http://" + addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("haproxy does not listen: %v\n%s", err, said.String())
		}
	}
}

// visit asks without a cookie, and returns the one that was set and who answered.
func visit(t *testing.T, url string) (*http.Cookie, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil {
		t.Fatal(err)
	}
	cookies := res.Cookies()
	if res.StatusCode != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("status %d, %d cookies, want 200 and one: %s", res.StatusCode, len(cookies), body)
	}
	return cookies[0], string(body)
}
