package probe

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestASlowAnswerIsToldOf: that a request waits is told before it ends, once,
// and of a quick one never.
func TestASlowAnswerIsToldOf(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		want  int
	}{{"slow", slowAfter + time.Second, 1}, {"quick", 0, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { time.Sleep(tt.takes) }))
			defer server.Close()
			r := mustRunner(t, Options{Interval: time.Minute})
			r.Want(urlPlan(server.URL, 1, affinity.ClientBrowser))
			rec, stop := start(t, r)
			all := rec.until(t, "answer", observations(1))
			stop()
			told := eventsOf[affinity.Awaiting](all)
			if len(told) != tt.want {
				t.Fatalf("told %d times, want %d: %v", len(told), tt.want, all)
			}
			if tt.want > 0 && (told[0].Session != eventsOf[affinity.Observed](all)[0].Session || told[0].Since.IsZero()) {
				t.Errorf("told of %+v", told[0])
			}
		})
	}
}

// TestWhatItWaitsFor: of a request that hangs it is told in which step it does,
// and again when it has come further.
func TestWhatItWaitsFor(t *testing.T) {
	listener := func(t *testing.T, serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go serve(conn)
			}
		}()
		return l.Addr().String()
	}
	hang := func(conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn) // until the probe gives up
		conn.Close()
	}
	slow := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			_, _ = w.Write([]byte("half of it"))
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	plain := listener(t, hang)
	late := listener(t, func(conn net.Conn) { // relays to slow after its first bytes waited for a while
		time.Sleep(slowAfter + 500*time.Millisecond)
		back, err := net.Dial("tcp", slow.Listener.Addr().String())
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(conn, back) }()
		_, _ = io.Copy(back, conn)
		back.Close()
	})
	for _, tt := range []struct {
		name, url string
		want      []string
	}{
		{"TLS", "https://" + plain + "/", []string{"the TLS handshake with " + plain}},
		{"answer", "http://" + plain + "/", []string{"the answer of " + plain}},
		{"answer over TLS", slow.URL + "/", []string{"the answer of " + slow.Listener.Addr().String()}},
		{"rest", slow.URL + "/half", []string{"the rest of the answer of " + slow.Listener.Addr().String()}},
		{"TLS, then the answer", "https://" + late + "/", []string{"the TLS handshake with " + late, "the answer of " + late}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := mustRunner(t, Options{Interval: time.Minute, Timeout: slowAfter + 2500*time.Millisecond, ConnectTimeout: 10 * time.Second, Insecure: true})
			r.Want(urlPlan(tt.url, 1, affinity.ClientBrowser))
			rec, stop := start(t, r)
			all := rec.until(t, "answer", observations(1))
			stop()
			var got []string
			for _, e := range eventsOf[affinity.Awaiting](all) {
				got = append(got, e.Step)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("it waits for %q, want %q", got, tt.want)
			}
		})
	}
}
