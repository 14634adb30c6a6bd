package affinity

import (
	"slices"
	"strings"
)

// everywhere are the kinds of objects that concern every route: settings of
// programs, and what is not in a namespace.
var everywhere = []string{"", "ConfigMap", "IngressClass", "GatewayClass", "Node", "Namespace"}

// FindingsOf returns the findings that concern a target, in the order of
// Findings; all of them when the target is a namespace, or nothing at all.
func (s *Snapshot) FindingsOf(t Target) []Finding {
	if t.Kind == "" {
		return s.Findings
	}
	its := map[RouteID]bool{}
	for _, r := range s.Routes {
		if t.Matches(r) {
			its[r.ID] = true
		}
	}
	of := map[SessionID]RouteID{}
	for _, x := range s.Sessions {
		of[x.Spec.ID] = x.Spec.Route
	}
	var all []Finding
	for _, f := range s.Findings {
		if t.concerns(f, its, of) {
			all = append(all, f)
		}
	}
	return all
}

// concerns reports whether f is about one of t's routes, about t itself, or
// about what all routes share.
func (t Target) concerns(f Finding, its map[RouteID]bool, of map[SessionID]RouteID) bool {
	if id := of[f.Session]; f.Session != "" && id != "" {
		return its[id]
	}
	switch {
	case its[f.Route], slices.ContainsFunc(f.Routes, func(id RouteID) bool { return its[id] }):
		return true
	case strings.EqualFold(f.Object.Kind, t.Kind) && f.Object.Name == t.Name && (t.Namespace == "" || f.Object.Namespace == t.Namespace):
		return true
	case f.Route != "" || len(f.Routes) > 0:
		return false
	}
	return slices.Contains(everywhere, f.Object.Kind)
}
