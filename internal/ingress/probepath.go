package ingress

import (
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Characters that make a path a pattern.
const patternChars = `^$*+?()[]{}|\`

// isPattern reports whether a place's path is a regular expression: its
// controller takes it for one, or it could hardly be anything else.
func isPattern(p *Place) bool {
	if !strings.ContainsAny(p.Path, patternChars) {
		return false
	}
	return p.Type != "Exact"
}

// probe picks the path a probe asks for: the backend's own readiness path
// where the route leads there, as that is made to be asked often; else the
// route's path.
func (w *World) probe(p *Place, s served) (path, why string) {
	ready := ""
	if p.Port != nil {
		ready = w.readiness[ServicePortKey{p.ref(), p.Port.Port}]
	}
	ready = cleanPath(ready)
	if isPattern(p) {
		return probePattern(p.Path, ready)
	}
	if ready != "" && p.covers(ready) && !p.rewrites() && s.leadsTo(p, ready) {
		return ready, "the backend's readiness path"
	}
	return cleanPath(rootIfEmpty(p.Path)), "the route's path"
}

// rewrites reports whether the backend may see another path than the client
// sent.
func (p *Place) rewrites() bool {
	_, nginx := p.Annotation(nginxPrefix + "rewrite-target")
	_, traefik := p.Annotation(traefikPrefix + "router.middlewares")
	return nginx || traefik || p.rewritten
}

// covers reports whether a request for path reaches the place, by its
// pathType. Prefix goes by whole elements (Kubernetes documentation, "Ingress:
// path types"); implementation-specific ones are taken as prefixes, too.
func (p *Place) covers(path string) bool {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if p.Type == "Exact" {
		return path == rootIfEmpty(p.Path)
	}
	prefix := strings.TrimSuffix(rootIfEmpty(p.Path), "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// leadsTo reports whether no longer path of the same host takes a request for
// path away from p.
func (s served) leadsTo(p *Place, path string) bool {
	for _, q := range s.byHost[p.Host] {
		if q == p || q.Default || q.isCanary() || !q.covers(path) {
			continue
		}
		if q.Backend.Service == p.Backend.Service && q.Ingress.Namespace == p.Ingress.Namespace {
			continue
		}
		if len(q.Path) > len(p.Path) || q.Type == "Exact" && p.Type != "Exact" {
			return false
		}
	}
	return true
}

// probePattern finds a path that a pattern matches: the readiness path, else
// the text before the first special character, else an example made of the
// pattern.
func probePattern(pattern, ready string) (path, why string) {
	literal := pattern
	if i := strings.IndexAny(literal, patternChars); i >= 0 {
		literal = literal[:i]
	}
	literal = cleanPath(rootIfEmpty(literal))
	fallback := "the start of the route's pattern, which may not match it"
	if len(pattern) > maxPath {
		return literal, fallback
	}
	text := "^(?:" + strings.TrimPrefix(pattern, "^") + ")" // as nginx: anchored at the start, any case
	tree, err := syntax.Parse(text, syntax.Perl|syntax.FoldCase)
	if err != nil {
		return literal, fallback
	}
	re, err := regexp.Compile("(?i)" + text)
	if err != nil {
		return literal, fallback
	}
	if ready != "" && re.MatchString(ready) {
		return ready, "the backend's readiness path, which the route's pattern matches"
	}
	for _, try := range []string{literal, strings.TrimSuffix(literal, "/") + "/", cleanPath(example(tree, maxPath))} {
		if try != "" && re.MatchString(try) {
			return try, "a path that the route's pattern matches"
		}
	}
	return literal, fallback
}

// example returns a short text that a parsed pattern matches, unless it looks
// around itself. It is at most max runes, or a little more.
func example(re *syntax.Regexp, max int) string {
	switch re.Op {
	case syntax.OpLiteral:
		return strings.ToLower(string(re.Rune))
	case syntax.OpCharClass:
		return classExample(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCapture, syntax.OpPlus, syntax.OpAlternate:
		return example(re.Sub[0], max)
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			if b.Len() < max {
				b.WriteString(example(sub, max-b.Len()))
			}
		}
		return b.String()
	case syntax.OpRepeat:
		one := example(re.Sub[0], max)
		if one == "" {
			return ""
		}
		return strings.Repeat(one, min(re.Min, max/len(one)+1))
	}
	return "" // stars, question marks and anchors
}

// classExample picks a letter or digit of a character class, given as pairs of
// first and last; else its first.
func classExample(pairs []rune) string {
	for _, want := range "a0/-_" {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] <= want && want <= pairs[i+1] {
				return string(want)
			}
		}
	}
	if len(pairs) == 0 {
		return ""
	}
	return string(pairs[0])
}

// cleanPath makes a path fit for a request line: absolute, escaped, bounded;
// "" stays "".
func cleanPath(path string) string {
	if path == "" {
		return ""
	}
	path = affinity.Clean(path, maxPath)
	path, query, found := strings.Cut(path, "?")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	path = (&url.URL{Path: path}).EscapedPath()
	if found {
		path += "?" + escapeQuery(query)
	}
	return path
}

// escapeQuery escapes what may not stand in a query; escapes that are there
// already stay.
func escapeQuery(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c > '~' || c == '#' || c == '"' || c == '<' || c == '>' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
