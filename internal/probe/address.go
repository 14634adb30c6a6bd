package probe

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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
