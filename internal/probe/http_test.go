package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// certified makes a self-signed certificate.
func certified(t *testing.T, names []string, from, until time.Time) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: "test"}
	if len(names) == 0 {
		subject.CommonName = "Kubernetes Ingress Controller Fake Certificate"
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject,
		DNSNames: names, NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// tlsServer serves cert, for clients that ask for sni only, and returns its
// port and a file to trust it by.
func tlsServer(t *testing.T, sni string, names []string, from, until time.Time) (port, caFile string) {
	t.Helper()
	cert, ca := certified(t, names, from, until)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "route", Value: "x", Secure: true})
		fmt.Fprintf(w, "host %s sni %s proto %s", q.Host, q.TLS.ServerName, q.Proto)
	}))
	srv.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if sni != "" && h.ServerName != sni {
			return nil, fmt.Errorf("no certificate for %q", h.ServerName)
		}
		return &cert, nil
	}}
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are the point
	srv.StartTLS()
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(srv.Listener.Addr().String())
	return port, file
}

func TestTLS(t *testing.T) {
	leakCheck(t)
	now := time.Now()
	names := []string{"chat.test", "*.apps.test"}
	good, goodCA := tlsServer(t, "", names, now.Add(-time.Hour), now.Add(time.Hour))
	picky, pickyCA := tlsServer(t, "chat.test", names, now.Add(-time.Hour), now.Add(time.Hour))
	old, oldCA := tlsServer(t, "", names, now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	young, youngCA := tlsServer(t, "", names, now.Add(24*time.Hour), now.Add(48*time.Hour))
	nameless, namelessCA := tlsServer(t, "", nil, now.Add(-time.Hour), now.Add(time.Hour))
	plain, _ := rawServer(t, say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	rude, _ := rawServer(t, func(net.Conn, string) {})
	mute, _ := rawServer(t, sayAndHold(""))
	portOfURL := func(raw string) string { u, _ := url.Parse(raw); return u.Port() }

	tests := []struct {
		name, host, port, ca string
		insecure             bool
		kind                 affinity.FailureKind
		text                 string // part of the failure; "" for an answer
	}{
		{"trusted", "chat.test", good, goodCA, false, 0, ""},
		{"trusted wildcard", "a.apps.test", good, goodCA, false, 0, ""},
		{"name indication", "chat.test", picky, pickyCA, false, 0, ""},
		{"refused by name", "other.test", picky, pickyCA, false, affinity.FailureTLS, "the server refused the handshake for other.test: "},
		{"unknown authority", "chat.test", good, "", false, affinity.FailureTLS, "certificate of chat.test, *.apps.test is signed by an unknown authority; give its CA with --probe-ca FILE, or --probe-insecure"},
		{"insecure", "chat.test", good, "", true, 0, ""},
		{"another name", "other.test", good, goodCA, false, affinity.FailureTLS, "certificate is for chat.test, *.apps.test, not for other.test; --host chat.test asks for that name, --probe-insecure takes it as it is"},
		{"no names", "chat.test", nameless, namelessCA, false, affinity.FailureTLS, `certificate is for "Kubernetes Ingress Controller Fake Certificate", not for chat.test; the controller made it itself, it has none for this host: --probe-insecure takes it as it is`},
		{"expired", "chat.test", old, oldCA, false, affinity.FailureTLS, "certificate expired on " + now.Add(-24*time.Hour).UTC().Format(time.DateOnly)},
		{"not yet valid", "chat.test", young, youngCA, false, affinity.FailureTLS, "certificate is not valid before " + now.Add(24*time.Hour).UTC().Format(time.DateOnly)},
		{"plain http", "chat.test", portOfURL(plain), "", false, affinity.FailureTLS, "the server does not speak TLS on this port"},
		{"hangs up", "chat.test", portOfURL(rude), "", false, affinity.FailureTLS, "closed the connection during the TLS handshake"},
		{"says nothing", "chat.test", portOfURL(mute), "", false, affinity.FailureTimeout, "the TLS handshake did not end within 1s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{CAFile: tt.ca, Insecure: tt.insecure, ConnectTimeout: time.Second, Resolve: []string{"*:" + tt.port + ":127.0.0.1"}}
			trip := onceURL(t, o, "https://"+tt.host+":"+tt.port+"/")
			if tt.text != "" {
				checkFailure(t, trip.Observed.Failure, "tls", tt.kind, tt.text)
				if trip.Steps[1].Status != affinity.StepOK || trip.Steps[2].Status != affinity.StepFailed || trip.Steps[3].Status != affinity.StepNotTried {
					t.Errorf("steps %+v", trip.Steps)
				}
				return
			}
			if trip.Observed.Failure != nil {
				t.Fatal(trip.Observed.Failure.Text)
			}
			want := fmt.Sprintf("host %s:%s sni %s proto HTTP/1.1", tt.host, tt.port, tt.host)
			if got := string(trip.Observed.Answer.Body); got != want {
				t.Errorf("the server saw %q, want %q", got, want)
			}
			if got := trip.Steps[2].Detail; !strings.HasPrefix(got, "TLS 1.3, certificate for chat.test, *.apps.test until ") || strings.HasSuffix(got, ", not verified") != tt.insecure {
				t.Errorf("TLS step %q", got)
			}
			if offers := trip.Observed.Offers; len(offers) != 1 || offers[0].NotReturned != "" {
				t.Errorf("the Secure cookie: %+v", offers)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	tests := []struct {
		name, location string
		status         int
		redirect       string
		failure        string // part; "" for an answer
	}{
		{"on the host", "/login?next=%2F&state=secret", 302, "http://chat.test/login?…", ""},
		{"relative", "login", 303, "http://chat.test/app/login", ""},
		{"same host in full", "http://CHAT.test:80/x", 301, "http://CHAT.test:80/x", ""},
		{"to https", "https://chat.test/app/", 308, "https://chat.test/app/", "308 leads to https://chat.test/app/, not followed: the host is served over https"},
		{"to another host", "http://sso.test/auth?state=secret#x", 302, "http://sso.test/auth?…", "302 leads to http://sso.test/auth?…, not followed: it leaves http://chat.test"},
		{"to another port", "http://chat.test:8080/", 307, "http://chat.test:8080/", "it leaves http://chat.test"},
		{"with a password", "http://user:secret@sso.test/", 302, "http://sso.test/", "302 leads to http://sso.test/, not followed"},
		{"to another protocol", "javascript:alert(1)", 302, "javascript:", "not followed"},
		{"not a URL", "http://[::bad", 302, "http://[::bad", ""},
		{"nowhere", "", 302, "", ""},
		{"not modified", "/x", 304, "", ""},
		{"created", "/x", 201, "", ""},
		{"bidi", "/\u202egnp.exe", 302, "http://chat.test/%E2%80%AEgnp.exe", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, _ := rawServer(t, say(fmt.Sprintf("HTTP/1.1 %d x\r\nLocation: %s\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n", tt.status, tt.location)))
			trip := onceURL(t, Options{Host: "chat.test"}, raw+"app/")
			o := trip.Observed
			checkBounds(t, o)
			if o.Redirect != tt.redirect || o.Status != tt.status || len(o.Offers) != 1 {
				t.Errorf("redirect %q, status %d, want %q, %d", o.Redirect, o.Status, tt.redirect, tt.status)
			}
			if tt.failure == "" {
				checkFailure(t, o.Failure, "", 0, "")
			} else {
				checkFailure(t, o.Failure, "status", affinity.FailureRedirect, tt.failure)
			}
			if all := fmt.Sprintf("%+v %+v %+v", o.Failure, o.Redirect, trip.Steps); strings.Contains(all, "secret") {
				t.Errorf("a secret of the Location is shown: %s", all)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
	}{
		{"", 0}, {"0", 0}, {"7", 7 * time.Second}, {"86400", maxRetryAfter}, {strings.Repeat("9", 40), maxRetryAfter},
		{"-1", 0}, {"1.5", 0}, {"soon", 0},
		{"Mon, 23 Nov 2026 08:30:20 GMT", 20 * time.Second},
		{"Mon, 23 Nov 2026 08:29:00 GMT", 0},
		{"Tue, 24 Nov 2026 08:29:00 GMT", maxRetryAfter},
	}
	for _, tt := range tests {
		if got := retryAfter(tt.value, now); got != tt.want {
			t.Errorf("retryAfter(%.40q) = %s, want %s", tt.value, got, tt.want)
		}
	}
	for status, want := range map[int]time.Duration{429: 9 * time.Second, 503: 9 * time.Second, 502: 0, 200: 0} {
		raw, _ := rawServer(t, say(fmt.Sprintf("HTTP/1.1 %d x\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n", status)))
		if got := onceURL(t, Options{}, raw).RetryAfter; got != want {
			t.Errorf("%d with Retry-After: 9 waits %s, want %s", status, got, want)
		}
	}
}

func TestNoJar(t *testing.T) {
	raw, _ := rawServer(t, say("HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Max-Age=60\r\nContent-Length: 0\r\n\r\n"))
	c := newTestClient(t, Options{}, affinity.ClientNoJar)
	s := httpTransport{}.Open(c)
	defer s.Close()
	for range 2 {
		o := s.Observe(t.Context(), c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: raw})).Observed
		if len(o.Sent) != 0 || len(o.Offers) != 1 || o.Offers[0].NotReturned != "this client keeps no cookies" || o.Offers[0].Expires.IsZero() {
			t.Errorf("sent %v, offers %+v", o.Sent, o.Offers)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	for _, keep := range []bool{false, true} {
		leakCheck(t)
		peers := map[string]bool{}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			fmt.Fprint(w, q.RemoteAddr)
		}))
		c := newTestClient(t, Options{KeepAlive: keep}, affinity.ClientBrowser)
		s := httpTransport{}.Open(c)
		var last Trip
		for range 3 {
			last = s.Observe(t.Context(), c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: srv.URL}))
			peers[string(last.Observed.Answer.Body)] = true
		}
		if want := map[bool]int{false: 3, true: 1}[keep]; len(peers) != want {
			t.Errorf("keep-alive %v: %d connections for 3 requests, want %d", keep, len(peers), want)
		}
		if last.Steps[1].Status != affinity.StepOK || last.Observed.Remote != srv.Listener.Addr().String() {
			t.Errorf("keep-alive %v: %+v by way of %q", keep, last.Steps[1], last.Observed.Remote)
		}
		s.Close()
		srv.Close()
	}
}

// TestEnvironmentProxyIsIgnored needs a host that is not loopback: net/http
// never proxies those.
func TestEnvironmentProxyIsIgnored(t *testing.T) {
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { asked <- q.URL.String() }))
	defer proxy.Close()
	direct, _ := rawServer(t, say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ndirect"))
	u, _ := url.Parse(direct)
	o := Options{Resolve: []string{"*:" + u.Port() + ":127.0.0.1"}}
	through, _ := url.Parse(proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	if got := string(onceURL(t, o, "http://chat.test:"+u.Port()+"/").Observed.Answer.Body); got != "direct" {
		t.Errorf("body %q, want the direct answer", got)
	}
	o.Proxy = http.ProxyURL(through)
	if o := onceURL(t, o, "http://chat.test/x").Observed; o.Status != 200 {
		t.Errorf("%+v", o)
	}
	if got := <-asked; got != "http://chat.test/x" {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// What is offered in place of a name that a certificate does not have is typed
// into a shell: it is a host's name, or a place for one.
func TestInstead(t *testing.T) {
	const anyway = "--probe-insecure takes it as it is"
	for _, tt := range []struct {
		names []string
		cn    string
		want  string
	}{
		{[]string{"*.apps.test", "chat.test"}, "", "--host chat.test asks for that name, " + anyway},
		{[]string{"*.apps.test", "*.other.test"}, "", "--host NAME.apps.test asks for such a name, " + anyway},
		{[]string{"$(reboot)", "a b", "\x1b[2J.test", "-x.test", "*", "*.*.test", "x;y", strings.Repeat("a", 101)}, "", anyway},
		{[]string{"$(reboot)", "xn--bcher-kva.test"}, "", "--host xn--bcher-kva.test asks for that name, " + anyway},
		{nil, "old.test", anyway},
		{[]string{"ingress.local"}, "Kubernetes Ingress Controller Fake Certificate", "the controller made it itself, it has none for this host: " + anyway},
		{[]string{"0123abcd.traefik.default"}, "TRAEFIK DEFAULT CERT", "the controller made it itself, it has none for this host: " + anyway},
	} {
		if got := instead(&x509.Certificate{DNSNames: tt.names, Subject: pkix.Name{CommonName: tt.cn}}); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.names, got, tt.want)
		}
	}
	if got := certNames(&x509.Certificate{DNSNames: []string{"a\x1b[2J", strings.Repeat("a", 300)}}); strings.Contains(got, "\x1b") || len(got) > 140 {
		t.Errorf("%q", got)
	}
}
