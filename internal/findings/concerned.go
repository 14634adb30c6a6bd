package findings

import (
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// concerned are the routes whose traffic each object decides about: a route's
// own object, its Service, the workloads behind that, and what scales and
// guards them. Files have no use for it.
func (w *world) concerned() map[nameKey][]affinity.RouteID {
	if !w.Cluster {
		return nil
	}
	out := map[nameKey][]affinity.RouteID{}
	add := func(o *Object, id affinity.RouteID) {
		if o == nil {
			return
		}
		k := nameKey{o.Kind, o.Namespace, o.Name}
		if !slices.Contains(out[k], id) && len(out[k]) < maxConcerned {
			out[k] = append(out[k], id)
		}
	}
	for i := range w.routes {
		r := &w.routes[i]
		add(r.object, r.ID)
		add(r.service, r.ID)
		for _, x := range r.loads {
			add(x.Object, r.ID)
			add(w.hpa(x), r.ID)
			add(w.pdb(x), r.ID)
		}
	}
	return out
}

// maxConcerned bounds the routes of one object.
const maxConcerned = 256
