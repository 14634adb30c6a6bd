package report

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestJUnitFailOn wants the cases fail that fail the run, the others told in the
// output of a case that passes.
func TestJUnitFailOn(t *testing.T) {
	finding := func(rule string, s affinity.Severity) affinity.Finding {
		return affinity.Finding{Rule: rule, Title: "title of " + rule, Severity: s, Certainty: affinity.CertaintyExact, Impact: "impact", Fix: "mend " + rule}
	}
	l := Lint{Findings: []affinity.Finding{finding("A01", affinity.SeverityCritical), finding("B10", affinity.SeverityHigh), finding("C03", affinity.SeverityMedium),
		finding("F01", affinity.SeverityInfo), finding("I05", affinity.SeverityOK), {Rule: "J01", NotChecked: "forbidden"}}}
	for _, id := range []string{"A01", "B10", "C03", "F01", "I05", "J01", "L01"} {
		l.Rules = append(l.Rules, LintRule{ID: id, Title: id})
	}
	for limit, want := range map[affinity.Severity]string{
		affinity.SeverityLow:          "A01 fails, B10 fails, C03 fails, F01 says info, I05, J01 skipped, L01",
		affinity.SeverityHigh:         "A01 fails, B10 fails, C03 says medium, F01 says info, I05, J01 skipped, L01",
		affinity.SeverityCritical:     "A01 fails, B10 says high, C03 says medium, F01 says info, I05, J01 skipped, L01",
		affinity.SeverityCritical + 1: "A01 says critical, B10 says high, C03 says medium, F01 says info, I05, J01 skipped, L01",
	} {
		l.FailOn = limit
		var b bytes.Buffer
		if err := l.Write(&b, "junit"); err != nil {
			t.Fatal(err)
		}
		var doc junitSuites
		if err := xml.Unmarshal(b.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		var got []string
		suite := doc.Suites[0]
		for _, c := range suite.Cases {
			word := c.Class
			if c.Failure != nil {
				word += " fails"
			}
			if c.Skipped != nil {
				word += " skipped"
			}
			if severity, said, ok := strings.Cut(c.Out, ": "); ok {
				word += " says " + severity
				if !strings.Contains(said, "mend "+c.Class) {
					t.Errorf("%s: %q", c.Class, said)
				}
			}
			got = append(got, word)
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s: got  %s\nwant %s", limit, text, want)
		}
		if suite.Tests != 7 || suite.Skipped != 1 || suite.Failures != strings.Count(want, "fails") {
			t.Errorf("%s: %d tests, %d failures, %d skipped", limit, suite.Tests, suite.Failures, suite.Skipped)
		}
	}
}
