package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// forwarder plays the part of the API server and the kubelet: it takes the
// streams and connects them to a loopback address for each pod port.
type forwarder struct {
	t         testing.TB
	websocket bool
	ports     map[string]string // "8080" → address

	mu    sync.Mutex
	conns []httpstream.Connection
	opens atomic.Int32
	pods  []string // of the requests
}

func (f *forwarder) serve(w http.ResponseWriter, r *http.Request) {
	f.opens.Add(1)
	f.mu.Lock()
	f.pods = append(f.pods, strings.Split(r.URL.Path, "/")[6])
	f.mu.Unlock()
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		f.serveWebSocket(w, r)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		f.t.Error(err)
		return
	}
	if conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, f.pairs()); conn != nil {
		f.hold(conn)
	}
}

func (f *forwarder) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if !f.websocket { // an API server before 1.31
		http.Error(w, "unable to upgrade: websockets not supported here", http.StatusBadRequest)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{"SPDY/3.1+" + portforward.PortForwardProtocolV1Name}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		f.t.Error(err)
		return
	}
	conn, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("server", ws), f.pairs())
	if err != nil {
		f.t.Error(err)
		return
	}
	f.hold(conn)
}

func (f *forwarder) hold(conn httpstream.Connection) {
	f.mu.Lock()
	f.conns = append(f.conns, conn)
	f.mu.Unlock()
	<-conn.CloseChan()
}

func (f *forwarder) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close() // the client sees it
	}
	f.conns = nil
}

// pairs matches the error and the data stream of one request.
func (f *forwarder) pairs() httpstream.NewStreamHandler {
	var mu sync.Mutex
	waiting := map[string]httpstream.Stream{}
	return func(s httpstream.Stream, reply <-chan struct{}) error {
		id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
		mu.Lock()
		other := waiting[id]
		waiting[id] = s
		mu.Unlock()
		if other != nil {
			go func() {
				<-reply
				f.join(other, s)
			}()
		}
		return nil
	}
}

func (f *forwarder) join(errorStream, data httpstream.Stream) {
	defer func() { _ = data.Close(); _ = errorStream.Close() }()
	port := data.Headers().Get(corev1.PortHeader)
	c, err := net.Dial("tcp", f.ports[port])
	if f.ports[port] == "" || err != nil {
		fmt.Fprintf(errorStream, "error forwarding port %s to pod x, uid : failed to connect: connection refused\x1b[2J", port)
		return
	}
	defer c.Close()
	go func() {
		_, _ = io.Copy(c, data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(data, c)
}

func controllerPod(name, ip string) *corev1.Pod {
	p := testPod("ingress-nginx", name, ip, true)
	p.Labels = map[string]string{"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "https", ContainerPort: 8443}}
	return p
}

// forwardServer is a cluster with one controller pod, whose port 8080 answers
// with who asked for what.
func forwardServer(t testing.TB, overWebSocket bool) (*apiServer, *forwarder) {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Host, r.URL.Path, len(body))
	}))
	t.Cleanup(backend.Close)
	f := &forwarder{t: t, websocket: overWebSocket, ports: map[string]string{"8080": backend.Listener.Addr().String()}}
	t.Cleanup(f.closeAll)
	s := newAPIServer(t)
	s.forward = f.serve
	svc := testService("ingress-nginx", "controller")
	svc.Spec.Selector = map[string]string{"app.kubernetes.io/component": "controller"}
	svc.Spec.Ports = []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}, {Port: 443, TargetPort: intstr.FromString("https")}}
	s.put(controllerPod("controller-aaaaa", "10.244.0.2"), svc)
	return s, f
}

func newDialer(t testing.TB, s *apiServer, opts ControllerOptions) *ControllerDialer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	d, err := NewControllerDialer(ctx, s.config(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func fetch(t testing.TB, d *ControllerDialer, url, body string) (string, error) {
	t.Helper()
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
	resp, err := c.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return string(got), err
}

func TestForward(t *testing.T) {
	for name, ws := range map[string]bool{"WebSocket": true, "SPDY, after WebSocket was refused": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f := forwardServer(t, ws)
			d := newDialer(t, s, ControllerOptions{})
			to, err := d.Open(t.Context())
			if err != nil || to != "ingress-nginx/controller-aaaaa" {
				t.Fatalf("Open() = %q, %v", to, err)
			}
			want := "chat.example.com /x 300000"
			var wg sync.WaitGroup
			for range 20 { // of one connection, at once, with more than a window of data
				wg.Go(func() {
					if got, err := fetch(t, d, "http://chat.example.com/x", strings.Repeat("x", 300_000)); got != want || err != nil {
						t.Errorf("got %q, %v; want %q", got, err, want)
					}
				})
			}
			wg.Wait()
			opens := map[bool]int32{true: 1, false: 2}[ws] // SPDY is tried second
			if got := f.opens.Load(); got != opens {
				t.Errorf("%d connections were opened, want %d for all", got, opens)
			}
			conn, err := d.DialContext(t.Context(), "tcp", "203.0.113.10:80")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got := conn.RemoteAddr().String(); got != "10.244.0.2:8080" {
				t.Errorf("RemoteAddr() = %q, want the pod's", got)
			}
			if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read() past its deadline = %v", err)
			}
		})
	}
}

func TestForwardTellsWhyAConnectionFailed(t *testing.T) {
	s, _ := forwardServer(t, true)
	d := newDialer(t, s, ControllerOptions{})
	_, err := fetch(t, d, "https://chat.example.com/", "")
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.ContainsRune(err.Error(), 0x1b) {
		t.Errorf("err = %v, want the kubelet's reason, cleaned", err)
	}
	if got, err := fetch(t, d, "http://chat.example.com/", ""); err != nil {
		t.Errorf("after a refused port: %q, %v", got, err)
	}
}

func TestForwardComesBack(t *testing.T) {
	s, f := forwardServer(t, true)
	d := newDialer(t, s, ControllerOptions{})
	if _, err := fetch(t, d, "http://a/", ""); err != nil {
		t.Fatal(err)
	}
	// The pod is replaced, as in a rollout.
	s.del(controllerPod("controller-aaaaa", "10.244.0.2"))
	s.put(controllerPod("controller-bbbbb", "10.244.0.3"))
	f.closeAll()
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := fetch(t, d, "http://a/", "")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still failing: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.pods[len(f.pods)-1]; last != "controller-bbbbb" {
		t.Errorf("forwarded to %s, want the new pod; all: %v", last, f.pods)
	}
}

func TestForwardEndsWithItsContext(t *testing.T) {
	s, _ := forwardServer(t, true)
	d := newDialer(t, s, ControllerOptions{})
	conn, err := d.DialContext(t.Context(), "tcp", "x:80")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read() after Close = %v, want an end", err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "x:80"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("DialContext() after Close = %v, want net.ErrClosed", err)
	}
}

func TestForwardProblems(t *testing.T) {
	t.Run("no controller", func(t *testing.T) {
		s := newAPIServer(t)
		_, err := newDialer(t, s, ControllerOptions{}).Open(t.Context())
		if p := problem(t, err); p.What != "no ingress controller's pod found" || !strings.Contains(p.Hint, "--via-controller=NAMESPACE/POD") {
			t.Errorf("%q, hint %q", p.What, p.Hint)
		}
	})
	t.Run("not ready", func(t *testing.T) {
		s, _ := forwardServer(t, true)
		p := controllerPod("controller-aaaaa", "10.244.0.2")
		p.Status.Conditions = nil
		s.put(p)
		_, err := newDialer(t, s, ControllerOptions{}).Open(t.Context())
		if p := problem(t, err); !strings.Contains(p.What, "none is ready") {
			t.Errorf("%q", p.What)
		}
	})
	t.Run("forbidden", func(t *testing.T) {
		s, _ := forwardServer(t, true)
		s.forward = forbid("pods/portforward")
		_, err := newDialer(t, s, ControllerOptions{}).Open(t.Context())
		if p := problem(t, err); !strings.Contains(p.What, "forward to pod ingress-nginx/controller-aaaaa") || !strings.Contains(p.What, "forbidden") {
			t.Errorf("%q", p.What)
		}
	})
	t.Run("only some namespaces", func(t *testing.T) {
		s, _ := forwardServer(t, true)
		s.fail("pods list", func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/namespaces/ingress-nginx/") {
				forbid("pods")(w, r)
				return
			}
			s.serveList(w, r, call{resource: resPods, namespace: "ingress-nginx"})
		})
		if to, err := newDialer(t, s, ControllerOptions{}).Open(t.Context()); err != nil || to != "ingress-nginx/controller-aaaaa" {
			t.Errorf("Open() = %q, %v", to, err)
		}
	})
	t.Run("named wrongly", func(t *testing.T) {
		s, _ := forwardServer(t, true)
		_, err := newDialer(t, s, ControllerOptions{Target: "ingress-nginx/nope"}).Open(t.Context())
		if p := problem(t, err); p.What != `pod "nope" not found in namespace "ingress-nginx"` {
			t.Errorf("%q", p.What)
		}
		if _, err := NewControllerDialer(t.Context(), s.config(), ControllerOptions{Target: "a/b/c/d"}); err == nil {
			t.Error("a/b/c/d was accepted")
		}
	})
	t.Run("named by service", func(t *testing.T) {
		s, _ := forwardServer(t, true)
		if to, err := newDialer(t, s, ControllerOptions{Target: "ingress-nginx/svc/controller"}).Open(t.Context()); err != nil || to != "ingress-nginx/controller-aaaaa" {
			t.Errorf("Open() = %q, %v", to, err)
		}
	})
	t.Run("a server that hangs", func(t *testing.T) {
		s, _ := forwardServer(t, true)
		s.freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := newDialer(t, s, ControllerOptions{}).DialContext(ctx, "tcp", "x:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("DialContext() = %v, want its context's end", err)
		}
	})
}
