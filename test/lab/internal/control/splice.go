package control

import (
	"bufio"
	"io"
	"net"
)

// Buffered returns a connection whose first bytes may be in a reader already.
func Buffered(conn net.Conn, reader *bufio.Reader) net.Conn { return &buffered{conn, reader} }

type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

// CloseWrite ends the sending half, where the connection has halves.
func (b *buffered) CloseWrite() error { return halfClose(b.Conn) }

// Splice copies both ways until both sides have said all. A side that fails ends both.
func Splice(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyHalf(b, a)
	}()
	copyHalf(a, b)
	<-done
}

func copyHalf(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	halfClose(to)
}

func halfClose(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
