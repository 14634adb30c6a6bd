package ingress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// cookieRecord is a line of testdata/KEY/cookies.jsonl: a cookie, what it is
// read with, and what it says.
type cookieRecord struct {
	Name, Value string
	Endpoints   []string
	Pods, UIDs  []string // of the endpoints, in their order
	PortName    string
	Service     string
	Names, Keys []string
	Controller  string // as --controller says

	Mode, Endpoint, Backend, Addr string
	Issued, Expires               string
	Guess                         bool // not exact
	Shape                         bool // the shape alone
	Opaque, Named                 bool
	Note                          string
}

func (r cookieRecord) scope() Scope {
	s := Scope{Names: r.Names, Set: affinity.EndpointSet{Current: endpoints(r.Endpoints...)}}
	s.Backend.Service.Name = r.Service
	for i := range s.Set.Current {
		e := &s.Set.Current[i]
		e.PortName = r.PortName
		if i < len(r.Pods) {
			e.Pod.Name = r.Pods[i]
		}
		if i < len(r.UIDs) {
			e.PodUID = r.UIDs[i]
		}
	}
	return s
}

// keys are the controllers of both tables.
func cookieKeys() []string {
	seen := map[string]bool{}
	var keys []string
	add := func(key string) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	for _, f := range formats {
		add(f.controller)
	}
	for _, o := range opaques {
		add(o.controller)
	}
	return keys
}

// TestEveryFormat reads the cookies of every controller that makes some, and
// fails when one of the tables' lines has none.
func TestEveryFormat(t *testing.T) {
	modes := map[string]bool{}
	for _, key := range cookieKeys() {
		t.Run(key, func(t *testing.T) {
			for i, r := range readLines[cookieRecord](t, key+"/cookies.jsonl") {
				v := Locate(r.Name, affinity.Secret(r.Value), []Scope{r.scope()}, Hints{Keys: r.Keys, Controller: r.Controller})
				if r.Opaque {
					checkOpaque(t, i, key, r, v)
					continue
				}
				modes[key+"/"+r.Mode] = true
				checkLocated(t, i, key, r, v)
			}
		})
	}
	for _, f := range formats {
		if !modes[f.controller+"/"+f.mode] {
			t.Errorf("testdata/%s/cookies.jsonl has no cookie of mode %q", f.controller, f.mode)
		}
	}
}

func checkOpaque(t *testing.T, line int, key string, r cookieRecord, v Verdict) {
	t.Helper()
	if v.Decided || v.Tie || len(v.Opaques) == 0 || v.Opaques[0].Controller != key || v.Opaques[0].Named != r.Named || v.Opaques[0].Why == "" || v.Opaques[0].Instead == "" {
		t.Errorf("line %d: %+v, want opaque", line+1, v)
	}
}

func checkLocated(t *testing.T, line int, key string, r cookieRecord, v Verdict) {
	t.Helper()
	if r.Shape {
		ok := false
		for _, a := range v.Shapes {
			ok = ok || a.Controller == key && a.Mode == r.Mode
		}
		if v.Decided || v.Tie || !ok {
			t.Errorf("line %d: %+v, want the shape of %s alone", line+1, v, r.Mode)
		}
		return
	}
	if !v.Decided || v.Tie || len(v.Answers) == 0 {
		t.Errorf("line %d: %+v, want %s", line+1, v, r.Endpoint)
		return
	}
	a := v.Answers[0]
	d := a.Decoded
	if a.Controller != key || a.Mode != r.Mode || addrs(d.Endpoints) != r.Endpoint || r.Backend != "" && d.Backend != r.Backend || r.Addr != "" && d.Addr != r.Addr {
		t.Errorf("line %d: %+v, want %s %s %s", line+1, a, r.Mode, r.Endpoint, r.Backend)
	}
	if r.Endpoint != "" && d.Exact == r.Guess {
		t.Errorf("line %d: exact is %v", line+1, d.Exact)
	}
	if got := stamp(d.Issued); got != r.Issued {
		t.Errorf("line %d: issued %s, want %s", line+1, got, r.Issued)
	}
	if got := stamp(d.Expires); got != r.Expires {
		t.Errorf("line %d: expires %s, want %s", line+1, got, r.Expires)
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func scopeOf(service string, addrs ...string) Scope {
	return Scope{Backend: affinity.Backend{Service: affinity.ServiceRef{Namespace: "default", Name: service}, Port: "80"},
		Names: []string{"default-" + service + "-80"}, Set: affinity.EndpointSet{Current: endpoints(addrs...)}}
}

func TestLocateAmongServices(t *testing.T) {
	web, other := scopeOf("web", web3...), scopeOf("other", web3[0], "10.244.9.9:8080")
	both := []Scope{other, web}
	locate := func(name, value string, scopes ...Scope) Verdict {
		return Locate(name, affinity.Secret(value), scopes, Hints{})
	}
	// The second half names the backend, and with it whose ring counts.
	v := locate("INGRESSCOOKIE", "1767225601.5.31.42|"+webKey, both...)
	if !v.Decided || v.Answers[0].Backend.Service.Name != "web" || addrs(v.Answers[0].Decoded.Endpoints) != web3[1] {
		t.Errorf("balanced: %+v", v)
	}
	// A backend that is no more: a ring would still answer.
	v = locate("INGRESSCOOKIE", "1767225601.5.31.42|"+webKey, other)
	if v.Decided || v.Tie || len(v.Shapes) == 0 {
		t.Errorf("another backend's key: %+v, want the shape alone", v)
	}
	// Without it, every ring answers: a tie, until a route's configuration tells.
	v = locate("INGRESSCOOKIE", "1767225823.823.28.617683", both...)
	if v.Decided || !v.Tie || len(v.Answers) != 2 {
		t.Errorf("before v0.49, two rings: %+v, want a tie", v)
	}
	web.Policies = []affinity.Policy{{Mechanism: affinity.MechanismCookie, Controller: nginxKey, Mode: "balanced", Cookie: affinity.CookieSpec{Name: "INGRESSCOOKIE"}}}
	v = locate("INGRESSCOOKIE", "1767225823.823.28.617683", other, web)
	if !v.Decided || v.Answers[0].Backend.Service.Name != "web" || len(v.Routed) != 1 {
		t.Errorf("before v0.49, one route sets it: %+v", v)
	}
	// One pod behind two Services: the pod is certain, the Service only where a route tells.
	dynamic := haproxyHash(haproxytechCookieKey, web3[0])
	v = locate("lb", dynamic, both...)
	if !v.Decided || v.Tie || len(v.Answers) != 2 {
		t.Errorf("a pod of two Services: %+v, want both and no tie", v)
	}
	web.Policies = []affinity.Policy{{Mechanism: affinity.MechanismCookie, Controller: "haproxytech", Cookie: affinity.CookieSpec{Name: "lb"}, Decoder: newHAProxyDynamic(haproxytechCookieKey)}}
	v = locate("lb", dynamic, other, web)
	if !v.Decided || v.Answers[0].Backend.Service.Name != "web" || !v.Answers[0].Configured {
		t.Errorf("a pod of two Services, one route: %+v", v)
	}
	// A key that only a policy knows.
	web.Policies[0].Decoder = newHAProxyDynamic("custom")
	if v = locate("lb", haproxyHash("custom", web3[2]), other, web); !v.Decided || addrs(v.Answers[0].Decoded.Endpoints) != web3[2] {
		t.Errorf("a policy's key: %+v", v)
	}
}

// Two formats that are just as sure of two endpoints.
func TestLocateTie(t *testing.T) {
	tied := func(a, b string) Verdict {
		s := scopeOf("web", web3...)
		s.Policies = []affinity.Policy{{Controller: "a", Decoder: fixed(endpoints(a))}, {Controller: "b", Decoder: fixed(endpoints(b))}}
		return Locate("x", "y", []Scope{s}, Hints{})
	}
	if v := tied(web3[0], web3[1]); !v.Tie || v.Decided || len(v.Answers) != 2 {
		t.Errorf("two sure answers: %+v, want a tie", v)
	}
	if v := tied(web3[0], web3[0]); v.Tie || !v.Decided {
		t.Errorf("two equal answers: %+v, want no tie", v)
	}
}

func TestLocateNothing(t *testing.T) {
	for name, value := range map[string]string{"another's digest": strings.Repeat("0", 32), "a hash of nothing known": "0123456789abcdef", "an application's session": "s%3AxJ3", "empty": ""} {
		for _, scopes := range [][]Scope{nil, {scopeOf("web", web3...)}} {
			if v := Locate("session", affinity.Secret(value), scopes, Hints{Keys: []string{"k"}}); v.Decided || v.Tie || len(v.Answers) != 0 {
				t.Errorf("%s: %+v, want nothing decided", name, v)
			}
		}
	}
}

// fixed answers every value with the same endpoints.
type fixed []affinity.Endpoint

func (f fixed) Name() string                              { return "fixed" }
func (f fixed) Table(affinity.EndpointSet) affinity.Table { return f }
func (f fixed) Lookup(string) affinity.Decoded {
	return affinity.Decoded{Shaped: true, Exact: true, Endpoints: f}
}

func FuzzLocate(f *testing.F) {
	web, other := scopeOf("web", web3...), scopeOf("other", web3[0], "[fd00:10:244::5]:8080")
	for _, s := range seeds {
		f.Add("INGRESSCOOKIE", s)
	}
	f.Add("AWSALB", "x")
	f.Fuzz(func(t *testing.T, name, value string) {
		v := Locate(name, affinity.Secret(value), []Scope{web, other}, Hints{Keys: []string{value}})
		if v.Decided == v.Tie && (v.Decided || len(v.Answers) > 0) || v.Decided && len(v.Answers) == 0 {
			t.Fatalf("Locate(%q, %q) = %+v", name, value, v)
		}
		for _, a := range append(v.Answers, v.Shapes...) {
			printable(t, a.Decoded.Detail, a.Decoded.Backend, a.Decoded.Addr)
		}
	})
}

// TestSkipperScheme: URLs tell which scheme is on Skipper's ring.
func TestSkipperScheme(t *testing.T) {
	set := affinity.EndpointSet{Current: endpoints("10.244.0.5:8080", "10.244.1.7:8080", "10.244.2.9:8080")}
	scope := Scope{Set: set, Servers: []Server{{URL: "HTTPS://10.244.1.7:8080", Addr: "10.244.1.7:8080"}}}
	differ := 0
	for i := range 50 {
		value := affinity.Secret(fmt.Sprintf("user-%d", i))
		want := addrs(skipperHash{scheme: "https"}.Table(set).Lookup(value.Reveal()).Endpoints)
		v := Locate("user", value, []Scope{scope}, Hints{Controller: skipperKey})
		if !v.Decided || addrs(v.Answers[0].Decoded.Endpoints) != want {
			t.Errorf("%s: %+v, want %s", value.Reveal(), v.Answers, want)
		}
		if addrs(skipperHash{scheme: "http"}.Table(set).Lookup(value.Reveal()).Endpoints) != want {
			differ++
		}
	}
	if differ == 0 {
		t.Error("the scheme makes no difference")
	}
}
