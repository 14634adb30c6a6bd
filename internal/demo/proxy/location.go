package proxy

import (
	"cmp"
	"net"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// location is a path of a host.
type location struct {
	path    string // as written in the Ingress, "" among them
	exact   bool
	prefix  bool // pathType Prefix: by elements; otherwise by text, as nginx does
	regex   bool // use-regex
	pattern *regexp.Regexp
	backend *backend
}

func newLocation(path networkingv1.HTTPIngressPath, b *backend) *location {
	kind := value(path.PathType, networkingv1.PathTypeImplementationSpecific)
	return &location{
		path: path.Path, backend: b,
		exact:  kind == networkingv1.PathTypeExact,
		prefix: kind == networkingv1.PathTypePrefix,
	}
}

// shown is nginx's $location_path.
func (l *location) shown() string { return cmp.Or(l.path, "/") }

// ordered puts the locations of one host in the order in which nginx tries
// them: exact ones, then the longest. One Ingress with use-regex makes every
// path of its host a case-insensitive regular expression.
func ordered(all []*location) []*location {
	regex := slices.ContainsFunc(all, func(l *location) bool { return l.regex })
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b *location) int {
		if a.exact != b.exact && !regex {
			if a.exact {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(b.path), len(a.path))
	})
	if !regex {
		return sorted
	}
	for _, l := range sorted {
		pattern, err := regexp.Compile("(?i)^" + l.path)
		if err != nil {
			pattern = regexp.MustCompile("(?i)^" + regexp.QuoteMeta(l.path))
		}
		l.pattern = pattern
	}
	return sorted
}

func (l *location) matches(path string) bool {
	switch base := strings.TrimSuffix(l.path, "/"); {
	case l.pattern != nil:
		return l.pattern.MatchString(path)
	case l.exact:
		return path == l.path
	case l.prefix:
		return path == base || strings.HasPrefix(path, base+"/")
	default:
		return strings.HasPrefix(path, l.shown())
	}
}

// find returns the location for a request, and the host key it was found
// under. The host of the request may have a port.
func (c *config) find(requestHost, path string) (l *location, host string) {
	name := strings.ToLower(requestHost)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	for _, host := range []string{name, wildcard(name), catchAll} {
		locations, found := c.hosts[host]
		if !found {
			continue
		}
		for _, l := range locations {
			if l.matches(path) {
				return l, host
			}
		}
		return nil, host
	}
	return nil, ""
}

// wildcard replaces the first label of a host: "*.example.com".
func wildcard(host string) string {
	_, rest, found := strings.Cut(host, ".")
	if !found {
		return ""
	}
	return "*." + rest
}
