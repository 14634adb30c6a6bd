package affinity

import (
	"fmt"
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
	b := Budget{PerRoute: 2, Max: 5, Transport: "http", Client: ClientBrowser}
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

func TestTargetMatches(t *testing.T) {
	r := Route{Kind: RouteIngress, Namespace: "ns", Name: "msgapp", Backend: Backend{Service: ServiceRef{"ns", "web"}}}
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
	}
	for _, tt := range tests {
		if got := tt.target.Matches(r); got != tt.want {
			t.Errorf("%+v.Matches = %v, want %v", tt.target, got, tt.want)
		}
	}
}
