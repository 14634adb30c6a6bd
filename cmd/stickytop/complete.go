package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/probe"
)

// completionWait keeps a shell from hanging on an API server that is away.
const completionWait = 2 * time.Second

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeTarget offers ing/NAME and svc/NAME of the namespace in force. It is
// silent when they can't be listed.
func completeTarget(cluster *clusterFlags) completion {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return targets(cmd.Context(), cluster, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

func completeGet(cluster *clusterFlags) completion {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return withPrefix([]string{"sessions", "pods", "routes", "findings", "pins"}, prefix), cobra.ShellCompDirectiveNoFileComp
		}
		return completeTarget(cluster)(cmd, args[1:], prefix)
	}
}

func completeScenario(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, s := range demo.Scenarios() {
		names = append(names, s.Name+"\t"+s.Title)
	}
	if len(args) > 0 {
		names = nil
	}
	return withPrefix(names, prefix), cobra.ShellCompDirectiveNoFileComp
}

// completeFlag offers the values that a flag of cmd takes.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return withPrefix(values, prefix), cobra.ShellCompDirectiveNoFileComp
	})
}

// completeProbes offers the words that flags of the sessions take, one after
// another where there may be several.
func completeProbes(cmd *cobra.Command) {
	completeList(cmd, "transport", probe.Transports()...)
	completeList(cmd, "client", affinity.ClientWords()...)
	completeFlag(cmd, "socketio-transports", probe.IOBoth, probe.IOSocketFirst, probe.IOPolling, probe.IOWebSocket)
}

// completeList offers what a list separated by commas does not name yet.
func completeList(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		head := prefix[:strings.LastIndexByte(prefix, ',')+1]
		said := strings.Split(head, ",")
		var all []string
		for _, v := range values {
			if !slices.Contains(said, v) {
				all = append(all, head+v)
			}
		}
		return withPrefix(all, prefix), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// completeBackend offers NAMESPACE/SERVICE: of the namespace in force; the port
// is as an Ingress writes it, and is left to the user.
func completeBackend(cluster *clusterFlags) completion {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		var all []string
		_, namespace, err := kube.Config(cluster.config.loader(), cluster.config.overrides.CurrentContext)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for _, name := range targets(cmd.Context(), cluster, "svc/") {
			all = append(all, namespace+"/"+strings.TrimPrefix(name, "svc/")+":")
		}
		return withPrefix(all, prefix), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

func targets(ctx context.Context, cluster *clusterFlags, prefix string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	cfg, namespace, err := kube.Config(cluster.config.loader(), cluster.config.overrides.CurrentContext)
	if err != nil {
		return nil
	}
	source, err := kube.New(cfg, kube.Options{Namespace: namespace, Version: version})
	if err != nil {
		return nil
	}
	kind, short := "ingress", "ing/"
	if strings.HasPrefix(prefix, "svc/") {
		kind, short = "service", "svc/"
	}
	names, err := source.Names(ctx, kind)
	if err != nil {
		return nil
	}
	for i := range names {
		names[i] = short + names[i]
	}
	return withPrefix(names, prefix)
}

func withPrefix(all []string, prefix string) []string {
	var kept []string
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			kept = append(kept, s)
		}
	}
	return kept
}
