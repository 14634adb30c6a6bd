package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// How long things take in the demo's cluster; real ones are slower.
const (
	pullDelay    = 700 * time.Millisecond  // from scheduled to running
	noticeDelay  = 1200 * time.Millisecond // from a container's end to the kubelet's noticing (PLEG relists every second)
	restartDelay = 3 * time.Second         // from there to running again
)

// Annotations of pods that tell the demo how they behave.
const (
	annotationNames = "demo.stickytop.dev/names-pod"
	annotationDrain = "demo.stickytop.dev/drain" // how long the process goes on serving after SIGTERM: "20s"
)

const healthPath = "/api/health"

// worker runs one pod, as a kubelet's pod worker does.
type worker struct {
	cluster   *cluster
	namespace string
	name      string
	addr      string // "ip:port" of its HTTP server; "" for a pod that has none
	ip        string
	names     string
	drain     time.Duration
	probe     corev1.Probe

	process *process // nil while nothing runs
	crashed chan struct{}
	ended   chan struct{} // closed when run returns

	terminate context.Context // done once the pod was asked to end
	asked     context.CancelFunc
	removed   context.Context // done once its object is gone
	remove    context.CancelFunc
}

func newWorker(c *cluster, pod *corev1.Pod, ip string) *worker {
	w := &worker{
		cluster: c, namespace: pod.Namespace, name: pod.Name, ip: ip, names: pod.Annotations[annotationNames],
		crashed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	w.drain, _ = time.ParseDuration(pod.Annotations[annotationDrain]) // absent: ends at once
	w.terminate, w.asked = context.WithCancel(context.Background())
	w.removed, w.remove = context.WithCancel(context.Background())
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == "http" {
				w.addr = net.JoinHostPort(ip, strconv.Itoa(int(port.ContainerPort)))
			}
		}
		if container.ReadinessProbe != nil {
			w.probe = *container.ReadinessProbe
		}
	}
	return w
}

// listen opens the pod's port.
func (w *worker) listen() error {
	if w.addr == "" {
		return nil
	}
	p, err := newProcess(w.cluster.network, w.name, w.names, w.addr)
	if err != nil {
		return fmt.Errorf("start pod %s: %w", w.name, err)
	}
	w.setProcess(p)
	return nil
}

func (w *worker) setProcess(p *process) {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	w.process = p
}

// run takes the pod from where it is to its end.
func (w *worker) run(ctx context.Context) error {
	defer close(w.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.removed, cancel)() // a forced deletion ends all of it
	defer func() {
		if w.process != nil {
			w.process.kill()
		}
	}()
	if err := w.begin(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil && w.terminate.Err() == nil {
		if w.watchReadiness(ctx) {
			if err := w.restart(ctx); err != nil {
				return err
			}
		}
	}
	w.shutDown(ctx)
	return nil
}

// begin starts what the pod runs, unless the pod is asked to end before.
func (w *worker) begin(ctx context.Context) error {
	if pod, _ := apiserver.Get[*corev1.Pod](w.cluster.store, w.namespace, w.name); pod == nil || pod.Status.Phase == corev1.PodPending {
		if !w.sleep(ctx, pullDelay) {
			return nil
		}
		if err := w.listen(); err != nil {
			return err
		}
		w.update(func(p *corev1.Pod) { setRunning(p, w.ip, time.Now()) })
	}
	if w.process != nil {
		w.process.start(ctx)
	}
	return nil
}

// watchReadiness probes until the pod ends, or reports that its process
// crashed.
func (w *worker) watchReadiness(ctx context.Context) (crashed bool) {
	if w.process == nil { // nothing to ask: ready as long as it runs
		w.update(func(p *corev1.Pod) { setReady(p, true, time.Now()) })
		select {
		case <-w.terminate.Done():
		case <-ctx.Done():
		}
		return false
	}
	period := time.Duration(max(1, w.probe.PeriodSeconds)) * time.Second
	good, bad := 0, 0
	for {
		if w.healthy(ctx) {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		switch {
		case ctx.Err() != nil:
			return false
		case good >= int(max(1, w.probe.SuccessThreshold)):
			w.update(func(p *corev1.Pod) { setReady(p, true, time.Now()) })
		case bad >= int(max(1, w.probe.FailureThreshold)):
			w.update(func(p *corev1.Pod) { setReady(p, false, time.Now()) })
		}
		next := time.NewTimer(w.cluster.scaled(period))
		select {
		case <-next.C:
		case <-w.crashed:
			next.Stop()
			return true
		case <-w.terminate.Done():
			next.Stop()
			return false
		case <-ctx.Done():
			next.Stop()
			return false
		}
	}
}

// healthy asks the pod's readiness endpoint, over HTTP.
func (w *worker) healthy(ctx context.Context) bool {
	if w.probe.HTTPGet == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(1, w.probe.TimeoutSeconds))*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+w.probe.HTTPGet.Path, nil)
	if err != nil {
		return false
	}
	req.Header.Set("User-Agent", "kube-probe/1.37")
	resp, err := w.cluster.prober.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode >= 200 && resp.StatusCode < 400
}

// restart brings a crashed process back, at the same address.
func (w *worker) restart(ctx context.Context) error {
	w.process.kill()
	w.setProcess(nil)
	if !w.sleep(ctx, noticeDelay) {
		return nil
	}
	w.update(func(p *corev1.Pod) { setCrashed(p, time.Now()) })
	if !w.sleep(ctx, restartDelay) {
		return nil
	}
	if err := w.listen(); err != nil {
		return err
	}
	w.process.start(ctx)
	w.update(func(p *corev1.Pod) { setRunning(p, w.ip, time.Now()) })
	return nil
}

// shutDown lets the process drain for as long as it likes and may, then takes
// the pod off the API.
func (w *worker) shutDown(ctx context.Context) {
	if w.terminate.Err() == nil || ctx.Err() != nil {
		return
	}
	grace := w.drain
	if w.process == nil {
		grace = 0
	}
	if pod, found := apiserver.Get[*corev1.Pod](w.cluster.store, w.namespace, w.name); found && pod.DeletionTimestamp != nil {
		grace = min(w.cluster.scaled(grace), time.Until(pod.DeletionTimestamp.Time))
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	if w.process != nil {
		w.process.kill()
	}
	apiserver.Remove[*corev1.Pod](w.cluster.store, w.namespace, w.name)
}

// sleep waits, at the demo's pace, and reports whether the pod goes on.
func (w *worker) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(w.cluster.scaled(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.terminate.Done():
	case <-ctx.Done():
	}
	return false
}

func (w *worker) update(edit func(*corev1.Pod)) {
	apiserver.Modify(w.cluster.store, w.namespace, w.name, edit)
}

func setRunning(p *corev1.Pod, ip string, now time.Time) {
	started := metav1.NewTime(now)
	p.Status.Phase = corev1.PodRunning
	p.Status.PodIP, p.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	if p.Status.StartTime == nil {
		p.Status.StartTime = &started
	}
	if p.Status.ContainerStatuses == nil {
		for _, c := range p.Spec.Containers {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Image: c.Image})
		}
	}
	for i := range p.Status.ContainerStatuses {
		yes := true
		s := &p.Status.ContainerStatuses[i]
		s.Started, s.State = &yes, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}
	}
	setCondition(p, corev1.PodInitialized, true, now)
	setReady(p, false, now)
}

func setReady(p *corev1.Pod, ready bool, now time.Time) {
	setCondition(p, corev1.PodReady, ready, now)
	setCondition(p, corev1.ContainersReady, ready, now)
	for i := range p.Status.ContainerStatuses {
		p.Status.ContainerStatuses[i].Ready = ready
	}
}

func setCrashed(p *corev1.Pod, now time.Time) {
	setReady(p, false, now)
	for i := range p.Status.ContainerStatuses {
		s := &p.Status.ContainerStatuses[i]
		no := false
		s.Started = &no
		s.RestartCount++
		ended := corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", FinishedAt: metav1.NewTime(now)}
		s.LastTerminationState = corev1.ContainerState{Terminated: &ended}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	}
}

func setCondition(p *corev1.Pod, kind corev1.PodConditionType, is bool, now time.Time) {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type != kind {
			continue
		}
		if c.Status != status {
			c.Status, c.LastTransitionTime = status, metav1.NewTime(now)
		}
		return
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: kind, Status: status, LastTransitionTime: metav1.NewTime(now),
	})
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
