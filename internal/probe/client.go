package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe/cookie"
)

// Client is what of a session outlives its connections: who it says it is, and
// its cookies. Transports send with Header and hand answers to Receive.
type Client struct {
	spec affinity.SessionSpec
	set  *settings
	jar  jar
	emit func(affinity.Event) // nil where nobody shares the jar

	allow func(context.Context) error // waits until one more request may be sent; nil for at once

	seeing atomic.Pointer[sighting] // of the request under way, or the last
}

// look begins a sighting of a request, which may be asked what it waits for.
func (c *Client) look(t Target, insecure bool) *sighting {
	s := newSighting(t, insecure)
	c.seeing.Store(s)
	return s
}

// allowed waits until one more request may be sent.
func (c *Client) allowed(ctx context.Context) error {
	if c.allow == nil {
		return ctx.Err()
	}
	return c.allow(ctx)
}

// Header returns the header of a new request to u, the X-Request-Id in it and
// the cookies in it. The ID is 128 random bits in the form ingress-nginx makes
// itself, so that a line of its log can only be this request's.
func (c *Client) Header(u *url.URL, now time.Time) (h http.Header, requestID string, sent []affinity.Sent) {
	requestID = randomHex(16)
	h = http.Header{
		"User-Agent":          {c.set.agent},
		"Accept":              {"*/*"},
		"X-Stickytop-Session": {c.set.Run + "-" + string(c.spec.ID)},
		"X-Request-Id":        {requestID},
	}
	pairs := c.jar.Cookies(u, now)
	if len(pairs) > 0 {
		h["Cookie"] = []string{cookie.Header(pairs)}
	}
	for _, p := range pairs[:min(len(pairs), maxCookies)] {
		sent = append(sent, affinity.Sent{Name: cleanName(p.Name), Value: affinity.Secret(p.Value)})
	}
	return h, requestID, sent
}

// Receive takes the Set-Cookie lines of an answer from u into the jar and
// reports what became of each. Lines beyond the limit reach the jar all the
// same, as they would a browser's.
func (c *Client) Receive(u *url.URL, lines []string, now time.Time) []affinity.Offer {
	var offers []affinity.Offer
	for _, line := range lines {
		parsed, err := cookie.Parse(line)
		why := ""
		switch {
		case err != nil:
			why = err.Error()
		case c.spec.Client == affinity.ClientNoJar:
			why = "this client keeps no cookies"
		case c.crossSite(u, parsed) != "":
			why = c.crossSite(u, parsed)
		default:
			why = c.jar.Set(u, parsed, now)
		}
		if len(offers) < maxCookies {
			offers = append(offers, offer(parsed, why, now))
			c.share(offers[len(offers)-1])
		}
	}
	c.jar.tabs.begin()
	return offers
}

// share tells the other tabs of a cookie.
func (c *Client) share(o affinity.Offer) {
	if c.jar.tabs == nil || o.NotReturned != "" && !o.Deletes {
		return
	}
	for _, tab := range c.jar.tabs.offered(c.spec.ID, o) {
		c.emit(affinity.CookieShared{Session: tab, From: c.spec.ID, Offer: o})
	}
}

// offer turns a parsed line into what may be shown of it.
func offer(c cookie.Cookie, why string, now time.Time) affinity.Offer {
	o := affinity.Offer{
		Name:        cleanName(c.Name),
		Value:       affinity.Secret(bound(c.Value, cookie.MaxPair)),
		Path:        affinity.Clean(c.Path, maxFieldValue),
		Domain:      affinity.Clean(c.Domain, maxFieldValue),
		SameSite:    affinity.Clean(c.SameSite, 16),
		Secure:      c.Secure,
		HTTPOnly:    c.HTTPOnly,
		NotReturned: affinity.Clean(why, maxText),
	}
	if end, ok := c.End(now); ok {
		o.Expires, o.Deletes = end, !end.After(now)
	}
	return o
}

// Dial connects to the first address of t that answers. The hooks of an
// httptrace.ClientTrace in ctx are called, whatever does the dialling.
func (c *Client) Dial(ctx context.Context, t Target) (net.Conn, error) {
	var first error
	timeout := max(c.set.ConnectTimeout/time.Duration(max(1, len(t.Addrs))), time.Second)
	for _, addr := range t.Addrs {
		conn, err := c.dialOne(ctx, addr, min(timeout, c.set.ConnectTimeout))
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

func (c *Client) dialOne(ctx context.Context, addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := c.set.Dial
	if by := c.set.DialFrom[c.spec.From]; by != nil {
		dial = by
	}
	if dial == nil {
		return c.dialFrom(ctx, addr)
	}
	hooks := httptrace.ContextClientTrace(ctx)
	if hooks != nil && hooks.ConnectStart != nil {
		hooks.ConnectStart("tcp", addr)
	}
	conn, err := dial(ctx, "tcp", addr)
	if hooks != nil && hooks.ConnectDone != nil {
		hooks.ConnectDone("tcp", addr, err)
	}
	return conn, err
}

// dialFrom connects from the session's own address, if it has one.
func (c *Client) dialFrom(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	if ip := c.spec.From; ip.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil && c.spec.From.IsLoopback() && errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("from %s: %w (net.ipv4.conf.all.route_localnet is 0; kube-proxy sets it in iptables mode alone)", c.spec.From, syscall.EINVAL)
	}
	return conn, err
}

// cleanName is how a cookie's name appears in every event, so that names of
// offers, of sent cookies and of dropped ones compare equal.
func cleanName(name string) string { return affinity.Clean(name, maxFieldValue) }

// bound cuts s, and does not keep what was cut off alive.
func bound(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return string([]byte(s[:n]))
}
