package apiserver

import (
	"context"
	"net"
	"net/http"
)

// Fault is a way of being out of reach.
type Fault uint8

const (
	FaultNone         Fault = iota
	FaultRefuse             // connections are refused, open ones break
	FaultHang               // connections stay open and nothing is ever answered
	FaultUnauthorized       // 401: the token has expired
)

// Rule denies a client something, as the lack of an RBAC rule does. Empty
// fields match everything but Resource, which must be named.
type Rule struct {
	Group     string // "" is the core group
	Resource  string // "pods"
	Verb      string // "list"
	Namespace string // "msgapp"
}

func (r Rule) matches(a access) bool {
	return r.Resource == a.resource && r.Group == a.group &&
		(r.Verb == "" || r.Verb == a.verb) && (r.Namespace == "" || r.Namespace == a.namespace)
}

// access is what a request wants.
type access struct{ verb, group, resource, namespace string }

// SetFault makes the server fail, or with FaultNone answer again.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	s.fault = f
	close(s.faultChanged)
	s.faultChanged = make(chan struct{})
	s.mu.Unlock()
	if f == FaultRefuse {
		s.http.Break()
	}
}

// Deny replaces the rules that deny access: none allow everything.
func (s *Server) Deny(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied = rules
}

func (s *Server) allowed(a access) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.denied {
		if r.matches(a) {
			return false
		}
	}
	return true
}

// currentFault returns the fault and what is closed when it changes.
func (s *Server) currentFault() (Fault, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault, s.faultChanged
}

// awaitHang returns once the server does not hang, or ctx is done.
func (s *Server) awaitHang(ctx context.Context) {
	for {
		fault, changed := s.currentFault()
		if fault != FaultHang {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// faulty answers, or does not, as the current fault wants.
func (s *Server) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.awaitHang(r.Context())
		if r.Context().Err() != nil {
			return
		}
		switch fault, _ := s.currentFault(); fault {
		case FaultRefuse: // a client that did not use Dial: its connection breaks
			panic(http.ErrAbortHandler)
		case FaultUnauthorized:
			writeError(w, r, errUnauthorized())
		case FaultNone, FaultHang:
			next.ServeHTTP(w, r)
		}
	})
}

// Dial connects to the server, whatever address is asked for. During
// FaultRefuse it fails as connect(2) would; the port itself stays open, as
// another process might take it otherwise.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if fault, _ := s.currentFault(); fault == FaultRefuse {
		return nil, s.http.Refused()
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", s.http.Addr())
}
