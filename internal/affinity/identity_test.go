package affinity

import (
	"strings"
	"testing"
	"time"
)

func TestIdentify(t *testing.T) {
	a, b := PodRef{"ns", "web-7c9f-2xkqp"}, PodRef{"ns", "web-7c9f-8mmzd"}
	pods := known{
		names: map[string]PodRef{a.Name: a, b.Name: b},
		addrs: map[string]PodRef{"10.244.0.7": a, "10.244.0.7:5000": a, "10.244.0.8": b, "fd00::8": b, "[fd00::8]:5000": b},
	}
	tests := []struct {
		name   string
		header string // "Name: value", several by |
		body   string
		known  known
		hints  Hints
		want   string
	}{
		{name: "nothing", header: "Server: nginx", want: ""},
		{name: "header by name", header: "X-Pod-Name: web-7c9f-2xkqp", known: pods, want: "header web-7c9f-2xkqp"},
		{name: "any header", header: "X-Whatever: served by web-7c9f-2xkqp;ok", known: pods, want: "header web-7c9f-2xkqp"},
		{name: "header by address", header: "X-Upstream: 10.244.0.8:5000", known: pods, want: "header web-7c9f-8mmzd"},
		{name: "address on another port", header: "X-Upstream: 10.244.0.8:9090", known: pods, want: "header web-7c9f-8mmzd"},
		{name: "IPv6", header: "X-Upstream: [fd00::8]:5000", known: pods, want: "header web-7c9f-8mmzd"},
		{name: "body", body: `{"pod":"web-7c9f-2xkqp","n":1}`, known: pods, want: "body web-7c9f-2xkqp"},
		{name: "both, and they disagree", header: "X-Pod: web-7c9f-2xkqp", body: "web-7c9f-8mmzd", known: pods, want: "header web-7c9f-2xkqp, body web-7c9f-8mmzd"},
		{name: "a page that lists its peers proves nothing", body: "web-7c9f-2xkqp web-7c9f-8mmzd", known: pods, want: ""},
		{name: "two headers, two pods", header: "X-A: web-7c9f-2xkqp|X-B: web-7c9f-8mmzd", known: pods, want: ""},
		{name: "part of a longer name", body: "web-7c9f-2xkqp-old", known: pods, want: ""},
		{name: "the client's address is not the server's", header: "X-Forwarded-For: 10.244.0.7", known: pods, want: ""},
		{name: "cookies are decoded elsewhere", header: "Set-Cookie: route=10.244.0.7:5000", known: pods, want: ""},
		{name: "unknown pod", header: "X-Pod-Name: other-1", known: pods, want: ""},
		{name: "prefix with a colon", body: "host:web-7c9f-2xkqp", known: pods, want: "body web-7c9f-2xkqp"},
		{name: "hint", header: "X-Me: web-7c9f-2xkqp|X-Other: web-7c9f-8mmzd", known: pods, hints: Hints{Header: "x-me"}, want: "header web-7c9f-2xkqp"},
		{name: "JSON hint", body: `{"a":{"b":"web-7c9f-8mmzd"}}`, known: pods, hints: Hints{JSON: []string{"a", "b"}}, want: "body web-7c9f-8mmzd"},
		{name: "JSON hint, not there", body: `{"a":3}`, known: pods, hints: Hints{JSON: []string{"a", "b"}}, want: ""},
		{name: "no cluster: header", header: "X-Pod-Name: one", known: known{open: true}, want: "header one"},
		{name: "no cluster: whoami", body: "Hostname: one\nIP: 127.0.0.1\n", known: known{open: true}, want: "body one"},
		{name: "no cluster: JSON", body: `{"pod":"one"}`, known: known{open: true}, want: "body one"},
		{name: "no cluster: nothing said", body: "hello", known: known{open: true}, want: ""},
		{name: "no cluster: escape sequence", header: "X-Pod-Name: a\x1b[2J", known: known{open: true}, want: ""},
		{name: "no cluster: escape sequence where the user looks", header: "X-Me: a\x1b[2J", known: known{open: true}, hints: Hints{Header: "x-me"}, want: "header a·[2J"},
		{name: "no cluster: a product is no pod", body: `{"server":"nginx/1.25"}`, known: known{open: true}, want: ""},
		{name: "no cluster: problem details", body: `{"type":"about:blank","status":404,"instance":"/orders/7"}`, known: known{open: true}, want: ""},
		{name: "no cluster: a cache signs", header: "X-Served-By: cache-fra-1", known: known{open: true}, want: "header cache-fra-1"},
		{name: "no cluster: a cache signs its error page", header: "X-Served-By: cache-fra-1", body: `{"server":"edge"}`, known: known{open: true, strict: true}, want: ""},
		{name: "no cluster: a pod signs its error page", header: "X-Pod-Name: one", known: known{open: true, strict: true}, want: "header one"},
	}
	for _, tt := range tests {
		answer := Answer{Body: []byte(tt.body)}
		for _, h := range strings.Split(tt.header, "|") {
			if name, value, ok := strings.Cut(h, ": "); ok {
				answer.Header = append(answer.Header, Field{name, value})
			}
		}
		var got []string
		for _, c := range identify(answer, tt.known, tt.hints) {
			got = append(got, c.source.String()+" "+c.pod.Name)
		}
		if g := strings.Join(got, ", "); g != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, g, tt.want)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("X-Pod", "web-a", `{"pod":"web-b"}`)
	f.Add("X", "[::]:::", "10.0.0.1:")
	pods := known{names: map[string]PodRef{"web-a": {"ns", "web-a"}}, addrs: map[string]PodRef{"10.0.0.1": {"ns", "web-a"}}, open: true}
	f.Fuzz(func(t *testing.T, name, value, body string) {
		for _, c := range identify(Answer{Header: []Field{{name, value}}, Body: []byte(body)}, pods, Hints{}) {
			if c.pod.IsZero() || Clean(c.detail, 200) != c.detail || Clean(c.pod.Name, 63) != c.pod.Name {
				t.Fatalf("claim %+v is empty or unsafe", c)
			}
		}
	})
}

// TestNamedBeforeTheWatch: the pod that answers named before anything of the
// cluster was known is the one that the EndpointSlices have.
func TestNamedBeforeTheWatch(t *testing.T) {
	var st State
	at := func(e Event, after time.Duration) { st.Apply(e, tNow.Add(after)) }
	ref := ServiceRef{"msgapp", "echo"}
	policy := Policy{Mechanism: MechanismClientIP, Timeout: time.Minute}
	at(Routes{Source: "direct", Routes: []Route{{ID: "r", Kind: RouteService, Backend: Backend{Service: ref, Port: "80", PortName: "http"},
		Layers: []Layer{{Where: LayerService, Candidates: []Policy{policy}}}}}}, 0)
	at(spec("s01", "172.30.0.101"), 0)
	at(spec("s02", "172.30.0.102"), 0)
	at(came("s01", "echo-a"), time.Second)
	at(came("s02", "echo-a"), time.Second)
	at(EndpointsChanged{Service: ref, Endpoints: []Endpoint{{Addr: "10.244.1.2:8080", IP: "10.244.1.2", PortName: "http", Pod: PodRef{"msgapp", "echo-a"}, Ready: true, Serving: true}}}, 2*time.Second)
	at(PodChanged{Pod{Ref: PodRef{"msgapp", "echo-a"}, IP: "10.244.1.2", Ready: true}}, 2*time.Second)
	at(came("s01", "echo-a"), 3*time.Second)
	at(came("s02", "echo-a"), 3*time.Second)
	s := st.Snapshot(tNow.Add(4 * time.Second))
	for _, x := range s.Sessions {
		if len(x.Moves) != 0 || x.Pod.Namespace != "msgapp" || !x.PodSince.Equal(tNow.Add(time.Second)) {
			t.Errorf("%s on %s since %s, moves %+v", x.Spec.ID, x.Pod, x.PodSince, x.Moves)
		}
	}
	if len(s.Pods) != 1 || s.Pods[0].NamedOnly {
		t.Errorf("pods %+v", s.Pods)
	}
}
