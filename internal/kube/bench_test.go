package kube

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// The size that the program must stay pleasant with.
const (
	bigPods     = 5000
	bigServices = 200
)

// bigServer is the variable that makes TestBigServer serve instead of passing.
const bigServer = "STICKYTOP_TEST_BIG_SERVER"

// TestBigServer is the API server of BenchmarkFirstSync, in a process of its
// own: its objects must not count as the client's memory.
func TestBigServer(t *testing.T) {
	if os.Getenv(bigServer) == "" {
		t.Skip("only serves the benchmark")
	}
	s := newAPIServer(t, withProtobuf, withTLS)
	for i := range bigServices {
		service := fmt.Sprintf("web-%03d", i)
		var pods []*corev1.Pod
		for n := range bigPods / bigServices {
			p := testPod("chat", fmt.Sprintf("%s-7c9f-%05d", service, n), fmt.Sprintf("10.%d.%d.%d", 1+i/200, i, n+1), true)
			fatten(p)
			pods = append(pods, p)
			s.put(p)
		}
		s.put(testService("chat", service), testSlice("chat", service, "-1", pods...), testIngress("chat", service, service+".example.com", service))
	}
	s.put(testClass())
	fmt.Println("LISTENING " + s.server.URL)
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the benchmark ends
}

// fatten gives a pod what real ones carry and nobody reads here.
func fatten(p *corev1.Pod) {
	c := &p.Spec.Containers[0]
	for i := range 40 {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%02d", i), Value: strings.Repeat("v", 60)})
	}
	for i := range 8 {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("volume-%d", i)})
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("volume-%d", i), MountPath: "/var/lib/data"})
	}
	p.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 2000)}
}

// BenchmarkFirstSync measures how long it takes until every row is there, and
// what the process holds then.
func BenchmarkFirstSync(b *testing.B) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestBigServer$")
	cmd.Env = append(os.Environ(), bigServer+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = cmd.Wait() }() // its end is not what is measured
	url := ""
	for lines := bufio.NewScanner(stdout); url == "" && lines.Scan(); {
		url, _ = strings.CutPrefix(lines.Text(), "LISTENING ")
		if !strings.HasPrefix(url, "https://") {
			url = ""
		}
	}
	if url == "" {
		b.Fatal("the server did not start")
	}
	before := rss()
	var held uint64
	for b.Loop() {
		held = syncOnce(b, url)
	}
	b.ReportMetric(float64(rss()-before)/(1<<20), "RSS-MB")
	b.ReportMetric(float64(held)/(1<<20), "heap-MB")
}

// syncOnce runs a Source until pods and routes are there, and returns the live
// heap that it holds.
func syncOnce(b *testing.B, url string) uint64 {
	cfg := &rest.Config{Host: url, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	src, err := New(cfg, chatOptions())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan struct{})
	ended := make(chan struct{})
	pods, routes := 0, 0
	go func() {
		defer close(ended)
		_ = src.Run(ctx, func(e affinity.Event) {
			switch e := e.(type) {
			case affinity.PodChanged:
				pods++
			case affinity.Routes:
				routes = len(e.Routes)
			}
			if pods == bigPods && routes == bigServices {
				select {
				case <-done:
				default:
					close(done)
				}
			}
		})
	}()
	select {
	case <-done:
	case <-ctx.Done():
		b.Errorf("%d pods, %d routes after a minute", pods, routes)
	}
	b.StopTimer()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.FreeOSMemory()
	cancel()
	<-ended
	b.StartTimer()
	return m.HeapAlloc
}

// rss is the process's resident memory in bytes, 0 where /proc is not.
func rss() int64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}
