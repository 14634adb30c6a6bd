package affinity

import "time"

// Mechanism is how a layer ties a client to a pod, in the words of Gateway API
// GEP-1619 (SessionPersistenceType) and of Service.spec.sessionAffinity.
type Mechanism uint8

const (
	MechanismNone     Mechanism = iota // every request may go anywhere
	MechanismCookie                    // a cookie issued by the proxy
	MechanismHeader                    // a header issued by the proxy
	MechanismClientIP                  // the client's address, at L4
	MechanismUnknown                   // the controller's configuration is not read
)

func (m Mechanism) String() string {
	switch m {
	case MechanismCookie:
		return "cookie"
	case MechanismHeader:
		return "header"
	case MechanismClientIP:
		return "clientip"
	case MechanismUnknown:
		return "unknown"
	default:
		return "none"
	}
}

// Renewal says what happens to a timer when the client goes on talking.
type Renewal uint8

const (
	RenewalUnknown  Renewal = iota
	RenewalAbsolute         // burns down from the first answer, whatever the traffic
	RenewalSliding          // starts again with traffic
	RenewalSession          // no timer: ends with the browser
)

func (r Renewal) String() string {
	switch r {
	case RenewalAbsolute:
		return "absolute"
	case RenewalSliding:
		return "sliding"
	case RenewalSession:
		return "browser-session"
	default:
		return "unknown"
	}
}

// CookieSpec is the cookie a layer is configured to issue. Zero values mean
// "not configured"; what was really sent is in Offer.
type CookieSpec struct {
	Name     string
	Path     string
	Domain   string
	MaxAge   time.Duration // 0: not set. Negative: clients delete it at once
	HasAge   bool          // Max-Age or Expires configured, also when 0
	Secure   bool
	HTTPOnly bool
	SameSite string

	// FlagsUnknown reports whether Secure, HttpOnly and SameSite are the
	// proxy's own, and not documented: the fields above then say nothing.
	FlagsUnknown bool
	// Application reports whether the application makes the cookie: the layer
	// only hashes its value.
	Application bool
}

// Policy is the stickiness one layer has effectively: what the objects say,
// read the way the controller reads them.
type Policy struct {
	Mechanism  Mechanism
	Controller string // key of internal/ingress's table, "kube-proxy" for ClientIP; "" when unknown
	Mode       string // the controller's own word: "persistent", "balanced"
	// TurnOn are the annotations of the Ingress that would turn cookie affinity on,
	// as `kubectl annotate` takes them; "" where it is on, or another object says it.
	TurnOn  string
	Cookie  CookieSpec
	Timeout time.Duration // 0: none
	Renewal Renewal

	// ReadTimeout is how long the proxy waits for a frame in either direction
	// before it cuts a WebSocket; zero where that is not known, or never.
	ReadTimeout    time.Duration
	ReadTimeoutWhy string // which field or default says so
	// AnswerTimeout is how long it waits for more of the answer to a request, a
	// long poll's among them; zero likewise.
	AnswerTimeout    time.Duration
	AnswerTimeoutWhy string

	// Decoder reads the pod out of this layer's cookie; nil when it is opaque.
	Decoder Decoder

	// Branches are the other Services that get a share of the route's requests:
	// its canary, those of a weighted set. Empty where all go to one.
	Branches []Branch
	Choice   Choice // between them
	// Levels are cookies that hold which of these Services has a client, and not
	// the pod: those of Traefik's weighted services, outermost first. Empty too
	// where one of them is all there is, and Cookie is it.
	Levels []CookieLevel
	Child  []string // what the Levels' cookies call the route's own Service

	// KeepsTerminating reports whether a pinned client stays on a pod that is
	// terminating but still serving (Traefik), rather than leaving with its
	// first not-ready endpoint (ingress-nginx).
	KeepsTerminating bool
	// MovesSilently reports whether a change of the endpoint set moves clients
	// without a new cookie (ingress-nginx balanced mode, hash policies).
	MovesSilently bool
	// RepinsOnFailure reports whether a failed request is retried elsewhere
	// with a new cookie (ingress-nginx session-cookie-change-on-failure).
	RepinsOnFailure bool

	// Disputed is what else asks for affinity here, where it is not established
	// which of them wins; "" where nothing does.
	Disputed string
	// Unasked reports whether the controller does this of itself: no object that
	// was read asks for it, and nobody may lean on it.
	Unasked bool

	Why string // which field of which object says so
	// Assumed is which settings of the controller are taken to be its defaults,
	// because its own configuration was not read, and why; "" when none are.
	Assumed string
	Notes   []string // what the reader should know: ignored fields, merges
}

// Choice is how a request's Service is chosen where a Policy has Branches.
type Choice uint8

const (
	ChoiceAnew    Choice = iota // for each request, unless Levels or a canary's rules hold it
	ChoiceByPin                 // the pin names a pod of any of them, and keeps its client there
	ChoiceUnknown               // it is not established whether a pin keeps its client on its Service
)

func (c Choice) String() string {
	switch c {
	case ChoiceAnew:
		return "each request"
	case ChoiceByPin:
		return "pin"
	default:
		return "unknown"
	}
}

// Branch is one of several Services that share out the requests of a route.
type Branch struct {
	Backend Backend
	Object  string // by whose word it gets some: "ingress/web-canary"
	Share   string // which: "weight 10 of 100", "header X-Canary"; "" when all that the other does not get
	Canary  bool   // it is one; false too for the primary, seen from the canary
	// Fallback reports whether it gets requests only while the first choice is
	// down, or for answers of it that are not taken.
	Fallback bool
	Cookie   string   // name of the cookie that holds a client there; "" for none
	Child    []string // what the Levels\' cookies call it
	// Decoder reads the layer's cookie where it pins to this Service; nil where
	// no cookie does, or an opaque one.
	Decoder Decoder
}

// CookieLevel is a cookie that holds a Service and not a pod.
type CookieLevel struct {
	Object   string // "traefikservice/split"
	Cookie   CookieSpec
	Decoder  Decoder // whose Backend is which of the Children the value names
	Children []string
}

// Where on the path a layer sits.
const (
	LayerIngress = "ingress"
	LayerService = "service"
)

// Layer is one place on a route where a pod may be chosen.
type Layer struct {
	Where  string // LayerIngress or LayerService
	Object string // "ingress/msgapp", "service/msgapp-backend"

	// Candidates are the policies that fit the objects, likeliest first. More
	// than one where several controllers answer to one IngressClass controller
	// string: k8s.io/ingress-nginx is claimed by ingress-nginx and by Traefik's
	// kubernetesIngressNGINX provider. A State chooses by the cookies it sees.
	Candidates []Policy
	Chosen     int
	Proof      string // what was seen that settled the choice; "" while presumed
	// Guessed says that no object stands behind the layer (a URL alone): the
	// first of the Candidates is what is known without any cookie, the others
	// are what a cookie may turn out to be. Hint is what the shape of one said,
	// which proves nothing.
	Guessed bool
	Hint    string

	Bypassed string // why this route's traffic never meets the layer; "" when it does
}

// Policy returns the policy in force, as far as is known. That of a layer
// without candidates is unknown, which is not none.
func (l Layer) Policy() Policy {
	if l.Chosen < len(l.Candidates) {
		return l.Candidates[l.Chosen]
	}
	return Policy{Mechanism: MechanismUnknown}
}

// Settled reports whether the policy is certain: nothing else fits, or a
// cookie proved it.
func (l Layer) Settled() bool { return len(l.Candidates) <= 1 || l.Proof != "" }
