package affinity

import (
	"strings"
	"time"
)

// Kinds of routes.
const (
	RouteIngress       = "Ingress"
	RouteIngressRoute  = "IngressRoute"  // traefik.io/v1alpha1
	RouteHTTPRoute     = "HTTPRoute"     // gateway.networking.k8s.io/v1
	RouteHTTPProxy     = "HTTPProxy"     // projectcontour.io/v1
	RouteVirtualServer = "VirtualServer" // k8s.nginx.org/v1
	RouteOpenShift     = "Route"         // route.openshift.io/v1
	RouteService       = "Service"       // a Service asked itself, no ingress in between
	RouteURL           = "URL"           // named by the user, no cluster needed
)

// Route is one host and path and the Service behind it.
type Route struct {
	ID        RouteID
	Kind      string
	Namespace string
	Name      string // of the Ingress
	Host      string // "" for any host
	Path      string // as written
	PathType  string
	Class     string // IngressClass name
	Backend   Backend
	TLS       bool     // the object asks for TLS for this host
	Addresses []string // where it is reached: IPs or host names
	URL       string   // of a RouteURL or a RouteService

	// AddressFrom is whose Addresses are, "" for those of the object's own
	// status. AddressHint says, without any, why there is none.
	AddressFrom, AddressHint string

	// ProbePath is what a probe asks for; ProbeWhy says where it is from (the
	// readiness probe's path, the route's path, the user).
	ProbePath string
	ProbeWhy  string

	// Layers in the order that a request meets them: ingress, service.
	Layers []Layer

	// Steps is the last reachability check, outermost first; nil before it.
	Steps []PathStep

	// Via are other objects that its requests pass, before or after its own: a
	// target may name them.
	Via []Via

	Notes []string // two ingresses claiming one host and path, unknown service…

	Contested []string // those of Notes about others that claim the same host and path

	// Unheeded is what the command line says and no session of the routes that
	// are asked goes by.
	Unheeded []string
}

// Via is an object on a route's way, its kind in lower case: "traefikservice".
type Via struct{ Kind, Namespace, Name string }

// Backend is what a route sends its requests to.
type Backend struct {
	Service  ServiceRef
	Port     string // as written in the Ingress, number or name: part of ingress-nginx's salt
	PortName string // name of the Service's port, which EndpointSlices carry; often ""
}

// Layer returns the route's layer at where.
func (r Route) Layer(where string) (Layer, bool) {
	for _, l := range r.Layers {
		if l.Where == where {
			return l, true
		}
	}
	return Layer{}, false
}

// Branches are the other Services that get a share of the route's requests, as
// the policy in force at the ingress says.
func (r Route) Branches() []Branch {
	l, _ := r.Layer(LayerIngress)
	return l.Policy().Branches
}

// Backends are the route's own and those of its Branches.
func (r Route) Backends() []Backend {
	all := []Backend{r.Backend}
	for _, b := range r.Branches() {
		all = append(all, b.Backend)
	}
	return all
}

// Policy returns the policy of the layer that decides for this route's
// traffic: the first that is not bypassed and does anything.
func (r Route) Policy() Policy {
	for _, l := range r.Layers {
		if p := l.Policy(); l.Bypassed == "" && p.Mechanism != MechanismNone {
			return p
		}
	}
	return Policy{}
}

// Service is a Service, with the one layer it can have itself.
type Service struct {
	Ref        ServiceRef
	Type       string
	ClusterIP  string
	Headless   bool
	Ports      []ServicePort
	Policy     Policy // ClientIP or none; Why says which field
	NeedsNone  string // why no affinity is needed: "headless", "one replica"; "" when it may be
	HasIngress bool
}

// HeadlessText says of a headless Service what that means to its clients.
const HeadlessText = "is headless: its clients connect to its pods themselves, and no node pins them"

// ServicePort is one port of a Service.
type ServicePort struct {
	Name     string
	Port     int
	Protocol string
}

// Endpoint is one address behind a Service, of one port. A pod that serves two
// ports has two.
type Endpoint struct {
	Addr        string // "ip:port", IPv6 in brackets, as net.JoinHostPort prints it
	IP          string
	PortName    string
	Pod         PodRef // zero when the slice names none
	PodUID      string // "" when the slice names none
	Node        string
	Ready       bool // EndpointSlice conditions, discovery.k8s.io/v1
	Serving     bool
	Terminating bool
}

// Usable reports whether a controller that reads conditions as p says still
// sends pinned clients to e.
func (e Endpoint) Usable(p Policy) bool {
	return e.Ready || p.KeepsTerminating && e.Serving
}

// Pod is the part of a pod that matters here.
type Pod struct {
	Ref       PodRef
	Tag       string // letter on screen, unique and never reused in a run; "" until one is needed
	IP        string
	HostIP    string // the node's address
	Node      string
	Phase     string
	Reason    string // CrashLoopBackOff, Evicted…; "" when all is well
	Ready     bool
	Total     int // containers
	ReadyN    int
	Restarts  int
	LastEnd   string // how a container of it ended last, "OOMKilled, exit code 137"; "" when none did. Safe to print
	Created   time.Time
	Deletion  time.Time // end of the grace period once terminating; zero before
	Grace     time.Duration
	Owner     string // "ReplicaSet/msgapp-7c9f"
	Labels    map[string]string
	Gone      time.Time // when it was last seen; zero while it exists
	NamedOnly bool      // known from responses alone
	// Turns are when it was seen to become ready or not, oldest first, the last
	// maxTurns; none for one that was ready when it was seen first. Going not
	// ready because it terminates is none.
	Turns []ReadyTurn

	restartedAt time.Time // when a container of it was last seen to have restarted; zero for not
}

// Workload is what made p, as kubectl writes it: "deployment/web"; "" where that
// is not known. The name of a Deployment's ReplicaSet ends in the hash that is in
// its pods' labels.
func (p Pod) Workload() string {
	kind, name, _ := strings.Cut(p.Owner, "/")
	switch kind {
	case "StatefulSet", "DaemonSet":
		return strings.ToLower(kind) + "/" + name
	case "ReplicaSet":
		if of, ok := strings.CutSuffix(name, "-"+p.Labels["pod-template-hash"]); ok && of != "" {
			return "deployment/" + of
		}
	}
	return ""
}

// ReadyTurn is a change of a pod's readiness.
type ReadyTurn struct {
	At    time.Time
	Ready bool
}

const maxTurns = 32

// turns are the turns of p, which was old before, now.
func (p Pod) turns(old Pod, had bool, now time.Time) []ReadyTurn {
	past := old.Turns
	if !had || !old.Gone.IsZero() || !old.Created.Equal(p.Created) {
		past, old.Ready = nil, true
	}
	if p.Ready == old.Ready || !p.Ready && p.Terminating() {
		return past
	}
	return append(past[max(0, len(past)-maxTurns+1):len(past):len(past)], ReadyTurn{now, p.Ready})
}

// Terminating reports whether the pod was asked to end.
func (p Pod) Terminating() bool { return !p.Deletion.IsZero() }

// leftBy reports whether the pod was asked to end, or was gone, by that time.
func (p Pod) leftBy(at time.Time) bool {
	switch {
	case p.Terminating():
		return !p.Deletion.Add(-p.Grace).After(at)
	case !p.Gone.IsZero():
		return !p.Gone.After(at)
	}
	return false
}

// PathStep is one step of reaching an ingress: DNS, TCP, TLS, HTTP, affinity.
type PathStep struct {
	Name   string
	Status StepStatus
	Detail string
	Took   time.Duration
}

// StepStatus is the outcome of a PathStep.
type StepStatus uint8

const (
	StepNotTried StepStatus = iota
	StepOK
	StepFailed
)
