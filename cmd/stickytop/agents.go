package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/report"
)

func newAgents(name string, streams genericiooptions.IOStreams, cluster *clusterFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agents up|ls|down",
		Short: "Pods that ask from addresses of their own, or read their nodes' tables",
		Long: `Agents are the only thing that stickytop writes to a cluster, and only when told
to. An agent of role client opens connections from its own address, so that
ClientIP affinity can be seen; one of role kernel reads who is pinned by address
on its node. They end by themselves, and the cluster removes them then.

With --agents or --kernel any run makes its own and removes them at its end.`,
		Example: fmt.Sprintf("  %[1]s agents up --agents 3 -n msgapp\n  %[1]s --from pods svc/echo -n msgapp\n  %[1]s agents down -n msgapp\n  %[1]s agents up --kernel --dry-run -o yaml", name),
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError("agents: use up, ls or down")
		},
	}
	cmd.AddCommand(newAgentsUp(streams, cluster), newAgentsLs(streams, cluster), newAgentsDown(streams, cluster))
	return cmd
}

// agentsOf prepares the clients for the flags' cluster, and the namespace.
func agentsOf(cluster *clusterFlags) (*kube.Agents, string, error) {
	cfg, namespace, err := cluster.restConfig()
	if err != nil {
		return nil, "", err
	}
	a, err := kube.NewAgents(cfg, version)
	return a, namespace, err
}

func newAgentsUp(streams genericiooptions.IOStreams, cluster *clusterFlags) *cobra.Command {
	var (
		life, silence time.Duration
		dryRun        bool
		format        string
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make agents that stay up for later runs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, f := cmd.Context(), &cluster.agents
			switch {
			case f.clients == 0 && cluster.kernel.where == "":
				return usageError("agents up: how many? --agents N for clients, --kernel for one on each node")
			case life < time.Minute || life > 24*time.Hour:
				return usageError("--life %s: 1m to 24h", life)
			case silence < 10*time.Second || silence > life:
				return usageError("--silence %s: 10s to --life", silence)
			case format != "" && format != "yaml" || format != "" && !dryRun:
				return usageError("-o: only yaml, with --dry-run")
			}
			if err := f.check(); err != nil {
				return err
			}
			a, namespace, err := agentsOf(cluster)
			if err != nil {
				return err
			}
			defer a.Close()
			spec, token := f.spec(namespace, silence, life)
			if cluster.kernel.where != "" {
				if err := kernelSpec(ctx, a, f, &spec); err != nil {
					return err
				}
			}
			keep := secretOf{Run: spec.Run, Namespace: namespace, Server: a.Server(), Token: token, Ends: time.Now().Add(life)}
			if dryRun {
				return dryRunAgents(ctx, a, spec, keep, format, streams)
			}
			if err := consent(ctx, describe(spec, a.Server()), f.yes, streams); err != nil {
				return err
			}
			spec.By = a.Whoami(ctx)
			if err := keep.keep(); err != nil {
				return err
			}
			pods, err := raise(ctx, a, spec, streams.ErrOut)
			if err != nil {
				forgetTokens(func(s secretOf) bool { return s.Run == spec.Run }, time.Now())
				return err
			}
			table, err := report.NewPrinter("", false)
			if err != nil {
				return err
			}
			return table(streams.Out, agentList(pods, time.Now()))
		},
	}
	fs := cmd.Flags()
	fs.DurationVar(&life, "life", upLife, "they end after that long")
	fs.DurationVar(&silence, "silence", 15*time.Minute, "they end after that long without a run that uses them")
	fs.BoolVar(&dryRun, "dry-run", false, "make nothing; say what would be made, or with -o yaml print it for an administrator")
	fs.StringVarP(&format, "output", "o", "", "with --dry-run: yaml")
	return cmd
}

// raise makes the agents of a specification and waits for them, and says on w
// what that waits for. Where they do not come, or the user would not wait,
// nothing of them is left, which is said too.
func raise(ctx context.Context, a *kube.Agents, spec kube.AgentSpec, w io.Writer) (pods []kube.AgentPod, err error) {
	jobs := spec.Jobs(time.Now())
	tell := func(text string) { fmt.Fprintln(w, text) }
	if err := a.Up(ctx, jobs, tell); err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	agents := strconv.Itoa(len(jobs)) + " agents"
	if len(jobs) == 1 {
		agents = "1 agent"
	}
	fmt.Fprintf(w, "waiting for %s, at most %s\n", agents, readyWait)
	defer func() {
		if err == nil {
			return
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		if _, failed := a.Down(end, spec.Namespace, spec.Run); failed != nil {
			fmt.Fprintf(w, "warning: %s of run %s could not be removed, and end by themselves within %s: %v\n", agents, spec.Run, spec.Silence, failed)
			return
		}
		fmt.Fprintf(w, "%s of run %s removed\n", agents, spec.Run)
	}()
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	pods, err = a.Wait(wait, spec.Namespace, spec.Run, len(jobs), tell)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return pods, err
}

// dryRunAgents says, or prints, what would be made. Its token is kept: an
// administrator may apply the manifest, and this user then use the agents.
func dryRunAgents(ctx context.Context, a *kube.Agents, spec kube.AgentSpec, keep secretOf, format string, streams genericiooptions.IOStreams) error {
	if format == "" {
		fmt.Fprint(streams.Out, folded(streams.Out, describe(spec, a.Server())))
		return nil
	}
	text, err := kube.AgentYAML(spec.Jobs(time.Now()))
	if err != nil {
		return err
	}
	// It may be applied tomorrow.
	keep.Ends = keep.Ends.Add(7 * 24 * time.Hour)
	if err := keep.keep(); err != nil {
		return err
	}
	fmt.Fprint(streams.Out, text)
	fmt.Fprintf(streams.ErrOut, "Once it is applied: %s (the token of run %s is kept on this machine; the manifest holds its digest only)\n", useOf(spec), spec.Run)
	if _, toUse, err := a.Missing(ctx, spec.Namespace); err == nil && len(toUse) > 0 {
		fmt.Fprintf(streams.ErrOut, "To use them you also need, in namespace %s: %s\n", spec.Namespace, strings.Join(toUse, ", "))
	}
	return nil
}

// useOf is how a later run uses the agents of a specification.
func useOf(spec kube.AgentSpec) string {
	switch in := " -n " + spec.Namespace; {
	case spec.Clients == 0:
		return "stickytop get pins --kernel" + in
	case len(spec.Nodes) == 0:
		return "stickytop svc/NAME --from pods" + in
	default:
		return "stickytop svc/NAME --from pods --kernel" + in
	}
}

func newAgentsLs(streams genericiooptions.IOStreams, cluster *clusterFlags) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the agents that are up, of all runs",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := report.NewPrinter(format, false)
			if err != nil {
				return &failure{code: exitUsage, err: err}
			}
			a, namespace, err := agentsOf(cluster)
			if err != nil {
				return err
			}
			defer a.Close()
			if cluster.all {
				namespace = ""
			}
			pods, err := a.List(cmd.Context(), namespace, "")
			if err != nil {
				return err
			}
			if len(pods) == 0 && (format == "" || format == "wide") {
				fmt.Fprintln(streams.ErrOut, "no agents")
				return nil
			}
			return p(streams.Out, agentList(pods, time.Now()))
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "", "json, yaml, name, jsonpath=…, go-template=… or custom-columns=…")
	return cmd
}

// agentList is what is printed of agents.
func agentList(pods []kube.AgentPod, now time.Time) *report.AgentList {
	all := make([]report.Agent, len(pods))
	for i, p := range pods {
		_, err := tokenOf(p.Run)
		all[i] = report.Agent{Name: p.Name, Namespace: p.Namespace, Run: p.Run, Role: p.Role, Node: p.Node, Address: p.IP, Phase: p.Phase,
			Ready: p.Ready, Created: metav1.NewMicroTime(p.Created), By: p.By, Usable: err == nil}
		if !p.Ready {
			all[i].Why = p.Why
		}
		if !p.Ends.IsZero() {
			ends := metav1.NewMicroTime(p.Ends)
			all[i].Ends = &ends
		}
	}
	return report.NewAgents(now, all)
}

func newAgentsDown(streams genericiooptions.IOStreams, cluster *clusterFlags) *cobra.Command {
	var run string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove agents, also those that a killed run left",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if run != "" && !runName.MatchString(run) {
				return usageError("--run %q is no run's name: agents ls shows them", run)
			}
			ctx := cmd.Context()
			a, namespace, err := agentsOf(cluster)
			if err != nil {
				return err
			}
			defer a.Close()
			if cluster.all {
				namespace = ""
			}
			n, err := a.Down(ctx, namespace, run)
			if err != nil {
				return err
			}
			forgetTokens(func(s secretOf) bool {
				return s.Run == run || run == "" && s.Server == a.Server() && (namespace == "" || s.Namespace == namespace)
			}, time.Now())
			left := waitGone(ctx, a, namespace, run)
			switch {
			case n == 0:
				fmt.Fprintln(streams.ErrOut, "no agents")
			case left > 0:
				fmt.Fprintf(streams.ErrOut, "%d removed; %d pods are still ending\n", n, left)
			default:
				fmt.Fprintf(streams.ErrOut, "%d removed\n", n)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "only those of this run")
	return cmd
}

// waitGone waits for pods to end, as long as one that does not listen takes,
// and returns how many are left.
func waitGone(ctx context.Context, a *kube.Agents, namespace, run string) int {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		pods, err := a.List(ctx, namespace, run)
		if err != nil || len(pods) == 0 {
			return 0
		}
		select {
		case <-ctx.Done():
			return len(pods)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// kernelSpec adds to a specification one reader on each node, or on those that
// the user named.
func kernelSpec(ctx context.Context, a *kube.Agents, f *agentFlags, spec *kube.AgentSpec) error {
	there, err := a.Nodes(ctx)
	if spec.Nodes, err = nodesMeant(f.nodes, there, err); err != nil {
		return err
	}
	spec.Plane = a.Dataplane(ctx)
	spec.NetAdmin = spec.Plane.Mode != affinity.ModeIPTables // whose lists are open to all
	return nil
}

// nodesMeant returns the nodes that were named, else all there are. A pod for a
// node that is not there would wait for ever; where nodes may not be listed,
// the names are taken as they are.
func nodesMeant(named, there []string, err error) ([]string, error) {
	if len(named) == 0 {
		return there, err
	}
	for _, n := range named {
		if err == nil && !slices.Contains(there, n) {
			return nil, cannot("there is "+strings.Join(first(there, 12), ", "), "--node %q: no such node where pods of Linux run", affinity.Clean(n, 63))
		}
	}
	return slices.Clone(named), nil
}
