//go:build unix

package term

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// quitRestore bounds how long a terminal may keep a dump waiting.
const quitRestore = 200 * time.Millisecond

// OnQuit has a SIGQUIT restore the terminal, and call before, ahead of what it
// always does to a Go program: dump all goroutines to standard error and end
// with 2. It holds until stop.
func (r *Rescue) OnQuit(before func()) (stop func()) {
	quit, stopped := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(quit, unix.SIGQUIT)
	go func() {
		select {
		case <-stopped:
			return
		case <-quit:
		}
		before()
		r.Restore(quitRestore)
		signal.Reset(unix.SIGQUIT)
		_ = unix.Kill(os.Getpid(), unix.SIGQUIT)
	}()
	return func() {
		signal.Stop(quit)
		close(stopped)
	}
}
