package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// agentImage is the program under test, in a pod of the lab.
var agentImage = []string{"--image", "lab/stickytop"}

// TestAgents makes agents and has them ask a Service with ClientIP affinity. That each has an address of its own is
// the backends' word, which pod each is pinned to that of nft on the agents' nodes.
func TestAgents(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deployByAddress(t, l, "crew")

	args := append([]string{"get", "sessions", "svc/crew", "-n", "e2e", "--path", "/", "--agents", "3", "--yes", "--for", "6s", "-o", "json", "--requests"}, agentImage...)
	r := stickytop(t, l, args...)
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	for _, words := range []string{"this makes", "3 Jobs", "create pods/portforward", "agents down"} {
		if !strings.Contains(r.err, words) {
			t.Errorf("before it makes anything it says %q, want %q in it", r.err, words)
		}
	}
	noAgents(t, l, "at the end of the run", 10*time.Second)
	list := parseList(t, r.out)
	addresses := clientsOf(t, l, "crew")
	tables := map[string]string{}
	for node := 1; node <= 2; node++ {
		for client, endpoint := range nftPins(t, l, fmt.Sprintf("node%d", node), "e2e", "crew") {
			tables[client] = endpoint
		}
	}
	seen := map[string]bool{}
	for _, s := range list.Items {
		seen[s.SourceIP] = true
		if s.State != "STUCK" || s.Requests < 3 || s.Failures > 0 {
			t.Errorf("%s from %s: %s, %d requests, %d failed (%s)", s.Name, s.SourceIP, s.State, s.Requests, s.Failures, s.LastFailure)
			continue
		}
		for _, x := range s.Exchanges {
			if addresses[x.RequestID] != s.SourceIP {
				t.Errorf("%s: a backend saw request %s come from %q, not from %s", s.Name, x.RequestID, addresses[x.RequestID], s.SourceIP)
			}
		}
		if s.Pod == nil || !strings.HasPrefix(tables[s.SourceIP], s.Pod.IP+":") {
			t.Errorf("%s from %s is on %v, the nodes pin it to %q", s.Name, s.SourceIP, s.Pod, tables[s.SourceIP])
		}
	}
	if len(list.Items) != 3 || len(seen) != 3 {
		t.Errorf("%d sessions from %d addresses, want 3 from 3", len(list.Items), len(seen))
	}
}

// TestAgentsThatStay are up for several runs, until they are told to go.
func TestAgentsThatStay(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deployByAddress(t, l, "stay")
	namespace(t, l, "stay", "")
	up := stickytop(t, l, append([]string{"agents", "up", "--agents", "2", "-n", "stay", "--yes"}, agentImage...)...)
	if up.code != 0 {
		t.Fatalf("agents up: exit code %d: %s", up.code, up.err)
	}
	ls := stickytop(t, l, "agents", "ls", "-n", "stay")
	if n := strings.Count(ls.out, "Ready"); n != 2 || !strings.Contains(ls.out, "admin") {
		t.Errorf("agents ls: %s%s", ls.out, ls.err)
	}
	// Agents ask from the namespace they are in, whatever they ask.
	for range 2 {
		list := sessions(t, l, "ing/stay", "-A", "-n", "stay", "--from", "pods", "--for", "4s", "--path", "/")
		if len(list.Items) != 2 || list.Items[0].SourceIP == list.Items[1].SourceIP {
			t.Errorf("%d sessions, want 2 from two addresses: %+v", len(list.Items), list.Items)
		}
	}
	down := stickytop(t, l, "agents", "down", "-n", "stay")
	if down.code != 0 || !strings.Contains(down.err, "2 removed") {
		t.Errorf("agents down: exit code %d: %s", down.code, down.err)
	}
	if out := kubectl(t, l, "-n", "stay", "get", "jobs,pods", "-o", "name"); out != "" {
		t.Errorf("after agents down there is still %s", out)
	}
	gone := stickytop(t, l, "get", "sessions", "ing/stay", "-A", "-n", "stay", "--from", "pods", "--for", "2s")
	if gone.code != 3 || !strings.Contains(gone.err, "no agents of yours are up") {
		t.Errorf("--from pods without any: exit code %d: %s", gone.code, gone.err)
	}
}

// TestAgentsEnd ends a run in every way a run can end.
func TestAgentsEnd(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deployByAddress(t, l, "ends")
	for _, how := range []struct {
		signal syscall.Signal
		pods   time.Duration // until no pod runs
		all    time.Duration // until nothing is left
	}{{syscall.SIGINT, 10 * time.Second, 15 * time.Second}, {syscall.SIGTERM, 10 * time.Second, 15 * time.Second}, {syscall.SIGKILL, 45 * time.Second, 90 * time.Second}} {
		t.Run(how.signal.String(), func(t *testing.T) {
			t.Parallel()
			space := fmt.Sprintf("ends-%d", how.signal)
			namespace(t, l, space, "")
			cmd, _, errs := start(t, l, append([]string{"get", "sessions", "ing/ends", "-A", "-n", space, "--agents", "2", "--yes", "--for", "2m"}, agentImage...)...)
			running := func() int {
				return strings.Count(kubectl(t, l, "-n", space, "get", "pods", "-o", "jsonpath={.items[*].status.phase}"), "Running")
			}
			eventually(t, 40*time.Second, "two agents run", func() bool { return running() == 2 })
			time.Sleep(2 * time.Second)
			check(t, cmd.Process.Signal(how.signal))
			_ = cmd.Wait()
			began := time.Now()
			eventually(t, how.pods, "no agent runs", func() bool { return running() == 0 })
			t.Logf("no agent ran %s after %s", time.Since(began).Round(time.Second), how.signal)
			eventually(t, how.all, "neither Job nor pod is left", func() bool { return kubectl(t, l, "-n", space, "get", "jobs,pods", "-o", "name") == "" })
			if how.signal != syscall.SIGKILL && strings.Contains(errs.String(), "warning") {
				t.Errorf("it says %q", errs.String())
			}
		})
	}
}

// TestAgentsForbidden: whoever may not make agents, or may not here, is told why, and has something to hand to an
// administrator. What comes of it works.
func TestAgentsForbidden(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	up := func(args ...string) result {
		return stickytop(t, l, append(append([]string{"agents", "up"}, args...), agentImage...)...)
	}
	says := func(r result, code int, words ...string) {
		t.Helper()
		for _, w := range words {
			if r.code != code || !strings.Contains(r.err, w) {
				t.Errorf("exit code %d, want %d, with %q: %s", r.code, code, w, r.err)
			}
		}
	}
	namespace(t, l, "guarded", "pod-security.kubernetes.io/enforce=restricted")
	says(up("--agents", "1", "-n", "guarded"), 2, "nobody is there to agree", "--yes")
	says(up("--agents", "1", "-n", "msgapp", "--yes", "--kubeconfig", l.Kubeconfig("viewer")), 3, "you may not", "create jobs.batch", "--dry-run -o yaml")
	says(up("--kernel", "-n", "guarded", "--yes"), 3, "violates PodSecurity", "hostNetwork", "enforce: privileged")
	if out := kubectl(t, l, "-n", "guarded", "get", "jobs,pods", "-o", "name"); out != "" {
		t.Errorf("though refused it made %s", out)
	}
	// Agents that only ask pass the strictest level.
	says(up("--agents", "1", "-n", "guarded", "--yes"), 0, "this makes")
	says(stickytop(t, l, "agents", "down", "-n", "guarded"), 0, "1 removed")
	kubectl(t, l, "-n", "guarded", "create", "quota", "none", "--hard=limits.memory=64Mi")
	// The lab runs no controller of quotas, which would write this.
	kubectl(t, l, "-n", "guarded", "patch", "quota", "none", "--subresource=status", "-p", `{"status":{"hard":{"limits.memory":"64Mi"},"used":{"limits.memory":"0"}}}`)
	eventually(t, 20*time.Second, "the quota is in force", func() bool {
		r := up("--agents", "1", "-n", "guarded", "--yes")
		return r.code == 3 && strings.Contains(r.err, "quota") && strings.Contains(r.err, "128Mi")
	})

	manifest := up("--agents", "2", "-n", "msgapp", "--dry-run", "-o", "yaml", "--kubeconfig", l.Kubeconfig("viewer"))
	says(manifest, 0, "create pods/portforward", "--from pods")
	if strings.Contains(manifest.out, "hostNetwork") || strings.Contains(manifest.out, "NET_ADMIN") {
		t.Errorf("agents that only ask want %s", manifest.out)
	}
	apply(t, l, manifest.out)
	defer kubectl(t, l, "-n", "msgapp", "delete", "jobs", "-l", "app.kubernetes.io/managed-by=stickytop")
	kubectl(t, l, "-n", "msgapp", "create", "role", "e2e-forward", "--verb=create", "--resource=pods/portforward")
	kubectl(t, l, "-n", "msgapp", "create", "rolebinding", "e2e-forward", "--role=e2e-forward", "--user=viewer")
	defer kubectl(t, l, "-n", "msgapp", "delete", "role/e2e-forward", "rolebinding/e2e-forward")
	eventually(t, 30*time.Second, "the administrator's agents run", func() bool {
		return strings.Count(stickytop(t, l, "agents", "ls", "-n", "msgapp", "--kubeconfig", l.Kubeconfig("viewer")).out, "Ready") == 2
	})
	list := sessions(t, l, "ing/echo", "-n", "msgapp", "--from", "pods", "--for", "4s", "--path", "/", "--kubeconfig", l.Kubeconfig("viewer"))
	if len(list.Items) != 2 || list.states()["STUCK"] != 2 {
		t.Errorf("the viewer has %d sessions from agents, states %v", len(list.Items), list.states())
	}
}

// TestKernelAgents compares what agents read on both nodes with nft there.
func TestKernelAgents(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deployByAddress(t, l, "tables")
	port := kubectl(t, l, "-n", "e2e", "get", "service", "tables", "-o", "jsonpath={.spec.ports[0].nodePort}")
	var all sync.WaitGroup
	for n := range 24 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if out, err := l.Exec(ctx, "client", "curl", "-s", "-m", "5", "-o", "/dev/null", "--interface", fmt.Sprintf("172.30.0.%d", 101+n), "http://"+net.JoinHostPort(l.NodeIP(1+n%2), port)+"/"); err != nil {
				t.Errorf("client %d: %v: %s", n, err, out)
			}
		})
	}
	all.Wait()
	namespace(t, l, "tables", "")
	r := stickytop(t, l, append([]string{"get", "pins", "svc/tables", "-A", "-n", "tables", "--kernel", "--yes", "-o", "json"}, agentImage...)...)
	if r.code != 0 {
		t.Fatalf("get pins --kernel: exit code %d: %s", r.code, r.err)
	}
	var list pinList
	check(t, json.Unmarshal([]byte(r.out), &list))
	got := map[string]map[string]string{"node1": {}, "node2": {}}
	for _, p := range list.Items {
		if p.Source != "kernel" || p.RemainingSeconds == nil || *p.RemainingSeconds > 301 || *p.RemainingSeconds < 200 || got[p.Node] == nil {
			t.Errorf("%+v", p)
			continue
		}
		got[p.Node][p.Client] = p.Endpoint
	}
	for node, pins := range got {
		truth := nftPins(t, l, node, "e2e", "tables")
		for client, endpoint := range truth {
			if pins[client] != endpoint {
				t.Errorf("%s pins %s to %s, the agent says %q", node, client, endpoint, pins[client])
			}
		}
		if len(pins) != len(truth) || len(pins) != 12 {
			t.Errorf("%s: %d pins by its agent, %d by nft, want 12", node, len(pins), len(truth))
		}
	}
	if out := kubectl(t, l, "-n", "tables", "get", "jobs,pods", "--no-headers"); strings.Contains(out, "Running") {
		t.Errorf("after the run there is still %s", out)
	}
}

// deployByAddress deploys a workload whose Service pins by address for five minutes, on a NodePort too.
func deployByAddress(t *testing.T, l *lab.Lab, name string) {
	t.Helper()
	deploy(t, l, app{Name: name, Replicas: 3})
	kubectl(t, l, "-n", "e2e", "patch", "service", name, "-p",
		`{"spec":{"type":"NodePort","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":300}}}}`)
	eventually(t, 20*time.Second, "kube-proxy knows of the affinity of "+name, func() bool {
		out, err := l.Exec(within(t, 10*time.Second), "node1", "nft", "list", "sets")
		return err == nil && strings.Contains(string(out), "e2e/"+name+"/tcp/http__")
	})
	time.Sleep(time.Second) // the other node's turn
}

// namespace makes one of the test's own, with a label or without.
func namespace(t *testing.T, l *lab.Lab, name, label string) {
	t.Helper()
	kubectl(t, l, "create", "namespace", name)
	if label != "" {
		kubectl(t, l, "label", "namespace", name, label)
	}
	t.Cleanup(func() {
		_, _ = l.Exec(context.Background(), "client", "kubectl", "delete", "namespace", name, "--wait=false")
	})
}

func noAgents(t *testing.T, l *lab.Lab, when string, limit time.Duration) {
	t.Helper()
	eventually(t, limit, "no agent is left "+when, func() bool {
		return kubectl(t, l, "-n", "e2e", "get", "jobs,pods", "-l", "app.kubernetes.io/managed-by=stickytop", "-o", "name") == ""
	})
}

// clientsOf returns the address that each request came from, by the backends' logs.
func clientsOf(t *testing.T, l *lab.Lab, name string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for _, pod := range podsOf(t, l, "e2e", "app="+name) {
		text := kubectl(t, l, "-n", "e2e", "logs", pod)
		for line := range strings.Lines(text) {
			var x struct{ RequestID, Client string }
			if json.Unmarshal([]byte(line), &x) == nil && x.RequestID != "" {
				host, _, _ := net.SplitHostPort(x.Client)
				seen[x.RequestID] = host
			}
		}
	}
	return seen
}

// nftPins returns the endpoint of each client of a Service's port http, by the node's own nft.
func nftPins(t *testing.T, l *lab.Lab, node, namespace, service string) map[string]string {
	t.Helper()
	out, err := l.Exec(within(t, 10*time.Second), node, "nft", "-j", "list", "sets", "table", "ip", "kube-proxy")
	check(t, err)
	var raw struct{ Nftables []json.RawMessage }
	check(t, json.Unmarshal(out, &raw))
	endpoint := regexp.MustCompile(`-` + namespace + `/` + service + `/tcp/http__([0-9.]+)/([0-9]+)$`)
	pins := map[string]string{}
	for _, object := range raw.Nftables {
		var one struct {
			Set struct {
				Name string
				Elem []struct{ Elem struct{ Val any } }
			}
		}
		if json.Unmarshal(object, &one) != nil {
			continue // a set of another shape
		}
		if m := endpoint.FindStringSubmatch(one.Set.Name); m != nil {
			for _, e := range one.Set.Elem {
				pins[fmt.Sprint(e.Elem.Val)] = net.JoinHostPort(m[1], m[2])
			}
		}
	}
	return pins
}
