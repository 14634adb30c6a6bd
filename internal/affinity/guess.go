package affinity

import (
	"slices"
	"strings"
	"time"
)

// suspect notes what the shape of a cookie says about a route that no object
// describes. Where it fits several controllers, none of them is named.
func (st *State) suspect(r *Route, pin Pin) {
	old, had := st.settled[r.ID]
	if had && (old.hint == "" || pin.Since.Before(old.at) || old.offer.Name == pin.Offer.Name && old.offer.Value == pin.Offer.Value) {
		return
	}
	now := settlement{at: pin.Since, offer: pin.Offer}
	var fits []string
	for i, c := range st.candidates(r) {
		if c.Decoder == nil || !st.lookup(r, i, pin.Value).Shaped {
			continue
		}
		if !slices.Contains(fits, c.Controller) {
			fits = append(fits, c.Controller)
		}
		now.controller, now.mode = c.Controller, c.Mode
	}
	switch len(fits) {
	case 0:
		if pin.Key != st.candidates(r)[0].Cookie.Name {
			return // nothing says that it is one
		}
		now.hint = "cookie " + pin.Key + " was set; its format is not known"
	case 1:
		now.hint = "cookie " + pin.Key + " has the shape of " + fits[0] + "'s, which is all that is known"
	default:
		now.hint = "cookie " + pin.Key + " has a shape that fits " + strings.Join(fits, ", ")
	}
	if len(fits) != 1 {
		now.controller, now.mode = "", ""
	}
	st.settled[r.ID] = now
	st.views.routes = nil
	delete(st.policies, r.ID)
}

// guess is a layer without objects after a cookie was seen: what the cookie
// says of itself, and of its controller.
func (l Layer) guess(seen settlement) Layer {
	p := l.Candidates[0]
	for n, c := range l.Candidates {
		if seen.controller != "" && c.Controller == seen.controller && c.Mode == seen.mode {
			p, l.Chosen = c, n
			break
		}
	}
	p.Mechanism, p.Why = MechanismCookie, "Set-Cookie as received"
	p.Cookie = CookieSpec{Name: seen.offer.Name, Path: seen.offer.Path, Domain: seen.offer.Domain, Secure: seen.offer.Secure,
		HTTPOnly: seen.offer.HTTPOnly, SameSite: seen.offer.SameSite}
	p.Renewal = RenewalSession
	if !seen.offer.Expires.IsZero() {
		p.Renewal, p.Cookie.HasAge = RenewalUnknown, true
		p.Cookie.MaxAge = seen.offer.Expires.Sub(seen.at).Round(time.Second)
	}
	l.Candidates = slices.Clone(l.Candidates)
	l.Candidates[l.Chosen] = p
	l.Proof, l.Hint = seen.proof, seen.hint
	return l
}

// unguess makes p, the policy in force on a route without objects, one that
// sessions can be judged by: a cookie may hold them, and what one cookie said
// of itself is no configuration.
func (st *State) unguess(id RouteID, p *Policy) {
	l, ok := st.routes[id].Layer(LayerIngress)
	if !ok || !l.Guessed {
		return
	}
	p.Mechanism, p.Cookie, p.Renewal = MechanismCookie, l.Candidates[0].Cookie, RenewalUnknown
}
