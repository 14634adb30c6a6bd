package term

import (
	"io"
	"os"
	"time"

	"github.com/charmbracelet/x/ansi"
	xterm "github.com/charmbracelet/x/term"
)

// restoreSequence undoes all that the program may have switched on. Each part
// is harmless when it was not.
const restoreSequence = ansi.ResetModeSynchronizedOutput +
	ansi.ResetModeMouseButtonEvent + ansi.ResetModeMouseAnyEvent + ansi.ResetModeMouseExtSgr +
	ansi.ResetModeFocusEvent + ansi.ResetModeBracketedPaste +
	ansi.ResetModeAltScreenSaveCursor + ansi.SetModeTextCursorEnable + "\x1b[m"

// Rescue remembers a terminal's settings, for when the program that changed
// them cannot undo that itself.
type Rescue struct {
	in    *os.File
	out   io.Writer
	state *xterm.State
}

// NewRescue remembers the settings of in. It does nothing when in is not a
// terminal.
func NewRescue(in io.Reader, out io.Writer) *Rescue {
	r := &Rescue{out: out}
	f, ok := in.(*os.File)
	if !ok || f == nil || !xterm.IsTerminal(f.Fd()) {
		return r
	}
	if state, err := xterm.GetState(f.Fd()); err == nil {
		r.in, r.state = f, state
	}
	return r
}

// Restore puts the settings back and leaves the alternate screen. It returns
// within limit also when the terminal takes no more bytes: a writer that
// blocks is then left behind, for the process is about to end.
func (r *Rescue) Restore(limit time.Duration) {
	if r.state == nil {
		return
	}
	_ = xterm.Restore(r.in.Fd(), r.state)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(r.out, restoreSequence)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}
