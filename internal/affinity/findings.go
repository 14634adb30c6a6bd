package affinity

import (
	"cmp"
	"fmt"
	"slices"
)

// Findings replaces every finding that the source named Source knows: rules
// over objects can only say all of them together, and a finding that is no
// longer true is simply not in the next one.
type Findings struct {
	Source   string // "rules", "sockets", "clientip"…
	Findings []Finding
}

func (Findings) event() {}

// maxFindings bounds what one source may hold, for a source that goes astray.
const maxFindings = 4096

func (st *State) applyFindings(e Findings) {
	all := slices.Clone(e.Findings)
	before := make(map[findingKey]Finding, len(st.findings[e.Source]))
	for _, f := range st.findings[e.Source] {
		before[keyOf(f)] = f
	}
	for i, f := range all {
		if old := before[keyOf(f)].At; !old.IsZero() && (f.At.IsZero() || old.Before(f.At)) {
			all[i].At = old
		}
	}
	st.setFindings(e.Source, all)
}

// setFindings makes all the findings of a source, each as of the time that it
// comes with.
func (st *State) setFindings(source string, all []Finding) {
	if n := len(all) - maxFindings; n > 0 {
		all = append(all[:maxFindings:maxFindings], Finding{Rule: NoRule, Title: "not every finding is listed", NotChecked: fmt.Sprintf("%d more findings than are kept, the least of them", n)})
	}
	st.findings[source] = all
	st.views.findings = nil
}

type findingKey struct {
	rule    string
	object  ObjectRef
	route   RouteID
	session SessionID
}

func keyOf(f Finding) findingKey { return findingKey{f.Rule, f.Object, f.Route, f.Session} }

// SortFindings puts the worst first, what was not checked last; equals by
// rule, object, route and session.
func SortFindings(all []Finding) { slices.SortStableFunc(all, compareFindings) }

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(b.rank(), a.rank()),
		cmp.Compare(a.Rule, b.Rule),
		cmp.Compare(a.Object.Namespace, b.Object.Namespace),
		cmp.Compare(a.Object.Kind, b.Object.Kind),
		cmp.Compare(a.Object.Name, b.Object.Name),
		cmp.Compare(a.Object.File, b.Object.File),
		cmp.Compare(a.Object.Line, b.Object.Line),
		cmp.Compare(a.Route, b.Route),
		cmp.Compare(a.Session, b.Session),
		cmp.Compare(a.Title, b.Title),
	)
}

// mendByObjects gives what sessions and nodes' tables showed the fix of the
// objects that cause it, where there is one: only those who read the objects know
// what to write into them.
func (st *State) mendByObjects(all []Finding) {
	if !slices.ContainsFunc(all, func(f Finding) bool { return f.objectsMend }) {
		return
	}
	type about struct {
		rule, kind, namespace, name string
		route                       RouteID
	}
	object := func(f Finding) about {
		return about{rule: f.Rule, kind: f.Object.Kind, namespace: f.Object.Namespace, name: f.Object.Name}
	}
	route := func(f Finding) about { return about{rule: f.Rule, route: f.Route} }
	fixes := map[about]Finding{}
	for source, theirs := range st.findings {
		for _, x := range theirs { // worst first
			if source == "sockets" || source == addressSource || x.Patch == "" || x.Rule == "E03" && x.Route == "" { // that one is about a load balancer, no ingress
				continue
			}
			for _, key := range []about{object(x), route(x)} {
				if _, had := fixes[key]; !had {
					fixes[key] = x
				}
			}
		}
	}
	for i := range all {
		f := &all[i]
		if !f.objectsMend || f.Patch != "" {
			continue
		}
		x, ok := fixes[route(*f)]
		if !ok || f.Route == "" {
			x, ok = fixes[object(*f)] // of several routes of an Ingress one is told of
		}
		if ok {
			f.Fix, f.Patch = x.Fix, x.Patch
		}
	}
}

// rank orders findings by what they ask for: a problem, a fact, nothing.
func (f Finding) rank() int {
	if f.Certainty == CertaintyNotChecked {
		return -1
	}
	return int(f.Severity)
}

// Fails reports whether f is a problem, as opposed to a fact, a check that
// passed, or one that could not be made.
func (f Finding) Fails() bool {
	return f.Certainty != CertaintyNotChecked && f.Severity >= SeverityLow
}
