package affinity

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Finding is an opinion with evidence: one rule's verdict on one object, route
// or session. Rules that read objects live in internal/findings, those that
// need what sessions or a kernel showed are folded with the sessions. Every
// text in it is safe to print.
type Finding struct {
	Rule      string // id of the catalogue, "A04"; `stickytop explain A04` prints the long form
	Title     string // one line, what is wrong with this object
	Severity  Severity
	Certainty Certainty

	Object  ObjectRef // the object it is about
	Route   RouteID   // the route it is about; "" when about an object alone
	Session SessionID // the session that showed it; "" when read from objects
	// Others are further sessions that showed it, by ID. Never written in place.
	Others []SessionID
	// Routes are those whose traffic Object decides about, beside Route: of a
	// Deployment those that lead to its pods. Empty when it is no route's.
	Routes []RouteID

	Evidence []FindingEvidence
	Impact   string
	Fix      string // one sentence
	Patch    string // a command or YAML to paste; "" when there is none
	Verify   string // how to see that it is gone
	// NotChecked says which right or input is missing when Certainty is
	// CertaintyNotChecked.
	NotChecked string

	At time.Time // when it was first seen; zero for what was read from objects

	// objectsMend says that what the objects' finding of this rule, about the
	// same Service or route, says to do mends this one too.
	objectsMend bool
}

// Affects names the session that showed f, and how many more did; "" for none.
func (f Finding) Affects() string {
	if len(f.Others) == 0 {
		return string(f.Session)
	}
	return fmt.Sprintf("%s +%d", f.Session, len(f.Others))
}

// NoRule stands for the rule of a Finding that no rule says: of what was not
// judged, or of an ignore that is not heeded.
const NoRule = "—"

// FindingEvidence is one fact a finding rests on: a field of an object, or
// something a source saw.
type FindingEvidence struct {
	Object ObjectRef // zero when it was not read from an object
	Field  string    // "metadata.annotations[nginx.ingress.kubernetes.io/affinity]"
	Value  string    // as read, bounded; "" when the field is absent
	Source string    // "object", "header", "body", "cookie", "log", "kernel", "session"
	Text   string    // for people, when the field and value do not say it
}

// ObjectRef names any object of a cluster or of a file.
type ObjectRef struct {
	Kind      string // "Ingress"
	Namespace string
	Name      string
	File      string // where a linted file held it; "" in a cluster
	Line      int    // first line of the object, or of the field, in File; from 1
}

// String returns "ingress/msgapp", as kubectl writes it.
func (o ObjectRef) String() string {
	if o.Kind == "" {
		return ""
	}
	return strings.ToLower(o.Kind) + "/" + o.Name
}

// Severity is how much a finding hurts.
type Severity uint8

const (
	SeverityOK       Severity = iota // checked, and fine
	SeverityInfo                     // explained, no alarm
	SeverityLow                      // worth knowing
	SeverityMedium                   // partial or conditional
	SeverityHigh                     // will break on a routine event
	SeverityCritical                 // sessions are broken now
)

func (s Severity) String() string {
	return severityWords[s]
}

var severityWords = [...]string{"ok", "info", "low", "medium", "high", "critical"}

// ParseSeverity reads what String writes.
func ParseSeverity(word string) (Severity, bool) {
	i := slices.Index(severityWords[:], word)
	return Severity(max(i, 0)), i >= 0
}

// Certainty is how sure a rule is.
type Certainty uint8

const (
	CertaintyNotChecked Certainty = iota // a right or an input is missing
	CertaintyLikely                      // what was read suggests it
	CertaintyExact                       // what was read says it
)

func (c Certainty) String() string {
	return [...]string{"not-checked", "likely", "exact"}[c]
}
