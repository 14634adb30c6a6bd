package cookie

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Host returns u's host in the form that domains are compared in: lower case,
// without port and brackets.
func Host(u *url.URL) string { return strings.ToLower(u.Hostname()) }

// DomainMatch reports whether host is domain or lies below it
// (RFC 6265 §5.1.3). Both are in lower case.
func DomainMatch(host, domain string) bool {
	if host == domain {
		return true
	}
	return strings.HasSuffix(host, "."+domain) && !isIP(host)
}

// PathMatch reports whether a cookie of path goes to request
// (RFC 6265 §5.1.4).
func PathMatch(request, path string) bool {
	if request == path {
		return true
	}
	return strings.HasPrefix(request, path) &&
		(strings.HasSuffix(path, "/") || request[len(path)] == '/')
}

// DefaultPath is the path of a cookie that names none: the request's, up to
// its last slash (RFC 6265 §5.1.4).
func DefaultPath(request string) string {
	if i := strings.LastIndexByte(request, '/'); i > 0 && request[0] == '/' {
		return request[:i]
	}
	return "/"
}

// RequestPath returns the path of u as it goes over the wire.
func RequestPath(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// isPublicSuffix reports whether anybody may register a name below domain
// ("com", "co.uk", "github.io"), so that no cookie may span it. A name of one
// label is one, listed or not.
func isPublicSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
