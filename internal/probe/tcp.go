package probe

import (
	"context"
	"net/http/httptrace"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// tcpTransport connects and closes, and says nothing in between: for Services
// that speak no HTTP. Which pod took the connection is not learned from it.
type tcpTransport struct{}

func (tcpTransport) Name() string { return "tcp" }

func (tcpTransport) Open(c *Client) Session { return &tcpSession{c} }

type tcpSession struct{ client *Client }

func (*tcpSession) Close() {}

// Observe makes one connection. Its X-Request-Id goes nowhere: it only tells
// the connections of a session apart.
func (s *tcpSession) Observe(ctx context.Context, t Target) Trip {
	began := time.Now()
	trip := Trip{Observed: affinity.Observed{Session: s.client.spec.ID, RequestID: randomHex(16)}}
	seen := s.client.look(t, false)
	conn, err := s.client.Dial(httptrace.WithClientTrace(ctx, seen.hooks()), t)
	trip.Observed.Took = time.Since(began)
	if err != nil {
		trip.Observed.Failure = s.client.set.failure(err, "dial", t)
	} else {
		seen.note(func() { seen.reached(conn.RemoteAddr().String()) })
		conn.Close()
	}
	trip.Observed.Remote = seen.remoteAddr()
	trip.Steps = seen.steps(trip.Observed)[:2] // DNS and TCP: no more was tried
	return trip
}
