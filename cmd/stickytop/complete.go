package main

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/probe"
)

// completionWait keeps a shell from hanging on an API server that is away.
const completionWait = 2 * time.Second

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeTarget offers what is there of the kind that was begun, KIND/NAME or
// KIND NAME; before that the Ingresses and Services, and the kinds that are
// meant so far. It is silent when they can't be listed.
func completeTarget(cluster *clusterFlags) completion {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		none := cobra.ShellCompDirectiveNoFileComp
		word, _, begun := strings.Cut(prefix, "/")
		switch {
		case len(args) == 1 && kinds[strings.ToLower(args[0])] != "":
			return withPrefix(namesOf(cmd.Context(), cluster, kinds[strings.ToLower(args[0])], ""), prefix), none
		case len(args) > 0:
			return nil, none
		case begun:
			return withPrefix(namesOf(cmd.Context(), cluster, kinds[strings.ToLower(word)], word+"/"), prefix), none
		}
		all := withPrefix(namesOf(cmd.Context(), cluster, "ingress", "ing/", "service", "svc/"), prefix)
		if len(all) > 0 {
			return all, none
		}
		for word := range kinds {
			if prefix != "" && strings.HasPrefix(word, prefix) {
				all = append(all, word+"/")
			}
		}
		slices.Sort(all)
		return all, none | cobra.ShellCompDirectiveNoSpace
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
		for _, name := range namesOf(cmd.Context(), cluster, "service", "") {
			all = append(all, namespace+"/"+name+":")
		}
		return withPrefix(all, prefix), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// completeCluster offers what kubectl's flags may name: namespaces of the
// cluster, and the contexts, clusters and users of the kubeconfig.
func completeCluster(cmd *cobra.Command, cluster *clusterFlags) {
	offer := func(flag string, list func(context.Context) []string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
			return withPrefix(inTime(cmd.Context(), list), prefix), cobra.ShellCompDirectiveNoFileComp
		})
	}
	kubeconfig := func(namesIn func(api.Config) iter.Seq[string]) func(context.Context) []string {
		return func(context.Context) []string {
			raw, err := cluster.config.loader().RawConfig()
			if err != nil {
				return nil
			}
			return slices.Sorted(namesIn(raw))
		}
	}
	offer("namespace", func(ctx context.Context) []string { return namespaces(ctx, cluster) })
	offer("context", kubeconfig(func(raw api.Config) iter.Seq[string] { return maps.Keys(raw.Contexts) }))
	offer("cluster", kubeconfig(func(raw api.Config) iter.Seq[string] { return maps.Keys(raw.Clusters) }))
	offer("user", kubeconfig(func(raw api.Config) iter.Seq[string] { return maps.Keys(raw.AuthInfos) }))
}

// namespaces are the cluster's or, where they may not be listed, those that the
// kubeconfig names.
func namespaces(ctx context.Context, cluster *clusterFlags) []string {
	if cfg, namespace, err := kube.Config(cluster.config.loader(), cluster.config.overrides.CurrentContext); err == nil {
		if source, err := kube.New(cfg, kube.Options{Namespace: namespace, Version: version}); err == nil {
			if all, err := source.Namespaces(ctx); err == nil {
				return all
			}
		}
	}
	raw, err := cluster.config.loader().RawConfig()
	if err != nil {
		return nil
	}
	var all []string
	for _, c := range raw.Contexts {
		if c.Namespace != "" && !slices.Contains(all, c.Namespace) {
			all = append(all, c.Namespace)
		}
	}
	slices.Sort(all)
	return all
}

// namesOf lists what there is of kinds of targets, pairs of a kind and what to
// write before its names.
func namesOf(ctx context.Context, cluster *clusterFlags, kinds ...string) []string {
	return inTime(ctx, func(ctx context.Context) []string {
		cfg, namespace, err := kube.Config(cluster.config.loader(), cluster.config.overrides.CurrentContext)
		if err != nil {
			return nil
		}
		source, err := kube.New(cfg, kube.Options{Namespace: namespace, AllNamespaces: cluster.all, Version: version})
		if err != nil {
			return nil
		}
		var all []string
		for pair := range slices.Chunk(kinds, 2) {
			names, err := source.Names(ctx, pair[0])
			if err != nil {
				continue
			}
			slices.Sort(names)
			for _, name := range slices.Compact(names) { // one may be in many namespaces
				all = append(all, pair[1]+name)
			}
		}
		return all
	})
}

// inTime returns what list has in completionWait. What takes longer is left
// behind, to end with the program: a login program heeds no context.
func inTime(ctx context.Context, list func(context.Context) []string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	answer := make(chan []string, 1)
	go func() { answer <- list(ctx) }()
	select {
	case all := <-answer:
		return printable(all)
	case <-ctx.Done():
		return nil
	}
}

// maxOffered bounds what a shell is given to choose from.
const maxOffered = 2000

// printable drops what a terminal must not get: names come from a cluster and
// from files.
func printable(all []string) []string {
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" || affinity.Clean(s, 400) != s })
	return all[:min(len(all), maxOffered)]
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
