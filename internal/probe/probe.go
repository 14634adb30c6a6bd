// Package probe holds synthetic client sessions through an ingress and reports
// what came back: one affinity.Observed for each request.
//
// It is built to do no harm. Requests are GETs of one path, few, slow and
// identifiable (User-Agent, X-Stickytop-Session, X-Request-Id); they back off
// when anything fails, never follow a redirect, and stop with the context that
// Run was given. Every read is bounded, in bytes and in time, and text from
// outside is cleaned before it goes into an event.
//
// Each session owns one goroutine and one cookie jar, and those that hold a
// connection the goroutines that read it; Runner.Run joins all of them. The probe does not know pods: the fold matches what the answers
// say against the cluster.
package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"time"
)

// Bounds that no option changes.
const (
	MaxSessions = 500 // sessions of one Runner; a plan's rest is not opened

	maxResponseHeader = 256 << 10 // bytes of status line and headers
	maxIdentityBody   = 4 << 10   // bytes of a body that may name a pod
	maxDiscardBody    = 64 << 10  // bytes read and dropped, to end politely
	maxFields         = 64        // header fields of an Answer
	maxFieldName      = 64        // runes
	maxFieldValue     = 256       // runes
	maxCookies        = 32        // cookies of an Observed, sent and offered each
	maxAddresses      = 4         // addresses tried for one connection
	maxText           = 240       // runes of a failure or a step
)

// Defaults of Options.
const (
	DefaultInterval       = time.Second
	DefaultMaxRPS         = 50
	DefaultConnectTimeout = 5 * time.Second
	DefaultTimeout        = 10 * time.Second
)

// minInterval keeps one session from being a load generator.
const minInterval = 100 * time.Millisecond

// Options configure a Runner. The zero value is usable; each zero field stands
// for the default that its comment names.
type Options struct {
	Version string // of the program, for User-Agent; "dev"
	Run     string // name of this run, for X-Stickytop-Session, at most 32 of [0-9A-Za-z-]; 8 random hex digits

	Interval time.Duration // between the requests of one session; 1 s, at least 100 ms
	MaxRPS   float64       // requests per second of all sessions; 50

	KeepAlive      bool          // keep connections; a new one for each request
	ConnectTimeout time.Duration // TCP and TLS, each; 5 s
	Timeout        time.Duration // one whole request; 10 s

	// URL says where the ingress is: its host and port are connected to, its
	// scheme is used, and its path, when it has one, is what is asked for. The
	// host that is asked for stays the route's.
	URL string
	// Host replaces the host that is asked for (Host header, SNI, cookies) on
	// every route: HOST or HOST:PORT.
	Host string
	// Resolve overrides addresses as curl's --resolve does:
	// HOST:PORT:ADDRESS[,ADDRESS], HOST may be "*".
	Resolve []string

	CAFile   string // PEM certificates to trust, on top of the system's
	Insecure bool   // do not verify certificates

	// Proxy is as in http.Transport; nil for none, whatever the environment
	// says. Pass http.ProxyFromEnvironment to follow it. A proxy is asked for
	// the virtual host and looks that up itself.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial connects in place of a net.Dialer: a port-forward, which serves
	// routes that have no address too. It is given "tcp" and "host:port".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialFrom connects for sessions whose own address is another machine's.
	DialFrom map[netip.Addr]func(ctx context.Context, network, address string) (net.Conn, error)
	// DialName is what the screen calls Dial: "port-forward to pod x".
	DialName string

	// Header are more headers of HTTP requests and of Socket.IO's polls: those
	// that an application's client adds. From another origin a browser asks
	// leave for them first.
	Header http.Header

	// Socket says how sessions that hold a connection behave.
	Socket SocketOptions

	// KeepHeaders are response headers to keep first when an answer has more
	// than fit: those that the user configured to name the pod.
	KeepHeaders []string
}

// settings are Options, checked and completed.
type settings struct {
	Options
	base    *url.URL // of Options.URL; nil for none
	resolve []override
	tls     *tls.Config
	agent   string
}

var runName = regexp.MustCompile(`^[0-9A-Za-z-]{1,32}$`)

func (o Options) settings() (*settings, error) {
	s := &settings{Options: o}
	s.fill()
	switch {
	case s.Interval < minInterval:
		return nil, fmt.Errorf("interval %s: the shortest is %s", s.Interval, minInterval)
	case s.MaxRPS < 0:
		return nil, fmt.Errorf("max rps %g: must be above 0", s.MaxRPS)
	case s.ConnectTimeout < 0, s.Timeout < 0:
		return nil, fmt.Errorf("timeouts must be above 0")
	case !runName.MatchString(s.Run):
		return nil, fmt.Errorf("run name %q: must match %s", s.Run, runName)
	case hasSpaceOrControl(s.Version):
		return nil, fmt.Errorf("version %q: must be a word", s.Version)
	}
	if err := s.Socket.check(); err != nil {
		return nil, err
	}
	if err := checkHeader(s.Header); err != nil {
		return nil, err
	}
	if o.URL != "" {
		u, err := parseBase(o.URL)
		if err != nil {
			return nil, err
		}
		s.base = u
	}
	if o.Host != "" {
		if err := checkHost(o.Host); err != nil {
			return nil, err
		}
	}
	for _, line := range o.Resolve {
		r, err := parseOverride(line)
		if err != nil {
			return nil, err
		}
		s.resolve = append(s.resolve, r)
	}
	s.agent = "stickytop/" + s.Version + " (+synthetic session probe)"
	var err error
	s.tls, err = s.tlsConfig()
	return s, err
}

func (s *settings) fill() {
	if s.Version == "" {
		s.Version = "dev"
	}
	if s.Run == "" {
		s.Run = randomHex(4)
	}
	if s.Interval == 0 {
		s.Interval = DefaultInterval
	}
	if s.MaxRPS == 0 {
		s.MaxRPS = DefaultMaxRPS
	}
	if s.ConnectTimeout == 0 {
		s.ConnectTimeout = DefaultConnectTimeout
	}
	if s.Timeout == 0 {
		s.Timeout = DefaultTimeout
	}
}

func (s *settings) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{InsecureSkipVerify: s.Insecure}
	if s.CAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s: no PEM certificate in it", s.CAFile)
	}
	cfg.RootCAs = pool
	return cfg, nil
}

// randomHex returns n random bytes in hexadecimal. crypto/rand.Read never
// fails (Go 1.24).
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
