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
			s, err := newSetup(cmd.Context(), config{probe: probes, cluster: cluster, target: target, version: version, streams: &streams})
			if err != nil {
				return err
			}
			defer s.end()
			s.log = log
			if out.format != "" || out.watch || !isTerminal(streams) {
				return get(cmd.Context(), s, "sessions", out, streams)
			}
			return live(cmd.Context(), s, name, screen, streams)
		},
	}
	fs := root.PersistentFlags()
	probes.add(fs)
	cluster.add(fs)
	fs.StringVar(&logFile, "log-file", "", "append logs to this file; by default they go nowhere")
	screen.add(root.Flags())
	out.add(root)
	root.AddCommand(
		newGet(name, streams, &probes, &cluster, &logFile),
		newDemo(name, streams, &probes, &screen),
		newDecode(name, streams, &cluster, &logFile),
		newRBAC(name, streams, &cluster),
		newLint(name, streams, &cluster),
		newExplain(streams),
		newAgent(streams),
		newAgents(name, streams, &cluster),
		newVersion(streams),
	)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &failure{code: exitUsage, err: err, hint: "see '" + name + " --help'"}
	})
	return root
}
