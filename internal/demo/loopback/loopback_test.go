package loopback_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/demo/loopback"
)

const patience = 20 * time.Second

func start(t *testing.T, h http.HandlerFunc) (addr string, server *loopback.Server, stop func()) {
	t.Helper()
	s, err := loopback.Listen(h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s.Addr(), s, func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("Run does not return")
		}
	}
}

func TestRunWaitsForHandlers(t *testing.T) {
	before := runtime.NumGoroutine()
	entered, ended := make(chan struct{}), false
	addr, _, stop := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		time.Sleep(20 * time.Millisecond)
		ended = true // read after Run: the race detector sees whether that is in order
	})
	go func() {
		resp, err := http.Get("http://" + addr)
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-entered
	stop()
	if !ended {
		t.Error("Run returned before its handler")
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
	if _, err := net.Dial("tcp4", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Run: %v, want connection refused", err)
	}
}

func TestRunWaitsForHijacked(t *testing.T) {
	entered, ended := make(chan struct{}), false
	addr, _, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		close(entered)
		<-r.Context().Done()
		_ = c.Close()
		ended = true
	})
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stop()
	if !ended {
		t.Error("Run returned before the handler that took its connection")
	}
}

func TestConnectsBeforeRun(t *testing.T) {
	s, err := loopback.Listen(http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp4", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v, want the answer of a server that came late", resp, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBreakKeepsListening(t *testing.T) {
	addr, s, stop := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	defer stop()
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	answers := bufio.NewReader(c)
	if _, err := http.ReadResponse(answers, nil); err != nil {
		t.Fatal(err)
	}
	s.Break()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := answers.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read on a broken connection: %v", err)
	}
	resp, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatalf("a new connection: %v", err)
	}
	_ = resp.Body.Close()
}
