package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// markdown writes the findings in CommonMark, for an issue or a chat. What
// objects said stands in code spans and fenced blocks: in them nothing is a
// link, a picture, HTML or a mention. [spec.commonmark.org 0.31, 4.5 and 6.1]
func (l Lint) markdown(b io.Writer) error {
	for i, f := range l.Findings {
		if i > 0 {
			fmt.Fprintln(b)
		}
		word := f.Severity.String()
		switch f.Certainty {
		case affinity.CertaintyNotChecked:
			word = "not checked"
		case affinity.CertaintyLikely:
			word += ", likely"
		}
		fmt.Fprintf(b, "## %s %s: %s\n\n", f.Rule, word, escape(f.Title))
		item := func(name, text string) {
			if text != "" {
				fmt.Fprintf(b, "- %s: %s\n", name, text)
			}
		}
		item("object", code(where(f.Object)))
		item("session", code(string(f.Session)))
		if !f.At.IsZero() {
			item("first seen", f.At.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		item("missing", escape(f.NotChecked))
		for _, e := range f.Evidence {
			item("evidence", code(evidenceText(e, f.Object)))
		}
		item("impact", escape(f.Impact))
		item("fix", escape(f.Fix))
		if patch := strings.TrimRight(f.Patch, "\n"); patch != "" {
			fence := strings.Repeat("`", max(3, longest(patch)+1))
			fmt.Fprintf(b, "\n%s\n%s\n%s\n\n", fence, patch, fence)
		}
		item("verify", code(f.Verify))
		if f.Rule != affinity.NoRule {
			item("more", code("stickytop explain "+f.Rule))
		}
	}
	for i, g := range l.Ignored {
		if !l.ShowIgnored {
			break
		}
		if i == 0 {
			fmt.Fprintf(b, "\n## Ignored\n\n")
		}
		fmt.Fprintf(b, "- %s\n", code(g.String()))
	}
	for i, u := range l.Unread {
		if i == 0 {
			fmt.Fprintf(b, "\n## Not read\n\n")
		}
		fmt.Fprintf(b, "- %s\n", code(u.String()))
	}
	if len(l.Findings)+len(l.Unread) == 0 {
		fmt.Fprintln(b, "Nothing found.")
	}
	return nil // the writer remembers an error
}

// code makes text one code span; "" stays empty.
func code(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return ""
	}
	marks := strings.Repeat("`", longest(text)+1)
	if text[0] == '`' || text[len(text)-1] == '`' {
		text = " " + text + " "
	}
	return marks + text + marks
}

// longest is the length of the longest run of backticks.
func longest(text string) int {
	most, n := 0, 0
	for _, r := range text {
		if n++; r != '`' {
			n = 0
		}
		most = max(most, n)
	}
	return most
}

// markdownMarks mean something to CommonMark, or, as @ and #, to those who show it.
const markdownMarks = "\\`*_{}[]<>()#!|~&@"

// escape makes text a single line of plain words.
func escape(text string) string {
	b := &strings.Builder{}
	for _, r := range strings.Join(strings.Fields(text), " ") {
		switch {
		case r == '@': // a backslash does not keep a name behind it from being told
			b.WriteString("&#64;")
			continue
		case strings.ContainsRune(markdownMarks, r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// lintEndings are the formats of files by the endings of their names.
var lintEndings = []struct{ ending, format string }{
	{".md", "markdown"}, {".json", "json"}, {".sarif", "sarif"}, {".xml", "junit"}, {".txt", "text"},
}

// FormatOf is which of LintFormats a file of that name is in; "" for none.
func FormatOf(name string) string {
	name = strings.ToLower(name)
	i := slices.IndexFunc(lintEndings, func(e struct{ ending, format string }) bool { return strings.HasSuffix(name, e.ending) })
	if i < 0 {
		return ""
	}
	return lintEndings[i].format
}

// Endings lists what FormatOf knows.
func Endings() string {
	var all []string
	for _, e := range lintEndings {
		all = append(all, e.ending)
	}
	return strings.Join(all, ", ")
}
