package kernel

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Cilium's maps, as its agent and its BPF programs lay them out (cilium/cilium:
// pkg/loadbalancer/maps/types.go, bpf/lib/common.h, bpf/lib/lb.h). Addresses,
// ports and rev_nat ids are in network order, all else in the machine's.
//
//	affinity key     client 8 or 16, rev_nat u16, netns_cookie u8, pad 5
//	affinity value   last_used u64, backend u32, pad u32
//	service key      address 4 or 16, port u16, slot u16, proto u8, scope u8, pad 2
//	service value    of slot 0: timeout in the low 24 bits of a u32, count u16, rev_nat u16, flags 2, qcount u16
//	backend key      u32
//	backend value    address 4 or 16, port u16, proto u8, ...

// affinityMask is the timeout in a service value; the rest is the algorithm.
const affinityMask = 1<<24 - 1

// ciliumFamily is how long the addresses of one family are, in its maps.
type ciliumFamily struct {
	digit   string // in the names of maps
	address int
	client  int // of an affinity key: IPv4 shares it with a cookie of 8 bytes
}

var ciliumFamilies = []ciliumFamily{{"4", 4, 8}, {"6", 16, 16}}

// ciliumFront is one address that clients ask for, by its rev_nat id.
type ciliumFront struct {
	addr     string // "ip:port"
	protocol string // "" where Cilium does not keep them apart
	timeout  time.Duration
}

// service reads an entry of the services map; ok is false for all but those of
// slot 0 with affinity.
func (f ciliumFamily) service(key, value []byte) (id uint16, front ciliumFront, ok bool) {
	if binary.NativeEndian.Uint16(key[f.address+2:]) != 0 {
		return 0, front, false
	}
	seconds := binary.NativeEndian.Uint32(value) & affinityMask
	if seconds == 0 {
		return 0, front, false
	}
	front = ciliumFront{addr: f.port(key), timeout: time.Duration(seconds) * time.Second}
	if front.protocol, ok = ciliumProtocol(key[f.address+4]); !ok {
		return 0, front, false
	}
	return binary.BigEndian.Uint16(value[6:]), front, true
}

// backend reads an entry of the backends map.
func (f ciliumFamily) backend(key, value []byte) (id uint32, addr string) {
	return binary.NativeEndian.Uint32(key), f.port(value)
}

// port reads an address and the port behind it.
func (f ciliumFamily) port(b []byte) string {
	a, _ := netip.AddrFromSlice(b[:f.address])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[f.address:])).String()
}

func ciliumProtocol(n byte) (string, bool) {
	switch n {
	case 0:
		return "", true
	case 6:
		return "TCP", true
	case 17:
		return "UDP", true
	case 132:
		return "SCTP", true
	}
	return "", false
}

// ciliumPin is an entry of the affinity map.
type ciliumPin struct {
	client   netip.Addr // not valid: the pin is a network namespace's
	front    uint16     // rev_nat id
	backend  uint32
	lastUsed uint64 // seconds of CLOCK_MONOTONIC, or jiffies/256
}

func (f ciliumFamily) pin(key, value []byte) (p ciliumPin) {
	p.front, p.lastUsed, p.backend = binary.BigEndian.Uint16(key[f.client:]), binary.NativeEndian.Uint64(value), binary.NativeEndian.Uint32(value[8:])
	if key[f.client+2]&1 == 0 {
		p.client, _ = netip.AddrFromSlice(key[:f.address])
		p.client = p.client.Unmap()
	}
	return p
}

// ciliumMaps is what was read of one family.
type ciliumMaps struct {
	fronts   map[uint16]ciliumFront
	backends map[uint32]string
	pins     []ciliumPin
}

// ciliumClock says what last_used counts.
type ciliumClock struct {
	uptime  time.Duration
	jiffies bool
	clock   clock
}

// sees finds out by the newest use what Cilium's agent chose: jiffies start so
// high that no machine is up for as many seconds within years (bpf/lib/time.h,
// bpf_mono_now). With HZ 100 that holds for the first 318 days.
func (c *ciliumClock) sees(pins []ciliumPin) {
	for _, p := range pins {
		if p.lastUsed > uint64(c.uptime/time.Second)+2 {
			c.jiffies = true
		}
	}
}

// left is what remains of a pin; ok is false where that cannot be told.
func (c *ciliumClock) left(p ciliumPin, timeout time.Duration) (left time.Duration, ok bool) {
	if !c.jiffies {
		return time.Duration(p.lastUsed)*time.Second + timeout - c.uptime, true
	}
	if p.lastUsed > 1<<54 {
		return 0, false
	}
	age, ok := c.clock.age(p.lastUsed<<8, c.uptime)
	return timeout - age, ok
}

// entries appends the pins of addresses that are in their time. others counts the
// pins of network namespaces, lost those of services or backends that the maps
// do not hold any more, and those whose time cannot be told.
func (m ciliumMaps) entries(to []Entry, c *ciliumClock) (entries []Entry, others, lost int) {
	for _, p := range m.pins {
		front, known := m.fronts[p.front]
		backend, there := m.backends[p.backend]
		if !known || !there {
			lost++
			continue
		}
		left, ok := c.left(p, front.timeout)
		switch {
		case !ok:
			lost++
		case left <= 0: // removed only when the client comes again
		case !p.client.IsValid():
			others++
		default:
			to = append(to, Entry{Client: p.client, Left: left, Timeout: front.timeout, via: tie(Tie{front.addr, backend, front.protocol})})
		}
	}
	return to, others, lost
}
