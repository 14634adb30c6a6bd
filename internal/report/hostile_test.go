package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// hostile is what a manifest of somebody else's may hold in any text.
const hostile = "\n::error file=x::INJECTED\r::stop-commands::x\r\n%0A::error::INJECTED]]>--><failure message=\"x\"/>&\"'\x1b[31mred\x1b]0;t\a\x00\b\u007f\u0085\u009b31m\u2028::error::INJECTED\u202e\ufffe\U000e0041,line=9,title=x:y"

// checkFormats writes l in every format and checks that hostile text did nothing.
func checkFormats(t *testing.T, about string, l Lint) {
	t.Helper()
	for _, format := range LintFormats {
		var b bytes.Buffer
		if err := l.Write(&b, format); err != nil {
			t.Fatalf("%s: %s: %v", about, format, err)
		}
		text := b.String()
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) || r == utf8.RuneError }); i >= 0 {
			t.Fatalf("%s: %s has %q", about, format, text[max(0, i-80):min(len(text), i+20)])
		}
		if i := strings.Index(text, "##["); i >= 0 && format != "github" {
			t.Fatalf("%s: %s has a workflow command: %s", about, format, text[max(0, i-80):min(len(text), i+20)])
		}
		switch format {
		case "junit":
			checkXML(t, about, text, l)
		case "github":
			checkCommands(t, about, text, l)
		case "sarif": // the schema takes its time, and knows nothing of texts
			if !json.Valid(b.Bytes()) {
				t.Fatalf("%s: no JSON: %s", about, text)
			}
		default:
			// A runner of GitHub Actions takes any line that begins so, after blanks,
			// for a command, whatever format it is in.
			for line := range strings.Lines(text) {
				if strings.HasPrefix(strings.TrimSpace(line), "::") {
					t.Fatalf("%s: %s has a workflow command: %s", about, format, line)
				}
			}
		}
	}
}

func checkXML(t *testing.T, about, text string, l Lint) {
	t.Helper()
	cases, failures := 0, 0
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v\n%.2000s", about, err, text)
		}
		switch e := token.(type) {
		case xml.StartElement:
			switch e.Name.Local {
			case "testcase":
				cases++
			case "failure":
				failures++
			}
			for _, a := range e.Attr {
				if strings.ContainsFunc(a.Value, unicode.IsControl) {
					t.Fatalf("%s: attribute %s=%q", about, a.Name.Local, a.Value)
				}
			}
		case xml.Comment, xml.ProcInst:
			if p, ok := e.(xml.ProcInst); !ok || p.Target != "xml" {
				t.Fatalf("%s: %v", about, e)
			}
		case xml.CharData:
			if strings.ContainsFunc(string(e), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
				t.Fatalf("%s: text %q", about, e)
			}
		}
	}
	fails := 0
	for _, f := range l.Findings {
		if f.Fails() {
			fails++
		}
	}
	if failures != fails || cases < fails {
		t.Fatalf("%s: %d cases, %d failures, want %d", about, cases, failures, fails)
	}
}

var workflowCommand = regexp.MustCompile(`^::(error|warning|notice) (?:file=[^:,\r\n]+,line=[1-9][0-9]*,)?title=[^:,\r\n]+::[^\r\n]+\n$`)

func checkCommands(t *testing.T, about, text string, l Lint) {
	t.Helper()
	want, n := 0, 0
	for _, f := range l.Findings {
		if f.Certainty != affinity.CertaintyNotChecked && f.Severity != affinity.SeverityOK {
			want++
		}
	}
	for line := range strings.Lines(text) {
		n++
		if !workflowCommand.MatchString(line) {
			t.Fatalf("%s: %q is not one of our commands", about, line)
		}
	}
	if n != want {
		t.Fatalf("%s: %d commands of %d findings", about, n, want)
	}
}

// TestHostileManifests puts hostile text into every text of the rules' manifests,
// one at a time, values and keys, some of it in each.
func TestHostileManifests(t *testing.T) {
	tried, spoke := 0, 0
	manifests(t, func(name, text string) {
		if !strings.HasSuffix(name, "bad.yaml") {
			return
		}
		docs := documents(t, name, text)
		for _, doc := range docs {
			eachText(doc, func(n *yaml.Node) {
				value, style := n.Value, n.Style
				bad := []string{value + hostile, "::error::INJECTED " + value, value + "##[error]INJECTED ###vso[task.setvariable variable=a]b"}
				n.Value, n.Style = bad[tried%len(bad)], yaml.DoubleQuotedStyle
				l := spoken(lintOf(name, written(t, docs)))
				n.Value, n.Style = value, style
				checkFormats(t, fmt.Sprintf("%s: %q", name, value), l)
				tried++
				if slices.ContainsFunc(l.Findings, affinity.Finding.Fails) {
					spoke++
				}
			})
		}
	})
	if spoke < 1000 {
		t.Errorf("of %d manifests rules find faults in %d", tried, spoke)
	}
	t.Logf("of %d manifests rules find faults in %d", tried, spoke)
}

// spoken is l without the rules that say nothing of the objects: their texts are
// ours, and fill most of a report.
func spoken(l Lint) Lint {
	l.Rules = slices.DeleteFunc(l.Rules, func(r LintRule) bool {
		return !slices.ContainsFunc(l.Findings, func(f affinity.Finding) bool { return f.Rule == r.ID })
	})
	return l
}

func documents(t *testing.T, name, text string) (docs []*yaml.Node) {
	t.Helper()
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var doc yaml.Node
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return docs
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		docs = append(docs, &doc)
	}
}

func written(t *testing.T, docs []*yaml.Node) string {
	t.Helper()
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	for _, doc := range docs {
		if err := e.Encode(doc); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func eachText(n *yaml.Node, do func(*yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		do(n)
	}
	for _, c := range n.Content {
		eachText(c, do)
	}
}

// TestHostileFileNames: folders of others hold files with any name.
func TestHostileFileNames(t *testing.T) {
	l := lintOf("a.yaml", broken)
	for _, file := range []string{hostile, "::error::INJECTED", "a\xff\xfe.yaml", "a%0Ab:c,d.yaml", strings.Repeat("x", 1<<20)} {
		checkFormats(t, fmt.Sprintf("file %.40q", file), lintOf(file, broken))
	}
	if len(l.Findings) == 0 {
		t.Error("nothing is found in what is broken")
	}
}

// TestInert: what is printed for people has no command of a pipeline, and all
// else is as it was.
func TestInert(t *testing.T) {
	for in, want := range map[string]string{
		"a::b ## c # [d": "a::b ## c # [d", "::error::x": "·:error::x", "a\n \t::x\n::y": "a\n \t·:x\n·:y", ":::x": "·::x",
		"a ##[error]b": "a #·[error]b", "###[x]##vso[y]##teamcity[z]": "##·[x]#·vso[y]#·teamcity[z]",
	} {
		if got := Inert(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	text := lintOf("a.yaml", strings.ReplaceAll(broken, "name: web\n", "name: \"##[x]&\"\n"))
	var doc struct {
		Items []struct{ Object struct{ Name string } }
	}
	var b bytes.Buffer
	if err := text.Write(&b, "json"); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil || len(doc.Items) == 0 || doc.Items[0].Object.Name != "##[x]&" {
		t.Errorf("%v: %+v", err, doc)
	}
	b.Reset()
	if err := text.Write(&b, "junit"); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Name string `xml:"name,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suites); err != nil || !slices.ContainsFunc(suites.Suites[0].Cases, func(c struct {
		Name string `xml:"name,attr"`
	}) bool {
		return strings.Contains(c.Name, "ingress/##[x]&")
	}) {
		t.Errorf("%v: %+v", err, suites)
	}
}

const broken = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations: {nginx.ingress.kubernetes.io/affinity: cookie, nginx.ingress.kubernetes.io/session-cookie-max-age: "600"}
spec:
  ingressClassName: nginx
  rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
`

// TestHugeValues: much of a megabyte in one text neither fills the report nor stops it.
func TestHugeValues(t *testing.T) {
	docs := documents(t, "broken", broken)
	n := 0
	for _, doc := range docs {
		eachText(doc, func(node *yaml.Node) {
			value := node.Value
			node.Value += strings.Repeat("é\x1b", 1<<17) // more than a report may be
			l := spoken(lintOf("a.yaml", written(t, docs)))
			node.Value = value
			n++
			checkFormats(t, "huge "+value, l)
			var b bytes.Buffer
			if err := l.Write(&b, "sarif"); err != nil || b.Len() > 256<<10 {
				t.Errorf("%q made the report %d bytes: %v", value, b.Len(), err)
			}
		})
	}
	if n < 15 {
		t.Errorf("%d texts were tried", n)
	}
}
