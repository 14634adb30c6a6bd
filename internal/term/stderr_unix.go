//go:build unix

package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// DivertStderr sends what anything in this process writes to standard error
// to f, until restore: a kubeconfig's login program and the runtime write there
// without asking, over whatever is on the screen. Login programs that were
// prepared before keep the descriptor, so the descriptor itself is moved.
func DivertStderr(f *os.File) (restore func(), err error) {
	kept, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := dup2(int(f.Fd()), int(os.Stderr.Fd())); err != nil {
		_ = unix.Close(kept)
		return nil, err
	}
	return func() {
		_ = dup2(kept, int(os.Stderr.Fd()))
		_ = unix.Close(kept)
	}, nil
}
