package affinity

import (
	"strings"
	"time"
)

// Event is something a source saw. The set is closed; Apply handles each.
type Event interface{ event() }

// Routes replaces every route that the source named Source knows. A source
// that merges objects (two Ingresses on one Service) can only say all of them
// together.
type Routes struct {
	Source string
	Routes []Route
}

// ServiceChanged adds or replaces a Service.
type ServiceChanged struct{ Service Service }

// ServiceGone removes a Service and its endpoints.
type ServiceGone struct{ Ref ServiceRef }

// EndpointsChanged replaces the endpoints of a Service: all its slices, merged.
type EndpointsChanged struct {
	Service   ServiceRef
	Endpoints []Endpoint
}

// PodChanged adds or replaces a pod. Tag, Gone and Turns are the State's; what
// they hold here is ignored.
type PodChanged struct{ Pod Pod }

// PodGone removes a pod; it stays known as gone for the pins that name it.
type PodGone struct{ Ref PodRef }

// IngressPodsListed are the pods of ingress controllers, those of namespaces that
// are not watched among them: all there are.
type IngressPodsListed struct{ Pods []Pod }

// SourceChanged is a source's own state: RBAC, staleness, sync progress.
type SourceChanged struct{ Status SourceStatus }

// ClusterEvent is a line for the timeline that no other event carries: an
// Ingress edited, a rollout.
type ClusterEvent struct {
	At      time.Time // zero for now
	Kind    string
	Subject string // "Ingress msgapp"
	Text    string
	Route   RouteID // when it explains moves on one route
}

// SessionOpened announces a synthetic client.
type SessionOpened struct{ Spec SessionSpec }

// SessionClosed ends one. Its history stays until Forget.
type SessionClosed struct {
	ID     SessionID
	Reason string
}

// CookieDropped tells that a client threw its affinity cookie away, and why:
// "max-age passed", "dropped by you".
type CookieDropped struct {
	Session SessionID
	Name    string
	Reason  string
	Expired bool // its own time was up
}

// PathChecked replaces the route's reachability ladder.
type PathChecked struct {
	Route RouteID
	Steps []PathStep
}

// Observed is one round trip of a session: exactly one request, answered or
// not.
type Observed struct {
	Session   SessionID
	RequestID string // the X-Request-Id that was sent
	Leg       string // part of a transport that has several: LegHandshake…; "" for HTTP
	Took      time.Duration
	Status    int      // HTTP status; 0 when no answer came
	Failure   *Failure // why no usable answer came; nil otherwise
	Remote    string   // address that was really connected to, "ip:port"
	Host      string   // host that was asked for, with its port if one was given; "" when nothing was sent

	Answer Answer // what came back, bounded
	Sent   []Sent
	Offers []Offer // Set-Cookie headers, in order: with one name twice, the last served (ingress-nginx)

	Redirect string // Location that was not followed; "" when none

	// Refused is an Engine.IO server's own reason for the failure; nil when
	// there is none.
	Refused *Refusal
}

// Awaiting tells that a request has got no answer for a while, before Observed
// tells how it ended.
type Awaiting struct {
	Session SessionID
	Since   time.Time // when it was sent
	Step    string    // what it waits for, safe to print: "the TLS handshake with 10.0.0.1:443"; "" when not known
}

// Refusal is an Engine.IO server's reason: engine.io's codes, 0 to 5, or -1
// where the words are not its.
type Refusal struct {
	Code    int
	Message string // safe to print
}

// Failure is why a round trip gave no usable answer.
type Failure struct {
	Op   string // "dial", "tls", "write", "read", "status"
	Kind FailureKind
	Text string // for people; safe to print
}

// FailureKind lets the screen say what failed without parsing text.
type FailureKind uint8

const (
	FailureOther FailureKind = iota
	FailureDNS
	FailureRefused
	FailureTimeout
	FailureTLS
	FailureStatus    // an HTTP status that is the ingress's word, not the app's: 502, 503, 504
	FailureProtocol  // not HTTP
	FailureLimited   // 429
	FailureRedirect  // sent off the host
	FailureNoAddress // nobody knows where the ingress is
	FailureSession   // the server does not know this session: code 1
	FailureDenied    // the server took the request and refused it: an Engine.IO or Socket.IO error
	FailureForeign   // an answer, but not of the protocol: HTML where Engine.IO was asked for
	FailureClosed    // a held connection ended
	FailureVersion   // an answer in another version of Engine.IO than the client's, or the refusal of that: code 5
)

func (k FailureKind) String() string {
	return [...]string{"other", "dns", "refused", "timeout", "tls", "status", "protocol", "rate-limited", "redirect", "no-address",
		"session-unknown", "refused-by-server", "foreign", "closed", "version"}[k]
}

// Sent is a cookie that went out with a request.
type Sent struct {
	Name  string
	Value Secret
}

// Offer is a Set-Cookie header as it was received.
type Offer struct {
	Name     string
	Value    Secret
	Path     string // as received; "" when absent
	Domain   string
	Secure   bool
	HTTPOnly bool
	SameSite string
	Expires  time.Time // when it ends by the client's clock; zero for a browser session
	Deletes  bool      // it tells the client to forget the cookie
	// NotReturned says why this client will not send it back to this route
	// ("Path=/app does not cover /socket.io/"); "" when it will.
	NotReturned string
}

// Answer is the part of a response that may name a pod. Both parts are bounded
// by the probe, and dropped once folded.
type Answer struct {
	Header []Field
	Body   []byte
}

// Field is one header line.
type Field struct{ Name, Value string }

// SourceStatus is one watch's or source's state.
type SourceStatus struct {
	Name    string // "pods", "endpointslices"
	Group   string // API group of objects: "discovery.k8s.io"; "" for core, and what is none
	Cluster bool   // its objects are in no namespace
	State   SourceState
	Since   time.Time // of this state
	Objects int
	Detail  string    // error, or what is lost without it
	Retry   time.Time // next attempt; zero when none is planned
	// Unread says that no complete list has arrived yet: that nothing is known is
	// then no word about what is there.
	Unread bool
	// Unreached says of what is stale that nothing answers for the API server, or
	// nothing that is one.
	Unreached bool
}

// kernelSource begins the names of the sources that read nodes' tables.
const kernelSource = "kernel"

// OfNode reports whether the source reads a node's tables, not the API.
func (s SourceStatus) OfNode() bool { return strings.HasPrefix(s.Name, kernelSource) }

// AgentsSource is the source that tells how the agents of this run are.
const AgentsSource = "agents"

// OfObjects reports whether the source tells of the cluster's objects. A lost
// agent or unread tables of a node leave those as they are.
func (s SourceStatus) OfObjects() bool { return !s.OfNode() && s.Name != AgentsSource }

// SourceState is how far a source can be believed.
type SourceState uint8

const (
	SourceSyncing   SourceState = iota // first list under way
	SourceLive                         // what is shown is what is
	SourceStale                        // connection lost; what is shown was
	SourceForbidden                    // RBAC says no
	SourceAbsent                       // the API is not installed
	SourceOff                          // not asked for
)

func (s SourceState) String() string {
	return [...]string{"syncing", "live", "stale", "forbidden", "absent", "off"}[s]
}

func (Routes) event()            {}
func (ServiceChanged) event()    {}
func (ServiceGone) event()       {}
func (EndpointsChanged) event()  {}
func (PodChanged) event()        {}
func (PodGone) event()           {}
func (IngressPodsListed) event() {}
func (SourceChanged) event()     {}
func (ClusterEvent) event()      {}
func (SessionOpened) event()     {}
func (SessionClosed) event()     {}
func (CookieDropped) event()     {}
func (PathChecked) event()       {}
func (Observed) event()          {}
func (Awaiting) event()          {}
