package main

import (
	"context"
	"net/url"
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/engine"
	"github.com/kubestickytop/stickytop/internal/kube"
)

// fixed is a source that knows its routes from the start: a URL.
type fixed []affinity.Route

func (f fixed) Run(ctx context.Context, emit func(affinity.Event)) error {
	emit(affinity.Routes{Source: "url", Routes: f})
	<-ctx.Done()
	return nil
}

// seen is a source whose events the follower of logs sees too.
type seen struct {
	engine.Source
	logs *kube.Logs
}

func (s seen) Run(ctx context.Context, emit func(affinity.Event)) error {
	return s.Source.Run(ctx, func(e affinity.Event) {
		emit(e)
		s.logs.Saw(e, emit)
	})
}

// seenProber is the same for a prober.
type seenProber struct {
	engine.Prober
	logs *kube.Logs
}

func (p seenProber) Run(ctx context.Context, emit func(affinity.Event)) error {
	return seen{p.Prober, p.logs}.Run(ctx, emit)
}

// asking replaces the path that probes ask for on every route of a source.
type asking struct {
	engine.Source
	path string
	why  string
}

// asks replaces the path where the user named one: --path comes first, then a
// URL's own, as for the sessions (probe, Options.URL).
func (f *probeFlags) asks(source engine.Source) engine.Source {
	if f.path != "" {
		return asking{source, f.path, "--path"}
	}
	if u, err := url.Parse(f.url); err == nil && u.Path != "" && u.Path != "/" {
		return asking{source, u.RequestURI(), "--url"}
	}
	return source
}

func (a asking) Run(ctx context.Context, emit func(affinity.Event)) error {
	return a.Source.Run(ctx, func(e affinity.Event) {
		if r, ok := e.(affinity.Routes); ok {
			routes := make([]affinity.Route, len(r.Routes))
			for i := range r.Routes {
				routes[i] = r.Routes[i]
				routes[i].ProbePath, routes[i].ProbeWhy = a.path, a.why
			}
			e = affinity.Routes{Source: r.Source, Routes: routes}
		}
		emit(e)
	})
}

// unmatching notes on the routes of a target what --resolve names and none of
// them asks: routes are known only while it runs.
type unmatching struct {
	engine.Source
	target affinity.Target
	told   func([]affinity.Route) []string
}

func (u unmatching) Run(ctx context.Context, emit func(affinity.Event)) error {
	return u.Source.Run(ctx, func(e affinity.Event) {
		if all, ok := e.(affinity.Routes); ok {
			mine := slices.Clone(all.Routes)
			mine = slices.DeleteFunc(mine, func(r affinity.Route) bool { return !u.target.Matches(r) })
			if notes := u.told(mine); len(notes) > 0 {
				e = affinity.Routes{Source: all.Source, Routes: u.noted(all.Routes, notes)}
			}
		}
		emit(e)
	})
}

func (u unmatching) noted(routes []affinity.Route, notes []string) []affinity.Route {
	routes = slices.Clone(routes)
	for i := range routes {
		if u.target.Matches(routes[i]) {
			routes[i].Unheeded = notes
		}
	}
	return routes
}
