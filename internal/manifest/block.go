package manifest

import (
	"bytes"
	"hash/maphash"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// block reads the YAML that charts and kubectl mostly write: block style, one
// line a scalar, ASCII, no anchors, no tags. It is for speed alone: of whatever
// is not surely that it reports false, and go-yaml reads it. What it reads it
// must read as go-yaml does, lines included, which is fuzzed.
type block struct {
	at     int
	left   int // values that may still be made
	failed bool
	*scratch
}

// scratch is what reading a document takes, to be used again for the next.
type scratch struct {
	tags  map[string]bool // what plain words resolve to
	words words
	lines []blockLine
	maps  [maxDepth + 1]fields // of the one that is read at that depth
	lists [maxDepth + 1][]findings.Value
}

func newScratch() *scratch { return &scratch{tags: map[string]bool{}} }

// words gives texts that come again and again one place in memory.
type words [1 << 12]string

func (w *words) of(text []byte) string {
	if len(text) == 0 || len(text) > 64 {
		return string(text)
	}
	at := &w[maphash.Bytes(wordSeed, text)%uint64(len(w))]
	if *at != string(text) {
		*at = string(text)
	}
	return *at
}

var wordSeed = maphash.MakeSeed()

// fields are those of a map that is read.
type fields struct {
	all   []findings.Field
	names map[string]struct{} // of many
}

// put adds a field. It reports false, and does nothing, when there is one of
// that name already.
func (f *fields) put(name string, v findings.Value) bool {
	switch {
	case f.names != nil:
		if _, ok := f.names[name]; ok {
			return false
		}
		f.names[name] = struct{}{}
	case len(f.all) == 16:
		f.names = make(map[string]struct{}, 64)
		for i := range f.all {
			f.names[f.all[i].Name] = struct{}{}
		}
		return f.put(name, v)
	default:
		for i := range f.all {
			if f.all[i].Name == name {
				return false
			}
		}
	}
	f.all = append(f.all, findings.Field{Name: name, Value: v})
	return true
}

func (f *fields) reset() { f.all, f.names = f.all[:0], nil }

// blockLine is a line that holds something.
type blockLine struct {
	indent int
	text   []byte // without indent, comment and trailing spaces
	line   int
}

// maxKey is well below the length at which YAML wants a key to be explicit.
const maxKey = 256

// readBlock returns false for what go-yaml has to read.
func (d *reader) readBlock(doc document) (*findings.Value, bool) {
	b := block{left: maxValues, scratch: d.scratch}
	b.lines = b.lines[:0]
	ok := b.split(doc)
	if !ok || len(b.lines) == 0 {
		return nil, false
	}
	v := b.node(b.lines[0].indent, 0)
	return &v, !b.failed && b.at == len(b.lines)
}

func (b *block) split(doc document) bool {
	text, line := doc.text, doc.line
	for len(text) > 0 {
		next := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			next, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		indent := 0
		for indent < len(next) && next[indent] == ' ' {
			indent++
		}
		rest := next[indent:]
		for _, c := range rest {
			if c < ' ' || c > '~' {
				return false
			}
		}
		if len(rest) > 0 && rest[0] != '#' {
			b.lines = append(b.lines, blockLine{indent, bytes.TrimRight(rest, " "), line})
		}
		line++
	}
	return true
}

func (b *block) fail() findings.Value {
	b.failed = true
	return findings.Value{}
}

// node reads what begins at the current line, whose indent is given.
func (b *block) node(indent, depth int) findings.Value {
	if b.left--; depth > maxDepth || b.left < 0 {
		return b.fail()
	}
	if isItem(b.lines[b.at].text) {
		return b.list(indent, depth)
	}
	return b.mapping(indent, depth)
}

func isItem(text []byte) bool { return text[0] == '-' && (len(text) == 1 || text[1] == ' ') }

func (b *block) list(indent, depth int) findings.Value {
	items := &b.lists[depth]
	*items = (*items)[:0]
	line := b.lines[b.at].line
	for !b.failed && b.at < len(b.lines) {
		l := &b.lines[b.at]
		if l.indent != indent || !isItem(l.text) {
			break
		}
		if len(l.text) == 1 {
			b.at++
			*items = append(*items, b.below(indent, false, depth))
			continue
		}
		rest := bytes.TrimLeft(l.text[1:], " ")
		if rest[0] == '#' || isItem(rest) {
			return b.fail()
		}
		if _, _, isKey := keyOf(rest); isKey { // the map goes on where its first key stands
			l.indent += len(l.text) - len(rest)
			l.text = rest
			*items = append(*items, b.node(l.indent, depth+1))
			continue
		}
		b.at++
		*items = append(*items, b.scalar(rest, l.line, indent))
	}
	if b.at < len(b.lines) && b.lines[b.at].indent > indent {
		return b.fail()
	}
	return findings.List(*items, line)
}

func (b *block) mapping(indent, depth int) findings.Value {
	m, line := &b.maps[depth], b.lines[b.at].line
	m.reset()
	for !b.failed && b.at < len(b.lines) {
		l := b.lines[b.at]
		if l.indent != indent || isItem(l.text) {
			break
		}
		key, rest, ok := keyOf(l.text)
		if !ok {
			return b.fail()
		}
		b.at++
		var v findings.Value
		if len(rest) == 0 {
			v = b.below(indent, true, depth)
		} else {
			v = b.scalar(rest, l.line, indent)
		}
		if !m.put(b.words.of(key), v) {
			return b.fail()
		}
	}
	if b.at < len(b.lines) && b.lines[b.at].indent > indent {
		return b.fail()
	}
	return findings.Map(m.all, line)
}

// below reads the value of a key or an item that has nothing on its own line. A
// list may stand as far left as its key.
func (b *block) below(indent int, key bool, depth int) findings.Value {
	if b.at < len(b.lines) {
		if l := b.lines[b.at]; l.indent > indent || key && l.indent == indent && isItem(l.text) {
			return b.node(l.indent, depth+1)
		}
	}
	b.left--
	return findings.Value{}
}

// keyOf parts "key: rest".
func keyOf(text []byte) (key, rest []byte, ok bool) {
	n := 0
	for n < len(text) && keyByte[text[n]] {
		n++
	}
	if n == 0 || n > maxKey || n == len(text) || text[n] != ':' || !letterOrDigit(text[0]) {
		return nil, nil, false
	}
	if rest = text[n+1:]; len(rest) > 0 && rest[0] != ' ' {
		return nil, nil, false
	}
	rest = bytes.TrimLeft(rest, " ")
	if len(rest) > 0 && rest[0] == '#' {
		rest = nil
	}
	return text[:n], rest, true
}

func letterOrDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

var keyByte = func() (set [256]bool) {
	for c := range set {
		set[c] = letterOrDigit(byte(c)) || strings.IndexByte("_./-", byte(c)) >= 0
	}
	return set
}()

// scalar reads a value that stands on one line; text is not empty.
func (b *block) scalar(text []byte, line, indent int) findings.Value {
	if b.left--; b.at < len(b.lines) && b.lines[b.at].indent > indent || b.left < 0 {
		return b.fail() // it goes on below
	}
	switch c := text[0]; {
	case c == '"' || c == '\'':
		end := bytes.IndexByte(text[1:], c)
		if end < 0 || c == '"' && bytes.IndexByte(text[1:1+end], '\\') >= 0 {
			return b.fail()
		}
		if rest := text[end+2:]; len(rest) > 0 && !bytes.HasPrefix(bytes.TrimLeft(rest, " "), []byte("#")) || len(rest) > 0 && rest[0] != ' ' {
			return b.fail()
		}
		return findings.Text(b.words.of(text[1:1+end]), line)
	case string(text) == "{}":
		return findings.Map(nil, line)
	case string(text) == "[]":
		return findings.List(nil, line)
	case !letterOrDigit(c) && strings.IndexByte("/._+-$(^~", c) < 0, c == '-' && (len(text) == 1 || text[1] == ' '):
		return b.fail()
	}
	if i := bytes.Index(text, []byte(" #")); i >= 0 {
		text = bytes.TrimRight(text[:i], " ")
	}
	if bytes.Contains(text, []byte(": ")) || text[len(text)-1] == ':' {
		return b.fail()
	}
	word := b.words.of(text)
	isText, isNull := b.tag(word)
	switch {
	case isNull:
		return findings.Value{}
	case isText:
		return findings.Text(word, line)
	}
	return findings.Scalar(word, line)
}

// tag reports what go-yaml resolves a plain word to. Words that begin with a
// letter are texts but for a few; go-yaml is asked about the others, once each.
func (b *block) tag(word string) (isText, isNull bool) {
	switch c := word[0]; {
	case strings.EqualFold(word, "true"), strings.EqualFold(word, "false"), strings.EqualFold(word, "null"), word == "~":
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("/_$(^", c) >= 0:
		return true, false
	case digits(word):
		return false, false
	}
	if text, known := b.tags[word]; known {
		return text, false
	}
	var n yaml.Node
	if yaml.Unmarshal([]byte(word), &n) != nil || len(n.Content) != 1 || n.Content[0].Kind != yaml.ScalarNode || n.Content[0].Value != word {
		b.failed = true
		return false, false
	}
	if n.Content[0].Tag == "!!null" {
		return false, true
	}
	isText = n.Content[0].Tag == "!!str"
	if len(b.tags) < 10_000 {
		b.tags[word] = isText
	}
	return isText, false
}

// digits reports whether word is a decimal number that is surely one.
func digits(word string) bool {
	if len(word) > 15 || len(word) > 1 && word[0] == '0' {
		return false
	}
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return false
		}
	}
	return true
}
