package main

import (
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestComparison(t *testing.T) {
	sum := func(transport string, client affinity.ClientModel, held, wander, broken, unknown, once int) affinity.KindSummary {
		return affinity.KindSummary{Route: "r", SessionKind: affinity.SessionKind{Transport: transport, Client: client},
			Sessions: held + wander + broken + unknown, Held: held, Wander: wander, Broken: broken, Unknown: unknown, Once: once}
	}
	const jar, none = affinity.ClientBrowser, affinity.ClientNoJar
	type sums = []affinity.KindSummary
	for name, tt := range map[string]struct {
		all  sums
		rule string // of a finding that s1, of Socket.IO and no-jar, shows
		want string
	}{
		"all held":             {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", jar, 2, 0, 0, 0, 0)}, "", "every transport was held by one pod"},
		"models all held":      {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("http", none, 2, 0, 0, 0, 0)}, "", "every client model was held by one pod"},
		"none":                 {sums{sum("http", jar, 0, 2, 0, 0, 0), sum("socketio", jar, 0, 2, 0, 0, 0)}, "", "no transport was held"},
		"one wanders":          {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", jar, 0, 2, 0, 0, 0)}, "", "sticky only for http, not for socketio (0 of 2)"},
		"refused by a pod":     {sums{sum("http", none, 2, 0, 0, 0, 0), sum("socketio", none, 0, 0, 2, 0, 0)}, "I01", "sticky only for http, not for socketio (0 of 2, I01)"},
		"not answered":         {sums{sum("http", none, 2, 0, 0, 0, 0), sum("socketio", none, 0, 0, 2, 0, 0)}, "I08", "not held the same: socketio (2 of 2 fail); they show I08 too: get findings"},
		"nobody answers":       {sums{sum("http", jar, 0, 0, 2, 0, 0), sum("ws", jar, 0, 0, 2, 0, 0)}, "", "every session fails"},
		"some of a kind":       {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", jar, 1, 1, 0, 0, 0)}, "", "not held the same: socketio (1 of 2)"},
		"workers":              {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", none, 2, 0, 0, 0, 0)}, "I02", "every transport with every client model was held by one pod; they show I02 too: get findings"},
		"once is no proof":     {sums{sum("http", jar, 0, 2, 0, 0, 0), sum("ws", jar, 2, 0, 0, 0, 2)}, "", "not held the same: http (0 of 2); ws: one request a session, which shows no more than where it went"},
		"once each":            {sums{sum("http", jar, 1, 0, 0, 0, 1), sum("ws", jar, 1, 0, 0, 0, 1)}, "", "not known: too few requests; http, ws: one request a session, which shows no more than where it went"},
		"not known":            {sums{sum("http", jar, 0, 0, 0, 2, 0), sum("ws", jar, 0, 0, 0, 2, 0)}, "", "not known" + namePods},
		"one not known":        {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("ws", jar, 0, 0, 0, 2, 0)}, "", "held by one pod: http; not known for ws" + namePods},
		"both ways":            {sums{sum("http", jar, 2, 0, 0, 0, 0), sum("socketio", none, 0, 2, 0, 0, 0)}, "B07", "title; sticky only for http browser, not for socketio no-jar (0 of 2, B07)"},
		"models, by a finding": {sums{sum("socketio", jar, 2, 0, 0, 0, 0), sum("socketio", none, 0, 2, 0, 0, 0)}, "B07", "title"},
	} {
		snap := &affinity.Snapshot{
			Sessions: []*affinity.Session{{Spec: affinity.SessionSpec{ID: "s1", Route: "r", Transport: "socketio", Client: none}}},
			Findings: []affinity.Finding{{Rule: tt.rule, Route: "r", Session: "s1", Title: "title"}},
		}
		if got := newComparison(snap, tt.all).verdict(); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
