package build

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

type program struct{ name, pkg string }

var kubernetesPrograms = []program{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
}

func (b *builder) kubernetes(ctx context.Context, p program) error {
	dir := filepath.Join(b.cache, "src", "kubernetes-"+layout.Kubernetes)
	if !exists(filepath.Join(dir, ".ready")) {
		if err := b.kubernetesModule(ctx, dir); err != nil {
			return err
		}
	}
	return b.compile(ctx, dir, layout.Binary(b.cache, p.name), p.pkg)
}

var stagingReplace = regexp.MustCompile(`(?m)^\s*(k8s\.io/[a-z0-9-]+) => \./staging/`)

// kubernetesModule makes a module around k8s.io/kubernetes, whose own go.mod replaces its staging modules by
// folders that its module zip leaves out: each is replaced by the published module of the same release (v1.X.Y is v0.X.Y).
func (b *builder) kubernetesModule(ctx context.Context, dir string) error {
	fmt.Fprintln(b.out, "      downloading modules")
	var tools strings.Builder
	tools.WriteString("//go:build tools\n\npackage tools\n\nimport (\n")
	for _, p := range kubernetesPrograms {
		fmt.Fprintf(&tools, "\t_ %q\n", p.pkg)
	}
	tools.WriteString(")\n")
	if err := writeFiles(dir, map[string]string{"go.mod": "module lab/kubernetes\n", "tools.go": tools.String()}); err != nil {
		return err
	}
	source, err := b.moduleDir(ctx, dir, "k8s.io/kubernetes@"+layout.Kubernetes)
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return err
	}
	edit := []string{"mod", "edit", "-require=k8s.io/kubernetes@" + layout.Kubernetes}
	version := strings.Replace(layout.Kubernetes, "v1.", "v0.", 1)
	for _, match := range stagingReplace.FindAllStringSubmatch(string(mod), -1) {
		edit = append(edit, fmt.Sprintf("-replace=%s=%s@%s", match[1], match[1], version))
	}
	if _, err := b.run(ctx, dir, "go", edit...); err != nil {
		return err
	}
	if _, err := b.run(ctx, dir, "go", "mod", "tidy"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ".ready"), nil, 0o644)
}

// moduleDir downloads a module, path@version, and returns where its source is.
func (b *builder) moduleDir(ctx context.Context, dir, module string) (string, error) {
	out, err := b.run(ctx, dir, "go", "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var got struct{ Dir string }
	if err := json.Unmarshal(out, &got); err != nil {
		return "", err
	}
	if got.Dir == "" {
		return "", fmt.Errorf("no source for %s", module)
	}
	return got.Dir, nil
}
