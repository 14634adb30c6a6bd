package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Waits of the forwarder.
const (
	forwardTimeout = 15 * time.Second // to open the connection to the API server
	streamTimeout  = 3 * time.Second  // for a new stream of it; client-go's own is 30 s
	forwardAgain   = time.Second      // between attempts, however many sessions ask
)

// ControllerDialer reaches an ingress controller's pod through the API server
// (pods/portforward), for a cluster whose ingress address cannot be reached.
// Each DialContext is a stream of one shared connection; no port is opened
// locally. It takes create on pods/portforward, which is more than reading: use
// it only when the user asked.
type ControllerDialer struct {
	opts    ControllerOptions
	config  *rest.Config
	clients *clients
	ctx     context.Context // ends everything
	cancel  context.CancelFunc

	mu      sync.Mutex
	session *forwardSession
	opening chan struct{} // closed when the attempt under way has ended; nil when none is
	failed  error         // of the last attempt
	failedT time.Time
	request int
}

// forwardSession is one connection to one pod.
type forwardSession struct {
	conn     httpstream.Connection
	pod      *corev1.Pod
	services []corev1.Service // of the pod's namespace; empty when they may not be listed
	suspect  bool             // a stream failed: ask whether the pod is still there
}

// NewControllerDialer prepares a dialer that ends with ctx. It does not talk to
// the API server; Open does, and so does the first DialContext.
func NewControllerDialer(ctx context.Context, cfg *rest.Config, opts ControllerOptions) (*ControllerDialer, error) {
	if opts.Target != "" {
		if _, err := parseTarget(opts.Target, opts.Namespace); err != nil {
			return nil, err
		}
	}
	c, err := newClients(cfg, opts.Version)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	config, _ := prepare(cfg, opts.Version)
	config.Timeout = 0 // it would end the forwarded connection
	d := &ControllerDialer{opts: opts, config: config, clients: c}
	d.ctx, d.cancel = context.WithCancel(ctx)
	context.AfterFunc(d.ctx, d.drop)
	return d, nil
}

// Open finds the pod and connects, so that a mistake is told before the first
// probe. It returns what is forwarded to, "ingress-nginx/controller-7c9f". Its
// errors are *Problem.
func (d *ControllerDialer) Open(ctx context.Context) (string, error) {
	s, err := d.connected(ctx)
	if err != nil {
		return "", err
	}
	return name(s.pod.Namespace) + "/" + name(s.pod.Name), nil
}

// DialContext opens a connection to the controller. Of addr only the port
// counts: 80 and 443 are mapped to the pod's own as its Service maps them. The
// connection's RemoteAddr is the pod's address. It is safe for concurrent use.
func (d *ControllerDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	_, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", addr, err)
	}
	want, err := strconv.Atoi(portText)
	if err != nil || want < 1 || want > 65535 {
		return nil, fmt.Errorf("forward to %s: port %q is no number of a port", addr, portText)
	}
	s, err := d.connected(ctx)
	if err != nil {
		return nil, err
	}
	port := portIn(s.pod, s.services, want)
	conn, err := d.stream(ctx, s, port)
	if err != nil {
		return nil, fmt.Errorf("forward to pod %s port %d: %w", name(s.pod.Name), port, err)
	}
	return conn, nil
}

// Close ends the dialer and every connection of it.
func (d *ControllerDialer) Close() { d.cancel() }

func (d *ControllerDialer) drop() {
	d.mu.Lock()
	s := d.session
	d.session = nil
	d.mu.Unlock()
	if s != nil {
		_ = s.conn.Close() // what it would say is that it was closed
	}
}

// connected returns the session, connecting first when there is none. Of many
// callers one connects and all wait.
func (d *ControllerDialer) connected(ctx context.Context) (*forwardSession, error) {
	for {
		d.mu.Lock()
		if s := d.session; s != nil && !s.suspect && !closed(s.conn) {
			d.mu.Unlock()
			return s, nil
		}
		if d.opening == nil {
			if since := time.Since(d.failedT); d.failed != nil && since < forwardAgain {
				defer d.mu.Unlock()
				return nil, d.failed
			}
			d.opening = make(chan struct{})
			go d.open(d.opening)
		}
		wait := d.opening
		d.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.ctx.Done():
			return nil, net.ErrClosed
		}
	}
}

// open makes a session, or decides that the one there is can stay. It is the
// only goroutine that does so, ends by itself within forwardTimeout, and closes
// done.
func (d *ControllerDialer) open(done chan struct{}) {
	ctx, cancel := context.WithTimeout(d.ctx, forwardTimeout)
	defer cancel()
	d.mu.Lock()
	old := d.session
	d.mu.Unlock()
	s, err := d.keepOrMake(ctx, old)
	d.mu.Lock()
	if d.ctx.Err() != nil && s != nil {
		_ = s.conn.Close() // nobody is left to use it
		s, err = nil, net.ErrClosed
	}
	d.session, d.failed, d.failedT = s, err, time.Now()
	if s != nil {
		s.suspect = false
	}
	d.opening = nil
	d.mu.Unlock()
	close(done)
}

func (d *ControllerDialer) keepOrMake(ctx context.Context, old *forwardSession) (*forwardSession, error) {
	if old != nil && !closed(old.conn) {
		p, err := d.clients.core.Pods(old.pod.Namespace).Get(ctx, old.pod.Name, metav1.GetOptions{})
		if err == nil && p.UID == old.pod.UID && p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning {
			return old, nil
		}
		_ = old.conn.Close() // its pod is gone
	}
	p, err := d.find(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := d.dial(ctx, p)
	if err != nil {
		return nil, explain(err, d.clients.host, fmt.Sprintf("forward to pod %s/%s", name(p.Namespace), name(p.Name)))
	}
	s := &forwardSession{conn: conn, pod: p}
	if list, err := d.clients.core.Services(p.Namespace).List(ctx, metav1.ListOptions{Limit: pageSize}); err == nil {
		s.services = list.Items
	}
	return s, nil
}

// dial connects by WebSocket, or by SPDY where the API server (before 1.31) or
// a proxy does not take it, as kubectl does (kubectl: pkg/cmd/portforward). The
// dialers know no context; one that comes too late is closed.
func (d *ControllerDialer) dial(ctx context.Context, p *corev1.Pod) (httpstream.Connection, error) {
	u := d.clients.core.RESTClient().Post().Resource("pods").Namespace(p.Namespace).Name(p.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(d.config)
	if err != nil {
		return nil, err
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, d.config)
	if err != nil {
		return nil, err
	}
	dialer := portforward.NewFallbackDialerForStreaming(tunnel, spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, u), func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	type result struct {
		conn httpstream.Connection
		err  error
	}
	got := make(chan result, 1)
	go func() {
		conn, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		got <- result{conn, err}
	}()
	select {
	case r := <-got:
		return r.conn, r.err
	case <-ctx.Done():
		go func() {
			if r := <-got; r.err == nil {
				_ = r.conn.Close() // too late to be used
			}
		}()
		return nil, ctx.Err()
	}
}

// stream opens a forwarded connection. A session that takes streamTimeout for
// it is dead, whatever its connection says: one that the other end is leaving
// (GOAWAY) takes new streams and never answers them.
func (d *ControllerDialer) stream(ctx context.Context, s *forwardSession, port int) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	got := make(chan result, 1)
	go func() {
		conn, err := d.openStreams(s, port)
		got <- result{conn, err}
	}()
	limit := time.NewTimer(streamTimeout)
	defer limit.Stop()
	select {
	case r := <-got:
		if r.err != nil {
			d.forget(s)
		}
		return r.conn, r.err
	case <-limit.C:
		d.forget(s) // which ends openStreams too
		return nil, errStream
	case <-ctx.Done():
	case <-d.ctx.Done():
	}
	go func() {
		if r := <-got; r.conn != nil {
			_ = r.conn.Close() // too late to be used
		}
	}()
	return nil, cmp.Or(ctx.Err(), net.ErrClosed)
}

// openStreams opens the two streams that make one forwarded connection.
func (d *ControllerDialer) openStreams(s *forwardSession, port int) (net.Conn, error) {
	d.mu.Lock()
	d.request++
	id := d.request
	d.mu.Unlock()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(id))
	errorStream, err := s.conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	_ = errorStream.Close() // only the write half: nothing is said on it from here
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := s.conn.CreateStream(headers)
	if err != nil {
		s.conn.RemoveStreams(errorStream)
		return nil, err
	}
	remote := forwardAddr(joinPort(s.pod.Status.PodIP, port))
	return newForwardConn(data, errorStream, remote, func(failed bool) {
		s.conn.RemoveStreams(data, errorStream)
		if failed {
			d.suspects(s)
		}
	}), nil
}

// forget ends a session that cannot be trusted any more.
func (d *ControllerDialer) forget(s *forwardSession) {
	d.mu.Lock()
	if d.session == s {
		d.session = nil
	}
	d.mu.Unlock()
	_ = s.conn.Close() // it is of no use, whatever this says
}

func (d *ControllerDialer) suspects(s *forwardSession) {
	d.mu.Lock()
	s.suspect = true
	d.mu.Unlock()
}

func closed(c httpstream.Connection) bool {
	select {
	case <-c.CloseChan():
		return true
	default:
		return false
	}
}

var (
	// errForward is what the other end said about a connection that it could
	// not make or hold.
	errForward = errors.New("port-forward")
	errStream  = errors.New("port-forward: no answer to a new stream")
)
