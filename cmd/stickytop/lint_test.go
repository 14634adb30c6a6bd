package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// lintOut is what lint prints, and its exit code.
func lintOut(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"lint"}, args...)...)
	cmd.Env = append(cmd.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
	var out, told strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &told
	_ = cmd.Run() // its code tells
	return out.String(), told.String(), cmd.ProcessState.ExitCode()
}

const stickyNodePort = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, sessionAffinity: ClientIP, externalTrafficPolicy: Cluster, selector: {app: web}, ports: [{port: 80}]}
`

// TestLintUnreadableFile wants the other files of a directory judged.
func TestLintUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(stickyNodePort), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere.yaml", filepath.Join(dir, "gone.yaml")); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := lintOut(t, "-f", dir)
	if code != exitCannot || !strings.Contains(stdout, "F02 ") || !strings.Contains(stdout, "1 not read") || !strings.Contains(stderr, "gone.yaml: cannot be read: no such file") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, _, code := lintOut(t, "-f", dir, "-o", "sarif"); code != exitCannot || !strings.Contains(stdout, `"executionSuccessful": false`) || !strings.Contains(stdout, "gone.yaml: cannot be read") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	if _, stderr, code := lintOut(t, "-f", filepath.Join(dir, "gone.yaml")); code != exitCannot || !strings.Contains(stderr, "cannot be read") {
		t.Errorf("alone: exit %d\n%s", code, stderr)
	}
}

// TestLintWithoutRights wants no clean bill of what may not be read.
func TestLintWithoutRights(t *testing.T) {
	server := startServer(t, decodeObjects)
	at := []string{"--server", "http://" + server.Addr(), "-n", "default", "--fail-on", "never"}
	deny := func(group string, resources ...string) (rules []apiserver.Rule) {
		for _, r := range resources {
			rules = append(rules, apiserver.Rule{Group: group, Resource: r})
		}
		return rules
	}
	server.Deny(append(deny("", "services"), deny("networking.k8s.io", "ingresses")...)...)
	stdout, stderr, code := lintOut(t, at...)
	if code != exitCannot || !strings.Contains(stderr, "list ingresses in namespace default is forbidden") || !strings.Contains(stderr, "rbac --missing") {
		t.Errorf("no Ingresses, no Services: exit %d\n%s%s", code, stdout, stderr)
	}
	server.Deny(deny("apps", "deployments")...)
	stdout, stderr, code = lintOut(t, at...)
	for _, id := range []string{"C03", "C07", "I02"} {
		if !strings.Contains(stdout, id+" not checked: list deployments in namespace default is forbidden") {
			t.Errorf("%s is not told as not checked", id)
		}
	}
	if code != 0 {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}
