//go:build linux

package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// benchServer makes the test binary a WebSocket server of its own process, so
// that what is measured is the client's.
const benchServer = "STICKYTOP_BENCH_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(benchServer) == "" {
		os.Exit(m.Run())
	}
	if err := serveBench(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveBench() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() { // it ends with whoever started it
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}()
	var buffers sync.Pool
	var open, pings atomic.Int64
	up := websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &buffers, CheckOrigin: func(*http.Request) bool { return true }}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !websocket.IsWebSocketUpgrade(r) { // how many it holds, and pings so far
			fmt.Fprint(w, open.Load(), " ", pings.Load())
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "lb", Value: "0123456789abcdef", Path: "/"})
		conn, err := up.Upgrade(w, r, http.Header{"X-Pod-Name": {"web-1"}, "Set-Cookie": {"lb=0123456789abcdef; Path=/"}})
		if err != nil {
			return
		}
		defer conn.Close()
		open.Add(1)
		defer open.Add(-1)
		pong := conn.PingHandler()
		conn.SetPingHandler(func(data string) error {
			pings.Add(1)
			return pong(data)
		})
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
		}
	})}
	return srv.Serve(l)
}

// startBenchServer returns the address of one, which ends with b.
func startBenchServer(b *testing.B) (address string) {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	server := exec.Command(program)
	server.Env = append(os.Environ(), benchServer+"=1")
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = server.Wait()
	})
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// process is what the kernel says of this one.
func process(b *testing.B) (rss int64, cpu time.Duration) {
	b.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize()), time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkHold10000WebSockets holds idle WebSockets with a heartbeat of 25 s,
// and folds what they tell. A Runner holds no more than MaxSessions, so there
// are twenty. It reports resident memory for each session, all of the process
// in it, and the share of a core that holding them takes.
func BenchmarkHold10000WebSockets(b *testing.B) {
	const total = 10_000
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Max < total+500 {
		b.Skipf("%d open files are allowed, %d are needed", files.Max, total+500)
	}
	for b.Loop() {
		holdMany(b, total, 50*time.Second)
	}
}

func holdMany(b *testing.B, total int, window time.Duration) {
	address := startBenchServer(b)

	var mu sync.Mutex
	var state affinity.State
	held := map[affinity.SessionID]bool{}
	failed := ""
	fold := func(e affinity.Event) {
		mu.Lock()
		defer mu.Unlock()
		state.Apply(e, time.Now())
		if s, ok := e.(affinity.SocketChanged); ok {
			held[s.Session] = s.Socket.Ended == nil
			if s.Socket.Ended != nil && s.Socket.Ended.Failed != nil {
				failed = s.Socket.Ended.Text
			}
		}
	}
	// One goroutine folds, as the engine's does.
	events, folded := make(chan affinity.Event, 256), make(chan struct{})
	go func() {
		defer close(folded)
		for e := range events {
			fold(e)
		}
	}()
	emit := func(e affinity.Event) { events <- e }
	count := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, is := range held {
			if is {
				n++
			}
		}
		return n
	}
	route := affinity.Route{ID: "bench", Kind: affinity.RouteURL, URL: "http://" + address + "/"}
	emit(affinity.Routes{Source: "bench", Routes: []affinity.Route{route}})
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	began := time.Now()
	for first := 0; first < total; first += MaxSessions {
		r, err := NewRunner(Options{Run: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		plan := affinity.Plan{Routes: []affinity.Route{route}}
		for i := first; i < min(first+MaxSessions, total); i++ {
			plan.Sessions = append(plan.Sessions, affinity.SessionSpec{ID: affinity.SessionID(fmt.Sprintf("s%05d", i)), Route: route.ID, Transport: "ws", Client: affinity.ClientBrowser})
		}
		r.Want(plan)
		group.Go(func() { _ = r.Run(ctx, emit) })
	}
	defer func() {
		cancel()
		group.Wait()
		close(events)
		<-folded
	}()
	for count() < total {
		if time.Since(began) > 2*time.Minute {
			b.Fatalf("%d of %d are held after %s: %s", count(), total, time.Since(began), failed)
		}
		time.Sleep(100 * time.Millisecond)
	}
	opened := time.Since(began)
	time.Sleep(5 * time.Second)
	rss, before := process(b)
	time.Sleep(window)
	later, after := process(b)
	if n := count(); n != total {
		b.Fatalf("%d of %d are left after %s: %s", n, total, window, failed)
	}
	runtime.GC()
	debug.FreeOSMemory()
	least, _ := process(b)
	took := holding{float64(max(rss, later)) / float64(total), (after - before).Seconds() / window.Seconds() / float64(total)}
	ours = &took
	b.ReportMetric(took.rss/1024, "KiB-RSS/session")
	b.ReportMetric(float64(least)/1024/float64(total), "KiB-RSS-after-GC/session")
	b.ReportMetric(100*(after-before).Seconds()/window.Seconds(), "%core")
	b.ReportMetric(opened.Seconds(), "s-to-open")
	b.ReportMetric(0, "ns/op")
	if path := os.Getenv("STICKYTOP_HEAP"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		_ = pprof.WriteHeapProfile(f)
		_ = f.Close()
	}
}
