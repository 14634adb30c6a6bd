package ingress

import (
	"cmp"
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Scope is one port of a Service whose cookie a value may be.
type Scope struct {
	Backend affinity.Backend // zero when nobody said what the endpoints are of
	Names   []string         // "namespace-service-port", as Ingresses may write the port
	Set     affinity.EndpointSet
	// Policies are those of the routes that lead here.
	Policies []affinity.Policy
	Servers  []Server // of the Set, where somebody wrote their URLs
}

// Server is an endpoint as a proxy's configuration writes it: Traefik hashes
// that text, a port that is not there and a slash at its end included.
type Server struct{ URL, Addr string }

// Answer is what one format makes of a cookie, read for one Scope.
type Answer struct {
	Format
	Backend affinity.Backend // of the Scope; zero when the format names none
	Decoded affinity.Decoded
	// Configured reports whether a route to that backend is configured to
	// set a cookie of this name.
	Configured bool
}

// Verdict is what all formats together make of a cookie.
type Verdict struct {
	// Answers are the surest: one, or several that agree, or a tie.
	Answers []Answer
	// Decided reports whether the answers name one endpoint or, where the
	// format names none, one backend.
	Decided bool
	// Tie reports that answers just as sure, or one alone, name several.
	Tie bool
	// Shapes are the formats whose shape the value has: one answer each.
	Shapes []Answer
	// Opaques are the kinds of undecodable cookies it may be.
	Opaques []Opaque
	// Routed are the backends whose routes set a cookie of this name.
	Routed []affinity.Backend
}

// Hints are what somebody said of a cookie.
type Hints struct {
	Keys       []string // HAProxy's dynamic-cookie-keys besides the defaults
	Controller string   // the key of the only one whose it may be; "" for any
}

// Locate reads a cookie without knowing whose it is. A shape only proposes; a
// hit decides, one that cannot be chance before one that can.
func Locate(name string, value affinity.Secret, scopes []Scope, hints Hints) Verdict {
	v := Verdict{Opaques: Opaques(name, value.Reveal())}
	if hints.Controller != "" {
		v.Opaques = nil // only formats that can be read are named
	}
	if len(v.Opaques) > 0 && v.Opaques[0].Named {
		return v
	}
	if len(scopes) == 0 {
		scopes = []Scope{{}}
	}
	var all []Answer
	for i := range scopes {
		found := scopes[i].read(name, value.Reveal(), hints)
		all = append(all, found...)
		if scopes[i].sets(name, "") && !slices.Contains(v.Routed, scopes[i].Backend) {
			v.Routed = append(v.Routed, scopes[i].Backend)
		}
	}
	for _, a := range all {
		if !slices.ContainsFunc(v.Shapes, func(b Answer) bool { return a.Controller == b.Controller && a.Mode == b.Mode }) {
			v.Shapes = append(v.Shapes, a)
		}
	}
	slices.SortStableFunc(all, func(a, b Answer) int { return cmp.Compare(b.rank(), a.rank()) })
	if len(all) == 0 || all[0].rank() == 0 {
		return v
	}
	best := all[0].rank()
	all = slices.DeleteFunc(all, func(a Answer) bool { return a.rank() != best })
	v.Answers = distinct(all)
	v.Tie = slices.ContainsFunc(v.Answers, func(a Answer) bool { return !a.agrees(v.Answers[0]) }) || len(v.Answers[0].Decoded.Endpoints) > 1
	v.Decided = !v.Tie
	return v
}

// read asks every format, those of the policies first.
func (s Scope) read(name, value string, hints Hints) []Answer {
	var asked []Format
	configured := false // how ingress-nginx treats cookies here is known
	for _, p := range s.Policies {
		if p.Decoder == nil || hints.Controller != "" && hints.Controller != p.Controller {
			continue
		}
		if !answersAny(p.Decoder) || p.Cookie.Name == name {
			asked = append(asked, Format{p.Controller, p.Mode, p.Decoder})
			configured = configured || p.Controller == nginxKey
		}
	}
	for _, f := range Formats(Known{Cookie: name, Names: s.Names, Servers: s.Servers, Service: s.Backend.Service.Name, Keys: hints.Keys, Controller: hints.Controller}) {
		if f.Controller != nginxKey || !configured && fitsMode(f.Mode, value) {
			asked = append(asked, f)
		}
	}
	var answers []Answer
	for _, f := range asked {
		d := f.Table(s.Set).Lookup(value)
		if !d.Shaped {
			continue
		}
		if _, suffix := splitNginx(value); f.Controller == nginxKey && suffix != "" && d.Backend == "" && len(s.Names) > 0 {
			// A ring answers any key. The backend that this one names is another
			// than this, or one that is no more.
			d.Endpoints, d.Exact = nil, false
		}
		a := Answer{Format: f, Backend: s.Backend, Decoded: d, Configured: s.sets(name, f.Controller)}
		if len(d.Endpoints) == 0 && !s.named(d.Backend) { // nobody, or another that a weighted service chose
			a.Backend, a.Configured = affinity.Backend{}, false
		}
		answers = append(answers, a)
	}
	return answers
}

// named reports whether s is what a value calls a backend.
func (s Scope) named(backend string) bool {
	return backend != "" && (len(s.Names) == 0 || slices.ContainsFunc(s.Names, func(name string) bool { return name == backend || traefikName(name) == backend }))
}

// fitsMode reports whether a value can have been issued by that mode of
// ingress-nginx. In balanced mode it honours any text, so that one issued by
// the other mode has a place on the ring, too: a mode that is not configured
// is not presumed to have changed.
func fitsMode(mode, value string) bool {
	key, _ := splitNginx(value)
	_, timed := keyTime(key)
	return mode != "balanced" || timed
}

// sets reports whether a route to s sets a cookie of that name, by that
// controller unless it is "".
func (s Scope) sets(name, controller string) bool {
	return name != "" && slices.ContainsFunc(s.Policies, func(p affinity.Policy) bool {
		return p.Mechanism == affinity.MechanismCookie && p.Cookie.Name == name && (controller == "" || p.Controller == controller)
	})
}

// rank orders answers: 5 a digest or a name of an endpoint, 4 a guess for a
// backend that the value itself names, 3 a backend or an address that is known
// without an endpoint, 2 a guess for a backend whose route sets a cookie of
// this name, 1 a guess, 0 a shape.
func (a Answer) rank() int {
	switch hit := len(a.Decoded.Endpoints) > 0; {
	case hit && a.Decoded.Exact:
		return 5
	case hit && a.Decoded.Backend != "":
		return 4
	case !hit && (a.Decoded.Backend != "" || a.Decoded.Addr != ""):
		return 3
	case hit && a.Configured:
		return 2
	case hit:
		return 1
	}
	return 0
}

// agrees reports whether a and b name the same thing.
func (a Answer) agrees(b Answer) bool {
	if len(a.Decoded.Endpoints) == 0 {
		return a.Decoded.Backend == b.Decoded.Backend && a.Decoded.Addr == b.Decoded.Addr
	}
	return slices.EqualFunc(a.Decoded.Endpoints, b.Decoded.Endpoints, sameEndpoint)
}

func sameEndpoint(a, b affinity.Endpoint) bool { return a.Addr == b.Addr && a.Pod == b.Pod }

// distinct drops answers that add nothing to one before: the same controller's
// about the same backend. Of several that agree on the endpoint but not on its
// backend, those whose route sets the cookie are kept, if there are any. What a
// backend's own Scope says of it goes before what another's does.
func distinct(all []Answer) []Answer {
	if slices.ContainsFunc(all, func(a Answer) bool { return a.Configured }) && all[0].rank() > 3 {
		all = slices.DeleteFunc(all, func(a Answer) bool { return !a.Configured })
	}
	all = slices.DeleteFunc(slices.Clone(all), func(a Answer) bool {
		return a.Backend == (affinity.Backend{}) && a.Decoded.Backend != "" && slices.ContainsFunc(all, func(b Answer) bool {
			return b.Backend != (affinity.Backend{}) && b.Decoded.Backend == a.Decoded.Backend
		})
	})
	var kept []Answer
	for _, a := range all {
		if !slices.ContainsFunc(kept, func(b Answer) bool {
			return a.Controller == b.Controller && a.Mode == b.Mode && a.Backend == b.Backend && a.agrees(b)
		}) {
			kept = append(kept, a)
		}
	}
	return kept
}
