package demo

import (
	"context"
	"net"
	"sync"

	"github.com/kubestickytop/stickytop/internal/demo/loopback"
)

// network carries connections to invented pod addresses to the processes that
// stand for the pods, all of them on 127.0.0.1: the API has no loopback
// endpoints, and only Linux has more than one loopback address.
type network struct {
	mu    sync.Mutex
	ports map[string]string // "10.244.1.7:5000" → "127.0.0.1:39041"
}

func newNetwork() *network { return &network{ports: map[string]string{}} }

func (n *network) open(addr, behind string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[addr] = behind
}

// shut makes addr refuse connections. It does nothing if another process is
// behind it by now.
func (n *network) shut(addr, behind string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ports[addr] == behind {
		delete(n.ports, addr)
	}
}

// DialContext connects to a pod. An address that nobody has is refused, also
// when another program got hold of the port that was behind it.
func (n *network) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	behind, found := n.ports[addr]
	n.mu.Unlock()
	if !found {
		return nil, loopback.Refused(place(addr))
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", behind)
}

// place is an address as it was asked for, which need not be an IP's.
type place string

func (place) Network() string  { return "tcp" }
func (p place) String() string { return string(p) }
