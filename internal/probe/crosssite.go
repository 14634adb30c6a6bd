package probe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe/cookie"
)

// What decides for a page of another origin, in browsers: the Fetch standard
// (https://fetch.spec.whatwg.org/, CORS protocol, CORS-preflight fetch) for
// requests by XMLHttpRequest and fetch with credentials, and RFC 6265bis §5.2
// and §5.7 for cookies. A WebSocket is not subject to CORS; its cookies are.

// sameSite reports whether two URLs are of one site: same scheme, ws like
// http, and same registrable domain ("schemeful same-site", RFC 6265bis §5.2).
func sameSite(a, b *url.URL) bool {
	return siteScheme(a) == siteScheme(b) && site(cookie.Host(a)) == site(cookie.Host(b))
}

func siteScheme(u *url.URL) string {
	if u.Scheme == "wss" || u.Scheme == "https" {
		return "https"
	}
	return "http"
}

func site(host string) string {
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host // an address, or a name of one label
}

// page is the origin of a client that acts for a page of another one; nil when
// u is of the page's own origin, or the client is no such page.
func (c *Client) page(u *url.URL) *url.URL {
	if c.spec.Client != affinity.ClientCrossSite {
		return nil
	}
	from, err := url.Parse(c.set.Socket.Origin)
	if err != nil || from.Host == "" || siteScheme(from) == siteScheme(u) && cookie.Host(from) == cookie.Host(u) && portOf(from) == portOf(u) {
		return nil
	}
	return from
}

// crossSite says why a browser does not take c, offered by u to the page; ""
// when it does.
func (c *Client) crossSite(u *url.URL, offered cookie.Cookie) string {
	from := c.page(u)
	if from == nil || sameSite(from, u) || offered.SameSite == "None" {
		return ""
	}
	word := "SameSite=" + offered.SameSite
	switch offered.SameSite {
	case "Lax", "Strict":
	default:
		word = "SameSite is not set, which Chrome takes for Lax"
	}
	return fmt.Sprintf("%s: not kept for a page of another site (%s); that takes SameSite=None; Secure", word, cleanHost(from.Host))
}

// unreadable says why a browser keeps an answer from the page; "" when the
// page gets it.
func (c *Client) unreadable(u *url.URL, h http.Header) string {
	from := c.page(u)
	if from == nil {
		return ""
	}
	origin := originOf(from)
	switch allowed := h.Values("Access-Control-Allow-Origin"); {
	case len(allowed) == 0:
		return "no Access-Control-Allow-Origin in the answer"
	case len(allowed) > 1:
		return "two Access-Control-Allow-Origin headers in the answer"
	case allowed[0] == "*":
		return "Access-Control-Allow-Origin is *, which does not count for requests with cookies: it must be " + origin
	case allowed[0] != origin:
		return fmt.Sprintf("Access-Control-Allow-Origin is %s, the page is %s", affinity.Clean(allowed[0], 80), origin)
	}
	if h.Get("Access-Control-Allow-Credentials") != "true" {
		return "no Access-Control-Allow-Credentials: true in the answer"
	}
	return ""
}

func originOf(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

// corsFailure is the failure of an answer that the page does not get.
func (c *Client) corsFailure(u *url.URL, h http.Header) *affinity.Failure {
	why := c.unreadable(u, h)
	if why == "" {
		return nil
	}
	return &affinity.Failure{Op: "read", Kind: affinity.FailureDenied, Text: affinity.Clean("CORS: the browser keeps the answer from the page: "+why, maxText)}
}

// asksLeave names the headers that a request carries and that a browser asks
// leave for first, with an OPTIONS request; none when it does not ask. Our own
// X-Request-Id and X-Stickytop-Session stand for no header of the page's.
func (c *Client) asksLeave(u *url.URL) []string {
	if c.page(u) == nil {
		return nil
	}
	var names []string
	for name := range c.set.Header {
		switch name { // CORS-safelisted; a safelisted value is assumed
		case "Accept", "Accept-Language", "Content-Language":
		default:
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return names
}

// preflight makes the OPTIONS request ready that asks leave for a request to
// u. It never carries cookies, so any pod may get it.
func (c *Client) preflight(method string, u *url.URL, names []string) asking {
	a := asking{leg: affinity.LegPreflight, method: http.MethodOptions, url: u, began: time.Now(), id: randomHex(16)}
	a.header = http.Header{
		"User-Agent": {c.set.agent}, "Accept": {"*/*"}, "X-Stickytop-Session": {c.set.Run + "-" + string(c.spec.ID)}, "X-Request-Id": {a.id},
		"Origin": {originOf(c.page(u))}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {strings.Join(names, ",")},
	}
	return a
}

// askLeave makes the preflight of a request to u.
func (c *Client) askLeave(ctx context.Context, rt http.RoundTripper, t Target, method string, u *url.URL, names []string) (r reply, age time.Duration) {
	a := c.preflight(method, u, names)
	if c.allowed(ctx) != nil {
		return aborted(a, t), 0
	}
	a.began = time.Now()
	r = a.send(ctx, c, rt, t, c.set.Timeout)
	age, r.failure = c.leave(r, names)
	return r, age
}

// leave reads the answer to a preflight: for how long it holds, or why the
// request is not made.
func (c *Client) leave(r reply, names []string) (time.Duration, *affinity.Failure) {
	denied := func(why string) *affinity.Failure {
		return &affinity.Failure{Op: "read", Kind: affinity.FailureDenied, Text: affinity.Clean("CORS preflight: "+why, maxText)}
	}
	if r.failure != nil {
		return 0, r.failure
	}
	h := r.resp.Header
	if r.resp.StatusCode < 200 || r.resp.StatusCode > 299 {
		return 0, denied(fmt.Sprintf("%d %s, which is not an ok status", r.resp.StatusCode, http.StatusText(r.resp.StatusCode)))
	}
	if why := c.unreadable(r.url, h); why != "" {
		return 0, denied(why)
	}
	allowed := map[string]bool{}
	for _, line := range h.Values("Access-Control-Allow-Headers") {
		for name := range strings.SplitSeq(line, ",") {
			allowed[strings.ToLower(strings.TrimSpace(name))] = true
		}
	}
	for _, name := range names {
		if !allowed[name] { // "*" is a name like any other where cookies go along
			return 0, denied("Access-Control-Allow-Headers does not name " + name)
		}
	}
	age := 5 * time.Second // the standard's default
	if seconds, err := strconv.Atoi(h.Get("Access-Control-Max-Age")); err == nil {
		age = min(max(0, time.Duration(seconds)*time.Second), 2*time.Hour) // Chrome's most
	}
	return age, nil
}
