package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// holdVariable names a lab that the test binary, started anew with it, starts and holds until it is killed. It may be
// followed by a slash and how: detached, or with a command in it.
const holdVariable = "LAB_TEST_HOLD"

func hold(what string) {
	name, how, _ := strings.Cut(what, "/")
	l, err := lab.Start(context.Background(), lab.Options{Name: name, Program: os.Getenv("LAB_TEST_PROGRAM"), Detached: how == "detached"})
	if err == nil && how == "command" {
		var cmd *exec.Cmd
		if cmd, err = l.Command(context.Background(), "node1", "tail", "-f", l.Spec.Path("spec.json")); err == nil {
			err = cmd.Start()
		}
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(l.Spec.Dir)
	time.Sleep(10 * time.Minute)
}

// processes returns the pids of everything that was started from a lab's folder or has it on its command line.
func processes(t *testing.T, dir string) []int {
	t.Helper()
	var pids []int
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	check(t, err)
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(line), dir+"/") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			check(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// namespaces returns the PID namespaces that are in use on this machine, as far as this user may see.
func namespaces(t *testing.T) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	check(t, err)
	out := map[string]bool{}
	for _, path := range paths {
		if target, err := os.Readlink(path); err == nil {
			out[target] = true
		}
	}
	return out
}

func namespaceOf(t *testing.T, pid int) string {
	t.Helper()
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	check(t, err)
	return target
}

func initOf(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "init.pid"))
	check(t, err)
	pid, err := strconv.Atoi(string(data))
	check(t, err)
	return pid
}

// killed waits until nothing of a lab is left alive.
func killed(t *testing.T, dir, namespace string) {
	t.Helper()
	eventually(t, 10*time.Second, "all processes and the PID namespace are gone", func() bool {
		return len(processes(t, dir)) == 0 && !namespaces(t)[namespace]
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	sharedLab(t) // two labs side by side
	o := options(t, "close")
	o.Nodes = 3
	l, err := lab.Start(deadline(t, 3*time.Minute), o)
	check(t, err)
	dir := l.Spec.Dir
	if got := strings.Fields(kubectl(t, l, "get", "nodes", "-o", "name")); len(got) != 3 {
		t.Errorf("nodes %v, want 3", got)
	}
	if len(processes(t, dir)) < 8 {
		t.Errorf("processes %v: the way to count them is wrong", processes(t, dir))
	}
	if _, err := lab.Start(deadline(t, time.Minute), o); err == nil {
		t.Error("a second lab of one name started")
	}
	namespace := namespaceOf(t, initOf(t, dir))
	guest := exec.Command(l.Spec.Path("program"), "--name", l.Spec.Name, "exec", "--in", "node1", "sh", "-c", "trap '' HUP; echo in; sleep 300")
	out, err := guest.StdoutPipe()
	check(t, err)
	check(t, guest.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "in\n" {
		t.Fatalf("%q, %v", line, err)
	}
	check(t, l.Close())
	killed(t, dir, namespace)
	ended := make(chan error, 1)
	go func() { ended <- guest.Wait() }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("what lab exec started lives on, in a network of the lab")
		_ = guest.Process.Kill()
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := lab.Attach(l.Spec.Name); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("attached to a closed lab: %v", err)
	}
	kubectl(t, sharedLab(t), "get", "pods") // the other one lives on
}

// TestKillNine kills the supervisor of one lab, the init of another and the holder of a third; each time everything
// must go with it, and the next start must clean up.
func TestKillNine(t *testing.T) {
	sharedLab(t)
	for _, victim := range []string{"supervisor", "init", "holder"} {
		t.Run(victim, func(t *testing.T) {
			name, how := unique("kill"), ""
			if victim == "holder" {
				how = "/command" // what it runs in the lab goes with it
			}
			holder, dir := startHolder(t, name+how)
			initPID := initOf(t, dir)
			namespace := namespaceOf(t, initPID)
			pid := initPID
			switch victim {
			case "supervisor":
				pid = childOf(t, initPID)
			case "holder":
				pid = holder.Process.Pid
			}
			check(t, syscall.Kill(pid, syscall.SIGKILL))
			killed(t, dir, namespace)
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("a killed lab cannot have removed its folder, and there is none: %v", err)
			}
			if _, err := lab.Down(name); err != nil {
				t.Errorf("down of a dead lab: %v", err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder of a dead lab is still there: %v", err)
			}
		})
	}
}

// TestKillStarter kills the process that starts a detached lab before the lab is ready: nobody waits for it any more.
// Once it is ready, it outlives the process.
func TestKillStarter(t *testing.T) {
	check(t, sharedLab(t).Heal(deadline(t, 10*time.Second), "", "")) // the programs are built, labs can run
	name := unique("starter")
	starter, out := holder(t, name+"/detached")
	var initPID int
	var dir string
	eventually(t, time.Minute, "the lab starts", func() bool {
		l, err := lab.Attach(name)
		if err != nil {
			return false
		}
		dir = l.Spec.Dir
		status, err := l.Status(deadline(t, 5*time.Second))
		if err == nil && status.Ready {
			t.Fatal("it was ready before it could be killed")
		}
		initPID = initOf(t, dir)
		return err == nil
	})
	namespace := namespaceOf(t, initPID)
	check(t, starter.Process.Kill())
	killed(t, dir, namespace)
	out.Close()

	starter, dir = startHolder(t, name+"/detached") // which removes what the dead one left
	check(t, starter.Process.Kill())
	starter.Wait()
	l, err := lab.Attach(name)
	check(t, err)
	kubectl(t, l, "get", "pods")
	namespace = namespaceOf(t, initOf(t, dir))
	if was, err := lab.Down(name); err != nil || !was {
		t.Errorf("down: %v, %v", was, err)
	}
	killed(t, dir, namespace)
}

// TestStartGivenUp cancels a start in its middle: the error comes when the lab is gone, and all of it is.
func TestStartGivenUp(t *testing.T) {
	sharedLab(t) // labs can run
	o := options(t, "given-up")
	ctx, cancel := context.WithCancel(deadline(t, 3*time.Minute))
	defer cancel()
	dir, namespace := "", ""
	given := make(chan struct{})
	go func() {
		defer close(given)
		defer cancel()
		for ctx.Err() == nil && namespace == "" {
			time.Sleep(20 * time.Millisecond)
			if l, err := lab.Attach(o.Name); err == nil && len(processes(t, l.Spec.Dir)) > 2 {
				dir, namespace = l.Spec.Dir, namespaceOf(t, initOf(t, l.Spec.Dir))
			}
		}
	}()
	l, err := lab.Start(ctx, o)
	<-given
	if err == nil {
		l.Close()
		t.Fatal("it started")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up, start says: %v", err)
	}
	if len(processes(t, dir)) > 0 || namespaces(t)[namespace] {
		t.Errorf("processes %v are left", processes(t, dir))
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestExec runs lab exec as a shell does, and interrupts it: the command itself must get the signal, and time to end.
func TestExec(t *testing.T) {
	l := sharedLab(t)
	cmd := exec.Command(l.Spec.Path("program"), "--name", l.Spec.Name, "exec", "--in", "node1", "sh", "-c",
		"trap 'sleep 0.2; echo interrupted; exit 5' INT; ip -4 -brief address show eth0; while :; do sleep 0.1; done")
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	if scanner.Scan(); !strings.Contains(scanner.Text(), l.NodeIP(1)) {
		t.Errorf("in node1 the program said %q, want %s", scanner.Text(), l.NodeIP(1))
	}
	check(t, cmd.Process.Signal(syscall.SIGINT))
	if scanner.Scan(); scanner.Text() != "interrupted" {
		t.Errorf("interrupted, the program said %q", scanner.Text())
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Errorf("it ended with %v, want exit code 5", err)
	}
}

// holder starts this test binary to hold a lab.
func holder(t *testing.T, what string) (*exec.Cmd, io.ReadCloser) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	path, err := program()
	check(t, err)
	cmd.Env = append(os.Environ(), holdVariable+"="+what, "LAB_TEST_PROGRAM="+path)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, out
}

// startHolder starts a holder and returns when its lab is ready, with the lab's folder.
func startHolder(t *testing.T, what string) (*exec.Cmd, string) {
	t.Helper()
	cmd, out := holder(t, what)
	scanner := bufio.NewScanner(out)
	if !scanner.Scan() || !filepath.IsAbs(scanner.Text()) {
		t.Fatalf("the holder said %q", scanner.Text())
	}
	return cmd, scanner.Text()
}

// childOf returns the one child of a process, whichever of its threads started it.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	check(t, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		check(t, err)
		if fields := strings.Fields(string(data)); len(fields) > 0 {
			pid, err := strconv.Atoi(fields[0])
			check(t, err)
			return pid
		}
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// TestCommandSignals wants a signal to a Command to reach the program itself, and nothing to survive it.
func TestCommandSignals(t *testing.T) {
	l := sharedLab(t)
	cmd, err := l.Command(context.Background(), "node1", "sh", "-c", "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.1; done")
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	scanner.Scan()
	check(t, cmd.Process.Signal(syscall.SIGINT))
	scanner.Scan()
	if scanner.Text() != "interrupted" {
		t.Errorf("the program said %q", scanner.Text())
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Errorf("it ended with %v, want exit code 5", err)
	}
}

// TestMissing wants each missing tool named, rather than a start that fails somehow.
func TestMissing(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", "/nonexistent")
	_, err := lab.Start(deadline(t, time.Minute), lab.Options{Name: unique("missing"), Program: "/proc/self/exe"})
	var missing *lab.Missing
	if !errors.As(err, &missing) {
		t.Fatalf("got %v, want what is missing", err)
	}
	for _, want := range []string{"no ip in PATH", "no nft in PATH", "no nsenter in PATH", "no node in PATH", "not built yet: etcd"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// TestHTTPClientSource wants requests to come from the address that was asked for, as the backend's side sees it.
func TestHTTPClientSource(t *testing.T) {
	l := sharedLab(t)
	id := fmt.Sprint("source-", time.Now().UnixNano())
	status, _, _, err := get(l, 17, "echo.local", "/", http.Header{"X-Request-Id": {id}})
	if err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	eventually(t, 5*time.Second, "the access log", func() bool {
		log, err := l.AccessLog()
		check(t, err)
		for _, a := range log {
			if a.RequestID == id {
				return strings.HasPrefix(a.Client, l.ClientIP(17)+":")
			}
		}
		return false
	})
}
