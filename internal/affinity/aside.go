package affinity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A client may hold several cookies of one route, of different names: Traefik's
// weighted services have one that holds the Service, and each of these Services
// one that holds the pod. Session.Pin is the one that was in force for the last
// answer, the others are kept aside.

// maxAside bounds them.
const maxAside = 16

// putAside keeps a cookie, the newest of its name, and reports whether the
// client now holds another value than before.
func (s *session) putAside(p Pin) (fresh bool) {
	fresh = !slices.ContainsFunc(s.aside, func(x Pin) bool { return x.Key == p.Key && x.Value == p.Value })
	s.dropAside(p.Key)
	if len(s.aside) < maxAside {
		s.aside = append(s.aside, p)
	}
	return fresh
}

func (s *session) dropAside(name string) (dropped bool) {
	n := len(s.aside)
	s.aside = slices.DeleteFunc(slices.Clone(s.aside), func(x Pin) bool { return x.Key == name })
	return len(s.aside) < n
}

// takeLevel takes an offer of a cookie that holds a Service; ok is false for any
// other.
func (st *State) takeLevel(s *session, offer Offer, now time.Time) (fresh, ok bool) {
	r := st.routes[s.Spec.Route]
	if r == nil || st.level(r, offer.Name) == nil {
		return false, false
	}
	if offer.Deletes || offer.NotReturned != "" {
		s.dropAside(offer.Name)
		if s.Pin != nil && s.Pin.Key == offer.Name {
			s.Pin = nil
		}
		return false, true
	}
	p := Pin{Layer: MechanismCookie, Key: offer.Name, Value: offer.Value, Since: now, Expires: offer.Expires, Exact: true, Offer: offer}
	if s.Pin != nil && s.Pin.Key == p.Key {
		fresh = s.Pin.Value != p.Value
		s.Pin, s.pinSure, s.quiet, s.read = &p, true, 0, reading{}
		return fresh, true
	}
	return s.putAside(p), true
}

// level is the level that has a cookie of that name; nil when none does, or the
// name is that of a pod's cookie too.
func (st *State) level(r *Route, name string) *CookieLevel {
	for _, c := range st.candidates(r) {
		if c.Cookie.Name == name {
			return nil
		}
		for i := range c.Levels {
			if c.Levels[i].Cookie.Name == name {
				return &c.Levels[i]
			}
		}
	}
	return nil
}

// heldChildren are the names in the held cookies of a candidate's Levels, by
// level; "" for one that is not held, or names nobody.
func (st *State) heldChildren(s *session, r *Route, candidate int) []string {
	c := st.candidates(r)[candidate]
	held := make([]string, len(c.Levels))
	for i, l := range c.Levels {
		for _, p := range s.holding() {
			if p.Key == l.Cookie.Name && l.Decoder != nil {
				held[i] = st.table(tableKey{r.ID, candidate, -2 - i}, l.Decoder, r.Backend).Lookup(p.Value.Reveal()).Backend
			}
		}
	}
	return held
}

// holding are all affinity cookies that s holds.
func (s *session) holding() []Pin {
	if s.Pin == nil {
		return s.aside
	}
	return append(slices.Clip(s.aside), *s.Pin)
}

// heldService says which Service the cookies of s hold, and by which cookie; ""
// when none does.
func (st *State) heldService(s *session) string {
	r := st.routes[s.Spec.Route]
	if r == nil || len(r.Branches()) == 0 {
		return ""
	}
	var all []string
	for i, c := range st.candidates(r) {
		for n, child := range st.heldChildren(s, r, i) {
			if child != "" {
				all = append(all, fmt.Sprintf("cookie %s holds service %s", Clean(c.Levels[n].Cookie.Name, 60), child))
			}
		}
	}
	return strings.Join(all, ", ")
}

// sideByLevels is the only Service that the held cookies of the Levels leave.
func (st *State) sideByLevels(s *session, r *Route) (ServiceRef, bool) {
	for i, c := range st.candidates(r) {
		held := st.heldChildren(s, r, i)
		if !slices.ContainsFunc(held, func(child string) bool { return child != "" }) {
			continue
		}
		fits := func(names []string) bool {
			for n, child := range held {
				below := slices.ContainsFunc(names, func(name string) bool { return slices.Contains(c.Levels[n].Children, name) })
				if child != "" && below && !slices.Contains(names, child) {
					return false
				}
			}
			return true
		}
		var left []ServiceRef
		if fits(c.Child) {
			left = append(left, r.Backend.Service)
		}
		for _, b := range c.Branches {
			if fits(b.Child) {
				left = append(left, b.Backend.Service)
			}
		}
		if len(left) == 1 {
			return left[0], true
		}
	}
	return ServiceRef{}, false
}

// holds reports whether a cookie of that name holds clients on a Service.
func (st *State) holds(r *Route, name string, ref ServiceRef) bool {
	for _, c := range st.candidates(r) {
		if c.Cookie.Name == name && ref == r.Backend.Service {
			return true
		}
		for _, b := range c.Branches {
			if b.Cookie == name && b.Backend.Service == ref {
				return true
			}
		}
	}
	return false
}

// choosePin puts the cookie in force that is of the Service which gave the last
// answer: that of the pod that served it, where an answer names one, else the one
// that a cookie holds. One that was offered just now is of this Service anyway.
// Where the Service has none, one that holds the Service is all there is.
func (st *State) choosePin(s *session, served PodRef) {
	s.sideless, s.side = false, ServiceRef{}
	r := st.routes[s.Spec.Route]
	if r == nil || s.picked || len(r.Branches()) == 0 {
		return
	}
	x, _, known := st.placeOf(s, served)
	side := x.backend.Service
	if known && x.object != "" && !x.branch {
		return
	}
	if !known {
		side, known = st.sideByLevels(s, r)
	}
	if known {
		s.side = side
		if s.Pin != nil && st.level(r, s.Pin.Key) == nil {
			if holds, known := st.pinHolds(r, *s.Pin, side); holds || !known {
				return
			}
		}
		st.swap(s, slices.IndexFunc(s.aside, func(p Pin) bool {
			holds, _ := st.pinHolds(r, p, side)
			return holds && st.level(r, p.Key) == nil
		}))
	} else if st.level(r, pinKey(s.Pin)) == nil {
		s.sideless = s.Pin != nil && slices.ContainsFunc(s.aside, func(p Pin) bool { return st.level(r, p.Key) == nil })
	}
	if s.Pin == nil {
		for _, c := range st.candidates(r) {
			for _, l := range slices.Backward(c.Levels) {
				if i := slices.IndexFunc(s.aside, func(p Pin) bool { return p.Key == l.Cookie.Name }); i >= 0 {
					st.swap(s, i)
					return
				}
			}
		}
	}
}

func pinKey(p *Pin) string {
	if p == nil {
		return ""
	}
	return p.Key
}

// swap puts the i-th cookie that is kept aside in force in place of the one that
// is; none for -1.
func (st *State) swap(s *session, i int) {
	var next *Pin
	if i >= 0 {
		p := s.aside[i]
		next = &p
		s.dropAside(p.Key)
	}
	if s.Pin != nil {
		s.putAside(*s.Pin)
	}
	s.Pin, s.pinSure, s.quiet, s.read = next, true, 0, reading{}
}

// servicePin reports whether the cookie in force holds a Service, not a pod.
func (s *session) servicePin() bool {
	return s.Pin != nil && s.Pin.Decoded.Exact && s.Pin.Decoded.Backend != "" && len(s.Pin.Decoded.Endpoints) == 0
}

// pinHolds reports whether p holds its client on a Service, by its name or, as
// Traefik gives a Service that several rules have the cookie of one of them, by
// what it names; known is false where neither tells.
func (st *State) pinHolds(r *Route, p Pin, ref ServiceRef) (holds, known bool) {
	if st.known(r, p.Key) {
		return st.holds(r, p.Key, ref), true
	}
	return p.Decoded.Hit() && cmp.Or(p.Decoded.Service, r.Backend.Service) == ref, p.Decoded.Hit()
}

// apart reports whether a client that holds p goes on holding it for one Service
// when another offers it a cookie.
func (st *State) apart(r *Route, p Pin, offer Offer) bool {
	switch {
	case p.Key == offer.Name:
		return false
	case st.level(r, p.Key) != nil, st.known(r, p.Key) && st.known(r, offer.Name):
		return true
	case !p.Decoded.Hit():
		return false
	}
	for i, c := range st.candidates(r) {
		if c.Decoder == nil {
			continue
		}
		if d := st.lookup(r, i, offer.Value); d.Hit() && d.Exact && d.Service != p.Decoded.Service {
			return true
		}
	}
	return false
}

// known reports whether a cookie of that name holds clients on one of the
// Services of a route.
func (st *State) known(r *Route, name string) bool {
	return slices.ContainsFunc(st.places[r.ID], func(x place) bool { return st.holds(r, name, x.backend.Service) })
}

// cookieNames are the names of the cookies that hold clients on the Services of
// a route.
func (st *State) cookieNames(r *Route) (names []string) {
	for _, c := range st.candidates(r) {
		names = append(names, c.Cookie.Name)
		for _, b := range c.Branches {
			names = append(names, b.Cookie)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// jar is what the client holds: the fingerprints of its affinity cookies.
func (s *session) jar() string {
	if len(s.aside) == 0 {
		return s.print
	}
	prints := []string{s.print}
	for _, p := range s.aside {
		prints = append(prints, p.Key+" "+p.Value.Fingerprint())
	}
	if s.Pin != nil {
		prints[0] = s.Pin.Key + " " + s.print
	}
	slices.Sort(prints)
	return strings.Join(prints, ",")
}
