package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
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

// Unread is something that lint could not read, and why: a file, a part of it, or
// a kind of a cluster's objects.
type Unread struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1; 0 when it is about all of it
	Text string `json:"text"`
}

func (u Unread) String() string {
	switch {
	case u.File == "":
		return u.Text
	case u.Line == 0:
		return u.File + ": " + u.Text
	}
	return fmt.Sprintf("%s:%d: %s", u.File, u.Line, u.Text)
}

// Ignored is a finding that its object silences, and the reason that is given.
type Ignored struct {
	affinity.Finding
	Reason string
}

func (g Ignored) String() string {
	return fmt.Sprintf("%s ignored: %s (%s): %s", g.Rule, g.Title, where(g.Object), g.Reason)
}

// IgnoredFinding is a finding that its object silences, as JSON has it.
type IgnoredFinding struct {
	Rule     string         `json:"rule"`
	Title    string         `json:"title"`
	Severity string         `json:"severity"`
	Object   *FindingObject `json:"object,omitempty"`
	Reason   string         `json:"reason"`
}

// Lint is what a lint run found.
type Lint struct {
	Version  string
	Rules    []LintRule // that were checked
	Findings []affinity.Finding
	Root     string            // absolute path that files' names are relative to, with slashes; "" where that is not known
	FailOn   affinity.Severity // JUnit: least severity that fails
	Warnings []string          // JSON and SARIF; others have them beside
	Unread   []Unread          // with one, the run is no success, whatever it found
	Ignored  []Ignored
	Objects  int
	All      bool // text: those that passed, and those not checked, too
	// ShowIgnored lists what is ignored in text and Markdown, and makes suppressed
	// results of it in SARIF; JSON and JUnit always have it.
	ShowIgnored bool
}

// stdin stands for the file's name of what was read from standard input.
const stdin = "<stdin>"

// LintFormats are the values of lint's -o.
var LintFormats = []string{"text", "json", "junit", "sarif", "github", "markdown"}

// Write prints l in one of LintFormats.
func (l Lint) Write(w io.Writer, format string) error {
	out := &inertWriter{w: w, format: format}
	if err := l.write(out, format); err != nil {
		return err
	}
	return out.flush(len(out.kept))
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

func (l Lint) text(b io.Writer) error {
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
		fmt.Fprintln(b)
	}
	for _, f := range l.Findings {
		if f.Certainty == affinity.CertaintyNotChecked {
			fmt.Fprintf(b, "%s not checked: %s\n", f.Rule, f.NotChecked)
		}
	}
	ignored := fmt.Sprintf("%d ignored", len(l.Ignored))
	switch {
	case l.ShowIgnored:
		for _, g := range l.Ignored {
			fmt.Fprintln(b, g)
		}
	case len(l.Ignored) > 0:
		ignored += " (--show-ignored lists them)"
	}
	unread := ""
	if n := len(l.Unread); n > 0 {
		unread = fmt.Sprintf(", %d not read", n)
	}
	_, err := fmt.Fprintf(b, "%d objects: %d problems, %d facts, %d passed, %d not checked, %s%s\n", l.Objects, count["problem"], count["fact"], count["ok"], count["not checked"], ignored, unread)
	return err
}

func line(b io.Writer, name, text string) {
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
	list := newList[Finding](&affinity.Snapshot{}, "FindingList")
	list.Metadata.Warnings, list.Metadata.Unread = l.Warnings, l.Unread
	for _, g := range l.Ignored {
		list.Metadata.Ignored = append(list.Metadata.Ignored, IgnoredFinding{g.Rule, g.Title, g.Severity.String(), findingObject(g.Object), g.Reason})
	}
	names := namesOf(l.Findings)
	return writeAround(w, list, "items", "        ", "    ", len(l.Findings), func(i int) any { return newFinding(l.Findings[i], names[i]) })
}

// writeAround writes v as indented JSON, with n values in place of the empty list
// that v has by that name: one value at a time is in memory.
func writeAround(w io.Writer, v any, name, prefix, indent string, n int, value func(int) any) error {
	around, err := marshal(v, "", indent)
	if err != nil {
		return err
	}
	before, after, ok := bytes.Cut(around, []byte(strconv.Quote(name)+": []"))
	if !ok {
		return fmt.Errorf("no list %q to write", name)
	}
	if n == 0 {
		_, err := w.Write(append(around, '\n'))
		return err
	}
	if _, err := fmt.Fprintf(w, "%s%q: [", before, name); err != nil {
		return err
	}
	for i := range n {
		text, err := marshal(value(i), prefix, indent)
		if err != nil {
			return err
		}
		comma := ","
		if i == 0 {
			comma = ""
		}
		if _, err := fmt.Fprintf(w, "%s\n%s%s", comma, prefix, text); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "\n%s]%s\n", strings.TrimSuffix(prefix, indent), after)
	return err
}

// marshal writes indented JSON without a line's end, and without escapes that
// HTML alone needs.
func marshal(v any, prefix, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent(prefix, indent)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
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
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		XMLName xml.Name      `xml:"testcase"`
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Line    int           `xml:"line,attr,omitempty"`
		Failure *junitFailure `xml:"failure"`
		Error   *junitFailure `xml:"error"`
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
	by := map[string][]int{}
	suite := junitSuite{Name: "stickytop lint", Tests: len(l.Unread) + len(l.Ignored), Errors: len(l.Unread), Skipped: len(l.Ignored)}
	for i, f := range l.Findings {
		by[f.Rule] = append(by[f.Rule], i)
	}
	for _, r := range l.Rules {
		suite.Tests += max(1, len(by[r.ID]))
		for _, i := range by[r.ID] {
			switch f := l.Findings[i]; {
			case f.Certainty == affinity.CertaintyNotChecked:
				suite.Skipped++
			case l.fails(f):
				suite.Failures++
			}
		}
	}
	// The document is written around its cases, one of them in memory at a time.
	around, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return err
	}
	before, after, ok := bytes.Cut(around, []byte("</testsuite>"))
	if !ok {
		return errors.New("no suite to write")
	}
	if _, err := fmt.Fprintf(w, "%s%s", xml.Header, before); err != nil {
		return err
	}
	write := func(c junitCase) error {
		text, err := xml.MarshalIndent(c, "    ", "  ")
		if err == nil {
			_, err = fmt.Fprintf(w, "\n%s", text)
		}
		return err
	}
	for _, u := range l.Unread {
		if err := write(junitCase{Class: "unread", Name: "could not be read: " + cmp.Or(u.File, u.Text), File: u.File, Line: u.Line, Error: &junitFailure{Message: u.String(), Type: "unread"}}); err != nil {
			return err
		}
	}
	for _, r := range l.Rules {
		for _, i := range by[r.ID] {
			f := l.Findings[i]
			c := junitCase{Class: r.ID, Name: f.Title + " (" + f.Object.String() + ")", File: f.Object.File, Line: f.Object.Line}
			switch {
			case f.Certainty == affinity.CertaintyNotChecked:
				c.Skipped = &junitSkipped{f.NotChecked}
			case l.fails(f):
				c.Failure = &junitFailure{f.Title, f.Severity.String(), junitText(f)}
			case f.Severity != affinity.SeverityOK:
				c.Out = f.Severity.String() + ": " + junitText(f)
			}
			if err := write(c); err != nil {
				return err
			}
		}
		if len(by[r.ID]) == 0 {
			if err := write(junitCase{Class: r.ID, Name: r.Title}); err != nil {
				return err
			}
		}
	}
	for _, g := range l.Ignored {
		c := junitCase{Class: g.Rule, Name: g.Title + " (" + g.Object.String() + ")", File: g.Object.File, Line: g.Object.Line, Skipped: &junitSkipped{"ignored: " + g.Reason}}
		if err := write(c); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "\n  </testsuite>%s\n", after)
	return err
}

// fails reports whether f fails the run.
func (l Lint) fails(f affinity.Finding) bool { return f.Fails() && f.Severity >= l.FailOn }

// github writes workflow commands, which annotate a pull request.
// [docs.github.com, Workflow commands for GitHub Actions]
func (l Lint) github(w io.Writer) error {
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	for _, u := range l.Unread {
		at := ""
		if u.File != "" && u.File != stdin {
			at = "file=" + property.Replace(u.File) + ",line=" + strconv.Itoa(max(1, u.Line)) + ","
		}
		if _, err := fmt.Fprintf(w, "::error %stitle=stickytop lint could not read it::%s\n", at, data.Replace(u.String())); err != nil {
			return err
		}
	}
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
