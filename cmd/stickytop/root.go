package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

const long = `stickytop shows live which pod each client session is pinned to, how that is
known, when and why it moved, and how long the pin lasts.

It watches Pods, Services, EndpointSlices and Ingresses, and holds a few slow,
identifiable synthetic sessions through the ingress. It reads the cluster and
writes nothing. Cookie values are masked.

Where standard output is no terminal it prints what "get sessions" prints.`

func newRoot(name string, streams genericiooptions.IOStreams) *cobra.Command {
	var (
		probes  probeFlags
		cluster clusterFlags
		screen  screenFlags
		out     outputFlags
		logFile string
	)
	root := &cobra.Command{
		Use:   "stickytop [TARGET]",
		Short: "Which pod is this user pinned to, why did they move, how long will it last?",
		Long:  long,
		Example: fmt.Sprintf(`  %[1]s demo                         no cluster needed
  %[1]s ing/msgapp -n msgapp         every route of one Ingress
  %[1]s svc/msgapp-backend           every route that leads to a Service
  %[1]s https://chat.example.com/    a URL, without a cluster
  %[1]s ing/msgapp --via-controller  through a port-forward to the controller
  %[1]s get sessions ing/msgapp -o json --for 30s`, name),
		Args:              cobra.MaximumNArgs(2),
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: name},
		SilenceErrors:     true,
		SilenceUsage:      true,
		ValidArgsFunction: completeTarget(&cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := parseTarget(args)
			if err != nil {
				return err
			}
			log, err := logTo(logFile)
			if err != nil {
				return err
			}
			if log != nil {
				defer log.Close()
			}
			printed := out.format != "" || out.watch || !isTerminal(streams)
			if printed {
				if err := probes.checkSome(); err != nil {
					return err
				}
			}
			s, err := newSetup(cmd.Context(), config{probe: probes, cluster: cluster, target: target, version: version, streams: &streams})
			if err != nil {
				return err
			}
			defer s.end()
			s.log = log
			if printed {
				return get(cmd.Context(), s, "sessions", out, streams)
			}
			var kept place
			if s.cluster {
				kept = place{s.context, s.server}
			}
			return live(cmd.Context(), s, name, screen, newMutes(kept), streams)
		},
	}
	root.Version = currentVersion().String()
	root.SetVersionTemplate("{{.Version}}")
	root.Flags().Bool("version", false, "print the version") // cobra's own would take -v for it, which is kubectl's for how much to log
	offers := newOffers(&probes, &cluster, &logFile)
	screen.add(root.Flags())
	out.add(root)
	root.AddCommand(
		newGet(name, streams, &probes, &cluster, &logFile),
		newDemo(name, streams, &probes, &screen, &logFile),
		newDecode(name, streams, &cluster, &logFile),
		newRBAC(name, streams, &probes, &cluster),
		newLint(name, streams, &cluster),
		newExplain(streams),
		newAgent(streams),
		newAgents(name, streams, &cluster),
		newVersion(streams),
	)
	offers.to(root)
	foldFlags(root, streams.Out)
	completeProbes(root) // and those that share its flags
	completeCluster(root, &cluster)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := "see '" + name + " --help'"
		if cmd.Name() == "demo" && offers.elsewhere(err) {
			hint = "the demo is a world of its own, without a cluster, a namespace or an address to give; see '" + name + " demo --help'"
		}
		return &failure{code: exitUsage, err: err, hint: hint}
	})
	return root
}
