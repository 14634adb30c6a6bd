package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubestickytop/stickytop/internal/kube"
)

func newRBAC(name string, streams genericiooptions.IOStreams, probes *probeFlags, cluster *clusterFlags) *cobra.Command {
	var missing, optional bool
	cmd := &cobra.Command{
		Use:   "rbac",
		Short: "Show what you may, and print the Role that stickytop needs",
		Long: `Asks the API server what you may (SelfSubjectAccessReview) and prints it.
With --missing it prints, as YAML to send to an administrator, the Role for
what you may not. What only some runs take is in it with the flags of the run:
--log-evidence (pods/log), --via-controller (pods/portforward), --agents N or
--kernel. Nothing is written to the cluster.`,
		Example: fmt.Sprintf("  %[1]s rbac -n msgapp\n  %[1]s rbac -n msgapp --missing\n  %[1]s rbac -n msgapp --missing --log-evidence\n  %[1]s rbac -n msgapp --missing --agents 3 --kernel", name),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, namespace, err := cluster.restConfig()
			if err != nil {
				return err
			}
			source, err := kube.New(cfg, kube.Options{Namespace: namespace, AllNamespaces: cluster.all, Version: version})
			if err != nil {
				return err
			}
			access, err := source.Permissions(cmd.Context())
			if err != nil {
				return err
			}
			if agents, kernel := cluster.agents.clients > 0 || cluster.from.where == fromPods, cluster.kernel.where == kernelAgents; agents || kernel {
				access.NeedAgents(kernel && len(cluster.agents.nodes) == 0)
			}
			if probes.logs {
				access.NeedLogs()
			}
			if probes.via != "" {
				access.NeedForward()
			}
			if missing {
				rows := access.Missing(optional)
				if len(rows) == 0 {
					fmt.Fprintln(streams.ErrOut, "nothing is missing")
					return nil
				}
				_, err = io.WriteString(streams.Out, kube.RoleYAML(access.Namespace, rows))
				return err
			}
			return printAccess(streams.Out, access)
		},
	}
	cmd.Flags().BoolVar(&optional, "optional", false, "with --missing: ask also for what is merely nice to have")
	cmd.Flags().BoolVar(&missing, "missing", false, "print the Role for what is not allowed")
	return cmd
}

func printAccess(w io.Writer, a kube.Access) error {
	tw := printers.GetNewTabWriter(w)
	fmt.Fprintln(tw, "RESOURCE\tGET\tLIST\tWATCH\tCREATE\tDELETE\tWITHOUT IT")
	for _, p := range a.Rows {
		without := ""
		if !p.OK() {
			without = p.Without
		}
		resource := p.Resource
		if p.For != "" {
			resource += " (all namespaces)"
		}
		row := []string{resource, answer(p.Get), answer(p.List), answer(p.Watch), answer(p.Create), answer(p.Delete), without}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return tw.Flush()
}

func answer(a kube.Answer) string {
	return map[kube.Answer]string{kube.Unasked: "-", kube.Allowed: "yes", kube.Denied: "no", kube.Unknown: "?"}[a]
}
