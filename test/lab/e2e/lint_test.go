package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// finding is the part of a finding that must not depend on where the objects were read.
type finding struct {
	Rule, Severity, Certainty, Title, NotChecked string
	Object                                       struct{ Kind, Namespace, Name string }
}

func (f finding) String() string {
	return fmt.Sprintf("%s %s %s/%s", f.Rule, f.Severity, f.Object.Kind, f.Object.Name)
}

// findingsIn are those of a run that say something, by their text.
func findingsIn(t *testing.T, r result) []string {
	t.Helper()
	var list struct{ Items []finding }
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		t.Fatalf("exit code %d, no JSON: %v: %s", r.code, err, r.err)
	}
	var all []string
	for _, f := range list.Items {
		if f.NotChecked == "" {
			all = append(all, f.String())
		}
	}
	slices.Sort(all)
	return all
}

// without are those of a that are not in b.
func without(a, b []string) (out []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// lintText lints a text without a cluster.
func lintText(t *testing.T, text string) result {
	t.Helper()
	program := product(t) // which may take its time to build
	cmd := exec.CommandContext(within(t, time.Minute), program, "lint", "-f", "-", "-o", "json", "--fail-on", "never")
	cmd.Stdin = strings.NewReader(text)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("lint: %v: %s", err, errOut.String())
	}
	return result{out: out.String(), err: errOut.String()}
}

// gatewayAPI is the module whose CRDs are installed.
const gatewayAPI = "sigs.k8s.io/gateway-api@v1.4.0"

// installGatewayAPI applies the experimental CRDs, in which sessionPersistence is.
func installGatewayAPI(t *testing.T, l *lab.Lab) {
	t.Helper()
	out, err := exec.CommandContext(within(t, time.Minute), "go", "mod", "download", "-json", gatewayAPI).Output()
	if err != nil {
		t.Skipf("no %s: %v", gatewayAPI, err)
	}
	var module struct{ Dir string }
	check(t, json.Unmarshal(out, &module))
	for _, name := range []string{"gateway.networking.k8s.io_gatewayclasses", "gateway.networking.k8s.io_gateways", "gateway.networking.k8s.io_httproutes", "gateway.networking.x-k8s.io_xbackendtrafficpolicies"} {
		text, err := os.ReadFile(filepath.Join(module.Dir, "config", "crd", "experimental", name+".yaml"))
		check(t, err)
		applyWith(t, l, string(text), "--server-side")
	}
	kubectl(t, l, "wait", "--for=condition=Established", "--timeout=30s", "crd/httproutes.gateway.networking.k8s.io", "crd/gateways.gateway.networking.k8s.io", "crd/gatewayclasses.gateway.networking.k8s.io")
}

func applyWith(t *testing.T, l *lab.Lab, text string, flags ...string) {
	t.Helper()
	if out, err := tryApply(t, l, text, flags...); err != nil {
		t.Fatalf("kubectl apply: %v: %s", err, out)
	}
}

func tryApply(t *testing.T, l *lab.Lab, text string, flags ...string) (string, error) {
	t.Helper()
	cmd, err := l.Command(within(t, 40*time.Second), "client", "kubectl", append([]string{"apply", "-f", "-"}, flags...)...)
	check(t, err)
	cmd.Stdin = strings.NewReader(text)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String() + errOut.String(), err
}

const lintedRoutes = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: eg, namespace: infra}
spec:
  gatewayClassName: eg
  listeners: [{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, namespace: chart}
spec:
  parentRefs: [{name: eg, namespace: infra}]
  hostnames: [chat.example.com]
  rules:
  - backendRefs: [{name: msgapp-backend, port: 5000}]
    sessionPersistence: {sessionName: sid}
`

// TestLintAgainstTheAPI holds lint of a cluster to lint of the manifests that were applied to it, and what the API server
// fills in to what was written.
func TestLintAgainstTheAPI(t *testing.T) {
	t.Parallel()
	l := labOf(t, "lint")
	installGatewayAPI(t, l)
	t.Run("chart", func(t *testing.T) { lintChart(t, l) })
	t.Run("defaults", func(t *testing.T) { lintDefaults(t, l) })
	t.Run("applied", func(t *testing.T) { lintApplied(t, l) })
}

func lintChart(t *testing.T, l *lab.Lab) {
	chart, err := os.ReadFile("../../../internal/findings/testdata/msgapp.yaml")
	check(t, err)
	chart = regexp.MustCompile(`(?m)^ *nodeName: .*\n`).ReplaceAll(chart, nil) // of another cluster
	kubectl(t, l, "create", "namespace", "chart")
	kubectl(t, l, "create", "namespace", "infra")
	applyWith(t, l, string(chart), "-n", "chart")
	applyWith(t, l, lintedRoutes)
	// The class is the cluster's: files have to say it, too.
	class := kubectl(t, l, "get", "ingressclass", "-o", "yaml")
	named := strings.NewReplacer("\nmetadata: {", "\nmetadata: {namespace: chart, ", "\nmetadata:\n", "\nmetadata:\n  namespace: chart\n").Replace(string(chart))
	files := findingsIn(t, lintText(t, named+"\n---\n"+lintedRoutes+"\n---\n"+class))
	cluster := findingsIn(t, stickytop(t, l, "lint", "-n", "chart", "-o", "json", "--fail-on", "never"))
	everywhere := findingsIn(t, stickytop(t, l, "lint", "-A", "-o", "json", "--fail-on", "never"))
	t.Logf("of the files: %s", strings.Join(files, "; "))
	// The cluster shows which controller runs, which is Traefik, also to lint -n: what holds for ingress-nginx
	// alone is said of files only.
	ofNginx := []string{"C02 high Ingress/msgapp", "D01 high Ingress/msgapp", "I05 ok Ingress/msgapp", "I06 info Ingress/msgapp", "L01 info IngressClass/nginx"}
	if differ := append(without(files, append(slices.Clone(cluster), ofNginx...)), without(cluster, files)...); len(differ) > 0 {
		t.Errorf("files and cluster differ in %v", differ)
	}
	if lost := without(cluster, everywhere); len(lost) > 0 {
		t.Errorf("-A loses %v", lost)
	}
	for _, f := range ofNginx {
		if slices.Contains(everywhere, f) || slices.Contains(cluster, f) {
			t.Errorf("Traefik alone runs, and %s is said", f)
		}
	}
	if len(files) < 8 {
		t.Errorf("only %v", files)
	}
	got := findingsIn(t, stickytop(t, l, "get", "findings", "ing/msgapp", "-n", "chart", "--no-probe", "--for", "8s", "-o", "json"))
	if !slices.Contains(got, "B10 high Ingress/msgapp") || slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, "mongodb") }) {
		t.Errorf("get findings ing/msgapp = %v", got)
	}
	if lost := without(got, cluster); len(lost) > 0 {
		t.Errorf("get findings has what lint has not: %v", lost)
	}
	routes := stickytop(t, l, "get", "routes", "-n", "chart", "-o", "json")
	if len(routes.out) > 20_000 {
		t.Errorf("get routes prints %d bytes for two routes", len(routes.out))
	}
	for _, words := range []string{`"httproute:chart/chat chat.example.com/"`, `"envoy-gateway"`, `"sid"`} {
		if !strings.Contains(routes.out, words) {
			t.Errorf("get routes lacks %s: %s%s", words, routes.out, routes.err)
		}
	}
}

// lintDefaults gives fixtures of the rules to the API server, and lints what it would keep: all fields are there
// then, with their defaults, and the findings must be those of the fixture.
func lintDefaults(t *testing.T, l *lab.Lab) {
	files, err := filepath.Glob("../../../internal/findings/testdata/*/*.yaml")
	check(t, err)
	rules, err := filepath.Glob("../../../internal/findings/testdata/rules/*/*.yaml")
	check(t, err)
	namespaces := map[string]bool{"default": true, "kube-system": true, "chart": true, "infra": true}
	inNamespace := regexp.MustCompile(`namespace: ([a-z0-9-]+)`)
	// Of the rules' own a third will do: each takes three programs.
	for i, file := range rules {
		if i%3 == 0 {
			files = append(files, file)
		}
	}
	created := regexp.MustCompile(`(?m)^ *creationTimestamp: .*\n`) // not the server's to fill in, in a dry run
	same := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(t, err)
		for _, m := range inNamespace.FindAllStringSubmatch(string(text), -1) {
			if !namespaces[m[1]] {
				namespaces[m[1]] = true
				_, _ = l.Exec(within(t, 20*time.Second), "client", "kubectl", "create", "namespace", m[1])
			}
		}
		filled, err := tryApply(t, l, string(text), "--dry-run=server", "-o", "yaml")
		if err != nil { // a kind that is not installed, or what the server refuses
			continue
		}
		// Objects without a namespace are in default now, all of them.
		want, got := findingsIn(t, lintText(t, created.ReplaceAllString(string(text), ""))), findingsIn(t, lintText(t, created.ReplaceAllString(filled, "")))
		if more, less := without(got, want), without(want, got); len(more)+len(less) > 0 {
			t.Errorf("%s: as the server keeps it there is more %v, less %v", strings.TrimPrefix(file, "../../../internal/findings/testdata/"), more, less)
			continue
		}
		same++
	}
	t.Logf("%d of %d fixtures are the same with defaults", same, len(files))
	if same < 25 {
		t.Errorf("only %d fixtures could be compared", same)
	}
}

// anyResource is a custom resource whose objects may hold anything.
const anyResource = `---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: KIND, plural: PLURAL}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

// lintApplied applies what each rule speaks of to a namespace of its own, where all of them are side by side then, and lints
// the namespaces: each must have the findings of its file, and nothing of its neighbours.
func lintApplied(t *testing.T, l *lab.Lab) {
	for _, of := range [][3]string{{"DestinationRule", "destinationrules", "networking.istio.io"}, {"VirtualService", "virtualservices", "networking.istio.io"}, {"HTTPProxy", "httpproxies", "projectcontour.io"}} {
		applyWith(t, l, strings.NewReplacer("KIND", of[0], "PLURAL", of[1], "GROUP", of[2]).Replace(anyResource))
		kubectl(t, l, "wait", "--for=condition=Established", "--timeout=30s", "crd/"+of[1]+"."+of[2])
	}
	fixtures, err := filepath.Glob("../../../internal/findings/testdata/rules/*/bad.yaml")
	check(t, err)
	elsewhere := regexp.MustCompile(`namespace: (kube-system|ingress-nginx)|creationTimestamp`) // what only one of them can have, or the server gives
	texts := map[string]string{}
	for _, file := range fixtures {
		text, err := os.ReadFile(file)
		check(t, err)
		rule := filepath.Base(filepath.Dir(file))
		namespace := "rule-" + strings.ToLower(rule)
		own := strings.ReplaceAll(string(text), "namespace: shop", "namespace: "+namespace)
		if elsewhere.MatchString(own) {
			continue
		}
		kubectl(t, l, "create", "namespace", namespace)
		if out, err := tryApply(t, l, own); err != nil {
			t.Logf("%s: the server refuses it: %.200s", rule, out)
			continue
		}
		texts[namespace] = own
	}
	if len(texts) < 30 {
		t.Errorf("only %d files could be applied", len(texts))
	}
	// How bad it is depends on what only a cluster has, as the number of nodes.
	bare := func(all []string) []string {
		for i, f := range all {
			words := strings.Fields(f)
			all[i] = words[0] + " " + words[2]
		}
		return all
	}
	// The class, and who serves it: lint -n sees both.
	class := kubectl(t, l, "get", "ingressclass", "-o", "yaml") + "\n---\n" + kubectl(t, l, "get", "deployments", "-n", "ingress", "-o", "yaml")
	for namespace, text := range texts {
		files := bare(findingsIn(t, lintText(t, text+"\n---\n"+class)))
		cluster := bare(findingsIn(t, stickytop(t, l, "lint", "-n", namespace, "-o", "json", "--fail-on", "never")))
		if more, less := without(cluster, files), without(files, cluster); len(more)+len(less) > 0 {
			t.Errorf("%s: the cluster has more %v, less %v", namespace, more, less)
		}
	}
}
