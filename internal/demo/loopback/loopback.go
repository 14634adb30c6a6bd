// Package loopback serves HTTP on 127.0.0.1 so that the end can be waited for:
// when Run returns, no goroutine of any connection is left.
package loopback

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// Server is an HTTP server on a free port of 127.0.0.1. Its listener is open
// from Listen on, so that clients may connect before Run; they are answered
// once it runs.
type Server struct {
	listener net.Listener
	http     http.Server
	serving  sync.WaitGroup // connections and handlers

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	base  context.Context // of requests, set by Run
}

// Listen opens a port for h.
func Listen(h http.Handler) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l, conns: map[net.Conn]struct{}{}, base: context.Background()}
	s.http = http.Server{
		Handler:           s.counted(h),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState:         s.track,
		BaseContext:       func(net.Listener) context.Context { return s.base },
	}
	return s, nil
}

// Addr returns "127.0.0.1:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Refused returns the error of connecting to s if nothing listened there.
func (s *Server) Refused() error { return Refused(s.listener.Addr()) }

// Refused returns the error of connecting to addr where nothing listens.
func Refused(addr net.Addr) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// Run serves until ctx is done, then breaks every connection and waits for
// their handlers, whose requests' contexts end with ctx. It is called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.base = ctx
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	err := s.http.Serve(s.listener)
	if !stop() {
		err = nil // closed because ctx is done
	}
	cancel()
	_ = s.http.Close()
	s.Break()
	s.serving.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// Close frees the port of a server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

// Break closes every open connection; new ones are still accepted.
func (s *Server) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// track counts connections. StateNew is reported by the accept loop itself, so
// that nothing is added once Serve has returned.
func (s *Server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = struct{}{}
		s.serving.Add(1)
	case http.StateClosed:
		delete(s.conns, c)
		s.serving.Done()
	case http.StateHijacked: // its handler is still counted, and owns c now
		s.serving.Done()
	case http.StateActive, http.StateIdle:
	}
}

func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serving.Add(1)
		defer s.serving.Done()
		h.ServeHTTP(w, r)
	})
}
