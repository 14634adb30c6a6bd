package kube

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"k8s.io/streaming/pkg/httpstream"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// lastWords is how long the end of a connection waits for the reason of it.
const lastWords = 200 * time.Millisecond

// forwardConn is a forwarded connection. Streams know no deadlines, so it is one
// end of a net.Pipe, which does; two goroutines copy between the other end and
// the stream, and end with it.
type forwardConn struct {
	net.Conn
	remote net.Addr

	mu     sync.Mutex
	reason error // what the error stream said; nil for nothing
}

type forwardAddr string

func (forwardAddr) Network() string  { return "tcp" }
func (a forwardAddr) String() string { return string(a) }

// RemoteAddr is the pod's own address, of which the API server is on the way.
func (c *forwardConn) RemoteAddr() net.Addr { return c.remote }

// Read returns the other end's reason where there is one, instead of a bare end.
func (c *forwardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explained(err)
}

// Write does as Read does.
func (c *forwardConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explained(err)
}

func (c *forwardConn) explained(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != nil {
		return c.reason
	}
	return err
}

func newForwardConn(data, errorStream httpstream.Stream, remote net.Addr, done func(failed bool)) net.Conn {
	near, far := net.Pipe()
	c := &forwardConn{Conn: near, remote: remote}
	said := make(chan struct{})
	go func() {
		defer close(said)
		message, err := io.ReadAll(io.LimitReader(errorStream, 4096))
		if err != nil || len(message) == 0 {
			return
		}
		c.mu.Lock()
		c.reason = fmt.Errorf("%w: %s", errForward, affinity.Clean(string(message), maxError))
		c.mu.Unlock()
		_ = data.Reset() // nothing more will come
	}()
	go func() {
		_, _ = io.Copy(data, far) // ends with either side; the other goroutine tells why
		_ = data.Close()
		_ = data.Reset() // a pipe has no half-close: whoever stopped writing stopped reading
	}()
	go func() {
		_, _ = io.Copy(far, data)
		// Reset before waiting: data that nobody reads would hold up the error
		// stream, which shares its connection.
		_ = data.Reset()
		select {
		case <-said:
		case <-time.After(lastWords):
		}
		_ = errorStream.Reset() // a stream that stays open keeps its connection from closing
		_ = far.Close()
		c.mu.Lock()
		failed := c.reason != nil
		c.mu.Unlock()
		done(failed)
	}()
	return c
}
