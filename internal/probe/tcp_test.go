package probe

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestTCP connects from addresses of its own, and sends nothing.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	from := make(chan string, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(from)
				return
			}
			n, _ := conn.Read(make([]byte, 1))
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			if n > 0 {
				host += " and said something"
			}
			conn.Close()
			from <- host
		}
	}()
	set, err := Options{}.settings()
	if err != nil {
		t.Fatal(err)
	}
	target := set.target(affinity.Route{Kind: affinity.RouteService, URL: "http://" + l.Addr().String() + "/"})
	for _, ip := range []string{"127.0.0.1", "127.0.0.77"} {
		c := &Client{spec: affinity.SessionSpec{ID: "s01", From: netip.MustParseAddr(ip)}, set: set}
		trip := tcpTransport{}.Open(c).Observe(t.Context(), target)
		if got := <-from; got != ip {
			t.Errorf("came from %q, want %s", got, ip)
		}
		if o := trip.Observed; o.Failure != nil || o.Remote != l.Addr().String() || o.RequestID == "" || len(trip.Steps) != 2 || trip.Steps[1].Status != affinity.StepOK {
			t.Errorf("%+v %+v", o, trip.Steps)
		}
		if trip := (httpTransport{}).Open(c).Observe(t.Context(), target); trip.Observed.Remote != l.Addr().String() {
			t.Errorf("http: %+v", trip.Observed)
		}
		if got := <-from; got != ip+" and said something" {
			t.Errorf("http came from %q, want %s", got, ip)
		}
	}
	c := &Client{spec: affinity.SessionSpec{From: netip.MustParseAddr("198.51.100.7")}, set: set}
	if f := (tcpTransport{}).Open(c).Observe(t.Context(), target).Observed.Failure; f == nil || !strings.Contains(f.Text, "assign requested address") {
		t.Errorf("from an address that is not this machine's: %+v", f)
	}
	l.Close()
	c.spec.From = netip.MustParseAddr("127.0.0.1")
	if f := (tcpTransport{}).Open(c).Observe(t.Context(), target).Observed.Failure; f == nil || f.Kind != affinity.FailureRefused {
		t.Errorf("nobody listens: %+v", f)
	}
}
