package findings

import (
	"fmt"
	"strings"
)

// Explain is the long form of a rule, for a terminal.
func (r Rule) Explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n", r.ID, r.Title)
	section := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%s\n%s\n\n", strings.ToUpper(name), wrap(text, 76, "  "))
		}
	}
	section("severity", r.Severity.String()+" at worst; a finding says its own")
	section("what happens", r.What)
	section("a run shows it when", r.Shown)
	section("impact", r.Impact)
	section("fix", r.Fix)
	section("how to verify", r.verify())
	if len(r.Needs) > 0 {
		section("needs", "in a cluster, the right to read "+strings.Join(r.Needs, ", ")+"; without it the rule is not checked, and says so")
	}
	switch {
	case r.Tables != "":
		section("read from", "the tables of nodes: "+r.Tables+" shows it; lint cannot")
	case r.Runtime:
		section("read from", "sessions alone: stickytop --transport socketio, or get sessions --transport socketio, shows it; lint cannot")
	default:
		section("silence it", fmt.Sprintf("a comment in the document or an annotation, with a reason:  %s: %s WHY", annotationIgnore, r.ID))
	}
	fmt.Fprintf(&b, "SOURCES\n")
	for _, s := range r.Sources {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	return b.String()
}

func (r Rule) verify() string { return strings.ReplaceAll(r.Verify, "{obj}", "OBJECT") }

// Page is the page of all rules, in Markdown.
func Page() string {
	var b strings.Builder
	b.WriteString("# Rules\n\nWritten by `make rules` from `internal/findings`. `stickytop explain ID` prints one of them.\n\n")
	b.WriteString("| id | title | severity at worst |\n|---|---|---|\n")
	for _, r := range Rules {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", r.ID, strings.ToLower(r.ID), r.Title, r.Severity)
	}
	for _, r := range Rules {
		fmt.Fprintf(&b, "\n## %s\n\n**%s.** %s\n\n", r.ID, r.Title, r.What)
		if r.Shown != "" {
			fmt.Fprintf(&b, "- A run shows it when %s\n", r.Shown)
		}
		fmt.Fprintf(&b, "- Impact: %s.\n- Fix: %s.\n- Verify: %s.\n- Sources: %s.\n", r.Impact, r.Fix, r.verify(), strings.Join(r.Sources, "; "))
	}
	return b.String()
}

func wrap(text string, width int, indent string) string {
	var b strings.Builder
	n := 0
	for i, w := range strings.Fields(text) {
		switch {
		case i == 0:
			b.WriteString(indent)
		case n+1+len(w) > width:
			b.WriteString("\n" + indent)
			n = 0
		default:
			b.WriteString(" ")
			n++
		}
		b.WriteString(w)
		n += len(w)
	}
	return b.String()
}
