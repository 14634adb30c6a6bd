// Package super is the lab's supervisor: it brings the lab up, keeps it, and does the faults that need its hands.
package super

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubestickytop/stickytop/test/lab/internal/control"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
	"github.com/kubestickytop/stickytop/test/lab/internal/plane"
	"github.com/kubestickytop/stickytop/test/lab/internal/world"
	"github.com/kubestickytop/stickytop/test/lab/manifests"
)

// Supervisor keeps one lab.
type Supervisor struct {
	spec   layout.Spec
	self   string
	plane  *plane.Plane
	agents []*plane.Process
	wires  wires

	mu     sync.Mutex
	status control.Status
}

// Run brings the lab of that spec up and keeps it until ctx ends. Its progress, and a failure, are told on the
// control socket, which stays.
func Run(ctx context.Context, spec layout.Spec) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s := &Supervisor{spec: spec, self: self, status: control.Status{Spec: spec, Phase: "network"}}
	if err := s.serve(ctx); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	if err := s.up(ctx, starting); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		s.setPhase("failed", err)
	} else {
		s.setPhase("ready", nil)
	}
	<-ctx.Done()
	return nil
}

// up starts everything in order; what keeps running lives as long as ctx, starting as long as starting.
func (s *Supervisor) up(ctx, starting context.Context) error {
	if err := world.Build(s.spec); err != nil {
		return err
	}
	var err error
	if s.plane, err = plane.New(s.spec); err != nil {
		return err
	}
	if err := s.plane.ServeTokens(ctx); err != nil {
		return err
	}
	s.setPhase("etcd and API server", nil)
	if err := s.plane.Etcd.Start(); err != nil {
		return err
	}
	if err := s.plane.API.Start(); err != nil {
		return err
	}
	if err := s.plane.WaitAPI(starting); err != nil {
		return cmp.Or(s.ended(), err)
	}
	s.setPhase("nodes", nil)
	if err := s.startNodes(starting); err != nil {
		return err
	}
	go schedule(ctx, s.plane.Client)
	go balance(ctx, s.plane.Client)
	s.setPhase("workloads", nil)
	sets, err := manifests.For(s.spec.Ingress, s.spec.Cache)
	if err != nil {
		return err
	}
	for _, set := range sets {
		if err := plane.Apply(starting, s.plane.Config, set.Name, set.Text); err != nil {
			return fmt.Errorf("%s: %w", set.Name, err)
		}
	}
	if err := s.waitPods(starting); err != nil {
		return err
	}
	return s.waitIngress(starting)
}

// startNodes registers the nodes, as a cloud would, and starts the controllers, proxies and agents.
func (s *Supervisor) startNodes(ctx context.Context) error {
	for i := 1; i <= s.spec.Nodes; i++ {
		name := layout.NodeName(i)
		_, err := s.plane.Client.CoreV1().Nodes().Create(ctx, &v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelHostname: name, v1.LabelOSStable: "linux"}},
			Spec:       v1.NodeSpec{PodCIDR: layout.NodePods(i), PodCIDRs: []string{layout.NodePods(i)}},
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		agent := &plane.Process{
			Name: "agent-" + name, NS: name, Args: []string{s.self, "_agent", s.spec.Dir, strconv.Itoa(i)},
			Log: s.spec.Path("logs", "agent-"+name+".log"),
		}
		s.mu.Lock()
		s.agents = append(s.agents, agent)
		s.mu.Unlock()
	}
	for _, p := range append(append([]*plane.Process{s.plane.Managers}, s.plane.Proxies...), s.agents...) {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

// waitPods waits until every pod of the applied workloads is ready and every LoadBalancer has its address.
func (s *Supervisor) waitPods(ctx context.Context) error {
	for {
		missing, err := notReady(ctx, s.plane.Client)
		if err == nil && missing == "" {
			return nil
		}
		if err != nil {
			missing = err.Error()
		}
		s.setPhase("waiting for "+missing, nil)
		if err := s.ended(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting for %s", missing)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ended is the error of a program that is not there any more, with its last words: what waits for it would wait long.
func (s *Supervisor) ended() error {
	for _, p := range append(s.plane.Processes(), s.agents...) {
		if state := p.State(); strings.HasPrefix(state, "ended") {
			words := lastWords(p.Log)
			if strings.Contains(words, "too many open files") {
				words += fmt.Sprintf(" (inotify(7): this user may have %s instances; each lab takes about five, see fs.inotify.max_user_instances)",
					lastWords("/proc/sys/fs/inotify/max_user_instances"))
			}
			return fmt.Errorf("%s %s: %s", p.Name, state, words)
		}
	}
	return nil
}

// lastWords are a log's last line, or the one before a panic's stacks.
func lastWords(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	last := ""
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			break
		}
	}
	return last
}

// notReady names what a complete lab still lacks.
func notReady(ctx context.Context, client kubernetes.Interface) (string, error) {
	for _, namespace := range []string{"msgapp", "ingress"} {
		deployments, err := client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		for _, d := range deployments.Items {
			if d.Spec.Replicas != nil && d.Status.ReadyReplicas < *d.Spec.Replicas {
				return fmt.Sprintf("%s: %d of %d pods ready", d.Name, d.Status.ReadyReplicas, *d.Spec.Replicas), nil
			}
		}
		services, err := client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		for _, svc := range services.Items {
			if svc.Spec.Type == v1.ServiceTypeLoadBalancer && len(svc.Status.LoadBalancer.Ingress) == 0 {
				return "an address for " + svc.Name, nil
			}
		}
	}
	sets, err := client.AppsV1().StatefulSets("msgapp").List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, set := range sets.Items {
		if set.Status.ReadyReplicas < set.Status.Replicas || set.Status.Replicas == 0 {
			return set.Name, nil
		}
	}
	return "", nil
}

// waitIngress waits until the ingress controller serves every Ingress host: pods are ready before it knows them.
func (s *Supervisor) waitIngress(ctx context.Context) error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return netns.Dial(ctx, layout.Client, "", address)
		},
	}}
	for _, host := range []string{"msgapp.local", "echo.local", "loose.local"} {
		s.setPhase("waiting for the ingress controller to serve "+host, nil)
		for {
			last, err := askHost(ctx, &client, host)
			if last == http.StatusOK {
				break
			}
			if err := s.ended(); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the ingress controller does not serve %s: status %d, %v", host, last, err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

func askHost(ctx context.Context, client *http.Client, host string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+layout.LoadBalancerIP(0)+"/", nil)
	if err != nil {
		return 0, err
	}
	request.Host = host
	request.Header.Set("User-Agent", "stickytop-lab")
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	response.Body.Close()
	return response.StatusCode, nil
}

func (s *Supervisor) setPhase(phase string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Phase != phase {
		fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), phase)
	}
	s.status.Phase, s.status.Ready = phase, phase == "ready"
	if err != nil {
		s.status.Error = err.Error()
	}
}

// Status describes the lab as it is now.
func (s *Supervisor) Status() control.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.Processes = nil
	if s.plane == nil {
		return status
	}
	for _, p := range append(s.plane.Processes(), s.agents...) {
		status.Processes = append(status.Processes, control.Process{Name: p.Name, State: p.State(), Log: p.Log})
	}
	status.Faults = s.wires.list()
	return status
}
