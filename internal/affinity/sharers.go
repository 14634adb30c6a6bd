package affinity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// place is a Service that requests to a route's host and path can reach.
type place struct {
	backend Backend
	object  string // that leads there: "ingress/web-canary"; "" for the route itself
	branch  bool   // by a Policy's word, not only for claiming the same host and path
	canary  bool   // one of the two is the other's
	standby bool   // it is the fallback
}

// findPlaces notes what each route's requests can reach: its own Service first,
// then its Branches, then what other routes of the same host and path lead to:
// two Ingresses may claim one path. It is called when routes change.
func (st *State) findPlaces() {
	type claim struct{ host, path string }
	at := map[claim][]*Route{}
	st.places = make(map[RouteID][]place, len(st.routes))
	for _, r := range st.routes {
		if r.Kind != RouteURL && r.Kind != RouteService {
			at[claim{r.Host, r.Path}] = append(at[claim{r.Host, r.Path}], r)
		}
		all := []place{{backend: r.Backend}}
		for _, c := range st.candidates(r) {
			for _, b := range c.Branches {
				if len(all) <= maxBranches && !slices.ContainsFunc(all, func(x place) bool { return x.backend == b.Backend }) {
					all = append(all, place{b.Backend, b.Object, true, b.Canary || b.Share == "", b.Fallback})
				}
			}
		}
		st.places[r.ID] = all
	}
	for _, all := range at {
		if len(all) == 1 {
			continue
		}
		for _, r := range all {
			var more []place
			for _, x := range all {
				known := slices.ContainsFunc(st.places[r.ID], func(y place) bool { return y.backend.Service == x.Backend.Service })
				if !known && len(more) < maxSharers {
					more = append(more, place{backend: x.Backend, object: strings.ToLower(x.Kind) + "/" + x.Name})
				}
			}
			slices.SortFunc(more, func(a, b place) int {
				return cmp.Or(compareService(a.backend.Service, b.backend.Service), cmp.Compare(a.object, b.object))
			})
			st.places[r.ID] = append(st.places[r.ID], more...)
		}
	}
}

// maxSharers bounds those of one host and path: who made thousands of Ingresses
// of them has another problem. maxBranches bounds a route's Branches.
const (
	maxSharers  = 8
	maxBranches = 32
)

// placeOf is the place of a pod among those that s can reach, gone ones
// included; ok is false when none of them has it.
func (st *State) placeOf(s *session, pod PodRef) (p place, b *backend, ok bool) {
	if pod.IsZero() {
		return place{}, nil, false
	}
	for _, gone := range []bool{false, true} {
		for _, x := range st.places[s.Spec.Route] {
			b := st.backends[x.backend.Service]
			if b == nil {
				continue
			}
			all := b.all
			if gone {
				all = b.gone
			}
			if slices.ContainsFunc(all, func(e Endpoint) bool { return endpointPod(x.backend.Service, e) == pod }) {
				return x, b, true
			}
		}
	}
	return place{}, nil, false
}

// reaches reports whether requests to a route can reach a Service.
func (st *State) reaches(id RouteID, ref ServiceRef) bool {
	return slices.ContainsFunc(st.places[id], func(x place) bool { return x.backend.Service == ref })
}

// behindOf says which Service a pod that is not of the route's own is of; ""
// for its own.
func (p place) behindOf() string {
	if p.object == "" {
		return ""
	}
	return fmt.Sprintf("a pod of svc/%s, by %s", p.backend.Service.Name, p.object)
}

// sharedOut says why a move from one Service to another needs no other cause; ""
// when it was none.
func (st *State) sharedOut(s *session, m Move) string {
	from, _, known := st.placeOf(s, m.From)
	to, _, ok := st.placeOf(s, m.To)
	if !known || !ok || from.backend.Service == to.backend.Service {
		return ""
	}
	x, back := to, to.object == ""
	if back {
		x = from
	}
	switch {
	case to.standby && !from.standby:
		return fmt.Sprintf("svc/%s is the fallback of %s, and took the request", to.backend.Service.Name, to.object)
	case from.standby && !to.standby:
		return fmt.Sprintf("back from svc/%s, the fallback of %s", from.backend.Service.Name, from.object)
	case x.branch && !x.canary && st.policy(s.Spec.Route).Choice == ChoiceByPin:
		return "" // the share decides about new sessions only
	case x.branch && !x.canary:
		text := fmt.Sprintf("%s shares the requests out to svc/%s and svc/%s", x.object, from.backend.Service.Name, to.backend.Service.Name)
		if st.heldService(s) == "" && st.policy(s.Spec.Route).Choice == ChoiceAnew {
			text += ", and no cookie holds which"
		}
		return text
	case x.branch && back:
		return "back from svc/" + from.backend.Service.Name + ", which takes a share by " + from.object
	case x.branch:
		return fmt.Sprintf("svc/%s takes a share by %s, and took the request", to.backend.Service.Name, to.object)
	case back:
		return "back from " + from.object + ", which has the same host and path"
	}
	return to.object + " has the same host and path, and took the request"
}

// OthersText says of how many of r's sessions the last answer was from a pod of
// a Service that another object of the same host and path leads to; "" where it
// was of none.
func (s *Snapshot) OthersText(r Route) string {
	type other struct{ service, object string }
	count := map[other]int{}
	all, theirs := 0, 0
	for _, x := range s.Sessions {
		if x.Spec.Route != r.ID || !x.ClosedAt.IsZero() {
			continue
		}
		all++
		if x.Pod.IsZero() || s.answersFor(r.Backends(), x.Pod) {
			continue
		}
		for _, o := range s.Routes {
			same := o.ID != r.ID && o.Kind != RouteURL && o.Kind != RouteService && o.Host == r.Host && o.Path == r.Path
			if same && s.answersFor([]Backend{o.Backend}, x.Pod) {
				count[other{o.Backend.Service.Name, strings.ToLower(o.Kind) + "/" + o.Name}]++
				theirs++
				break
			}
		}
	}
	if theirs == 0 {
		return ""
	}
	most := slices.SortedFunc(maps.Keys(count), func(a, b other) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.object, b.object), cmp.Compare(a.service, b.service))
	})[0]
	text := fmt.Sprintf("pods of svc/%s, by %s, which has the same host and path, answer %d of %d sessions of %s/%s", most.service, most.object, count[most], all, strings.ToLower(r.Kind), r.Name)
	if more := theirs - count[most]; more > 0 {
		text += fmt.Sprintf(", those of others %d", more)
	}
	return text
}

// answersFor reports whether a pod is an endpoint of one of backends.
func (s *Snapshot) answersFor(backends []Backend, pod PodRef) bool {
	return slices.ContainsFunc(backends, func(b Backend) bool {
		return slices.ContainsFunc(s.endpoints[b.Service], func(e Endpoint) bool { return endpointPod(b.Service, e) == pod })
	})
}
