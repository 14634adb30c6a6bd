// Package manifest reads files of Kubernetes objects, as `helm template`,
// `kustomize build` and `kubectl get -o yaml` write them, and keeps for each
// value the line it was on. What it reads is anybody's: documents, their depth
// and what their aliases expand to are bounded, and every refusal names a line.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// Limits. The API server refuses objects of more than 3 MiB (kubernetes:
// apiserver pkg/server/config.go, MaxRequestBodyBytes).
const (
	MaxDocument = 4 << 20
	maxValues   = 200_000 // of a document, aliases expanded
	maxAliased  = 10_000  // of them by way of aliases
	maxDepth    = 100
	maxProblems = 100

	// Of all files together. Objects take some seven times the memory of their text.
	maxObjects = 200_000
	maxText    = 64 << 20
)

// Problem is why something could not be read.
type Problem struct {
	File string
	Line int // from 1; 0 when it is about the whole file
	Text string
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Files are what is read together: what is kept of all of them is bounded. The
// zero value is ready.
type Files struct {
	objects, text int
	full          bool
}

// Read returns the objects of r whose kind one of the rules reads. Documents of
// other kinds are passed over; one that cannot be read is a Problem, and the
// rest is read all the same. The file's name is for the objects' references.
func Read(r io.Reader, file string) ([]*findings.Object, []Problem) {
	return new(Files).Read(r, file)
}

// Read is as the function of that name. Where the files hold more than may be
// kept, a Problem tells the line, and nothing after it is read, in no file.
func (f *Files) Read(r io.Reader, file string) ([]*findings.Object, []Problem) {
	if f.full {
		return nil, nil
	}
	d := reader{file: affinity.Clean(file, 1024), scratch: newScratch()}
	s := newSplitter(r)
	for len(d.problems) < maxProblems {
		doc, ok := s.next()
		if !ok {
			break
		}
		before := len(d.objects)
		d.document(doc)
		if f.take(len(d.objects)-before, len(doc.text)) {
			continue
		}
		f.full = true
		d.objects = d.objects[:before]
		d.problem(doc.line, fmt.Sprintf("more than %d objects, or %d MiB of them, in all: neither this document nor anything after it is read", maxObjects, maxText>>20))
		return d.objects, d.problems
	}
	if s.err != nil {
		d.problem(s.line, "read: "+s.err.Error())
	}
	return d.objects, d.problems
}

// take counts what is kept of a document, and reports whether it may be.
func (f *Files) take(objects, text int) bool {
	if objects == 0 {
		return true
	}
	f.objects += objects
	f.text += text
	return f.objects <= maxObjects && f.text <= maxText
}

type reader struct {
	file     string
	objects  []*findings.Object
	problems []Problem

	*scratch
}

func (d *reader) problem(line int, text string) {
	d.problems = append(d.problems, Problem{d.file, line, affinity.Clean(text, 300)})
}

func (d *reader) document(doc document) {
	if doc.tooLong {
		d.problem(doc.line, fmt.Sprintf("the document is larger than %d MiB", MaxDocument>>20))
		return
	}
	for _, part := range values(doc) {
		d.value(part)
	}
}

// values parts a document that is a stream of JSON values, with whatever
// follows the last complete one as a part of its own. Any other document that is not blank is one part.
func values(doc document) (parts []document) {
	const blank = " \t\r\n"
	rest := doc
	for begin := bytes.TrimLeft(rest.text, blank); len(begin) > 0; begin = rest.text {
		var one json.RawMessage
		in := json.NewDecoder(bytes.NewReader(rest.text))
		if begin[0] != '{' || in.Decode(&one) != nil {
			return append(parts, rest)
		}
		part, was, end := rest, rest.text, in.InputOffset()
		part.text, rest.text = rest.text[:end], bytes.TrimLeft(rest.text[end:], blank)
		rest.line += bytes.Count(was[:len(was)-len(rest.text)], []byte("\n"))
		rest.after = true
		parts = append(parts, part)
	}
	return parts
}

// value reads a document, or one of its JSON values.
func (d *reader) value(doc document) {
	if doc.after && doc.text[0] != '{' && doc.text[0] != '#' {
		d.problem(doc.line, "neither an object nor the end follows a JSON value")
		return
	}
	if kind := kindOf(doc.text); strings.HasPrefix(kind, "{{") {
		d.problem(doc.line, "the kind is not known"+templateHint(doc.text))
		return
	} else if kind != "" && !wanted(kind) {
		return
	}
	if v, ok := d.readBlock(doc); ok {
		d.keep(doc, v)
		return
	}
	if line, ok := crowded(doc); ok {
		d.problem(line, fmt.Sprintf("more than %d values", maxValues))
		return
	}
	// What go-yaml takes for the end of a document need not be what cut it out.
	for in := yaml.NewDecoder(bytes.NewReader(doc.text)); ; {
		var node yaml.Node
		err := in.Decode(&node)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			if v, ok := asJSON(doc); ok {
				d.object(v, nil)
				return
			}
			d.syntax(doc, err)
			return
		}
		if len(node.Content) == 0 {
			continue
		}
		c := converter{offset: doc.line - 1, last: doc.last(), left: maxValues, aliased: maxAliased}
		v := c.value(node.Content[0], 0)
		if c.err != "" {
			d.problem(c.line, c.err+templateHint(doc.text))
			return
		}
		d.keep(doc, &v)
	}
}

// keep keeps the objects of a document.
func (d *reader) keep(doc document, v *findings.Value) {
	silenced := ignores(doc.text)
	if doc.item { // a List's items, indented
		for _, x := range v.Items() {
			d.object(x, silenced)
		}
	}
	d.object(v, silenced)
}

// crowded finds the line on which a document in flow style has more values than
// any object: go-yaml would take a hundred times their length to hold them. Text
// that looks like flow is counted too, twice as much as is allowed.
func crowded(doc document) (line int, ok bool) {
	depth, n := 0, 0
	line = doc.line
	for _, c := range doc.text {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '\n':
			line++
		case ',':
			if depth > 0 {
				n++
			}
		}
		if n > 2*maxValues {
			return line, true
		}
	}
	return 0, false
}

// object keeps an object, and those of a List.
func (d *reader) object(v *findings.Value, silenced []string) {
	if items := v.Items("items"); items != nil && strings.HasSuffix(v.Str("kind"), "List") {
		for _, item := range items {
			d.object(item, silenced)
		}
		return
	}
	o, ok := findings.NewObject(v, d.file)
	if !ok || !wanted(o.Kind) {
		return
	}
	for _, text := range silenced {
		o.AddIgnore(text)
	}
	d.refused(o)
	d.objects = append(d.objects, o)
}

// refused tells what of an object the API server refuses though it is YAML. What
// else it says is judged all the same, as if it were mended.
func (d *reader) refused(o *findings.Object) {
	for _, part := range []string{"annotations", "labels"} {
		for _, f := range o.NotTexts("metadata", part) {
			if len(d.problems) >= maxProblems {
				return
			}
			d.problem(max(int(f.Value.Line), int(o.Value.Line)), fmt.Sprintf("metadata.%s[%s] is %s, and only texts are taken there: the API server refuses the object; put it in quotes", part, affinity.Clean(f.Name, 120), f.Value.Is()))
		}
	}
	if spec := o.At("spec"); spec.Is() == "a list" || spec != nil && spec.Str() != "" {
		d.problem(max(int(spec.Line), int(o.Value.Line)), "spec is "+spec.Is()+" and no map: the API server refuses the object")
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// syntax says where a document breaks off and, where it can be told, why.
func (d *reader) syntax(doc document, err error) {
	line, text := doc.line, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = min(doc.line+n-1, doc.last())
		}
	}
	lines := bytes.Split(doc.text, []byte("\n"))
	for i := range lines {
		// go-yaml tells the line before or after the one at fault.
		if at := doc.line + i; at >= line-1 && at <= line+1 && tabIndented(lines[i]) {
			d.problem(at, "a tab indents this line; YAML takes spaces only")
			return
		}
	}
	d.problem(line, text+templateHint(doc.text))
}

func templateHint(text []byte) string {
	if !bytes.Contains(text, []byte("{{")) || !utf8.Valid(text) {
		return ""
	}
	return " (a Helm template? Render it first: helm template CHART | stickytop lint -f -)"
}

func tabIndented(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t"))
}

// asJSON reads a document that is JSON and not YAML: with tabs.
func asJSON(doc document) (*findings.Value, bool) {
	if text := bytes.TrimSpace(doc.text); len(text) == 0 || text[0] != '{' {
		return nil, false
	}
	var x any
	if json.Unmarshal(doc.text, &x) != nil {
		return nil, false
	}
	v := findings.From(x)
	v.Line = int32(doc.line)
	return &v, true
}

// kindOf is the kind that a document in block style names, found without
// parsing it; "" when that does not tell.
func kindOf(text []byte) string {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("kind:")); ok {
			kind, _, _ := strings.Cut(string(rest), "#")
			return strings.Trim(strings.TrimSpace(kind), `"'`)
		}
	}
	return ""
}

func wanted(kind string) bool {
	return slices.Contains(findings.Kinds, kind) || strings.HasSuffix(kind, "List")
}

const ignoreMark = "stickytop.dev/ignore:"

// ignores are the texts of the comments that silence rules. What looks like one
// in a string is none: each gets a name of its own, and those whose names turn
// up in values are texts.
func ignores(text []byte) []string {
	if !bytes.Contains(text, []byte(ignoreMark)) {
		return nil
	}
	unique := "stickytop-ignore"
	for bytes.Contains(text, []byte(unique)) {
		unique += "-"
	}
	var out []string
	var named bytes.Buffer
	for line := range bytes.Lines(text) {
		rest := line
		for at := ignoreAt.FindIndex(rest); at != nil; at = ignoreAt.FindIndex(rest) {
			named.Write(rest[:at[1]-len(ignoreMark)])
			fmt.Fprintf(&named, "%s%d.", unique, len(out))
			rest = rest[at[1]:]
			comment := rest
			if next := ignoreAt.FindIndex(rest); next != nil {
				comment = rest[:next[0]]
			}
			out = append(out, strings.TrimSpace(string(comment)))
		}
		named.Write(rest)
	}
	var node yaml.Node
	if len(out) == 0 || yaml.Unmarshal(named.Bytes(), &node) != nil {
		return nil
	}
	texts := map[int]bool{}
	name := regexp.MustCompile(regexp.QuoteMeta(unique) + `(\d+)\.`)
	var look func(*yaml.Node)
	look = func(n *yaml.Node) {
		for _, m := range name.FindAllStringSubmatch(n.Value, -1) {
			i, _ := strconv.Atoi(m[1])
			texts[i] = true
		}
		for _, c := range n.Content {
			look(c)
		}
	}
	look(&node)
	var comments []string
	for i, text := range out {
		if !texts[i] {
			comments = append(comments, text)
		}
	}
	return comments
}

var ignoreAt = regexp.MustCompile(`(?:^|[ \t])[ \t]*#[ \t]*` + regexp.QuoteMeta(ignoreMark))

// converter turns nodes into values: aliases and merge keys resolved, within
// bounds.
type converter struct {
	offset  int // lines before the document
	last    int // line of the document; YAML counts a CR alone as one, nobody else does
	left    int // values that may still be made
	aliased int // of them by way of aliases
	within  int // aliases that are being expanded
	line    int // of err
	err     string
}

func (c *converter) lineOf(n *yaml.Node) int { return min(n.Line+c.offset, c.last) }

// spend counts a value that is made of n.
func (c *converter) spend(n *yaml.Node) {
	if c.left--; c.left < 0 {
		c.fail(n, "more than %d values, aliases expanded", maxValues)
	}
	if c.within == 0 {
		return
	}
	if c.aliased--; c.aliased < 0 {
		c.fail(n, "aliases expand to more than %d values", maxAliased)
	}
}

// alias expands n with read, whose errors are of the line that names the
// outermost alias: what it stands for may be anywhere.
func (c *converter) alias(n *yaml.Node, read func(*yaml.Node)) {
	before := c.err
	c.within++
	read(n.Alias)
	if c.within--; c.within == 0 && before == "" && c.err != "" {
		c.line = c.lineOf(n)
	}
}

func (c *converter) fail(n *yaml.Node, format string, args ...any) {
	if c.err == "" {
		c.line, c.err = c.lineOf(n), fmt.Sprintf(format, args...)
	}
}

func (c *converter) value(n *yaml.Node, depth int) findings.Value {
	c.spend(n)
	switch {
	case c.err != "":
		return findings.Value{}
	case depth > maxDepth:
		c.fail(n, "nested deeper than %d", maxDepth)
		return findings.Value{}
	}
	line := c.lineOf(n)
	switch n.Kind {
	case yaml.AliasNode:
		var v findings.Value
		c.alias(n, func(to *yaml.Node) { v = c.value(to, depth+1) })
		return v
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return findings.Value{}
		}
		if n.Tag == "!!str" {
			return findings.Text(n.Value, line)
		}
		return findings.Scalar(n.Value, line)
	case yaml.SequenceNode:
		items := make([]findings.Value, 0, len(n.Content))
		for _, x := range n.Content {
			items = append(items, c.value(x, depth+1))
		}
		return findings.List(items, line)
	case yaml.MappingNode:
		var m fields
		c.fields(&m, n, depth)
		return findings.Map(m.all, line)
	}
	return findings.Value{}
}

func (c *converter) fields(m *fields, n *yaml.Node, depth int) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			c.fail(key, "a key that is not a word")
			return
		}
		if !m.put(key.Value, c.value(value, depth+1)) {
			c.fail(key, "key %q is there twice", affinity.Clean(key.Value, 80))
			return
		}
	}
	for _, x := range merged {
		c.merge(m, x, depth+1)
	}
}

// merge puts what << names into m, where m has nothing of that name.
func (c *converter) merge(m *fields, n *yaml.Node, depth int) {
	c.spend(n)
	if c.err != "" {
		return
	}
	if depth > maxDepth {
		c.fail(n, "merge keys expand too far")
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		c.alias(n, func(to *yaml.Node) { c.merge(m, to, depth+1) })
	case yaml.SequenceNode:
		for _, x := range n.Content {
			c.merge(m, x, depth+1)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; key.Tag == "!!merge" {
				c.merge(m, n.Content[i+1], depth+1)
			} else if key.Kind == yaml.ScalarNode {
				m.put(key.Value, c.value(n.Content[i+1], depth+1))
			}
		}
	}
}
