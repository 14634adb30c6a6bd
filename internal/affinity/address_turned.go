package affinity

import "time"

// turned is the last change of whether a Service pins by address.
type turned struct {
	from time.Time // when it can have happened at the earliest: before at when the watch was stale
	at   time.Time
	on   bool
}

// applyService keeps a Service, and when its affinity was turned on or off.
func (st *State) applyService(svc Service, now time.Time) {
	old, had := st.services[svc.Ref]
	st.services[svc.Ref] = svc
	st.views.services = nil
	on := svc.Policy.Mechanism == MechanismClientIP
	if !had || on == (old.Policy.Mechanism == MechanismClientIP) {
		return
	}
	t := turned{from: now, at: now, on: on}
	if s, ok := st.sources["services"]; ok && s.State != SourceLive && !s.Since.IsZero() {
		t.from = s.Since
	}
	st.turned[svc.Ref] = t
	for _, id := range st.order {
		if s := st.sessions[id]; st.turnedOf(s) == t {
			st.explainAgain(s, now)
			st.judge(s)
		}
	}
}

// turnedOf is the last change of the affinity of the Service that s goes to; its
// zero value when none was seen.
func (st *State) turnedOf(s *session) turned {
	if r := st.routes[s.Spec.Route]; r != nil {
		return st.turned[r.Backend.Service]
	}
	return turned{}
}

// byAddress reports whether s was held by its address at that time: nodes take
// up to proxyLag to do as the Service says.
func (st *State) byAddress(s *session, at time.Time) bool {
	if s.Pin != nil || st.policy(s.Spec.Route).Mechanism != MechanismClientIP {
		return false
	}
	t := st.turnedOf(s)
	return !t.on || !at.Before(t.at.Add(proxyLag))
}

// unheldAt reports whether nothing held s at that time.
func (st *State) unheldAt(s *session, at time.Time) bool {
	return s.Pin == nil && (st.wantsCookie(s) || st.policy(s.Spec.Route).Mechanism == MechanismClientIP && !st.byAddress(s, at))
}

// turnedCause is the change of a Service's affinity behind a move.
func (st *State) turnedCause(s *session, m Move, since time.Time) string {
	t := st.turnedOf(s)
	if t.at.IsZero() || m.CookieChanged || s.Pin != nil || t.at.Before(since) || t.from.After(m.At.Add(causeAfter)) {
		return ""
	}
	at := t.at.UTC().Format("15:04:05Z")
	if t.on {
		return "the Service's sessionAffinity was not ClientIP before " + at
	}
	return "the Service's sessionAffinity is not ClientIP since " + at
}
