package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

type sarifLog struct {
	Runs []struct {
		Tool struct {
			Driver struct{ Rules []struct{ ID string } }
		}
		Results     []sarifResult
		Invocations []struct {
			ToolExecutionNotifications []struct{ Message struct{ Text string } }
		}
	}
}

type sarifResult struct {
	RuleID    string
	RuleIndex *int
	Message   struct{ Text string }
	Locations []struct {
		PhysicalLocation struct {
			ArtifactLocation struct{ URI string }
			Region           struct{ StartLine int }
		}
	}
	PartialFingerprints map[string]string
}

var sarifSchema *jsonschema.Schema

// writeSARIF writes l and holds it against the schema of OASIS.
func writeSARIF(t testing.TB, l Lint) sarifLog {
	t.Helper()
	if sarifSchema == nil {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		schema, err := c.Compile("testdata/sarif/sarif-schema-2.1.0.json")
		if err != nil {
			t.Fatal(err)
		}
		sarifSchema = schema
	}
	var b bytes.Buffer
	if err := l.Write(&b, "sarif"); err != nil {
		t.Fatal(err)
	}
	text := b.Bytes()
	instance, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	// One document of each shape is enough, and validating takes its time.
	if shape := shapeOf(instance, ""); !sarifShapes[shape] {
		sarifShapes[shape] = true
		if err := sarifSchema.Validate(instance); err != nil {
			t.Fatalf("%v\n%.2000s", err, text)
		}
	}
	var log sarifLog
	if err := json.Unmarshal(text, &log); err != nil {
		t.Fatal(err)
	}
	return log
}

var sarifShapes = map[string]bool{} // that were validated

// shapeOf is all of a document that the schema looks at: fields, types, what
// enumerations choose of, and the kind of each URI. Of a list the different items
// count.
func shapeOf(v any, name string) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, k+":"+shapeOf(v[k], k))
		}
		return "{" + strings.Join(fields, " ") + "}"
	case []any:
		items := map[string]bool{}
		for _, x := range v {
			items[shapeOf(x, name)] = true
		}
		return "[" + strings.Join(slices.Sorted(maps.Keys(items)), " ") + "]"
	case string:
		switch name {
		case "level", "kind", "version", "$schema":
			return v
		case "uri":
			return "uri" + strings.Map(func(r rune) rune {
				if r == '-' || r == '/' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
					return -1
				}
				return r
			}, v)
		}
		if v == "" {
			return "empty"
		}
		return "text"
	case json.Number:
		n, err := v.Int64()
		return fmt.Sprint(err == nil, n > 0, n < 0)
	}
	return fmt.Sprintf("%T", v)
}

// lintOf is what lint -f says of a file.
func lintOf(name, text string) Lint {
	objects, _ := manifest.Read(strings.NewReader(text), name)
	l := Lint{Version: "v1.2.3", Findings: findings.Check(findings.Facts{Objects: objects}, findings.Options{}).Findings, Objects: len(objects)}
	for _, r := range findings.Rules {
		if !r.Runtime {
			l.Rules = append(l.Rules, LintRule{ID: r.ID, Title: r.Title, Help: r.What, Severity: r.Severity})
		}
	}
	return l
}

// manifests yields the files of objects that the rules are tested with.
func manifests(t testing.TB, each func(name, text string)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir("../findings/testdata", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" {
			return err
		}
		n++
		text, err := os.ReadFile(name)
		each(filepath.ToSlash(name), string(text))
		return err
	})
	if err != nil || n < 50 {
		t.Fatalf("%d manifests: %v", n, err)
	}
}

// TestSARIF: what every rule says is SARIF, points at a line of the object that it
// is about, and is known again when the object has moved.
func TestSARIF(t *testing.T) {
	said := map[string]bool{}
	manifests(t, func(name, text string) {
		run := writeSARIF(t, lintOf(name, text)).Runs[0]
		moved := writeSARIF(t, lintOf(name, "# a line\n\n"+text)).Runs[0]
		lines := strings.Split(text, "\n")
		prints := map[string]bool{}
		for i, r := range run.Results {
			said[r.RuleID] = true
			if r.RuleIndex == nil || run.Tool.Driver.Rules[*r.RuleIndex].ID != r.RuleID {
				t.Errorf("%s: ruleIndex of %s leads to another rule", name, r.RuleID)
			}
			at := r.Locations[0].PhysicalLocation
			if u, err := url.Parse(at.ArtifactLocation.URI); err != nil || u.IsAbs() || u.Path != name {
				t.Errorf("%s: uri %q: %v", name, at.ArtifactLocation.URI, err)
			}
			line := at.Region.StartLine
			if line < 1 || line > len(lines) || strings.TrimSpace(strings.TrimPrefix(lines[line-1], "---")) == "" || strings.HasPrefix(lines[line-1], "#") {
				t.Errorf("%s: %s points at line %d, which holds nothing", name, r.RuleID, line)
			}
			if len(r.PartialFingerprints) != 1 || prints[r.PartialFingerprints[fingerprintName]] {
				t.Errorf("%s: %s has no fingerprint of its own: %v", name, r.RuleID, r.PartialFingerprints)
			}
			prints[r.PartialFingerprints[fingerprintName]] = true
			if i >= len(moved.Results) {
				t.Errorf("%s: fewer results when it has moved", name)
				break
			}
			other := moved.Results[i]
			if other.PartialFingerprints[fingerprintName] != r.PartialFingerprints[fingerprintName] || other.Locations[0].PhysicalLocation.Region.StartLine != line+2 {
				t.Errorf("%s: %s is another when it has moved by two lines: %+v, was %+v", name, r.RuleID, other, r)
			}
		}
	})
	for _, r := range findings.Rules {
		if !r.Runtime && !said[r.ID] {
			t.Errorf("no manifest makes %s speak", r.ID)
		}
	}
}

// TestSARIFOfAnything: findings of sessions, of no object and of odd files.
func TestSARIFOfAnything(t *testing.T) {
	ing := affinity.ObjectRef{Kind: "Ingress", Namespace: "web", Name: "a"}
	at := func(file string) affinity.ObjectRef {
		o := ing
		o.File = file
		return o
	}
	high := affinity.Finding{Rule: "D01", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyExact, Title: "broken"}
	with := func(change func(*affinity.Finding)) affinity.Finding {
		f := high
		change(&f)
		return f
	}
	l := Lint{Root: "/src/repo", Rules: []LintRule{{ID: "D01", Title: "t"}}, Findings: []affinity.Finding{
		high,
		with(func(f *affinity.Finding) { f.Rule, f.Session, f.Route = "I01", "s03", "web/a *" }),
		with(func(f *affinity.Finding) { f.Object = ing }),
		with(func(f *affinity.Finding) {
			f.Rule, f.Certainty, f.NotChecked = "—", affinity.CertaintyNotChecked, "no right"
		}),
		with(func(f *affinity.Finding) { f.Severity = affinity.SeverityOK }),
	}}
	want := map[string]string{
		"a.yaml": "a.yaml", "./a/../b.yaml": "b.yaml", "../c.yaml": "../c.yaml", "/src/repo/x/d.yaml": "x/d.yaml", "/src/repository/e.yaml": "file:///src/repository/e.yaml",
		"a b#c?d%e.yaml": "a%20b%23c%3Fd%25e.yaml", "a:b.yaml": "./a:b.yaml", `a\b.yaml`: "a%5Cb.yaml", "ä.yaml": "%C3%A4.yaml", "<stdin>": "%3Cstdin%3E", "a\xffb": "a%FFb",
	}
	var names []string
	for file := range want {
		names = append(names, file)
	}
	slices.Sort(names)
	for _, file := range names {
		l.Findings = append(l.Findings, with(func(f *affinity.Finding) { f.Object = at(file) }))
	}
	run := writeSARIF(t, l).Runs[0]
	if notes := run.Invocations[0].ToolExecutionNotifications; len(notes) != 1 || notes[0].Message.Text != "— not checked: no right" {
		t.Errorf("what was not checked: %+v", notes)
	}
	if len(run.Results) != 3+len(want) || run.Results[0].Message.Text != "broken" || run.Results[1].RuleIndex != nil {
		t.Fatalf("%+v", run.Results)
	}
	for i, r := range run.Results[3:] {
		if got := r.Locations[0].PhysicalLocation.ArtifactLocation.URI; got != want[names[i]] {
			t.Errorf("uri of %q is %q, want %q", names[i], got, want[names[i]])
		}
	}
	writeSARIF(t, Lint{})
}
