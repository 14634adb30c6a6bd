package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/agent"
	"github.com/kubestickytop/stickytop/internal/engine"
	"github.com/kubestickytop/stickytop/internal/kernel"
	"github.com/kubestickytop/stickytop/internal/kube"
)

// crew is the agents that a run uses, and removes at its end if it made them.
type crew struct {
	agents    *kube.Agents
	namespace string
	run       string // that is removed at the end; "" where none was made
	members   []*member
	streams   genericiooptions.IOStreams

	cancel context.CancelFunc
	beats  sync.WaitGroup
	once   sync.Once
}

// member is one agent.
type member struct {
	pod    kube.AgentPod
	ip     netip.Addr
	client *agent.Client
	lost   atomic.Pointer[string] // what the last word to it came to; nil when it was answered

	mu    sync.Mutex // of what follows
	asked time.Time  // when it was asked for its fate
	fate  string
}

// muster makes or finds the agents that the flags ask for; nil when they ask
// for none. The caller ends the crew.
func muster(ctx context.Context, c config, cfg *rest.Config, namespace string) (*crew, error) {
	f, kernels := &c.cluster.agents, c.cluster.kernel.where == kernelAgents
	use := c.cluster.from.where == fromPods && f.clients == 0 // those that are up
	if f.clients == 0 && !use && !kernels {
		return nil, nil
	}
	a, err := kube.NewAgents(cfg, c.version)
	if err != nil {
		return nil, err
	}
	w := &crew{agents: a, namespace: namespace, streams: *c.streams}
	if err := w.gather(ctx, f, use, kernels); err != nil {
		w.end()
		return nil, cmp.Or(ctx.Err(), err)
	}
	return w, nil
}

func (w *crew) gather(ctx context.Context, f *agentFlags, use, kernels bool) error {
	var pods []kube.AgentPod
	if use || kernels {
		up, err := w.standing(ctx)
		if err != nil {
			return err
		}
		if use {
			if pods = roleOf(up, agent.RoleClient); len(pods) == 0 {
				return cannot("stickytop agents up --agents 3 makes some", "no agents of yours are up in namespace %q", w.namespace)
			}
		}
		if readers := onNodes(roleOf(up, agent.RoleKernel), f.nodes); kernels && len(readers) > 0 {
			pods, kernels = append(pods, readers...), false
		}
	}
	tokens := map[string]agent.Token{}
	if f.clients > 0 || kernels {
		spec, token := f.spec(w.namespace, runSilence, runLife)
		if kernels {
			if err := kernelSpec(ctx, w.agents, f, &spec); err != nil {
				return err
			}
		}
		made, err := w.make(ctx, f, spec)
		if err != nil {
			return err
		}
		tokens[spec.Run] = token
		pods = append(pods, made...)
	}
	return w.greet(ctx, pods, tokens)
}

// make asks, makes agents for this run and waits for them.
func (w *crew) make(ctx context.Context, f *agentFlags, spec kube.AgentSpec) ([]kube.AgentPod, error) {
	if err := consent(ctx, describe(spec, w.agents.Server()), f.yes, w.streams); err != nil {
		return nil, err
	}
	spec.By = w.agents.Whoami(ctx)
	pods, err := raise(ctx, w.agents, spec, w.streams.ErrOut)
	if err == nil { // else nothing is left of it
		w.run = spec.Run
	}
	return pods, err
}

// standing are the agents that are up and whose token is kept here.
func (w *crew) standing(ctx context.Context) ([]kube.AgentPod, error) {
	up, err := w.agents.List(ctx, w.namespace, "")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(up, func(p kube.AgentPod) bool {
		_, err := tokenOf(p.Run)
		return err != nil || !p.Ready || p.Port == 0
	}), nil
}

func roleOf(all []kube.AgentPod, role string) []kube.AgentPod {
	var out []kube.AgentPod
	for _, p := range all {
		if p.Role == role {
			out = append(out, p)
		}
	}
	return out
}

// onNodes keeps one agent for each node that is meant, all with none named.
func onNodes(all []kube.AgentPod, nodes []string) []kube.AgentPod {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(p kube.AgentPod) bool {
		again := seen[p.Node] || len(nodes) > 0 && !slices.Contains(nodes, p.Node)
		seen[p.Node] = true
		return again
	})
}

// greet connects to every agent, hears that it is one, and keeps it alive from
// then on.
func (w *crew) greet(ctx context.Context, pods []kube.AgentPod, tokens map[string]agent.Token) error {
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	type greeting struct {
		hello agent.Hello
		err   error
	}
	heard := make([]greeting, len(pods))
	var all sync.WaitGroup
	for i, p := range pods {
		token, ok := tokens[p.Run]
		if !ok {
			kept, err := tokenOf(p.Run)
			if err != nil {
				return fmt.Errorf("the token of run %s: %w", p.Run, err)
			}
			token = kept.Token
		}
		dialer, err := w.agents.Dialer(alive, p)
		if err != nil {
			return err
		}
		m := &member{pod: p, client: agent.NewClient(dialer.DialContext, p.Port, token)}
		m.ip, _ = netip.ParseAddr(p.IP)
		w.members = append(w.members, m)
		all.Go(func() { heard[i].hello, heard[i].err = m.hello(ctx) })
	}
	all.Wait()
	for i, g := range heard {
		m := w.members[i]
		switch {
		case g.err != nil:
			return cannot("stickytop agents ls shows them", "agent %s: %w", m.pod.Name, g.err)
		case g.hello.Role != m.pod.Role:
			return cannot("", "agent %s says that it is of role %q, its pod says %q", m.pod.Name, g.hello.Role, m.pod.Role)
		}
		silence := min(max(g.hello.Silence, time.Second), time.Hour)
		w.beats.Go(func() { w.keep(alive, m, silence) })
	}
	return nil
}

// helloWait is how long a pod that runs may take until its program listens: no
// probe of the kubelet's can see loopback.
const helloWait = 15 * time.Second

func (m *member) hello(ctx context.Context) (agent.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloWait)
	defer cancel()
	for {
		h, err := m.client.Hello(ctx)
		if err == nil || errors.Is(err, agent.ErrToken) {
			return h, err
		}
		select {
		case <-ctx.Done():
			return h, err
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// fateAgain is how often is asked what became of an agent that does not answer.
const fateAgain = 5 * time.Second

// worded is an error of an agent's answer in the words of what became of the
// agent, where the cluster tells.
func (w *crew) worded(ctx context.Context, m *member, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.asked) > fateAgain {
		m.fate = w.agents.Fate(ctx, m.pod)
		m.asked = time.Now()
	}
	if m.fate == "" {
		return fmt.Errorf("agent %s: %w", m.pod.Name, err)
	}
	return fmt.Errorf("agent %s does not answer: %s; another run makes another", m.pod.Name, m.fate)
}

// keep tells an agent that somebody is there, until ctx ends, and remembers
// whether it answered.
func (w *crew) keep(ctx context.Context, m *member, silence time.Duration) {
	tick := time.NewTicker(min(silence/4, 10*time.Second))
	defer tick.Stop()
	for {
		if err := m.client.Beat(ctx); err != nil && ctx.Err() == nil {
			text := affinity.Clean(w.worded(ctx, m, err).Error(), 200)
			m.lost.Store(&text)
		} else {
			m.lost.Store(nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// end removes the agents that were made for this run and gives up the
// connections to all. It may be called more than once, and after the run was
// interrupted.
func (w *crew) end() {
	if w == nil {
		return
	}
	w.once.Do(func() {
		if w.run != "" {
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			if _, err := w.agents.Down(ctx, w.namespace, w.run); err != nil {
				fmt.Fprintf(w.streams.ErrOut, "warning: the agents of run %s could not be removed, they end by themselves within %s: %v\n", w.run, runSilence, err)
			}
		}
		if w.cancel != nil {
			w.cancel()
		}
		w.beats.Wait()
		for _, m := range w.members {
			m.client.Close()
		}
		w.agents.Close()
	})
}

// of returns the members of a role.
func (w *crew) of(role string) []*member {
	var out []*member
	if w == nil {
		return out
	}
	for _, m := range w.members {
		if m.pod.Role == role {
			out = append(out, m)
		}
	}
	return out
}

// clients are the addresses of the agents that ask, with their nodes and how to
// connect from each.
func (w *crew) clients() (addrs []netip.Addr, nodes map[netip.Addr]string, dial map[netip.Addr]func(context.Context, string, string) (net.Conn, error)) {
	nodes, dial = map[netip.Addr]string{}, map[netip.Addr]func(context.Context, string, string) (net.Conn, error){}
	for _, m := range w.of(agent.RoleClient) {
		if m.ip.IsValid() && dial[m.ip] == nil && len(addrs) < maxAgents {
			addrs = append(addrs, m.ip)
			nodes[m.ip], dial[m.ip] = m.pod.Node, m.client.DialContext
		}
	}
	return addrs, nodes, dial
}

// sources are what the crew adds to a run: the tables of its nodes, and how its
// agents are.
func (w *crew) sources(snapshot func() *affinity.Snapshot) []engine.Source {
	if w == nil {
		return nil
	}
	all := []engine.Source{w}
	for _, m := range w.of(agent.RoleKernel) {
		all = append(all, kernel.New(kernel.Options{Node: m.pod.Node, Name: kernel.SourceName + "/" + m.pod.Node, Objects: snapshot, Remote: w.tables(m)}))
	}
	return all
}

// tables asks a reader for what changed.
func (w *crew) tables(m *member) kernel.Remote {
	return func(ctx context.Context, names kernel.Names, since uint64) (kernel.Frame, time.Time, error) {
		frame, at, err := m.client.Tables(ctx, names, since)
		return frame, at, w.worded(ctx, m, err)
	}
}

// Run tells how the agents are.
func (w *crew) Run(ctx context.Context, emit func(affinity.Event)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last affinity.SourceStatus
	for {
		now := w.status()
		if now.Since = last.Since; now.State != last.State || last.Since.IsZero() {
			now.Since = time.Now()
		}
		if now != last {
			last = now
			emit(affinity.SourceChanged{Status: now})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// status is how the agents are: how many answer, and what became of the first
// that does not.
func (w *crew) status() affinity.SourceStatus {
	now := affinity.SourceStatus{Name: affinity.AgentsSource, State: affinity.SourceLive}
	for _, m := range w.members {
		why := m.lost.Load()
		switch {
		case why == nil:
			now.Objects++
		case now.State == affinity.SourceLive:
			now.State, now.Detail = affinity.SourceStale, *why
		}
	}
	if lost := len(w.members) - now.Objects; lost > 1 {
		now.Detail = fmt.Sprintf("%d of %d do not answer: %s", lost, len(w.members), now.Detail)
	}
	return now
}
