package probe

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// override is one entry of Options.Resolve.
type override struct {
	host  string // in lower case; "*" for any
	port  string
	addrs []string // "ip:port"
}

// parseOverride reads HOST:PORT:ADDRESS[,ADDRESS]. IPv6 goes in brackets.
func parseOverride(line string) (override, error) {
	bad := func(why string) (override, error) {
		return override{}, fmt.Errorf("resolve %q: %s; write HOST:PORT:ADDRESS", line, why)
	}
	host, rest, ok := cutHost(line)
	if !ok || host == "" {
		return bad("no port")
	}
	port, list, ok := strings.Cut(rest, ":")
	if !ok {
		return bad("no address")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || !isDigits(port) {
		return bad("port must be a number from 0 to 65535")
	}
	o := override{host: strings.ToLower(host), port: port}
	for addr := range strings.SplitSeq(list, ",") {
		ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
		if err != nil {
			return bad("the address must be an IP")
		}
		o.addrs = append(o.addrs, net.JoinHostPort(ip.String(), port))
	}
	return o, nil
}

// cutHost cuts "host:rest", where host may be an IPv6 address in brackets.
func cutHost(s string) (host, rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return strings.Cut(s, ":")
	}
	host, rest, ok = strings.Cut(s[1:], "]:")
	return host, rest, ok
}

// lookup returns the addresses that are configured for any of hosts at port.
func lookup(all []override, port string, hosts ...string) []string {
	for _, o := range all {
		if o.port != port {
			continue
		}
		for _, h := range hosts {
			if o.host == "*" || strings.EqualFold(o.host, h) {
				return o.addrs
			}
		}
	}
	return nil
}

// maxAsked bounds the names that Unmatched tells of.
const maxAsked = 4

// Unmatched says of each of Options.Resolve that is for nothing which sessions
// of routes ask for, one text for each: what it is for, and what is asked for.
func (r *Runner) Unmatched(routes []affinity.Route) []string {
	var asked, out []string
	used := make([]bool, len(r.set.resolve))
	for _, route := range routes {
		port, hosts := r.set.resolvable(route)
		if len(hosts) == 0 {
			continue
		}
		for i, o := range r.set.resolve {
			used[i] = used[i] || lookup([]override{o}, port, hosts...) != nil
		}
		named := cleanHost(cmp.Or(hosts[0], "*")) + ":" + port
		if !slices.Contains(asked, named) {
			asked = append(asked, named)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	text := strings.Join(asked[:min(len(asked), maxAsked)], ", ")
	if more := len(asked) - maxAsked; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	for i, line := range r.set.Resolve {
		if !used[i] {
			out = append(out, "--resolve "+affinity.Clean(line, maxText)+" is for nothing that is asked here, which is "+text)
		}
	}
	return out
}

// resolvable returns the names that an override of r's address may have, the
// one that is asked for first, and the port; none where r has no URL.
func (s *settings) resolvable(r affinity.Route) (port string, hosts []string) {
	switch {
	case r.Kind == affinity.RouteURL || r.Kind == affinity.RouteService:
		u, err := parseBase(r.URL)
		if err != nil {
			return "", nil
		}
		return portOf(u), []string{u.Hostname()}
	case s.base != nil:
		return portOf(s.base), []string{s.base.Hostname()}
	}
	u := &url.URL{Scheme: "http"}
	if r.TLS {
		u.Scheme = "https"
	}
	u.Host, _ = s.host(r)
	return portOf(u), []string{u.Hostname(), r.Host}
}

// parseBase reads an absolute http or https URL.
func parseBase(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("URL %q: not a URL; write http://HOST[:PORT][/PATH]", raw)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("URL %q: must start with http:// or https://", raw)
	case u.Hostname() == "":
		return nil, fmt.Errorf("URL %q: names no host", raw)
	case u.User != nil:
		return nil, fmt.Errorf("URL of %s: a user name or password in it is not sent; leave it out", u.Host)
	}
	return u, checkHost(u.Host)
}

// checkHost checks HOST or HOST:PORT for use in a Host header.
func checkHost(host string) error {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || hasSpaceOrControl(host) {
		return fmt.Errorf("host %q: write HOST or HOST:PORT", host)
	}
	return nil
}

// portOf returns u's port, explicit or of its scheme.
func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func hasSpaceOrControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
