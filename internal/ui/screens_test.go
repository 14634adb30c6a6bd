package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/golden"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// press sends keys as a terminal would: "ctrl+w", "enter", "x", or a word for
// a run of letters after "type:".
func press(m *Model, keys ...string) tea.Cmd {
	var cmd tea.Cmd
	for _, k := range keys {
		if text, ok := strings.CutPrefix(k, "type:"); ok {
			for _, r := range text {
				_, cmd = m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
			}
			continue
		}
		_, cmd = m.Update(keyMsg(k))
	}
	return cmd
}

// keyMsg is the message of a key by the name that key maps use.
func keyMsg(name string) tea.KeyMsg {
	for t := tea.KeyType(-128); t < 128; t++ {
		if t != tea.KeyRunes && (tea.KeyMsg{Type: t}).String() == name {
			return tea.KeyMsg{Type: t}
		}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}

func sized(opt Options, w, h int) *Model {
	m := New(opt)
	m.Update(tea.WindowSizeMsg{Width: w, Height: h})
	return m
}

// screens are all that a user can get to see, each by what leads to it.
var screens = []struct {
	name string
	make func() (*world, Options)
	keys []string
	then func(*world, *Model)
}{
	{name: "topo", make: told},
	{name: "sessions", make: told, keys: []string{"2"}},
	{name: "sessions-filtered", make: told, keys: []string{"2", "/", "type:pod=A and not state=STUCK", "enter"}},
	{name: "sessions-wide", make: told, keys: []string{"2", "ctrl+w", "j", "j"}},
	{name: "pods", make: told, keys: []string{"3"}},
	{name: "events", make: told, keys: []string{"4"}},
	{name: "events-full", make: stale, keys: []string{"4", "enter"}},
	{name: "findings", make: judged, keys: []string{"5"}},
	{name: "findings-full", make: judged, keys: []string{"5", "j", "enter"}},
	{name: "findings-muted", make: judged, keys: []string{"5", "M", "/", "type:object=ingress/msgapp and not severity=info", "enter"}},
	{name: "findings-topo", make: judged},
	{name: "detail", make: told, keys: []string{"2", "j", "j", "enter"}},
	{name: "detail-split", make: told, keys: []string{"2", "G", "k", "k", "enter"}},
	{name: "detail-revealed", make: told, keys: []string{"2", "enter", "u", "y"}},
	{name: "help", make: told, keys: []string{"2", "?"}},
	{name: "palette", make: told, keys: []string{":", "type:sort"}},
	{name: "question", make: told, keys: []string{"2", "K"}},
	{name: "paused", make: told, keys: []string{"2", "p"}, then: func(w *world, m *Model) {
		w.now = w.now.Add(12 * time.Second)
		w.answer("s01", podB, true, 40*time.Millisecond)
		m.tick(w.snap(), w.now)
	}},
	{name: "picker", make: pickable2},
	{name: "nothing", make: nothing},
	{name: "nothing-selected", make: nothingSelected},
	{name: "no-route", make: noRoute},
	{name: "no-route-sessions", make: noRoute, keys: []string{"2"}},
	{name: "unread", make: unread},
	{name: "unread-pods", make: unread, keys: []string{"3"}},
	{name: "unread-access", make: unread, keys: []string{"A"}},
	{name: "unread-clientip", make: unread, keys: []string{"6"}},
	{name: "unread-findings", make: unread, keys: []string{"5"}},
	{name: "contested", make: contested},
	{name: "contested-pods", make: contested, keys: []string{"3"}},
	{name: "sync", make: syncing},
	{name: "limited", make: limited},
	{name: "limited-as", make: limitedAs},
	{name: "limited-all", make: limitedAll},
	{name: "nopath", make: noPath},
	{name: "nopath-unheeded", make: unheeded},
	{name: "nopath-service", make: noPathToService},
	{name: "stale", make: stale},
	{name: "no-endpoints", make: noEndpoints},
	{name: "no-service", make: noService},
	{name: "rate-limited", make: rateLimited},
	{name: "no-probe", make: noProbe, keys: []string{"2"}},
	{name: "browser-session", make: browserSession, keys: []string{"2"}},
	{name: "url", make: urlOnly},
	{name: "url-unknown", make: urlUnknown},
	{name: "url-unknown-pods", make: urlUnknown, keys: []string{"3"}},
	{name: "nameless", make: nameless},
	{name: "nameless-detail", make: nameless, keys: []string{"2", "enter"}},
	{name: "error-page", make: errorPage},
	{name: "error-page-sessions", make: errorPage, keys: []string{"2"}},
	{name: "error-page-detail", make: errorPage, keys: []string{"2", "enter"}},
	{name: "error-of-pods", make: errorOfPods},
	{name: "error-of-pods-sessions", make: errorOfPods, keys: []string{"2"}},
	{name: "error-of-pods-detail", make: errorOfPods, keys: []string{"2", "enter"}},
	{name: "clientip", make: pinned, keys: []string{"6"}},
	{name: "clientip-full", make: pinned, keys: []string{"6", "X", "j", "enter"}},
	{name: "clientip-filtered", make: pinned, keys: []string{"6", "/", "type:state=evicted or state=shadowed", "enter"}},
	{name: "clientip-none", make: unpinned, keys: []string{"6"}},
	{name: "clientip-forbidden", make: forbiddenNode, keys: []string{"6"}},
	{name: "clientip-topo", make: pinned},
	{name: "topo-notes", make: noted, keys: []string{"shift+tab"}},
	{name: "topo-canary", make: canaried},
	{name: "topo-canary-pods", make: canaried, keys: []string{"3"}},
	{name: "topo-weighted", make: shared},
	{name: "topo-notes-full", make: noted, keys: []string{"shift+tab", "enter"}},
	{name: "clientip-decides", make: decides},
	{name: "clientip-pods", make: pinned, keys: []string{"3"}},
	{name: "sockets", make: sockets, keys: []string{"2"}},
	{name: "sockets-topo", make: sockets, keys: []string{"1"}},
	{name: "sockets-pods", make: sockets, keys: []string{"3"}},
	{name: "sockets-detail", make: sockets, keys: []string{"2", "enter"}},
	{name: "sockets-refused", make: sockets, keys: []string{"2", "j", "j", "enter"}},
	{name: "sockets-cut", make: sockets, keys: []string{"2", "G", "enter"}},
	{name: "sockets-events", make: sockets, keys: []string{"4"}},
	{name: "sockets-findings", make: sockets, keys: []string{"5"}},
}

func told() (*world, Options) {
	w := story()
	o := w.options()
	o.Actions = []Action{{Key: "7", Name: "delete-pod", Title: "delete a pod"}}
	return w, o
}

// noted is a route with more to say than a small screen holds.
func noted() (*world, Options) {
	w := story()
	l := w.route.Layers[0]
	l.Candidates = []affinity.Policy{l.Candidates[0]}
	l.Candidates[0].Notes = []string{"a pod that answers 5xx keeps its sessions: session-cookie-change-on-failure is off, so a client stays with a broken pod"}
	w.route.Layers = append([]affinity.Layer{l}, w.route.Layers[1:]...)
	w.route.Notes = []string{"the Ingress has two paths that lead to this Service, each with a cookie of its own", "the last note"}
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	return w, w.options()
}

// canaried is a route of which a canary gets a share; a cookie holds one of its
// clients.
func canaried() (*world, Options) { return branched("msgapp-next") }

// shared is a route whose requests three more Services share.
func shared() (*world, Options) { return branched("blue", "green", "a-service-with-a-long-name") }

func branched(names ...string) (*world, Options) {
	w := story()
	l := w.route.Layers[0]
	l.Candidates = []affinity.Policy{l.Candidates[0]}
	for i, name := range names {
		ref := affinity.ServiceRef{Namespace: "msgapp", Name: name}
		b := affinity.Branch{Backend: affinity.Backend{Service: ref, Port: "3000"}, Object: "ingress/" + name, Canary: len(names) == 1,
			Share: "header X-Canary, weight 10/100", Decoder: byAddr{}}
		l.Candidates[0].Branches = append(l.Candidates[0].Branches, b)
		ip := fmt.Sprintf("10.244.9.%d", i+1)
		p := affinity.Pod{Ref: podRef(name + "-7c9f5-abcde"), IP: ip, Node: "worker-2", Phase: "Running", Ready: true, Total: 1, ReadyN: 1, Created: w.now}
		w.apply(affinity.PodChanged{Pod: p}, affinity.EndpointsChanged{Service: ref, Endpoints: []affinity.Endpoint{
			{Addr: ip + ":3000", IP: ip, Pod: p.Ref, Node: p.Node, Ready: true, Serving: true}}})
	}
	w.route.Layers = append([]affinity.Layer{l}, w.route.Layers[1:]...)
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	w.open("s90", affinity.ClientBrowser)
	w.apply(affinity.Observed{Session: "s90", Status: 200, Took: 9 * time.Millisecond, Offers: []affinity.Offer{
		{Name: "msgapp-sticky", Value: "k-10.244.9.1:3000-1", Path: "/", Expires: w.now.Add(3 * time.Hour)}}})
	return w, w.options()
}

func pickable2() (*world, Options) {
	w := base()
	shop := chatRoute()
	shop.ID, shop.Namespace, shop.Name, shop.Host = affinity.RouteKey(affinity.RouteIngress, "shop", "shop-web", "shop.example.com", "/"), "shop", "shop-web", "shop.example.com"
	shop.Layers = []affinity.Layer{{Where: affinity.LayerIngress, Object: "ingress/shop-web", Candidates: []affinity.Policy{{Why: "no affinity annotation"}}}}
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route, shop}})
	o := w.options()
	o.Target, o.Namespace = affinity.Target{}, ""
	return w, o
}

// noRoute is a Service that no Ingress leads to, and that needs no affinity.
func noRoute() (*world, Options) {
	w := newWorld()
	w.sources(affinity.SourceLive, "")
	w.apply(affinity.Routes{Routes: []affinity.Route{w.route}})
	o := w.options()
	db := affinity.ServiceRef{Namespace: "msgapp", Name: "msgapp-mongodb"}
	w.apply(affinity.ServiceChanged{Service: affinity.Service{Ref: db, Headless: true, NeedsNone: "headless: clients choose a pod themselves, by its DNS name"}})
	o.Target = affinity.Target{Kind: "service", Namespace: "msgapp", Name: "msgapp-mongodb"}
	return w, o
}

// unread is a cluster whose API server was never reached, with the many custom
// resources that are looked for.
func unread() (*world, Options) {
	w := newWorld()
	for i, name := range []string{
		"endpointslices", "ingressclasses", "ingresses", "pods", "services", "ingressroutes", "traefikservices",
		"gateways", "httproutes", "grpcroutes", "virtualservices", "destinationrules", "httpproxies", "routes",
	} {
		w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceStale, Since: w.now, Unread: true, Unreached: true,
			Detail: "dial tcp 127.0.0.1:6443: connect: connection refused", Retry: w.now.Add(time.Duration(8+i) * time.Second)}})
	}
	w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: "dataplane", State: affinity.SourceSyncing, Detail: "waits for the Services"}})
	w.now = w.now.Add(5 * time.Second)
	o := w.options()
	o.Server = "https://127.0.0.1:6443"
	return w, o
}

// contested is a route that another Ingress claims too, whose pods answer.
func contested() (*world, Options) {
	w := base()
	dup := chatRoute()
	dup.ID, dup.Name = affinity.RouteKey(affinity.RouteIngress, "msgapp", "echo-dup", dup.Host, dup.Path), "echo-dup"
	dup.Backend.Service.Name = "echo"
	w.route.Contested = []string{"ingress/echo-dup claims the same host and path: which of them Traefik serves is not fixed, and can change when it restarts; give each a host or path of its own"}
	w.route.Notes = append(w.route.Notes, w.route.Contested...)
	w.route.Layers[0].Candidates = []affinity.Policy{{Controller: "traefik", Why: "no affinity annotation"}}
	pod := affinity.Pod{Ref: podRef("echo-5d9c-7xkqp"), IP: "10.4.1.99", Node: "node-1", Phase: "Running", Ready: true, Total: 1, ReadyN: 1, Created: w.now.Add(-time.Hour)}
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route, dup}}, affinity.PodChanged{Pod: pod},
		affinity.EndpointsChanged{Service: dup.Backend.Service, Endpoints: []affinity.Endpoint{{Addr: "10.4.1.99:3000", IP: "10.4.1.99", Pod: pod.Ref, Node: pod.Node, Ready: true, Serving: true}}})
	for _, id := range []affinity.SessionID{"s01", "s02"} {
		w.open(string(id), affinity.ClientBrowser)
		for range 3 {
			w.now = w.now.Add(time.Second)
			w.apply(affinity.Observed{Session: id, Status: 200, Took: time.Millisecond, Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: pod.Ref.Name}}}})
		}
	}
	return w, w.options()
}

func nothing() (*world, Options) {
	w := newWorld()
	for _, name := range []string{"endpointslices", "ingresses", "services"} {
		w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceLive}})
	}
	o := w.options()
	o.Target = affinity.Target{}
	return w, o
}

func nothingSelected() (*world, Options) {
	w, o := nothing()
	o.Selector = "app=web,tier!=db"
	return w, o
}

func syncing() (*world, Options) {
	w := newWorld()
	w.sources(affinity.SourceSyncing, "first list")
	return w, w.options()
}

func limited() (*world, Options) {
	w := base()
	for _, name := range []string{"pods", "ingressclasses"} {
		w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceForbidden, Since: w.now, Detail: `User "alice" cannot list ` + name}})
	}
	return w, w.options()
}

func limitedAll() (*world, Options) {
	w, o := limitedAs()
	for _, name := range []string{"endpointslices", "ingresses", "services", "ingressroutes", "traefikservices", "httproutes"} {
		w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceForbidden, Since: w.now, Detail: "forbidden"}})
	}
	o.As, o.AsGroups = "jane", []string{"ops"}
	return w, o
}

func limitedAs() (*world, Options) {
	w, o := limited()
	o.As, o.AsGroups = "system:serviceaccount:msgapp:oncall", []string{"oncall", "viewers"}
	return w, o
}

func noPath() (*world, Options) {
	w := base()
	w.open("s01", affinity.ClientBrowser)
	w.fail("s01", affinity.FailureTLS, 0, "x509: certificate is valid for ingress.local, not chat.example.com")
	w.apply(affinity.PathChecked{Route: w.route.ID, Steps: []affinity.PathStep{
		{Name: "DNS", Status: affinity.StepOK, Detail: "chat.example.com → 203.0.113.10", Took: 4 * time.Millisecond},
		{Name: "TCP", Status: affinity.StepOK, Detail: "203.0.113.10:443", Took: 12 * time.Millisecond},
		{Name: "TLS", Status: affinity.StepFailed, Detail: "x509: certificate is valid for ingress.local, not chat.example.com"},
		{Name: "HTTP"}, {Name: "affinity"},
	}})
	return w, w.options()
}

func unheeded() (*world, Options) {
	w, o := noPath()
	w.route.Unheeded = []string{"--resolve typo.example.com:443:203.0.113.9 is for nothing that is asked here, which is chat.example.com:443"}
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	return w, o
}

func noPathToService() (*world, Options) {
	w := base()
	w.route.Kind, w.route.URL, w.route.Layers = affinity.RouteService, "http://10.96.0.12:3000/", w.route.Layers[1:]
	w.apply(affinity.Routes{Source: "direct", Routes: []affinity.Route{w.route}})
	w.open("s01", affinity.ClientBrowser)
	w.fail("s01", affinity.FailureTimeout, 0, "dial tcp 10.96.0.12:3000: i/o timeout")
	w.apply(affinity.PathChecked{Route: w.route.ID, Steps: []affinity.PathStep{{Name: "TCP", Status: affinity.StepFailed, Detail: "10.96.0.12:3000: i/o timeout"}}})
	return w, w.options()
}

func stale() (*world, Options) {
	w := story()
	for _, name := range []string{"endpointslices", "pods"} {
		w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceStale, Since: w.now, Objects: 3,
			Detail: "dial tcp 10.0.0.1:6443: i/o timeout", Retry: w.now.Add(49 * time.Second)}})
	}
	w.now = w.now.Add(42 * time.Second)
	return w, w.options()
}

func noEndpoints() (*world, Options) {
	w := base()
	for i := range w.eps {
		w.eps[i].Ready = false
	}
	w.endpoints()
	return w, w.options()
}

func noService() (*world, Options) {
	w := base()
	w.route.Backend.Service.Name = "nosuch"
	w.route.Layers = w.route.Layers[:1]
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	return w, w.options()
}

func rateLimited() (*world, Options) {
	w := base()
	w.open("s01", affinity.ClientBrowser)
	w.answer("s01", podA, true, 30*time.Millisecond)
	w.now = w.now.Add(time.Second)
	w.fail("s01", affinity.FailureLimited, 429, "429 Too Many Requests, Retry-After 30")
	return w, w.options()
}

func noProbe() (*world, Options) {
	w := base()
	o := w.options()
	o.ReadOnly = true
	return w, o
}

func browserSession() (*world, Options) {
	w := base()
	w.open("s01", affinity.ClientBrowser)
	w.jar["s01"] = "k-10.4.1.23:3000-x"
	w.apply(affinity.Observed{Session: "s01", Status: 200, Took: time.Millisecond, Offers: []affinity.Offer{{Name: "msgapp-sticky", Value: affinity.Secret(w.jar["s01"]), Path: "/"}}})
	return w, w.options()
}

// nameless is a route whose readiness path tells nobody's name.
func nameless() (*world, Options) {
	w := base()
	w.route.ProbePath, w.route.ProbeWhy = "/api/health", "the backend's readiness path"
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	w.open("s01", affinity.ClientBrowser)
	for range 4 {
		w.answer("s01", "", false, time.Millisecond)
		w.now = w.now.Add(time.Second)
	}
	return w, w.options()
}

func urlOnly() (*world, Options) {
	w := newWorld()
	w.route = affinity.Route{ID: "url:https://chat.example.com/", Kind: affinity.RouteURL, URL: "https://chat.example.com/", Host: "chat.example.com", Path: "/", ProbePath: "/"}
	w.apply(affinity.Routes{Source: "url", Routes: []affinity.Route{w.route}})
	w.open("s01", affinity.ClientBrowser)
	w.apply(affinity.Observed{Session: "s01", Status: 200, Took: 20 * time.Millisecond, Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: podA}}}})
	o := w.options()
	o.Context, o.Namespace, o.Target = "", "", affinity.Target{Kind: "url", Name: "https://chat.example.com/"}
	return w, o
}

// urlUnknown is a cookie that the user named, of a format that tells no pod.
func urlUnknown() (*world, Options) {
	w := newWorld()
	w.route = affinity.Route{ID: "url:https://chat.example.com/", Kind: affinity.RouteURL, URL: "https://chat.example.com/", Host: "chat.example.com", Path: "/", ProbePath: "/",
		Layers: []affinity.Layer{{Where: affinity.LayerIngress, Object: "URL", Candidates: []affinity.Policy{{Mechanism: affinity.MechanismCookie, Cookie: affinity.CookieSpec{Name: "SRV"}, Why: "--cookie"}}, Guessed: true}}}
	w.apply(affinity.Routes{Source: "url", Routes: []affinity.Route{w.route}})
	for _, id := range []affinity.SessionID{"s01", "s02"} {
		w.open(string(id), affinity.ClientBrowser)
		w.apply(affinity.Observed{Session: id, Status: 200, Took: 20 * time.Millisecond, Offers: []affinity.Offer{{Name: "SRV", Value: "pod1", Path: "/", Expires: w.now.Add(time.Minute)}}})
	}
	o := w.options()
	o.Context, o.Namespace, o.Target = "", "", affinity.Target{Kind: "url", Name: "https://chat.example.com/"}
	return w, o
}

// TestScreens compares every screen in every size and look with its golden
// file. Update them with -update, and read the difference.
func TestScreens(t *testing.T) {
	for _, s := range screens {
		for _, size := range []struct{ w, h int }{{44, 10}, {60, 15}, {80, 24}, {140, 40}} {
			for _, look := range []string{"ansi", "ascii"} {
				t.Run(fmt.Sprintf("%s/%dx%d/%s", s.name, size.w, size.h, look), func(t *testing.T) {
					w, o := s.make()
					if look == "ascii" {
						o.Term.Colors, o.Term.ASCII = 0, true
					}
					m := sized(o, size.w, size.h)
					press(m, s.keys...)
					if s.then != nil {
						s.then(w, m)
					}
					frame := m.View()
					checkFrame(t, frame, size.w, size.h)
					if look == "ascii" && strings.ContainsFunc(frame, func(r rune) bool { return r > 0x7e }) {
						t.Errorf("not ASCII: %q", frame)
					}
					golden.RequireEqual(t, []byte(frame))
				})
			}
		}
	}
}

// checkFrame checks what holds for every frame: its lines, their width, and
// that nothing but colours is in it beside text.
func checkFrame(t *testing.T, frame string, w, h int) {
	t.Helper()
	lines := strings.Split(frame, "\n")
	if len(lines) != h {
		t.Errorf("%d lines, want %d", len(lines), h)
	}
	for i, line := range lines {
		if n := ansi.StringWidth(line); n > w {
			t.Errorf("line %d has %d cells, want at most %d: %q", i, n, w, line)
		}
		if text := stripColours(line); strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("line %d has control characters: %q", i, text)
		}
	}
}

// stripColours removes SGR sequences and nothing else.
func stripColours(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return b.String() + s
		}
		b.WriteString(s[:i])
		rest := strings.TrimLeft(s[i+2:], "0123456789;")
		if !strings.HasPrefix(rest, "m") {
			return b.String() + s[i:]
		}
		s = rest[1:]
	}
}
