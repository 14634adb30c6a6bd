package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Config resolves what kubectl's flags say to a configuration and its namespace.
// Its errors are *Problem: a kubeconfig that does not exist, a context that it
// does not have, no kubeconfig at all.
func Config(loader clientcmd.ClientConfig, context string) (cfg *rest.Config, namespace string, err error) {
	cfg, err = loader.ClientConfig()
	if err != nil {
		return nil, "", explainConfig(err, loader, context)
	}
	namespace, _, err = loader.Namespace()
	if err != nil {
		return nil, "", explainConfig(err, loader, context)
	}
	return cfg, namespace, nil
}

func explainConfig(err error, loader clientcmd.ClientConfig, context string) error {
	access := loader.ConfigAccess()
	if path := access.GetExplicitFile(); path != "" {
		if _, statErr := os.Stat(path); errors.Is(statErr, fs.ErrNotExist) {
			return &Problem{What: fmt.Sprintf("kubeconfig %q does not exist", affinity.Clean(path, maxName)),
				Hint: "check --kubeconfig; without it $KUBECONFIG or ~/.kube/config is read", Err: err}
		}
	}
	raw, rawErr := loader.RawConfig()
	if rawErr != nil {
		return &Problem{What: "the kubeconfig cannot be read: " + plain(rawErr), Hint: "kubectl config view shows where it is wrong", Err: err}
	}
	if context == "" {
		context = raw.CurrentContext
	}
	switch {
	case clientcmd.IsEmptyConfig(err) || len(raw.Clusters) == 0:
		return &Problem{What: "no kubeconfig: nothing says where the cluster is (looked at " + looked(access) + ")",
			Hint: "set KUBECONFIG or --kubeconfig; --url probes without a cluster, stickytop demo needs none", Err: err}
	case context != "" && raw.Contexts[context] == nil:
		return noContext(err, raw, context)
	}
	return &Problem{What: "the kubeconfig cannot be used: " + plain(err), Hint: "kubectl config view --minify shows what is in force", Err: err}
}

func noContext(err error, raw api.Config, context string) error {
	p := &Problem{What: fmt.Sprintf("context %q not found in the kubeconfig", affinity.Clean(context, maxName)), Err: err}
	names := slices.Sorted(maps.Keys(raw.Contexts))
	if near := nearest(context, names); len(near) > 0 {
		p.Hint = "did you mean " + strings.Join(near, ", ") + "?"
	} else if len(names) > 0 {
		p.Hint = thereIs(context, names)
	}
	return p
}

func looked(access clientcmd.ConfigAccess) string {
	var paths []string
	for _, p := range access.GetLoadingPrecedence() {
		paths = append(paths, affinity.Clean(p, maxName))
	}
	return strings.Join(paths, ", ")
}
