package affinity

import (
	"slices"
	"strings"
	"time"
)

// State folds events. Its zero value is ready to use. One goroutine at a time
// may use it; Snapshots may be read by any.
type State struct {
	// Hints says how responses name their pod; set it before the first event.
	Hints Hints

	seq      uint64
	happened uint64

	bySource      map[string][]Route
	routes        map[RouteID]*Route
	settled       map[RouteID]settlement
	steps         map[RouteID][]PathStep
	services      map[ServiceRef]Service
	turned        map[ServiceRef]turned
	backends      map[ServiceRef]*backend
	policies      map[RouteID]*Policy // in force, worked out on demand
	tables        map[tableKey]tableEntry
	routesVersion uint64
	places        map[RouteID][]place // what each one's requests can reach
	pods          map[PodRef]Pod
	tags          map[PodRef]string
	sources       map[string]SourceStatus
	edits         map[RouteID]edit
	loose         map[RouteID]bool // the timeline has told that nothing holds its sessions
	timeline      []Happening
	findings      map[string][]Finding // by source

	sessions map[SessionID]*session
	order    []SessionID

	found map[foundKey]verdict // what sockets showed
	cuts  []cut                // connections that were cut, newest last

	spoke      map[RouteID]map[string]SessionID // last to connect in each version of Engine.IO
	cookieWord map[RouteID]cookieWord

	comparisons comparisons

	views     views
	addresses addresses
	dataplane Dataplane
	// ingressPods are known for their addresses alone.
	ingressPods []Pod
}

// settlement is which candidate policy the cookies proved.
type settlement struct {
	at         time.Time // when the newest of the cookies came
	controller string
	mode       string
	proof      string
	hint       string // in place of proof, where only the shape of the cookie speaks
	offer      Offer  // the cookie
}

// edit is the last change of a route's configuration.
type edit struct {
	at   time.Time
	seq  uint64
	text string
}

// views are the parts of the last snapshot, reused while they are current.
type views struct {
	routes    []Route
	services  []Service
	pods      []Pod
	podIndex  map[PodRef]int
	sources   []SourceStatus
	findings  []Finding
	endpoints map[ServiceRef][]Endpoint
	sessions  []*Session
	sessionsN int // sessions changed since views.sessions was built
}

func (st *State) init() {
	if st.routes != nil {
		return
	}
	st.bySource = map[string][]Route{}
	st.routes = map[RouteID]*Route{}
	st.settled = map[RouteID]settlement{}
	st.steps = map[RouteID][]PathStep{}
	st.services = map[ServiceRef]Service{}
	st.turned = map[ServiceRef]turned{}
	st.backends = map[ServiceRef]*backend{}
	st.tables = map[tableKey]tableEntry{}
	st.policies = map[RouteID]*Policy{}
	st.pods = map[PodRef]Pod{}
	st.tags = map[PodRef]string{}
	st.sources = map[string]SourceStatus{}
	st.edits = map[RouteID]edit{}
	st.loose = map[RouteID]bool{}
	st.findings = map[string][]Finding{}
	st.sessions = map[SessionID]*session{}
	st.found = map[foundKey]verdict{}
	st.cookieWord = map[RouteID]cookieWord{}
	st.spoke = map[RouteID]map[string]SessionID{}
}

// Apply folds one event that was seen at now. It is the only mutation.
func (st *State) Apply(e Event, now time.Time) {
	st.init()
	st.seq++
	switch e := e.(type) {
	case Routes:
		st.applyRoutes(e, now)
	case ServiceChanged:
		st.applyService(e.Service, now)
	case ServiceGone:
		delete(st.services, e.Ref)
		delete(st.turned, e.Ref)
		st.views.services = nil
		st.applyEndpoints(EndpointsChanged{Service: e.Ref}, now)
	case EndpointsChanged:
		st.applyEndpoints(e, now)
	case PodChanged:
		st.applyPod(e.Pod, now)
	case PodGone:
		st.applyPodGone(e.Ref, now)
	case SourceChanged:
		st.applySource(e.Status, now)
	case ClusterEvent:
		st.applyClusterEvent(e, now)
	case PathChecked:
		st.steps[e.Route] = slices.Clone(e.Steps)
		st.views.routes = nil
	case SessionOpened:
		st.openSession(e.Spec, now)
	case SessionClosed:
		st.closeSession(e, now)
	case CookieDropped:
		st.dropCookie(e, now)
	case Awaiting:
		if s, ok := st.sessions[e.Session]; ok && s.ClosedAt.IsZero() {
			s.Awaiting, s.AwaitingStep = e.Since, e.Step
			st.judge(s)
		}
	case Observed:
		st.observe(e, now)
	case AddressPinsChanged:
		st.applyAddressPins(e, now)
	case IngressPodsListed:
		st.applyIngressPods(e, now)
	case DataplaneDetected:
		st.applyDataplane(e)
	case Findings:
		st.applyFindings(e)
	case SocketChanged:
		st.applySocket(e, now)
	case Attributed:
		st.attribute(e, now)
	case CookieShared:
		st.shareCookie(e, now)
	}
}

// Snapshot returns the state at now.
func (st *State) Snapshot(now time.Time) *Snapshot {
	st.init()
	st.forgetGone(now) // first: what it forgets is not in the views
	st.endDerived(now)
	st.refreshViews()
	st.compareNow(now)
	st.addresses.view()
	return &Snapshot{
		Seq: st.seq, At: now,
		Routes: st.views.routes, Services: st.views.services, Pods: st.views.pods, podIndex: st.views.podIndex,
		Sessions: st.views.sessions, Sources: st.views.sources,
		Timeline: st.timeline[max(0, len(st.timeline)-MaxTimeline):len(st.timeline):len(st.timeline)],
		Findings: st.views.findings, Comparisons: st.comparisons.all,
		endpoints: st.views.endpoints,
		Dataplane: st.addresses.plane, IngressPods: st.ingressPods,

		AddressPins: st.addresses.viewPins, AddressLists: st.addresses.viewLists, AddressEnds: lastOf(st.addresses.ends, maxAddressEnds),
	}
}

func (st *State) refreshViews() {
	v := &st.views
	if v.routes == nil {
		v.routes = make([]Route, 0, len(st.routes))
		for id := range st.routes {
			v.routes = append(v.routes, st.routeView(id))
		}
		slices.SortFunc(v.routes, func(a, b Route) int { return strings.Compare(string(a.ID), string(b.ID)) })
	}
	if v.services == nil {
		v.services = make([]Service, 0, len(st.services))
		for _, s := range st.services {
			v.services = append(v.services, s)
		}
		slices.SortFunc(v.services, func(a, b Service) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	}
	if v.pods == nil {
		v.pods = make([]Pod, 0, len(st.pods))
		for ref, p := range st.pods {
			p.Tag = st.tags[ref]
			v.pods = append(v.pods, p)
		}
		slices.SortFunc(v.pods, func(a, b Pod) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
		v.podIndex = make(map[PodRef]int, len(v.pods))
		for i, p := range v.pods {
			v.podIndex[p.Ref] = i
		}
	}
	if v.sources == nil {
		v.sources = make([]SourceStatus, 0, len(st.sources))
		for _, s := range st.sources {
			v.sources = append(v.sources, s)
		}
		slices.SortFunc(v.sources, func(a, b SourceStatus) int { return strings.Compare(a.Name, b.Name) })
	}
	if v.findings == nil {
		v.findings = []Finding{}
		for _, all := range st.findings {
			v.findings = append(v.findings, all...)
		}
		st.mendByObjects(v.findings)
		SortFindings(v.findings)
	}
	if v.endpoints == nil {
		v.endpoints = make(map[ServiceRef][]Endpoint, len(st.backends))
		for ref, b := range st.backends {
			v.endpoints[ref] = b.all
		}
	}
	if v.sessions == nil || v.sessionsN > 0 || len(v.sessions) != len(st.order) {
		v.sessions = make([]*Session, len(st.order))
		for i, id := range st.order {
			v.sessions[i] = st.sessionView(st.sessions[id])
		}
		v.sessionsN = 0
	}
}

// routeView is a route with what has been learned of it since.
func (st *State) routeView(id RouteID) Route {
	r := *st.routes[id]
	r.Steps = st.steps[id]
	proved, ok := st.settled[id]
	if !ok {
		return r
	}
	r.Layers = slices.Clone(r.Layers)
	for i, l := range r.Layers {
		if l.Guessed {
			r.Layers[i] = l.guess(proved)
			continue
		}
		for n, c := range l.Candidates {
			if l.Where == LayerIngress && c.Controller == proved.controller && (proved.mode == "" || c.Mode == proved.mode) {
				r.Layers[i].Chosen, r.Layers[i].Proof = n, proved.proof
				break
			}
		}
	}
	return r
}
