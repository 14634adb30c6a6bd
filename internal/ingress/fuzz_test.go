package ingress

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var seeds = []string{
	"", "|", "||", "a4218db18517898613a5b988c1d68087|" + webKey, "1767225601.5.31.42|" + webKey, "1795423814.7045.649583",
	"bef67460d38c7acf", `"bef67460d38c7acf"`, "fcf912df458eb78", "http://10.42.0.5:80", "default-web-80", "\x1b]0;x\x07|\xff", `"`,
	strings.Repeat("9", 1000), strings.Repeat("|", 1000),
}

// fuzzDecoder checks what every table owes: no panic, the same answer twice,
// text fit to be shown, and no endpoint that was not given.
func fuzzDecoder(f *testing.F, d affinity.Decoder) {
	set := affinity.EndpointSet{Current: endpoints(web3...), Gone: endpoints("10.42.0.5:80", "[fd00:10:42::5]:8080")}
	set.Current[2].Ready = false
	known := map[string]bool{}
	for _, e := range append(set.Current, set.Gone...) {
		known[e.Addr] = true
	}
	table := d.Table(set)
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := table.Lookup(value)
		if again := table.Lookup(value); !reflect.DeepEqual(got, again) {
			t.Fatalf("Lookup(%q) = %+v, then %+v", value, got, again)
		}
		printable(t, got.Detail, got.Backend)
		for _, e := range got.Endpoints {
			if !known[e.Addr] {
				t.Fatalf("Lookup(%q) invents %s", value, e.Addr)
			}
		}
		if got.Exact && len(got.Endpoints) == 0 && got.Backend == "" {
			t.Fatalf("Lookup(%q) is exact about nothing: %+v", value, got)
		}
	})
}

// printable fails when a text is not what affinity.Clean would leave.
func printable(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if affinity.Clean(s, 4*maxPath) != s {
			t.Fatalf("not fit to be shown: %q", s)
		}
	}
}

func FuzzNginxPersistent(f *testing.F) {
	fuzzDecoder(f, nginxPersistent{backend: "default-web-80", partner: "default-canary-80", keys: newBackendKeys([]string{"default-other-80", "x\x1by"})})
}

func FuzzNginxBalanced(f *testing.F) {
	fuzzDecoder(f, nginxBalanced{backend: "default-web-80", partner: "default-canary-80", keys: newBackendKeys([]string{"default-other-80", "x\x1by"})})
}

func FuzzTraefik(f *testing.F) {
	fuzzDecoder(f, traefikSticky{children: []string{"default-web-80", "x\x1by"}})
}

// FuzzAnnotations builds routes of arbitrary annotations, paths, hosts, names
// and rules. Whatever they hold, every text of every route is fit to be shown
// and every probe's path fit for a request.
func FuzzAnnotations(f *testing.F) {
	f.Add("affinity", "cookie", "session-cookie-max-age", "10800", "/app(/|$)(.*)", "a.example.com", "Host(`a`) && PathPrefix(`/x`)", "/healthz")
	f.Add("affinity-mode", "persistent", "session-cookie-path", "/\x1b[2J", "/\u202e", "*.example.com", "!(Host(`a`) || Path(`/`))", "/?a b")
	f.Add("session-cookie-expires", "-99999999999999999999", "upstream-hash-by", "$x", "", "", "PathRegexp(`^/(a{2,9}[^x-z]|b)+$`)", "")
	f.Add("canary", "true", "affinity-canary-behavior", "legacy", "/(a{1000}){1000}", "\xff", "((((", "healthz?x#y")
	f.Add("affinity", "cookie", "", "", "$", "", "", "")
	f.Add("cookie-persistence", "SRV x", "cookie-persistence-no-dynamic", "\x1b[2J", "/", "a.example.com", "", "")
	f.Add("sticky-cookie-services", "serviceName=web id expires=9999999999d;serviceName=", "session-cookie-keywords", "maxidle 99999999999d attr SameSite=\x1b", "/", "a", "", "")
	f.Add("target-group-attributes", "stickiness.enabled=true,stickiness.type=app_cookie,=,", "backend-config", `{"ports":{"80":"\u001b"}}`, "/", "a", "", "")
	f.Add("upstream-policy", "x", "cookie_name", "\x00", "/", "a", "", "")
	f.Add("affinity", "cookie", "", "", "/", "", "", "/?\x80")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2, path, host, match, ready string) {
		annotations := map[string]string{}
		prefixes := append([]string{nginxPrefix, traefikPrefix + "service.sticky.cookie.", traefikPrefix + "service.", "nginx.org/", "nginx.com/", "konghq.com/",
			openshiftPrefix, "router.openshift.io/", awsPrefix, azurePrefix, "cloud.google.com/"}, append(haproxytechPrefixes, haproxyIngressPrefixes...)...)
		for _, prefix := range prefixes {
			annotations[prefix+key1], annotations[prefix+key2] = value1, value2
		}
		sticky := map[string]string{nginxPrefix + "affinity": "cookie", nginxPrefix + key2: value2}
		ref := affinity.ServiceRef{Namespace: "default", Name: "web"}
		rules := []Rule{{Host: host, Paths: []Path{{path, "ImplementationSpecific", Backend{Service: "web", PortNumber: 80}}, {path, "Prefix", Backend{Service: "web", PortName: value1}}}}}
		routes := Build(Objects{
			Ingresses: []Ingress{
				{Namespace: "default", Name: "a", ClassName: "nginx", Annotations: annotations, Rules: rules},
				{Namespace: "default", Name: "b", ClassName: "nginx", Annotations: sticky, Rules: rules, TLS: []TLS{{Hosts: []string{host}}}},
				{Namespace: "default", Name: "c", ClassName: "traefik", Annotations: annotations, Rules: rules, DefaultBackend: &Backend{Service: "web", PortNumber: 80}},
				{Namespace: "default", Name: "d", ClassName: value1, Rules: rules},
				{Namespace: "default", Name: "f", ClassName: "haproxy", Annotations: annotations, Rules: rules},
				{Namespace: "default", Name: "g", ClassName: "nginx-org", Annotations: annotations, Rules: rules},
				{Namespace: "default", Name: "h", ClassName: "kong", Annotations: annotations, Rules: rules},
				{Namespace: "default", Name: "i", ClassName: "openshift-default", Annotations: annotations, Rules: rules, TLS: []TLS{{Hosts: []string{host}}}},
				{Namespace: "default", Name: "j", ClassName: "alb", Annotations: annotations, Rules: rules},
				{Namespace: "default", Name: "k", ClassName: "gce", Annotations: annotations, Rules: rules},
				{Namespace: "default", Name: "l", ClassName: "azure-application-gateway", Annotations: annotations, Rules: rules},
				{Namespace: "default", Name: "m", ClassName: "istio", Annotations: annotations, Rules: rules},
			},
			Services:      []Service{{Namespace: "default", Name: "web", ClusterIP: "10.96.0.10", Ports: []ServicePort{{Name: "http", Port: 80}}, Annotations: annotations}},
			IngressRoutes: []IngressRoute{{Namespace: "default", Name: "e", Routes: []IngressRouteRule{{Match: match, Services: []TraefikBackend{{Name: value1, Port: value2, Sticky: &TraefikCookie{Name: value2, Path: &path}}}}}}},
			Readiness:     map[ServicePortKey]string{{ref, 80}: ready},
		})
		seen := map[affinity.RouteID]bool{}
		for _, r := range routes {
			if seen[r.ID] {
				t.Fatalf("two routes have the ID %q", r.ID)
			}
			seen[r.ID] = true
			checkRoute(t, r)
		}
	})
}

func checkRoute(t *testing.T, r affinity.Route) {
	t.Helper()
	printable(t, string(r.ID), r.Name, r.Host, r.Path, r.PathType, r.Class, r.ProbeWhy, r.Backend.Port, r.Backend.Service.Name)
	printable(t, r.Notes...)
	if !strings.HasPrefix(r.ProbePath, "/") || strings.ContainsFunc(r.ProbePath, func(c rune) bool { return c <= ' ' || c > '~' }) || !utf8.ValidString(r.ProbePath) {
		t.Fatalf("%s: probe path %q is not fit for a request", r.ID, r.ProbePath)
	}
	for _, l := range r.Layers {
		printable(t, l.Object, l.Bypassed)
		for _, p := range l.Candidates {
			printable(t, p.Why, p.Controller, p.Mode, p.Cookie.Name, p.Cookie.Path, p.Cookie.Domain, p.Cookie.SameSite)
			printable(t, p.Notes...)
		}
	}
}

// FuzzCustom builds routes of an arbitrary object of every custom kind, beside
// those it may refer to.
func FuzzCustom(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range seeds {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, doc := range strings.Split(string(archive.Files[0].Data), "\n---\n") {
			if raw, err := yaml.YAMLToJSON([]byte(doc)); err == nil {
				f.Add(raw)
			}
		}
	}
	f.Add([]byte(`{"spec":{"virtualhost":{},"includes":[{"name":"x"},{"name":"x"}]}}`))
	f.Add([]byte(`{"spec":{"rules":[{"matches":[{"path":{"type":"RegularExpression","value":"(((("}}]}],"parentRefs":[{"name":"x"}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o := Objects{Services: []Service{{Namespace: "default", Name: "web", ClusterIP: "10.96.0.10", Ports: []ServicePort{{Name: "http", Port: 80}},
			Annotations: map[string]string{kongUpstreamAnnotation: "x", gceConfigAnnotation: `{"default":"x"}`}}}}
		for _, k := range CustomKinds {
			parsed, err := k.Parse(raw)
			if err != nil {
				continue
			}
			for _, name := range []string{"x", "y"} {
				o.Custom = append(o.Custom, Custom{Key: k.Key, Namespace: "default", Name: name, Parsed: parsed})
			}
		}
		for _, class := range []string{"kong", "gce", "istio"} {
			o.Ingresses = append(o.Ingresses, Ingress{Namespace: "default", Name: class, ClassName: class,
				Rules: []Rule{{Paths: []Path{{"/", "Prefix", Backend{Service: "web", PortNumber: 80}}}}}})
		}
		for _, r := range Build(o) {
			checkRoute(t, r)
		}
	})
}

func FuzzParseMatch(f *testing.F) {
	f.Add("(Host(`a`)||Host(`b`))&&(PathPrefix(`/x`)||!PathRegexp(`^/y`))")
	f.Fuzz(func(t *testing.T, rule string) {
		all, ok := parseMatch(rule)
		if len(all) == 0 || len(all) > maxAlternatives || !ok && !all[0].more {
			t.Fatalf("parseMatch(%q) = %+v, %v", rule, all, ok)
		}
	})
}
