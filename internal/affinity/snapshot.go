package affinity

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Snapshot is the state at one instant. Nothing in it is ever written again;
// two snapshots share what did not change between them.
type Snapshot struct {
	Seq      uint64     // grows with every event folded
	At       time.Time  // when it was taken
	Routes   []Route    // by ID
	Services []Service  // by Ref
	Pods     []Pod      // by Ref; pods that are gone but named by a pin among them
	Sessions []*Session // by ID
	Sources  []SourceStatus
	Timeline []Happening // oldest first
	Findings []Finding   // of all sources, worst first
	// Comparisons are of routes with sessions of several kinds, by route, at most
	// a second old.
	Comparisons []Comparison
	// Pins by address, where a node's tables are read.
	AddressPins  []*AddressPin // by Service, port, client, node
	AddressLists []AddressList // by Service, port, endpoint, node
	AddressEnds  []AddressEnd  // the last ones that ended, oldest first
	IngressPods  []Pod         // of controllers, where they were looked for beyond what is watched
	Dataplane    Dataplane     // what keeps them, as the nodes that are read or the cluster's objects tell

	endpoints map[ServiceRef][]Endpoint
	podIndex  map[PodRef]int
}

// Happening is a line of the timeline.
type Happening struct {
	Seq       uint64 // position in the run; grows
	At        time.Time
	Source    string // "probe", "k8s", "watch"
	Kind      string // "move", "loose", "pinned", "contradiction", "reborn", "failing", "status", "answered", "split", "pod", "endpoints", "ingress", "source", "cookie", "session", "socket", "finding", "compared"
	Session   SessionID
	Pod       PodRef
	Route     RouteID
	Text      string
	Cause     uint64 // Seq of the Happening that explains it; 0 when none
	CauseText string
	Level     Level
}

// Level is how loud a Happening is.
type Level uint8

const (
	LevelInfo Level = iota
	LevelChange
	LevelWarning
	LevelBroken
)

// Endpoints returns the endpoints of a Service, sorted by address.
func (s *Snapshot) Endpoints(ref ServiceRef) []Endpoint { return s.endpoints[ref] }

// RouteEndpoints returns the endpoints of a route's own backend.
func (s *Snapshot) RouteEndpoints(r Route) []Endpoint { return s.BackendEndpoints(r.Backend) }

// BackendEndpoints returns the endpoints of a backend's port.
func (s *Snapshot) BackendEndpoints(b Backend) []Endpoint {
	return ofPort(s.endpoints[b.Service], b.PortName)
}

// PlaneOf is what keeps pins by address on a node: as its tables tell, else as
// all that is known does.
func (s *Snapshot) PlaneOf(node string) Dataplane {
	for _, l := range s.AddressLists {
		if l.Node == node && l.Mode != "" {
			return Dataplane{Mode: l.Mode, Why: "the tables of " + node, Read: true}
		}
	}
	return s.Dataplane
}

// NoService says that the Service that a route names does not exist, where all of
// them are known; "" elsewhere.
func (s *Snapshot) NoService(r Route) string {
	ref := r.Backend.Service
	listed := s.Is("services", SourceLive) || slices.ContainsFunc(s.Sources, func(x SourceStatus) bool {
		return x.Name == "services" && x.State == SourceStale && !x.Unread
	})
	// Another namespace may not be watched.
	watched := ref.Namespace == r.Namespace || slices.ContainsFunc(s.Services, func(x Service) bool { return x.Ref.Namespace == ref.Namespace })
	if r.Kind == RouteURL || ref.Name == "" || !listed || !watched || slices.ContainsFunc(s.Services, func(x Service) bool { return x.Ref == ref }) {
		return ""
	}
	return fmt.Sprintf("svc/%s, which %s/%s names, does not exist", ref.Name, strings.ToLower(r.Kind), r.Name)
}

// NoneReady says that no pod behind a route is ready, where the cluster says so;
// "" elsewhere.
func (s *Snapshot) NoneReady(r Route) string {
	name := r.Backend.Service.Name
	known := slices.ContainsFunc(s.Sources, func(x SourceStatus) bool {
		return x.Name == "endpointslices" && (x.State == SourceLive || x.State == SourceStale && !x.Unread)
	})
	all := s.RouteEndpoints(r)
	if r.Kind == RouteURL || name == "" || !known || slices.ContainsFunc(all, func(e Endpoint) bool { return e.Ready }) {
		return ""
	}
	switch len(all) {
	case 0:
		return "svc/" + name + " has no endpoints"
	case 1:
		return "svc/" + name + " has 1 endpoint, which is not ready"
	}
	return fmt.Sprintf("svc/%s has %d endpoints, none of them ready", name, len(all))
}

// Pod returns the pod of that name.
func (s *Snapshot) Pod(ref PodRef) (Pod, bool) {
	i, ok := s.podIndex[ref]
	if !ok {
		return Pod{}, false
	}
	return s.Pods[i], true
}

// Route returns the route of that ID.
func (s *Snapshot) Route(id RouteID) (Route, bool) {
	for _, r := range s.Routes {
		if r.ID == id {
			return r, true
		}
	}
	return Route{}, false
}

// Session returns the session of that ID, or nil.
func (s *Snapshot) Session(id SessionID) *Session {
	for _, x := range s.Sessions {
		if x.Spec.ID == id {
			return x
		}
	}
	return nil
}

// ofPort keeps the endpoints of one port. Endpoints of a Service with a single
// unnamed port have PortName "".
func ofPort(all []Endpoint, port string) []Endpoint {
	same := true
	for _, e := range all {
		same = same && e.PortName == port
	}
	if same {
		return all
	}
	var kept []Endpoint
	for _, e := range all {
		if e.PortName == port {
			kept = append(kept, e)
		}
	}
	return kept
}

// Health sums up the sources of objects: the worst state and since when.
func (s *Snapshot) Health() (SourceState, time.Time) {
	worst, since := SourceLive, time.Time{}
	if len(s.Sources) == 0 {
		return SourceOff, since
	}
	rank := map[SourceState]int{SourceOff: 0, SourceAbsent: 0, SourceLive: 1, SourceForbidden: 2, SourceSyncing: 3, SourceStale: 4}
	for _, src := range s.Sources {
		switch {
		case !src.OfObjects():
		case rank[src.State] > rank[worst]:
			worst, since = src.State, src.Since
		case src.State == worst && src.Since.Before(since):
			since = src.Since
		}
	}
	return worst, since
}

// Named returns the Service that t names; nil where it names none that is there.
func (s *Snapshot) Named(t Target) *Service {
	for i := range s.Services {
		if ref := s.Services[i].Ref; t.Kind == "service" && ref.Name == t.Name && (t.Namespace == "" || ref.Namespace == t.Namespace) {
			return &s.Services[i]
		}
	}
	return nil
}

// Unknown returns the sources whose objects nobody has seen, because the API
// server was lost before it listed them: nothing may be called absent then.
func (s *Snapshot) Unknown() []SourceStatus {
	var out []SourceStatus
	for _, src := range s.Sources {
		if src.State == SourceStale && src.Unread {
			out = append(out, src)
		}
	}
	return out
}

// Is reports whether the source of that name is in a state.
func (s *Snapshot) Is(source string, state SourceState) bool {
	return slices.ContainsFunc(s.Sources, func(x SourceStatus) bool { return x.Name == source && x.State == state })
}
