package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func TestFold(t *testing.T) {
	for _, tt := range []struct {
		in   string
		w    int
		want string
	}{
		{"one two\n", 20, "one two\n"},
		{"one two three\n", 8, "one two\n  three\n"},
		{"  not root, no capability, Pod Security\nnext", 22, "  not root, no\n    capability, Pod\n    Security\nnext"},
		{"a-name-that-nothing-holds x", 10, "a-name-that-nothing-holds\n  x"},
	} {
		if got := fold(tt.in, tt.w); got != tt.want {
			t.Errorf("fold(%q, %d) = %q, want %q", tt.in, tt.w, got, tt.want)
		}
	}
}

// terminal80 is both ends of a terminal of 80x24.
func terminal80(t *testing.T) (ptmx, tty *os.File) {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal("no pseudo terminal: ", err)
	}
	t.Cleanup(func() { _, _ = tty.Close(), ptmx.Close() })
	if err := pty.Setsize(ptmx, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	return ptmx, tty
}

// TestConsentOnTerminal: what is asked is not broken inside its words.
func TestConsentOnTerminal(t *testing.T) {
	ptmx, tty := terminal80(t)
	f := agentFlags{clients: 2}
	spec, _ := f.spec("web", runSilence, runLife)
	plan := describe(spec, "https://k8s.example.com:6443")
	said := make(chan string, 1)
	go func() {
		var b strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(b.String(), "[y/N]") {
			n, err := ptmx.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				break
			}
		}
		said <- b.String()
	}()
	if _, err := io.WriteString(ptmx, "y\n"); err != nil {
		t.Fatal(err)
	}
	if err := consent(t.Context(), plan, false, genericiooptions.IOStreams{In: tty, Out: tty, ErrOut: tty}); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-said:
		for line := range strings.Lines(text) {
			if n := ansi.StringWidth(strings.TrimRight(line, "\r\n")); n > 80 {
				t.Errorf("a line of %d columns: %q", n, line)
			}
		}
		for _, words := range strings.Fields(plan) {
			if !strings.Contains(text, words) {
				t.Errorf("%q was broken in %q", words, text)
			}
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was asked")
	}
}

// TestHelpFits: no line of the flags' help is wider than the terminal, and all
// of it is there.
func TestHelpFits(t *testing.T) {
	_, tty := terminal80(t)
	usage := func(out io.Writer) string {
		root := newRoot("stickytop", genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: io.Discard})
		text := ""
		for _, c := range append(root.Commands(), root) {
			_, flags, _ := strings.Cut(c.UsageString(), "\nFlags:\n")
			text += flags
		}
		return text
	}
	fits, whole := usage(tty), usage(io.Discard)
	for line := range strings.Lines(fits) {
		if n := ansi.StringWidth(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if a, b := strings.Fields(fits), strings.Fields(whole); strings.Join(a, " ") != strings.Join(b, " ") {
		t.Errorf("folded help has %d words, unfolded %d", len(a), len(b))
	}
}
