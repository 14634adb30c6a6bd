package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/agent"
	"github.com/kubestickytop/stickytop/internal/kube"
)

func TestJoinKernel(t *testing.T) {
	for in, want := range map[string]string{
		"get pins --kernel local svc/x":  "get pins --kernel=local svc/x",
		"get pins svc/x --kernel":        "get pins svc/x --kernel",
		"--kernel svc/x":                 "--kernel svc/x",
		"--kernel agents":                "--kernel=agents",
		"--kernel=local local":           "--kernel=local local",
		"get pins -- --kernel local":     "get pins -- --kernel local",
		"--kernel-node local --kernel x": "--kernel-node local --kernel=x", // which is refused
		"--kernel get pins svc/x":        "--kernel get pins svc/x",
		"--kernel https://a.example":     "--kernel https://a.example",
		"--kernel -n msgapp":             "--kernel -n msgapp",
	} {
		if got := strings.Join(joinKernel(strings.Fields(in), func(word string) bool { return word == "get" }), " "); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestTokens: what is kept of a run is its owner's alone, and goes with it.
func TestTokens(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	now := time.Now()
	for _, s := range []secretOf{{Run: "one", Namespace: "web", Server: "https://a", Token: "secret1", Ends: now.Add(time.Hour)},
		{Run: "two", Namespace: "web", Server: "https://b", Token: "secret2", Ends: now.Add(time.Hour)},
		{Run: "old", Namespace: "web", Server: "https://b", Token: "secret3", Ends: now.Add(-3 * time.Hour)}} {
		if err := s.keep(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := tokenOf("one")
	if err != nil || got.Token != "secret1" {
		t.Errorf("%+v, %v", got, err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if info, err := d.Info(); err != nil || path != dir && info.Mode().Perm()&0o077 != 0 && strings.Contains(path, "agents") {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	forgetTokens(func(s secretOf) bool { return s.Server == "https://a" }, now)
	var left []string
	for _, run := range []string{"one", "two", "old"} {
		if _, err := tokenOf(run); err == nil {
			left = append(left, run)
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	if !slices.Equal(left, []string{"two"}) {
		t.Errorf("left are %v, want two: one was meant, old is over", left)
	}
	if _, err := tokenOf("../../etc/passwd"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path for a run: %v", err)
	}
}

// TestConsent: without a terminal, only --yes agrees.
func TestConsent(t *testing.T) {
	streams, _, _, errs := genericiooptions.NewTestIOStreams()
	if err := consent(context.Background(), "this makes a pod\n", false, streams); err == nil || !strings.Contains(err.Error(), "no terminal") {
		t.Errorf("nobody agreed: %v", err)
	}
	if err := consent(context.Background(), "", true, streams); err != nil {
		t.Error(err)
	}
	if !strings.Contains(errs.String(), "this makes a pod") {
		t.Errorf("it says %q", errs)
	}
}

// TestDescribe: what is said covers what the objects are, rights and ends among
// them, and no token.
func TestDescribe(t *testing.T) {
	t.Setenv(agentImageEnv, "registry.example.com/tools/stickytop:7")
	f := agentFlags{clients: 3}
	spec, token := f.spec("web", runSilence, runLife)
	spec.Nodes, spec.NetAdmin = []string{"n1", "n2"}, true
	spec.Plane = affinity.Dataplane{Mode: affinity.ModeCilium, Why: "daemonset/cilium"}
	text := describe(spec, "https://k8s.example.com")
	for _, words := range []string{"namespace web of https://k8s.example.com", "3 Jobs", "2 Jobs", "n1, n2", "NET_ADMIN", "registry.example.com/tools/stickytop:7",
		"Cilium keeps pins", "BPF, NET_ADMIN", "/sys/fs/bpf is mounted read-only", "create pods/portforward", "30s after", "agents down --run " + spec.Run} {
		if !strings.Contains(text, words) {
			t.Errorf("no %q in %s", words, text)
		}
	}
	for _, j := range spec.Jobs(time.Now()) {
		if all := strings.Join(j.Spec.Template.Spec.Containers[0].Args, " "); strings.Contains(all, string(token)) || strings.Contains(text, string(token)) || !strings.Contains(all, token.Digest()) {
			t.Errorf("%s: a token may not be in a pod, its digest has to", j.Name)
		}
		if role := j.Spec.Template.Spec.Containers[0].Args[2]; role != agent.RoleClient && role != agent.RoleKernel {
			t.Errorf("%s has role %s", j.Name, role)
		}
	}
	if port := spec.Port; port < 20_000 || port >= 30_000 {
		t.Errorf("port %d: NodePorts and Linux take those from 30000", port)
	}
	os.Unsetenv(agentImageEnv)
	if got := f.imageName(); !strings.HasPrefix(got, agentRepository+":") {
		t.Errorf("image %s", got)
	}
}

func TestNodesMeant(t *testing.T) {
	there, forbidden := []string{"node1", "node2"}, errors.New("nodes may not be listed")
	for _, c := range []struct {
		named []string
		err   error
		want  []string
		fails string
	}{
		{nil, nil, there, ""},
		{nil, forbidden, nil, "may not be listed"},
		{[]string{"node2"}, nil, []string{"node2"}, ""},
		{[]string{"node2", "node3\x1b[2J"}, nil, nil, `"node3`},
		{[]string{"node3"}, forbidden, []string{"node3"}, ""},
	} {
		list := there
		if c.err != nil {
			list = nil
		}
		got, err := nodesMeant(c.named, list, c.err)
		if !slices.Equal(got, c.want) || (err == nil) != (c.fails == "") || err != nil && (!strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "\x1b")) {
			t.Errorf("%v: %v, %v", c.named, got, err)
		}
	}
}

// TestUseOf: what is said once a manifest is applied uses the agents it makes.
func TestUseOf(t *testing.T) {
	for want, spec := range map[string]kube.AgentSpec{
		"stickytop get pins --kernel -n web":             {Namespace: "web", Nodes: []string{"n1"}},
		"stickytop svc/NAME --from pods -n web":          {Namespace: "web", Clients: 2},
		"stickytop svc/NAME --from pods --kernel -n web": {Namespace: "web", Clients: 2, Nodes: []string{"n1"}},
	} {
		if got := useOf(spec); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
