package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
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
	Ignored  int
	Objects  int
	All      bool // text: those that passed, and those not checked, too
}

// LintFormats are the values of lint's -o.
var LintFormats = []string{"text", "json", "junit", "sarif", "github", "markdown"}

// Write prints l in one of LintFormats.
func (l Lint) Write(w io.Writer, format string) error {
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
			case f.Fails():
				c.Failure = &junitFailure{f.Title, f.Severity.String(), f.Impact + "\nfix: " + f.Fix + "\n" + f.Patch}
				suite.Failures++
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

// sarif writes SARIF 2.1.0 (OASIS), the part that code scanning reads.
func (l Lint) sarif(w io.Writer) error {
	type obj = map[string]any
	rules := make([]obj, 0, len(l.Rules))
	for _, r := range l.Rules {
		rules = append(rules, obj{"id": r.ID, "name": r.ID, "shortDescription": obj{"text": r.Title}, "fullDescription": obj{"text": r.Help}, "defaultConfiguration": obj{"level": sarifLevel(r.Severity)}})
	}
	results := []obj{}
	for _, f := range l.Findings {
		if f.Certainty == affinity.CertaintyNotChecked || f.Severity == affinity.SeverityOK {
			continue
		}
		text := f.Title + ". " + f.Impact + ". Fix: " + f.Fix
		x := obj{"ruleId": f.Rule, "ruleIndex": slices.IndexFunc(l.Rules, func(r LintRule) bool { return r.ID == f.Rule }), "level": sarifLevel(f.Severity), "message": obj{"text": text},
			"properties": obj{"severity": f.Severity.String(), "certainty": f.Certainty.String()}}
		location := obj{"logicalLocations": []obj{{"fullyQualifiedName": strings.TrimPrefix(f.Object.Namespace+"/"+f.Object.String(), "/"), "kind": "resource"}}}
		if f.Object.File != "" {
			location["physicalLocation"] = obj{"artifactLocation": obj{"uri": uri(f.Object.File)}, "region": obj{"startLine": max(1, f.Object.Line)}}
		}
		x["locations"] = []obj{location}
		results = append(results, x)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(obj{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []obj{{"tool": obj{"driver": obj{"name": "stickytop", "version": l.Version, "rules": rules}}, "results": results}}})
}

func uri(file string) string {
	return strings.NewReplacer("%", "%25", " ", "%20", "#", "%23", "?", "%3F", "<", "%3C", ">", "%3E", `\`, "/").Replace(file)
}

func sarifLevel(s affinity.Severity) string {
	switch {
	case s >= affinity.SeverityHigh:
		return "error"
	case s == affinity.SeverityMedium:
		return "warning"
	}
	return "note"
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
		if _, err := fmt.Fprintf(w, "::%s %stitle=%s::%s\n", level, at, property.Replace(f.Rule+" "+f.Object.String()), data.Replace(f.Title+". "+f.Impact+". Fix: "+f.Fix)); err != nil {
			return err
		}
	}
	return nil
}
