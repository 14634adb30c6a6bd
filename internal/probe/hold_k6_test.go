//go:build linux

package probe

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// holding is what one held WebSocket takes.
type holding struct {
	rss float64 // bytes
	cpu float64 // share of a core
}

// ours is what BenchmarkHold10000WebSockets measured in this run; nil before.
var ours *holding

// k6Each is what one of k6's WebSockets may take, in bytes, for how many fit:
// more than any version was seen to.
const k6Each = 400 << 10

// BenchmarkHoldWebSocketsByK6 measures the same of k6, with one WebSocket for
// each virtual user, as many as fit in half of the memory that is free, at most
// 10,000; $K6_VUS says how many. k6 is $K6 or the one in PATH. Where
// BenchmarkHold10000WebSockets ran before it, it reports how many times as much
// k6 takes.
func BenchmarkHoldWebSocketsByK6(b *testing.B) {
	program, err := exec.LookPath(cmpEnv("K6", "k6"))
	if err != nil {
		skipLoud(b, "k6 is not here (in PATH, or $K6): "+err.Error())
	}
	free, err := memAvailable()
	if err != nil {
		skipLoud(b, err.Error())
	}
	vus, err := strconv.Atoi(cmpEnv("K6_VUS", strconv.FormatInt(min(10_000, free/2/k6Each), 10)))
	var files syscall.Rlimit
	if err != nil || vus < 1 || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil || files.Max < uint64(vus)+500 {
		skipLoud(b, fmt.Sprintf("%d virtual users do not fit in %d MiB of free memory and %d open files, or $K6_VUS is no number", vus, free>>20, files.Max))
	}
	for b.Loop() {
		holdByK6(b, program, vus, 50*time.Second)
	}
}

func cmpEnv(name, other string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return other
}

// skipLoud skips, and says why where go test would keep it to itself.
func skipLoud(b *testing.B, why string) {
	b.Helper()
	if !testing.Verbose() {
		fmt.Fprintf(os.Stderr, "%s is skipped: %s\n", b.Name(), why)
	}
	b.Skip(why)
}

func holdByK6(b *testing.B, program string, vus int, window time.Duration) {
	address := startBenchServer(b)
	const patience = 5 * time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience+2*window)
	defer cancel()
	var said bytes.Buffer
	k6 := exec.CommandContext(ctx, program, "run", "--quiet", "--no-usage-report", "--no-summary", "--address", "",
		"-e", "URL=ws://"+address+"/", "-e", "VUS="+strconv.Itoa(vus), "-e", "HOLD="+strconv.Itoa(int((patience+window).Seconds())),
		filepath.Join("testdata", "k6", "hold.js"))
	k6.Stdout, k6.Stderr = &said, &said
	if err := k6.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- k6.Wait() }()
	stop := func() {
		cancel()
		<-ended
	}
	fail := func(format string, args ...any) {
		stop()
		b.Fatalf(format+"\n%.2000s", append(args, said.String())...)
	}
	began := time.Now()
	held := func() (open, pings int) { return benchHeld(b, address) }
	for {
		open, _ := held()
		if open >= vus {
			break
		}
		select {
		case err := <-ended:
			ended <- err
			fail("k6 ended: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
		if time.Since(began) > patience {
			fail("%d of %d are held after %s", open, vus, patience)
		}
	}
	opened := time.Since(began)
	time.Sleep(5 * time.Second)
	_, pinged := held()
	rss, before := processOf(b, k6.Process.Pid)
	time.Sleep(window)
	later, after := processOf(b, k6.Process.Pid)
	open, pings := held()
	if least := vus * int(window/DefaultPing); open != vus || pings-pinged < least*9/10 {
		fail("%d of %d are left after %s, with %d pings of %d", open, vus, window, pings-pinged, least)
	}
	stop()
	took := holding{float64(max(rss, later)) / float64(vus), (after - before).Seconds() / window.Seconds() / float64(vus)}
	b.ReportMetric(float64(vus), "sessions")
	b.ReportMetric(took.rss/1024, "KiB-RSS/session")
	b.ReportMetric(100*took.cpu*float64(vus), "%core")
	b.ReportMetric(opened.Seconds(), "s-to-open")
	b.ReportMetric(0, "ns/op")
	if ours != nil {
		b.ReportMetric(took.rss/ours.rss, "times-our-RSS/session")
		b.ReportMetric(took.cpu/ours.cpu, "times-our-CPU/session")
	}
}

// benchHeld is how many WebSockets the server at address holds, and how many
// pings it has had.
func benchHeld(b *testing.B, address string) (open, pings int) {
	b.Helper()
	resp, err := http.Get("http://" + address + "/")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := fmt.Fscan(resp.Body, &open, &pings); err != nil {
		b.Fatal(err)
	}
	return open, pings
}

// processOf is what the kernel says of another process, its children not
// included. CPU time comes in ticks of 10 ms (proc_pid_stat(5)).
func processOf(b *testing.B, pid int) (rss int64, cpu time.Duration) {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // what comes before has the program's name
	field := strings.Fields(rest)                 // from the third on
	number := func(n int) int64 {
		v, err := strconv.ParseInt(field[n-3], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	return number(24) * int64(os.Getpagesize()), time.Duration(number(14)+number(15)) * 10 * time.Millisecond
}

// memAvailable is how much memory can be had without swapping, in bytes.
func memAvailable() (int64, error) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(info)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemAvailable")
}
