package affinity

import (
	"net/netip"
	"time"
)

// ClientModel is how a synthetic client treats cookies.
type ClientModel string

const (
	ClientBrowser ClientModel = "browser" // keeps a jar by RFC 6265
	ClientNoJar   ClientModel = "no-jar"  // throws every cookie away: curl, many SDKs
)

// SessionSpec is a session that should exist.
type SessionSpec struct {
	ID        SessionID
	Route     RouteID
	Transport string // key of internal/probe's table: "http"
	Client    ClientModel
	Path      string     // that its transport asks for on any route; "" for the route's own
	From      netip.Addr // its own address, by which ClientIP knows it; zero for whichever the system takes
	Node      string     // whose rules its connections meet first, when it runs on a node; "" when not known
	// Jar names the session whose jar this one shares, as tabs of one browser
	// do; "" for a jar of its own.
	Jar SessionID
}

// Condition is what a session's history amounts to; the words are those of
// docs/states.md.
type Condition uint8

const (
	Waiting     Condition = iota // no answer yet, or not the message that is expected
	Stuck                        // one pod has it: since the first answer, its pin, or a move a minute ago
	RePinned                     // another pod, with a new cookie, in the last minute
	MovedSilent                  // another pod, cookie unchanged, in the last minute
	Split                        // one cookie, several pods, back and forth
	Orphan                       // held by a pod that left the endpoints
	Cookieless                   // no affinity cookie was offered
	NotReturned                  // offered, but this client does not send it back
	Expired                      // the cookie's time is up
	Failing                      // the last request failed
	Unknown                      // answered, by a pod nothing names
	Closed                       // ended
)

var conditionNames = [...]string{"WAITING", "STUCK", "RE-PINNED", "MOVED-SILENT", "SPLIT", "ORPHAN",
	"COOKIELESS", "NOT-RETURNED", "EXPIRED", "FAILING", "UNKNOWN", "CLOSED"}

func (c Condition) String() string { return conditionNames[c] }

// Conditions lists all of them, for help and documentation.
func Conditions() []Condition {
	all := make([]Condition, len(conditionNames))
	for i := range all {
		all[i] = Condition(i)
	}
	return all
}

// Explain returns one line on what c means.
func (c Condition) Explain() string {
	return [...]string{
		"no answer yet",
		"one pod has it, and it has not moved since",
		"another pod, with a new cookie, within the last minute",
		"another pod without a new cookie, within the last minute",
		"one cookie, several pods, back and forth",
		"held by a pod that left the endpoints",
		"no affinity cookie was offered",
		"a cookie was offered that this client does not send back",
		"the cookie's own time is up",
		"the last request failed",
		"answered, but nothing names the pod",
		"ended",
	}[c]
}

// Source is how a pod is known.
type Source uint8

const (
	SourceNone   Source = iota
	SourceHeader        // a response header named it
	SourceBody          // the response body named it
	SourceCookie        // the affinity cookie was decoded
	SourceLog           // a log line of the controller or the pod
	SourceKernel        // a node's own tables
)

func (s Source) String() string {
	return [...]string{"none", "header", "body", "cookie", "log", "kernel"}[s]
}

// answers reports whether s proves who answered. A decoded cookie and a node's
// tables prove where they point.
func (s Source) answers() bool { return s == SourceHeader || s == SourceBody || s == SourceLog }

// Via is the three-letter tag of the screens.
func (s Source) Via() string {
	return [...]string{"—", "hdr", "body", "ck", "log", "kern"}[s]
}

// Evidence is one source's word on which pod has a session.
type Evidence struct {
	Source Source
	Pod    PodRef // zero when the source names no known pod
	Addr   string // endpoint, where the source names one
	At     time.Time
	Detail string // "X-Pod-Name: msgapp-7c9f-2xkqp", safe to print
}

// Pin is a tie between a client and a pod, with its time.
type Pin struct {
	Layer    Mechanism
	Key      string // cookie name, or client address
	Value    Secret // cookie value; empty for ClientIP
	Since    time.Time
	Expires  time.Time // zero: no deadline
	Renewal  Renewal
	Exact    bool // the deadline was read off the wire, not modelled
	Decoded  Decoded
	Decoder  string // name of the decoder that answered
	Offer    Offer  // as received
	ServedBy PodRef // pod of the answer that brought it
}

// Remaining returns how long p has left at now, and whether it has a deadline.
// It is never negative.
func (p Pin) Remaining(now time.Time) (left time.Duration, ok bool) {
	if p.Expires.IsZero() {
		return 0, false
	}
	return max(0, p.Expires.Sub(now)), true
}

// Move is one change of pod. Only one that is not Unheld is what the screens
// call a move.
type Move struct {
	At            time.Time
	From, To      PodRef
	FromTag       string
	ToTag         string
	CookieChanged bool
	Unheld        bool   // nothing held it to From
	FirstPin      bool   // Unheld, and the new cookie pins it first, or again
	Source        Source // how To is known
	Cause         string // why, as far as was seen; "" while nothing explains it
	CauseSeq      uint64 // Seq of the Happening that explains it; 0 when none
	Failures      int    // failed requests between the last answer of From and the first of To
	Cuts          int    // held connections that ended unasked between them
}

// Explained reports whether something that was seen accounts for the move.
func (m Move) Explained() bool { return m.Cause != "" }

// Exchange is one request, kept for history and for comparing with a log.
type Exchange struct {
	RequestID string
	At        time.Time // when the answer was folded
	Took      time.Duration
	Status    int
	Pod       PodRef
	Tag       string // of the pod, or "" when unknown
	Source    Source
	Cookie    string  // fingerprint of the affinity cookie that was sent; "" for none
	Others    int     // cookies that were sent beside it
	Unsure    string  // names of Others where none was it, as far as is known, yet one may be: nothing says what it is called
	NewCookie bool    // the answer brought another one
	Loose     bool    // another pod than the answer before, and no pin held it to that one
	Failure   string  // "" when answered
	Leg       string  // of a transport that has several; "" for HTTP
	SentTo    *SentTo // where a log says it was sent, when no backend's answer came; nil otherwise. Never written again
}

// SentTo is where a request was sent that no backend answered: a word on how it
// was routed, none on who has the session.
type SentTo struct {
	Pod    PodRef // that had the address then; zero when none is known
	Tag    string
	Addr   string // "ip:port"; "" where the log of the pod itself says so
	Detail string // safe to print
}

// Timer is one thing that will end a session.
type Timer struct {
	Letter   byte // C cookie, I ClientIP, D drain, H heartbeat, R proxy read timeout
	Name     string
	Renewal  Renewal
	Deadline time.Time     // zero: none (browser session) or not running
	Total    time.Duration // zero when unknown
	Seen     bool          // read off the wire or the API; otherwise modelled from configuration
	Bypassed string        // why it does not apply; "" when it does
	Detail   string
}

// Running reports whether t can end the session after now.
func (t Timer) Running(now time.Time) bool {
	return t.Bypassed == "" && !t.Deadline.IsZero() && !t.Deadline.Before(now)
}

// Session is one synthetic client and all that is known of it. A Session in a
// Snapshot is never written again.
type Session struct {
	Spec     SessionSpec
	Opened   time.Time
	ClosedAt time.Time
	CloseWhy string

	Pod      PodRef // that holds the session, as far as is known
	Tag      string
	PodSince time.Time // when Pod was first seen to have it, after another or after none
	// PinnedSince is when the last answers that nothing held it for ended; zero
	// when there were none since it opened, and while there are.
	PinnedSince time.Time
	Via         Source     // how Pod is known
	Split       []PodRef   // the pods of a SPLIT, most recent first
	Evidence    []Evidence // latest of each source
	Disagree    string     // how the sources contradict each other; "" when they do not

	Socket *Socket // the held connection, or the last; nil for transports without
	Legs   []Leg   // latest of each kind since the handshake
	// LastEnd is how the last connection ended, kept while another is held; nil
	// before one did.
	LastEnd *SocketEnd

	Pin *Pin // nil: no cookie held
	// Kept are the cookies held without a Pin of which one may be the affinity
	// cookie: nothing says what that is called.
	Kept   []Sent
	Unheld bool // nothing that was seen holds it: no cookie is held, and a cookie is what would
	Timers []Timer

	// Awaiting is when the request that has got no answer for a while was sent;
	// zero when none is.
	Awaiting time.Time
	// AwaitingStep is what it waits for; "" when not known, or nothing does.
	AwaitingStep string
	Requests     int
	// Rechosen is how often the affinity cookie of an answer, which this client
	// does not keep, named another pod than that of the answer before, endpoints
	// unchanged.
	Rechosen int
	Failures int
	Refusals int // of Failures: an Engine.IO server's own reason came with them
	InARow   int // failures and cuts since the last answer, or since the last connection that was joined, where one never was
	// CutCount counts the held connections that ended unasked and that no failed
	// request tells of; Cuts are when the last MaxMoves of them did.
	CutCount int
	Cuts     []time.Time
	// ErrorAnswers are the answers with a status of 400 or more that a pod is
	// behind; they are not among Failures.
	ErrorAnswers int
	MoveCount    int        // but for those that were unheld
	UnheldCount  int        // changes of pod that nothing held
	Moves        []Move     // the last MaxMoves, unheld ones among them
	Exchanges    []Exchange // the last MaxExchanges, oldest first

	LastStatus  int       // 0 when no answer came
	StatusRun   int       // round trips in a row with LastStatus
	StatusSince time.Time // of the first of them
	StatusNote  string    // what LastStatus says, when it is an error that a pod is behind; "" otherwise
	LastTook    time.Duration
	LastFailure *Failure
	LastRemote  string
	AskedHost   string // host of the last request, which need not be the route's (--host, wildcards)
	Redirect    string

	base   Condition // condition but for what depends on the time
	detail string
	moved  time.Time // of the last move; zero if none
	silent bool
}

// History limits, in entries.
const (
	MaxMoves     = 64
	MaxExchanges = 600
	MaxTimeline  = 1000
)

// MoveHold is how long a session is called RE-PINNED or MOVED-SILENT after the
// move: the length of the pin strip on screen.
const MoveHold = time.Minute

// Condition returns the session's condition at now, and what was seen.
func (s *Session) Condition(now time.Time) (Condition, string) {
	c, detail := s.condition(now)
	if s.StatusNote == "" || c == Closed || c == Failing {
		return c, detail
	}
	if detail == "" {
		return c, s.StatusNote
	}
	return c, s.StatusNote + "; " + detail
}

func (s *Session) condition(now time.Time) (Condition, string) {
	if (s.base == Stuck || s.base == Unknown || s.base == Split) && s.Pin != nil && !s.Pin.Expires.IsZero() && !now.Before(s.Pin.Expires) {
		return Expired, "cookie ended " + s.Pin.Expires.UTC().Format("15:04:05Z")
	}
	if s.base == Stuck && !s.moved.IsZero() && now.Sub(s.moved) < MoveHold {
		if s.silent {
			return MovedSilent, s.moveDetail()
		}
		return RePinned, s.moveDetail()
	}
	if quiet := s.quietFor(now); s.base == Stuck && quiet >= MoveHold {
		return s.base, "nothing was asked for " + quiet.Round(time.Second).String() + "; " + s.detail
	}
	return s.base, s.detail
}

// quietFor is how long ago the last round trip of a session without a held
// connection ended: longer than any pace when the machine slept.
func (s *Session) quietFor(now time.Time) time.Duration {
	if s.Socket != nil || len(s.Exchanges) == 0 {
		return 0
	}
	return now.Sub(s.Exchanges[len(s.Exchanges)-1].At)
}

func (s *Session) moveDetail() string {
	if len(s.Moves) == 0 {
		return ""
	}
	m := s.Moves[len(s.Moves)-1]
	text := m.FromTag + "→" + m.ToTag
	if m.Cause != "" {
		return text + ": " + m.Cause
	}
	return text + ": nothing seen explains it"
}

// LastMove returns the latest move.
func (s *Session) LastMove() (Move, bool) {
	if len(s.Moves) == 0 {
		return Move{}, false
	}
	return s.Moves[len(s.Moves)-1], true
}

// Fuse returns the timer that ends the session first at now, and whether any
// is running.
func (s *Session) Fuse(now time.Time) (Timer, bool) {
	var next Timer
	for _, t := range s.Timers {
		if !t.Running(now) {
			continue
		}
		if next.Deadline.IsZero() || t.Deadline.Before(next.Deadline) {
			next = t
		}
	}
	return next, !next.Deadline.IsZero()
}
