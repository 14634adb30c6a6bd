package findings_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// noFix are findings that no setting mends, by rule and the start of their
// title, and why.
var noFix = map[string]string{
	"C05 Contour ": "Contour has no affinity but by hash, and its pods, which a budget would keep, are not among the objects",
	"C05 Kong ":    "Kong hashes unless it is Enterprise, and its pods, which a budget would keep, are not among the objects",
	"B08 goes by ": "which rule should set the cookie instead is the author's to say",
	"L01 Traefik's provider, which runs beside it,": "it tells of what comes after a migration; until then the annotation counts",
}

// price is what a fix brings, where there is no other.
var price = map[string]string{
	"A05 ": "C05", // of an HTTPProxy: Contour hashes
}

// mitigated are those whose fix makes them rarer, and does not end them.
var mitigated = map[string]string{
	"C05 Contour ": "Contour has no affinity but by hash",
	"C05 Kong ":    "Kong hashes unless it is Enterprise",
}

func listed(list map[string]string, f affinity.Finding) bool {
	for start := range list {
		if strings.HasPrefix(f.Rule+" "+f.Title, start) {
			return true
		}
	}
	return false
}

// TestFixes applies the fix of each finding on every manifest of testdata, as
// YAML and as commands: the finding goes, and nothing as bad comes.
func TestFixes(t *testing.T) {
	files := manifests(t)
	applied := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, mode := range []string{"yaml", "commands"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				w := parse(t, files[name])
				before := findings.Check(w.facts(t, mode), findings.Options{}).Findings
				for _, f := range before {
					if !f.Fails() {
						continue
					}
					if f.Patch == "" {
						if f.Rule[0] == 'B' && strings.HasPrefix(f.Fix, "its controller has no setting for") {
							continue // Gateway API and HAProxy's own controller, of the cookie's flags
						}
						if !listed(noFix, f) || name == "rules/C05/bad.yaml" {
							t.Errorf("neither command nor patch: %s", titles([]affinity.Finding{f}))
						}
						continue
					}
					mended := w.clone(t)
					if err := mended.apply(f, mode); err != nil {
						t.Errorf("%s %s: %v\n%s", f.Rule, f.Title, err, f.Patch)
						continue
					}
					applied++
					after := findings.Check(mended.facts(t, mode), findings.Options{}).Findings
					for _, g := range after {
						if same(f, g) && g.Severity >= affinity.SeverityLow && !listed(mitigated, f) {
							t.Errorf("%s is still there: %s\nafter\n%s", f.Rule, g.Title, f.Patch)
						}
						if f.Object.Kind == "HTTPProxy" && price[f.Rule+" "] == g.Rule {
							continue
						}
						if g.Fails() && g.Severity >= f.Severity && !slices.ContainsFunc(before, func(b affinity.Finding) bool {
							return b.Rule == g.Rule && b.Object.Kind == g.Object.Kind && b.Object.Namespace == g.Object.Namespace && b.Object.Name == g.Object.Name && b.Severity >= g.Severity
						}) {
							t.Errorf("the fix of %s %s brings%s\nafter\n%s", f.Rule, f.Title, titles([]affinity.Finding{g}), f.Patch)
						}
					}
				}
			})
		}
	}
	t.Logf("%d fixes of %d files", applied, len(files))
	if applied < 200 {
		t.Errorf("%d fixes only", applied)
	}
}

func same(a, b affinity.Finding) bool {
	a.Object.Line, b.Object.Line = 0, 0
	return a.Rule == b.Rule && a.Object == b.Object && a.Title == b.Title
}

// manifests are all of testdata, and the objects that controllers' policies are
// read from.
func manifests(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"testdata/rules/*/*.yaml", "testdata/fixes/*.yaml", "testdata/sane/*.yaml", "testdata/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			text, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(filepath.ToSlash(p), "testdata/")] = string(text)
		}
	}
	return all
}

// objects are a world that fixes are applied to.
type objects []map[string]any

func parse(t *testing.T, text string) (w objects) {
	t.Helper()
	for _, doc := range strings.Split("\n"+text, "\n---") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		if o != nil {
			w = append(w, o)
		}
	}
	return w
}

func (w objects) clone(t *testing.T) (out objects) {
	t.Helper()
	for _, o := range w {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var c map[string]any
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// facts are those of a file, or of a cluster.
func (w objects) facts(t *testing.T, mode string) (f findings.Facts) {
	t.Helper()
	if mode == "commands" {
		for _, o := range w {
			v := findings.From(o)
			x, ok := findings.NewObject(&v, "")
			if !ok {
				t.Fatalf("no object: %v", o)
			}
			f.Objects = append(f.Objects, x)
		}
		return f
	}
	var b strings.Builder
	for _, o := range w {
		raw, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n" + string(raw))
	}
	all, problems := manifest.Read(strings.NewReader(b.String()), "f.yaml")
	for _, p := range problems {
		t.Fatal(p)
	}
	return findings.Facts{Objects: all}
}

func (w *objects) find(kind, namespace, name string) int {
	return slices.IndexFunc(*w, func(o map[string]any) bool {
		k, ns, n := nameOf(o)
		return strings.EqualFold(k, kind) && ns == namespace && n == name
	})
}

func nameOf(o map[string]any) (kind, namespace, name string) {
	m, _ := o["metadata"].(map[string]any)
	kind, _ = o["kind"].(string)
	namespace, _ = m["namespace"].(string)
	name, _ = m["name"].(string)
	return kind, namespace, name
}

// apply does what a person does with the fix of f.
func (w *objects) apply(f affinity.Finding, mode string) error {
	if mode == "commands" && !strings.HasPrefix(f.Patch, "apiVersion:") {
		return w.run(f.Patch)
	}
	for _, doc := range strings.Split(f.Patch, "\n---\n") {
		var p map[string]any
		if err := yaml.UnmarshalStrict([]byte(doc), &p); err != nil {
			return err
		}
		if all, ok := p["patches"].([]any); ok {
			for _, one := range all {
				m := one.(map[string]any)
				target := m["target"].(map[string]any)
				ns, _ := target["namespace"].(string)
				ops, err := yaml.YAMLToJSON([]byte(m["patch"].(string)))
				if err != nil {
					return err
				}
				if err := w.json(target["kind"].(string), ns, target["name"].(string), ops); err != nil {
					return err
				}
			}
			continue
		}
		kind, ns, name := nameOf(p)
		if kind == "" {
			kind, ns, name = f.Object.Kind, f.Object.Namespace, f.Object.Name
		}
		if err := w.merge(kind, ns, name, p); err != nil {
			return err
		}
	}
	return nil
}

// merge is a strategic merge patch for built-in kinds, a merge patch for others.
func (w *objects) merge(kind, ns, name string, p map[string]any) error {
	i := w.find(kind, ns, name)
	if p["$patch"] == "delete" {
		if i < 0 {
			return fmt.Errorf("%s %s/%s is not there", kind, ns, name)
		}
		*w = slices.Delete(*w, i, i+1)
		return nil
	}
	if i < 0 {
		if p["apiVersion"] == nil {
			return fmt.Errorf("%s %s/%s is not there", kind, ns, name)
		}
		meta := map[string]any{"name": name}
		if ns != "" {
			meta["namespace"] = ns
		}
		*w = append(*w, map[string]any{"apiVersion": p["apiVersion"], "kind": p["kind"], "metadata": meta})
		i = len(*w) - 1
	}
	if s := schema(kind); s != nil {
		out, err := strategicpatch.StrategicMergeMapPatch((*w)[i], p, s)
		if err != nil {
			return err
		}
		(*w)[i] = out
		return nil
	}
	raw, err := json.Marshal((*w)[i])
	if err != nil {
		return err
	}
	patch, err := json.Marshal(p)
	if err != nil {
		return err
	}
	out, err := jsonpatch.MergePatch(raw, patch)
	if err != nil {
		return err
	}
	(*w)[i] = nil
	return json.Unmarshal(out, &(*w)[i])
}

func schema(kind string) any {
	switch strings.ToLower(kind) {
	case "ingress":
		return networkingv1.Ingress{}
	case "service":
		return corev1.Service{}
	case "deployment":
		return appsv1.Deployment{}
	case "statefulset":
		return appsv1.StatefulSet{}
	case "daemonset":
		return appsv1.DaemonSet{}
	case "configmap":
		return corev1.ConfigMap{}
	case "horizontalpodautoscaler":
		return autoscalingv2.HorizontalPodAutoscaler{}
	case "poddisruptionbudget":
		return policyv1.PodDisruptionBudget{}
	}
	return nil
}

// json is a JSON Patch.
func (w *objects) json(kind, ns, name string, ops []byte) error {
	i := w.find(kind, ns, name)
	if i < 0 {
		return fmt.Errorf("%s %s/%s is not there", kind, ns, name)
	}
	patch, err := jsonpatch.DecodePatch(ops)
	if err != nil {
		return err
	}
	raw, err := json.Marshal((*w)[i])
	if err != nil {
		return err
	}
	out, err := patch.Apply(raw)
	if err != nil {
		return fmt.Errorf("%w in %s", err, ops)
	}
	(*w)[i] = nil
	return json.Unmarshal(out, &(*w)[i])
}

// run does what kubectl would with the commands of a fix.
func (w *objects) run(script string) error {
	for script != "" {
		var line string
		line, script, _ = strings.Cut(script, "\n")
		for strings.Count(line, "'")%2 == 1 && script != "" && !strings.HasSuffix(line, "<<'EOF'") { // a text of several lines
			var more string
			more, script, _ = strings.Cut(script, "\n")
			line += "\n" + more
		}
		if strings.HasSuffix(line, "<<'EOF'") {
			doc, rest, ok := strings.Cut(script, "\nEOF")
			if !ok {
				return fmt.Errorf("no end of %q", line)
			}
			script = strings.TrimPrefix(rest, "\n")
			var o map[string]any
			if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
				return err
			}
			kind, ns, name := nameOf(o)
			if err := w.merge(kind, ns, name, o); err != nil {
				return err
			}
			continue
		}
		if err := w.kubectl(words(line)); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

// words splits a line as a shell does, as far as fixes are quoted.
func words(line string) (all []string) {
	var word strings.Builder
	in, began := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'':
			in, began = !in, true
		case c == '\\' && !in:
			i++
			word.WriteByte(line[i])
		case c == ' ' && !in:
			if word.Len() > 0 || began {
				all = append(all, word.String())
			}
			word.Reset()
			began = false
		default:
			word.WriteByte(c)
		}
	}
	return append(all, word.String())
}

func (w *objects) kubectl(args []string) error {
	if len(args) < 4 || args[0] != "kubectl" {
		return fmt.Errorf("no command of kubectl: %q", args)
	}
	if args[1] == "rollout" {
		return nil
	}
	verb, kind, name, ns, how, patch := args[1], "", "", "", "strategic", ""
	annotations := map[string]any{}
	for i := 2; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-n":
			i++
			ns = args[i]
		case a == "--type":
			i++
			how = args[i]
		case a == "-p":
			i++
			patch = args[i]
		case a == "--overwrite":
		case kind == "":
			kind, _, _ = strings.Cut(a, ".")
		case name == "":
			name = a
		case verb == "annotate" && strings.HasSuffix(a, "-") && !strings.Contains(a, "="):
			annotations[strings.TrimSuffix(a, "-")] = nil
		case verb == "annotate":
			k, v, ok := strings.Cut(a, "=")
			if !ok {
				return fmt.Errorf("no annotation: %q", a)
			}
			annotations[k] = v
		default:
			return fmt.Errorf("what is %q?", a)
		}
	}
	kinds := map[string]string{"ingress": "Ingress", "service": "Service", "deployment": "Deployment", "configmap": "ConfigMap", "statefulset": "StatefulSet"}
	p := map[string]any{}
	if k := kinds[kind]; w.find(kind, ns, name) < 0 && k != "" { // elsewhere in the cluster
		p["kind"], p["apiVersion"] = k, map[string]string{"Ingress": "networking.k8s.io/v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1"}[k]
		if p["apiVersion"] == "" {
			p["apiVersion"] = "v1"
		}
	}
	switch verb {
	case "annotate":
		p["metadata"] = map[string]any{"annotations": annotations}
		return w.merge(kind, ns, name, p)
	case "delete":
		return w.merge(kind, ns, name, map[string]any{"$patch": "delete"})
	case "patch":
		if how == "json" {
			return w.json(kind, ns, name, []byte(patch))
		}
		if builtIn := schema(kind) != nil; builtIn != (how == "strategic") {
			return fmt.Errorf("kubectl can't make a %s patch of %s", how, kind)
		}
		if err := json.Unmarshal([]byte(patch), &p); err != nil {
			return err
		}
		return w.merge(kind, ns, name, p)
	}
	return fmt.Errorf("no verb of a fix: %s", verb)
}

// TestFixChain mends one finding after the other, the worst first: none comes
// back, and in the end none is left that has a fix.
func TestFixChain(t *testing.T) {
	files := manifests(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if chained[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := parse(t, files[name])
			mended := map[string]string{}
			for {
				f := slices.Collect(func(yield func(affinity.Finding) bool) {
					for _, f := range findings.Check(w.facts(t, "yaml"), findings.Options{}).Findings {
						if f.Fails() && f.Patch != "" && !listed(mitigated, f) && !yield(f) {
							return
						}
					}
				})
				if len(f) == 0 {
					return
				}
				key := f[0].Rule + " " + f[0].Object.String() + " " + f[0].Title
				if was, again := mended[key]; again || len(mended) == 100 {
					t.Fatalf("%s is there again; mended with\n%s", key, was)
				}
				mended[key] = f[0].Patch
				if err := w.apply(f[0], "yaml"); err != nil {
					t.Fatalf("%s: %v\n%s", key, err, f[0].Patch)
				}
			}
		})
	}
}

// chained are files that TestFixChain leaves out, and why.
var chained = map[string]string{}
