package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// inNamespace runs f on a thread with an empty network namespace of its own,
// which ends with it.
func inNamespace(t testing.TB, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skipf("no network namespace: %v", err)
	}
}

// TestNFT reads a table of the real kernel.
func TestNFT(t *testing.T) {
	want, _, _ := fixture(20 * time.Second)
	inNamespace(t, func() {
		r := &Reader{proc: t.TempDir()}
		defer r.Close()
		if _, err := r.read(want); !errors.Is(err, ErrNoProxy) {
			t.Errorf("an empty namespace: %v", err)
		}
		c := &nftables.Conn{}
		table := c.AddTable(&nftables.Table{Name: proxyTable, Family: nftables.TableFamilyIPv4})
		set := &nftables.Set{Table: table, Name: setName(svc5, "p80", "TCP", "10.180.0.3:80"), KeyType: nftables.TypeIPAddr, HasTimeout: true, Dynamic: true, Timeout: 20 * time.Second, Size: 65535}
		if err := c.AddSet(set, []nftables.SetElement{{Key: []byte{10, 9, 0, 2}}}); err != nil {
			t.Error(err)
		}
		if err := c.AddSet(&nftables.Set{Table: table, Name: "affinity-AAAAAAAA-other/svc/tcp/__10.0.0.1/80", KeyType: nftables.TypeIPAddr}, nil); err != nil {
			t.Error(err)
		}
		if err := c.Flush(); err != nil {
			t.Skipf("no nf_tables: %v", err)
		}
		n, err := r.read(want)
		if err != nil || n.mode != ModeNFTables || n.unknown != 1 || len(n.lists) != 1 || len(n.lists[0].Entries) != 1 {
			t.Fatalf("%+v %v", n, err)
		}
		if len(n.absent) != 1 || n.absent[0] != affinity.IPv6 {
			t.Errorf("families without a table: %v", n.absent)
		}
		l := n.lists[0]
		if e := l.Entries[0]; e.Client != netip.MustParseAddr("10.9.0.2") || e.Left > 21*time.Second || e.Left < 15*time.Second || l.Timeout != 20*time.Second || l.Limit != 65535 {
			t.Errorf("%+v", l)
		}
		// Without CAP_NET_ADMIN, on this thread alone.
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Skip(err)
		}
		r.Close()
		if _, err := r.read(want); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("without the capability: %v", err)
		}
	})
}

// FuzzElements reads what a kernel never sends.
func FuzzElements(f *testing.F) {
	f.Add([]byte{0x20, 0, 3, 0x80, 0x1c, 0, 1, 0x80, 0x0c, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0x4a, 0xf4, 0x0c, 0, 1, 0x80, 8, 0, 1, 0, 10, 9, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, e := range appendElements(nil, b) {
			if !e.Client.IsValid() || e.Left < 0 || e.Timeout < 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

// TestElements reads an answer of kernel 6.18, byte by byte cut off, too.
func TestElements(t *testing.T) {
	text := []byte{0x20, 0, 3, 0x80, 0x1c, 0, 1, 0x80, 0x0c, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0x4a, 0xf4, 0x0c, 0, 1, 0x80, 8, 0, 1, 0, 10, 9, 0, 2}
	got := appendElements(nil, text)
	if len(got) != 1 || got[0].Client.String() != "10.9.0.2" || got[0].Left != 19188*time.Millisecond {
		t.Errorf("%+v", got)
	}
	for i := range text {
		if got := appendElements(nil, text[:i]); len(got) > 0 {
			t.Errorf("%d bytes give %+v", i, got)
		}
	}
}

// procOf writes xt_recent lists of a hundred clients, each with stamps, and
// returns the folder and the objects that they belong to.
func procOf(b testing.TB, clients, stamps int) (proc string, want *expected, bump func(int)) {
	b.Helper()
	proc = b.TempDir()
	dir := proc + "/net/xt_recent/"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	var st affinity.State
	st.Apply(affinity.ServiceChanged{Service: affinity.Service{Ref: svc5, ClusterIP: "10.96.0.1", Ports: []affinity.ServicePort{{Name: "p80", Port: 80, Protocol: "TCP"}},
		Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP, Timeout: time.Hour}}}, time.Now())
	var all []affinity.Endpoint
	for i := range clients / 100 {
		all = append(all, affinity.Endpoint{Addr: fmt.Sprintf("10.180.%d.%d:80", i/250, i%250+1), PortName: "p80", Ready: true, Pod: affinity.PodRef{Namespace: "ns5", Name: fmt.Sprint("pod", i)}})
	}
	st.Apply(affinity.EndpointsChanged{Service: svc5, Endpoints: all}, time.Now())
	write := func(list int, seen int64) {
		var text []byte
		for c := range 100 {
			text = fmt.Appendf(text, "src=10.%d.%d.%d ttl: 64 last_seen: %d oldest_pkt: %d", 20+list/250, list%250, c+1, seen, stamps)
			for s := range stamps {
				sep := ","
				if s == 0 {
					sep = ""
				}
				text = fmt.Appendf(text, "%s %d", sep, seen-int64(s*250))
			}
			text = append(text, '\n')
		}
		if err := os.WriteFile(dir+recentName(svc5, "p80", "TCP", all[list].Addr), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range all {
		write(i, formula(250, uptime()))
	}
	return proc, expect(st.Snapshot(time.Now())), func(list int) { write(list, formula(250, uptime())) }
}

// heap is what is held after everything else was thrown away, in MB.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkRecent10000 is one reading of 10,000 clients in a hundred lists, of
// which none, a tenth or all have connected since the last. At one reading a
// second, 10 ms are 1 % of a core.
func BenchmarkRecent10000(b *testing.B) {
	for _, bm := range []struct {
		name           string
		stamps, change int
	}{{"quiet", 1, 0}, {"busy", 4, 10}, {"all", 4, 100}, {"quiet-32-stamps", 32, 0}} {
		b.Run(bm.name, func(b *testing.B) {
			proc, want, bump := procOf(b, 10_000, bm.stamps)
			r := &Reader{clock: clock{hz: 250, exact: true}, proc: proc, param: "/nonexistent"}
			l := newLedger("node1")
			read := func() (put int) {
				n, err := r.readRecent(want)
				if err != nil {
					b.Fatal(err)
				}
				pins, _, _ := l.take(n, want, &r.clock)
				return len(pins)
			}
			if n := read(); n != 10_000 {
				b.Fatal(n)
			}
			b.ReportAllocs()
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				for i := range bm.change {
					bump(i)
				}
				b.StartTimer()
				used -= processTime()
				read()
				used += processTime()
			}
			b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(heap(), "heap-MB")
			runtime.KeepAlive(l)
			runtime.KeepAlive(r)
		})
	}
}

// BenchmarkFeed10000 is one reading of an agent's, of 10,000 clients of which a
// tenth have connected since the last.
func BenchmarkFeed10000(b *testing.B) {
	proc, want, bump := procOf(b, 10_000, 4)
	f := &Feed{reader: &Reader{clock: clock{hz: 250, exact: true}, proc: proc, param: "/nonexistent"}}
	names := want.names()
	frame := f.Read(names, 0)
	for _, l := range frame.Lists {
		if len(l.Put) != 100 {
			b.Fatalf("%s: %d clients", l.Name, len(l.Put))
		}
	}
	if len(frame.Lists) != 100 {
		b.Fatalf("%d lists, fault %q", len(frame.Lists), frame.Fault)
	}
	b.ReportAllocs()
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		for i := range 10 {
			bump(i)
		}
		b.StartTimer()
		used -= processTime()
		f.Read(names, f.seq)
		used += processTime()
	}
	b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(heap(), "heap-MB")
	runtime.KeepAlive(f)
}

// BenchmarkNFT10000 is one reading of 10,000 clients in the sets of two
// endpoints, of the real kernel.
func BenchmarkNFT10000(b *testing.B) {
	want, _, _ := fixture(time.Hour)
	inNamespace(b, func() {
		r := NewReader()
		defer r.Close()
		c := &nftables.Conn{}
		table := c.AddTable(&nftables.Table{Name: proxyTable, Family: nftables.TableFamilyIPv4})
		for i, addr := range []string{"10.180.0.3:80", "10.180.0.10:80"} {
			set := &nftables.Set{Table: table, Name: setName(svc5, "p80", "TCP", addr), KeyType: nftables.TypeIPAddr, HasTimeout: true, Dynamic: true, Timeout: time.Hour, Size: 65535}
			if err := c.AddSet(set, nil); err != nil {
				b.Error(err)
			}
			for from := 0; from < 5000; from += 500 {
				var some []nftables.SetElement
				for n := from; n < from+500; n++ {
					some = append(some, nftables.SetElement{Key: []byte{10, byte(i), byte(n >> 8), byte(n)}})
				}
				if err := c.SetAddElements(set, some); err != nil {
					b.Error(err)
				}
				if err := c.Flush(); err != nil {
					b.Skipf("no nf_tables: %v", err)
				}
			}
		}
		l := newLedger("node1")
		b.ReportAllocs()
		used := -processTime()
		for b.Loop() {
			n, err := r.readNFT(want)
			if err != nil {
				b.Error(err)
			}
			l.take(n, want, &r.clock)
		}
		b.ReportMetric(float64((used+processTime()).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		b.ReportMetric(heap(), "heap-MB")
		if l.pins != 10_000 {
			b.Errorf("%d pins", l.pins)
		}
	})
}
