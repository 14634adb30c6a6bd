package report

import (
	"strings"
	"testing"
)

// TestWhatCouldNotBeRead wants what could not be read told in every format, so that no reader
// of one takes silence for a clean bill.
func TestWhatCouldNotBeRead(t *testing.T) {
	l := Lint{Unread: []Unread{{File: "k8s/web,1.yaml", Line: 7, Text: "a tab indents it"}, {Text: "list services is forbidden"}, {File: stdin, Line: 2, Text: "no YAML"}}}
	for format, want := range map[string][]string{
		"text":     {", 3 not read"},
		"json":     {`"unread": [`, `"file": "k8s/web,1.yaml"`, `"line": 7`, `"text": "list services is forbidden"`},
		"junit":    {`tests="3"`, `errors="3"`, `<error message="k8s/web,1.yaml:7: a tab indents it" type="unread">`, `file="k8s/web,1.yaml" line="7"`},
		"sarif":    {`"executionSuccessful": false`, `"level": "error"`, `"uri": "k8s/web,1.yaml"`, `could not be read: list services is forbidden`},
		"github":   {"::error file=k8s/web%2C1.yaml,line=7,title=", "::k8s/web,1.yaml:7: a tab indents it\n", "::error title=stickytop lint could not read it::list services is forbidden\n", "::error title=stickytop lint could not read it::<stdin>:2: no YAML\n"},
		"markdown": {"## Not read", "k8s/web,1.yaml:7: a tab indents it"},
	} {
		var b strings.Builder
		if err := l.Write(&b, format); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s has no %q:\n%s", format, w, b.String())
			}
		}
		if strings.Contains(b.String(), "Nothing found") {
			t.Errorf("%s: nothing was found in what was not read", format)
		}
	}
	if run := writeSARIF(t, l).Runs[0]; len(run.Invocations[0].ToolExecutionNotifications) != 3 {
		t.Errorf("%+v", run.Invocations)
	}
}
