package main

import (
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	xterm "github.com/charmbracelet/x/term"
)

// folded is text as w shows it best: on a terminal its lines are broken between
// words, elsewhere they stay as they are.
func folded(w io.Writer, text string) string {
	f, ok := w.(*os.File)
	if !ok {
		return text
	}
	width, _, err := xterm.GetSize(f.Fd())
	if err != nil || width <= 0 {
		return text
	}
	return fold(text, width)
}

// fold breaks the lines of text that are wider than width between words. What
// is continued stands further in than its line begins.
func fold(text string, width int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if ansi.StringWidth(line) <= width {
			continue
		}
		rest := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(rest)]
		var b strings.Builder
		used := 0
		for n, word := range strings.Fields(rest) {
			size := ansi.StringWidth(word)
			switch {
			case n == 0:
				b.WriteString(indent)
				used = len(indent)
			case used+1+size > width:
				b.WriteString("\n" + indent + "  ")
				used = len(indent) + 2
			default:
				b.WriteByte(' ')
				used++
			}
			b.WriteString(word)
			used += size
		}
		lines[i] = b.String()
	}
	return strings.Join(lines, "\n")
}
