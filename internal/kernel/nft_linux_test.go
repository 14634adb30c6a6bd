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

// BenchmarkRecent10000 reads and compares 10,000 clients.
func BenchmarkRecent10000(b *testing.B) {
	want, name, _ := fixture(time.Hour)
	r := &Reader{clock: clock{hz: 250, exact: true}, proc: b.TempDir(), param: "/nonexistent"}
	if err := os.MkdirAll(r.proc+"/net/xt_recent", 0o755); err != nil {
		b.Fatal(err)
	}
	text := ""
	seen := formula(250, uptime())
	for i := range 10000 {
		text += fmt.Sprintf("src=10.9.%d.%d ttl: 64 last_seen: %d oldest_pkt: 1 %d\n", i/250, i%250+1, seen, seen)
	}
	if err := os.WriteFile(r.proc+"/net/xt_recent/"+name, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	var last world
	b.ReportAllocs()
	for b.Loop() {
		n, err := r.readRecent(want)
		if err != nil {
			b.Fatal(err)
		}
		now := r.interpret(n, want, "node1")
		if len(now.pins) != 10000 {
			b.Fatal(len(now.pins))
		}
		difference(last, now, "node1", n.at)
		last = now
	}
}
