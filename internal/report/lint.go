package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// LintRule is what the formats of lint say of a rule.
type LintRule struct {
	ID, Title, Help string
	Severity        affinity.Severity
}

// Lint is what a lint run found.
type Lint struct {
	Version  string
	Rules    []LintRule // that were checked
	Findings []affinity.Finding
	Root     string            // absolute path that files' names are relative to, with slashes; "" where that is not known
	FailOn   affinity.Severity // JUnit: least severity that fails
	Warnings []string          // JSON alone; others have them beside
	Ignored  int
	Objects  int
	All      bool // text: those that passed, and those not checked, too
}

// LintFormats are the values of lint's -o.
var LintFormats = []string{"text", "json", "junit", "sarif", "github", "markdown"}

// Write prints l in one of LintFormats.
func (l Lint) Write(w io.Writer, format string) error {
	b := &bytes.Buffer{}
	if err := l.write(b, format); err != nil {
		return err
	}
	_, err := w.Write(inert(b.Bytes(), format))
	return err
}

func (l Lint) write(w io.Writer, format string) error {
	switch format {
	case "json":
		return l.json(w)
	case "junit":
		return l.junit(w)
	case "sarif":
		return l.sarif(w)
	case "github":
		return l.github(w)
	case "markdown":
		return l.markdown(w)
	}
	return l.text(w)
}

func where(o affinity.ObjectRef) string {
	at := o.String()
	if o.Namespace != "" {
		at = o.Namespace + "/" + at
	}
	if o.File != "" {
		at += fmt.Sprintf("  %s:%d", o.File, o.Line)
	}
	return at
}

func (l Lint) text(w io.Writer) error {
	b := &strings.Builder{}
	count := map[string]int{}
	for _, f := range l.Findings {
		kind := kindOfFinding(f)
		count[kind]++
		if kind == "not checked" {
			continue
		}
		if kind == "ok" && !l.All {
			continue
		}
		word := strings.ToUpper(f.Severity.String())
		if f.Certainty == affinity.CertaintyLikely {
			word += " likely"
		}
		fmt.Fprintf(b, "%s %s  %s\n  %s\n", f.Rule, word, f.Title, where(f.Object))
		for _, e := range f.Evidence {
			fmt.Fprintf(b, "  · %s\n", evidenceText(e, f.Object))
		}
		line(b, "impact", f.Impact)
		line(b, "fix", f.Fix)
		for _, p := range strings.Split(f.Patch, "\n") {
			if p != "" {
				fmt.Fprintf(b, "      %s\n", p)
			}
		}
		line(b, "verify", f.Verify)
		b.WriteString("\n")
	}
	for _, f := range l.Findings {
		if f.Certainty == affinity.CertaintyNotChecked {
			fmt.Fprintf(b, "%s not checked: %s\n", f.Rule, f.NotChecked)
		}
	}
	fmt.Fprintf(b, "%d objects: %d problems, %d facts, %d passed, %d not checked, %d ignored\n", l.Objects, count["problem"], count["fact"], count["ok"], count["not checked"], l.Ignored)
	_, err := io.WriteString(w, b.String())
	return err
}

func line(b *strings.Builder, name, text string) {
	if text != "" {
		fmt.Fprintf(b, "  %-6s %s\n", name, text)
	}
}

func evidenceText(e affinity.FindingEvidence, about affinity.ObjectRef) string {
	var parts []string
	if o := e.Object.String(); o != "" && (e.Object.Kind != about.Kind || e.Object.Name != about.Name || e.Object.Namespace != about.Namespace) {
		parts = append(parts, o)
	}
	if e.Field != "" {
		value := e.Field
		if e.Value != "" {
			value += ": " + e.Value
		}
		parts = append(parts, value)
	}
	switch {
	case e.Text != "" && e.Field != "":
		parts = append(parts, "("+e.Text+")")
	case e.Text != "":
		parts = append(parts, e.Text)
	}
	return strings.Join(parts, " ")
}

func (l Lint) json(w io.Writer) error {
	list := findingList(l.Findings)
	list.Metadata.Warnings = l.Warnings
	e := json.NewEncoder(w)
	e.SetIndent("", "    ")
	e.SetEscapeHTML(false)
	return e.Encode(list)
}

// JUnit: a suite with a case for each rule and object, as CI systems show them.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Line    int           `xml:"line,attr,omitempty"`
		Failure *junitFailure `xml:"failure"`
		Skipped *junitSkipped `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)

func junitText(f affinity.Finding) string { return f.Impact + "\nfix: " + f.Fix + "\n" + f.Patch }

// junit fails the cases at or over FailOn alone; what is less passes, and says
// itself as the case's output.
func (l Lint) junit(w io.Writer) error {
	suite := junitSuite{Name: "stickytop lint"}
	for _, r := range l.Rules {
		said := false
		for _, f := range l.Findings {
			if f.Rule != r.ID {
				continue
			}
			c := junitCase{Class: r.ID, Name: f.Title + " (" + f.Object.String() + ")", File: f.Object.File, Line: f.Object.Line}
			switch {
			case f.Certainty == affinity.CertaintyNotChecked:
				c.Skipped = &junitSkipped{f.NotChecked}
				suite.Skipped++
			case f.Fails() && f.Severity >= l.FailOn:
				c.Failure = &junitFailure{f.Title, f.Severity.String(), junitText(f)}
				suite.Failures++
			case f.Severity != affinity.SeverityOK:
				c.Out = f.Severity.String() + ": " + junitText(f)
			}
			suite.Cases, said = append(suite.Cases, c), true
		}
		if !said {
			suite.Cases = append(suite.Cases, junitCase{Class: r.ID, Name: r.Title})
		}
	}
	suite.Tests = len(suite.Cases)
	text, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, xml.Header+string(text)+"\n")
	return err
}

// github writes workflow commands, which annotate a pull request.
// [docs.github.com, Workflow commands for GitHub Actions]
func (l Lint) github(w io.Writer) error {
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	for _, f := range l.Findings {
		if f.Certainty == affinity.CertaintyNotChecked || f.Severity == affinity.SeverityOK {
			continue
		}
		level := map[string]string{"error": "error", "warning": "warning", "note": "notice"}[sarifLevel(f.Severity)]
		at := ""
		if f.Object.File != "" {
			at = "file=" + property.Replace(f.Object.File) + ",line=" + strconv.Itoa(max(1, f.Object.Line)) + ","
		}
		if _, err := fmt.Fprintf(w, "::%s %stitle=%s::%s\n", level, at, property.Replace(f.Rule+" "+f.Object.String()), data.Replace(sentences(f))); err != nil {
			return err
		}
	}
	return nil
}
