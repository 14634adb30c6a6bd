package affinity

import (
	"cmp"
	"slices"
	"strings"
)

// sharer is another route of the same host and path, to another Service: a
// canary takes a share of the primary's requests, and two Ingresses may claim
// one path.
type sharer struct {
	service ServiceRef
	object  string // "ingress/web-canary"
}

// findSharers notes which routes share a place. It is called when routes change.
func (st *State) findSharers() {
	type place struct{ host, path string }
	at := map[place][]*Route{}
	for _, r := range st.routes {
		if r.Kind != RouteURL && r.Kind != RouteService {
			at[place{r.Host, r.Path}] = append(at[place{r.Host, r.Path}], r)
		}
	}
	st.sharers = map[RouteID][]sharer{}
	for _, all := range at {
		for _, r := range all {
			for _, x := range all {
				if x.Backend.Service != r.Backend.Service && len(st.sharers[r.ID]) < maxSharers {
					st.sharers[r.ID] = append(st.sharers[r.ID], sharer{x.Backend.Service, strings.ToLower(x.Kind) + "/" + x.Name})
				}
			}
			slices.SortFunc(st.sharers[r.ID], func(a, b sharer) int {
				return cmp.Or(compareService(a.service, b.service), cmp.Compare(a.object, b.object))
			})
		}
	}
}

// maxSharers bounds those of one place: who made thousands of Ingresses of one
// host and path has another problem.
const maxSharers = 8

// sharedTo is the other route of the place of s that leads to a pod; its zero
// value when none does.
func (st *State) sharedTo(s *session, pod PodRef) sharer {
	for _, x := range st.sharers[s.Spec.Route] {
		b := st.backends[x.service]
		if b != nil && slices.ContainsFunc(b.all, func(e Endpoint) bool { return endpointPod(x.service, e) == pod }) {
			return x
		}
	}
	return sharer{}
}
