package report

import (
	"bytes"
	"io"
	"regexp"
	"strings"
)

// What a step of a pipeline prints is searched for commands: GitHub's runner takes
// lines that begin with :: after blanks, and ##[ anywhere in one, Azure's agent
// ##vso[, TeamCity ##teamcity[. Manifests of others must not give any.
// [github.com/actions/runner, src/Runner.Common/ActionCommand.cs;
// learn.microsoft.com, Logging commands]
var (
	commandAnywhere = regexp.MustCompile(`##([A-Za-z]*\[)`)
	commandAtStart  = regexp.MustCompile(`(?m)^(\s*):(:)`)
)

// Inert is text for people in which no pipeline finds a command.
func Inert(text string) string {
	if strings.Contains(text, "##") {
		text = commandAnywhere.ReplaceAllString(text, "#·$1")
	}
	if strings.Contains(text, "::") {
		text = commandAtStart.ReplaceAllString(text, "$1·$2")
	}
	return text
}

// inertWriter makes what lint writes inert, and keeps little of it: up to the end
// of a line, as no command goes over one.
type inertWriter struct {
	w      io.Writer
	format string
	kept   []byte
	err    error
}

const inertChunk = 64 << 10

func (i *inertWriter) Write(p []byte) (int, error) {
	i.kept = append(i.kept, p...)
	if len(i.kept) >= inertChunk {
		_ = i.flush(bytes.LastIndexByte(i.kept, '\n') + 1)
	}
	return len(p), i.err
}

// flush writes the first n bytes that are kept.
func (i *inertWriter) flush(n int) error {
	if i.err == nil && n > 0 {
		_, i.err = i.w.Write(inert(i.kept[:n], i.format))
	}
	i.kept = i.kept[:copy(i.kept, i.kept[n:])]
	return i.err
}

// inert does the same to a format of lint. Where it has escapes of its own, what
// is read from it stays as it was.
func inert(text []byte, format string) []byte {
	if !bytes.Contains(text, []byte("##")) && !bytes.Contains(text, []byte("::")) {
		return text
	}
	switch format {
	case "json", "sarif":
		return commandAnywhere.ReplaceAll(text, []byte(`\u0023#$1`))
	case "junit":
		return commandAnywhere.ReplaceAll(text, []byte(`&#35;#$1`))
	case "github":
		return text // each line is one command, and no other is looked for in it
	}
	return []byte(Inert(string(text)))
}
