package lab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	discovery "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubestickytop/stickytop/test/lab"
)

// endpoints returns what the slices of a Service say of each pod: ready, serving, terminating.
func endpoints(t *testing.T, l *lab.Lab, service string) map[string]discovery.EndpointConditions {
	t.Helper()
	slices, err := client(t, l, "lab").DiscoveryV1().EndpointSlices("msgapp").List(deadline(t, 10*time.Second), metav1.ListOptions{
		LabelSelector: discovery.LabelServiceName + "=" + service,
	})
	check(t, err)
	out := map[string]discovery.EndpointConditions{}
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			out[e.TargetRef.Name] = e.Conditions
		}
	}
	return out
}

func ready(c discovery.EndpointConditions) bool { return c.Ready != nil && *c.Ready }

// TestDeletePod deletes a pod that is answering a long poll: it terminates for as long as its server drains.
func TestDeletePod(t *testing.T) {
	l := sharedLab(t)
	defer settled(t, l)
	name := podsOf(t, l, "backend")[0]
	longPoll(t, l, name)
	check(t, l.DeletePod(deadline(t, 5*time.Second), name))
	eventually(t, 5*time.Second, "its endpoint terminates", func() bool {
		c, listed := endpoints(t, l, "msgapp-backend")[name]
		return listed && c.Terminating != nil && *c.Terminating && !ready(c)
	})
	if got := kubectl(t, l, "get", "pod", name, "-o", "jsonpath={.metadata.deletionTimestamp}"); got == "" {
		t.Error("kubectl shows no deletion timestamp while it terminates")
	}
	kubectl(t, l, "wait", "--for=delete", "pod/"+name, "--timeout=20s")
	lines, err := l.PodLog(name)
	check(t, err)
	if len(lines) == 0 || !strings.Contains(lines[len(lines)-1].Text, `"terminating"`) {
		t.Errorf("the log of the gone pod does not end with its SIGTERM: %v", lines)
	}
}

// longPoll opens an Engine.IO session at a pod and has it hold a request open.
func longPoll(t *testing.T, l *lab.Lab, pod string) {
	t.Helper()
	ip := podNow(t, l, pod).Status.PodIP
	ask := func(query string) (string, error) {
		response, err := l.HTTPClient(0).Get("http://" + ip + ":5000/socket.io/?EIO=4&transport=polling" + query)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	body, err := ask("")
	check(t, err)
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask("&sid=" + sid)
	}()
	t.Cleanup(func() { <-done })
	// Until it ends, the request shows by its connection to port 5000 only: established, and all that came was read, for
	// a while. /proc/net/tcp has addresses as the machine's integers (proc_net_tcp.rst).
	remote := binary.NativeEndian.Uint32(net.ParseIP(l.ClientIP(0)).To4())
	waiting := regexp.MustCompile(fmt.Sprintf(`:1388 %08X:[0-9A-F]{4} 01 [0-9A-F]{8}:0{8} `, remote))
	times := 0
	eventually(t, 5*time.Second, "the pod has the request", func() bool {
		out, err := l.Exec(deadline(t, 5*time.Second), "pod/"+pod, "cat", "/proc/self/net/tcp")
		check(t, err)
		if !waiting.Match(out) {
			times = 0
			return false
		}
		times++
		return times == 5
	})
}

func TestReadiness(t *testing.T) {
	l := sharedLab(t)
	defer settled(t, l)
	name := podsOf(t, l, "echo")[0]
	check(t, l.FailReadiness(name))
	eventually(t, 10*time.Second, "unready", func() bool { return !ready(endpoints(t, l, "echo")[name]) })
	if got := kubectl(t, l, "get", "pod", name, "--no-headers"); !strings.Contains(got, "0/1") || !strings.Contains(got, "Running") {
		t.Errorf("kubectl get says %q, want 0/1 Running", got)
	}
	check(t, l.RestoreReadiness(name))
	eventually(t, 10*time.Second, "ready", func() bool { return ready(endpoints(t, l, "echo")[name]) })
}

// TestFreeze wants a frozen pod's connections to be taken and never answered, and its processes in state T.
func TestFreeze(t *testing.T) {
	l := sharedLab(t)
	defer settled(t, l)
	ctx := deadline(t, 30*time.Second)
	name := podsOf(t, l, "echo")[0]
	ip := podNow(t, l, name).Status.PodIP
	check(t, l.Freeze(ctx, name))
	_, err := l.Exec(ctx, "node1", "curl", "-sS", "-m", "1", "http://"+ip+":8080/")
	if err == nil || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("a frozen pod: %v, want a time-out", err)
	}
	eventually(t, 15*time.Second, "unready", func() bool { return !ready(endpoints(t, l, "echo")[name]) })
	check(t, l.Thaw(ctx, name))
	eventually(t, 15*time.Second, "ready", func() bool { return ready(endpoints(t, l, "echo")[name]) })
}

func TestScaleAndRollout(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	check(t, l.Scale(ctx, "echo", 5))
	check(t, l.WaitFor(ctx, "echo"))
	before := podsOf(t, l, "echo")
	if len(before) != 5 || len(endpoints(t, l, "echo")) != 5 {
		t.Errorf("pods %v, want 5", before)
	}
	check(t, l.Rollout(ctx, "echo"))
	check(t, l.WaitFor(ctx, "echo"))
	for _, name := range podsOf(t, l, "echo") {
		if strings.Contains(strings.Join(before, " "), name) {
			t.Errorf("pod %s survived the rolling update", name)
		}
	}
	check(t, l.Scale(ctx, "echo", 3))
	check(t, l.WaitFor(ctx, "echo"))

	check(t, l.Scale(ctx, "msgapp-mongodb", 2))
	check(t, l.WaitFor(ctx, "msgapp-mongodb"))
	if got := podsOf(t, l, "mongodb"); len(got) != 2 {
		t.Errorf("pods of the StatefulSet %v, want 2", got)
	}
	check(t, l.Scale(ctx, "msgapp-mongodb", 1))
	check(t, l.WaitFor(ctx, "msgapp-mongodb"))
	for _, err := range []error{l.Scale(ctx, "nonsense", 2), l.Rollout(ctx, "nonsense"), l.WaitFor(ctx, "nonsense")} {
		if err == nil || !strings.Contains(err.Error(), "no Deployment or StatefulSet nonsense in namespace msgapp") {
			t.Errorf("on what is not there: %v", err)
		}
	}
}

// TestAPIServerGone pauses and stops the API server: the first hangs, the second refuses, and the ingress serves on.
func TestAPIServerGone(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	serves := func(when string) {
		if status, _, _, err := get(l, 0, "echo.local", "/", nil); status != http.StatusOK {
			t.Errorf("%s: the ingress answers %d, %v", when, status, err)
		}
	}
	check(t, l.PauseAPIServer(ctx))
	_, err := l.Exec(ctx, "client", "kubectl", "get", "pods", "--request-timeout=1s")
	serves("paused")
	status, e := l.Status(ctx)
	check(t, e)
	if text := fmt.Sprint(status.Processes); !strings.Contains(text, "{kube-apiserver paused, pid ") || strings.Contains(text, "{etcd paused") {
		t.Errorf("status of a paused API server: %s", text)
	}
	check(t, l.ResumeAPIServer(ctx))
	if err == nil {
		t.Error("a paused API server answered")
	}
	kubectl(t, l, "get", "pods")

	check(t, l.StopAPIServer(ctx))
	_, err = l.Exec(ctx, "client", "kubectl", "get", "pods", "--request-timeout=3s")
	serves("stopped")
	check(t, l.ResumeAPIServer(ctx))
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a stopped API server: %v, want a refused connection", err)
	}
	kubectl(t, l, "get", "pods")
}

func TestPauseEtcd(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	check(t, l.PauseEtcd(ctx))
	_, err := l.Exec(ctx, "client", "kubectl", "create", "configmap", "never", "--request-timeout=1s")
	check(t, l.ResumeEtcd(ctx))
	if err == nil {
		t.Error("a write succeeded without etcd")
	}
	eventually(t, 20*time.Second, "kubectl works again", func() bool { _, err := tryKubectl(t, l, "get", "pods"); return err == nil })
}

// TestCompactHistory wants 410 for a watch from before the restart, and none for one from after it.
func TestCompactHistory(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	pods := client(t, l, "admin").CoreV1().Pods("msgapp")
	list, err := pods.List(ctx, metav1.ListOptions{})
	check(t, err)
	if code := watchError(ctx, t, l, list.ResourceVersion); code != 0 {
		t.Errorf("a watch from now got %d before the restart", code)
	}
	check(t, l.CompactHistory(ctx))
	if code := watchError(ctx, t, l, list.ResourceVersion); code != http.StatusGone {
		t.Errorf("a watch from before the restart got %d, want 410", code)
	}
	list, err = pods.List(ctx, metav1.ListOptions{})
	check(t, err)
	if code := watchError(ctx, t, l, list.ResourceVersion); code != 0 {
		t.Errorf("a watch from now got %d after the restart", code)
	}
}

// watchError watches pods from a resource version for two seconds and returns the code of an error event, or 0.
func watchError(ctx context.Context, t *testing.T, l *lab.Lab, version string) int32 {
	t.Helper()
	seconds := int64(2)
	w, err := client(t, l, "admin").CoreV1().Pods("msgapp").Watch(ctx, metav1.ListOptions{ResourceVersion: version, TimeoutSeconds: &seconds})
	if err != nil {
		var status apierrors.APIStatus
		if errors.As(err, &status) {
			return status.Status().Code
		}
		t.Fatal(err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if event.Type == watch.Error {
			return event.Object.(*metav1.Status).Code
		}
	}
	return 0
}

func TestStopIngress(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	check(t, l.StopIngress(ctx))
	eventually(t, 10*time.Second, "nothing answers", func() bool { _, _, _, err := get(l, 0, "echo.local", "/", nil); return err != nil })
	check(t, l.StartIngress(ctx))
	// Controllers and proxies whose watches an earlier test broke come back within half a minute.
	eventually(t, 40*time.Second, "the ingress serves", func() bool {
		status, _, _, _ := get(l, 0, "echo.local", "/", nil)
		return status == http.StatusOK
	})
}

func TestExpireToken(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	list := func(user string) error {
		_, err := client(t, l, user).CoreV1().Pods("msgapp").List(ctx, metav1.ListOptions{})
		return err
	}
	check(t, list("viewer"))
	check(t, l.ExpireToken(ctx, "viewer"))
	if err := list("viewer"); !apierrors.IsUnauthorized(err) {
		t.Errorf("an expired token: %v, want 401", err)
	}
	if _, err := tryKubectl(t, l, "--kubeconfig", l.Kubeconfig("viewer"), "get", "pods"); err == nil {
		t.Error("kubectl got pods with an expired token")
	}
	check(t, list("admin")) // whose token is another one
	check(t, l.RenewToken(ctx, "viewer"))
	check(t, list("viewer"))
}

func TestUsers(t *testing.T) {
	l := sharedLab(t)
	for _, c := range []struct {
		user, verb, resource, namespace string
		allowed                         bool
	}{
		{"admin", "delete", "nodes", "", true},
		{"viewer", "watch", "pods", "msgapp", true},
		{"viewer", "list", "endpointslices.discovery.k8s.io", "msgapp", true},
		{"viewer", "list", "ingresses.networking.k8s.io", "msgapp", true},
		{"viewer", "list", "pods", "", false},
		{"viewer", "list", "pods", "ingress", false},
		{"viewer", "list", "ingressclasses.networking.k8s.io", "", false},
		{"viewer", "delete", "pods", "msgapp", false},
		{"viewer", "create", "pods/portforward", "msgapp", false},
		{"blind", "list", "services", "msgapp", true},
		{"blind", "list", "ingresses.networking.k8s.io", "msgapp", true},
		{"blind", "list", "pods", "msgapp", false},
		{"blind", "list", "endpointslices.discovery.k8s.io", "msgapp", false},
	} {
		args := []string{"--kubeconfig", l.Kubeconfig(c.user), "auth", "can-i", c.verb, c.resource}
		if c.namespace != "" {
			args = append(args, "-n", c.namespace)
		} else {
			args = append(args, "-A")
		}
		out, err := l.Exec(deadline(t, 20*time.Second), "client", "kubectl", args...)
		if allowed := strings.TrimSpace(string(out)) == "yes"; allowed != c.allowed {
			t.Errorf("%s may %s %s in %q: %v (%v), want %v", c.user, c.verb, c.resource, c.namespace, allowed, err, c.allowed)
		}
	}
}

// soonest measures connectTime a few times and returns the shortest: a busy machine can only make it longer.
func soonest(t *testing.T, l *lab.Lab, node int) (time.Duration, error) {
	t.Helper()
	least, last := time.Hour, error(nil)
	for range 8 {
		took, err := connectTime(t, l, node)
		if err != nil {
			last = err
			continue
		}
		least = min(least, took)
	}
	return least, last
}

// connectTime measures a TCP connection from the client to a node's port, as curl sees it.
func connectTime(t *testing.T, l *lab.Lab, node int) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	began := time.Now()
	conn, err := l.Dial(ctx, "client", "", l.NodeIP(node)+":30080")
	if err == nil {
		conn.Close()
	}
	return time.Since(began), err
}

func TestDelay(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	const late = 150 * time.Millisecond
	check(t, l.Delay(ctx, "client", "node1", late))
	defer l.Heal(ctx, "", "")
	if took, err := connectTime(t, l, 1); err != nil || took < 2*late {
		t.Errorf("connected to node1 after %s, %v; want at least %s", took, err, 2*late)
	}
	if took, err := soonest(t, l, 2); err != nil || took > late {
		t.Errorf("connected to node2 after %s, %v: it has no delay", took, err)
	}
	// The load balancer's address is behind node1 or node2; whole answers get through either way.
	if status, body, _, err := get(l, 0, "echo.local", "/", nil); status != http.StatusOK {
		t.Errorf("through the ingress: %d %q %v", status, body, err)
	}
	status, err := l.Status(ctx)
	check(t, err)
	if len(status.Faults) != 1 || !strings.Contains(status.Faults[0], "delay 150ms") {
		t.Errorf("status tells of %q", status.Faults)
	}
	check(t, l.Heal(ctx, "node1", "client"))
	if took, err := soonest(t, l, 1); err != nil || took > late {
		t.Errorf("healed, and connected to node1 after %s, %v", took, err)
	}
}

func TestDrop(t *testing.T) {
	l := sharedLab(t)
	ctx := deadline(t, time.Minute)
	check(t, l.Drop(ctx, "client", "node2", 100))
	defer l.Heal(ctx, "", "")
	if _, err := connectTime(t, l, 2); err == nil {
		t.Error("connected to node2 through a total loss")
	}
	if _, err := connectTime(t, l, 1); err != nil {
		t.Error("node1 is cut off too:", err)
	}
	if err := l.Drop(ctx, "node2", "client", 10); err == nil {
		t.Error("a second fault between the same places was taken")
	}
	check(t, l.Heal(ctx, "client", "node2"))
	if _, err := connectTime(t, l, 2); err != nil {
		t.Error("healed, and node2 is still cut off:", err)
	}
	pod := podsOf(t, l, "echo")[0]
	check(t, l.Drop(ctx, "pod/"+pod, "node1", 100))
	check(t, l.Drop(ctx, "pod/"+pod, "node2", 100))
	eventually(t, 15*time.Second, "a pod cut off from its node is unready", func() bool { return !ready(endpoints(t, l, "echo")[pod]) })
	check(t, l.DeletePod(ctx, pod))
	kubectl(t, l, "wait", "--for=delete", "pod/"+pod, "--timeout=30s")
	check(t, l.Heal(ctx, "", "")) // also of a pod that is gone
	for _, ns := range []string{"node1", "node2"} {
		out, err := l.Exec(ctx, ns, "nft", "list", "tables")
		check(t, err)
		if strings.Contains(string(out), "lab_fault") {
			t.Errorf("healed, and %s has %s", ns, out)
		}
	}
	settled(t, l)
}
