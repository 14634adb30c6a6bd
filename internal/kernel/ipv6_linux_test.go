package kernel

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestIPv6 reads what the real kernel keeps of an IPv6 client, in a set and in a
// list like kube-proxy's, through to the pin.
func TestIPv6(t *testing.T) {
	const endpoint = "[fd00:10:180::3]:80"
	var st affinity.State
	now := time.Now()
	st.Apply(affinity.ServiceChanged{Service: affinity.Service{Ref: svc5, ClusterIP: "fd00:10:96::1", Ports: []affinity.ServicePort{{Name: "p80", Port: 80, Protocol: "TCP"}},
		Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP, Timeout: time.Minute}}}, now)
	st.Apply(affinity.EndpointsChanged{Service: svc5, Endpoints: []affinity.Endpoint{{Addr: endpoint, IP: "fd00:10:180::3", PortName: "p80", Ready: true, Pod: affinity.PodRef{Namespace: "ns5", Name: "pod6"}}}}, now)
	want := expect(st.Snapshot(now))
	client := netip.MustParseAddr("fd00:9::2")
	pinned := func(t *testing.T, r *Reader, read func(*expected) (reading, error)) {
		t.Helper()
		n, err := read(want)
		if err != nil {
			t.Errorf("read: %v", err)
			return
		}
		put, _, lists := newLedger("node1").take(n, want, &r.clock)
		if len(put) != 1 || len(lists) != 1 {
			t.Errorf("%d pins in %d lists: %+v", len(put), len(lists), n)
			return
		}
		p := put[0]
		if left, ok := p.Remaining(n.at); p.Client != client || p.Family() != affinity.IPv6 || p.Endpoint != endpoint || p.Pod.Name != "pod6" || !ok || left < 55*time.Second || left > 61*time.Second {
			t.Errorf("%+v with %s left", p, left)
		}
	}
	t.Run("nftables", func(t *testing.T) {
		inNamespace(t, func() {
			c := &nftables.Conn{}
			table := c.AddTable(&nftables.Table{Name: proxyTable, Family: nftables.TableFamilyIPv6})
			set := &nftables.Set{Table: table, Name: setName(svc5, "p80", "TCP", endpoint), KeyType: nftables.TypeIP6Addr, HasTimeout: true, Dynamic: true, Timeout: time.Minute, Size: 65535}
			if err := c.AddSet(set, []nftables.SetElement{{Key: client.AsSlice()}}); err != nil {
				t.Error(err)
			}
			if err := c.Flush(); err != nil {
				t.Skipf("no nf_tables: %v", err)
			}
			r := &Reader{proc: t.TempDir()}
			defer r.Close()
			pinned(t, r, r.readNFT)
		})
	})
	t.Run("xt_recent", func(t *testing.T) {
		if _, err := exec.LookPath("ip6tables"); err != nil {
			t.Skip("no ip6tables")
		}
		inNamespace(t, func() {
			name := recentName(svc5, "p80", "TCP", endpoint)
			// The rule alone makes the list.
			if out, err := exec.CommandContext(t.Context(), "ip6tables", "-t", "nat", "-A", "OUTPUT", "-m", "recent", "--name", name, "--set").CombinedOutput(); err != nil {
				t.Skipf("no xt_recent for IPv6: %v: %s", err, out)
			}
			const proc = "/proc/thread-self" // this thread's network, not the process's
			if err := os.WriteFile(proc+"/net/xt_recent/"+name, []byte("+"+client.String()+"\n"), 0o644); err != nil {
				t.Skip(err)
			}
			r := &Reader{proc: proc, param: "/nonexistent"}
			defer r.Close()
			if r.clock.calibrate("/proc"); r.clock.hz == 0 {
				t.Skip("this machine does not tell its HZ")
			}
			pinned(t, r, r.readRecent)
		})
	})
}
