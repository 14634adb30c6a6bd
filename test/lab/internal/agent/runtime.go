package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
)

// processes runs commands in containers and connects to pods' ports, for k8s.io/cri-streaming.
type processes struct{ agent *Agent }

// Exec runs a command beside the container's program: same network, environment and service account.
func (r processes) Exec(ctx context.Context, id string, line []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	c, err := r.agent.byID(id)
	if err != nil {
		return err
	}
	if !tty {
		return c.w.exec(ctx, c, line, in, out, errs)
	}
	cmd, err := c.w.prepare(ctx, c, line)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Setctty = true
	terminal, err := pty.StartWithAttrs(cmd, nil, cmd.SysProcAttr)
	if err != nil {
		return err
	}
	defer terminal.Close()
	go func() {
		for size := range resize {
			pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
		}
	}()
	if in != nil {
		go io.Copy(terminal, in)
	}
	unhook := context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer unhook()
	io.Copy(out, terminal) // ends with EIO when the program closes its side
	return exitError(cmd.Wait())
}

// Attach is not offered; the server refuses before it comes here.
func (r processes) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommand.TerminalSize) error {
	return errors.New("the lab's agent does not attach")
}

// PortForward connects a stream to a port on the pod's own loopback, as the kubelet does.
func (r processes) PortForward(ctx context.Context, uid string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	w := r.agent.byUID(uid)
	if w == nil {
		return errGone
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := netns.Dial(ctx, w.box.ns, "", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("connect to port %d of the pod: %w", port, err)
	}
	defer conn.Close()
	done := make(chan struct{}, 2)
	go func() {
		io.Copy(conn, stream)
		if half, ok := conn.(*net.TCPConn); ok {
			half.CloseWrite()
		}
		done <- struct{}{}
	}()
	go func() {
		io.Copy(stream, conn)
		done <- struct{}{}
	}()
	<-done
	return nil
}

// prepare returns a command of a container, not started yet.
func (w *worker) prepare(ctx context.Context, c *container, line []string) (*exec.Cmd, error) {
	pod := w.current()
	w.mu.Lock()
	running, box := c.state.Running != nil, w.box
	w.mu.Unlock()
	if !running {
		return nil, fmt.Errorf("container %s does not run", c.spec.Name)
	}
	env, err := w.agent.environment(ctx, pod, &c.spec, box.ip.String())
	if err != nil {
		return nil, err
	}
	secrets, err := w.agent.serviceAccount(ctx, pod, &c.spec)
	if err != nil {
		return nil, err
	}
	return w.agent.command(shimSpec{NS: box.ns, Hostname: pod.Name, Args: line, Dir: c.spec.WorkingDir, Secrets: secrets}, env)
}

// exec runs a command of a container to its end; a context that ends kills it.
func (w *worker) exec(ctx context.Context, c *container, line []string, in io.Reader, out, errs io.Writer) error {
	cmd, err := w.prepare(ctx, c, line)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, errs
	if in != nil {
		// Not cmd.Stdin: Wait would wait for an input that its owner keeps open.
		pipe, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	unhook := context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer unhook()
	cmd.WaitDelay = time.Second
	return exitError(cmd.Wait())
}

// exitError carries a program's exit code to the other side.
func exitError(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code := exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			code = 128 + int(status.Signal())
		}
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return err
}
