package kernel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// ciliumNode is the BPF maps of a node in real kernel maps, pinned where
// Cilium's are, below a bpffs of its own.
type ciliumNode struct {
	t    testing.TB
	root string
	maps map[string]*ebpf.Map
}

func newCiliumNode(t testing.TB) *ciliumNode {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Skipf("no bpffs of its own: %v (takes CAP_SYS_ADMIN)", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	c := &ciliumNode{t: t, root: filepath.Join(dir, "tc/globals"), maps: map[string]*ebpf.Map{}}
	if err := os.MkdirAll(c.root, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		name       string
		kind       ebpf.MapType
		key, value uint32
	}{
		{"cilium_lb4_affinity", ebpf.LRUHash, 16, 16}, {"cilium_lb6_affinity", ebpf.LRUHash, 24, 16},
		{"cilium_lb4_services_v2", ebpf.Hash, 12, 12}, {"cilium_lb6_services_v2", ebpf.Hash, 24, 12},
		{"cilium_lb4_backends_v3", ebpf.Hash, 4, 12}, {"cilium_lb6_backends_v3", ebpf.Hash, 4, 24},
	} {
		c.create(s.name, s.kind, s.key, s.value)
	}
	return c
}

func (c *ciliumNode) create(name string, kind ebpf.MapType, key, value uint32) {
	c.t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: name[:15], Type: kind, KeySize: key, ValueSize: value, MaxEntries: 65536})
	if err != nil {
		c.t.Skipf("no BPF maps here: %v (takes CAP_BPF)", err)
	}
	c.t.Cleanup(func() { m.Close() })
	path := filepath.Join(c.root, name)
	_ = os.Remove(path)
	if err := m.Pin(path); err != nil {
		c.t.Fatal(err)
	}
	c.maps[name] = m
}

func (c *ciliumNode) put(name string, key, value []byte) {
	c.t.Helper()
	if err := c.maps[name].Put(key, value); err != nil {
		c.t.Fatal(err)
	}
}

func digit(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// service puts the frontend and, as Cilium has it beside that, the entry of its first backend.
func (c *ciliumNode) service(front string, protocol byte, id uint16, timeout, backend uint32) {
	at := netip.MustParseAddrPort(front)
	key := binary.BigEndian.AppendUint16(at.Addr().AsSlice(), at.Port())
	for slot, union := range []uint32{timeout | 1<<24, backend} { // algorithm 1 above the timeout
		k := append(binary.NativeEndian.AppendUint16(slices.Clone(key), uint16(slot)), protocol, 0, 0, 0)
		v := binary.NativeEndian.AppendUint32(nil, union)
		v = append(binary.BigEndian.AppendUint16(append(v, 2, 0), id), 0x10, 0, 0, 0)
		c.put("cilium_lb"+digit(at.Addr())+"_services_v2", k, v)
	}
}

func (c *ciliumNode) backend(id uint32, addr string) {
	at := netip.MustParseAddrPort(addr)
	v := append(binary.BigEndian.AppendUint16(at.Addr().AsSlice(), at.Port()), 6, 0, 0, 0, 0, 0)
	v = append(v, make([]byte, (4-len(v)%4)%4)...)
	c.put("cilium_lb"+digit(at.Addr())+"_backends_v3", binary.NativeEndian.AppendUint32(nil, id), v)
}

func (c *ciliumNode) pin(client string, cookie bool, id uint16, used uint64, backend uint32) {
	a := netip.MustParseAddr(client)
	key := a.AsSlice()
	if a.Is4() {
		key = append(key, 0, 0, 0, 0)
	}
	key = binary.BigEndian.AppendUint16(key, id)
	flag := byte(0)
	if cookie {
		flag = 1
	}
	key = append(key, flag, 0, 0, 0, 0, 0)
	value := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint64(nil, used), backend)
	c.put("cilium_lb"+digit(a)+"_affinity", key, append(value, 0, 0, 0, 0))
}

func (c *ciliumNode) reader() *Reader {
	r := NewReader()
	r.cilium = []string{filepath.Join(c.root, "nowhere"), c.root}
	return r
}

// TestCilium reads real maps. The entries in their layout are those of
// cilium/cilium#26709: key ac 10 69 04 00 00 00 00 00 03 …, value 27 22 01 01 ….
func TestCilium(t *testing.T) {
	c := newCiliumNode(t)
	want, _, _ := fixture(20 * time.Second)
	now := uint64(uptime() / time.Second)
	c.service("10.96.0.1:80", 6, 3, 20, 4)
	c.service("172.18.0.2:30080", 6, 9, 20, 4) // its NodePort
	c.service("10.96.0.99:80", 6, 5, 30, 4)    // of a Service that is not watched, and of which the endpoint could be
	c.service("[fd00::1]:80", 0, 3, 20, 7)
	c.backend(4, "10.180.0.3:80")
	c.backend(5, "10.180.0.10:80")
	c.backend(6, "10.180.0.77:80")
	c.backend(7, "[fd00:10::3]:80")
	c.pin("172.16.105.4", false, 3, now-5, 4)
	c.pin("172.16.105.5", false, 3, now, 5)
	c.pin("172.16.105.5", false, 9, now-1, 4)  // another pod through the NodePort
	c.pin("172.16.105.6", false, 3, now-20, 4) // over, still there
	c.pin("172.16.105.7", false, 3, now, 6)    // no endpoint of the Service's
	c.pin("172.16.105.8", false, 77, now, 4)   // no such service
	c.pin("0.0.16.9", true, 3, now, 4)         // a network namespace
	c.pin("fd00:9::1", false, 3, now, 7)       // no Service has that endpoint
	r := c.reader()
	n, err := r.readCilium()
	if err != nil {
		t.Fatal(err)
	}
	if n.mode != ModeCilium || n.others != 1 || n.unknown != 1 || len(n.lists) != 2 {
		t.Fatalf("mode %s, %d of namespaces, %d unexplained, %d lists", n.mode, n.others, n.unknown, len(n.lists))
	}
	put, _, lists := newLedger("n1").take(n, want, &r.clock)
	got := map[string]affinity.AddressPin{}
	for _, p := range put {
		got[p.Client.String()+" "+p.Front] = p
	}
	for key, endpoint := range map[string]string{"172.16.105.4 10.96.0.1:80": "10.180.0.3:80", "172.16.105.5 10.96.0.1:80": "10.180.0.10:80", "172.16.105.5 172.18.0.2:30080": "10.180.0.3:80"} {
		p, ok := got[key]
		delete(got, key)
		if !ok || p.Endpoint != endpoint || p.Service != svc5 || p.PortName != "p80" || p.Timeout != 20*time.Second || p.Source != affinity.DeadlineKernel || p.Note != "" || p.Shadowed {
			t.Errorf("%s: %+v", key, p)
		}
	}
	if len(got) != 0 {
		t.Errorf("also %+v", got)
	}
	if left, _ := put[0].Remaining(n.at); slices.IndexFunc(put, func(p affinity.AddressPin) bool {
		left, _ = p.Remaining(n.at)
		return p.Client.String() == "172.16.105.4" && left > 13*time.Second && left <= 15*time.Second
	}) < 0 {
		t.Errorf("%s are left of 172.16.105.4's pin, want nearly 15s", left)
	}
	if len(lists) != 2 || lists[0].Mode != "cilium" {
		t.Errorf("lists %+v", lists)
	}
	if _, err := r.read(want); err != nil {
		t.Errorf("with all other ways before it: %v", err)
	}
}

// TestCiliumOverTheWire: what an agent sends of a node's maps is what it read.
func TestCiliumOverTheWire(t *testing.T) {
	c := newCiliumNode(t)
	c.service("10.96.0.1:80", 6, 3, 20, 4)
	c.backend(4, "10.180.0.3:80")
	now := uint64(uptime() / time.Second)
	c.pin("172.16.105.4", false, 3, now, 4)
	c.pin("0.0.16.9", true, 3, now, 4)
	f := NewFeed()
	defer f.Close()
	f.reader = c.reader()
	var m mirror
	frame := f.Read(Names{}, 0)
	n, _, err := m.apply(frame, time.Now())
	if err != nil || n.mode != ModeCilium || n.others != 1 || len(n.lists) != 2 {
		t.Fatalf("%+v, %v", n, err)
	}
	i := slices.IndexFunc(n.lists, func(l List) bool { return len(l.Entries) == 1 })
	if i < 0 || n.lists[i].Entries[0].tie().Front != "10.96.0.1:80" || n.lists[i].Entries[0].Timeout != 20*time.Second {
		t.Errorf("%+v", n.lists)
	}
}

func TestCiliumIsAbsentOrStrange(t *testing.T) {
	c := newCiliumNode(t)
	r := c.reader()
	r.cilium = []string{t.TempDir()}
	if _, err := r.readCilium(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no maps: %v", err)
	}
	r.cilium = []string{c.root}
	c.create("cilium_lb4_services_v2", ebpf.Hash, 12, 16)
	if _, err := r.readCilium(); err == nil || !strings.Contains(err.Error(), "values of 16 bytes") {
		t.Errorf("another layout: %v", err)
	}
	_ = os.Remove(filepath.Join(c.root, "cilium_lb4_services_v2"))
	if _, err := r.readCilium(); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a map too few: %v", err)
	}
}

// TestCiliumClock: two ways to count, and what cannot be told.
func TestCiliumClock(t *testing.T) {
	hz := clock{hz: 250, exact: true}
	up := 2 * time.Hour
	jiffies := uint64(formula(250, up)) >> 8
	for _, tt := range []struct {
		name   string
		clock  clock
		used   uint64
		left   time.Duration // of 60 s, give or take two
		ok     bool
		jiffy  bool
		exceed time.Duration
	}{
		{name: "seconds", used: uint64(up/time.Second) - 10, left: 50 * time.Second, ok: true},
		{name: "jiffies", clock: hz, used: jiffies - 10, left: 60*time.Second - 10*256*time.Second/250, ok: true, jiffy: true},
		{name: "jiffies without HZ", used: jiffies, jiffy: true},
		{name: "nonsense", clock: hz, used: 1 << 60, jiffy: true},
	} {
		c := ciliumClock{uptime: up, clock: tt.clock}
		p := ciliumPin{lastUsed: tt.used}
		c.sees([]ciliumPin{p})
		left, ok := c.left(p, time.Minute)
		if ok != tt.ok || c.jiffies != tt.jiffy || ok && (left-tt.left).Abs() > 2*time.Second {
			t.Errorf("%s: %s %v, jiffies %v", tt.name, left, ok, c.jiffies)
		}
	}
}

// BenchmarkCilium reads 10,000 pins.
func BenchmarkCilium(b *testing.B) {
	c := newCiliumNode(b)
	c.service("10.96.0.1:80", 6, 3, 600, 4)
	c.backend(4, "10.180.0.3:80")
	now := uint64(uptime() / time.Second)
	for i := range 10000 {
		c.pin(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}).String(), false, 3, now, 4)
	}
	r := c.reader()
	b.ReportAllocs()
	for b.Loop() {
		if n, err := r.readCilium(); err != nil || len(n.lists[0].Entries) != 10000 {
			b.Fatalf("%d pins, %v", len(n.lists[0].Entries), err)
		}
	}
}

// TestCiliumRights: an agent's pod mounts the folder read-only and is root with
// CAP_BPF alone; to anybody else the maps are closed, and it says so. (Kernel
// 6.18 lets root read them without any capability.)
func TestCiliumRights(t *testing.T) {
	c := newCiliumNode(t)
	c.service("10.96.0.1:80", 6, 3, 20, 4)
	bound := t.TempDir()
	if err := unix.Mount(c.root, bound, "", unix.MS_BIND, ""); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(bound, unix.MNT_DETACH) })
	if err := unix.Mount("", bound, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	c.root = bound
	r := c.reader()
	for _, tt := range []struct {
		name string
		user int
		caps [2]unix.CapUserData
		want error
	}{
		{"root with CAP_BPF", 0, [2]unix.CapUserData{{}, {Effective: 1 << (unix.CAP_BPF - 32), Permitted: 1 << (unix.CAP_BPF - 32)}}, nil},
		{"nobody", 65534, [2]unix.CapUserData{}, ErrMapsNotAllowed},
	} {
		done := make(chan error)
		go func() { // its thread ends with it
			runtime.LockOSThread()
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(tt.user), uintptr(tt.user), uintptr(tt.user)); errno != 0 { // of this thread
				done <- errno
				return
			}
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			if err := unix.Capset(&header, &tt.caps[0]); err != nil {
				done <- err
				return
			}
			_, err := r.readCilium()
			done <- err
		}()
		if err := <-done; !errors.Is(err, tt.want) {
			t.Errorf("as %s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// FuzzCilium reads what Cilium never writes.
func FuzzCilium(f *testing.F) {
	f.Add([]byte("\x0a\x60\x00\x01\x00\x50\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"), []byte("\x14\x00\x00\x01\x02\x00\x00\x03\x10\x00\x00\x00\x00\x00\x00\x00"), uint64(20))
	f.Fuzz(func(t *testing.T, key, value []byte, up uint64) {
		for _, family := range ciliumFamilies {
			k, v := make([]byte, 24), make([]byte, 24)
			copy(k, key)
			copy(v, value)
			m := ciliumMaps{fronts: map[uint16]ciliumFront{}, backends: map[uint32]string{}, pins: []ciliumPin{family.pin(k, v)}}
			if _, front, ok := family.service(k, v); ok {
				m.fronts[m.pins[0].front] = front
			}
			_, m.backends[m.pins[0].backend] = family.backend(k, v)
			c := ciliumClock{uptime: time.Duration(up % (1 << 60)), clock: clock{hz: 250}}
			c.sees(m.pins)
			entries, _, _ := m.entries(nil, &c)
			for _, e := range entries {
				if !e.Client.IsValid() || e.Left <= 0 || e.Left > e.Timeout+3*time.Second {
					t.Errorf("%+v", e)
				}
			}
		}
	})
}
