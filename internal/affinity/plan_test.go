package affinity

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestMakePlan(t *testing.T) {
	routes := func(ids ...string) (rs []Route) {
		for _, id := range ids {
			rs = append(rs, Route{ID: RouteID(id)})
		}
		return rs
	}
	ids := func(p Plan) string {
		text := ""
		for _, s := range p.Sessions {
			text += fmt.Sprintf("%s@%s ", s.ID, s.Route)
		}
		return text
	}
	b := Budget{PerRoute: 2, Max: 5, Transports: []string{"http"}, Clients: []ClientModel{ClientBrowser}}
	p := MakePlan(nil, routes("a"), b)
	if got := ids(p); got != "s01@a s02@a " {
		t.Errorf("one route: %s", got)
	}
	p = MakePlan(p.Sessions, routes("a", "b"), b)
	if got := ids(p); got != "s01@a s02@a s03@b s04@b " {
		t.Errorf("another route: %s", got)
	}
	again := MakePlan(p.Sessions, routes("b", "a"), b)
	if got := ids(again); got != "s03@b s04@b s01@a s02@a " {
		t.Errorf("order of routes must not rename sessions: %s", got)
	}
	b.Extra = map[RouteID]int{"a": 1}
	b.Closed = map[SessionID]bool{"s01": true}
	p = MakePlan(p.Sessions, routes("a"), b)
	if got := ids(p); got != "s02@a s05@a " {
		t.Errorf("one closed, one opened by hand: %s", got)
	}
	b = Budget{PerRoute: 3, Max: 4}
	if p = MakePlan(nil, routes("a", "b"), b); len(p.Sessions) != 4 || p.Dropped != 2 {
		t.Errorf("cap: %d sessions, %d dropped, want 4 and 2", len(p.Sessions), p.Dropped)
	}
}

// TestTransportsTakeTurns: each client model with each transport that it speaks,
// at least one of each, and the cap holds over all of them.
func TestTransportsTakeTurns(t *testing.T) {
	all := []string{"http", "ws", "socketio"}
	for name, tt := range map[string]struct {
		b    Budget
		want string
	}{
		"in turn":             {Budget{PerRoute: 4, Transports: all, Clients: []ClientModel{ClientBrowser}}, "http browser, ws browser, socketio browser, http browser"},
		"one of each":         {Budget{PerRoute: 1, Transports: all, Clients: []ClientModel{ClientBrowser}}, "http browser, ws browser, socketio browser"},
		"with models":         {Budget{PerRoute: 1, Transports: all[:2], Clients: []ClientModel{ClientBrowser, ClientNoJar}}, "http browser, ws browser, http no-jar, ws no-jar"},
		"what a model speaks": {Budget{PerRoute: 1, Transports: all, Clients: []ClientModel{ClientWSOnly, "reload=5s", "reload=5", ClientNoJar}}, "socketio ws-only, ws reload=5s, socketio reload=5s, socketio reload=5, http no-jar, ws no-jar, socketio no-jar"},
		"jars of their own":   {Budget{PerRoute: 4, Transports: all[1:], Clients: []ClientModel{"tabs=2"}}, "ws tabs=2 s01, ws tabs=2 s01, socketio tabs=2 s03, socketio tabs=2 s03"},
		"capped":              {Budget{PerRoute: 9, Max: 2, Transports: all, Clients: []ClientModel{ClientBrowser}}, "http browser, ws browser"},
		"none that goes":      {Budget{PerRoute: 3, Transports: all[:1], Clients: []ClientModel{ClientWSOnly}}, ""},
	} {
		var got []string
		for _, s := range MakePlan(nil, []Route{{ID: "r"}}, tt.b).Sessions {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", s.Transport, s.Client, s.Jar)))
		}
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("%s: %s, want %s", name, text, tt.want)
		}
	}
}

func TestTargetMatches(t *testing.T) {
	r := Route{Kind: RouteIngress, Namespace: "ns", Name: "msgapp", Backend: Backend{Service: ServiceRef{"ns", "web"}},
		Via: []Via{{"traefikservice", "shared", "chat"}}}
	tests := []struct {
		target Target
		want   bool
	}{
		{Target{}, true},
		{Target{Kind: "ingress", Name: "msgapp"}, true},
		{Target{Kind: "ingress", Name: "msgapp", Namespace: "other"}, false},
		{Target{Kind: "service", Name: "web", Namespace: "ns"}, true},
		{Target{Kind: "ingressroute", Name: "msgapp"}, false},
		{Target{Kind: "url"}, false},
		{Target{Kind: "traefikservice", Name: "chat"}, true},
		{Target{Kind: "traefikservice", Name: "chat", Namespace: "shared"}, true},
		{Target{Kind: "traefikservice", Name: "chat", Namespace: "ns"}, false},
		{Target{Kind: "gateway", Name: "chat"}, false},
	}
	for _, tt := range tests {
		if got := tt.target.Matches(r); got != tt.want {
			t.Errorf("%+v.Matches = %v, want %v", tt.target, got, tt.want)
		}
	}
}

// TestTabsFromAddresses: the tabs of a browser have its address, and each
// address has a browser of its own.
func TestTabsFromAddresses(t *testing.T) {
	a, b := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")
	for name, tt := range map[string]struct {
		models []ClientModel
		extra  int
		want   string
	}{
		"tabs":              {[]ClientModel{"tabs=3"}, 0, "s01 2 s01, s02 2 s01, s03 2 s01, s04 3 s04, s05 3 s04, s06 3 s04"},
		"tabs and a jar":    {[]ClientModel{"tabs=2", ClientBrowser}, 0, "s01 2 s01, s02 2 s01, s03 3 "},
		"one more by hand":  {[]ClientModel{"tabs=2"}, 1, "s01 2 s01, s02 2 s01, s03 3 s03, s04 3 s03, s05 2 s05"},
		"models take turns": {[]ClientModel{ClientBrowser, ClientNoJar}, 0, "s01 2 , s02 3 "},
	} {
		route := Route{ID: "r", Kind: RouteService}
		plan := MakePlan(nil, []Route{route}, Budget{PerRoute: 2, Max: 20, Clients: tt.models, From: []netip.Addr{a, b}, Extra: map[RouteID]int{"r": tt.extra}})
		var got []string
		for _, s := range plan.Sessions {
			got = append(got, fmt.Sprintf("%s %d %s", s.ID, s.From.As4()[3], s.Jar))
		}
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("%s: %s, want %s", name, text, tt.want)
		}
	}
}

// TestRouteKey: what has no namespace is not given one that is empty.
func TestRouteKey(t *testing.T) {
	for _, tt := range []struct{ kind, namespace, name, host, path, want string }{
		{RouteIngress, "shop", "web", "a.test", "/x", "shop/web a.test/x"},
		{RouteIngress, "", "web", "a.test", "/x", "web a.test/x"},
		{RouteIngress, "shop", "web", "", "", "shop/web */"},
		{RouteHTTPRoute, "shop", "web", "a.test", "/", "httproute:shop/web a.test/"},
		{RouteHTTPRoute, "", "web", "a.test", "/", "httproute:web a.test/"},
		{RouteURL, "", "https", "a.test", "/", "url:https a.test/"},
	} {
		if got := RouteKey(tt.kind, tt.namespace, tt.name, tt.host, tt.path); string(got) != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
	if got := (ServiceRef{Name: "web"}).String() + " " + (ServiceRef{"shop", "web"}).String(); got != "web shop/web" {
		t.Error(got)
	}
}
