package engine

import (
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// replan asks the prober for the sessions that the routes of snap should have,
// when those routes differ from the last time, or who gets error pages does.
func (e *Engine) replan(snap *affinity.Snapshot) {
	if e.prober == nil {
		return
	}
	routes := Chosen(snap.Routes, e.selected)
	key := planKey(routes)
	faceless := map[affinity.SessionID]bool{}
	for _, s := range snap.Sessions {
		if s.Faceless() {
			faceless[s.Spec.ID] = true
			key += string(s.Spec.ID) + "\x00"
		}
	}
	if key != e.routes {
		e.routes = key
		e.want(routes, faceless)
	}
}

// Chosen returns the routes that target means. Without a target it is the only
// object that has routes, if there is but one; between several the user
// chooses.
func Chosen(routes []affinity.Route, target affinity.Target) []affinity.Route {
	var chosen []affinity.Route
	for _, r := range routes {
		if target.Matches(r) {
			chosen = append(chosen, r)
		}
	}
	if target.Kind != "" {
		return chosen
	}
	for _, r := range chosen {
		if r.Kind != chosen[0].Kind || r.Namespace != chosen[0].Namespace || r.Name != chosen[0].Name {
			return nil
		}
	}
	return chosen
}

// planKey changes when anything does that a session's requests depend on.
func planKey(routes []affinity.Route) string {
	var b strings.Builder
	for _, r := range routes {
		b.WriteString(string(r.ID) + "\x00" + r.ProbePath + "\x00" + r.URL + "\x00" + strings.Join(r.Addresses, ",") + "\x00")
		for _, l := range r.Layers {
			for _, c := range l.Candidates {
				b.WriteString(c.Mechanism.String() + " " + c.Cookie.Name + "\x00")
			}
		}
		if r.TLS {
			b.WriteString("tls")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (e *Engine) want(routes []affinity.Route, faceless map[affinity.SessionID]bool) {
	plan := affinity.MakePlan(e.planned, routes, e.opts.Budget)
	plan.Faceless = faceless
	// What was planned once stays known: a route that is away for a moment
	// gets its sessions back under their names.
	e.planned = merge(e.planned, plan.Sessions)
	e.prober.Want(plan)
}

// merge adds to all what it does not hold yet.
func merge(all, more []affinity.SessionSpec) []affinity.SessionSpec {
	for _, s := range more {
		if !slices.ContainsFunc(all, func(x affinity.SessionSpec) bool { return x.ID == s.ID }) {
			all = append(all, s)
		}
	}
	return all
}

// command carries out what the user asked for.
func (e *Engine) command(c affinity.Command) {
	switch c.Kind {
	case affinity.CommandOpen:
		e.opts.Budget.Extra[c.Route]++
		e.routes = ""
	case affinity.CommandClose:
		e.opts.Budget.Closed[c.Session] = true
		e.routes = ""
	case affinity.CommandSelect:
		e.selected, e.routes = c.Target, ""
	case affinity.CommandDropCookie, affinity.CommandReprobe:
		if e.prober != nil {
			e.prober.Do(c)
		}
	case affinity.CommandReconnect, affinity.CommandPerform:
		if e.opts.Perform != nil {
			e.opts.Perform(c)
		}
	}
	if e.routes == "" {
		e.replan(e.newest.Load())
	}
}
