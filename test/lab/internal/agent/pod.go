package agent

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// worker runs one pod, from its binding to its final deletion.
type worker struct {
	agent *Agent
	uid   types.UID
	dirty chan struct{} // holds one note that the status changed
	stop  chan struct{} // closed when the pod must end
	fewer chan struct{} // replaced and closed when the grace period shrinks

	mu         sync.Mutex
	pod        *v1.Pod
	box        *sandbox
	containers []*container
	setupErr   error
	start      metav1.Time
	stopping   bool
	deadline   time.Time
	vanished   bool // gone from the API server: nothing to report to
	conditions map[v1.PodConditionType]v1.PodCondition
}

func newWorker(a *Agent, pod *v1.Pod) *worker {
	w := &worker{
		agent: a, uid: pod.UID, pod: pod, start: metav1.Now(), dirty: make(chan struct{}, 1), stop: make(chan struct{}),
		fewer: make(chan struct{}), conditions: map[v1.PodConditionType]v1.PodCondition{},
	}
	for _, spec := range pod.Spec.Containers {
		w.containers = append(w.containers, &container{
			w: w, spec: spec, restart: make(chan string, 1),
			state: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ContainerCreating"}},
		})
	}
	w.update(pod)
	return w
}

func (w *worker) current() *v1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

// update takes a newer version of the pod; one with a deletion timestamp begins or hastens its end. What others wrote over
// the agent's own conditions is set right: the node controller calls pods not ready when their node was silent for too
// long, and leaves it to the kubelet to say otherwise (k8s.io/kubernetes/pkg/kubelet/status, needsReconcile).
func (w *worker) update(pod *v1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pod = pod
	for _, seen := range pod.Status.Conditions {
		if own, ok := w.conditions[seen.Type]; ok && own.Status != seen.Status {
			w.changed()
		}
	}
	if pod.DeletionTimestamp != nil {
		grace := graceOf(pod)
		w.terminate(time.Now().Add(grace))
	}
}

// vanish ends a pod that the API server no longer has.
func (w *worker) vanish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vanished = true
	w.terminate(time.Now().Add(time.Second))
}

// terminate needs the lock. The deadline may come sooner later on, never later.
func (w *worker) terminate(deadline time.Time) {
	if !w.stopping {
		w.stopping = true
		w.deadline = deadline
		close(w.stop)
	} else if deadline.Before(w.deadline) {
		w.deadline = deadline
		close(w.fewer)
		w.fewer = make(chan struct{})
	}
}

// sooner is closed when the grace period shrinks.
func (w *worker) sooner() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fewer
}

// killDeadline is when the pod's processes are killed; a container that restarts alone has its pod's whole grace period.
func (w *worker) killDeadline() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopping {
		return w.deadline
	}
	grace := int64(30)
	if w.pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *w.pod.Spec.TerminationGracePeriodSeconds
	}
	return time.Now().Add(time.Duration(grace) * time.Second)
}

// run runs the pod to its end.
func (w *worker) run(ctx context.Context) {
	ended := make(chan struct{})
	reporting, stopReporting := context.WithCancel(ctx)
	defer stopReporting()
	go w.report(reporting, ended)
	w.changed()
	if w.setUp(ctx) {
		var all sync.WaitGroup
		for _, c := range w.containers {
			all.Go(func() { c.run(ctx, w.stop) })
		}
		all.Wait()
	}
	// Everything ended: a pod that was not told to stays, with its result, until it is.
	w.changed()
	select {
	case <-w.stop:
	case <-ctx.Done():
		return
	}
	w.tearDown()
	close(ended)
	w.changed()
	w.deleteForGood(ctx)
}

// setUp makes the pod's folder and network, again and again until it works or the pod must end.
func (w *worker) setUp(ctx context.Context) bool {
	for {
		err := w.trySetUp()
		w.mu.Lock()
		w.setupErr = err
		w.mu.Unlock()
		if err == nil {
			w.changed()
			return true
		}
		w.event(v1.EventTypeWarning, "FailedCreatePodSandBox", "%v", err)
		w.changed()
		if !sleepOr(w.stop, 5*time.Second) || ctx.Err() != nil {
			return false
		}
	}
}

func (w *worker) trySetUp() error {
	pod := w.current()
	if err := supported(pod); err != nil {
		return err
	}
	box := &sandbox{}
	var err error
	if pod.Spec.HostNetwork {
		box.ip, err = netip.ParseAddr(w.agent.ip)
	} else {
		box, err = w.agent.makeSandbox(string(w.uid))
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.box = box
	w.mu.Unlock()
	dir := PodDir(w.agent.spec, string(w.uid))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return describe(w.agent.spec, Description{pod.Namespace, pod.Name, string(w.uid), w.agent.node, box.ip.String(), box.ns})
}

// supported rejects pods that need what the agent does not do, rather than running them wrong.
func supported(pod *v1.Pod) error {
	if len(pod.Spec.InitContainers) > 0 {
		return fmt.Errorf("the lab's agent runs no init containers")
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected == nil {
			return fmt.Errorf("volume %q: the lab's agent mounts service account tokens only", volume.Name)
		}
	}
	return nil
}

func (w *worker) tearDown() {
	w.mu.Lock()
	box := w.box
	w.mu.Unlock()
	w.agent.dropSandbox(box)
	os.RemoveAll(PodDir(w.agent.spec, string(w.uid)))
}

func (w *worker) event(kind, reason, format string, args ...any) {
	w.agent.events.Eventf(w.current(), kind, reason, format, args...)
}

// graceOf returns the grace period of a pod that is being deleted.
func graceOf(pod *v1.Pod) time.Duration {
	if pod.DeletionGracePeriodSeconds == nil {
		return v1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	// The kubelet gives a second even when told none.
	return max(time.Second, time.Duration(*pod.DeletionGracePeriodSeconds)*time.Second)
}
