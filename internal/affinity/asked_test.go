package affinity

import (
	"strings"
	"testing"
	"time"
)

func TestAsks(t *testing.T) {
	for _, tt := range []struct {
		route       Route
		asks, wider string
	}{
		{Route{Kind: RouteIngress, Path: "/", ProbePath: "/api/health", ProbeWhy: "the backend's readiness path"}, "/api/health", "/"},
		{Route{Kind: RouteIngress, ProbePath: "/api/health", ProbeWhy: "the backend's readiness path"}, "/api/health", "/"},
		{Route{Kind: RouteIngress, Path: "/", ProbePath: "/", ProbeWhy: "the route's path"}, "", ""},
		{Route{Kind: RouteIngress, ProbePath: "/"}, "", ""},
		{Route{Kind: RouteIngress, Path: "/app", ProbePath: "/me", ProbeWhy: "--path"}, "/me", ""},
		{Route{Kind: RouteIngress, Path: "/", ProbePath: "/me", ProbeWhy: "--path"}, "/me", ""},
		{Route{Kind: RouteIngress, Path: "/api(/|$)(.*)", ProbePath: "/api"}, "/api", ""},
		{Route{Kind: RouteURL, Path: "/x", ProbePath: "/y"}, "", ""},
		{Route{Kind: RouteService, Path: "/", ProbePath: "/y"}, "", ""},
	} {
		asks, _ := tt.route.Asks()
		if wider := tt.route.Wider(); asks != tt.asks || wider != tt.wider {
			t.Errorf("%+v asks for %q, wider %q; want %q, %q", tt.route, asks, wider, tt.asks, tt.wider)
		}
		if got := tt.route.AsksOf(SessionSpec{Transport: "http"}); got != tt.asks {
			t.Errorf("a session of HTTP asks for %q, want %q", got, tt.asks)
		}
		if got := tt.route.AsksOf(SessionSpec{Transport: "ws"}); got != "" {
			t.Errorf("a WebSocket asks for %q, which it does not", got)
		}
		if got := tt.route.AsksOf(SessionSpec{Transport: "socketio", Path: "/socket.io/"}); got != "/socket.io/" {
			t.Errorf("a session of Socket.IO asks for %q", got)
		}
	}
}

func TestElsewhere(t *testing.T) {
	now := time.Unix(1000, 0)
	for path, told := range map[string]bool{"": false, "/": false, "/socket.io": false, "/socket.io/": false, "/socket.i": true, "/chat": true, "/chat(/.*)?": false} {
		var st State
		r := Route{ID: "r", Path: path}
		st.Apply(Routes{Source: "x", Routes: []Route{r}}, now)
		st.Apply(SessionOpened{Spec: SessionSpec{ID: "s01", Route: "r", Transport: "socketio", Path: "/socket.io/"}}, now)
		st.Apply(SessionOpened{Spec: SessionSpec{ID: "s02", Route: "r", Transport: "ws"}}, now)
		if text := st.Snapshot(now).ElsewhereText(r); (text != "") != told {
			t.Errorf("path %q: %q", path, text)
		}
	}
}

func TestNameless(t *testing.T) {
	now := time.Date(2026, 3, 14, 14, 0, 0, 0, time.UTC)
	r := Route{ID: "r", Kind: RouteIngress, Path: "/", ProbePath: "/api/health", ProbeWhy: "the backend's readiness path", Backend: Backend{Service: ServiceRef{Namespace: "web", Name: "web"}}}
	pod := PodRef{Namespace: "web", Name: "web-1"}
	var st State
	st.Apply(Routes{Source: "ingresses", Routes: []Route{r}}, now)
	st.Apply(PodChanged{Pod: Pod{Ref: pod, IP: "10.0.0.1", Ready: true}}, now)
	st.Apply(EndpointsChanged{Service: r.Backend.Service, Endpoints: []Endpoint{{Addr: "10.0.0.1:80", IP: "10.0.0.1", Pod: pod, Ready: true}}}, now)
	st.Apply(SessionOpened{Spec: SessionSpec{ID: "s01", Route: "r", Transport: "http"}}, now)
	for n := range 3 {
		if text := st.Snapshot(now).NamelessText(r); text != "" {
			t.Errorf("after %d answers: %q", n, text)
		}
		st.Apply(Observed{Session: "s01", Status: 200}, now)
	}
	text := st.Snapshot(now).NamelessText(r)
	for _, want := range []string{"/api/health", "readiness", "--path / "} {
		if !strings.Contains(text+" ", want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	st.Apply(Observed{Session: "s01", Status: 200, Answer: Answer{Header: []Field{{Name: "X-Pod-Name", Value: "web-1"}}}}, now)
	if text := st.Snapshot(now).NamelessText(r); text != "" {
		t.Errorf("an answer named its pod, yet %q", text)
	}
}

// TestRedirectsText: a route of which only redirects are seen says so.
func TestRedirectsText(t *testing.T) {
	const login = "http://chat.test/login"
	session := func(to string, failure *Failure, statuses ...int) *Session {
		x := &Session{Spec: SessionSpec{Route: "r"}, Requests: len(statuses), Redirect: to, LastFailure: failure}
		for _, status := range statuses {
			x.LastStatus = status
			x.Exchanges = append(x.Exchanges, Exchange{Status: status})
		}
		return x
	}
	other := session("", nil, 200)
	other.Spec.Route = "other"
	ended := session("", nil, 200)
	ended.ClosedAt = tNow
	for _, tt := range []struct {
		name     string
		sessions []*Session
		want     string
	}{
		{"nobody asked", []*Session{session("", nil)}, ""},
		{"all", []*Session{session(login, nil, 302, 302), session(login, nil, 302), session("", nil), other, ended},
			"the last answers are all redirects: 302 to " + login + ", not followed; --path asks for another page"},
		{"apart", []*Session{session(login, nil, 302), session(login+"/2", nil, 302)},
			"the last answers are all redirects: 302 to " + login + " and elsewhere, not followed; --path asks for another page"},
		{"one page", []*Session{session(login, nil, 302), session("", nil, 200)}, ""},
		{"a page before", []*Session{session(login, nil, 200, 302)}, ""},
		{"off the host", []*Session{session(login, &Failure{Kind: FailureRedirect}, 302)}, ""},
		{"escapes", []*Session{session("http://x/\x1b[2J", nil, 302)}, "the last answers are all redirects: 302 to http://x/·[2J, not followed; --path asks for another page"},
	} {
		if got := (&Snapshot{Sessions: tt.sessions}).RedirectsText(Route{ID: "r"}); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
