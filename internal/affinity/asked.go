package affinity

import (
	"cmp"
	"fmt"
	"strings"
)

// Asks returns the path that HTTP sessions of r ask for where it is another
// than the route's own, and where it is from; "" where it is the route's own.
func (r Route) Asks() (path, why string) {
	if r.Kind == RouteURL || r.Kind == RouteService || r.ProbePath == "" || r.ProbePath == cmp.Or(r.Path, "/") {
		return "", ""
	}
	return r.ProbePath, r.ProbeWhy
}

// AsksOf is Asks for one session of r: WebSockets are opened on the route's own
// path, Socket.IO sessions on its server's.
func (r Route) AsksOf(s SessionSpec) string {
	switch {
	case s.Path != "" && s.Path != cmp.Or(r.Path, "/"):
		return s.Path
	case s.Transport != "http":
		return ""
	}
	path, _ := r.Asks()
	return path
}

// ElsewhereText says that sessions of r ask for what its path does not cover,
// so that another route may answer them; "" where none do, or where the path is
// a pattern.
func (s *Snapshot) ElsewhereText(r Route) string {
	own := strings.TrimSuffix(cmp.Or(r.Path, "/"), "/")
	if strings.ContainsAny(own, patternSigns) {
		return ""
	}
	for _, x := range s.Sessions {
		if at := x.Spec.Path; x.Spec.Route == r.ID && at != "" && at != own && !strings.HasPrefix(at, own+"/") {
			return "Socket.IO sessions ask for " + Clean(at, 80) + ", which the route's " + Clean(own, 80) + " does not cover: another may answer; --socketio-path names the server's path"
		}
	}
	return ""
}

// patternSigns are in paths that are patterns of some controller.
const patternSigns = `*+?()[]{}|^$\ `

// Wider returns the route's own path where sessions ask for another below it
// that the user did not choose: what may answer differently. "" where there is
// none, or where the path is a pattern.
func (r Route) Wider() string {
	path, why := r.Asks()
	own := cmp.Or(r.Path, "/")
	if path == "" || strings.HasPrefix(why, "--") || !strings.HasPrefix(path, own) || strings.ContainsAny(own, patternSigns) {
		return ""
	}
	return own
}

// enoughAnswers is how many answers that name no pod are no chance.
const enoughAnswers = 3

// Nameless reports whether the route's HTTP sessions were answered, and no
// answer, nor a log of it, has named a pod.
func (s *Snapshot) Nameless(id RouteID) bool {
	answers := 0
	for _, x := range s.Sessions {
		if x.Spec.Route != id || x.Spec.Transport != "http" {
			continue
		}
		for _, e := range x.Evidence {
			if e.Source.answers() && !e.Pod.IsZero() {
				return false
			}
		}
		answers += x.Requests - x.Failures
	}
	return answers >= enoughAnswers
}

// NamelessText says what no answer of the route named, and what to try; "" for
// a route whose answers name pods, or whose sessions ask for all it has.
func (s *Snapshot) NamelessText(r Route) string {
	own := r.Wider()
	if own == "" || !s.Nameless(r.ID) {
		return ""
	}
	path, why := r.Asks()
	return "no answer names a pod: sessions ask for " + Clean(path, 80) + " (" + why + "); the route is wider, --path " + Clean(own, 80) + " asks for its own"
}

// RedirectsText says that the last answers of a route are all redirects, and
// where to: what is asked is then not the application, whoever sends them. ""
// where another answer is among those that are kept, or none came.
func (s *Snapshot) RedirectsText(r Route) string {
	status, to, more := 0, "", ""
	for _, x := range s.Sessions {
		if x.Spec.Route != r.ID || !x.ClosedAt.IsZero() || x.Requests == 0 {
			continue
		}
		if x.Redirect == "" || x.LastFailure != nil {
			return ""
		}
		for _, e := range x.Exchanges {
			if e.Status < 300 || e.Status > 399 {
				return ""
			}
		}
		if to != "" && to != x.Redirect {
			more = " and elsewhere"
		}
		status, to = x.LastStatus, cmp.Or(to, x.Redirect)
	}
	if to == "" {
		return ""
	}
	return fmt.Sprintf("the last answers are all redirects: %d to %s%s, not followed; --path asks for another page", status, Clean(to, 120), more)
}
