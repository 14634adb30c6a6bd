package world

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
)

// Init is process 1 of the lab's PID namespace: it mounts what the lab needs, starts the supervisor, reaps
// orphans, and returns when the supervisor ends, on SIGTERM, or when the tether (a pipe whose other end the
// starting process holds) is closed without a byte. The kernel then kills every other process of the lab.
func Init(tether *os.File, supervisor *exec.Cmd) error {
	if os.Getpid() != 1 {
		return errors.New("the lab's init runs as process 1 of its own PID namespace only")
	}
	if err := mounts(); err != nil {
		return err
	}
	supervisor.Stdout, supervisor.Stderr = os.Stdout, os.Stderr
	if err := supervisor.Start(); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	cut := make(chan struct{})
	go func() {
		if n, _ := tether.Read(make([]byte, 1)); n == 0 {
			close(cut)
		}
	}()
	ended := make(chan unix.WaitStatus, 1)
	go reap(supervisor.Process.Pid, ended)
	select {
	case status := <-ended:
		return fmt.Errorf("the supervisor ended: exit code %d, signal %d", status.ExitStatus(), status.Signal())
	case <-stop:
	case <-cut:
	}
	return nil
}

// reap waits for every child, own or inherited, until the one named main ends.
func reap(main int, ended chan<- unix.WaitStatus) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid == main {
			ended <- status
			return
		}
	}
}

// mounts gives the lab its own /proc, and its own /run for network namespaces, locks and pods' secrets.
func mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc of the lab's own PID namespace (some containers forbid it): %w", err)
	}
	if err := unix.Mount("lab", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount a private /run: %w", err)
	}
	for _, dir := range []string{netns.Dir, "/run/lock", "/run/secrets"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}
