package agent

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// changed notes that the pod's status may differ from what was reported.
func (w *worker) changed() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// report writes the pod's status to the API server after every change, the newest one only when it was slow or
// away, until ctx ends or the pod ended and all is told.
func (w *worker) report(ctx context.Context, ended <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.dirty:
		}
		if err := w.push(ctx); err != nil {
			if apierrors.IsNotFound(err) || ctx.Err() != nil {
				return
			}
			fmt.Fprintf(os.Stderr, "status of %s: %v\n", w.current().Name, err)
			w.changed()
			time.Sleep(300 * time.Millisecond)
			continue
		}
		if closed(ended) && len(w.dirty) == 0 {
			return
		}
	}
}

func (w *worker) push(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	known := w.current()
	pods := w.agent.client.CoreV1().Pods(known.Namespace)
	pod, err := pods.Get(ctx, known.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if pod.UID != w.uid {
		return apierrors.NewNotFound(v1.Resource("pods"), known.Name)
	}
	before := pod.Status.DeepCopy()
	w.fill(pod)
	if equality.Semantic.DeepEqual(before, &pod.Status) {
		return nil
	}
	_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

// fill writes what the agent knows into the pod's status, and keeps what others own.
func (w *worker) fill(pod *v1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &pod.Status
	s.ObservedGeneration = w.pod.Generation
	s.HostIP, s.HostIPs = w.agent.ip, []v1.HostIP{{IP: w.agent.ip}}
	s.StartTime = &w.start
	if w.box != nil {
		s.PodIP = w.box.ip.String()
		s.PodIPs = []v1.PodIP{{IP: s.PodIP}}
	}
	s.ContainerStatuses = nil
	for _, c := range w.containers {
		s.ContainerStatuses = append(s.ContainerStatuses, c.status())
	}
	s.Phase = w.phase()
	s.Message = ""
	if w.setupErr != nil {
		s.Message = w.setupErr.Error()
	}
	w.setConditions(s)
}

// status needs the worker's lock.
func (c *container) status() v1.ContainerStatus {
	started := c.started
	status := v1.ContainerStatus{
		Name: c.spec.Name, State: c.state, Ready: c.ready, Started: &started, RestartCount: c.restarts,
		Image: c.spec.Image, ImageID: c.spec.Image, ContainerID: c.id,
	}
	if c.restarts > 0 || c.state.Terminated == nil {
		status.LastTerminationState = c.last
	}
	return status
}

// phase needs the lock.
func (w *worker) phase() v1.PodPhase {
	running, waiting, failed := 0, 0, 0
	for _, c := range w.containers {
		switch {
		case c.state.Running != nil:
			running++
		case c.state.Terminated != nil && w.final(c.state.Terminated):
			if c.state.Terminated.ExitCode != 0 {
				failed++
			}
		case c.restarts > 0 || c.last.Terminated != nil:
			running++
		default:
			waiting++
		}
	}
	switch {
	case waiting > 0 && running == 0 && failed == 0 && w.pod.Status.Phase != v1.PodRunning:
		return v1.PodPending
	case running > 0 || waiting > 0:
		return v1.PodRunning
	case failed > 0:
		return v1.PodFailed
	default:
		return v1.PodSucceeded
	}
}

// final says whether a container that ended so is never started again.
func (w *worker) final(end *v1.ContainerStateTerminated) bool {
	policy := w.pod.Spec.RestartPolicy
	return w.stopping || policy == v1.RestartPolicyNever || policy == v1.RestartPolicyOnFailure && end.ExitCode == 0
}

// setConditions needs the lock. A condition's transition time changes only with its status.
func (w *worker) setConditions(s *v1.PodStatus) {
	var unready []string
	for _, c := range w.containers {
		if !c.ready {
			unready = append(unready, c.spec.Name)
		}
	}
	ready := v1.PodCondition{Status: v1.ConditionTrue}
	switch {
	case s.Phase == v1.PodSucceeded:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "PodCompleted"}
	case s.Phase == v1.PodFailed:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "PodFailed"}
	case len(unready) > 0:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "ContainersNotReady",
			Message: "containers with unready status: [" + strings.Join(unready, " ") + "]"}
	}
	sandboxed := v1.PodCondition{Status: v1.ConditionFalse}
	if w.box != nil {
		sandboxed.Status = v1.ConditionTrue
	}
	for kind, condition := range map[v1.PodConditionType]v1.PodCondition{
		v1.PodReadyToStartContainers: sandboxed, v1.PodInitialized: {Status: v1.ConditionTrue},
		v1.PodReady: ready, v1.ContainersReady: ready,
	} {
		condition.Type = kind
		w.setCondition(s, condition)
	}
}

func (w *worker) setCondition(s *v1.PodStatus, c v1.PodCondition) {
	c.ObservedGeneration = w.pod.Generation
	c.LastTransitionTime = metav1.Now()
	if old, ok := w.conditions[c.Type]; ok && old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	w.conditions[c.Type] = c
	for i := range s.Conditions {
		if s.Conditions[i].Type == c.Type {
			s.Conditions[i] = c
			return
		}
	}
	s.Conditions = append(s.Conditions, c)
}

// deleteForGood removes the pod from the API server once nothing of it is left on the node.
func (w *worker) deleteForGood(ctx context.Context) {
	for ctx.Err() == nil {
		w.mu.Lock()
		pod, vanished := w.pod, w.vanished
		w.mu.Unlock()
		if vanished || pod.DeletionTimestamp == nil {
			return
		}
		err := w.push(ctx)
		if err == nil {
			zero := int64(0)
			err = w.agent.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
				GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &w.uid},
			})
		}
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) && pod.UID != w.uid {
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
}
