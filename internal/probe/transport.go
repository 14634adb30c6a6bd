package probe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// transports are the ways to hold a session, in the order help lists them.
// One more is one file and one line here.
var transports = []Transport{
	httpTransport{},
	tcpTransport{},
	wsTransport{},
	ioTransport{},
}

// Transport makes sessions of one kind.
type Transport interface {
	// Name is what users and SessionSpec.Transport call it.
	Name() string
	// Open makes a session for c. It does no I/O; c outlives connections.
	Open(c *Client) Session
}

// Session is one client's side of a conversation. Its methods are called from
// one goroutine.
type Session interface {
	// Observe makes one round trip to t, at most one request, and returns when
	// it ended, failed, or ctx is done. A t other than the last call's means
	// that the session starts over there, with the cookies it holds.
	Observe(ctx context.Context, t Target) Trip
	// Close gives up connections. Nothing is sent.
	Close()
}

// Holder is a Session whose connection goes on after Observe: a WebSocket, a
// long poll.
type Holder interface {
	Session
	// Hold goes on with the connection that the last Observe opened, and
	// returns when it has ended: by the other side, because line said to leave,
	// or, after a goodbye of at most a second, because ctx is done.
	Hold(ctx context.Context, line Line) Held
}

// Line is how a Holder tells what it meets, and learns what is wanted of it.
type Line struct {
	Emit  func(affinity.Event)
	Allow func(context.Context) error // waits until one more request may be sent
	Wake  <-chan struct{}             // Attend has news
	// Attend follows orders and throws away cookies whose time is up. It
	// reports whether the session is to say something at once, and whether it
	// is to end because its target is elsewhere now.
	Attend func() (ask, leave bool)
	// Expiry is when the next cookie ends, which calls for Attend.
	Expiry func() (time.Time, bool)
}

// Held is how a held connection ended.
type Held struct {
	Joined bool // it had been usable
	Lost   bool // not ended on purpose
	Slow   bool // the server refused in a way that no client tries again at once
}

// Trip is the outcome of one round trip.
type Trip struct {
	Observed affinity.Observed
	// Before are requests that had to come first: a browser's preflight.
	Before []affinity.Observed
	// Steps is how far the request came: DNS, TCP, TLS, HTTP.
	Steps []affinity.PathStep
	// RetryAfter is how long the answer asks to be left alone; zero when it
	// does not.
	RetryAfter time.Duration
}

// Transports returns the names that SessionSpec.Transport may have.
func Transports() []string {
	names := make([]string, len(transports))
	for i, t := range transports {
		names[i] = t.Name()
	}
	return names
}

// transportNamed looks name up; "" is the first.
func transportNamed(table []Transport, name string) (Transport, error) {
	if name == "" {
		return table[0], nil
	}
	var known []string
	for _, t := range table {
		if t.Name() == name {
			return t, nil
		}
		known = append(known, t.Name())
	}
	return nil, fmt.Errorf("transport %q: have %s", affinity.Clean(name, 40), strings.Join(known, ", "))
}
