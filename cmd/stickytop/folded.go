package main

import (
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	xterm "github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// folded is text as w shows it best: on a terminal its lines are broken between
// words, elsewhere they stay as they are.
func folded(w io.Writer, text string) string {
	if width := widthOf(w); width > 0 {
		return fold(text, width)
	}
	return text
}

// widthOf is how many columns the terminal w has; 0 when w is none.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := xterm.GetSize(f.Fd())
	if err != nil {
		return 0
	}
	return max(0, width)
}

// foldFlags makes the help of root and its commands break the lines of flags at
// the width of the terminal w. It changes a template function of the process.
func foldFlags(root *cobra.Command, w io.Writer) {
	cobra.AddTemplateFunc("folded", func(fs *pflag.FlagSet) string { return fs.FlagUsagesWrapped(widthOf(w)) })
	root.SetUsageTemplate(strings.NewReplacer(".LocalFlags.FlagUsages", "folded .LocalFlags", ".InheritedFlags.FlagUsages", "folded .InheritedFlags").Replace(root.UsageTemplate()))
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
