package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/homedir"
)

// kubeFlags are the flags by which kubectl finds its cluster, on client-go's
// clientcmd. cli-runtime has them ready (genericclioptions.ConfigFlags), but
// brings what applies kustomizations and the types of every API group with them:
// half the program, most of it resident. TestKubeFlags holds these to those.
type kubeFlags struct {
	file      string
	extra     []string // of --as-user-extra, KEY=VALUE
	overrides clientcmd.ConfigOverrides
}

func (f *kubeFlags) add(fs *pflag.FlagSet) {
	o := &f.overrides
	text := func(target *string, name, usage string) { fs.StringVar(target, name, "", usage) }
	text(&f.file, "kubeconfig", "Path to the kubeconfig file to use for CLI requests.")
	// Of what kubectl keeps there nothing is read: it is taken so that a kubectl
	// alias with this flag goes on working.
	fs.String("cache-dir", cmp.Or(os.Getenv("KUBECACHEDIR"), filepath.Join(homedir.HomeDir(), ".kube", "cache")), "Default cache directory")
	text(&o.AuthInfo.ClientCertificate, clientcmd.FlagCertFile, "Path to a client certificate file for TLS")
	text(&o.AuthInfo.ClientKey, clientcmd.FlagKeyFile, "Path to a client key file for TLS")
	text(&o.AuthInfo.Token, clientcmd.FlagBearerToken, "Bearer token for authentication to the API server")
	text(&o.AuthInfo.Impersonate, clientcmd.FlagImpersonate, "Username to impersonate for the operation. User could be a regular user or a service account in a namespace.")
	text(&o.AuthInfo.ImpersonateUID, clientcmd.FlagImpersonateUID, "UID to impersonate for the operation.")
	fs.StringArrayVar(&o.AuthInfo.ImpersonateGroups, clientcmd.FlagImpersonateGroup, []string{}, "Group to impersonate for the operation, this flag can be repeated to specify multiple groups.")
	fs.StringArrayVar(&f.extra, "as-user-extra", []string{}, "User extras to impersonate for the operation, this flag can be repeated to specify multiple values for the same key.")
	text(&o.Context.Cluster, clientcmd.FlagClusterName, "The name of the kubeconfig cluster to use")
	text(&o.Context.AuthInfo, clientcmd.FlagAuthInfoName, "The name of the kubeconfig user to use")
	fs.StringVarP(&o.Context.Namespace, clientcmd.FlagNamespace, "n", "", "If present, the namespace scope for this CLI request")
	text(&o.CurrentContext, clientcmd.FlagContext, "The name of the kubeconfig context to use")
	fs.StringVarP(&o.ClusterInfo.Server, clientcmd.FlagAPIServer, "s", "", "The address and port of the Kubernetes API server")
	text(&o.ClusterInfo.TLSServerName, clientcmd.FlagTLSServerName, "Server name to use for server certificate validation. If it is not provided, the hostname used to contact the server is used")
	fs.BoolVar(&o.ClusterInfo.InsecureSkipTLSVerify, clientcmd.FlagInsecure, false, "If true, the server's certificate will not be checked for validity. This will make your HTTPS connections insecure")
	text(&o.ClusterInfo.CertificateAuthority, clientcmd.FlagCAFile, "Path to a cert file for the certificate authority")
	fs.StringVar(&o.Timeout, clientcmd.FlagTimeout, "0", "The length of time to wait before giving up on a single server request. Non-zero values should contain a corresponding time unit (e.g. 1s, 2m, 3h). A value of zero means don't timeout requests.")
	fs.BoolVar(&o.ClusterInfo.DisableCompression, clientcmd.FlagDisableCompression, false, "If true, opt-out of response compression for all requests to the server")
	text(&o.ClusterInfo.ProxyURL, clientcmd.FlagProxyURL, "Proxy URL to use for requests to the API server")
}

// loader reads the kubeconfig as kubectl does, with what the flags say over it.
func (f *kubeFlags) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.DefaultClientConfig = &clientcmd.DefaultClientConfig
	rules.ExplicitPath = f.file
	overrides := f.overrides
	overrides.ClusterDefaults = clientcmd.ClusterDefaults
	for _, extra := range f.extra {
		key, value, ok := strings.Cut(extra, "=")
		if !ok {
			continue
		}
		if overrides.AuthInfo.ImpersonateUserExtra == nil {
			overrides.AuthInfo.ImpersonateUserExtra = map[string][]string{}
		}
		overrides.AuthInfo.ImpersonateUserExtra[key] = append(overrides.AuthInfo.ImpersonateUserExtra[key], value)
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &overrides)
}
