package report

import (
	"bytes"
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
