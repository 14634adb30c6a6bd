package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// offers are the flags that several commands share. Each command is offered
// what it looks at and no more: a flag that is taken and ignored is a lie.
type offers struct {
	probes, cluster, log *pflag.FlagSet
}

func newOffers(probes *probeFlags, cluster *clusterFlags, logFile *string) offers {
	o := offers{pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)}
	probes.add(o.probes)
	cluster.add(o.cluster)
	o.log.StringVar(logFile, "log-file", "", "append logs to this file; by default they go nowhere")
	return o
}

// What counts where there is no ingress to find: how the sessions behave, what
// they send that its servers take, if only to pass over it as most would, and
// which part of an answer is believed.
var ofDemo = []string{"sessions", "max-sessions", "max-rps", "interval", "probe-timeout", "client", "compare", "transport", "socketio-transports", "socketio-ask",
	"socketio-path", "socketio-auth", "idle", "ws-send", "ws-expect", "ws-header", "header", "origin", "keep-alive", "pod-header", "pod-json"}

// ofAsking are kubectl's own, and all namespaces: what it takes to ask a cluster
// something. The others choose among routes, or read more than objects.
func ofAsking(f *pflag.Flag) bool {
	kubectl := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(kubeFlags).add(kubectl)
	return f.Name == "all-namespaces" || kubectl.Lookup(f.Name) != nil
}

// ofRights are ofAsking, and what says which agents a run would make.
func ofRights(f *pflag.Flag) bool {
	return ofAsking(f) || slices.Contains([]string{"agents", "kernel", "from", "node"}, f.Name)
}

// ofMoreRights are what says that a run takes more than its objects.
var ofMoreRights = []string{"log-evidence", "via-controller"}

// ofAgents are those, and what agents are made by.
func ofAgents(f *pflag.Flag) bool {
	return !slices.Contains([]string{"selector", "kernel-node", "from"}, f.Name)
}

// to gives root and its commands their flags. They are not root's persistent
// ones, or every command would take all; those of a command are persistent for
// its own.
func (o offers) to(root *cobra.Command) {
	o.give(root.Flags(), o.probes, nil)
	o.give(root.Flags(), o.cluster, nil)
	o.give(root.Flags(), o.log, nil)
	for _, cmd := range root.Commands() {
		fs := cmd.PersistentFlags()
		switch cmd.Name() {
		case "version", "explain", agentCommand:
		case "demo":
			o.give(fs, o.probes, func(f *pflag.Flag) bool { return slices.Contains(ofDemo, f.Name) })
			o.give(fs, o.log, nil)
		case "decode":
			o.give(fs, o.cluster, ofAsking)
			o.give(fs, o.log, nil)
		case "rbac":
			o.give(fs, o.cluster, ofRights)
			o.give(fs, o.probes, func(f *pflag.Flag) bool { return slices.Contains(ofMoreRights, f.Name) })
		case "lint":
			o.give(fs, o.cluster, ofAsking)
		case "get":
			o.give(fs, o.probes, nil)
			o.give(fs, o.log, nil)
			o.give(fs, o.cluster, nil)
		case "agents":
			o.give(fs, o.cluster, ofAgents)
		default:
			o.give(fs, o.cluster, nil)
		}
	}
}

// elsewhere reports whether err refuses a flag that another command takes.
func (o offers) elsewhere(err error) bool {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return false
	}
	name := unknown.GetSpecifiedName()
	for _, fs := range []*pflag.FlagSet{o.probes, o.cluster} {
		if fs.Lookup(name) != nil || len(name) == 1 && fs.ShorthandLookup(name) != nil {
			return true
		}
	}
	return false
}

func (offers) give(to, from *pflag.FlagSet, wanted func(*pflag.Flag) bool) {
	from.VisitAll(func(f *pflag.Flag) {
		if wanted == nil || wanted(f) {
			to.AddFlag(f)
		}
	})
}
