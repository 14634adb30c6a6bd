package term

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/charmbracelet/x/ansi"
	xterm "github.com/charmbracelet/x/term"
)

func TestDetect(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want Ability
	}{
		{"nothing known", nil, Ability{Colors: 16}},
		{"usual", map[string]string{"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}, Ability{Colors: 256}},
		{"truecolor by COLORTERM", map[string]string{"TERM": "xterm", "COLORTERM": "truecolor"}, Ability{Colors: 256}},
		{"NO_COLOR", map[string]string{"TERM": "xterm-256color", "NO_COLOR": "1"}, Ability{}},
		{"NO_COLOR empty means nothing", map[string]string{"TERM": "xterm", "NO_COLOR": ""}, Ability{Colors: 16}},
		{"Japanese", map[string]string{"TERM": "xterm", "LANG": "ja_JP.UTF-8"}, Ability{Colors: 16, ASCII: true}},
		{"Chinese characters, other language", map[string]string{"TERM": "xterm", "LC_CTYPE": "zh_CN.utf8", "LANG": "en_US.UTF-8"}, Ability{Colors: 16, ASCII: true}},
		{"LC_ALL wins", map[string]string{"TERM": "xterm", "LC_ALL": "de_DE.UTF-8", "LANG": "ko_KR.UTF-8"}, Ability{Colors: 16}},
		{"Konkani is not Korean", map[string]string{"TERM": "xterm", "LANG": "kok_IN.UTF-8"}, Ability{Colors: 16}},
		{"Latin-1", map[string]string{"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, Ability{Colors: 16, ASCII: true}},
		{"modifier", map[string]string{"TERM": "xterm", "LANG": "ca_ES.UTF-8@valencia"}, Ability{Colors: 16}},
		{"C", map[string]string{"TERM": "xterm", "LANG": "C"}, Ability{Colors: 16}},
		{"Linux console", map[string]string{"TERM": "linux"}, Ability{Colors: 16, ASCII: true}},
		{"vt100", map[string]string{"TERM": "vt100"}, Ability{ASCII: true}},
		{"dumb", map[string]string{"TERM": "dumb", "COLORTERM": "truecolor"}, Ability{ASCII: true, Dumb: true}},
		{"SSH", map[string]string{"TERM": "xterm", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, Ability{Colors: 16, Remote: true}},
		{"tmux", map[string]string{"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, Ability{Colors: 256, Mux: MuxTmux}},
		{"tmux with TERM=screen", map[string]string{"TERM": "screen-256color", "TMUX": "x"}, Ability{Colors: 256, Mux: MuxTmux}},
		{"screen", map[string]string{"TERM": "screen", "STY": "1.x"}, Ability{Colors: 16, Mux: MuxScreen}},
	} {
		if got := Detect(func(k string) string { return tt.env[k] }); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestWriteMarksFrames(t *testing.T) {
	frame := ansi.CursorHomePosition + "hello"
	for _, tt := range []struct {
		name string
		in   string
		sync bool
		want string
	}{
		{"a frame", frame, true, ansi.SetModeSynchronizedOutput + frame + ansi.ResetModeSynchronizedOutput},
		{"a mode", ansi.HideCursor, true, ansi.HideCursor},
		{"switched off", frame, false, frame},
		{"the end", ansi.ResetModeAltScreenSaveCursor, false, "\x1b[H\x1b[J\x1b[?1049l"},
	} {
		var b bytes.Buffer
		n, err := NewOutput(&b, MuxNone, tt.sync).Write([]byte(tt.in))
		if err != nil || n != len(tt.in) || b.String() != tt.want {
			t.Errorf("%s: wrote %q (%d, %v), want %q (%d)", tt.name, b.String(), n, err, tt.want, len(tt.in))
		}
	}
}

func TestCopy(t *testing.T) {
	text := "curl 'https://x'\x1b"
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	for _, tt := range []struct {
		mux    Mux
		prefix string
		way    string
	}{
		{MuxNone, "\x1b]52;c;", "OSC 52"},
		{MuxTmux, "\x1bPtmux;\x1b\x1b]52;c;", "OSC 52 through tmux"},
		{MuxScreen, "\x1bP\x1b]52;c;", "OSC 52 through screen"},
	} {
		var b bytes.Buffer
		way, err := NewOutput(&b, tt.mux, true).Copy(text)
		if err != nil || !strings.HasPrefix(way, tt.way) {
			t.Errorf("%v: went by %q (%v), want %q", tt.mux, way, err, tt.way)
		}
		if !strings.HasPrefix(b.String(), tt.prefix+encoded) {
			t.Errorf("%v: wrote %q, want %q", tt.mux, b.String(), tt.prefix+encoded)
		}
	}
	var b bytes.Buffer
	if _, err := NewOutput(&b, MuxNone, true).Copy(strings.Repeat("x", MaxCopy+1)); !errors.Is(err, ErrTooLong) || b.Len() > 0 {
		t.Errorf("too long a text: %v and %d bytes, want %v and none", err, b.Len(), ErrTooLong)
	}
}

// whole fails when two writes overlap.
type whole struct {
	t  *testing.T
	mu sync.Mutex
	n  int
}

func (w *whole) Write(p []byte) (int, error) {
	if !w.mu.TryLock() {
		w.t.Error("two writes at once")
		return len(p), nil
	}
	defer w.mu.Unlock()
	w.n++
	return len(p), nil
}

func TestWritesAreWhole(t *testing.T) {
	w := &whole{t: t}
	o := NewOutput(w, MuxTmux, true)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				_, _ = o.Copy("x")
				_, _ = o.Write([]byte(ansi.CursorHomePosition + "frame"))
			}
		})
	}
	wg.Wait()
	if w.n != 400 {
		t.Errorf("%d writes for 400 calls: a frame or a copy was cut in pieces", w.n)
	}
}

func TestWriterOfAFileIsOne(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewOutput(f, MuxNone, true).Writer()
	if x, ok := w.(xterm.File); !ok || x.Fd() != f.Fd() {
		t.Errorf("%T does not pass for the terminal itself", w)
	}
	if _, err := w.(interface{ WriteString(string) (int, error) }).WriteString(ansi.CursorHomePosition + "x"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(f.Name())
	if !strings.HasPrefix(string(got), ansi.SetModeSynchronizedOutput) {
		t.Errorf("WriteString went around the output: %q", got)
	}
}

func TestRescueOfNoTerminal(t *testing.T) {
	var out bytes.Buffer
	NewRescue(strings.NewReader(""), &out).Restore(0)
	if out.Len() > 0 {
		t.Errorf("wrote %q to what is no terminal", out.String())
	}
}
