package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// httpTransport asks with one GET for each round trip, HTTP/1.1, on a
// connection of its own unless connections are kept.
type httpTransport struct{}

func (httpTransport) Name() string { return "http" }

func (httpTransport) Open(c *Client) Session { return &httpSession{client: c} }

type httpSession struct {
	client *Client
	target Target
	rt     *http.Transport // of target; nil before the first request
	leave  time.Time       // until when a preflight's answer holds
}

func (s *httpSession) Close() {
	if s.rt != nil {
		s.rt.CloseIdleConnections()
	}
}

// Observe sends one request. With kept connections net/http repeats a request
// that met a connection which the server was just closing, under the same
// X-Request-Id.
func (s *httpSession) Observe(ctx context.Context, t Target) Trip {
	s.retarget(t)
	ctx, cancel := context.WithTimeout(ctx, s.client.set.Timeout)
	defer cancel()
	began := time.Now()
	var before []affinity.Observed
	if names := s.client.asksLeave(t.URL); len(names) > 0 && !began.Before(s.leave) {
		r, age := s.client.askLeave(ctx, s.rt, t, http.MethodGet, t.URL, names)
		trip := s.client.take(r, t)
		if trip.Observed.Failure != nil {
			return trip
		}
		before, s.leave, began = append(before, trip.Observed), time.Now().Add(age), time.Now()
	}
	header, id, sent := s.client.Header(t.URL, began)
	s.client.addHeader(header)
	if page := s.client.page(t.URL); page != nil {
		header["Origin"] = []string{originOf(page)}
	}
	trip := Trip{Before: before, Observed: affinity.Observed{Session: s.client.spec.ID, RequestID: id, Sent: sent}}
	seen := s.client.look(t, s.client.set.Insecure)
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, seen.hooks()), http.MethodGet, t.URL.String(), nil)
	if err != nil {
		trip.Observed.Failure = &affinity.Failure{Op: "write", Kind: affinity.FailureOther, Text: affinity.Clean(err.Error(), maxText)}
		return trip
	}
	req.Header = header
	resp, err := s.rt.RoundTrip(req) //nolint:bodyclose // answer reads and closes it, within bounds
	trip.Observed.Took = time.Since(began)
	if err != nil {
		// A dial goes on behind a cancelled request until this.
		s.rt.CloseIdleConnections()
		trip.Observed.Failure = s.client.set.failure(err, seen.phase(), t)
	} else {
		s.answer(&trip, t, resp, cancel)
	}
	trip.Observed.Remote = seen.remoteAddr()
	trip.Steps = seen.steps(trip.Observed)
	return trip
}

// answer reads resp into trip.
func (s *httpSession) answer(trip *Trip, t Target, resp *http.Response, cancel context.CancelFunc) {
	now := time.Now()
	o := &trip.Observed
	o.Status = resp.StatusCode
	o.Offers = s.client.Receive(t.URL, resp.Header["Set-Cookie"], now)
	blameClock(o.Offers, resp.Header.Get("Date"), now)
	body, broken := readBody(resp, cancel)
	o.Answer = affinity.Answer{Header: fields(resp.Header, s.client.set.KeepHeaders), Body: body}
	o.Failure = statusFailure(resp.StatusCode)
	if o.Failure == nil {
		o.Failure = broken
	}
	if o.Failure == nil {
		o.Failure = s.client.corsFailure(t.URL, resp.Header)
	}
	if leaves := redirect(o, t.URL, resp); leaves != nil {
		o.Failure = leaves
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		trip.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	}
}

// retarget drops the connections to a former target.
func (s *httpSession) retarget(t Target) {
	if s.rt != nil && s.target.equal(t) {
		return
	}
	s.Close()
	s.target, s.leave = t, time.Time{}
	set := s.client.set
	proto := new(http.Protocols)
	proto.SetHTTP1(true)
	s.rt = &http.Transport{
		Proxy:                  set.Proxy,
		DialContext:            s.dial,
		TLSClientConfig:        set.tls.Clone(),
		TLSHandshakeTimeout:    set.ConnectTimeout,
		DisableKeepAlives:      !set.KeepAlive,
		DisableCompression:     true,
		MaxIdleConns:           1,
		MaxResponseHeaderBytes: maxResponseHeader,
		IdleConnTimeout:        90 * time.Second,
		Protocols:              proto,
	}
}

// dial connects where the target says; what net/http asks for otherwise is a
// proxy.
func (s *httpSession) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == s.target.authority() {
		return s.client.Dial(ctx, s.target)
	}
	d := net.Dialer{Timeout: s.client.set.ConnectTimeout}
	return d.DialContext(ctx, network, addr)
}

// redirect notes where an answer points, and returns a failure when that is
// another host or scheme. The query is left out: it carries tokens.
func redirect(o *affinity.Observed, from *url.URL, resp *http.Response) *affinity.Failure {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	location := bound(resp.Header.Get("Location"), 2048)
	if location == "" {
		return nil
	}
	to, err := from.Parse(location)
	if err != nil {
		o.Redirect = affinity.Clean(location, maxFieldValue)
		return nil
	}
	shown := url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path, RawPath: to.RawPath}
	o.Redirect = affinity.Clean(shown.String(), maxFieldValue)
	if to.RawQuery != "" {
		o.Redirect += "?…"
	}
	if to.Scheme == from.Scheme && strings.EqualFold(to.Hostname(), from.Hostname()) && portOf(to) == portOf(from) {
		return nil
	}
	return &affinity.Failure{Op: "status", Kind: affinity.FailureRedirect, Text: redirectText(resp.StatusCode, from, to, o.Redirect)}
}

func redirectText(status int, from, to *url.URL, shown string) string {
	text := strconv.Itoa(status) + " leads to " + shown + ", not followed"
	if strings.EqualFold(to.Hostname(), from.Hostname()) && from.Scheme == "http" && to.Scheme == "https" {
		text += ": the host is served over https; ask for it with --url https://…, or give the Ingress a tls section"
	} else {
		text += ": it leaves " + from.Scheme + "://" + cleanHost(from.Host)
	}
	return affinity.Clean("the probe ended: "+text, maxText)
}

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = 2 * time.Minute

// retryAfter reads a Retry-After header, in seconds or as a date
// (RFC 9110 §10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if isDigits(value) {
		n, err := strconv.Atoi(value)
		if err != nil || n > int(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}
