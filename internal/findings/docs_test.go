package findings_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
)

var update = flag.Bool("update", false, "write docs/rules.md")

func TestPage(t *testing.T) {
	const file = "../../docs/rules.md"
	if *update {
		if err := os.WriteFile(file, []byte(findings.Page()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != findings.Page() {
		t.Errorf("docs/rules.md is not what the rules say (%v): make rules", err)
	}
}

func TestExplain(t *testing.T) {
	for i, r := range findings.Rules {
		if r.ID == "" || r.Title == "" || r.What == "" || r.Impact == "" || r.Fix == "" || r.Verify == "" || len(r.Sources) == 0 || r.Severity == 0 {
			t.Errorf("%s lacks a part of its long form", r.ID)
		}
		if i > 0 && findings.Rules[i-1].ID >= r.ID {
			t.Errorf("%s is not in order", r.ID)
		}
		for line := range strings.Lines(r.Explain()) {
			if len(line) > 130 {
				t.Errorf("%s: a line of %d: %s", r.ID, len(line), line)
			}
		}
	}
}

func TestSplitIgnore(t *testing.T) {
	for in, want := range map[string]string{
		"A04 shared on purpose": "A04|shared on purpose", "A04, B10: the app copes": "A04 B10|the app copes", "A04,B10 - x": "A04 B10|x",
		"A04": "A04|", "because": "|because", "": "|",
	} {
		rules, reason := findings.SplitIgnore(in)
		if got := strings.Join(rules, " ") + "|" + reason; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestExplainNamesTheSource: what nodes' tables show is not said to be shown by
// sessions.
func TestExplainNamesTheSource(t *testing.T) {
	for _, r := range findings.Rules {
		if !r.Runtime {
			continue
		}
		tables := strings.Contains(r.Shown, "(--kernel)")
		if text := strings.Join(strings.Fields(r.Explain()), " "); strings.Contains(text, "READ FROM sessions alone") == tables || strings.Contains(text, "READ FROM the tables of nodes") != tables || tables && !strings.Contains(text, "--kernel") {
			t.Errorf("%s: %s", r.ID, text)
		}
	}
}
