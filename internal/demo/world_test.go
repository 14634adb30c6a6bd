package demo_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func do(t *testing.T, w *demo.World, action string) {
	t.Helper()
	if err := w.Do(action); err != nil {
		t.Fatalf("%s: %v", action, err)
	}
}

// endpoints returns the backend's, by pod.
func endpoints(w *demo.World) map[string]discoveryv1.EndpointConditions {
	all := map[string]discoveryv1.EndpointConditions{}
	for _, s := range apiserver.List[*discoveryv1.EndpointSlice](w.Store(), w.Namespace()) {
		if s.Labels[discoveryv1.LabelServiceName] == "msgapp-backend" {
			for _, e := range s.Endpoints {
				all[e.TargetRef.Name] = e.Conditions
			}
		}
	}
	return all
}

func ready(w *demo.World) (pods []string) {
	for pod, c := range endpoints(w) {
		if *c.Ready {
			pods = append(pods, pod)
		}
	}
	slices.Sort(pods)
	return pods
}

// pinned returns users and the pods that hold them.
func pinned(t *testing.T, w *demo.World) (users []*user, pods []string) {
	t.Helper()
	for n := range 6 {
		u := newUser(w, n+1)
		pod, status, err := u.ask(t.Context())
		if err != nil || status != 200 {
			t.Fatal(status, err)
		}
		users, pods = append(users, u), append(pods, pod)
	}
	return users, pods
}

// still is a scenario whose story leaves the test alone: its speed scales the
// cluster as well, so its steps are far away or harmless.
func still(t *testing.T) *demo.World {
	t.Helper()
	return run(t, demo.Options{Scenario: "rbac", Speed: 10})
}

func TestInitialWorld(t *testing.T) {
	w := still(t)
	w.API().Deny()
	client, err := kubernetes.NewForConfig(w.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods(w.Namespace()).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) != 4 {
		t.Fatalf("%d pods, %v, want three backends and a database", len(pods.Items), err)
	}
	for _, p := range pods.Items {
		if p.Status.Phase != corev1.PodRunning || p.Status.PodIP == "" || p.Spec.NodeName == "" || time.Since(p.CreationTimestamp.Time) < time.Hour {
			t.Errorf("pod %s: %s, address %q, node %q", p.Name, p.Status.Phase, p.Status.PodIP, p.Spec.NodeName)
		}
		if ip := net.ParseIP(p.Status.PodIP); ip == nil || ip.IsLoopback() {
			t.Errorf("pod %s has address %s: the API has no loopback endpoints", p.Name, ip)
		}
	}
	if got := ready(w); len(got) != 3 {
		t.Errorf("ready %v, want three", got)
	}
	ing, err := client.NetworkingV1().Ingresses(w.Namespace()).Get(t.Context(), w.Target().Name, metav1.GetOptions{})
	if err != nil || len(ing.Status.LoadBalancer.Ingress) != 1 {
		t.Errorf("ingress %v, %v, want an address in its status", ing, err)
	}
	db, err := client.CoreV1().Services(w.Namespace()).Get(t.Context(), "msgapp-mongodb", metav1.GetOptions{})
	if err != nil || db.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("database %v, %v, want a headless Service", db, err)
	}
}

func TestDial(t *testing.T) {
	w := still(t)
	for addr, open := range map[string]bool{"chat.example.com:80": true, "203.0.113.80:80": true, w.Resolve(): false, "chat.example.com:443": false} {
		c, err := w.DialContext(t.Context(), "tcp", addr)
		if (err == nil) != open || err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial %s: %v, want open: %v", addr, err, open)
		}
		if c != nil {
			_ = c.Close()
		}
	}
}

func TestDeletePodDrains(t *testing.T) {
	w := still(t)
	users, pods := pinned(t, w)
	do(t, w, "delete-pod")
	gone := strings.TrimPrefix(w.Caption(), "kubectl delete pod ")
	if !slices.Contains(pods, gone) {
		t.Fatalf("%q, want one of %v deleted", w.Caption(), pods)
	}
	eventually(t, "the endpoint is not ready, serving, terminating", func() bool {
		c, found := endpoints(w)[gone]
		return found && !*c.Ready && *c.Serving && *c.Terminating
	})
	for i, u := range users {
		pod, status, err := u.ask(t.Context())
		if err != nil || status != 200 || (pod == pods[i]) == (pods[i] == gone) {
			t.Errorf("a user of %s is answered by %s, %d, %v", pods[i], pod, status, err)
		}
	}
	eventually(t, "it is gone and replaced", func() bool {
		_, there := apiserver.Get[*corev1.Pod](w.Store(), w.Namespace(), gone)
		return !there && len(ready(w)) == 3
	})
}

func TestCrashedPodReturns(t *testing.T) {
	w := still(t)
	users, pods := pinned(t, w)
	before := map[string]string{}
	for _, p := range apiserver.List[*corev1.Pod](w.Store(), w.Namespace()) {
		before[p.Name] = p.Status.PodIP
	}
	do(t, w, "crash-pod")
	victim, _, _ := strings.Cut(w.Caption(), " ")
	at := slices.Index(pods, victim)
	eventually(t, "its user gets 502 while it is listed", func() bool {
		_, status, err := users[at].ask(t.Context())
		return err == nil && status == 502
	})
	eventually(t, "it leaves the endpoints", func() bool { return len(ready(w)) == 2 })
	if pod, status, err := users[at].ask(t.Context()); err != nil || status != 200 || pod == victim {
		t.Errorf("then: %s, %d, %v", pod, status, err)
	}
	eventually(t, "it returns", func() bool { return len(ready(w)) == 3 })
	p, found := apiserver.Get[*corev1.Pod](w.Store(), w.Namespace(), victim)
	if !found || p.Status.PodIP != before[victim] {
		t.Fatalf("pod %v, want the same at %s", p, before[victim])
	}
	s := p.Status.ContainerStatuses[0]
	if s.RestartCount != 1 || s.State.Running == nil || s.LastTerminationState.Terminated == nil {
		t.Errorf("container %+v, want one restart and why", s)
	}
}

func TestReadinessFollowsTheProbe(t *testing.T) {
	for _, action := range []string{"fail-readiness", "freeze-pod"} {
		w := still(t)
		all := ready(w)
		do(t, w, action)
		victim, _, _ := strings.Cut(w.Caption(), " ")
		eventually(t, victim+" leaves the endpoints", func() bool {
			return len(ready(w)) == 2 && !slices.Contains(ready(w), victim)
		})
		do(t, w, action)
		eventually(t, victim+" is back", func() bool { return slices.Equal(ready(w), all) })
	}
}

func TestRolloutLosesNoRequest(t *testing.T) {
	w := still(t)
	old := ready(w)
	ctx, cancel := context.WithCancel(t.Context())
	var users sync.WaitGroup
	for n := range 6 {
		users.Go(func() {
			u := newUser(w, n+1)
			for ctx.Err() == nil {
				if _, status, err := u.ask(t.Context()); err != nil || status != 200 {
					t.Errorf("during a rollout: %d, %v", status, err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	do(t, w, "rollout")
	eventually(t, "every pod is replaced", func() bool {
		now := ready(w)
		return len(now) == 3 && len(endpoints(w)) == 3 && !slices.ContainsFunc(now, func(p string) bool { return slices.Contains(old, p) })
	})
	cancel()
	users.Wait()
	if len(apiserver.List[*corev1.Pod](w.Store(), w.Namespace())) > 5 {
		t.Error("old pods stay")
	}
}

func TestScaleToNothing(t *testing.T) {
	w := still(t)
	u := newUser(w, 1)
	for range 3 {
		do(t, w, "scale-down")
	}
	eventually(t, "503", func() bool {
		_, status, err := u.ask(t.Context())
		return err == nil && status == 503
	})
	do(t, w, "scale-up")
	eventually(t, "an answer", func() bool {
		_, status, err := u.ask(t.Context())
		return err == nil && status == 200
	})
}

func TestInformerSeesWhatHappens(t *testing.T) {
	w := run(t, demo.Options{Scenario: "affinity-off", Speed: 10})
	client, err := kubernetes.NewForConfig(w.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(w.Namespace()))
	pods := factory.Core().V1().Pods().Lister()
	ingresses := factory.Networking().V1().Ingresses().Lister()
	stop := make(chan struct{})
	factory.Start(stop)
	defer factory.Shutdown()
	defer close(stop)
	factory.WaitForCacheSync(stop)

	do(t, w, "toggle-affinity")
	do(t, w, "toggle-api")
	do(t, w, "scale-up")
	if _, err := client.CoreV1().Pods(w.Namespace()).List(t.Context(), metav1.ListOptions{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("list with the API cut: %v", err)
	}
	do(t, w, "toggle-api")
	eventually(t, "the annotation and the fourth backend arrive", func() bool {
		ing, err := ingresses.Ingresses(w.Namespace()).Get("msgapp")
		if err != nil || ing.Annotations["nginx.ingress.kubernetes.io/affinity"] != "cookie" {
			return false
		}
		n := 0
		for _, p := range apiserver.List[*corev1.Pod](w.Store(), w.Namespace()) {
			if seen, err := pods.Pods(w.Namespace()).Get(p.Name); err == nil && seen.Status.Phase == corev1.PodRunning {
				n++
			}
		}
		return n == 5
	})
}

// TestEverythingAtOnce presses keys at random while users ask.
func TestEverythingAtOnce(t *testing.T) {
	w := run(t, demo.Options{Scenario: "tour", Speed: 60})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			u := newUser(w, n+1)
			for ctx.Err() == nil {
				_, _, _ = u.ask(ctx)
			}
		})
	}
	for n := range 2 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			actions := w.Actions()
			for ctx.Err() == nil {
				_ = w.Do(actions[random.IntN(len(actions))].Name) // some cannot, as no pod is ready
				_ = w.Caption()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	all.Wait()
	for range 12 {
		_ = w.Do("scale-up")
	}
	// One pod may have been left frozen, one sick; the same keys mend them.
	for action, mended := range map[string]string{"freeze-pod": "answers again", "fail-readiness": "readiness probe again"} {
		eventually(t, action+" mends", func() bool { return w.Do(action) == nil && strings.Contains(w.Caption(), mended) })
	}
	eventually(t, "twelve pods, whatever was pressed", func() bool { return len(ready(w)) == 12 })
}

func TestRunLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	w, err := demo.New(demo.Options{Speed: 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	u := newUser(w, 1)
	if _, status, err := u.ask(t.Context()); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp4", w.Resolve()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the ingress still listens: %v", err)
	}
	eventually(t, "every goroutine has ended", func() bool { return runtime.NumGoroutine() <= before })
}
