package kube

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestPermissions(t *testing.T) {
	s := newAPIServer(t)
	s.denied = func(a authorizationv1.ResourceAttributes) bool {
		return a.Resource == "endpointslices" && a.Verb == "watch" || a.Resource == "ingressclasses" || a.Subresource == "portforward" || a.Resource == "namespaces"
	}
	src, err := New(s.config(), chatOptions())
	if err != nil {
		t.Fatal(err)
	}
	access, err := src.Permissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if access.User != "alice" || access.Namespace != "chat" {
		t.Errorf("access of %q in %q, want alice in chat", access.User, access.Namespace)
	}
	got := map[string]Permission{}
	for _, p := range access.Rows {
		got[p.Resource] = p
	}
	if p := got["endpointslices"]; p.Get != Allowed || p.List != Allowed || p.Watch != Denied || p.OK() {
		t.Errorf("endpointslices = %+v", p)
	}
	if p := got["pods"]; !p.OK() || p.Create != Unasked || p.Without != "pods by name alone; no state, drain or age" {
		t.Errorf("pods = %+v", p)
	}
	if p := got["pods/portforward"]; p.Create != Denied || p.Get != Unasked {
		t.Errorf("pods/portforward = %+v", p)
	}
	missing, all := access.Missing(false), access.Missing(true)
	if len(missing) != 2 || len(all) != 4 {
		t.Errorf("missing %v, with the optional %v", missing, all)
	}
	if p := got["jobs"]; p.Group != "batch" || !p.OK() || p.Delete != Allowed || p.Get != Unasked {
		t.Errorf("jobs = %+v", p)
	}
	s.fail("* create", refuse(401, metav1.StatusReasonUnauthorized, "Unauthorized"))
	if _, err := src.Permissions(t.Context()); !strings.Contains(problem(t, err).What, "401") {
		t.Errorf("Permissions() = %v, want 401 said", err)
	}
}

func TestRoleYAML(t *testing.T) {
	docs := strings.Split(RoleYAML("chat", Wanted()), "---\n")
	if len(docs) != 2 {
		t.Fatalf("%d documents, want a Role and a ClusterRole:\n%s", len(docs), strings.Join(docs, "---\n"))
	}
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte(docs[0]), &role); err != nil {
		t.Fatalf("%v in\n%s", err, docs[0])
	}
	if role.Kind != "Role" || role.Namespace != "chat" || !grants(role.Rules, "", "pods", "watch") ||
		!grants(role.Rules, "discovery.k8s.io", "endpointslices", "list") || !grants(role.Rules, "", "pods/portforward", "create") || grants(role.Rules, "", "pods", "create") {
		t.Errorf("role = %+v", role)
	}
	var cluster rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(docs[1]), &cluster); err != nil {
		t.Fatalf("%v in\n%s", err, docs[1])
	}
	if cluster.Kind != "ClusterRole" || !grants(cluster.Rules, "networking.k8s.io", "ingressclasses", "list") {
		t.Errorf("cluster role = %+v", cluster)
	}
	if got := RoleYAML("", Wanted()); strings.Contains(got, "kind: Role\n") {
		t.Errorf("a role for all namespaces must be a ClusterRole:\n%s", got)
	}
	if got := RoleYAML("chat", nil); got != "" {
		t.Errorf("RoleYAML of nothing = %q", got)
	}
	if got := RoleYAML("a: b\n- c", Wanted()[:1]); !strings.Contains(got, `namespace: "a: b\n- c"`) {
		t.Errorf("an odd namespace broke out of its string:\n%s", got)
	}
}

// TestRoleOfAgents: the Role to ask for has what agents are checked for, when
// agents are asked for.
func TestRoleOfAgents(t *testing.T) {
	s := newAPIServer(t)
	s.denied = func(a authorizationv1.ResourceAttributes) bool {
		return a.Resource == "jobs" || a.Resource == "nodes" || a.Subresource == "portforward"
	}
	src, err := New(s.config(), chatOptions())
	if err != nil {
		t.Fatal(err)
	}
	access, err := src.Permissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows := access.Missing(false); len(rows) != 0 {
		t.Errorf("asked for though no agents are: %v", rows)
	}
	access.NeedAgents(true)
	docs := strings.Split(RoleYAML("chat", access.Missing(false)), "---\n")
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte(docs[0]), &role); err != nil {
		t.Fatal(err)
	}
	for _, r := range append(append([]right{}, rightsToMake...), rightsToUse...) {
		if r.resource != "pods" && !grants(role.Rules, r.group, r.resource, r.verb) {
			t.Errorf("the Role lacks %s:\n%s", r, docs[0])
		}
	}
	if len(docs) != 2 || !strings.Contains(docs[1], `resources: ["nodes"]`) {
		t.Errorf("nodes are not in a ClusterRole:\n%s", strings.Join(docs, "---\n"))
	}
}

// TestRoleForMoreOfARun: what a run's options take is asked for with them, and
// not without.
func TestRoleForMoreOfARun(t *testing.T) {
	for _, tt := range []struct {
		need           func(*Access)
		resource, verb string
	}{{(*Access).NeedLogs, "pods/log", "get"}, {(*Access).NeedForward, "pods/portforward", "create"}} {
		access := Access{Rows: Wanted()}
		role := func() []rbacv1.PolicyRule {
			var r rbacv1.Role
			if err := yaml.UnmarshalStrict([]byte(strings.Split(RoleYAML("chat", access.Missing(false)), "---\n")[0]), &r); err != nil {
				t.Fatal(err)
			}
			return r.Rules
		}
		if grants(role(), "", tt.resource, tt.verb) {
			t.Errorf("%s is asked for, though not needed", tt.resource)
		}
		if tt.need(&access); !grants(role(), "", tt.resource, tt.verb) {
			t.Errorf("%s is needed, and not asked for: %v", tt.resource, role())
		}
	}
}

func grants(rules []rbacv1.PolicyRule, group, resource, verb string) bool {
	has := func(all []string, s string) bool {
		for _, x := range all {
			if x == s {
				return true
			}
		}
		return false
	}
	for _, r := range rules {
		if has(r.APIGroups, group) && has(r.Resources, resource) && has(r.Verbs, verb) {
			return true
		}
	}
	return false
}

// problem unwraps a *Problem, which every error for a person is.
func problem(t *testing.T, err error) *Problem {
	t.Helper()
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		t.Fatalf("error %v is no *Problem", err)
	}
	return p
}

func TestLookup(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.put(testIngress("shop", "frontend", "shop.example.com", "web"))
	for _, n := range []string{"chat", "shop", "empty"} {
		s.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n}})
	}
	tests := []struct {
		name       string
		namespace  string
		target     affinity.Target
		what, hint string
	}{
		{"there", "chat", affinity.Target{Kind: "ingress", Name: "web"}, "", ""},
		{"nothing named", "chat", affinity.Target{}, "", ""},
		{"a URL", "chat", affinity.Target{Kind: "url", Name: "http://x/"}, "", ""},
		{"service there", "chat", affinity.Target{Kind: "service", Name: "web"}, "", ""},
		{"a slip", "chat", affinity.Target{Kind: "ingress", Name: "wbe"}, `ingress "wbe" not found in namespace "chat"`, "did you mean web?"},
		{"elsewhere", "chat", affinity.Target{Kind: "ingress", Name: "frontend"}, `ingress "frontend" not found in namespace "chat"`, "it is in namespace shop: add -n shop"},
		{"target's namespace wins", "chat", affinity.Target{Kind: "ingress", Namespace: "shop", Name: "frontend"}, "", ""},
		{"what there is", "chat", affinity.Target{Kind: "ingress", Name: "nothing-alike"}, `ingress "nothing-alike" not found in namespace "chat"`, "there is: web"},
		{"none there", "empty", affinity.Target{Kind: "service", Name: "x"}, `service "x" not found in namespace "empty"`, "there is no service in this namespace; -A looks in all"},
		{"no such namespace", "chta", affinity.Target{Kind: "ingress", Name: "web"}, `namespace "chta" not found`, "did you mean chat?"},
		{"anywhere", "", affinity.Target{Kind: "ingress", Name: "frontend"}, "", ""},
		{"nowhere", "", affinity.Target{Kind: "ingress", Name: "frontent"}, `ingress "frontent" not found in any namespace`, "did you mean frontend?"},
		{"escapes", "chat", affinity.Target{Kind: "ingress", Name: "x\x1b[2J"}, `ingress "x·[2J" not found in namespace "chat"`, "there is: web"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := New(s.config(), Options{Namespace: tt.namespace})
			if err != nil {
				t.Fatal(err)
			}
			err = src.Lookup(t.Context(), tt.target)
			if tt.what == "" {
				if err != nil {
					t.Errorf("Lookup() = %v, want nil", err)
				}
				return
			}
			if p := problem(t, err); p.What != tt.what || p.Hint != tt.hint {
				t.Errorf("Lookup() = %q, hint %q\nwant       %q, hint %q", p.What, p.Hint, tt.what, tt.hint)
			}
		})
	}
}

// TestThereIs: a hint that cannot name all says so, and names the likeliest.
func TestThereIs(t *testing.T) {
	for _, tt := range []struct {
		want  string
		names string
		hint  string
	}{
		{"nope", "web", "there is: web"},
		{"nope", "echo echo-canary echo-dup echo2 loose msgapp none nosvc web-front zebra", "there is: none, loose, nosvc, echo and 6 more"},
		{"nope", "d c b a", "there is: a, b, c, d"},
	} {
		if got := thereIs(tt.want, strings.Fields(tt.names)); got != tt.hint {
			t.Errorf("of %s: %q, want %q", tt.names, got, tt.hint)
		}
	}
}

func TestLookupFaults(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	src, err := New(s.config(), chatOptions())
	if err != nil {
		t.Fatal(err)
	}
	target := affinity.Target{Kind: "ingress", Name: "web"}
	s.fail("* *", forbid("it"))
	if err := src.Lookup(t.Context(), target); err != nil {
		t.Errorf("forbidden: %v, want nil: what may not be asked is not missing", err)
	}
	s.fail("* *", refuse(401, metav1.StatusReasonUnauthorized, "Unauthorized"))
	if p := problem(t, src.Lookup(t.Context(), target)); !strings.Contains(p.What, "does not accept these credentials (401)") || !strings.Contains(p.Hint, "log in again") {
		t.Errorf("401: %q, hint %q", p.What, p.Hint)
	}
	s.stop()
	if p := problem(t, src.Lookup(t.Context(), target)); !strings.Contains(p.What, "cannot reach the API server http://127.0.0.1") || !strings.Contains(p.What, "refused") {
		t.Errorf("no server: %q, hint %q", p.What, p.Hint)
	}
	s.restart()
	s.freeze()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := src.Lookup(ctx, target); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good", `{apiVersion: v1, kind: Config, current-context: lab, contexts: [{name: lab, context: {cluster: c, user: u, namespace: chat}}],
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: t}}]}`)
	tests := []struct {
		name, path, context string
		what, hint          string
	}{
		{"good", good, "", "", ""},
		{"no such file", filepath.Join(dir, "nope"), "", "nope\" does not exist", "--kubeconfig"},
		{"no such context", good, "lob", `context "lob" not found in the kubeconfig`, "did you mean lab?"},
		{"another context", good, "production", `context "production" not found in the kubeconfig`, "there is: lab"},
		{"empty", write("empty", ""), "", "no kubeconfig: nothing says where the cluster is", "stickytop demo"},
		{"not YAML", write("junk", "{{{{"), "", "the kubeconfig cannot be read", "kubectl config view"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: tt.path}
			loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: tt.context})
			cfg, namespace, err := Config(loader, tt.context)
			if tt.what == "" {
				if err != nil || namespace != "chat" || cfg.Host != "https://127.0.0.1:1" {
					t.Errorf("Config() = %v, %q, %v", cfg, namespace, err)
				}
				return
			}
			if p := problem(t, err); !strings.Contains(p.What, tt.what) || !strings.Contains(p.Hint, tt.hint) {
				t.Errorf("Config() = %q, hint %q", p.What, p.Hint)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := []string{"msgapp", "msgapp-backend", "shop", "db"}
	for want, near := range map[string]string{"msgap": "msgapp msgapp-backend", "shpo": "shop", "msgapp-web": "msgapp", "zzzz": "", "": ""} {
		if got := strings.Join(nearest(want, names), " "); got != near {
			t.Errorf("nearest(%q) = %q, want %q", want, got, near)
		}
	}
}

// TestAsked: a Service that cannot be asked itself is told before anything is
// made for it.
func TestAsked(t *testing.T) {
	s := newAPIServer(t)
	service := func(name string, change func(*corev1.ServiceSpec)) {
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "chat", Name: name}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7", Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}}}}
		change(&svc.Spec)
		s.put(svc)
	}
	service("web", func(*corev1.ServiceSpec) {})
	service("db", func(spec *corev1.ServiceSpec) { spec.ClusterIP = corev1.ClusterIPNone })
	service("far", func(spec *corev1.ServiceSpec) {
		spec.ClusterIP, spec.Type, spec.ExternalName = "", corev1.ServiceTypeExternalName, "a.example"
	})
	src, err := New(s.config(), Options{Namespace: "chat"})
	if err != nil {
		t.Fatal(err)
	}
	for target, what := range map[affinity.Target]string{
		{Name: "web"}:               "",
		{Name: "web", Port: "80"}:   "",
		{Name: "web", Port: "http"}: "",
		{Name: "not-there"}:         "",
		{Name: "db"}:                "svc/db is headless",
		{Name: "far"}:               "svc/far is of type ExternalName",
		{Name: "web", Port: "53"}:   "svc/web has no TCP port 53",
	} {
		target.Kind = "service"
		switch err := src.Asked(t.Context(), target); {
		case what == "" && err != nil:
			t.Errorf("%s:%s: %v", target.Name, target.Port, err)
		case what != "" && !strings.Contains(problem(t, err).What, what):
			t.Errorf("%s:%s: %v, want %q", target.Name, target.Port, err, what)
		}
	}
}

// TestRoleOfControllers: what tells which controller runs, and where, is optional,
// takes a list in all namespaces, and says what for.
func TestRoleOfControllers(t *testing.T) {
	s := newAPIServer(t)
	s.denied = func(a authorizationv1.ResourceAttributes) bool {
		return a.Namespace == "" && (a.Resource == "deployments" || a.Resource == "daemonsets" || a.Resource == "services")
	}
	src, err := New(s.config(), chatOptions())
	if err != nil {
		t.Fatal(err)
	}
	access, err := src.Permissions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows := access.Missing(false); len(rows) != 0 {
		t.Errorf("asked for though nothing is broken without: %v", rows)
	}
	rows := access.Missing(true)
	for _, p := range rows {
		if p.Without == "" || p.List != Denied || p.Get != Unasked || p.Watch != Unasked {
			t.Errorf("%+v", p)
		}
	}
	text := RoleYAML("chat", rows)
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(text), &role); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if role.Kind != "ClusterRole" || len(role.Rules) != 2 || !grants(role.Rules, "apps", "deployments", "list") || !grants(role.Rules, "apps", "daemonsets", "list") ||
		!grants(role.Rules, "", "services", "list") || strings.Count(text, "# in all namespaces, by label: ") != 2 {
		t.Errorf("the Role to ask for is\n%s", text)
	}
	all := chatOptions()
	all.AllNamespaces = true
	s.denied = nil
	if src, err = New(s.config(), all); err != nil {
		t.Fatal(err)
	}
	if access, err = src.Permissions(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range access.Rows {
		if p.For != "" {
			t.Errorf("of all namespaces, %s is asked for twice", p)
		}
	}
}
