package findings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// Settlement is which of the controllers that may serve a route does, as a
// cookie of it proved.
type Settlement struct {
	Controller string // as in affinity.Policy.Controller
	Mode       string
	Proof      string
}

// SettledBy are the settlements of routes that sessions were sent to.
func SettledBy(routes []affinity.Route) map[affinity.RouteID]Settlement {
	var all map[affinity.RouteID]Settlement
	for _, r := range routes {
		l, ok := r.Layer(affinity.LayerIngress)
		if !ok || l.Guessed || l.Proof == "" || len(l.Candidates) < 2 {
			continue
		}
		if all == nil {
			all = map[affinity.RouteID]Settlement{}
		}
		p := l.Policy()
		all[r.ID] = Settlement{p.Controller, p.Mode, l.Proof}
	}
	return all
}

// settle chooses the controller of each route that several may serve: the one
// that a cookie proved, else the one that this world supposes.
func (w *world) settle(routes []affinity.Route) {
	for i := range routes {
		r := &routes[i]
		for n := range r.Layers {
			l := &r.Layers[n]
			if l.Where != affinity.LayerIngress || len(l.Candidates) < 2 {
				continue
			}
			s, ok := w.Settled[r.ID]
			if !ok {
				s, ok = w.ran[nameKey{r.Kind, r.Namespace, r.Name}]
			}
			at := slices.IndexFunc(l.Candidates, func(p affinity.Policy) bool {
				return ok && p.Controller == s.Controller && (s.Mode == "" || p.Mode == s.Mode)
			})
			if at >= 0 {
				l.Chosen, l.Proof = at, s.Proof
				w.proved(r, s)
				continue
			}
			keys := make([]string, len(l.Candidates))
			for c, p := range l.Candidates {
				keys[c] = p.Controller
			}
			by := w.suppose(keys)
			l.Chosen = slices.IndexFunc(l.Candidates, func(p affinity.Policy) bool { return p.Controller == by })
		}
	}
}

// suppose chooses between the controllers that may serve a place as this world
// does: the first world the likeliest, each other another.
func (w *world) suppose(keys []string) string {
	w.fits = max(w.fits, len(keys))
	return keys[min(w.supposed, len(keys)-1)]
}

// running is the workload that runs Traefik's provider, where none runs
// ingress-nginx.
func running(all []*workload) *workload {
	for _, x := range all {
		if _, ok := controllerImage(x); ok {
			return nil
		}
	}
	return traefikProvider(all)
}

// sole finds the Ingresses of a class that several controllers answer to, of
// which one alone was seen to run: in a cluster, or beside the class in files.
func (w *world) sole(objects []*Object, by []ingress.Served) {
	w.ran = map[nameKey]Settlement{}
	if w.ControllersUnread != "" {
		return
	}
	runs := map[string]string{}
	for _, x := range w.workloads {
		for _, cont := range x.containers() {
			switch image := strings.ToLower(cont.Str("image")); {
			case strings.Contains(image, "traefik"): // its configuration may be in a file
				runs[traefikNginxKey] = cmp.Or(runs[traefikNginxKey], x.String())
			case strings.Contains(image, "nginx") && strings.Contains(image, "controller"), slices.ContainsFunc(cont.words("args"), func(a string) bool { return strings.HasPrefix(a, "/nginx-ingress-controller") }):
				if !otherClass(cont) {
					runs[nginxKey] = cmp.Or(runs[nginxKey], x.String())
				}
			}
		}
	}
	if runs[traefikNginxKey] != "" && traefikProvider(w.workloads) == nil && runs[nginxKey] == "" {
		return // whether the provider is on is not told
	}
	for i, s := range by {
		if s.Presumed || len(s.Keys) < 2 {
			continue
		}
		key := ""
		for _, k := range s.Keys {
			if runs[k] != "" && key == "" {
				key = k
			} else if runs[k] != "" {
				key = "several"
			}
		}
		if runs[key] != "" {
			w.ran[nameKey{objects[i].Kind, objects[i].Namespace, objects[i].Name}] = Settlement{Controller: key, Proof: affinity.Clean(runs[key], 120) + " runs it, and nothing the other"}
		}
	}
}

// otherClass reports whether an ingress-nginx was told to serve classes of
// another spec.controller than its usual one.
func otherClass(c *Value) bool {
	for _, a := range c.words("args") {
		if v, ok := strings.CutPrefix(a, "--controller-class="); ok && v != "k8s.io/ingress-nginx" {
			return true
		}
	}
	return false
}

// Running is the controller that the workloads among the objects run, where
// they tell which of several that may serve a class is there.
func (f Facts) Running() ingress.Running {
	var all []*workload
	for _, o := range f.Objects {
		if slices.Contains(workloadKinds, o.Kind) && known(o) {
			all = append(all, &workload{Object: o})
		}
	}
	return runs(running(all))
}

func runs(x *workload) ingress.Running {
	if x == nil {
		return ingress.Running{}
	}
	return ingress.Running{Key: traefikNginxKey, By: affinity.Clean(x.String(), 120)}
}

// proved notes a settlement for the Ingress of the route.
func (w *world) proved(r *affinity.Route, s Settlement) {
	if w.settled == nil {
		w.settled = map[nameKey]Settlement{}
	}
	if key := (nameKey{r.Kind, r.Namespace, r.Name}); w.settled[key].Controller == "" {
		w.settled[key] = s
	}
}

// served is who serves an Ingress in this world.
func (w *world) served(o *Object, s ingress.Served) (out ingress.Served, settled bool) {
	if by, ok := w.settled[nameKey{o.Kind, o.Namespace, o.Name}]; ok {
		return s.Only(by.Controller), true
	}
	if len(s.Keys) < 2 {
		return s, false
	}
	return s.First(w.suppose(s.Keys)), false
}

// supposing makes w the same world in which another controller serves what no
// cookie has settled. Two at once would take twice the memory.
func (w *world) supposing(other int) {
	w.supposed, w.ingresses, w.routes, w.hosts, w.settled, w.asked, w.lookup = other, nil, nil, nil, nil, nil, nil
	w.addRoutes()
}

// verdict is what makes two findings of two worlds the same.
type verdict struct {
	rule   string
	object affinity.ObjectRef
	route  affinity.RouteID
	title  string
	sev    affinity.Severity
}

func verdictOf(f affinity.Finding) verdict {
	f.Object.Line = 0
	return verdict{f.Rule, f.Object, f.Route, f.Title, f.Severity}
}

// doubt makes those of all likely that hold for the presumed controller alone:
// where another of those that may serve the objects did, the rules would not say
// them. It names the presumption. Afterwards w is another world.
func (w *world) doubt(all []affinity.Finding) {
	if w.fits < 2 {
		return
	}
	who := w.whoMay()
	for other := 1; other < w.fits; other++ {
		w.supposing(other)
		var rule string
		var there map[verdict]bool // of that rule
		var found []affinity.Finding
		for i := range all {
			f := &all[i]
			if f.Rule != rule {
				rule, there, found = f.Rule, map[verdict]bool{}, found[:0]
				w.run(&Rules[slices.IndexFunc(Rules, func(r Rule) bool { return r.ID == rule })], &found)
				for _, x := range found {
					there[verdictOf(x)] = true
				}
			}
			if f.Certainty == affinity.CertaintyNotChecked || there[verdictOf(*f)] || slices.ContainsFunc(f.Evidence, isPresumption) {
				continue
			}
			presumed, others := who.of(*f)
			if presumed == "" {
				continue
			}
			why := others + " answers to the same class, and this does not hold for it"
			if w.runs != nil {
				why += "; " + w.runs.String() + " runs the presumed one"
			} else if w.ControllersUnread != "" {
				why += "; which of them runs is not known: " + affinity.Clean(w.ControllersUnread, 160)
			}
			f.Certainty = affinity.CertaintyLikely
			f.Evidence = append(slices.Clip(f.Evidence), affinity.FindingEvidence{Source: "object", Field: presumedField, Value: presumed,
				Text: why})
			if f.Impact != "" {
				f.Impact = fmt.Sprintf("if %s serves it, which is presumed: %s", presumed, f.Impact)
			}
		}
	}
}

const presumedField = "controller presumed"

func isPresumption(e affinity.FindingEvidence) bool { return e.Field == presumedField }

// may are the controllers that may serve what no cookie has settled, the
// presumed one first.
type may struct {
	objects map[nameKey][]string // Ingresses and their classes
	routes  map[affinity.RouteID][]string
}

func (w *world) whoMay() may {
	m := may{map[nameKey][]string{}, map[affinity.RouteID][]string{}}
	for i := range w.ingresses {
		if ing := &w.ingresses[i]; !ing.settled && len(ing.served.Keys) > 1 {
			m.objects[nameKey{ing.Kind, ing.Object.Namespace, ing.Object.Name}] = ing.served.Keys
			m.objects[nameKey{"IngressClass", "", ing.served.Class}] = ing.served.Keys
		}
	}
	for i := range w.routes {
		r := &w.routes[i]
		l, _ := r.Layer(affinity.LayerIngress)
		if l.Settled() {
			continue
		}
		for _, p := range l.Candidates {
			m.routes[r.ID] = append(m.routes[r.ID], p.Controller)
		}
	}
	return m
}

// of names the controller that f presumes, and those it may be instead; "" where
// f is about nothing that several may serve.
func (m may) of(f affinity.Finding) (presumed, others string) {
	keys := m.objects[nameKey{f.Object.Kind, f.Object.Namespace, f.Object.Name}]
	if keys == nil {
		keys = m.routes[f.Route]
	}
	if keys == nil {
		return "", ""
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = cmp.Or(ingress.Title(k), k)
	}
	return names[0], strings.Join(names[1:], " or ")
}
