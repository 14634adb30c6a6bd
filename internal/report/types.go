// Package report turns snapshots into what a program or a pipe can read: typed
// lists of stickytop.dev/v1alpha1 as JSON, YAML, tables, names, JSONPath,
// Go templates and custom columns.
package report

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// APIVersion of every object that is printed.
const APIVersion = "stickytop.dev/v1alpha1"

// List is a list of one kind, as kubectl's printers take it.
type List[T any] struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        ListMeta `json:"metadata"`
	Items           []T      `json:"items"`
}

// ListMeta says how far a list can be believed.
type ListMeta struct {
	At      metav1.MicroTime `json:"at"`
	Sources []SourceStatus   `json:"sources,omitempty"`
	// Warnings are what a reader of lint's FindingList should know beside it, as
	// of a stickytop.dev/ignore that is not heeded.
	Warnings []string `json:"warnings,omitempty"`
	// Unread is what lint's FindingList says nothing about, because it could not be
	// read.
	Unread []Unread `json:"unread,omitempty"`
	// Ignored is what objects silence, of lint's FindingList.
	Ignored []IgnoredFinding `json:"ignored,omitempty"`
	// Dataplane is what keeps pins by address, of a PinList; absent where the
	// cluster was not asked.
	Dataplane *Dataplane `json:"dataplane,omitempty"`
	// Comparisons are of routes that sessions of several client models or
	// transports ask, of a SessionList and a FindingList.
	Comparisons []Comparison `json:"comparisons,omitempty"`
	// FillingLists are the nodes' lists of a PinList that are four fifths full, or
	// that clients were pushed out of.
	FillingLists []FillingList `json:"fillingLists,omitempty"`

	// all namespaces were asked.
	all bool
}

// Comparison is what the sessions of several kinds came to on one route.
type Comparison struct {
	Route   string         `json:"route"`
	Result  string         `json:"result"` // same, differs, none, unknown
	Verdict string         `json:"verdict"`
	Kinds   []ComparedKind `json:"kinds"`
}

// ComparedKind sums up the sessions of one transport and client model.
type ComparedKind struct {
	Transport string `json:"transport"`
	Client    string `json:"client"`
	Sessions  int    `json:"sessions"`
	Held      int    `json:"held"`
	Wander    int    `json:"wander"`
	Failing   int    `json:"failing"`
	Unknown   int    `json:"unknown"`
	Requests  int    `json:"requests"`
	Failures  int    `json:"failures"`
	Moves     int    `json:"moves"`
	Unheld    int    `json:"unheld"`
}

// FillingList is where a node keeps the pins of one endpoint.
type FillingList struct {
	Node      string `json:"node"`
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	PortName  string `json:"portName,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Endpoint  string `json:"endpoint"`
	Live      int    `json:"live"`    // pins in their time
	Expired   int    `json:"expired"` // over, and still taking a place
	Limit     int    `json:"limit"`
	Evicts    bool   `json:"evicts"`            // when full, a new client pushes out another; else it is not pinned
	Evicted   int    `json:"evicted,omitempty"` // pins that were seen to end so
}

// SourceStatus is one watch.
type SourceStatus struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// Dataplane is what keeps pins by address on the nodes.
type Dataplane struct {
	Mode      string   `json:"mode,omitempty"`  // absent when not known, or nodes differ
	Modes     []string `json:"modes,omitempty"` // that nodes are in
	Why       string   `json:"why,omitempty"`
	Semantics string   `json:"semantics"`
}

// SessionList, PodList and RouteList are what `get` prints.
type (
	SessionList = List[Session]
	PodList     = List[Pod]
	RouteList   = List[Route]
)

// GetObjectKind implements runtime.Object.
func (l *List[T]) GetObjectKind() schema.ObjectKind { return &l.TypeMeta }

// DeepCopyObject implements runtime.Object. Printers only read.
func (l *List[T]) DeepCopyObject() runtime.Object {
	c := *l
	c.Items = append([]T(nil), l.Items...)
	return &c
}

// Session is one synthetic client.
type Session struct {
	metav1.TypeMeta `json:",inline"` // empty inside a list

	Name         string     `json:"name"`
	Transport    string     `json:"transport"`
	Client       string     `json:"client"`
	SourceIP     string     `json:"sourceIP,omitempty"` // its own address, with --from
	Route        RouteRef   `json:"route"`
	ProbePath    string     `json:"probePath,omitempty"` // what it asks for, where that is not the route's path
	State        string     `json:"state"`
	Detail       string     `json:"detail,omitempty"`
	Pod          *PodRef    `json:"pod,omitempty"`
	Via          string     `json:"via,omitempty"`
	Evidence     []Evidence `json:"evidence"`
	Disagreement string     `json:"disagreement,omitempty"`
	Pin          *Pin       `json:"pin,omitempty"`
	Timers       []Timer    `json:"timers,omitempty"`
	Requests     int        `json:"requests"`
	Failures     int        `json:"failures"`
	LastStatus   int        `json:"lastStatus,omitempty"`
	// StatusCount is how often LastStatus came in a row, since StatusSince.
	// StatusNote is what it amounts to when it is an error that a pod is behind;
	// ErrorAnswers counts those, which are not among Failures.
	StatusCount  int               `json:"statusCount,omitempty"`
	StatusSince  *metav1.MicroTime `json:"statusSince,omitempty"`
	StatusNote   string            `json:"statusNote,omitempty"`
	ErrorAnswers int               `json:"errorAnswers"`
	CutCount     int               `json:"cutCount,omitempty"` // held connections that ended unasked, but for those among Failures
	LastFailure  string            `json:"lastFailure,omitempty"`
	TookMillis   float64           `json:"tookMilliseconds,omitempty"`
	MoveCount    int               `json:"moveCount"`   // changes of pod that something had held
	UnheldCount  int               `json:"unheldCount"` // changes of pod that nothing held
	Moves        []Move            `json:"moves"`
	Exchanges    []Exchange        `json:"exchanges,omitempty"` // with --requests

	Held `json:",inline"`

	address *Timer // of the pin of its address, where that is what holds it
}

// RouteRef names the route a session takes.
type RouteRef struct {
	Namespace string `json:"namespace,omitempty"`
	Ingress   string `json:"ingress,omitempty"`
	Host      string `json:"host,omitempty"`
	Path      string `json:"path,omitempty"`
	Service   string `json:"service,omitempty"`
	Port      string `json:"port,omitempty"`
	URL       string `json:"url,omitempty"`
}

// PodRef is a pod, as far as it is known.
type PodRef struct {
	Tag       string `json:"tag,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	IP        string `json:"ip,omitempty"`
	Phase     string `json:"phase,omitempty"`
}

// Evidence is one source's word on the pod.
type Evidence struct {
	Source string            `json:"source"`
	Pod    string            `json:"pod,omitempty"`
	Detail string            `json:"detail,omitempty"`
	At     *metav1.MicroTime `json:"at,omitempty"`
}

// Pin is the tie and its time. Value is masked unless asked for.
type Pin struct {
	Layer            string            `json:"layer"`
	Key              string            `json:"key"`
	Value            string            `json:"value,omitempty"`
	Since            metav1.MicroTime  `json:"since"`
	Expires          *metav1.MicroTime `json:"expires,omitempty"`
	RemainingSeconds *float64          `json:"remainingSeconds,omitempty"`
	Renewal          string            `json:"renewal"`
	Decoder          string            `json:"decoder,omitempty"`
	Endpoint         string            `json:"endpoint,omitempty"`
}

// Timer is one thing that ends the session.
type Timer struct {
	Name             string            `json:"name"`
	Renewal          string            `json:"renewal"`
	Deadline         *metav1.MicroTime `json:"deadline,omitempty"`
	RemainingSeconds *float64          `json:"remainingSeconds,omitempty"`
	TotalSeconds     float64           `json:"totalSeconds,omitempty"`
	Source           string            `json:"source"` // seen or modelled
	Bypassed         string            `json:"bypassed,omitempty"`
	Detail           string            `json:"detail,omitempty"` // which field or default says so
}

// Move is one change of pod.
type Move struct {
	At            metav1.MicroTime `json:"at"`
	From          string           `json:"from"`
	To            string           `json:"to"`
	CookieChanged bool             `json:"cookieChanged"`
	Unheld        bool             `json:"unheld,omitempty"`   // nothing held it to From: counted by unheldCount
	FirstPin      bool             `json:"firstPin,omitempty"` // unheld, and it has a pin from here on
	Source        string           `json:"source"`
	Cause         string           `json:"cause,omitempty"`
}

// Exchange is one request.
type Exchange struct {
	RequestID  string           `json:"requestID"`
	At         metav1.MicroTime `json:"at"`
	TookMillis float64          `json:"tookMilliseconds"`
	Status     int              `json:"status,omitempty"`
	Pod        string           `json:"pod,omitempty"`
	Source     string           `json:"source,omitempty"`
	Cookie     string           `json:"cookie,omitempty"`       // fingerprint, never the value
	Unsure     string           `json:"cookieUnsure,omitempty"` // as a Leg's
	NewCookie  bool             `json:"newCookie,omitempty"`
	Loose      bool             `json:"loose,omitempty"` // another pod than before, and nothing held it
	Leg        string           `json:"leg,omitempty"`   // of a held connection
	Failure    string           `json:"failure,omitempty"`
	SentTo     *SentTo          `json:"sentTo,omitempty"` // by a log, where no backend's answer came
}

// Pod is a pod that sessions can land on.
type Pod struct {
	PodRef      `json:",inline"`
	Node        string            `json:"node,omitempty"`
	Ready       *bool             `json:"ready,omitempty"` // absent where it is not known
	Terminating bool              `json:"terminating,omitempty"`
	Deletion    *metav1.MicroTime `json:"deletion,omitempty"`
	Gone        *metav1.MicroTime `json:"gone,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Restarts    int               `json:"restarts"`
	Pins        int               `json:"pins"`
	Share       float64           `json:"share"`
	FairShare   float64           `json:"fairShare,omitempty"` // absent where several Services share out the requests
}

// Route is a route and its layers.
type Route struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Ref       RouteRef `json:"route"`
	Class     string   `json:"class,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	// AddressFrom is whose they are, where not the object's own status tells.
	AddressFrom string   `json:"addressFrom,omitempty"`
	ProbePath   string   `json:"probePath,omitempty"`
	ProbeWhy    string   `json:"probeWhy,omitempty"` // where that is from
	Layers      []Layer  `json:"layers"`
	Endpoints   int      `json:"endpoints"`
	Ready       int      `json:"ready"`
	Unread      bool     `json:"endpointsUnread,omitempty"` // EndpointSlices may not be read: both are unknown
	NeedsNone   string   `json:"needsNone,omitempty"`       // why no affinity is needed
	Notes       []string `json:"notes,omitempty"`
}

// Layer is one place where a pod is chosen.
type Layer struct {
	Where          string   `json:"where"`
	Object         string   `json:"object,omitempty"`
	Mechanism      string   `json:"mechanism"`
	Controller     string   `json:"controller,omitempty"`
	Mode           string   `json:"mode,omitempty"`
	Settled        bool     `json:"settled"`
	Proof          string   `json:"proof,omitempty"`
	Hint           string   `json:"hint,omitempty"` // what the shape of a cookie said, which proves nothing
	Cookie         *Cookie  `json:"cookie,omitempty"`
	TimeoutSeconds float64  `json:"timeoutSeconds,omitempty"`
	Renewal        string   `json:"renewal"`
	Bypassed       string   `json:"bypassed,omitempty"`
	Waits          *Waits   `json:"waits,omitempty"`
	Branches       []Branch `json:"branches,omitempty"`
	Choice         string   `json:"choice,omitempty"` // between them: "each request", "pin" or "unknown"; absent without any
	Levels         []Level  `json:"levels,omitempty"`
	Why            string   `json:"why,omitempty"`
	Assumed        string   `json:"defaultsAssumed,omitempty"` // of the controller's own configuration, which was not read
	Notes          []string `json:"notes,omitempty"`
}

// Branch is another Service that gets requests of the route.
type Branch struct {
	Namespace string `json:"namespace,omitempty"`
	Service   string `json:"service"`
	Port      string `json:"port,omitempty"`
	Object    string `json:"object,omitempty"` // by whose word
	Share     string `json:"share,omitempty"`  // absent for all that the route's own does not get
	Canary    bool   `json:"canary,omitempty"`
	Fallback  bool   `json:"fallback,omitempty"`
	Cookie    string `json:"cookie,omitempty"` // name of the one that holds a client there
	Endpoints int    `json:"endpoints"`
	Ready     int    `json:"ready"`
}

// Level is a cookie that holds a Service, and not a pod.
type Level struct {
	Object string `json:"object,omitempty"`
	Cookie string `json:"cookie"`
}

// Cookie is the cookie as configured.
type Cookie struct {
	Name          string  `json:"name,omitempty"`
	Path          string  `json:"path,omitempty"`
	Domain        string  `json:"domain,omitempty"`
	MaxAgeSeconds float64 `json:"maxAgeSeconds,omitempty"`
	Secure        bool    `json:"secure,omitempty"`
	HTTPOnly      bool    `json:"httpOnly,omitempty"`
	SameSite      string  `json:"sameSite,omitempty"`
}
