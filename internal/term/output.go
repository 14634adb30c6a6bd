package term

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/aymanbagabas/go-osc52/v2"
	"github.com/charmbracelet/x/ansi"
	xterm "github.com/charmbracelet/x/term"
)

// MaxCopy is the longest text, in bytes, that Copy sends: terminals drop OSC 52
// sequences of more than about 75,000 bytes of base64.
const MaxCopy = 56_000

// ErrTooLong tells that a text does not fit into an OSC 52 sequence.
var ErrTooLong = errors.New("too long for OSC 52")

// Output is the one writer to a terminal. Writes are whole: what Copy sends
// never lands inside a frame. It is safe for concurrent use.
type Output struct {
	mu    sync.Mutex
	w     io.Writer
	plain bool
	mux   Mux
	buf   bytes.Buffer
}

// NewOutput returns an Output onto w. Unless sync is false, each frame is
// wrapped in synchronized-output marks (CSI ? 2026 h and l), between which a
// terminal that knows them does not repaint; others ignore them.
func NewOutput(w io.Writer, mux Mux, sync bool) *Output {
	return &Output{w: w, mux: mux, plain: !sync}
}

// Write writes p, in one write to the terminal.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, after := "", ""
	switch {
	case bytes.HasPrefix(p, []byte(ansi.ResetModeAltScreenSaveCursor)):
		// tmux 3.3 wraps what is left on the alternate screen after a resize,
		// and shows the pieces above the shell's own lines.
		before = ansi.CursorHomePosition + ansi.EraseScreenBelow
	case !o.plain && bytes.HasPrefix(p, []byte(ansi.CursorHomePosition)):
		// Bubble Tea paints with one write that starts by homing the cursor;
		// switching modes must not be held back.
		before, after = ansi.SetModeSynchronizedOutput, ansi.ResetModeSynchronizedOutput
	default:
		return o.w.Write(p)
	}
	o.buf.Reset()
	o.buf.WriteString(before)
	o.buf.Write(p)
	o.buf.WriteString(after)
	if _, err := o.w.Write(o.buf.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Copy asks the terminal to put text on the clipboard of the machine it runs
// on, and says by which way. Whether it did is not told by any terminal.
func (o *Output) Copy(text string) (way string, err error) {
	if len(text) > MaxCopy {
		return "", fmt.Errorf("copy %d bytes: %w", len(text), ErrTooLong)
	}
	seq, way := osc52.New(text), "OSC 52"
	switch o.mux {
	case MuxTmux:
		seq, way = seq.Tmux(), "OSC 52 through tmux (needs allow-passthrough)"
	case MuxScreen:
		seq, way = seq.Screen(), "OSC 52 through screen"
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err = seq.WriteTo(o.w)
	return way, err
}

// Writer returns o as Bubble Tea needs it: as a file when the terminal is one,
// so that its size can be read.
func (o *Output) Writer() io.Writer {
	if f, ok := o.w.(*os.File); ok {
		return fileOutput{File: f, out: o}
	}
	return o
}

// fileOutput is an Output that still has the terminal's descriptor.
type fileOutput struct {
	*os.File
	out *Output
}

var _ xterm.File = fileOutput{}

func (f fileOutput) Write(p []byte) (int, error) { return f.out.Write(p) }

// WriteString keeps io.WriteString from reaching the file around the Output.
func (f fileOutput) WriteString(s string) (int, error) { return f.out.Write([]byte(s)) }
