package kube

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// object reads one YAML document.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

const (
	gatewayYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: infra, name: eg}
spec: {gatewayClassName: eg, listeners: [{name: http, protocol: HTTP, port: 80}]}
status: {addresses: [{type: IPAddress, value: 203.0.113.7}]}`
	classYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}`
	routeYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: chat, name: web, labels: {team: a}}
spec:
  parentRefs: [{name: eg, namespace: infra}]
  hostnames: [g.example.com]
  rules:
  - backendRefs: [{name: web, port: 5000}]
    sessionPersistence: {sessionName: sid}`
)

func TestCustomObjects(t *testing.T) {
	s := newAPIServer(t, withCustom)
	chat(s)
	s.put(object(t, gatewayYAML), object(t, classYAML), object(t, routeYAML))
	r := watchServer(t, s, chatOptions())
	if got := r.state("httproutes", affinity.SourceLive); got.Objects != 1 || got.Group != "gateway.networking.k8s.io" {
		t.Errorf("httproutes = %+v, want one", got)
	}
	find := func(e affinity.Routes, name string) affinity.Route {
		for _, x := range e.Routes {
			if x.Kind == affinity.RouteHTTPRoute && x.Policy().Cookie.Name == name {
				return x
			}
		}
		return affinity.Route{}
	}
	e, _ := await(r, 0, "the HTTPRoute", func(e affinity.Routes) bool { return find(e, "sid").Name == "web" })
	if got := find(e, "sid"); len(got.Addresses) != 1 || got.Addresses[0] != "203.0.113.7" || got.Policy().Controller != "envoy-gateway" {
		t.Errorf("route = %+v, want the address of its Gateway in another namespace", got)
	}
	from := r.mark()
	s.put(object(t, strings.Replace(routeYAML, "sid", "other", 1)))
	edit, _ := await(r, from, "edit of the HTTPRoute", func(e affinity.ClusterEvent) bool { return e.Subject == "HTTPRoute web" })
	if edit.Text != "changed" || edit.Route == "" {
		t.Errorf("edit = %+v", edit)
	}
	await(r, from, "the edited HTTPRoute", func(e affinity.Routes) bool { return find(e, "other").Name == "web" })
	from = r.mark()
	s.put(object(t, strings.Replace(routeYAML, "sid", "other", 1)+"\nstatus: {parents: []}"))
	s.del(object(t, routeYAML))
	gone, _ := await(r, from, "the HTTPRoute's end", func(e affinity.ClusterEvent) bool { return e.Subject == "HTTPRoute web" })
	if gone.Text != "deleted" {
		t.Errorf("a status is told as an edit: %+v", gone)
	}
}

// A wide kind that may not be listed everywhere is listed in the namespace.
func TestWideKindsNarrow(t *testing.T) {
	s := newAPIServer(t, withCustom)
	chat(s)
	s.fail("gateways list", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/namespaces/chat/") {
			s.serveList(w, r, call{group: "gateway.networking.k8s.io", version: "v1", resource: "gateways", namespace: "chat"})
			return
		}
		forbid("gateways")(w, r)
	})
	s.put(object(t, strings.Replace(gatewayYAML, "infra", "chat", 1)), object(t, gatewayYAML))
	r := watchServer(t, s, chatOptions())
	if got := r.state("gateways", affinity.SourceLive); got.Objects != 1 {
		t.Errorf("gateways = %+v, want that of the namespace", got)
	}
}

// TestRoleCoversWhatIsAsked holds the Role that is printed against every
// request that a watch and a survey make.
func TestRoleCoversWhatIsAsked(t *testing.T) {
	s := newAPIServer(t, withCustom, withTraefik)
	chat(s)
	s.put(object(t, gatewayYAML), object(t, classYAML), object(t, routeYAML))
	r := watchServer(t, s, chatOptions())
	for _, k := range kinds {
		r.state(k.name, affinity.SourceLive)
	}
	if _, err := Survey(t.Context(), s.config(), chatOptions()); err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds { // each is watched, too
		for until := time.Now().Add(10 * time.Second); s.seen("watch "+k.name+" ") == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s is not watched", k.name)
			}
		}
	}
	var rules []rbacv1.PolicyRule
	for _, doc := range strings.Split(RoleYAML("chat", Wanted()), "---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
			t.Fatal(err)
		}
		rules = append(rules, role.Rules...)
	}
	asked := map[string]bool{}
	s.mu.Lock()
	for _, line := range s.requests {
		verb, rest, _ := strings.Cut(line, " ")
		resource, _, _ := strings.Cut(rest, " ")
		_, group, _ := strings.Cut(line, "group=")
		if verb == "list" || verb == "watch" || verb == "get" {
			asked[verb+" "+resource+" "+group] = true
		}
	}
	s.mu.Unlock()
	if len(asked) < 2*len(kinds) {
		t.Fatalf("only %d kinds of requests were made", len(asked))
	}
	for a := range asked {
		f := strings.SplitN(a, " ", 3)
		if !grants(rules, f[2], f[1], f[0]) {
			t.Errorf("%s of group %q is asked for, and no rule grants it", strings.Join(f[:2], " "), f[2])
		}
	}
}

// Every kind has what its table promises.
func TestCustomKindsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range ingress.CustomKinds {
		if k.Group() == "" || k.Resource() == "" || k.Version == "" || k.Kind == "" || k.Loss == "" || k.New == nil {
			t.Errorf("%+v lacks something", k)
		}
		if seen[k.Key] {
			t.Errorf("%s is there twice: objects go by that name", k.Key)
		}
		seen[k.Key] = true
		if _, err := k.Parse([]byte(`{}`)); err != nil {
			t.Errorf("%s: %v", k.Key, err)
		}
	}
}

// TestKindsOfOneName: resources of two groups may have one name. What is kept of
// them is kept apart, and sources tell which is meant.
func TestKindsOfOneName(t *testing.T) {
	all := kinds
	t.Cleanup(func() { kinds = all })
	apisix := kind{group: "apisix.apache.org", version: "v1alpha1", name: "backendtrafficpolicies", custom: "BackendTrafficPolicy"}
	kinds = append(slices.Clone(all), apisix)
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.group == "gateway.envoyproxy.io" })
	envoy := kinds[i]
	if envoy.key() == apisix.key() || envoy.title() != "backendtrafficpolicies.gateway.envoyproxy.io" || apisix.title() != "backendtrafficpolicies.apisix.apache.org" {
		t.Errorf("%q, %q are called %q, %q", envoy.key(), apisix.key(), envoy.title(), apisix.title())
	}
	if k, _ := kindOf("service"); k.title() != "services" {
		t.Errorf("Services are called %q", k.title())
	}
	w := newWorld(func(affinity.Event) {}, nil, []*watcher{{resource: resource{kind: envoy}}, {resource: resource{kind: apisix}}})
	w.stores[apisix.key()] = newTable(func(key, *routeObject[ingress.Custom], *routeObject[ingress.Custom]) {})
	w.apply(change{resource: envoy.key(), kind: changeReplace}, time.Now())
	w.apply(change{resource: apisix.key(), kind: changeStatus, status: status{state: affinity.SourceForbidden}}, time.Now())
	var o ingress.Objects
	w.customObjects(&o)
	if o.CustomUnread[envoy.key()] || w.status[envoy.key()].State == affinity.SourceForbidden || w.status[apisix.key()].Name != apisix.title() {
		t.Errorf("%v, %+v", o.CustomUnread, w.status)
	}
}
