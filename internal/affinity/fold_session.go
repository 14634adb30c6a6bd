package affinity

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// session is a Session being written.
type session struct {
	Session
	view *Session // last copy handed out; nil when it is out of date
	n    *int     // State.views.sessionsN

	shared bool   // a snapshot holds Evidence
	print  string // fingerprint of the held cookie
	read   reading

	aside       []Pin      // other affinity cookies that it holds, by name; never written in place
	side        ServiceRef // that gave the last answer, where the route has several and it is known
	sideless    bool       // several of them hold pods, and nothing tells which one the last answer was by
	kept        []kept     // cookies that may yet turn out to be one
	unkept      string     // which of any name was last offered and is not sent back, and why
	cookies     bool       // a cookie of any name was offered, ever
	offered     bool       // an affinity cookie was offered, ever
	offeredLast bool       // by the last answer
	picked      bool       // the last answer offered one to keep, and it is surely one
	pinSure     bool       // the held cookie is one by its name or its digest, not by its shape alone
	notReturned string     // why the last one is not sent back; "" when it is
	held        bool       // it held a cookie before the last answer
	format      string     // of the cookie it held before the last answer: a decoder's name
	quiet       int        // answers without a new offer since the pin began
	expired     bool       // the cookie was dropped because its time was up
	dropped     string     // why the last cookie was dropped; "" once another came
	answered    time.Time  // of the last answer by Pod
	against     against
	untied      *untied
	unheld      int       // answers since it lost its pin, or since it opened
	hadPin      bool      // before them
	loose       bool      // the last answer changed the pod, and nothing held it to the one before
	spoke, mute int       // requests since PodSince whose answer named Pod; which failed or named nobody
	doubled     bool      // the last request carried two different cookies of the pin's name
	created     time.Time // of Pod, as of the last answer
	failure     *Failure  // the last one
	failing     time.Time // of the first of a row that nothing explains yet
	apart       trouble   // failures and cuts since the last answer
	hollow      bool      // its last connection failed before it was joined, and none was since
	points      PodRef    // that the held cookie named at the last answer
	stay        stay      // that stayText is about
	stayText    string
	pinStatus   int            // of the last answer since the held cookie came, or of the one that brought it
	toldStatus  int            // error status of the last line about one
	toldAt      time.Time      // when it was last met
	refused     map[string]int // Engine.IO code by X-Request-Id, since the handshake
	recent      [splitN]visit  // newest first
	given       [2]visit       // that cookies it does not keep named, newest first
}

// visit is one answer, for recognising a SPLIT.
type visit struct {
	pod     PodRef
	cookie  string
	version uint64 // of the backend
}

// A SPLIT is a cookie that changed pods at least splitMin times in its last
// splitN answers while the endpoints stayed the same: chance re-pins do not
// come back.
const (
	splitN   = 10
	splitMin = 3
)

// sessionView returns an immutable copy, the same one until something changes.
// What only readers need is worked out here rather than with every event.
func (st *State) sessionView(s *session) *Session {
	if s.view == nil {
		s.Disagree = st.disagreement(s)
		s.Timers = st.timers(s)
		s.Unheld = s.Pin == nil && st.wantsCookie(s)
		s.shared = true
		c := s.Session
		c.Moves = c.Moves[max(0, len(c.Moves)-MaxMoves):len(c.Moves):len(c.Moves)]
		c.Exchanges = c.Exchanges[max(0, len(c.Exchanges)-MaxExchanges):len(c.Exchanges):len(c.Exchanges)]
		s.view = &c
	}
	return s.view
}

func (s *session) touch() {
	if s.view != nil {
		s.view = nil
		*s.n++
	}
}

func (st *State) openSession(spec SessionSpec, now time.Time) {
	if s, ok := st.sessions[spec.ID]; ok {
		s.Spec, s.ClosedAt, s.CloseWhy = spec, time.Time{}, ""
		st.judge(s)
		return
	}
	s := &session{Session: Session{Spec: spec, Opened: now}, n: &st.views.sessionsN}
	st.sessions[spec.ID] = s
	st.addresses.owns(spec.From)
	at, _ := slices.BinarySearchFunc(st.order, spec.ID, compareIDs)
	st.order = slices.Insert(st.order, at, spec.ID)
	for _, x := range st.places[spec.Route] {
		if b, ok := st.backends[x.backend.Service]; ok && (x.object == "" || x.branch) {
			st.tagEndpoints(b)
		}
	}
	st.judge(s)
}

// compareIDs orders s2 before s10.
func compareIDs(a, b SessionID) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func (st *State) closeSession(e SessionClosed, now time.Time) {
	s, ok := st.sessions[e.ID]
	if !ok || !s.ClosedAt.IsZero() {
		return
	}
	s.ClosedAt, s.CloseWhy, s.Awaiting, s.AwaitingStep = now, e.Reason, time.Time{}, ""
	st.happen(Happening{At: now, Source: "probe", Kind: "session", Session: e.ID, Text: fmt.Sprintf("%s ended: %s", e.ID, e.Reason)})
	st.judge(s)
}

func (st *State) dropCookie(e CookieDropped, now time.Time) {
	s, ok := st.sessions[e.Session]
	if ok {
		s.kept = slices.DeleteFunc(s.kept, func(k kept) bool { return k.offer.Name == e.Name })
	}
	if ok && s.dropAside(e.Name) {
		if r := st.routes[s.Spec.Route]; r != nil && st.level(r, e.Name) != nil {
			s.dropped = e.Reason
		}
		st.happen(Happening{At: now, Source: "probe", Kind: "cookie", Session: s.Spec.ID, Route: s.Spec.Route, Level: LevelChange,
			Text: fmt.Sprintf("%s dropped its cookie %s: %s", s.Spec.ID, e.Name, e.Reason)})
		st.decodePin(s, time.Time{})
		st.judge(s)
	}
	if !ok || s.Pin == nil || s.Pin.Key != e.Name {
		return
	}
	if e.Expired && (s.Pin.Expires.IsZero() || s.Pin.Expires.Sub(now) > time.Second) {
		return // another of that name, on another path or domain
	}
	s.Pin, s.expired, s.dropped, s.notReturned, s.offeredLast = nil, e.Expired, e.Reason, "", false
	st.happen(Happening{At: now, Source: "probe", Kind: "cookie", Session: s.Spec.ID, Route: s.Spec.Route, Level: LevelChange,
		Text: fmt.Sprintf("%s dropped its cookie %s: %s", s.Spec.ID, e.Name, e.Reason)})
	st.judge(s)
}

// observe folds one round trip.
func (st *State) observe(o Observed, now time.Time) {
	s, ok := st.sessions[o.Session]
	if !ok {
		return
	}
	s.Requests++
	s.Awaiting, s.AwaitingStep = time.Time{}, ""
	aside := s.goesOnPolling(o)
	if !aside {
		s.countStatus(o, now)
	}
	s.LastTook, s.Redirect = o.Took, o.Redirect
	if o.Remote != "" {
		s.LastRemote = o.Remote
	}
	if o.Host != "" && o.Host != s.AskedHost {
		s.AskedHost = o.Host
	}
	s.loose, s.doubled = false, s.sentTwice(o)
	sent := s.sentCookie(o)
	fresh := st.takeOffers(s, o, now)
	o = st.weigh(s, o, now)
	if !aside && (o.Failure != nil || !s.hollow && o.Leg != LegPreflight) {
		s.LastFailure = o.Failure
	}
	x := Exchange{RequestID: o.RequestID, At: now, Took: o.Took, Status: o.Status, Cookie: sent, NewCookie: fresh, Leg: o.Leg}
	if o.Failure != nil {
		if aside {
			st.staysOnPolling(s, o, now)
		} else {
			st.failed(s, o, now)
		}
		x.Failure = o.Failure.Text
		if o.Refused != nil { // the application spoke, so a pod did
			s.Refusals++
			x.Pod, x.Source = st.refusedBy(s, o, now)
			x.Tag = st.tag(x.Pod)
		} else if o.Leg != "" && BadStatus(o.Status) { // a proxy's, unless a pod put its name on it
			if named := st.identified(s, o); len(named) > 0 {
				x.Pod, x.Source = named[0].pod, named[0].source
				x.Tag = st.tag(x.Pod)
			}
		}
	} else if o.Leg == LegPreflight {
		x.Pod, x.Source = st.preflighted(s, o)
		x.Tag = st.tag(x.Pod)
	} else {
		x.Pod, x.Source = st.answer(s, o, fresh, now)
		x.Tag = st.tag(x.Pod)
		if len(s.aside) > 0 && !fresh {
			x.Cookie = s.sentCookie(o)
		}
		st.statusSaid(s, now)
		st.countUnheld(s, fresh, now)
		x.Loose = s.loose
	}
	if x.Failure == "" && x.Source.answers() {
		s.spoke++
	} else {
		s.mute++
	}
	if len(s.Exchanges) >= 2*MaxExchanges {
		s.Exchanges = slices.Clone(s.Exchanges[len(s.Exchanges)-MaxExchanges:])
	}
	x.Others = len(o.Sent)
	if x.Cookie != "" {
		x.Others = max(0, x.Others-1)
	} else if x.Others > 0 && st.nameless(s.Spec.Route) {
		x.Unsure = sentNames(o.Sent)
	}
	st.noteKept(s, len(o.Offers) > 0)
	s.Exchanges = append(s.Exchanges, x)
	st.tieAddress(s, o, now)
	if o.Leg != "" {
		st.leg(s, o, x)
		st.judgeLeg(s, o, now)
	}
	st.judgeModels(s, now)
	before := s.base
	st.judge(s)
	if s.base == Split && before != Split {
		st.happen(Happening{At: now, Source: "probe", Kind: "split", Session: s.Spec.ID, Pod: s.Pod, Route: s.Spec.Route, Level: LevelBroken,
			Text: fmt.Sprintf("%s SPLIT: %s", s.Spec.ID, s.detail)})
	}
}

// countUnheld counts the answers that nothing held s for.
func (st *State) countUnheld(s *session, fresh bool, now time.Time) {
	switch {
	case st.unheldAt(s, now):
		s.unheld++
		s.PinnedSince = time.Time{}
	case s.Pin != nil || st.byAddress(s, now):
		if s.unheld > 0 && (fresh || s.Pin == nil) {
			st.pinned(s, now)
			s.PinnedSince = now
		}
		s.unheld, s.hadPin = 0, true
	}
}

// goesOnPolling reports whether o is the failed upgrade of a session that is held by
// polling and goes on so, as browsers' do.
func (s *session) goesOnPolling(o Observed) bool {
	return o.Leg == LegUpgrade && o.Failure != nil && s.Socket != nil && s.Socket.Ended == nil && s.Socket.Carrier == CarrierPolling
}

// staysOnPolling folds the failed upgrade of a session that is held all the same.
func (st *State) staysOnPolling(s *session, o Observed, now time.Time) {
	s.Failures++
	st.decodePin(s, now)
	st.happen(Happening{At: now, Source: "probe", Kind: "socket", Session: s.Spec.ID, Pod: s.Pod, Route: s.Spec.Route, Level: LevelWarning,
		Text: fmt.Sprintf("%s got no WebSocket and goes on polling: %s", s.Spec.ID, o.Failure.Text)})
}

// NoWebSocket says why a session that is held polls, where an upgrade failed; ""
// otherwise.
func (s *Session) NoWebSocket() string {
	l, ok := s.Leg(LegUpgrade)
	if !ok || s.Socket == nil || s.Socket.Ended != nil || s.Socket.Carrier != CarrierPolling {
		return ""
	}
	return l.Failure
}

// failed folds a request that got no usable answer.
func (st *State) failed(s *session, o Observed, now time.Time) {
	s.Failures++
	s.InARow++
	s.apart.failures++
	s.failure = o.Failure
	st.decodePin(s, now)
	if s.InARow == 1 {
		h := Happening{At: now, Source: "probe", Kind: "failing", Session: s.Spec.ID, Pod: s.Pod, Route: s.Spec.Route, Level: LevelBroken,
			Text: fmt.Sprintf("%s failing: %s", s.Spec.ID, o.Failure.Text)}
		s.failing = now
		h.CauseText, h.Cause = st.whyFailing(s)
		st.happen(h)
	}
}

// answer folds a response: who says they sent it, and who the cookie says has
// the session. It returns who sent it, as far as is known, and how.
func (st *State) answer(s *session, o Observed, fresh bool, now time.Time) (PodRef, Source) {
	between := s.apart
	s.apart = trouble{}
	if !s.hollow {
		s.InARow = 0
	}
	defer func() { s.expired, s.dropped = false, "" }() // what the next cookie did not follow at once it did not follow
	switch {
	case s.offeredLast:
	case s.Pin != nil:
		s.quiet++
	case o.Leg == "":
		s.notReturned = "" // who is sent no cookie is offered one with every answer, while there is affinity
	}
	s.pinStatus = o.Status
	served, via := st.served(s, o, now)
	st.choosePin(s, served)
	st.decodePin(s, now)
	pod := served
	points, by := st.decodedPod(s)
	st.heard(s, served, via, points)
	if pod.IsZero() {
		pod, via = points, by
	}
	if pod.IsZero() {
		pod, via = st.kernelPod(s, now)
	}
	defer func() { s.points = points }()
	if s.Pin != nil && s.Pin.Since.Equal(now) {
		s.Pin.ServedBy = served
	}
	if st.contradicted(s, served, points, fresh) {
		if served.IsZero() {
			return PodRef{}, SourceNone // who answered is not known; who answered last is
		}
		st.happen(Happening{At: now, Source: "probe", Kind: "contradiction", Session: s.Spec.ID, Pod: served, Route: s.Spec.Route, Level: LevelWarning,
			Text: fmt.Sprintf("%s answered by %s, though its cookie names %s", s.Spec.ID, st.podLabel(served), st.podLabel(points))})
		s.Pod = PodRef{} // it was only pointed to: landing elsewhere is no move from there
	}
	proved := SourceNone
	if via == SourceCookie && !fresh {
		proved = s.provedBy(pod, o.Leg)
	}
	s.Via = via
	if pod.IsZero() {
		return PodRef{}, SourceNone
	}
	st.land(s, pod, via, fresh, between, now)
	if proved != SourceNone {
		s.Via = proved
	}
	return pod, via
}

// contradicted reports whether an answer sets the word of responses against
// that of a cookie that has not changed since the other spoke: a contradiction,
// in which nobody moved.
func (st *State) contradicted(s *session, served, points PodRef, fresh bool) bool {
	if fresh || points.IsZero() || points != s.points || s.Pod.IsZero() {
		return false
	}
	if served.IsZero() { // the cookie says what it said when a response named another pod
		return s.spoke > 0 && s.Pod != points
	}
	return s.spoke == 0 && s.Pod == points && served != points
}

// land records that pod has the session now.
func (st *State) land(s *session, pod PodRef, via Source, fresh bool, between trouble, now time.Time) {
	s.Via = via
	st.place(s, pod)
	if !s.Pod.IsZero() && s.Pod != pod {
		st.move(s, Move{At: now, From: s.Pod, To: pod, CookieChanged: fresh, Source: via, Failures: between.failures, Cuts: between.cuts})
	} else if between != (trouble{}) && s.Pod == pod {
		st.happen(Happening{At: now, Source: "probe", Kind: "answered", Session: s.Spec.ID, Pod: pod, Route: s.Spec.Route,
			Text: fmt.Sprintf("%s answered again by %s after %s", s.Spec.ID, st.podLabel(pod), between)})
	}
	if s.Pod != pod {
		s.PodSince, s.spoke, s.mute, s.created = now, 0, 0, time.Time{}
	}
	st.recognise(s, pod, now)
	s.Pod, s.Tag, s.answered = pod, st.tag(pod), now
	copy(s.recent[1:], s.recent[:splitN-1])
	s.recent[0] = visit{pod: pod, cookie: s.jar(), version: st.version(s)}
}

// place says where the pod is that answers of s named before anything of the
// cluster was known, when pod is the first of that name that is.
func (st *State) place(s *session, pod PodRef) {
	old := s.Pod
	if old.IsZero() || old.Namespace != "" || pod.Namespace == "" || old.Name != pod.Name {
		return
	}
	if _, tagged := st.tags[pod]; !tagged {
		st.tags[pod] = st.tag(old)
	}
	s.Pod = pod
	for i := range s.recent {
		if s.recent[i].pod == old {
			s.recent[i].pod = pod
		}
	}
	used := func(x *session) bool {
		return x.Pod == old || slices.ContainsFunc(x.Moves, func(m Move) bool { return m.From == old || m.To == old })
	}
	for _, x := range st.sessions {
		if used(x) {
			return
		}
	}
	delete(st.pods, old)
	st.views.pods = nil
}

// recognise tells a pod from another of its name: a StatefulSet's is replaced by
// one that knows nothing of what the first had in memory.
func (st *State) recognise(s *session, pod PodRef, now time.Time) {
	p, ok := st.pods[pod]
	if !ok || p.Created.IsZero() || !p.Gone.IsZero() {
		return
	}
	if !s.created.IsZero() && !s.created.Equal(p.Created) {
		s.PodSince, s.spoke, s.mute = now, 0, 0
		st.happen(Happening{At: now, Source: "probe", Kind: "reborn", Session: s.Spec.ID, Pod: pod, Route: s.Spec.Route, Level: LevelChange,
			Text: fmt.Sprintf("%s answered by %s, another pod of that name, created %s", s.Spec.ID, st.podLabel(pod), p.Created.UTC().Format("15:04:05Z"))})
	}
	s.created = p.Created
}

// version grows with every change of endpoints that s can reach.
func (st *State) version(s *session) (sum uint64) {
	for _, x := range st.places[s.Spec.Route] {
		if b := st.backends[x.backend.Service]; b != nil {
			sum += b.version
		}
	}
	return sum
}

func (st *State) backendOf(s *session) *backend {
	if r := st.routes[s.Spec.Route]; r != nil {
		return st.backends[r.Backend.Service]
	}
	return nil
}

// served reads the pod out of the response itself.
func (st *State) served(s *session, o Observed, now time.Time) (PodRef, Source) {
	var pod PodRef
	via := SourceNone
	for _, c := range st.identified(s, o) {
		st.named(c.pod)
		s.witness(Evidence{Source: c.source, Pod: c.pod, At: now, Detail: c.detail})
		if pod.IsZero() {
			pod, via = c.pod, c.source
		}
	}
	return pod, via
}

// identified is what the response itself says of the pod that made it.
func (st *State) identified(s *session, o Observed) []claim {
	k := known{open: true}
	if b := st.backendOf(s); b != nil {
		k = b.known
	}
	k.strict = BadStatus(o.Status)
	claims := identify(o.Answer, k, st.Hints)
	for i, x := range st.places[s.Spec.Route] {
		b := st.backends[x.backend.Service]
		if len(claims) > 0 {
			break
		}
		if i == 0 || b == nil {
			continue
		}
		k := b.known
		k.strict = BadStatus(o.Status)
		claims = identify(o.Answer, k, st.Hints)
		for i := range claims {
			claims[i].detail += "; " + x.behindOf()
		}
	}
	return claims
}

// named makes a pod that only a response names known.
func (st *State) named(pod PodRef) {
	if pod.Namespace != "" {
		return
	}
	if _, ok := st.pods[pod]; !ok {
		st.pods[pod] = Pod{Ref: pod, NamedOnly: true}
		st.views.pods = nil
	}
}

// witness replaces the evidence of one source; a list that a snapshot holds is
// left alone.
func (s *session) witness(e Evidence) {
	if s.shared {
		s.Evidence, s.shared = slices.Clone(s.Evidence), false
	}
	for i := range s.Evidence {
		if s.Evidence[i].Source == e.Source {
			s.Evidence[i] = e
			return
		}
	}
	s.Evidence = append(s.Evidence, e)
	slices.SortFunc(s.Evidence, func(a, b Evidence) int { return int(a.Source) - int(b.Source) })
}

func (s *session) evidence(from Source) (Evidence, bool) {
	for _, e := range s.Evidence {
		if e.Source == from {
			return e, true
		}
	}
	return Evidence{}, false
}
