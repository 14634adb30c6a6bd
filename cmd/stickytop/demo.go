package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/engine"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/probe"
	"github.com/kubestickytop/stickytop/internal/ui"
)

func newDemo(name string, streams genericiooptions.IOStreams, probes *probeFlags, screen *screenFlags, logFile *string) *cobra.Command {
	var (
		out  outputFlags
		seed uint64
		list bool
	)
	cmd := &cobra.Command{
		Use:   "demo [SCENARIO]",
		Short: "Show it on an embedded world: no cluster, no root",
		Long: `Starts a small world on loopback: backends, a sticky reverse proxy that behaves
as ingress-nginx was observed to, and a Kubernetes API that is watched as any
other. Each scenario tells a story; keys on the screen provoke more.`,
		Example: fmt.Sprintf(`  %[1]s demo
  %[1]s demo --list
  %[1]s demo scale-balanced
  %[1]s demo delete-pod -o json --for 5s`, name),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeScenario,
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return listScenarios(streams)
			}
			o := demo.Options{Seed: seed}
			if len(args) == 1 {
				o.Scenario = args[0]
			}
			log, err := logTo(*logFile)
			if err != nil {
				return err
			}
			if log != nil {
				defer log.Close()
			}
			s, end, err := demoSetup(cmd, o, *probes)
			if err != nil {
				return err
			}
			defer end()
			s.log = log
			if out.format != "" || out.watch || !isTerminal(streams) {
				if err := probes.checkSome(); err != nil {
					return err
				}
				return get(cmd.Context(), s, "sessions", out, streams)
			}
			return live(cmd.Context(), s, name, *screen, nil, streams)
		},
	}
	out.add(cmd)
	screen.add(cmd.Flags())
	cmd.Flags().Uint64Var(&seed, "seed", 0, "pod names, addresses and choices of the world; 0 for the scenario's own")
	cmd.Flags().BoolVar(&list, "list", false, "list the scenarios")
	return cmd
}

// demoSetup wires the same parts as for a cluster to an embedded world.
func demoSetup(cmd *cobra.Command, o demo.Options, probes probeFlags) (*setup, func(), error) {
	probes.asIn(o.Scenario, cmd.Flags())
	if err := probes.check(); err != nil {
		return nil, nil, err
	}
	world, err := demo.New(o)
	if err != nil {
		return nil, nil, &failure{code: exitUsage, err: err, hint: "stickytop demo --list names the scenarios"}
	}
	source, err := kube.New(world.RESTConfig(), kube.Options{Namespace: world.Namespace(), Version: version})
	if err != nil {
		return nil, nil, errors.Join(err, world.Close())
	}
	po := probes.options(version)
	po.Dial, po.DialName = world.DialContext, "the embedded world"
	runner, err := probe.NewRunner(po)
	if err != nil {
		return nil, nil, errors.Join(&failure{code: exitUsage, err: err}, world.Close())
	}
	s := &setup{round: po.Round, maxRPS: probes.maxRPS, target: world.Target(), context: "demo", namespace: world.Namespace(), cluster: true, caption: world.Caption}
	for _, a := range world.Actions() {
		s.actions = append(s.actions, ui.Action{Key: a.Key, Name: a.Name, Title: a.Title})
	}
	perform := func(c affinity.Command) {
		switch c.Kind {
		case affinity.CommandPerform:
			_ = world.Do(c.Action) // its caption says what came of it
		case affinity.CommandReconnect:
			go source.Reconnect()
		}
	}
	judge := kube.NewJudge(world.RESTConfig(), kube.Options{Namespace: world.Namespace(), Version: version}, func() *affinity.Snapshot { return s.engine.Snapshot() })
	s.engine = engine.New(engine.Options{Target: s.target, Budget: probes.budget(), Hints: probes.hints(), Perform: perform}, runner,
		kube.WithRules{Source: source, Judge: judge}, inWorld{world})
	return s, func() { _ = world.Close() }, nil
}

// asIn makes clients those of a scenario's story, but for what flags say of them.
func (f *probeFlags) asIn(scenario string, said *pflag.FlagSet) {
	for _, s := range demo.Scenarios() {
		if s.Name != cmp.Or(scenario, demo.Default) {
			continue
		}
		if !said.Changed("client") && !f.compare {
			f.client = []string{string(s.Client)}
		}
		if !said.Changed("transport") {
			f.transports = []string{s.Transport}
		}
	}
}

// inWorld runs the world beside the sources, so that it ends with them.
type inWorld struct{ *demo.World }

func (w inWorld) Run(ctx context.Context, _ func(affinity.Event)) error { return w.World.Run(ctx) }

func listScenarios(streams genericiooptions.IOStreams) error {
	tw := printers.GetNewTabWriter(streams.Out)
	fmt.Fprintln(tw, "SCENARIO\tWHAT IT SHOWS")
	for _, s := range demo.Scenarios() {
		fmt.Fprintf(tw, "%s\t%s\n", s.Name, strings.TrimSpace(s.Title))
	}
	return tw.Flush()
}
