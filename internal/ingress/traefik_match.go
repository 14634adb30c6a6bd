package ingress

import "strings"

// matched is one way to satisfy a router rule of Traefik: a host and a path.
type matched struct {
	host string // "" for any
	path string // "" for any
	kind string // "Prefix", "Exact", "Regexp"; "" without path
	more bool   // other conditions hold, too, which are not read
}

// Bounds of a rule: its text, its nesting and the alternatives it unfolds to.
const (
	maxRule         = 4096
	maxRuleDepth    = 32
	maxAlternatives = 64
)

// parseMatch unfolds a router rule into its alternatives, reading Host, Path,
// PathPrefix and PathRegexp. ok is false when it can't be read whole.
// (Traefik documentation, "Rules & Priority".)
func parseMatch(rule string) (all []matched, ok bool) {
	if len(rule) > maxRule {
		return []matched{{more: true}}, false
	}
	p := &ruleParser{rest: rule}
	all = p.or(0)
	p.space()
	if p.failed || p.rest != "" {
		return []matched{{more: true}}, false
	}
	return all, true
}

type ruleParser struct {
	rest   string
	failed bool
}

func (p *ruleParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *ruleParser) take(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *ruleParser) or(depth int) []matched {
	all := p.and(depth)
	for !p.failed && p.take("||") {
		all = append(all, p.and(depth)...)
	}
	if len(all) > maxAlternatives {
		p.failed = true
	}
	return all
}

func (p *ruleParser) and(depth int) []matched {
	all := p.factor(depth)
	for !p.failed && p.take("&&") {
		right := p.factor(depth)
		if len(all)*len(right) > maxAlternatives {
			p.failed = true
			return nil
		}
		var both []matched
		for _, a := range all {
			for _, b := range right {
				both = append(both, a.and(b))
			}
		}
		all = both
	}
	return all
}

func (p *ruleParser) factor(depth int) []matched {
	switch {
	case depth > maxRuleDepth:
		p.failed = true
		return nil
	case p.take("!"):
		p.factor(depth + 1)
		return []matched{{more: true}}
	case p.take("("):
		all := p.or(depth + 1)
		p.failed = p.failed || !p.take(")")
		return all
	}
	return p.call()
}

// call reads Name(`argument`, …).
func (p *ruleParser) call() []matched {
	p.space()
	n := strings.IndexByte(p.rest, '(')
	if n <= 0 || strings.ContainsAny(p.rest[:n], "&|!)`\"") {
		p.failed = true
		return nil
	}
	name := strings.TrimSpace(p.rest[:n])
	p.rest = p.rest[n+1:]
	var args []string
	for !p.failed {
		arg, ok := p.argument()
		if !ok {
			break
		}
		args = append(args, arg)
		if !p.take(",") {
			break
		}
	}
	if !p.take(")") || len(args) == 0 {
		p.failed = true
		return nil
	}
	return matches(name, args)
}

func (p *ruleParser) argument() (string, bool) {
	p.space()
	if p.rest == "" || p.rest[0] != '`' && p.rest[0] != '"' && p.rest[0] != '\'' {
		return "", false
	}
	end := strings.IndexByte(p.rest[1:], p.rest[0])
	if end < 0 {
		p.failed = true
		return "", false
	}
	arg := p.rest[1 : end+1]
	p.rest = p.rest[end+2:]
	return arg, true
}

// matches is what one matcher stands for: an alternative for each argument.
func matches(name string, args []string) []matched {
	var all []matched
	for _, a := range args {
		switch strings.ToLower(name) {
		case "host":
			all = append(all, matched{host: strings.ToLower(a)})
		case "path":
			all = append(all, matched{path: a, kind: "Exact"})
		case "pathprefix":
			all = append(all, matched{path: a, kind: "Prefix"})
		case "pathregexp":
			all = append(all, matched{path: a, kind: "Regexp"})
		default:
			return []matched{{more: true}}
		}
	}
	return all
}

// and joins two alternatives that both must hold.
func (m matched) and(n matched) matched {
	m.more = m.more || n.more
	switch {
	case m.host == "":
		m.host = n.host
	case n.host != "" && n.host != m.host:
		m.more = true
	}
	switch {
	case m.path == "":
		m.path, m.kind = n.path, n.kind
	case n.path != "" && n.path != m.path:
		m.more = true
		if len(n.path) > len(m.path) {
			m.path, m.kind = n.path, n.kind
		}
	}
	return m
}
