package ui

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A filter decides which rows of a table are shown. Its language is that of
// k9s where they meet (a regular expression, ! before it for the inverse) and
// that of bottom for typed fields:
//
//	msgapp            rows whose text matches, letters of either case
//	!orphan           rows whose text does not
//	state=SPLIT       a field: = != ~ (matches) !~ < <= > >=
//	fuse<30s rtt>100  both
//	pod=A or (pod=B and not moves=0)
type filter interface {
	match(fielder) bool
}

// fielder is a row as filters see it.
type fielder interface {
	text() string
	field(name string) field
}

// field is one value of a row. A row can go by several words for one field: a
// pod by its tag and its name. num is NaN-free; hasNum is false for what has
// no number now, such as the fuse of a session without a timer.
type field struct {
	words  []string
	num    float64
	hasNum bool
	unit   time.Duration // of num, when it is a duration
}

func words(w ...string) field { return field{words: w} }
func number(n int) field {
	return field{words: []string{strconv.Itoa(n)}, num: float64(n), hasNum: true}
}
func span(d, unit time.Duration) field {
	return field{num: float64(d) / float64(unit), hasNum: true, unit: unit}
}
func noSpan(unit time.Duration) field        { return field{unit: unit} }
func (f field) any(p func(string) bool) bool { return slices.ContainsFunc(f.words, p) }

// maxFilter bounds a filter's length, and so its depth.
const maxFilter = 400

// parseFilter reads s; names are the fields that the rows have. An empty s
// gives nil, which shows everything.
func parseFilter(s string, names []string) (filter, error) {
	if len(s) > maxFilter {
		return nil, fmt.Errorf("a filter has at most %d characters", maxFilter)
	}
	p := &filterParser{tokens: tokens(s), names: names}
	if len(p.tokens) == 0 {
		return nil, nil
	}
	f, err := p.or()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("unexpected %q", p.tokens[0])
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// tokens splits s at blanks and parentheses. A parenthesis inside of a word
// belongs to it: a(b|c) is a regular expression.
func tokens(s string) []string {
	var out []string
	for _, word := range strings.Fields(s) {
		for strings.HasPrefix(word, "(") && strings.Count(word, "(") > strings.Count(word, ")") {
			out, word = append(out, "("), word[1:]
		}
		closing := 0
		for strings.HasSuffix(word, ")") && strings.Count(word, ")") > strings.Count(word, "(") {
			closing, word = closing+1, word[:len(word)-1]
		}
		if word != "" {
			out = append(out, word)
		}
		for range closing {
			out = append(out, ")")
		}
	}
	return out
}

type filterParser struct {
	tokens []string
	names  []string
}

func (p *filterParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *filterParser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *filterParser) or() (filter, error) {
	f, err := p.and()
	for err == nil && p.peek() == "or" {
		p.next()
		var g filter
		g, err = p.and()
		f = orFilter{f, g}
	}
	return f, err
}

func (p *filterParser) and() (filter, error) {
	f, err := p.term()
	for err == nil {
		switch p.peek() {
		case "", "or", ")":
			return f, nil
		case "and":
			p.next()
		}
		var g filter
		g, err = p.term()
		f = andFilter{f, g}
	}
	return f, err
}

func (p *filterParser) term() (filter, error) {
	t := p.next()
	switch {
	case t == "":
		return nil, fmt.Errorf("something is missing at the end")
	case t == "(":
		f, err := p.or()
		if err == nil && p.next() != ")" {
			err = fmt.Errorf("a ) is missing")
		}
		return f, err
	case t == ")" || t == "and" || t == "or":
		return nil, fmt.Errorf("unexpected %q", t)
	case t == "not" || t == "!":
		f, err := p.term()
		return notFilter{f}, err
	case t[0] == '!':
		p.tokens = append([]string{t[1:]}, p.tokens...)
		f, err := p.term()
		return notFilter{f}, err
	}
	return p.leaf(t)
}

var comparison = regexp.MustCompile(`^([a-zA-Z]+)(!=|!~|<=|>=|=|~|<|>)(.*)$`)

func (p *filterParser) leaf(t string) (filter, error) {
	m := comparison.FindStringSubmatch(t)
	if m == nil {
		re, err := regexp.Compile("(?i)" + t)
		if err != nil {
			return nil, fmt.Errorf("%q is not a regular expression", t)
		}
		return textFilter{re}, nil
	}
	name, op, arg := strings.ToLower(m[1]), m[2], m[3]
	if !slices.Contains(p.names, name) {
		return nil, fmt.Errorf("no field %s here, only %s", name, strings.Join(p.names, " "))
	}
	if arg == "" {
		return nil, fmt.Errorf("%s%s needs a value", name, op)
	}
	f := fieldFilter{name: name, op: op, arg: arg}
	switch op {
	case "~", "!~":
		re, err := regexp.Compile("(?i)" + arg)
		if err != nil {
			return nil, fmt.Errorf("%q is not a regular expression", arg)
		}
		f.re = re
	default:
		f.num, f.isNum = parseNumber(arg)
		f.dur, f.isDur = parseSpan(arg)
		if strings.ContainsAny(op, "<>") && !f.isNum && !f.isDur {
			return nil, fmt.Errorf("%q is neither a number nor a duration", arg)
		}
	}
	return f, nil
}

func parseNumber(s string) (float64, bool) {
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && n == n
}

func parseSpan(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil
}

type orFilter [2]filter
type andFilter [2]filter
type notFilter [1]filter
type textFilter struct{ re *regexp.Regexp }
type fieldFilter struct {
	name, op, arg string
	re            *regexp.Regexp
	num           float64
	isNum         bool
	dur           time.Duration
	isDur         bool
}

func (f orFilter) match(r fielder) bool   { return f[0].match(r) || f[1].match(r) }
func (f andFilter) match(r fielder) bool  { return f[0].match(r) && f[1].match(r) }
func (f notFilter) match(r fielder) bool  { return !f[0].match(r) }
func (f textFilter) match(r fielder) bool { return f.re.MatchString(r.text()) }

func (f fieldFilter) match(r fielder) bool {
	v := r.field(f.name)
	switch f.op {
	case "~":
		return v.any(f.re.MatchString)
	case "!~":
		return !v.any(f.re.MatchString)
	case "=":
		return f.equal(v)
	case "!=":
		return !f.equal(v)
	}
	arg, ok := f.value(v)
	if !ok || !v.hasNum {
		return false
	}
	switch f.op {
	case "<":
		return v.num < arg
	case "<=":
		return v.num <= arg
	case ">":
		return v.num > arg
	}
	return v.num >= arg
}

func (f fieldFilter) equal(v field) bool {
	if v.any(func(w string) bool { return strings.EqualFold(w, f.arg) }) {
		return true
	}
	arg, ok := f.value(v)
	return ok && v.hasNum && v.num == arg
}

// value is the filter's argument in the unit of v.
func (f fieldFilter) value(v field) (float64, bool) {
	if f.isDur && v.unit > 0 {
		return float64(f.dur) / float64(v.unit), true
	}
	return f.num, f.isNum
}
