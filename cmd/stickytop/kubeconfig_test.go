package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
)

// kubectl's own flags, from the library that it takes them from, are the
// measure: names, letters, defaults and words.
func TestKubeFlags(t *testing.T) {
	t.Setenv("KUBECACHEDIR", "/cache")
	type flag struct{ Name, Letter, Default, Type, Usage string }
	all := func(fs *pflag.FlagSet) (out []flag) {
		fs.VisitAll(func(f *pflag.Flag) {
			out = append(out, flag{f.Name, f.Shorthand, f.DefValue, f.Value.Type(), f.Usage})
		})
		return out
	}
	want, got := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	genericclioptions.NewConfigFlags(true).AddFlags(want)
	new(kubeFlags).add(got)
	if diff := cmp.Diff(all(want), all(got)); diff != "" {
		t.Errorf("-kubectl +ours:\n%s", diff)
	}
}

// What they mean is held to the same measure.
func TestKubeFlagsMean(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(`{apiVersion: v1, kind: Config, current-context: a,
clusters: [{name: one, cluster: {server: "https://one:6443", tls-server-name: uno}}, {name: two, cluster: {server: "https://two:6443", proxy-url: "http://p:1"}}],
users: [{name: u, user: {token: t}}, {name: v, user: {username: n, password: p}}],
contexts: [{name: a, context: {cluster: one, user: u, namespace: web}}, {name: b, context: {cluster: two, user: v}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, line := range []string{
		"", "--context b", "--context none", "--cluster two", "--user v", "-n shop", "-s http://other:1", "--token x", "--as jane",
		"--as jane --as-uid 7 --as-group g --as-group h --as-user-extra k=1 --as-user-extra k=2 --as-user-extra broken",
		"--tls-server-name other", "--insecure-skip-tls-verify", "--certificate-authority ca.pem", "--client-certificate c.pem --client-key k.pem",
		"--request-timeout 5s", "--request-timeout soon", "--disable-compression", "--proxy-url http://q:2", "--kubeconfig missing", "--kubeconfig " + file + " --context b",
		"--cache-dir elsewhere", "--insecure-skip-tls-verify --certificate-authority ca.pem",
	} {
		theirs, ours := genericclioptions.NewConfigFlags(false), &kubeFlags{}
		want, got := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
		theirs.AddFlags(want)
		ours.add(got)
		for _, fs := range []*pflag.FlagSet{want, got} {
			if err := fs.Parse(strings.Fields(line)); err != nil {
				t.Fatal(err)
			}
		}
		wantConfig, wantErr := theirs.ToRawKubeConfigLoader().ClientConfig()
		gotConfig, gotErr := ours.loader().ClientConfig()
		if (wantErr == nil) != (gotErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() {
			t.Errorf("%q: kubectl says %v, ours %v", line, wantErr, gotErr)
		}
		asTold := cmp.Options{cmpopts.IgnoreFields(rest.Config{}, "Proxy"), cmpopts.IgnoreUnexported(rest.Config{}, rest.TLSClientConfig{})}
		if diff := cmp.Diff(wantConfig, gotConfig, asTold); diff != "" {
			t.Errorf("%q: -kubectl +ours:\n%s", line, diff)
		}
		if wantConfig != nil && (wantConfig.Proxy == nil) != (gotConfig.Proxy == nil) {
			t.Errorf("%q: kubectl's proxy is set: %t, ours: %t", line, wantConfig.Proxy != nil, gotConfig.Proxy != nil)
		}
		wantSpace, wantOver, _ := theirs.ToRawKubeConfigLoader().Namespace()
		gotSpace, gotOver, _ := ours.loader().Namespace()
		if wantSpace != gotSpace || wantOver != gotOver {
			t.Errorf("%q: namespace %q (%t), kubectl's %q (%t)", line, gotSpace, gotOver, wantSpace, wantOver)
		}
	}
}
