package ingress

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestTraefikVectors(t *testing.T) {
	tests := []struct{ name, sha, fnv, double string }{
		{"http://10.42.0.5:80", "bef67460d38c7acf", "51eeaab165eeee59", "11c000f274c180d5"},
		{"http://10.42.0.6:80", "08e1f9a2357f532a", "5b04d5b16b333734", "9e88af36316707db"},
		{"http://10.42.1.7:8080", "3e64e50773253d5d", "b8192e6f9cda5408", "8b74e55da1b50804"},
		{"https://10.42.1.8:8443", "81bf3e4fb14340ab", "649dfafa3b158ce5", "e86f7886eaab241c"},
		{"http://[fd00:10:42::5]:8080", "9f271361b29e7226", "4ca8c440f0eafdd1", "5e42da7505b27b37"},
		{"h2c://10.42.1.9:9000", "4b02f102d79af01f", "fcf912df458eb78", "aa0628a9c29dc14f"},
		{"default-whoami-80", "3c7eb0accfc70196", "59d5a015bf56395b", "90aecf42b4eaa20b"},
		{"default-whoami-80-canary", "4478972a105f262f", "24a6e60df75bf90c", "2a3a941ff6613d0b"},
	}
	var set affinity.EndpointSet
	var children []string
	for _, tt := range tests {
		if _, addr, ok := strings.Cut(tt.name, "://"); ok {
			set.Current = append(set.Current, endpoints(addr)...)
		} else {
			children = append(children, tt.name)
		}
	}
	table := traefikSticky{children: children}.Table(set)
	for _, tt := range tests {
		for _, value := range []string{tt.sha, tt.fnv, tt.double, tt.name, `"` + tt.sha + `"`} {
			d := table.Lookup(value)
			_, addr, server := strings.Cut(tt.name, "://")
			if !d.Shaped || !d.Exact || d.Gone || !strings.Contains(d.Detail, tt.name) {
				t.Errorf("%s as %s: %+v", tt.name, value, d)
			}
			if server && addrs(d.Endpoints) != addr || !server && (d.Backend != tt.name || len(d.Endpoints) != 0) {
				t.Errorf("%s as %s: %+v", tt.name, value, d)
			}
		}
	}
}

func TestTraefikCookieNames(t *testing.T) {
	tests := []struct{ configured, service, want string }{
		{"", "default-whoami-80@kubernetes", "_1682a"},
		{"", "default-whoami-http@kubernetes", "_fe21f"},
		{"", "default-whoami-80@kubernetescrd", "_9fb22"},
		{"", "default-whoami-sticky@kubernetescrd", "_528e8"},
		{"", "backend", "_76eb3"}, // this and the next: Traefik's own cookie_test.go
		{"", "/my/BACKEND-v1.0~rc1", "_5f7bc"},
		{"my cookie;\x1b=é", "x", "my_cookie____"},
		{"a!#$%&'*+-.^`|~b", "x", "a!#$%&'*+-.^`|~b"},
	}
	for _, tt := range tests {
		if got := traefikCookieName(tt.configured, tt.service); got != tt.want {
			t.Errorf("traefikCookieName(%q, %q) = %q, want %q", tt.configured, tt.service, got, tt.want)
		}
	}
	// From Traefik's own kubernetes_test.go.
	if got := routerName("default", "test.route", "Host(`foo.com`) && PathPrefix(`/bar`)"); got != "default-test-route-6b204d94623b3df4370c" {
		t.Errorf("routerName = %q", got)
	}
	if got := traefikName("default-my_svc.x--80-"); got != "default-my-svc-x-80" {
		t.Errorf("traefikName = %q", got)
	}
}

// TestTraefikSample decodes every cookie recorded from Traefik 3.7.13.
func TestTraefikSample(t *testing.T) {
	type record struct {
		Proxy, Mode, Service, Served string
		Endpoints                    []string
		CookieValue                  string `json:"cookie_value"`
	}
	records := 0
	for i, r := range readLines[record](t, "proxies-sample.jsonl") {
		if r.Proxy != "traefik" {
			continue
		}
		records++
		var set affinity.EndpointSet
		var children []string
		want := r.Served
		for _, e := range r.Endpoints {
			u, err := url.Parse(e)
			if err != nil || u.Host == "" {
				children = append(children, e)
				continue
			}
			set.Current = append(set.Current, endpoints(u.Host)...)
			if u.Host+":80" == r.Served { // as written, without a port
				want = u.Host
			}
		}
		d := traefikSticky{children: children}.Table(set).Lookup(r.CookieValue)
		got := addrs(d.Endpoints)
		if slices.Contains(children, r.Served) {
			got = d.Backend
		}
		if got != want || !d.Exact || !d.Shaped {
			t.Errorf("line %d (%s, %s): %+v, want %s", i+1, r.Mode, r.CookieValue, d, want)
		}
	}
	if records != 46 {
		t.Errorf("%d records, want 46", records)
	}
}

func TestTraefikGone(t *testing.T) {
	set := affinity.EndpointSet{Current: endpoints("10.42.0.6:80"), Gone: endpoints("10.42.0.5:80", "10.42.0.6:80")}
	table := traefikSticky{}.Table(set)
	if d := table.Lookup("bef67460d38c7acf"); !d.Gone || addrs(d.Endpoints) != "10.42.0.5:80" {
		t.Errorf("gone: %+v", d)
	}
	if d := table.Lookup("08e1f9a2357f532a"); d.Gone || addrs(d.Endpoints) != "10.42.0.6:80" {
		t.Errorf("current and gone: %+v", d)
	}
	for value, shaped := range map[string]bool{"": false, "abc": false, "ffffffffffffffff": true, "h2c://1.2.3.4:5": true, "FFFFFFFFFFFFFFFF": false} {
		if d := table.Lookup(value); d.Shaped != shaped || len(d.Endpoints) != 0 {
			t.Errorf("%q: %+v", value, d)
		}
	}
	set.Current[0].Ready, set.Current[0].Serving = false, false
	if d := (traefikSticky{}).Table(set).Lookup("08e1f9a2357f532a"); !d.Hit() || !strings.Contains(d.Detail, "not serving") {
		t.Errorf("not serving: %+v", d)
	}
}

func TestParseMatch(t *testing.T) {
	tests := []struct {
		rule string
		want []matched
		ok   bool
	}{
		{"Host(`A.example.com`)", []matched{{host: "a.example.com"}}, true},
		{`Host("a") && PathPrefix("/x")`, []matched{{host: "a", path: "/x", kind: "Prefix"}}, true},
		{"Host(`a`, `b`) && Path(`/x`)", []matched{{host: "a", path: "/x", kind: "Exact"}, {host: "b", path: "/x", kind: "Exact"}}, true},
		{"(Host(`a`)||Host(`b`))&&(PathPrefix(`/x`)||PathRegexp(`^/y`))", []matched{
			{host: "a", path: "/x", kind: "Prefix"}, {host: "a", path: "^/y", kind: "Regexp"},
			{host: "b", path: "/x", kind: "Prefix"}, {host: "b", path: "^/y", kind: "Regexp"}}, true},
		{"Host(`a`) && Headers(`X`, `y`)", []matched{{host: "a", more: true}}, true},
		{"Host(`a`) && !Path(`/x`)", []matched{{host: "a", more: true}}, true},
		{"Host(`a`) && Host(`b`)", []matched{{host: "a", more: true}}, true},
		{"PathPrefix(`/a`) && PathPrefix(`/a/b`)", []matched{{path: "/a/b", kind: "Prefix", more: true}}, true},
		{"", []matched{{more: true}}, false},
		{"Host(`a`", []matched{{more: true}}, false},
		{"Host(a)", []matched{{more: true}}, false},
		{"Host()", []matched{{more: true}}, false},
		{"Host(`a`) Path(`/`)", []matched{{more: true}}, false},
		{"(Host(`a`)", []matched{{more: true}}, false},
		{strings.Repeat("(", 100) + "Host(`a`)" + strings.Repeat(")", 100), []matched{{more: true}}, false},
		{"Host(" + strings.Repeat("`a`,", 99) + "`a`)", []matched{{more: true}}, false},
		{strings.Repeat("(Host(`a`)||Host(`b`))&&", 20) + "Host(`a`)", []matched{{more: true}}, false},
		{"Host(`" + strings.Repeat("a", maxRule) + "`)", []matched{{more: true}}, false},
	}
	for _, tt := range tests {
		if got, ok := parseMatch(tt.rule); ok != tt.ok || !slices.Equal(got, tt.want) {
			t.Errorf("parseMatch(%.60s) = %+v, %v; want %+v, %v", tt.rule, got, ok, tt.want, tt.ok)
		}
	}
}
