package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab/internal/agent"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
	"github.com/kubestickytop/stickytop/test/lab/internal/super"
	"github.com/kubestickytop/stickytop/test/lab/internal/workload"
	"github.com/kubestickytop/stickytop/test/lab/internal/world"
)

// inner runs the parts of the lab that it starts itself, each a process of its own: not for users.
func inner(what string, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch {
	case what == "_init" && len(args) == 1:
		return initLab(args[0])
	case what == "_probe" && len(args) == 1:
		if missing := world.Probe(args[0]); len(missing) > 0 {
			return fmt.Errorf("%s", strings.Join(missing, "\n"))
		}
		return nil
	case what == "_container" && len(args) == 1:
		return agent.Shim(args[0])
	case what == "_in" && len(args) > 3:
		return enter(args[0], args[1], args[2], args[3:])
	}
	if len(args) == 0 {
		return fmt.Errorf("%s: no folder", what)
	}
	spec, err := layout.Load(args[0])
	if err != nil {
		return err
	}
	switch {
	case what == "_supervise":
		return super.Run(ctx, spec)
	case what == "_agent" && len(args) == 2:
		index, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return agent.Run(ctx, spec, index)
	}
	return fmt.Errorf("no part %q", what)
}

// tetherFD is the file descriptor of the tether, which init inherits after the lab's lock.
const tetherFD = 4

func initLab(dir string) error {
	spec, err := layout.Load(dir)
	if err != nil {
		return err
	}
	syscall.CloseOnExec(tetherFD)
	return world.Init(os.NewFile(tetherFD, "tether"), exec.Command(spec.Path("program"), "_supervise", dir))
}

// enter executes a program in a network namespace of the lab whose init has that pid. It is killed when the process
// named parent ends; "0" names none.
func enter(pid, ns, parent string, line []string) error {
	runtime.LockOSThread() // the parent's end is this thread's to notice, until it becomes the program
	if parent != "0" {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return err
		}
		if strconv.Itoa(os.Getppid()) != parent {
			return fmt.Errorf("process %s, which wanted %s run, has ended", parent, line[0])
		}
	}
	path := filepath.Join("/proc", pid, "ns", "net")
	if ns != layout.Control {
		path = filepath.Join("/proc", pid, "root", netns.Dir, ns)
	}
	if err := netns.EnterForGood(path); err != nil {
		return err
	}
	program, err := exec.LookPath(line[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, line, os.Environ())
}

// runWorkload runs an image of the lab's own.
func runWorkload(args []string) error { return workload.Run(args[0], args[1:]) }
