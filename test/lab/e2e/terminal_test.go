package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// terminal is a shell in tmux, in the client's network namespace.
type terminal struct {
	l      *lab.Lab
	ns     string // that it runs in
	socket string
}

func terminalOf(t *testing.T, l *lab.Lab, width, height int) *terminal {
	t.Helper()
	return terminalIn(t, l, "client", width, height)
}

// terminalIn is terminalOf in another of the lab's namespaces.
func terminalIn(t *testing.T, l *lab.Lab, ns string, width, height int) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux in PATH")
	}
	dir, err := os.MkdirTemp(folder, "tmux") // t.TempDir's are too long for a socket
	check(t, err)
	term := &terminal{l, ns, filepath.Join(dir, "s")}
	// In the foreground the server is killed with this process, and with its end the terminal's programs hang up.
	server, err := l.Command(context.Background(), ns, "tmux", "-D", "-u", "-S", term.socket, "-f", "/dev/null")
	check(t, err)
	check(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	eventually(t, 10*time.Second, "tmux listens", func() bool { _, err := os.Stat(term.socket); return err == nil })
	term.tmux(t, "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "env PS1='$ ' sh")
	term.shows(t, 5*time.Second, "$")
	return term
}

func (term *terminal) command(ctx context.Context, args ...string) (string, error) {
	out, err := term.l.Exec(ctx, term.ns, "tmux", append([]string{"-u", "-S", term.socket}, args...)...)
	return string(out), err
}

func (term *terminal) tmux(t *testing.T, args ...string) string {
	t.Helper()
	out, err := term.command(within(t, 10*time.Second), args...)
	check(t, err)
	return out
}

// typed types a line.
func (term *terminal) typed(line string) {
	_, _ = term.command(context.Background(), "send-keys", "-l", line)
	_, _ = term.command(context.Background(), "send-keys", "Enter")
}

func (term *terminal) key(t *testing.T, key string) {
	t.Helper()
	term.tmux(t, "send-keys", key)
}

// text is what the screen shows.
func (term *terminal) text(t *testing.T) string {
	t.Helper()
	return term.tmux(t, "capture-pane", "-p")
}

// shows waits until all of these are on the screen, and returns it.
func (term *terminal) shows(t *testing.T, limit time.Duration, words ...string) string {
	t.Helper()
	var text string
	defer func() {
		if t.Failed() {
			t.Logf("the screen:\n%s", text)
		}
	}()
	eventually(t, limit, "on the screen: "+strings.Join(words, ", "), func() bool {
		text = term.text(t)
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
	return text
}
