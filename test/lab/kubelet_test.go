package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"

	"github.com/kubestickytop/stickytop/test/lab"
)

// runPod creates a pod in msgapp and removes it, with everything, after the test.
func runPod(t *testing.T, l *lab.Lab, pod *v1.Pod) *v1.Pod {
	t.Helper()
	pods := client(t, l, "lab").CoreV1().Pods("msgapp")
	pod, err := pods.Create(deadline(t, 10*time.Second), pod, metav1.CreateOptions{})
	check(t, err)
	t.Cleanup(func() {
		zero := int64(0)
		pods.Delete(context.Background(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
	})
	return pod
}

func shellPod(name, script string) *v1.Pod {
	no, grace := false, int64(5)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"lab/color": "blue"}},
		Spec: v1.PodSpec{
			AutomountServiceAccountToken: &no, TerminationGracePeriodSeconds: &grace,
			Containers: []v1.Container{{Name: "main", Image: "none", Command: []string{"sh", "-c", script}}},
		},
	}
}

func podNow(t *testing.T, l *lab.Lab, name string) *v1.Pod {
	t.Helper()
	pod, err := client(t, l, "lab").CoreV1().Pods("msgapp").Get(deadline(t, 10*time.Second), name, metav1.GetOptions{})
	check(t, err)
	return pod
}

func TestLogs(t *testing.T) {
	l := sharedLab(t)
	runPod(t, l, shellPod("logs", `for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.2; done; echo last; sleep 600`))
	eventually(t, 10*time.Second, "all lines", func() bool {
		return strings.Contains(kubectl(t, l, "logs", "logs", "--pod-running-timeout=10s"), "last")
	})
	if got := kubectl(t, l, "logs", "logs", "--tail=2"); !strings.HasSuffix(got, "last") || strings.Count(got, "\n") != 1 {
		t.Errorf("--tail=2 gave %q", got)
	}
	// Following ends with the container, though another run follows.
	cmd, err := l.Command(deadline(t, 30*time.Second), "client", "kubectl", "logs", "-f", "logs")
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	var followed strings.Builder
	for scanner.Scan() {
		followed.WriteString(scanner.Text() + " ")
		if scanner.Text() == "last" {
			check(t, l.Crash(deadline(t, 5*time.Second), "logs"))
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(followed.String(), "out1") || !strings.Contains(followed.String(), "err3") {
		t.Errorf("followed %q, ended with %v", followed.String(), err)
	}
	eventually(t, 20*time.Second, "the restart", func() bool { return podNow(t, l, "logs").Status.ContainerStatuses[0].RestartCount == 1 })
	if got := kubectl(t, l, "logs", "-p", "logs"); !strings.Contains(got, "last") {
		t.Errorf("previous log %q", got)
	}
}

func TestEnvironmentAndExec(t *testing.T) {
	l := sharedLab(t)
	pod := shellPod("env", `trap 'exit 0' TERM; while :; do sleep 0.1; done`)
	field := func(path string) *v1.EnvVarSource {
		return &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}
	}
	pod.Spec.Containers[0].Env = []v1.EnvVar{
		{Name: "NAME", ValueFrom: field("metadata.name")}, {Name: "IP", ValueFrom: field("status.podIP")},
		{Name: "COLOR", ValueFrom: field("metadata.labels['lab/color']")}, {Name: "NODE", ValueFrom: field("spec.nodeName")},
		{Name: "BOTH", Value: "$(NAME)-$(COLOR)-$$(NAME)-$(NONE)"},
	}
	runPod(t, l, pod)
	check(t, waitPhase(l, "env", v1.PodRunning))
	now := podNow(t, l, "env")
	want := fmt.Sprintf("env %s blue %s env-blue-$(NAME)-$(NONE) env", now.Status.PodIP, now.Spec.NodeName)
	if got := kubectl(t, l, "exec", "env", "--", "sh", "-c", `echo $NAME $IP $COLOR $NODE "$BOTH" $(hostname)`); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := kubectl(t, l, "exec", "env", "--", "ip", "-4", "-brief", "address", "show", "eth0"); !strings.Contains(got, now.Status.PodIP+"/32") {
		t.Errorf("the pod's own address: %q, status says %s", got, now.Status.PodIP)
	}
	if _, err := tryKubectl(t, l, "exec", "env", "--", "sh", "-c", "exit 7"); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("exit code 7 came out as %v", err)
	}
	execSPDY(t, l)
}

func waitPhase(l *lab.Lab, name string, phase v1.PodPhase) error {
	c, err := l.Client("lab")
	if err != nil {
		return err
	}
	var last v1.PodPhase
	for end := time.Now().Add(patience * 20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		pod, err := c.CoreV1().Pods("msgapp").Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if last = pod.Status.Phase; last == phase {
			return nil
		}
	}
	return fmt.Errorf("pod %s is %s, want %s", name, last, phase)
}

// execSPDY runs a command by the older of the two protocols, with input.
func execSPDY(t *testing.T, l *lab.Lab) {
	t.Helper()
	config, err := l.RestConfig("admin")
	check(t, err)
	request := client(t, l, "admin").CoreV1().RESTClient().Post().Namespace("msgapp").Resource("pods").Name("env").SubResource("exec").
		VersionedParams(&v1.PodExecOptions{Command: []string{"cat"}, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, request.URL())
	check(t, err)
	var out bytes.Buffer
	err = executor.StreamWithContext(deadline(t, 10*time.Second), remotecommand.StreamOptions{
		Stdin: strings.NewReader("through SPDY"), Stdout: &out, Stderr: io.Discard,
	})
	if err != nil || out.String() != "through SPDY" {
		t.Errorf("exec by SPDY: %q, %v", out.String(), err)
	}
}

// TestPortForward forwards to a pod by client-go, by WebSocket and by SPDY, into the caller's own process.
func TestPortForward(t *testing.T) {
	l := sharedLab(t)
	name := podsOf(t, l, "echo")[0]
	config, err := l.RestConfig("admin")
	check(t, err)
	target := client(t, l, "admin").CoreV1().RESTClient().Post().Namespace("msgapp").Resource("pods").Name(name).SubResource("portforward").URL()
	websocket, err := portforward.NewSPDYOverWebsocketDialer(target, config)
	check(t, err)
	transport, upgrader, err := spdy.RoundTripperFor(config)
	check(t, err)
	t.Run("websocket", func(t *testing.T) {
		forwardOnce(t, name, func(ports []string, stop, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(websocket, ports, stop, ready, io.Discard, io.Discard)
		})
	})
	t.Run("spdy", func(t *testing.T) {
		dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
		forwardOnce(t, name, func(ports []string, stop, ready chan struct{}) (*portforward.PortForwarder, error) {
			return portforward.New(dialer, ports, stop, ready, io.Discard, io.Discard)
		})
	})
}

func forwardOnce(t *testing.T, pod string, open func(ports []string, stop, ready chan struct{}) (*portforward.PortForwarder, error)) {
	t.Helper()
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := open([]string{"0:8080"}, stop, ready)
	check(t, err)
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	defer func() {
		close(stop)
		if err := <-ended; err != nil {
			t.Error("forwarding ended:", err)
		}
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal("forwarding did not begin:", err)
	case <-time.After(patience * 10 * time.Second):
		t.Fatal("forwarding not ready")
	}
	ports, err := forwarder.GetPorts()
	check(t, err)
	for range 3 {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/forwarded", ports[0].Local))
		check(t, err)
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		check(t, err)
		if got := namedPod(t, string(body)); got != pod {
			t.Errorf("forwarded to %s, want %s", got, pod)
		}
	}
}

// TestTermination holds a pod's end against its grace period: preStop first, then SIGTERM, then SIGKILL.
func TestTermination(t *testing.T) {
	l := sharedLab(t)
	stubborn := shellPod("stubborn", `trap 'echo got TERM' TERM; echo up; while :; do sleep 0.1; done`)
	grace := int64(3)
	stubborn.Spec.TerminationGracePeriodSeconds = &grace
	stubborn.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: 1}}}
	runPod(t, l, stubborn)
	check(t, waitPhase(l, "stubborn", v1.PodRunning))
	eventually(t, 5*time.Second, "the trap", func() bool { return strings.Contains(kubectl(t, l, "logs", "stubborn"), "up") })
	began := time.Now()
	check(t, l.DeletePod(deadline(t, 5*time.Second), "stubborn"))
	if podNow(t, l, "stubborn").DeletionTimestamp == nil {
		t.Error("no deletion timestamp while it terminates")
	}
	kubectl(t, l, "wait", "--for=delete", "pod/stubborn", "--timeout=20s")
	if took := time.Since(began); took < 2900*time.Millisecond {
		t.Errorf("gone after %s, want its grace period of 3 s", took)
	}
	lines, err := l.PodLog("stubborn")
	check(t, err)
	last := lines[len(lines)-1]
	if since := last.Time.Sub(began); last.Text != "got TERM" || since < 950*time.Millisecond {
		t.Errorf("last line %q, %s after the deletion, want SIGTERM's, after preStop's second", last.Text, since)
	}
}

// TestStatus wants phases, reasons and restart counts as the kubelet reports them.
func TestStatus(t *testing.T) {
	l := sharedLab(t)
	done := shellPod("done", "echo bye")
	done.Spec.RestartPolicy = v1.RestartPolicyNever
	runPod(t, l, done)
	failed := shellPod("failed", "exit 3")
	failed.Spec.RestartPolicy = v1.RestartPolicyNever
	runPod(t, l, failed)
	runPod(t, l, shellPod("crashing", "exit 4"))
	nothing := shellPod("nothing", "")
	nothing.Spec.Containers[0].Command = nil
	nothing.Spec.Containers[0].Image = "registry.invalid/some/image:1"
	runPod(t, l, nothing)
	check(t, waitPhase(l, "done", v1.PodSucceeded))
	check(t, waitPhase(l, "failed", v1.PodFailed))
	if end := podNow(t, l, "failed").Status.ContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != 3 || end.Reason != "Error" {
		t.Errorf("failed pod's state %+v", end)
	}
	eventually(t, 10*time.Second, "CrashLoopBackOff", func() bool {
		status := podNow(t, l, "crashing").Status.ContainerStatuses
		return len(status) == 1 && status[0].State.Waiting != nil && status[0].State.Waiting.Reason == "CrashLoopBackOff" &&
			status[0].RestartCount == 1 && status[0].LastTerminationState.Terminated.ExitCode == 4
	})
	eventually(t, 10*time.Second, "ErrImagePull", func() bool {
		status := podNow(t, l, "nothing").Status.ContainerStatuses
		return len(status) == 1 && status[0].State.Waiting != nil && status[0].State.Waiting.Reason == "ErrImagePull"
	})
	if got := kubectl(t, l, "get", "pod", "crashing", "--no-headers"); !strings.Contains(got, "CrashLoopBackOff") && !strings.Contains(got, "Error") {
		t.Errorf("kubectl get says %q", got)
	}
}

// TestReadyAgain has the node controller's hand undone: it calls the pods of a silent node not ready.
func TestReadyAgain(t *testing.T) {
	l := sharedLab(t)
	defer settled(t, l)
	ctx := deadline(t, 20*time.Second)
	pods := client(t, l, "lab").CoreV1().Pods("msgapp")
	pod := podNow(t, l, podsOf(t, l, "backend")[0])
	i := slices.IndexFunc(pod.Status.Conditions, func(c v1.PodCondition) bool { return c.Type == v1.PodReady })
	pod.Status.Conditions[i].Status = v1.ConditionFalse
	written, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	check(t, err)
	if written.Status.Conditions[i].Status != v1.ConditionFalse {
		t.Fatalf("written: %+v", written.Status.Conditions[i])
	}
	eventually(t, 10*time.Second, "ready again", func() bool {
		return podNow(t, l, pod.Name).Status.Conditions[i].Status == v1.ConditionTrue
	})
}

// TestLivenessByHTTP has a server say that it is ill: it is started anew, and its neighbour is not.
func TestLivenessByHTTP(t *testing.T) {
	l := sharedLab(t)
	probe := func(handler v1.ProbeHandler) *v1.Pod {
		pod := shellPod("", "")
		c := &pod.Spec.Containers[0]
		c.Command, c.Image, c.Ports = nil, "lab/echo", []v1.ContainerPort{{Name: "http", ContainerPort: 8080}}
		c.LivenessProbe = &v1.Probe{ProbeHandler: handler, PeriodSeconds: 1, FailureThreshold: 2}
		return pod
	}
	port := intstr.FromString("http")
	ill := probe(v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/healthz", Port: port}})
	well := probe(v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: port}}) // says 503 too, and takes connections
	ill.Name, well.Name = "ill", "well"
	health := func(name string, args ...string) bool {
		address := "http://" + podNow(t, l, name).Status.PodIP + ":8080/healthz"
		_, err := l.Exec(deadline(t, 5*time.Second), "client", "curl", append(args, "-sf", "-m", "2", address+"?status=503")...)
		return err == nil
	}
	for _, pod := range []*v1.Pod{well, ill} {
		runPod(t, l, pod)
		check(t, waitPhase(l, pod.Name, v1.PodRunning))
		eventually(t, 5*time.Second, pod.Name+" is made to answer 503", func() bool { return health(pod.Name, "-X", "PUT") })
	}
	restarts := func(name string) string {
		return kubectl(t, l, "get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.running.startedAt}")
	}
	eventually(t, 15*time.Second, "a restart", func() bool { return strings.HasPrefix(restarts("ill"), "1 2") })
	eventually(t, 5*time.Second, "a new process, which is well", func() bool { return health("ill") })
	if got := restarts("well"); !strings.HasPrefix(got, "0 2") || health("well") {
		t.Errorf("the neighbour, which takes connections, has restarts %q", got)
	}
}

// TestLiveness restarts a container whose liveness probe fails.
func TestLiveness(t *testing.T) {
	l := sharedLab(t)
	sick := shellPod("sick", "sleep 600")
	sick.Spec.Containers[0].LivenessProbe = &v1.Probe{
		ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"sh", "-c", "exit 1"}}}, PeriodSeconds: 1, FailureThreshold: 2,
	}
	runPod(t, l, sick)
	eventually(t, 15*time.Second, "a restart for liveness", func() bool {
		status := podNow(t, l, "sick").Status.ContainerStatuses
		return len(status) == 1 && status[0].RestartCount >= 1
	})
	eventually(t, 5*time.Second, "the event", func() bool {
		return strings.Contains(kubectl(t, l, "get", "events", "--field-selector=involvedObject.name=sick"), "Liveness probe failed")
	})
}
