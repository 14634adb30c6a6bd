package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Restart delays, as the kubelet has them: none, then 10 s doubling to 5 minutes, forgotten after 10 minutes of running.
const (
	firstBackoff = 10 * time.Second
	maxBackoff   = 5 * time.Minute
	forgetAfter  = 10 * time.Minute
)

// container is one container of a pod. Its fields after spec belong to the worker's lock.
type container struct {
	w    *worker
	spec v1.Container

	state, last    v1.ContainerState
	ready, started bool
	restarts       int32
	id             string
	pid            int
	restart        chan string // a liveness or startup probe's reason to start anew
}

// instance is one run of a container's program.
type instance struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	started time.Time
}

// run keeps the container running as its pod's restart policy wants, until stop is closed or the policy says no more.
func (c *container) run(ctx context.Context, stop <-chan struct{}) {
	backoff := time.Duration(0)
	for {
		inst, err := c.start(ctx)
		if err != nil {
			c.fail(err)
			if backoff = nextBackoff(backoff); !sleepOr(stop, min(backoff, firstBackoff)) {
				c.finish(time.Now(), 128, "ContainerCannotRun", err.Error())
				return
			}
			continue
		}
		reason := c.supervise(ctx, inst, stop)
		if time.Since(inst.started) > forgetAfter {
			backoff = 0
		}
		code := c.record(inst, reason)
		policy := c.w.current().Spec.RestartPolicy
		if closed(stop) || policy == v1.RestartPolicyNever || policy == v1.RestartPolicyOnFailure && code == 0 {
			return
		}
		if backoff > 0 {
			c.w.event(v1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s", c.spec.Name)
			waiting := &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff",
				Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", backoff, c.spec.Name, c.w.current().Name)}
			c.set(func() { c.state = v1.ContainerState{Waiting: waiting} })
		}
		if !sleepOr(stop, backoff) {
			c.set(func() { c.state = c.last })
			return
		}
		backoff = nextBackoff(backoff)
		c.set(func() { c.restarts++ })
	}
}

// supervise waits for the end of a run: by itself, by the pod's termination, or by a failed probe, and says which.
func (c *container) supervise(ctx context.Context, inst *instance, stop <-chan struct{}) string {
	probing, cancel := context.WithCancel(ctx)
	defer cancel()
	c.probe(probing)
	select {
	case <-inst.exited:
		return ""
	case <-stop:
	case why := <-c.restart:
		c.w.event(v1.EventTypeNormal, "Killing", "Container %s %s, will be restarted", c.spec.Name, why)
	}
	c.end(ctx, inst)
	return ""
}

// start starts the container's program once.
func (c *container) start(ctx context.Context) (*instance, error) {
	w := c.w
	pod := w.current()
	env, err := w.agent.environment(ctx, pod, &c.spec, w.box.ip.String())
	if err != nil {
		return nil, reasonError{"CreateContainerConfigError", err}
	}
	line, err := w.agent.commandLine(&c.spec, env)
	if err != nil {
		return nil, reasonError{"ErrImagePull", err}
	}
	secrets, err := w.agent.serviceAccount(ctx, pod, &c.spec)
	if err != nil {
		return nil, reasonError{"CreateContainerConfigError", err}
	}
	cmd, err := w.agent.command(shimSpec{NS: w.box.ns, Hostname: pod.Name, Args: line, Dir: c.spec.WorkingDir, Secrets: secrets}, env)
	if err != nil {
		return nil, err
	}
	log, err := newLog(LogDir(w.agent.spec, pod.Namespace, pod.Name, string(pod.UID)), c.spec.Name, c.restarts)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log.stream("stdout"), log.stream("stderr")
	// A grandchild that keeps the pipes open must not keep the container from ending.
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, reasonError{"RunContainerError", err}
	}
	inst := &instance{cmd, make(chan struct{}), time.Now()}
	c.began(inst)
	go func() {
		cmd.Wait()
		log.Close()
		close(inst.exited)
	}()
	return inst, nil
}

func (c *container) began(inst *instance) {
	pid := inst.cmd.Process.Pid
	path := filepath.Join(PodDir(c.w.agent.spec, string(c.w.uid)), c.spec.Name+".pid")
	if err := os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "pid file:", err)
	}
	c.set(func() {
		c.pid = pid
		c.id = fmt.Sprintf("process://%s-%s-%d", c.w.uid, c.spec.Name, c.restarts)
		c.state = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(inst.started)}}
		c.started = c.spec.StartupProbe == nil
		c.ready = c.started && c.spec.ReadinessProbe == nil
	})
	c.w.event(v1.EventTypeNormal, "Started", "Started container %s", c.spec.Name)
}

// end ends a run as the kubelet does: preStop, SIGTERM to the program, SIGKILL to all of it when the grace period is over.
func (c *container) end(ctx context.Context, inst *instance) {
	deadline := c.w.killDeadline()
	late, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PreStop != nil {
		c.preStop(late, c.spec.Lifecycle.PreStop, inst)
	}
	inst.cmd.Process.Signal(syscall.SIGTERM)
	for {
		select {
		case <-inst.exited:
			syscall.Kill(-inst.cmd.Process.Pid, syscall.SIGKILL)
			return
		case <-time.After(time.Until(c.w.killDeadline())):
			syscall.Kill(-inst.cmd.Process.Pid, syscall.SIGKILL)
			<-inst.exited
			return
		case <-c.w.sooner():
		}
	}
}

// record notes how a run ended and returns its exit code.
func (c *container) record(inst *instance, reason string) int32 {
	status, _ := inst.cmd.ProcessState.Sys().(syscall.WaitStatus)
	code, signal := int32(status.ExitStatus()), int32(0)
	if status.Signaled() {
		signal = int32(status.Signal())
		code = 128 + signal
	}
	if reason == "" {
		reason = "Completed"
		if code != 0 {
			reason = "Error"
		}
	}
	syscall.Kill(-inst.cmd.Process.Pid, syscall.SIGKILL)
	c.finish(inst.started, code, reason, "")
	return code
}

func (c *container) finish(started time.Time, code int32, reason, message string) {
	end := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message,
		StartedAt: metav1.NewTime(started), FinishedAt: metav1.Now(), ContainerID: c.id,
	}}
	c.set(func() { c.state, c.last, c.ready, c.started, c.pid = end, end, false, false, 0 })
}

// fail reports a container that could not be started.
func (c *container) fail(err error) {
	reason := "RunContainerError"
	var why reasonError
	if errors.As(err, &why) {
		reason = why.reason
	}
	c.w.event(v1.EventTypeWarning, "Failed", "Error: %s: %v", reason, err)
	c.set(func() {
		c.state = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason, Message: err.Error()}}
	})
}

// set changes the container under the worker's lock, which change must not take itself, and reports the change.
func (c *container) set(change func()) {
	c.w.mu.Lock()
	change()
	c.w.mu.Unlock()
	c.w.changed()
}

// reasonError carries a container's waiting reason.
type reasonError struct {
	reason string
	error
}

func (e reasonError) Unwrap() error { return e.error }

func nextBackoff(d time.Duration) time.Duration {
	if d == 0 {
		return firstBackoff
	}
	return min(2*d, maxBackoff)
}

// sleepOr sleeps, and says false when stop was closed meanwhile.
func sleepOr(stop <-chan struct{}, d time.Duration) bool {
	select {
	case <-stop:
		return false
	case <-time.After(d):
		return !closed(stop)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
