package agent

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"

	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
	"github.com/kubestickytop/stickytop/test/lab/internal/world"
)

// addresses hands out the pod addresses of a node in rising order, so that an address is not soon given again.
type addresses struct {
	mu     sync.Mutex
	prefix netip.Prefix
	last   netip.Addr
	used   map[netip.Addr]bool
}

func newAddresses(cidr string) *addresses {
	prefix := netip.MustParsePrefix(cidr)
	return &addresses{prefix: prefix, last: prefix.Addr().Next(), used: map[netip.Addr]bool{}}
}

func (a *addresses) take() (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range 254 {
		a.last = a.last.Next()
		if !a.prefix.Contains(a.last.Next()) { // the last one is the broadcast address
			a.last = a.prefix.Addr().Next().Next()
		}
		if !a.used[a.last] {
			a.used[a.last] = true
			return a.last, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no free address in %s", a.prefix)
}

func (a *addresses) give(ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, ip)
}

// sandbox is a pod's network: a namespace joined to its node by a routed veth pair.
type sandbox struct {
	ns   string // empty for pods on the node's own network
	ip   netip.Addr
	veth string
}

// gateway is where pods send everything. Every node-side end of a pod's veth pair has it, so that it answers
// ARP; its scope is the link, so that masquerading never picks it. There is no bridge: what a bridge switches, conntrack
// does not see, and a Service's answers must pass the node's conntrack.
const gateway = "169.254.1.1"

// makeSandbox makes a pod's network namespace. The caller is in the node's.
func (a *Agent) makeSandbox(uid string) (*sandbox, error) {
	ip, err := a.ips.take()
	if err != nil {
		return nil, err
	}
	s := &sandbox{ns: "pod-" + uid, ip: ip, veth: "v" + uid[:8]}
	if err := s.create(a.ip); err != nil {
		a.dropSandbox(s)
		return nil, err
	}
	return s, nil
}

func (s *sandbox) create(nodeIP string) error {
	if out, err := exec.Command("ip", "netns", "add", s.ns).CombinedOutput(); err != nil {
		return fmt.Errorf("ip netns add: %w: %s", err, out)
	}
	err := world.IP("", fmt.Sprintf("link add %[1]s type veth peer name eth0 netns %[2]s\naddr add %[3]s/32 scope link dev %[1]s\nlink set %[1]s up\n", s.veth, s.ns, gateway))
	if err != nil {
		return err
	}
	err = world.IP(s.ns, fmt.Sprintf("link set lo up\naddr add %s/32 dev eth0\nlink set eth0 up\nroute add %[2]s dev eth0\nroute add default via %[2]s dev eth0\n", s.ip, gateway))
	if err != nil {
		return err
	}
	if err := world.Sysctl(s.ns, map[string]string{"ipv4/ip_unprivileged_port_start": "0"}); err != nil {
		return err
	}
	return world.IP("", fmt.Sprintf("route add %s/32 dev %s src %s\n", s.ip, s.veth, nodeIP))
}

func (a *Agent) dropSandbox(s *sandbox) {
	if s == nil || s.ns == "" {
		return
	}
	world.IP("", "link del "+s.veth+"\n")
	if out, err := exec.Command("ip", "netns", "del", s.ns).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "ip netns del %s: %v: %s\n", s.ns, err, out)
	}
	a.ips.give(s.ip)
}

// inside runs fn inside the pod's network namespace.
func (s *sandbox) inside(fn func() error) error { return netns.Do(s.ns, fn) }
