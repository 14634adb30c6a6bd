package affinity

import (
	"cmp"
	"slices"
	"time"
)

// reading is what the held cookie was last decoded against.
type reading struct {
	value   Secret
	key     string
	version uint64 // of the backend
	routes  uint64 // of State.routesVersion
}

// sentCookie returns the fingerprint of the affinity cookie that went out.
func (s *session) sentCookie(o Observed) string {
	if s.Pin == nil {
		return ""
	}
	for i := len(o.Sent) - 1; i >= 0; i-- {
		if o.Sent[i].Name != s.Pin.Key {
			continue
		}
		if o.Sent[i].Value == s.read.value {
			return s.print
		}
		return o.Sent[i].Value.Fingerprint()
	}
	return ""
}

// sentTwice reports whether two cookies of the pin's name went out, of two
// paths or domains, with different values.
func (s *session) sentTwice(o Observed) bool {
	if s.Pin == nil {
		return false
	}
	first := -1
	for i := range o.Sent {
		switch {
		case o.Sent[i].Name != s.Pin.Key:
		case first < 0:
			first = i
		case o.Sent[i].Value != o.Sent[first].Value:
			return true
		}
	}
	return false
}

// takeOffers finds the affinity cookie among the offers, the last of its name,
// and reports whether the client now holds another value than before.
func (st *State) takeOffers(s *session, o Observed, now time.Time) (fresh bool) {
	s.offeredLast, s.picked = false, false
	s.held, s.format = s.Pin != nil, ""
	if s.held {
		s.format = s.Pin.Decoder
	}
	for _, offer := range o.Offers {
		s.cookies = true
		if other, ok := st.takeLevel(s, offer, now); ok {
			fresh = fresh || other
			continue
		}
		decoder, sure, ok := st.isAffinity(s, offer)
		if !ok {
			// Any cookie of a controller that is not read may be the one.
			changed := s.keep(kept{offer, now, o.Status})
			fresh = fresh || changed && st.policy(s.Spec.Route).Mechanism == MechanismUnknown
			continue
		}
		s.offered, s.offeredLast, s.notReturned = true, true, offer.NotReturned
		s.picked = s.picked || sure && !offer.Deletes
		if offer.Deletes || offer.NotReturned != "" {
			if s.Pin != nil && s.Pin.Key == offer.Name {
				s.Pin = nil
			}
			s.dropAside(offer.Name)
			if offer.Deletes && offer.NotReturned == "" {
				s.notReturned = "the response deletes it at once"
			}
			st.thrown(s, o, offer, now)
			continue
		}
		if s.Pin == nil || s.Pin.Value != offer.Value || s.Pin.Key != offer.Name {
			fresh = true
		}
		if r := st.routes[s.Spec.Route]; s.Pin != nil && st.apart(r, *s.Pin, offer) {
			s.putAside(*s.Pin) // of another Service, which takes it when it is asked again
		}
		s.dropAside(offer.Name)
		s.Pin = &Pin{Layer: MechanismCookie, Key: offer.Name, Value: offer.Value, Since: now, Expires: offer.Expires,
			Exact: true, Decoder: decoder, Offer: offer}
		s.pinSure = sure
		s.quiet, s.read = 0, reading{} // the same value again is a new pin, not yet decoded
	}
	return fresh
}

// kept is a cookie that nothing said was an affinity cookie when it came.
type kept struct {
	offer  Offer
	at     time.Time
	status int // of the answer
}

// maxKept bounds the cookies that are kept for a second look.
const maxKept = 8

// keep remembers the newest unrecognised offer of each name: the controller
// may act on an edited Ingress before the watch tells of the edit, and offers
// its cookie only once. It reports whether the client now holds another value.
func (s *session) keep(it kept) (changed bool) {
	offer := it.offer
	changed = !slices.ContainsFunc(s.kept, func(k kept) bool { return k.offer.Name == offer.Name && k.offer.Value == offer.Value })
	s.kept = slices.DeleteFunc(s.kept, func(k kept) bool { return k.offer.Name == offer.Name })
	if offer.Deletes || offer.NotReturned != "" {
		if !offer.Deletes {
			s.unkept = offer.Name + " is not sent back: " + offer.NotReturned
		}
		return false
	}
	if len(s.kept) == maxKept {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	s.kept = append(s.kept, it)
	return changed
}

// recall looks again at the cookies that a session without a pin was given,
// after the routes changed, and reports whether one is its first pin after
// answers without, or its first again.
func (st *State) recall(s *session) (first bool) {
	if s.Pin != nil {
		return false
	}
	for _, k := range s.kept {
		if _, ok := st.takeLevel(s, k.offer, k.at); ok {
			continue
		}
		if decoder, sure, ok := st.isAffinity(s, k.offer); ok {
			s.offered, s.offeredLast, s.notReturned = true, true, ""
			s.Pin = &Pin{Layer: MechanismCookie, Key: k.offer.Name, Value: k.offer.Value, Since: k.at, Expires: k.offer.Expires,
				Exact: true, Decoder: decoder, Offer: k.offer}
			s.quiet, s.expired, s.dropped, s.kept, s.read = 0, false, "", nil, reading{}
			s.pinStatus, s.pinSure = k.status, sure
			if first = s.unheld > 0; first {
				s.PinnedSince = k.at
			}
			return first
		}
	}
	return false
}

// isAffinity reports whether an offer is a controller's cookie: it has the
// configured name, or its value is one that a decoder proves or, where no
// cookie is configured by name, proposes; the last alone is not sure, as an
// application's own cookie can have the shape.
func (st *State) isAffinity(s *session, offer Offer) (decoder string, sure, ok bool) {
	r := st.routes[s.Spec.Route]
	if r == nil {
		return "", false, false
	}
	for i, c := range st.candidates(r) {
		if slices.ContainsFunc(c.Branches, func(b Branch) bool { return b.Cookie != "" && b.Cookie == offer.Name }) {
			return "", true, true
		}
		if c.Mechanism != MechanismCookie {
			continue
		}
		if c.Cookie.Name == offer.Name {
			return "", true, true
		}
		if c.Decoder == nil {
			continue
		}
		d := st.lookup(r, i, offer.Value)
		if proved := d.Hit() && d.Exact; proved || c.Cookie.Name == "" && d.Shaped {
			return c.Decoder.Name(), proved, true
		}
	}
	return "", false, false
}

func (st *State) candidates(r *Route) []Policy {
	for _, l := range r.Layers {
		if l.Where == LayerIngress {
			return l.Candidates
		}
	}
	return nil
}

// table returns the prepared decoder over the endpoints of now of a backend:
// that of one of the candidate's Branches, or the route's own for branch -1.
func (st *State) table(key tableKey, d Decoder, at Backend) Table {
	var version uint64
	var set EndpointSet
	b := st.backends[at.Service]
	if b != nil {
		version = b.version + 1
	}
	if t, ok := st.tables[key]; ok && t.version == version {
		return t.table
	}
	if b != nil {
		set = EndpointSet{Current: ofPort(b.all, at.PortName), Gone: ofPort(b.gone, at.PortName)}
	}
	t := d.Table(set)
	st.tables[key] = tableEntry{version: version, decoder: d, table: t}
	return t
}

// lookup reads a cookie's value as the candidate writes them: against the
// route's own endpoints and, where it names none of them, those of its Branches.
func (st *State) lookup(r *Route, candidate int, value Secret) Decoded {
	c := st.candidates(r)[candidate]
	d := st.table(tableKey{r.ID, candidate, -1}, c.Decoder, r.Backend).Lookup(value.Reveal())
	if len(d.Endpoints) > 0 && !d.Gone {
		return d
	}
	for i, b := range c.Branches {
		if b.Decoder == nil {
			continue
		}
		x := st.table(tableKey{r.ID, candidate, i}, b.Decoder, b.Backend).Lookup(value.Reveal())
		if len(x.Endpoints) == 0 || x.Gone && d.Gone || !x.Exact && !x.Shaped {
			continue
		}
		x.Service = b.Backend.Service
		x.Detail = "svc/" + b.Backend.Service.Name + ", by " + b.Object + ": " + x.Detail
		return x
	}
	return d
}

// decodePin reads the held cookie against the endpoints of now, for an answer
// at that time or, with at zero, because the endpoints changed.
func (st *State) decodePin(s *session, at time.Time) {
	r := st.routes[s.Spec.Route]
	if s.Pin == nil || r == nil || s.Pin.Layer != MechanismCookie {
		if _, had := s.evidence(SourceCookie); had {
			s.Evidence = slices.DeleteFunc(slices.Clone(s.Evidence), func(e Evidence) bool { return e.Source == SourceCookie })
		}
		s.print, s.read = "", reading{}
		return
	}
	now := reading{value: s.Pin.Value, key: s.Pin.Key, version: st.version(s), routes: st.routesVersion}
	renewal := st.renewal(s, r)
	if now != s.read || renewal != s.Pin.Renewal {
		pin := *s.Pin
		pin.Renewal = renewal
		if now != s.read {
			if now.value != s.read.value {
				s.print = now.value.Fingerprint()
			}
			pin.Decoded, pin.Decoder = st.decode(r, pin)
			s.read = now
		}
		s.Pin = &pin
	}
	if s.Pin.Decoder != "" {
		s.witness(st.cookieEvidence(s, r, at))
	}
}

// cookieEvidence is the word of the held cookie. Evidence that is not news of
// an answer keeps its time while it says the same.
func (st *State) cookieEvidence(s *session, r *Route, at time.Time) Evidence {
	d := s.Pin.Decoded
	e := Evidence{Source: SourceCookie, At: at, Detail: d.Detail}
	if held := st.heldService(s); held != "" {
		e.Detail += "; " + held
	}
	switch {
	case s.sideless:
		e.Detail = "cookies of several Services are held, and nothing tells which of them answered"
	case d.Hit():
		e.Pod, e.Addr = d.pod(r), d.Endpoints[0].Addr
	}
	if old, had := s.evidence(SourceCookie); at.IsZero() && had && old.Pod == e.Pod {
		e.At = old.At
	}
	return e
}

// decode tries the route's candidate formats: a proof (a digest that matches
// an endpoint) beats a shape, and settles which controller this is, or was when
// the cookie came.
func (st *State) decode(r *Route, pin Pin) (best Decoded, decoder string) {
	var by Policy
	rank := -1
	for i, c := range st.candidates(r) {
		if c.Decoder == nil {
			continue
		}
		d := st.lookup(r, i, pin.Value)
		if n := decodedRank(d); n > rank {
			best, by, rank = d, c, n
		}
	}
	if l, ok := r.Layer(LayerIngress); ok && l.Guessed {
		st.suspect(r, pin)
	}
	if rank < 1 {
		return Decoded{}, ""
	}
	if best.Exact && len(best.Endpoints) > 0 || rank >= 2 && len(st.candidates(r)) > 1 {
		st.settle(r, by, pin)
	}
	return best, by.Decoder.Name()
}

// decodedRank orders what decoders say: 3 a proof, 2 one endpoint by a value of
// the right shape, 1 the shape alone, 0 nothing.
func decodedRank(d Decoded) int {
	switch {
	case d.Exact && len(d.Endpoints) > 0:
		return 3
	case d.Shaped && len(d.Endpoints) > 0:
		return 2
	case d.Shaped:
		return 1
	}
	return 0
}

// settle notes that by issued a cookie that came at that time. The newest cookie
// is the word of the controller that answers now: those of the one before it
// are held, and decoded, long after a migration.
func (st *State) settle(r *Route, by Policy, pin Pin) {
	s, ok := st.settled[r.ID]
	if ok && pin.Since.Before(s.at) && s.hint == "" {
		return
	}
	if ok && s.controller == by.Controller && s.mode == by.Mode && s.hint == "" {
		s.at = pin.Since
		st.settled[r.ID] = s
		return
	}
	st.settled[r.ID] = settlement{at: pin.Since, controller: by.Controller, mode: by.Mode, offer: pin.Offer, proof: "its cookie decodes as " + by.Decoder.Name()}
	st.views.routes = nil
	delete(st.policies, r.ID)
}

// policy returns the policy in force on a route, cookies considered.
func (st *State) policy(id RouteID) *Policy {
	if p, ok := st.policies[id]; ok {
		return p
	}
	p := &Policy{}
	if st.routes[id] != nil {
		*p = st.routeView(id).Policy()
		st.unguess(id, p)
	}
	st.policies[id] = p
	return p
}

// renewal is the configured renewal of the pin or, where no configuration
// tells, what was seen: three answers in a row to a cookie that came back
// without a new one prove that traffic does not renew it.
func (st *State) renewal(s *session, r *Route) Renewal {
	if s.Pin.Expires.IsZero() {
		return RenewalSession
	}
	if p := st.policy(r.ID); p.Mechanism == MechanismCookie && p.Renewal != RenewalUnknown && p.Renewal != RenewalSession {
		return p.Renewal
	}
	if s.quiet >= 3 {
		return RenewalAbsolute
	}
	return RenewalUnknown
}

// decodedPod is the pod the held cookie names now, if exactly one.
func (st *State) decodedPod(s *session) (PodRef, Source) {
	r := st.routes[s.Spec.Route]
	if s.Pin == nil || r == nil || s.sideless || !s.Pin.Decoded.Hit() {
		return PodRef{}, SourceNone
	}
	return s.Pin.Decoded.pod(r), SourceCookie
}

// pod is the pod of the endpoint that a cookie of the route names.
func (d Decoded) pod(r *Route) PodRef {
	return endpointPod(cmp.Or(d.Service, r.Backend.Service), d.Endpoints[0])
}
