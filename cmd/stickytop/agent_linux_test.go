package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/internal/agent"
	"github.com/kubestickytop/stickytop/internal/kernel"
)

// BenchmarkAgent is what an agent costs its node: the program itself, in a
// network namespace with 10,000 pins of the real kernel, asked once a second by
// one who follows what changes while a hundred are renewed each second. It fails
// above what an agent may take. Samples of the first seconds, until it has
// trimmed itself, do not count.
//
//	go test -run '^$' -bench Agent -benchtime 1x ./cmd/stickytop
func BenchmarkAgent(b *testing.B) {
	const (
		boundMB = 20
		settle  = 10 * time.Second
		watched = 80 * time.Second // longer than from one trim to the next
	)
	program := filepath.Join(b.TempDir(), "stickytop")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".") // as the image's
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for mode, fill := range map[string]func(testing.TB) (kernel.Names, func(n int) error){"nftables": fillSets, "iptables": fillRecent} {
		b.Run(mode, func(b *testing.B) {
			ns := newNamespace(b)
			var names kernel.Names
			var renew func(int) error
			ns.do(func() { names, renew = fill(b) })
			if renew == nil {
				b.SkipNow()
			}
			for b.Loop() {
				pid, client := ns.agent(b, program)
				var since uint64
				most, began, cpu := 0.0, time.Now(), 0
				readings, pins := 0, 0
				for tick := time.NewTicker(time.Second); time.Since(began) < settle+watched; <-tick.C {
					ns.do(func() {
						if err := renew(readings * 100 % 9000); err != nil {
							b.Error(err)
						}
					})
					frame, _, err := client.Tables(b.Context(), names, since)
					if err != nil || frame.Fault != "" {
						b.Fatal(err, frame.Fault, frame.Text)
					}
					if readings++; readings == 1 {
						for _, l := range frame.Lists {
							pins += len(l.Put)
						}
					}
					since = frame.Seq
					if time.Since(began) < settle {
						cpu = cpuTicks(pid)
						continue
					}
					most = max(most, residentMB(pid))
				}
				if pins != 10_000 {
					b.Errorf("%d pins", pins)
				}
				b.ReportMetric(most, "MB-resident")
				b.ReportMetric(float64(cpuTicks(pid)-cpu)/watched.Seconds(), "%-of-a-core") // 100 ticks a second
				b.ReportMetric(time.Since(began).Seconds()/float64(readings), "s/reading")
				if most > boundMB {
					b.Errorf("%.1f MB resident, want %d at most", most, boundMB)
				}
			}
		})
	}
}

// TestAgentTrims starts an agent and sees it give back the pages of its program
// that only the start needed, and answer after that.
func TestAgentTrims(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	ns := newNamespace(t)
	pid, client := ns.agent(t, binary)
	before := residentMB(pid)
	for end := time.Now().Add(20 * time.Second); residentMB(pid) > before*2/3; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%.1f MB resident at first, %.1f after 20 s", before, residentMB(pid))
		}
	}
	for range 3 {
		if _, err := client.Hello(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f, _, err := client.Tables(t.Context(), kernel.Names{}, 0); err != nil || f.Fault != kernel.FaultNoProxy {
			t.Fatal(err, f.Fault, f.Text)
		}
	}
}

// namespace is a network of its own, with a thread in it.
type namespace struct{ work chan func() }

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	ns := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = exec.Command("ip", "link", "set", "lo", "up").Run()
		}
		if ready <- err; err != nil {
			return
		}
		for f := range ns.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	t.Cleanup(func() { close(ns.work) })
	return ns
}

// do runs f on the thread.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

// agent starts the program there as a reader of tables.
func (ns *namespace) agent(t testing.TB, program string) (pid int, c *agent.Client) {
	t.Helper()
	const port = 24242
	// Pages of a file that was written just now are dirty, and are let be.
	f, err := os.Open(program)
	if err == nil {
		err = f.Sync()
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	token := agent.NewToken()
	cmd := exec.CommandContext(t.Context(), program, agentCommand, "--role", agent.RoleKernel, "--port", strconv.Itoa(port), "--digest", token.Digest(), "--silence", "1m")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	ns.do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	c = agent.NewClient(func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		ns.do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) })
		return conn, err
	}, port, token)
	t.Cleanup(func() {
		c.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = c.Hello(t.Context()); err == nil {
			return cmd.Process.Pid, c
		}
		if time.Now().After(end) {
			t.Fatal(err, said.String())
		}
	}
}

// fillSets makes 10,000 pins in the sets of ten endpoints, of the thread's
// network; renew those from the nth on.
func fillSets(t testing.TB) (kernel.Names, func(n int) error) {
	const lists, each = 10, 1000
	var names kernel.Names
	c := &nftables.Conn{}
	table := c.AddTable(&nftables.Table{Name: "kube-proxy", Family: nftables.TableFamilyIPv4})
	var sets []*nftables.Set
	elements := func(list, from, n int) (all []nftables.SetElement) {
		for i := from; i < from+n; i++ {
			all = append(all, nftables.SetElement{Key: []byte{10, byte(list), byte(i >> 8), byte(i)}})
		}
		return all
	}
	for i := range lists {
		name := fmt.Sprintf("affinity-AAAAAAAA-ns/svc/tcp/http__10.0.0.%d/80", i)
		set := &nftables.Set{Table: table, Name: name, KeyType: nftables.TypeIPAddr, HasTimeout: true, Dynamic: true, Timeout: 3 * time.Hour, Size: 65535}
		names.Sets, sets = append(names.Sets, name), append(sets, set)
		if err := c.AddSet(set, nil); err != nil {
			t.Error(err)
		}
		for from := 0; from < each; from += 500 {
			if err := c.SetAddElements(set, elements(i, from, 500)); err != nil {
				t.Error(err)
			}
		}
		if err := c.Flush(); err != nil {
			t.Logf("no nf_tables: %v", err)
			return names, nil
		}
	}
	return names, func(n int) error {
		some := elements(n/each, n%each, 100)
		_ = c.SetDeleteElements(sets[n/each], some)
		_ = c.SetAddElements(sets[n/each], some)
		return c.Flush()
	}
}

// fillRecent does that in the xt_recent lists of a hundred endpoints.
func fillRecent(t testing.TB) (kernel.Names, func(n int) error) {
	const lists, each = 100, 100
	var names kernel.Names
	var rules strings.Builder
	rules.WriteString("*filter\n:KUBE - [0:0]\n")
	for i := range lists {
		name := fmt.Sprintf("KUBE-SEP-%016d", i)
		names.Recent = append(names.Recent, name)
		fmt.Fprintf(&rules, "-A KUBE -m recent --name %s --set\n", name)
	}
	rules.WriteString("COMMIT\n")
	restore := exec.Command("iptables-restore")
	restore.Stdin = strings.NewReader(rules.String())
	if out, err := restore.CombinedOutput(); err != nil {
		t.Logf("no xt_recent: %v %s", err, out)
		return names, nil
	}
	touch := func(list, from, n int) error {
		for i := from; i < from+n; i++ { // a write each: the kernel takes none but at the start of the file
			client := netip.AddrFrom4([4]byte{10, 9, byte(list), byte(i)})
			if err := os.WriteFile("/proc/thread-self/net/xt_recent/"+names.Recent[list], []byte("+"+client.String()+"\n"), 0); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range lists {
		for range 4 { // connections of each
			if err := touch(i, 0, each); err != nil {
				t.Logf("no xt_recent: %v", err)
				return names, nil
			}
		}
	}
	return names, func(n int) error { return touch(n/each, 0, each) }
}
