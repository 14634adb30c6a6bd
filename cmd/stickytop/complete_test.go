package main

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// completed is what a shell is offered after a command line.
func completed(t *testing.T, config, name string, line ...string) (offers []string, directive string, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"__complete"}, line...)...)
	if name != "" {
		cmd = exec.CommandContext(ctx, filepath.Join(filepath.Dir(binary), name), line...)
	}
	cmd.Env = append(cmd.Environ(), "KUBECONFIG="+config, "HOME="+t.TempDir())
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	all := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	return all[:len(all)-1], all[len(all)-1], time.Since(start)
}

func TestCompletion(t *testing.T) {
	server := startServer(t, findingsObjects+`---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
`)
	config := filepath.Join(t.TempDir(), "config")
	c := clientcmdapi.NewConfig()
	c.Clusters["one"] = &clientcmdapi.Cluster{Server: "http://" + server.Addr()}
	c.AuthInfos["jane"] = &clientcmdapi.AuthInfo{}
	c.Contexts["prod"] = &clientcmdapi.Context{Cluster: "one", AuthInfo: "jane", Namespace: "default"}
	c.Contexts["test"] = &clientcmdapi.Context{Cluster: "one", AuthInfo: "jane", Namespace: "spare"}
	c.Contexts["evil\x1b[2J"] = &clientcmdapi.Context{Cluster: "one", AuthInfo: "jane"}
	c.CurrentContext = "prod"
	if err := clientcmd.WriteToFile(*c, config); err != nil {
		t.Fatal(err)
	}
	check := func(want string, line ...string) {
		t.Helper()
		got, directive, _ := completed(t, config, "", line...)
		got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, "\t") }) // commands
		if text := strings.Join(got, " "); text != want || directive != ":4" && directive != ":6" {
			t.Errorf("%q: %q and %s, want %q", line, text, directive, want)
		}
	}
	check("default shop", "-n", "")
	check("shop", "get", "sessions", "--namespace", "s")
	check("shop", "--namespace=s")
	check("prod test", "lint", "--context", "")
	check("one", "--cluster", "")
	check("jane", "agents", "up", "--user", "")
	check("ing/other ing/web svc/other svc/web", "")
	check("svc/other svc/web", "s")
	check("service/other service/web", "service/")
	check("other web", "ingress", "")
	check("other", "get", "sessions", "svc", "o")
	check("", "ing/web", "")
	check("ingressroute.traefik.io/ ingressroute/ ingressroutes.traefik.io/ ingressroutes/", "ingressr")
	check("", "ingressroute/") // there is no such API
	got, _, _ := completed(t, config, "kubectl_complete-stickytop", "-n", "sh")
	if !slices.Equal(got, []string{"shop"}) {
		t.Errorf("by kubectl: %q", got)
	}

	// Who may not list namespaces is offered those of the kubeconfig.
	server.Deny(apiserver.Rule{Resource: "namespaces"})
	check("default spare", "-n", "")
}

// A cluster that is away is waited for a moment, and nothing is said.
func TestCompletionOfNothing(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, line := range [][]string{{"--server", "http://" + silent.Addr().String(), "-n", ""}, {"--server", "http://" + silent.Addr().String(), ""},
		{"--kubeconfig", "/nowhere/at/all", "--context", ""}, {"--kubeconfig", "/nowhere/at/all", "-n", ""}} {
		got, directive, took := completed(t, "", "", line...)
		if len(got) > 0 || directive != ":4" && directive != ":6" || took > completionWait+3*time.Second {
			t.Errorf("%q: %q and %s after %s", line, got, directive, took)
		}
	}
}
