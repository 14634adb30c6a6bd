// Package archtest enforces the table of docs/architecture.md: which package
// may import which.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/kubestickytop/stickytop/"

// rules say, for each package, which of our own packages it may import, and
// which paths of others it must not, directly or not where marked with "…".
var rules = map[string]struct {
	ours  []string
	never []string
}{
	"internal/affinity": {never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http", "os", "context", "io/fs"}},
	"internal/ingress":  {ours: []string{"internal/affinity"}, never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http", "context"}},
	"internal/access":   {ours: []string{"internal/affinity"}, never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http", "os", "context"}},
	"internal/capture":  {ours: []string{"internal/affinity"}, never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http", "os", "context"}},
	"internal/decode":   {ours: []string{"internal/affinity", "internal/capture", "internal/ingress"}, never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http", "os", "context"}},
	"internal/findings": {ours: []string{"internal/affinity", "internal/ingress"}, never: []string{"k8s.io/", "sigs.k8s.io/", "github.com/charmbracelet/", "net/http", "os", "context", "io/fs"}},
	"internal/manifest": {ours: []string{"internal/affinity", "internal/findings"}, never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http", "os", "context"}},
	"internal/kube":     {ours: []string{"internal/access", "internal/affinity", "internal/ingress", "internal/findings"}, never: []string{"github.com/charmbracelet/"}},
	"internal/probe":    {ours: []string{"internal/affinity", "internal/probe"}, never: []string{"k8s.io/", "github.com/charmbracelet/"}},
	"internal/engine":   {ours: []string{"internal/affinity"}, never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http"}},
	"internal/ui":       {ours: []string{"internal/affinity", "internal/term"}, never: []string{"k8s.io/", "net/http"}},
	"internal/term":     {never: []string{"k8s.io/", "net/http"}},
	"internal/report":   {ours: []string{"internal/affinity"}, never: []string{"github.com/charmbracelet/", "net/http"}},
	"internal/demo":     {ours: []string{"internal/affinity", "internal/ingress", "internal/demo"}, never: []string{"github.com/charmbracelet/"}},
	"internal/kernel":   {ours: []string{"internal/affinity"}, never: []string{"k8s.io/", "github.com/charmbracelet/", "net/http"}},
	"internal/agent":    {ours: []string{"internal/affinity", "internal/kernel"}, never: []string{"k8s.io/", "github.com/charmbracelet/"}},
	"internal/quiet":    {never: []string{"k8s.io/", "github.com/", "fmt"}},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		rule, ok := ruleOf(name)
		if !ok {
			if strings.HasPrefix(name, "internal/") && name != "internal/archtest" {
				t.Errorf("%s has no rule: add it here and to docs/architecture.md", name)
			}
			continue
		}
		seen[rule] = true
		check(t, name, rule, p.Imports)
	}
	for name := range rules {
		if !seen[name] {
			t.Errorf("rule for %s, which does not exist", name)
		}
	}
}

// ruleOf finds the rule of a package or of the folder it is in.
func ruleOf(name string) (string, bool) {
	for n := name; n != ""; {
		if _, ok := rules[n]; ok {
			return n, true
		}
		i := strings.LastIndexByte(n, '/')
		if i < 0 {
			return "", false
		}
		n = n[:i]
	}
	return "", false
}

func check(t *testing.T, name, rule string, imports []string) {
	t.Helper()
	for _, path := range imports {
		if own, ok := strings.CutPrefix(path, module); ok {
			if !within(own, append(rules[rule].ours, rule)) {
				t.Errorf("%s imports %s; it may import %v of ours", name, own, rules[rule].ours)
			}
			continue
		}
		for _, never := range rules[rule].never {
			if path == never || strings.HasSuffix(never, "/") && strings.HasPrefix(path, never) {
				t.Errorf("%s imports %s, which it must not", name, path)
			}
		}
	}
}

func within(name string, folders []string) bool {
	for _, f := range folders {
		if name == f || strings.HasPrefix(name, f+"/") {
			return true
		}
	}
	return false
}

// What made the program twice as big, and most of that resident, stays out of
// it: types of every API group, what applies kustomizations, and the Go plugins
// they take, which keep the linker from dropping what nobody calls.
func TestTheProgramStaysSmall(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"cmd/stickytop").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		for _, heavy := range []string{"k8s.io/client-go/kubernetes", "k8s.io/client-go/discovery", "sigs.k8s.io/kustomize/", "github.com/google/gnostic-models/", "k8s.io/kubectl/", "plugin"} {
			if path == strings.TrimSuffix(heavy, "/") || strings.HasPrefix(path, strings.TrimSuffix(heavy, "/")+"/") {
				t.Errorf("cmd/stickytop takes in %s", path)
			}
		}
	}
}
