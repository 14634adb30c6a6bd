package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
	"github.com/kubestickytop/stickytop/internal/demo/loopback"
	"github.com/kubestickytop/stickytop/internal/demo/proxy"
)

const annotation = "nginx.ingress.kubernetes.io/"

// rig is a proxy before one backend server, which stands for every pod and
// answers with the address it was called by.
type rig struct {
	t     testing.TB
	store *apiserver.Store
	proxy *proxy.Proxy
	url   string
	now   time.Time

	faults sync.Map // by endpoint: refuses, hangsUp or an HTTP status
	sent   int      // requests, for their names
}

// What an endpoint does instead of answering.
const (
	refuses = -1
	hangsUp = -2
)

func (r *rig) fault(addr string) int {
	f, _ := r.faults.LoadOrStore(addr, 0)
	return f.(int)
}

func newRig(t testing.TB, annotations map[string]string, addrs ...string) *rig {
	t.Helper()
	r := &rig{t: t, store: apiserver.NewStore(), now: time.Unix(1795423735, 420e6)}
	pods := r.serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		addr := req.Header.Get("X-Test-Endpoint")
		w.Header().Add("Set-Cookie", "app=1")
		switch fault := r.fault(addr); {
		case fault == hangsUp:
			panic(http.ErrAbortHandler)
		case fault > 0:
			w.WriteHeader(fault)
		}
		_, _ = io.WriteString(w, addr)
	}))
	r.proxy = proxy.New(proxy.Options{
		Store: r.store, Seed: 1, Now: func() time.Time { return r.now },
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if r.fault(addr) == refuses {
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			}
			c, err := (&net.Dialer{}).DialContext(ctx, network, pods)
			return &marked{Conn: c, addr: addr}, err
		},
	})
	r.url = "http://" + r.serve(r.proxy)
	r.put(&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}, Spec: networkingv1.IngressClassSpec{Controller: proxy.Controller}})
	r.put(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "msgapp-backend"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 5000}}},
	})
	r.put(ingress("msgapp", "msgapp.local", "/", annotations))
	r.endpoints(addrs...)
	return r
}

// marked adds the endpoint's address to the request that is written to it, as
// all of them are served by one server.
type marked struct {
	net.Conn
	addr string
	done bool
}

func (m *marked) Write(b []byte) (int, error) {
	if m.done {
		return m.Conn.Write(b)
	}
	m.done = true
	head, rest, _ := strings.Cut(string(b), "\r\n")
	if _, err := io.WriteString(m.Conn, head+"\r\nX-Test-Endpoint: "+m.addr+"\r\n"+rest); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (r *rig) serve(h http.Handler) (addr string) {
	r.t.Helper()
	s, err := loopback.Listen(h)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	return s.Addr()
}

func (r *rig) put(objects ...apiserver.Object) {
	r.t.Helper()
	if err := r.store.Put(objects...); err != nil {
		r.t.Fatal(err)
	}
}

func ingress(name, host, path string, annotations map[string]string) *networkingv1.Ingress {
	class, prefix := "nginx", networkingv1.PathTypePrefix
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: annotations},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{
			Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{
					Path: path, PathType: &prefix,
					Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
						Name: "msgapp-backend", Port: networkingv1.ServiceBackendPort{Number: 5000},
					}},
				}},
			}},
		}}},
	}
}

// endpoints replaces the Service's endpoints; all of them are ready.
func (r *rig) endpoints(addrs ...string) {
	r.t.Helper()
	name, yes := "http", true
	// Ports of one slice are the same for all its endpoints: a slice for each.
	for _, old := range apiserver.List[*discoveryv1.EndpointSlice](r.store, "default") {
		apiserver.Remove[*discoveryv1.EndpointSlice](r.store, "default", old.Name)
	}
	for _, addr := range addrs {
		ap, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			r.t.Fatal(err)
		}
		port := int32(ap.Port)
		r.put(&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: strings.ReplaceAll(addr, ":", "-"),
				Labels: map[string]string{discoveryv1.LabelServiceName: "msgapp-backend"},
			},
			Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
			Endpoints: []discoveryv1.Endpoint{{
				Addresses: []string{ap.IP.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &yes},
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "pod-" + addr},
			}},
		})
	}
}

// answer is what a client got.
type answer struct {
	status  int
	served  string   // endpoint
	cookies []string // Set-Cookie, but the app's own
	tried   []string // endpoints, from the access log
}

// last returns the value of the last cookie that was set.
func (a answer) last(t testing.TB) string {
	t.Helper()
	if len(a.cookies) == 0 {
		t.Fatalf("no cookie in %+v", a)
	}
	_, value, _ := strings.Cut(a.cookies[len(a.cookies)-1], "=")
	value, _, _ = strings.Cut(value, ";")
	return value
}

func (r *rig) get(cookieHeader ...string) answer { return r.do("GET", "/", cookieHeader...) }

func (r *rig) do(method, path string, cookieHeader ...string) answer {
	r.t.Helper()
	return r.doHost("msgapp.local", method, path, cookieHeader...)
}

func (r *rig) doHost(host, method, path string, cookieHeader ...string) answer {
	r.t.Helper()
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader("hello")
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.sent++
	id := strconv.Itoa(r.sent)
	req.Host = host
	req.Header.Set("X-Request-Id", id)
	if len(cookieHeader) > 0 {
		req.Header["Cookie"] = cookieHeader
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode}
	if resp.StatusCode == 200 {
		a.served = string(text)
	}
	for _, c := range resp.Header["Set-Cookie"] {
		if c != "app=1" {
			a.cookies = append(a.cookies, c)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		log := r.proxy.AccessLog()
		i := slices.IndexFunc(log, func(e proxy.Entry) bool { return e.RequestID == id })
		if i >= 0 {
			a.tried = log[i].Tried
			r.check(log[i], a)
			return a
		}
		if time.Now().After(end) {
			r.t.Fatal("the request is not in the access log")
		}
	}
}

// check compares the log with what the client saw.
func (r *rig) check(e proxy.Entry, a answer) {
	r.t.Helper()
	if e.Status != a.status || a.served != "" && (e.Served != a.served || e.Pod.Name != "pod-"+a.served) || !slices.Equal(e.SetCookie, a.cookies) {
		r.t.Errorf("log says %+v, the client saw %+v", e, a)
	}
}

func persistent(extra ...string) map[string]string { return annotations("persistent", extra...) }
func balanced(extra ...string) map[string]string   { return annotations("balanced", extra...) }

func annotations(mode string, extra ...string) map[string]string {
	m := map[string]string{
		annotation + "affinity": "cookie", annotation + "affinity-mode": mode,
		annotation + "session-cookie-name":    "msgapp-sticky",
		annotation + "session-cookie-expires": "10800", annotation + "session-cookie-max-age": "10800",
	}
	for pair := range slices.Chunk(extra, 2) {
		m[annotation+pair[0]] = pair[1]
	}
	return m
}

var three = []string{"10.244.0.7:5000", "10.244.1.23:5000", "10.244.2.105:5000"}
