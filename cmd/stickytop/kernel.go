package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/engine"
	"github.com/kubestickytop/stickytop/internal/kernel"
	"github.com/kubestickytop/stickytop/internal/report"
)

// Where --kernel reads.
const (
	kernelLocal  = "local"
	kernelAgents = "agents"
)

// joinKernel lets a value of --kernel be the next word, as that of any flag,
// though the flag can go without one. A word that is neither a target with its
// kind nor a command is taken for a value too, and refused as one: a mistake is
// no Ingress of that name.
func joinKernel(args []string, command func(word string) bool) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(out, args[i:]...)
		}
		if args[i] == "--kernel" && i+1 < len(args) && args[i+1] != "" && !strings.ContainsAny(args[i+1], "/:") && args[i+1][0] != '-' && !command(args[i+1]) {
			out = append(out, "--kernel="+args[i+1])
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// kernelFlags say whose tables are read for pins by address.
type kernelFlags struct {
	where string
	node  string
}

func (f *kernelFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.where, "kernel", "", "read the pins by client address out of kube-proxy's tables: local, on this machine, a node; agents (without a value), by pods on the nodes, which it makes and removes")
	fs.Lookup("kernel").NoOptDefVal = kernelAgents
	fs.StringVar(&f.node, "kernel-node", "", "what this machine is called as a node; by default $NODE_NAME or the host name")
}

func (f *kernelFlags) check(from *fromFlags) error {
	switch {
	case f.where != "" && f.where != kernelLocal && f.where != kernelAgents:
		return usageError("--kernel %q: use local or agents; an Ingress of that name is ing/NAME", affinity.Clean(f.where, 60))
	case f.where != kernelLocal && f.node != "" && from.where != fromLocal:
		return usageError("--kernel-node names this machine for --kernel local and --from local")
	}
	return nil
}

// source reads this machine's tables, or is nil when nobody asked for it.
// snapshot may be called once the source runs.
func (f *kernelFlags) source(snapshot func() *affinity.Snapshot) engine.Source {
	if f.where != kernelLocal {
		return nil
	}
	return kernel.New(kernel.Options{Node: f.name(), Objects: snapshot})
}

// name is what this machine is called as a node.
func (f *kernelFlags) name() string {
	node := cmp.Or(f.node, os.Getenv("NODE_NAME"))
	if node == "" {
		node, _ = os.Hostname()
	}
	return affinity.Clean(node, 253)
}

// pinsLayer checks what `get pins` was asked for.
func (c *config) pinsLayer(layer string) error {
	if err := c.cluster.agents.check(); err != nil {
		return err
	}
	asks := c.cluster.from.on() || len(c.cluster.from.ips) > 0 || c.cluster.agents.clients > 0
	switch {
	case layer != "clientip":
		return usageError("--layer %q: get pins lists those of clientip; get sessions shows cookies", affinity.Clean(layer, 60))
	case c.cluster.kernel.where == "" && !asks:
		return usageError("get pins reads them from nodes: --kernel by agents, which it makes there and removes, --kernel local on a node; or make some with --from local, --from pods or --agents")
	case c.target.Kind == "url":
		return usageError("get pins needs a cluster: a URL alone does not say which Services there are")
	}
	if !asks {
		c.probe.noProbe = true // a connection of ours would be a pin, and renew others
	}
	return nil
}

// collectPins waits until the tables were read once or, where the user said how
// long, for that long.
func (s *setup) collectPins(ctx context.Context, out outputFlags, deadline <-chan time.Time, write func(*affinity.Snapshot) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-deadline:
			return nil
		case <-s.engine.Changed():
			snap := s.engine.Snapshot()
			if out.watch {
				if err := write(snap); err != nil {
					return err
				}
			} else if !out.windowSaid && !s.own && synced(snap) {
				return nil
			}
		}
	}
}

// maxFillingSaid bounds the lists that are told of one by one.
const maxFillingSaid = 5

// sayFilling tells which nodes' lists fill up, and what they do then.
func sayFilling(lists []report.FillingList, w io.Writer) {
	for _, l := range lists[:min(len(lists), maxFillingSaid)] {
		fmt.Fprintln(w, "note: "+l.Text())
	}
	if more := len(lists) - maxFillingSaid; more > 0 {
		fmt.Fprintf(w, "note: %d more lists fill up; metadata.fillingLists of -o json has them\n", more)
	}
}

// tellNodes says when the tables of a node cannot be read any more, and when they
// can again. told is what was said.
func tellNodes(snap *affinity.Snapshot, told map[string]affinity.SourceState, w io.Writer) {
	for _, src := range snap.Sources {
		if !src.OfNode() || src.State == affinity.SourceSyncing || told[src.Name] == src.State {
			continue
		}
		_, before := told[src.Name]
		told[src.Name] = src.State
		switch {
		case src.State != affinity.SourceLive:
			fmt.Fprintf(w, "warning: %s %s: %s\n", src.Name, src.State, src.Detail)
		case before:
			fmt.Fprintf(w, "note: %s is read again\n", src.Name)
		}
	}
}

// pinsVerdict is the failure that an unread table is.
func pinsVerdict(snap *affinity.Snapshot) error {
	for _, src := range snap.Sources {
		if src.OfNode() && src.State == affinity.SourceSyncing {
			return cannot("a longer --for waits for them, without --for get pins waits as long as it takes", "pins by address: the tables were not read yet: %s", src.Detail)
		}
		if src.OfNode() && src.State != affinity.SourceLive {
			return cannot("", "pins by address: %s", src.Detail)
		}
	}
	return nil
}

// bypassed says why none of a target's routes meets the Service's affinity; ""
// where one does.
func bypassed(snap *affinity.Snapshot, target affinity.Target) (why string) {
	for _, r := range engine.Chosen(snap.Routes, target) {
		l, ok := r.Layer(affinity.LayerService)
		if !ok || l.Bypassed == "" {
			return ""
		}
		why = l.Bypassed
	}
	return why
}

// keeps says what keeps pins by address, and how; "" where nothing tells.
func keeps(d affinity.Dataplane) string {
	switch {
	case d.Differ != "":
		return fmt.Sprintf("%s; each pin goes by its own node's: %s", d.Why, d.Semantics())
	case d.Mode != "":
		return fmt.Sprintf("%s keeps these pins (%s): %s", d.Mode, d.Why, d.Semantics())
	}
	return ""
}

// unpinned says why a Service that was asked for cannot have pins by address,
// "" where it can or where several are meant.
func unpinned(snap *affinity.Snapshot, target affinity.Target) string {
	if target.Kind == "" {
		return ""
	}
	wanted := snap.Meant(target)
	var of *affinity.Service
	for i := range snap.Services {
		if !wanted(snap.Services[i].Ref) {
			continue
		}
		if of != nil {
			return ""
		}
		of = &snap.Services[i]
	}
	switch {
	case of == nil:
		return ""
	case of.Headless:
		return "svc/" + of.Ref.Name + " " + affinity.HeadlessText
	case of.Policy.Mechanism != affinity.MechanismClientIP:
		return fmt.Sprintf("svc/%s has no sessionAffinity: ClientIP, so nodes pin nobody to its pods", of.Ref.Name)
	case target.Kind != "service" && bypassed(snap, target) != "":
		return fmt.Sprintf("what comes through %s meets no sessionAffinity of svc/%s, and makes no pin: %s", target, of.Ref.Name, bypassed(snap, target))
	}
	return ""
}
