package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// errNotThere: an agent opens no connections to its own pod's loopback or its
// node's link, where clouds keep their metadata.
var errNotThere = errors.New("an agent does not connect to loopback, link-local or multicast addresses")

// allowed is asked with every address that is about to be connected to, after
// names were looked up.
func allowed(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", errNotThere, address)
	}
	a := at.Addr().Unmap()
	if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("%w: %s", errNotThere, address)
	}
	return nil
}

// connect opens a connection from here and hands it to the caller.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	if err := s.rate.Wait(ctx); err != nil {
		refuse(w, http.StatusTooManyRequests, reasonBusy, fmt.Errorf("more than %d connections a second", maxPerSecond))
		return
	}
	dialer := net.Dialer{Control: allowed}
	out, err := dialer.DialContext(ctx, "tcp", r.Host)
	if err != nil {
		refuse(w, http.StatusBadGateway, reasonOf(err), err)
		return
	}
	s.tunnel.Add(1)
	defer s.tunnel.Done()
	defer out.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_ = near.SetDeadline(time.Time{})
	// Written by hand: net/http would announce a chunked body.
	if _, err := fmt.Fprintf(near, "HTTP/1.1 200 Connected\r\n%s: %s\r\n%s: %s\r\n\r\n", headerRemote, out.RemoteAddr(), headerLocal, out.LocalAddr()); err != nil {
		return
	}
	stop := context.AfterFunc(r.Context(), func() { near.Close(); out.Close() })
	defer stop()
	join(near, buffered.Reader, out)
}

// join copies between two connections until both directions have ended.
func join(near net.Conn, from io.Reader, out net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, from)
		closeWrite(out)
	}()
	_, _ = io.Copy(near, out)
	// Who has answered and closed is done; a half-closed client waits for nothing.
	_ = near.Close()
	_ = out.Close()
	<-done
}

func closeWrite(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

func refuse(w http.ResponseWriter, status int, reason string, err error) {
	w.Header().Set(headerReason, reason)
	http.Error(w, err.Error(), status)
}

func reasonOf(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return reasonDNS
	case errors.Is(err, errNotThere):
		return reasonForbidden
	case errors.Is(err, syscall.ECONNREFUSED):
		return reasonRefused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return reasonTimeout
	}
	return reasonOther
}

// errorOf is the error that stands for a reason here, so that whoever dials by
// an agent can tell as much as one who dials himself.
func errorOf(reason, text, address string) error {
	text = affinity.Clean(text, 200)
	switch reason {
	case reasonRefused:
		return fmt.Errorf("connect to %s from the agent: %w", address, syscall.ECONNREFUSED)
	case reasonTimeout:
		return fmt.Errorf("connect to %s from the agent: %w", address, os.ErrDeadlineExceeded)
	case reasonDNS:
		host, _, _ := net.SplitHostPort(address)
		return &net.DNSError{Err: "from the agent: " + text, Name: host}
	}
	return fmt.Errorf("connect to %s from the agent: %s", address, text)
}
