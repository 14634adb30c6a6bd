package probe

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Target is what a session asks for, and where it connects to ask.
type Target struct {
	// URL is what the client believes it asks: its host is the virtual host
	// (Host header, SNI, cookies), whatever address is connected to.
	URL *url.URL
	// Addrs are the addresses to connect to, "host:port", tried in order.
	Addrs []string
	// From says where Addrs are from: "the Ingress status", "--resolve".
	From string
	// Note tells of a host that is not the route's own; "" otherwise.
	Note string
	// Missing is why there is nowhere to connect to, and what to try; "" when
	// there is.
	Missing string

	// Path is the route's own, which a connection is opened on: URL may ask for
	// the readiness probe's. "/" where the route has none.
	Path string

	forwarded bool // Options.Dial connects, names and all
}

// wildcardLabel stands in for the "*" of a wildcard host: any one label is
// routed the same.
const wildcardLabel = "stickytop-probe"

// target works out how to reach r.
func (s *settings) target(r affinity.Route) Target {
	if r.Kind == affinity.RouteURL || r.Kind == affinity.RouteService {
		return s.urlTarget(r)
	}
	scheme, path := "http", r.ProbePath
	if r.TLS {
		scheme = "https"
	}
	if path == "" {
		path = "/"
	}
	named := r.ProbeWhy == "--path"
	if s.base != nil {
		scheme = s.base.Scheme
		if s.base.Path != "" && s.base.Path != "/" && !named {
			path, named = s.base.RequestURI(), true
		}
	}
	t := Target{URL: withPath(scheme, path), Path: cmp.Or(r.Path, "/")}
	if named {
		t.Path = path
	}
	t.URL.Host, t.Note = s.host(r)
	t.Addrs, t.From = s.addresses(r, t.URL)
	if t.URL.Host == "" {
		t.URL.Host = "localhost"
		if len(t.Addrs) > 0 {
			t.URL.Host = hostOnly(t.Addrs[0])
		}
		t.Note = "the route takes any host; asked for " + t.URL.Host
	}
	t.settle(s)
	if len(t.Addrs) == 0 {
		named := cleanHost(t.URL.Hostname())
		if r.Host == "" && s.Host == "" {
			named = "*"
		}
		why := ""
		if r.AddressHint != "" {
			why = ", and " + affinity.Clean(r.AddressHint, maxText)
		}
		t.Missing = "no address for " + cleanHost(t.URL.Host) + ": the " + strings.ToLower(cmp.Or(r.Kind, "route")) +
			" has none in its status" + why + "; try --via-controller, --url http://ADDRESS or --resolve " + named + ":" + portOf(t.URL) + ":ADDRESS"
	}
	return t
}

// urlTarget is target for a route that is a URL: its host is looked up in DNS
// unless an option says otherwise.
func (s *settings) urlTarget(r affinity.Route) Target {
	u, err := parseBase(r.URL)
	if err != nil {
		return Target{URL: withPath("http", "/"), Missing: affinity.Clean(err.Error(), maxText)}
	}
	t := Target{URL: u, From: "the URL", Path: cmp.Or(u.RequestURI(), "/")}
	if r.ProbePath != "" {
		t.URL = withPath(u.Scheme, r.ProbePath)
		t.URL.Host, t.Path = u.Host, r.ProbePath
	}
	t.Addrs = []string{net.JoinHostPort(u.Hostname(), portOf(u))}
	if found := lookup(s.resolve, portOf(u), u.Hostname()); found != nil {
		t.Addrs, t.From = found, "--resolve"
	}
	if s.Host != "" && !strings.EqualFold(s.Host, t.URL.Host) {
		t.Note = "asked for host " + s.Host + " (--host)"
		t.URL.Host = s.Host
	}
	t.URL.Fragment = ""
	t.settle(s)
	return t
}

// settle bounds the addresses and finds out whether there is a way at all.
func (t *Target) settle(s *settings) {
	if len(t.Addrs) > maxAddresses {
		t.Addrs = t.Addrs[:maxAddresses]
	}
	if s.Dial != nil {
		t.From, t.forwarded = cmp.Or(s.DialName, "a forwarded connection"), true
		if len(t.Addrs) == 0 {
			t.Addrs = []string{t.authority()}
		}
	}
	if err := checkHost(t.URL.Host); err != nil {
		t.Missing = affinity.Clean("cannot ask for "+err.Error(), maxText)
	}
}

// host returns the virtual host to ask r for, "" when r takes any and none was
// given.
func (s *settings) host(r affinity.Route) (host, note string) {
	rest, wild := strings.CutPrefix(r.Host, "*.")
	switch {
	case s.Host != "":
		if !strings.EqualFold(s.Host, r.Host) {
			note = "asked for host " + s.Host + " (--host); the route says " + affinity.Clean(cmp.Or(r.Host, "any"), 80)
		}
		return s.Host, note
	case wild:
		host = wildcardLabel + "." + rest
		return host, "the route says *." + affinity.Clean(rest, 80) + "; asked for host " + affinity.Clean(host, 80) + " (--host names another)"
	}
	return r.Host, ""
}

// addresses returns where u is served: what the user said, else what the
// object's status says. The virtual host is not looked up in DNS: where that
// leads need not be this cluster.
func (s *settings) addresses(r affinity.Route, u *url.URL) (addrs []string, from string) {
	if s.base != nil {
		return s.baseAddresses()
	}
	if found := lookup(s.resolve, portOf(u), u.Hostname(), r.Host); found != nil {
		return found, "--resolve"
	}
	for _, a := range r.Addresses {
		if a != "" && !hasSpaceOrControl(a) && len(addrs) < maxAddresses {
			addrs = append(addrs, net.JoinHostPort(strings.Trim(a, "[]"), portOf(u)))
		}
	}
	if r.AddressFrom != "" {
		return addrs, affinity.Clean(r.AddressFrom, maxText)
	}
	return addrs, "the status of " + strings.ToLower(cmp.Or(r.Kind, "route")) + "/" + affinity.Clean(r.Name, 80)
}

func (s *settings) baseAddresses() (addrs []string, from string) {
	if found := lookup(s.resolve, portOf(s.base), s.base.Hostname()); found != nil {
		return found, "--resolve"
	}
	return []string{net.JoinHostPort(s.base.Hostname(), portOf(s.base))}, "--url"
}

// authority is the address that net/http asks to dial for t.URL.
func (t Target) authority() string {
	return net.JoinHostPort(t.URL.Hostname(), portOf(t.URL))
}

// looksUp reports whether the first address is a name.
func (t Target) looksUp() bool {
	if len(t.Addrs) == 0 {
		return false
	}
	_, err := netip.ParseAddrPort(t.Addrs[0])
	return err != nil
}

// equal reports whether a session that asks t need not change to ask o.
func (t Target) equal(o Target) bool {
	return t.URL != nil && o.URL != nil && *t.URL == *o.URL && slices.Equal(t.Addrs, o.Addrs) && t.Missing == o.Missing
}

// withPath returns a URL without a host whose request line carries path, query
// and all. A path that is not one (a regular expression) is escaped.
func withPath(scheme, path string) *url.URL {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Host != "" {
		u = &url.URL{Path: path}
	}
	u.Scheme = scheme
	return u
}

// hostOnly drops the port of "host:port", keeping an IPv6 address bracketed.
func hostOnly(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func cleanHost(h string) string { return affinity.Clean(h, 80) }
