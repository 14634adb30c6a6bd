package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestTarget(t *testing.T) {
	chat := affinity.Route{Kind: affinity.RouteIngress, Namespace: "msgapp", Name: "msgapp", Host: "chat.example.com", ProbePath: "/healthz"}
	with := func(change func(*affinity.Route)) affinity.Route {
		r := chat
		change(&r)
		return r
	}
	up := with(func(r *affinity.Route) { r.Addresses = []string{"10.0.0.1", "lb.example.com", "fd00::1"} })
	asked := with(func(r *affinity.Route) { r.ProbePath, r.ProbeWhy = "/mine", "--path" })
	tests := []struct {
		name  string
		o     Options
		route affinity.Route
		url   string
		addrs string
		from  string
		note  string // part
		lacks string // part of Missing
	}{
		{"status", Options{}, up, "http://chat.example.com/healthz", "10.0.0.1:80 lb.example.com:80 [fd00::1]:80", "the status of ingress/msgapp", "", ""},
		{"tls", Options{}, with(func(r *affinity.Route) { r.TLS, r.Addresses = true, []string{"10.0.0.1"} }),
			"https://chat.example.com/healthz", "10.0.0.1:443", "the status of ingress/msgapp", "", ""},
		{"no address", Options{}, chat, "http://chat.example.com/healthz", "", "the status of ingress/msgapp", "",
			"no address for chat.example.com: the ingress has none in its status; try --via-controller, --url http://ADDRESS or --resolve chat.example.com:80:ADDRESS"},
		{"no address, any host", Options{}, with(func(r *affinity.Route) { r.Host = "" }), "http://localhost/healthz", "", "the status of ingress/msgapp", "", "--resolve *:80:ADDRESS"},
		{"resolve", Options{Resolve: []string{"other:80:10.9.9.9", "CHAT.example.com:80:10.0.0.2,[::1]"}}, up,
			"http://chat.example.com/healthz", "10.0.0.2:80 [::1]:80", "--resolve", "", ""},
		{"resolve of another port", Options{Resolve: []string{"*:443:10.0.0.2"}}, up, "http://chat.example.com/healthz",
			"10.0.0.1:80 lb.example.com:80 [fd00::1]:80", "the status of ingress/msgapp", "", ""},
		{"url", Options{URL: "https://127.0.0.1:8443"}, up, "https://chat.example.com/healthz", "127.0.0.1:8443", "--url", "", ""},
		{"url with a path", Options{URL: "http://node:30080/chat?x=1"}, up, "http://chat.example.com/chat?x=1", "node:30080", "--url", "", ""},
		{"url with a path, and --path", Options{URL: "http://node:30080/chat?x=1"}, asked, "http://chat.example.com/mine", "node:30080", "--url", "", ""},
		{"url and resolve", Options{URL: "http://node:30080", Resolve: []string{"node:30080:127.0.0.5"}}, chat,
			"http://chat.example.com/healthz", "127.0.0.5:30080", "--resolve", "", ""},
		{"host", Options{Host: "alias.example.com"}, up, "http://alias.example.com/healthz", "10.0.0.1:80 lb.example.com:80 [fd00::1]:80",
			"the status of ingress/msgapp", "asked for host alias.example.com (--host); the route says chat.example.com", ""},
		{"wildcard", Options{}, with(func(r *affinity.Route) { r.Host, r.Addresses = "*.example.com", []string{"10.0.0.1"} }),
			"http://stickytop-probe.example.com/healthz", "10.0.0.1:80", "the status of ingress/msgapp", "the route says *.example.com; asked for host stickytop-probe.example.com", ""},
		{"wildcard and host", Options{Host: "a.example.com"}, with(func(r *affinity.Route) { r.Host, r.Addresses = "*.example.com", []string{"10.0.0.1"} }),
			"http://a.example.com/healthz", "10.0.0.1:80", "the status of ingress/msgapp", "", ""},
		{"any host", Options{}, with(func(r *affinity.Route) { r.Host, r.Addresses = "", []string{"fd00::1"} }),
			"http://[fd00::1]/healthz", "[fd00::1]:80", "the status of ingress/msgapp", "the route takes any host", ""},
		{"forward", Options{Dial: blackholeDial, DialName: "port-forward"}, chat, "http://chat.example.com/healthz", "chat.example.com:80", "port-forward", "", ""},
		{"forward, any host", Options{Dial: blackholeDial}, with(func(r *affinity.Route) { r.Host = "" }), "http://localhost/healthz", "localhost:80", "a forwarded connection", "", ""},
		{"odd path", Options{}, with(func(r *affinity.Route) { r.ProbePath, r.Addresses = "(a|b)%zz//", []string{"10.0.0.1"} }),
			"http://chat.example.com/%28a%7Cb%29%25zz//", "10.0.0.1:80", "the status of ingress/msgapp", "", ""},
		{"path like an authority", Options{}, with(func(r *affinity.Route) { r.ProbePath, r.Addresses = "//evil.test/x", []string{"10.0.0.1"} }),
			"http://chat.example.com//evil.test/x", "10.0.0.1:80", "the status of ingress/msgapp", "", ""},
		{"odd host", Options{}, with(func(r *affinity.Route) { r.Host, r.Addresses = "a\x1b[31m b", []string{"10.0.0.1"} }),
			"", "10.0.0.1:80", "the status of ingress/msgapp", "", "cannot ask for host"},
		{"many addresses", Options{}, with(func(r *affinity.Route) { r.Addresses = strings.Split("1 2 3 4 5 6 7 8 9", " ") }),
			"http://chat.example.com/healthz", "1:80 2:80 3:80 4:80", "the status of ingress/msgapp", "", ""},

		{"a URL of its own", Options{}, affinity.Route{Kind: affinity.RouteURL, URL: "https://h.test:8443/a?b=c#d"},
			"https://h.test:8443/a?b=c", "h.test:8443", "the URL", "", ""},
		{"a URL, resolved", Options{Resolve: []string{"*:443:127.0.0.1"}}, affinity.Route{Kind: affinity.RouteURL, URL: "https://h.test"},
			"https://h.test", "127.0.0.1:443", "--resolve", "", ""},
		{"a URL and a host", Options{Host: "chat.test"}, affinity.Route{Kind: affinity.RouteURL, URL: "http://127.0.0.1:8080/x"},
			"http://chat.test/x", "127.0.0.1:8080", "the URL", "asked for host chat.test (--host)", ""},
		{"a URL and a path", Options{}, affinity.Route{Kind: affinity.RouteURL, URL: "http://h.test/x", ProbePath: "/y"},
			"http://h.test/y", "h.test:80", "the URL", "", ""},
		{"a bad URL", Options{}, affinity.Route{Kind: affinity.RouteURL, URL: "h.test/x"}, "", "", "", "", "must start with http"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, err := tt.o.settings()
			if err != nil {
				t.Fatal(err)
			}
			got := set.target(tt.route)
			if tt.url != "" && got.URL.String() != tt.url {
				t.Errorf("URL %s, want %s", got.URL, tt.url)
			}
			if addrs := strings.Join(got.Addrs, " "); addrs != tt.addrs || got.From != tt.from {
				t.Errorf("addresses %q from %q, want %q from %q", addrs, got.From, tt.addrs, tt.from)
			}
			if !strings.Contains(got.Note, tt.note) || (tt.note == "") != (got.Note == "") && !strings.Contains(tt.name, "host") {
				t.Errorf("note %q, want %q", got.Note, tt.note)
			}
			if !strings.Contains(got.Missing, tt.lacks) || (tt.lacks == "") != (got.Missing == "") {
				t.Errorf("missing %q, want %q", got.Missing, tt.lacks)
			}
			for _, s := range []string{got.Note, got.Missing, got.From} {
				if s != affinity.Clean(s, maxText) {
					t.Errorf("%q is not clean", s)
				}
			}
			if !got.equal(set.target(tt.route)) {
				t.Error("a target differs from itself")
			}
		})
	}
}

// TestTargetsThatDiffer: each of these makes sessions start over.
func TestTargetsThatDiffer(t *testing.T) {
	set, err := Options{}.settings()
	if err != nil {
		t.Fatal(err)
	}
	base := routeTo("a", "10.0.0.1")
	for name, change := range map[string]func(*affinity.Route){
		"path":    func(r *affinity.Route) { r.ProbePath = "/x" },
		"host":    func(r *affinity.Route) { r.Host = "other.test" },
		"tls":     func(r *affinity.Route) { r.TLS = true },
		"address": func(r *affinity.Route) { r.Addresses = []string{"10.0.0.2"} },
		"none":    func(r *affinity.Route) { r.Addresses = nil },
	} {
		r := base
		change(&r)
		if set.target(base).equal(set.target(r)) {
			t.Errorf("another %s is the same target", name)
		}
	}
	noted := base
	noted.Notes, noted.Steps = []string{"x"}, []affinity.PathStep{{Name: "DNS"}}
	if !set.target(base).equal(set.target(noted)) {
		t.Error("a note makes another target")
	}
	if (Target{}).equal(set.target(base)) {
		t.Error("no target equals one")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	tests := []struct {
		o    Options
		want string // part of the error; "" for none
	}{
		{Options{}, ""},
		{Options{Interval: time.Millisecond}, "interval 1ms: the shortest is 100ms"},
		{Options{Interval: -1}, "interval"},
		{Options{MaxRPS: -1}, "max rps -1"},
		{Options{Timeout: -1}, "timeouts"},
		{Options{Run: "a b"}, `run name "a b"`},
		{Options{Version: "1\r\nEvil: x"}, "version"},
		{Options{URL: "chat.example.com"}, "must start with http:// or https://"},
		{Options{URL: "ftp://chat.example.com"}, "must start with http:// or https://"},
		{Options{URL: "http://"}, "names no host"},
		{Options{URL: "http://\x7f/"}, "not a URL"},
		{Options{URL: "http://user:secret@chat.example.com/"}, "URL of chat.example.com: a user name"},
		{Options{Host: "a b"}, `host "a b"`},
		{Options{Host: "a/b"}, "host"},
		{Options{Host: "http://a"}, "host"},
		{Options{Host: "a:8080"}, ""},
		{Options{Host: "[::1]"}, ""},
		{Options{Resolve: []string{"chat"}}, "no port"},
		{Options{Resolve: []string{"chat:80"}}, "no address"},
		{Options{Resolve: []string{"chat:http:1.2.3.4"}}, "port must be a number"},
		{Options{Resolve: []string{"chat:70000:1.2.3.4"}}, "port must be a number"},
		{Options{Resolve: []string{"chat:80:host"}}, "the address must be an IP"},
		{Options{Resolve: []string{"[::1]:80:[::2],127.0.0.1"}}, ""},
		{Options{CAFile: "testdata/none.pem"}, "read CA file"},
		{Options{CAFile: "target_test.go"}, "no PEM certificate in it"},
	}
	for _, tt := range tests {
		_, err := NewRunner(tt.o)
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) && tt.want != "" {
			t.Errorf("NewRunner(%+v): %v, want %q", tt.o, err, tt.want)
		}
	}
}

// What --resolve names and nobody asks for is told, with what is asked for.
func TestUnmatched(t *testing.T) {
	plain := affinity.Route{Kind: affinity.RouteIngress, Host: "chat.example.com"}
	secure, wild := plain, plain
	secure.TLS, wild.Host = true, "*.example.com"
	many := []affinity.Route{plain}
	for _, host := range []string{"a", "b", "c", "d", "e"} {
		many = append(many, affinity.Route{Kind: affinity.RouteIngress, Host: host})
	}
	for _, tt := range []struct {
		name   string
		o      Options
		routes []affinity.Route
		want   []string // parts, one of each text
	}{
		{"matched", Options{Resolve: []string{"CHAT.example.com:80:10.0.0.2"}}, []affinity.Route{plain}, nil},
		{"any", Options{Resolve: []string{"*:80:10.0.0.2"}}, []affinity.Route{plain}, nil},
		{"one of several routes", Options{Resolve: []string{"chat.example.com:443:10.0.0.2"}}, []affinity.Route{plain, secure}, nil},
		{"a wildcard's own name", Options{Resolve: []string{"*.example.com:80:10.0.0.2", "stickytop-probe.example.com:80:10.0.0.2"}}, []affinity.Route{wild}, nil},
		{"another port", Options{Resolve: []string{"chat.example.com:80:10.0.0.2"}}, []affinity.Route{secure},
			[]string{"--resolve chat.example.com:80:10.0.0.2 is for nothing that is asked here, which is chat.example.com:443"}},
		{"another host", Options{Resolve: []string{"chat.example.com:80:10.0.0.2", "other:80:10.0.0.3"}}, []affinity.Route{plain}, []string{"--resolve other:80:10.0.0.3"}},
		{"--host in its place", Options{Host: "alias:8080", Resolve: []string{"alias:80:10.0.0.2"}}, []affinity.Route{plain}, []string{"which is alias:8080"}},
		{"beside --url", Options{URL: "http://node:30080", Resolve: []string{"chat.example.com:80:10.0.0.2"}}, []affinity.Route{plain}, []string{"which is node:30080"}},
		{"a URL", Options{Resolve: []string{"h.test:80:10.0.0.2"}}, []affinity.Route{{Kind: affinity.RouteURL, URL: "https://h.test/"}}, []string{"which is h.test:443"}},
		{"no routes yet", Options{Resolve: []string{"other:80:10.0.0.3"}}, nil, nil},
		{"many", Options{Resolve: []string{"other:80:10.0.0.3"}}, many, []string{"which is chat.example.com:80, a:80, b:80, c:80 and 2 more"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := NewRunner(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			got := r.Unmatched(tt.routes)
			if len(got) != len(tt.want) {
				t.Fatalf("%q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("%q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}
