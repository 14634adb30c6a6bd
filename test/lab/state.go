package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab/internal/control"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// ErrNotRunning is what Attach returns for a lab that does not run.
var ErrNotRunning = errors.New("no such lab is running")

// Attach returns a lab that runs already. Its Close ends it all the same.
func Attach(name string) (*Lab, error) {
	root, err := layout.StateRoot()
	if err != nil {
		return nil, err
	}
	if err := layout.CheckName(either(name, "lab")); err != nil {
		return nil, err
	}
	dir := filepath.Join(root, either(name, "lab"))
	spec, err := layout.Load(dir)
	if err != nil || !alive(dir) {
		return nil, fmt.Errorf("lab %q: %w", either(name, "lab"), ErrNotRunning)
	}
	pid, err := initPID(dir)
	if err != nil {
		return nil, err
	}
	return &Lab{Spec: spec, control: control.NewClient(spec.Socket()), program: spec.Path("program"), pid: pid}, nil
}

// List returns the names of the labs that run.
func List() ([]string, error) {
	root, err := layout.StateRoot()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && alive(filepath.Join(root, e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func initPID(dir string) (int, error) {
	data, err := os.ReadFile(filepath.Join(dir, "init.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// alive says whether any process of the lab in that folder still holds its lock.
func alive(dir string) bool {
	file, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// guarded runs fn while no other process makes or removes labs of this user.
func guarded(fn func(root string) error) error {
	for {
		root, err := layout.MakeStateRoot()
		if err != nil {
			return err
		}
		path := filepath.Join(root, ".mutex")
		mutex, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // the last lab's end removed the folder just now
		}
		if err != nil {
			return err
		}
		if err := flock(mutex); err != nil {
			mutex.Close()
			return err
		}
		mine, _ := mutex.Stat()
		there, err := os.Stat(path)
		if err != nil || !os.SameFile(mine, there) {
			mutex.Close()
			continue
		}
		err = fn(root)
		// The folder goes with its last lab.
		if entries, e := os.ReadDir(root); e == nil && len(entries) == 1 {
			os.Remove(path)
			os.Remove(root)
		}
		mutex.Close()
		return err
	}
}

func flock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// longestSocket is how many bytes the kernel takes for a Unix socket's path (unix(7), sun_path less its end).
const longestSocket = 107

// reserve removes dead labs, makes the new lab's folder and takes its lock.
func reserve(spec *Spec) (lock *os.File, err error) {
	err = guarded(func(root string) error {
		if err := sweep(root); err != nil {
			return err
		}
		spec.Dir = filepath.Join(root, spec.Name)
		if path := spec.Socket(); len(path) > longestSocket {
			return fmt.Errorf("the temporary folder's name is too long for a socket in it (%s): set TMPDIR to a shorter one", path)
		}
		if err := os.Mkdir(spec.Dir, 0o700); err != nil {
			if errors.Is(err, os.ErrExist) {
				return fmt.Errorf("a lab named %q is running already", spec.Name)
			}
			return err
		}
		lock, err = os.OpenFile(filepath.Join(spec.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		return flock(lock)
	})
	return lock, err
}

// sweep removes the folders of labs of which no process is left, and ends what somebody still runs in their networks.
func sweep(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if !e.IsDir() || alive(dir) {
			continue
		}
		hangUp(dir)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// Down ends the named lab, if it runs, and removes what it or any dead lab left. It says whether there was one.
func Down(name string) (bool, error) {
	l, err := Attach(name)
	if errors.Is(err, ErrNotRunning) {
		return false, guarded(sweep)
	}
	if err != nil {
		return false, err
	}
	return true, l.Close()
}

// end kills the lab's init, and with it, by the kernel's own hand, everything in its PID namespace.
func end(spec Spec) error {
	if pid, err := initPID(spec.Dir); err == nil && alive(spec.Dir) {
		// A lock that is held while the file says so rules out that the number belongs to a stranger by now:
		// the lock's holders are this lab's processes, and init is the first of them to start, the last to be reaped.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for alive(spec.Dir) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("lab %s: processes survived the end of their namespace for 20 s", spec.Name)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return guarded(sweep)
}
