// Package proxy is a sticky reverse proxy for the demo's cluster. It reads the
// Ingresses, Services and EndpointSlices of a store and speaks as
// ingress-nginx was observed to, or as Traefik does with the same Ingresses.
//
// It reads the objects itself and shares no code with the decoders of
// internal/ingress: what it logs is what they are tested against.
package proxy

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// Dialect is whose behaviour the proxy has.
type Dialect string

const (
	IngressNginx Dialect = "ingress-nginx"
	Traefik      Dialect = "traefik"
)

// dialect is how a controller ties requests to endpoints.
type dialect interface {
	tries() int
	usable([]endpoint) []string     // addresses that may get a request
	pick(x *exchange) (addr string) // "" for none
}

// Options configures a Proxy.
type Options struct {
	Store *apiserver.Store
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error) // reaches a pod's "ip:port"
	Now   func() time.Time
	Seed  uint64 // of every choice that the originals make at random
}

// Proxy is an http.Handler.
type Proxy struct {
	opts  Options
	http  *httputil.ReverseProxy
	nginx nginx

	mu      sync.Mutex
	dialect Dialect
	config  *config
	turns   map[turn]int          // of backends without affinity: whose turn it is
	clients map[string]*rand.Rand // by client: see draw
	log     accessLog
}

// maxBody bounds what is kept of a request's body to be sent again.
const maxBody = 1 << 20

// maxClients bounds how many clients have choices of their own.
const maxClients = 10_000

// New returns a proxy in the dialect of ingress-nginx.
func New(o Options) *Proxy {
	p := &Proxy{
		opts: o, dialect: IngressNginx, nginx: nginx{pid: 30 + int(o.Seed%40)},
		turns: map[turn]int{}, clients: map[string]*rand.Rand{},
	}
	p.http = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: &upstream{http.Transport{
			DialContext:           o.Dial,
			DisableKeepAlives:     true,        // an idle connection would hide that a pod is gone
			ResponseHeaderTimeout: time.Minute, // proxy_read_timeout
		}},
		ModifyResponse: func(r *http.Response) error {
			x := exchangeOf(r.Request.Context())
			r.Header["Set-Cookie"] = slices.Concat(x.setCookies, r.Header["Set-Cookie"])
			return nil
		},
		ErrorHandler:  serveUpstreamError,
		FlushInterval: -1,
	}
	return p
}

// SetDialect makes the proxy another controller, which keeps nothing of the
// one before.
func (p *Proxy) SetDialect(d Dialect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialect = d
	p.turns = map[turn]int{}
}

// exchange is one request under way. Only its own goroutine uses it.
type exchange struct {
	proxy    *Proxy
	dialect  dialect
	header   http.Header
	tls      bool
	backend  *backend
	location *location
	host     string // key of the rule that matched
	usable   []string

	tried      []string // endpoints, in order
	setCookies []string
	served     string // endpoint that answered
}

func (x *exchange) now() time.Time { return x.proxy.opts.Now() }

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := p.opts.Now()
	recorder := &statusRecorder{ResponseWriter: w}
	x := p.begin(r)
	defer func() { p.finish(r, x, recorder, began) }()
	switch {
	case x.location == nil:
		serveStatus(recorder, http.StatusNotFound)
	case len(x.usable) == 0:
		serveStatus(recorder, http.StatusServiceUnavailable)
	default:
		p.http.ServeHTTP(recorder, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	}
}

// begin finds the backend for a request in the objects as they are now.
func (p *Proxy) begin(r *http.Request) *exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config == nil || p.config.revision != p.opts.Store.Revision() {
		p.config = readConfig(p.opts.Store)
	}
	x := &exchange{proxy: p, header: r.Header, tls: r.TLS != nil, dialect: p.nginx}
	if p.dialect == Traefik {
		x.dialect = traefik{}
	}
	x.location, x.host = p.config.find(r.Host, r.URL.Path)
	if x.location != nil {
		x.backend = x.location.backend
		x.usable = x.dialect.usable(x.backend.endpoints)
	}
	return x
}

// draw returns a random number. Each client has its own sequence, which
// depends on the seed alone: the same seed gives the same session the same
// pods, whichever session asks first.
func (x *exchange) draw() uint32 {
	p := x.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	name := client(x.header)
	sequence := p.clients[name]
	if sequence == nil {
		if len(p.clients) >= maxClients {
			clear(p.clients)
		}
		sum := fnv.New64a()
		_, _ = sum.Write([]byte(name))
		sequence = rand.New(rand.NewPCG(p.opts.Seed, sum.Sum64()))
		p.clients[name] = sequence
	}
	return sequence.Uint32()
}

// client names who asks: the part of a probe's session name that is the same
// in every run, "s01" of "5f3a90c1-s01".
func client(h http.Header) string {
	name := h.Get("X-Stickytop-Session")
	return name[strings.LastIndexByte(name, '-')+1:]
}

// turn is the round robin of one worker over one backend.
type turn struct {
	backend string
	worker  int
}

// nextInTurn is round robin; workers start at different endpoints.
func (x *exchange) nextInTurn(worker int) string {
	if len(x.usable) == 0 {
		return ""
	}
	x.proxy.mu.Lock()
	defer x.proxy.mu.Unlock()
	t := turn{x.backend.name, worker}
	n := x.proxy.turns[t]
	x.proxy.turns[t] = n + 1
	return x.usable[(n+worker)%len(x.usable)]
}

// upstream sends a request to the endpoints that the dialect picks, one after
// the other, as nginx's proxy_next_upstream "error timeout" does.
type upstream struct{ http.Transport }

var errNoUpstream = errors.New("no endpoint was picked")

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r.Context())
	body, err := again(r)
	if err != nil {
		return nil, err
	}
	err = errNoUpstream
	for range x.dialect.tries() {
		addr := x.dialect.pick(x)
		if addr == "" {
			break
		}
		x.tried = append(x.tried, addr)
		out := r.Clone(r.Context())
		out.URL.Host = addr
		out.Body = body()
		var resp *http.Response
		if resp, err = u.Transport.RoundTrip(out); err == nil {
			x.served = addr
			return resp, nil
		}
		if r.Context().Err() != nil || !isDialError(err) && !isIdempotent(r.Method) {
			break
		}
	}
	return nil, err
}

// again returns a source of r's body that can be read more than once.
func again(r *http.Request) (func() io.ReadCloser, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() io.ReadCloser { return http.NoBody }, nil
	}
	kept, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(kept) > maxBody {
		return nil, errTooLarge
	}
	return func() io.ReadCloser { return io.NopCloser(bytes.NewReader(kept)) }, nil
}

var errTooLarge = errors.New("request body over 1 MiB")

// isDialError reports whether nothing was sent, so that any method may be
// tried again.
func isDialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// isIdempotent reports what nginx tries again without "non_idempotent".
func isIdempotent(method string) bool {
	return method != http.MethodPost && method != http.MethodPatch && method != "LOCK"
}
