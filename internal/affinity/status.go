package affinity

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An answer with an error status is a word about affinity only when something
// shows that a pod is behind it. A proxy's own error page names nobody: it is a
// failure like a refused connection. What a pod answers is an answer, whatever
// its status, and the pin that it shows is real; the status is said beside it.

// BadStatus reports whether an HTTP status is one that users see as an error.
func BadStatus(status int) bool { return status >= 400 }

// StatusText is the last status and how often it came in a row: "404 ×12", or
// "" when no answer came.
func (s *Session) StatusText() string {
	switch {
	case s.LastStatus == 0:
		return ""
	case s.StatusRun > 1:
		return strconv.Itoa(s.LastStatus) + " ×" + strconv.Itoa(s.StatusRun)
	}
	return strconv.Itoa(s.LastStatus)
}

// StatusWhy is what an error status amounts to, as far as is known; "" while
// the last answer was none.
func (s *Session) StatusWhy() string {
	switch {
	case !BadStatus(s.LastStatus):
		return ""
	case s.StatusNote == "" && s.LastFailure != nil:
		return s.LastFailure.Text
	}
	return s.StatusNote
}

// Faceless reports whether the last answer had an error status, and nothing
// showed a pod behind it.
func (s *Session) Faceless() bool {
	return BadStatus(s.LastStatus) && s.StatusNote == "" && s.InARow > 0 && s.LastFailure != nil && s.LastFailure.Kind == FailureStatus
}

// countStatus takes in the status of a round trip.
func (s *session) countStatus(o Observed, now time.Time) {
	if o.Status != s.LastStatus {
		s.StatusRun, s.StatusSince = 0, now
	}
	s.StatusRun++
	s.LastStatus, s.StatusNote = o.Status, ""
}

// weigh decides whether an answer with an error status is a pod's, and returns
// o with a Failure when nothing shows that, without the one of a proxy when a
// pod put its name on the answer.
func (st *State) weigh(s *session, o Observed, now time.Time) Observed {
	if !BadStatus(o.Status) || o.Leg != "" || o.Failure != nil && o.Failure.Kind != FailureStatus {
		return o
	}
	st.decodePin(s, time.Time{})
	named := st.identified(s, o)
	switch {
	case len(named) > 0:
		o.Failure = nil
		s.StatusNote = st.statusNote(s, o, fmt.Sprintf(" from %s (%s)", st.podLabel(named[0].pod), named[0].source), "the application")
	case s.direct(st):
		o.Failure = nil // nothing stands between that could have answered
		s.StatusNote = st.statusNote(s, o, " from a pod of the Service", "the application")
	case o.Failure != nil: // 502, 503, 504: of a proxy, until somebody says otherwise
	case s.picked || s.Pin != nil && s.pinSure && s.pinStatus == o.Status:
		// A proxy offers its cookie when it has picked a backend.
		by := ", with the affinity cookie"
		if pod, _ := st.decodedPod(s); !pod.IsZero() {
			by += " of " + st.podLabel(pod)
		}
		s.StatusNote = st.statusNote(s, o, by, "probably the application")
	default:
		o.Failure = &Failure{Op: "status", Kind: FailureStatus, Text: st.facelessText(s, o)}
	}
	return o
}

// direct reports whether s asks its Service itself, past any ingress.
func (s *session) direct(st *State) bool {
	r := st.routes[s.Spec.Route]
	return r != nil && r.Kind == RouteService
}

// statusNote words an error status that a pod is behind.
func (st *State) statusNote(s *session, o Observed, by, who string) string {
	text := statusLine(o.Status) + by
	path := st.probePath(s)
	switch o.Status {
	case 401:
		return text + ": " + path + " wants a login, which probes do not have"
	case 403:
		return text + ": " + path + " is refused to probes"
	case 404:
		return text + ": " + who + " has no " + path
	}
	return text
}

// facelessText words an error status that nothing shows a pod behind.
func (st *State) facelessText(s *session, o Observed) string {
	text, path := statusLine(o.Status), st.probePath(s)
	switch o.Status {
	case 401:
		return text + ": " + path + " wants a login, which probes do not have; nothing shows that a pod was reached"
	case 403:
		return text + ": " + path + " is refused (a login, an allow-list, a firewall); nothing shows that a pod was reached"
	case 404:
		return text + st.nowhere(s, path)
	}
	return text + ": nothing shows that a pod was reached"
}

// nowhere tells a missing route from a missing path, as far as the cookie does.
func (st *State) nowhere(s *session, path string) string {
	where := path
	if s.AskedHost != "" {
		where = s.AskedHost + path
	} else if r := st.routes[s.Spec.Route]; r != nil && r.Host != "" {
		where = Clean(r.Host, 80) + path
	}
	p := st.policy(s.Spec.Route)
	switch {
	case s.Pin != nil && s.pinSure && !s.answered.IsZero():
		return ": was answered before; the route or the path is gone"
	case p.Mechanism == MechanismCookie && p.Cookie.Name != "" && !s.offered:
		return " without the cookie " + p.Cookie.Name + ": probably the ingress has no route for " + where
	}
	return ": either the ingress has no route for " + where + ", or the application no such path"
}

func (st *State) probePath(s *session) string {
	r := st.routes[s.Spec.Route]
	switch {
	case r == nil:
		return "the path"
	case r.ProbePath != "":
		return Clean(r.ProbePath, 80)
	case r.Path != "":
		return Clean(r.Path, 80)
	}
	return "/"
}

// statusSaid puts an error status that a pod answers with on the timeline, when
// a session meets it and not again while it comes and goes.
func (st *State) statusSaid(s *session, now time.Time) {
	if s.StatusNote == "" {
		return
	}
	s.ErrorAnswers++
	if s.LastStatus == s.toldStatus && now.Sub(s.toldAt) < MoveHold {
		s.toldAt = now
		return
	}
	s.toldStatus, s.toldAt = s.LastStatus, now
	level := LevelWarning
	if s.LastStatus >= 500 {
		level = LevelBroken
	}
	st.happen(Happening{At: now, Source: "probe", Kind: "status", Session: s.Spec.ID, Pod: s.Pod, Route: s.Spec.Route, Level: level,
		Text: string(s.Spec.ID) + " " + s.StatusNote})
}

// statusLine is a status with its reason phrase (RFC 9110 §15, RFC 6585).
func statusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + reasons[status])
}

var reasons = map[int]string{
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
	407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
	414: "URI Too Long", 421: "Misdirected Request", 426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
	431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons",
	500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
	505: "HTTP Version Not Supported", 511: "Network Authentication Required",
}
