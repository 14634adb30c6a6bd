package affinity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How far apart a move and what explains it may be: a probe can see a move
// before the watch tells its cause, and a slow probe long after.
const (
	causeBefore = 5 * time.Second
	causeAfter  = 10 * time.Second
)

// happen appends to the timeline and returns the line's number.
func (st *State) happen(h Happening) uint64 {
	st.happened++
	h.Seq = st.happened
	if len(st.timeline) >= 2*MaxTimeline {
		st.timeline = slices.Clone(st.timeline[len(st.timeline)-MaxTimeline:])
	}
	st.timeline = append(st.timeline, h)
	return h.Seq
}

// together is how close in time lines that say the same are one line: a lost
// API server ends every watch.
const together = 2 * time.Second

// happenTogether puts "verb name: what" on the timeline, adding name to the
// newest line when that says the same of another.
func (st *State) happenTogether(h Happening, verb, name, what string) {
	h.Text = verb + " " + name + " " + what
	if n := len(st.timeline) - 1; n >= 0 {
		last := st.timeline[n]
		names, ok := strings.CutSuffix(strings.TrimPrefix(last.Text, verb+" "), " "+what)
		if ok && last.Kind == h.Kind && h.At.Sub(last.At) < together {
			last.Text = verb + " " + names + ", " + name + " " + what
			st.timeline = slices.Clone(st.timeline)
			st.timeline[n] = last
			return
		}
	}
	st.happen(h)
}

// move records a change of pod and puts it on the timeline, unless nothing held
// the session: one that changes pods with every request would fill it.
func (st *State) move(s *session, m Move) {
	m.FromTag, m.ToTag = st.tag(m.From), st.tag(m.To)
	held := !st.unheldAt(s, m.At)
	m.FirstPin = (s.Pin != nil || st.byAddress(s, m.At)) && s.unheld > 0
	m.Unheld = !held || m.FirstPin
	s.loose = m.Unheld
	m.Cause, m.CauseSeq = st.cause(s, m)
	if m.Unheld {
		s.UnheldCount++
	} else {
		s.MoveCount++
	}
	if len(s.Moves) >= 2*MaxMoves {
		s.Moves = slices.Clone(s.Moves[len(s.Moves)-MaxMoves:])
	}
	s.Moves = append(s.Moves, m)
	switch {
	case !held:
		st.changes(s, m)
		return
	case m.FirstPin:
		return // pinned tells of it
	}
	s.moved, s.silent = m.At, !m.CookieChanged
	if s.base == Split {
		return
	}
	h := Happening{At: m.At, Source: "probe", Kind: "move", Session: s.Spec.ID, Pod: m.To, Route: s.Spec.Route,
		Text: moveText(s, m), Cause: m.CauseSeq, CauseText: m.Cause, Level: LevelChange}
	if m.Cause == "" {
		h.Level = LevelWarning
	}
	st.happen(h)
}

// changes tells once for a route that sessions change pods because nothing holds
// them; how often they do is counted (Exchange.Loose), not listed.
func (st *State) changes(s *session, m Move) {
	if st.loose[s.Spec.Route] {
		return
	}
	st.loose[s.Spec.Route] = true
	st.happen(Happening{At: m.At, Source: "probe", Kind: "loose", Session: s.Spec.ID, Pod: m.To, Route: s.Spec.Route, CauseText: m.Cause,
		Level: LevelWarning, Text: fmt.Sprintf("%s %s→%s, not held; more like it are counted, not listed", s.Spec.ID, m.FromTag, m.ToTag)})
}

// pinned tells that a session got a pin after answers without one.
func (st *State) pinned(s *session, now time.Time) {
	delete(st.loose, s.Spec.Route)
	h := Happening{At: now, Source: "probe", Kind: "pinned", Session: s.Spec.ID, Pod: s.Pod, Route: s.Spec.Route, Level: LevelChange}
	if s.Pin == nil && s.Via == SourceNone {
		h.Pod = PodRef{} // who was named once is not who answered
	}
	if h.Pod.IsZero() {
		h.Pod, _ = st.decodedPod(s)
	}
	on := "; nothing names the pod"
	if !h.Pod.IsZero() {
		on = " to " + st.podLabel(h.Pod)
	}
	by, word := "by its address", "first"
	if s.Pin != nil {
		by = "cookie " + s.Pin.Key
	}
	if s.hadPin {
		word = "again"
	}
	h.Text = fmt.Sprintf("%s PINNED %s%s, %s", s.Spec.ID, word, on, by)
	if e, ok := st.edits[s.Spec.Route]; ok && e.at.After(now.Add(-causeAfter)) {
		h.Cause, h.CauseText = e.seq, e.text
	}
	if s.Pin == nil && h.CauseText == "" {
		h.CauseText = st.turnedCause(s, Move{At: now}, time.Time{})
	}
	st.happen(h)
	s.unheld, s.hadPin = 0, true
}

func moveText(s *session, m Move) string {
	text := fmt.Sprintf("%s %s→%s", s.Spec.ID, m.FromTag, m.ToTag)
	switch {
	case m.CookieChanged:
		text += " RE-PINNED, new cookie"
	case s.Pin != nil:
		text += " MOVED-SILENT, cookie unchanged"
	case s.cookies:
		text += " MOVED-SILENT, no new cookie"
	default:
		text += " MOVED-SILENT, no cookie is involved"
	}
	if between := (trouble{m.Failures, m.Cuts}); between != (trouble{}) {
		text += ", " + between.String()
	}
	if m.Source == SourceCookie {
		text += " (decoded, not answered)"
	}
	return text
}

// cause looks for what was seen that accounts for a move.
func (st *State) cause(s *session, m Move) (text string, seq uint64) {
	if s.Pin == nil && st.wantsCookie(s) {
		return st.whyUnheld(s), 0
	}
	since := s.answered.Add(-causeBefore)
	if m.Unheld {
		if text := st.turnedCause(s, m, time.Time{}); text != "" {
			return text, 0
		}
	}
	if text, seq, ok := st.endpointCause(s, m, since); ok {
		return text, seq
	}
	if text := st.turnedCause(s, m, since); text != "" {
		return text, 0
	}
	if s.dropped != "" {
		return "its cookie was dropped: " + s.dropped, 0
	}
	if text := st.sharedOut(s, m); text != "" {
		return text, 0
	}
	if s.servicePin() && !m.CookieChanged {
		return fmt.Sprintf("cookie %s holds service %s, not a pod", Clean(s.Pin.Key, 60), s.Pin.Decoded.Backend), 0
	}
	// explainAgain never comes here: what the session knew then is overwritten.
	switch e, ok := st.edits[s.Spec.Route]; {
	case ok && e.at.After(since) && e.at.Before(m.At.Add(causeAfter)):
		return e.text, e.seq
	case m.CookieChanged && s.format != "" && s.Pin != nil && s.Pin.Decoder != "" && s.Pin.Decoder != s.format:
		return "another controller answers: the cookie was " + s.format + ", now it is " + s.Pin.Decoder, 0
	case m.CookieChanged && !s.held:
		return "it held no cookie before", 0
	case m.Failures == 0 && m.Cuts > 0 && m.CookieChanged:
		return "after its connection was cut", 0
	case m.Failures > 0 && m.CookieChanged && !s.failure.ofBackend():
		why := "after " + strconv.Itoa(m.Failures) + " failed"
		if s.failure != nil {
			why += ": " + s.failure.Text
		}
		return why, 0
	case m.Failures > 0 && m.CookieChanged:
		return fmt.Sprintf("%s did not answer (%d failed)", m.FromTag, m.Failures), 0
	}
	return "", 0
}

// whyUnheld says what is not there that would hold s.
func (st *State) whyUnheld(s *session) string {
	if r := st.routes[s.Spec.Route]; r != nil && r.Kind == RouteService {
		if _, ok := r.Layer(LayerIngress); !ok {
			return "nothing holds it: the Service's sessionAffinity is not ClientIP"
		}
	}
	return "no affinity cookie holds it"
}

// ofBackend reports whether f is what a proxy says, or does, when the pod that
// it picked does not answer.
func (f *Failure) ofBackend() bool {
	return f != nil && (f.Kind == FailureStatus || f.Kind == FailureTimeout && f.Op != "dial" && f.Op != "tls")
}

// endpointCause finds the change of endpoints behind a move: of the Service that
// has the pod which was left or, where a hash decides, the one that is met.
func (st *State) endpointCause(s *session, m Move, since time.Time) (string, uint64, bool) {
	b := st.backendOf(s)
	if _, its, ok := st.placeOf(s, m.From); ok {
		b = its
	}
	if b == nil {
		return "", 0, false
	}
	// Where a terminating pod keeps nobody, the change that took it out of the
	// ready ones, rather than a later one that took out what was left of it: lines
	// told before that one and after it are of the same event, and call it the same.
	ended, keeps := -1, st.policy(s.Spec.Route).KeepsTerminating
	for i := len(b.changes) - 1; i >= 0; i-- {
		c := b.changes[i]
		if c.at.Before(since) || c.from.After(m.At.Add(causeAfter)) {
			continue
		}
		if why, ok := c.left[m.From]; ok {
			if keeps || !c.ended[m.From] {
				return st.leftText(s, m.From, why), b.told(c, m.From), true
			}
			if ended < 0 {
				ended = i
			}
			continue
		}
		if ended < 0 && !m.CookieChanged && st.policy(s.Spec.Route).MovesSilently && st.sharedOut(s, m) == "" {
			return fmt.Sprintf("endpoints %d→%d, %s hashes the cookie again", c.before, c.after, st.policy(s.Spec.Route).Mode), c.seq, true
		}
	}
	if ended >= 0 {
		return st.leftText(s, m.From, b.changes[ended].left[m.From]), b.told(b.changes[ended], m.From), true
	}
	if p, ok := st.pods[m.From]; ok && p.leftBy(m.At.Add(causeAfter)) {
		for _, c := range slices.Backward(b.changes) { // that was too long ago to explain this by itself
			if why, ok := c.left[m.From]; ok && !c.from.After(m.At.Add(causeAfter)) && (keeps || !c.ended[m.From]) {
				return st.leftText(s, m.From, why), b.told(c, m.From), true
			}
		}
		return st.podLabel(m.From) + " " + st.whyLeft(m.From, b), b.told(change{}, m.From), true
	}
	return "", 0, false
}

// told is the line about c, in which pod left. What takes out what was left of a
// terminating pod has none: it goes with the line that told of the pod before.
func (b *backend) told(c change, pod PodRef) uint64 {
	if c.seq != 0 {
		return c.seq
	}
	for _, old := range slices.Backward(b.changes) {
		if _, ok := old.left[pod]; ok && old.seq != 0 {
			return old.seq
		}
	}
	return 0
}

// explainAgain looks for the cause of the session's last move, if it has none
// yet: the watch may be slower than the probe.
func (st *State) explainAgain(s *session, now time.Time) {
	st.explainFailing(s, now)
	m, ok := s.LastMove()
	if !ok || m.Explained() && !(st.provisional(s, m.Cause) && now.Sub(m.At) <= causeAfter) {
		return
	}
	// s.answered is the last answer of the pod moved to; what explains the
	// move lies around the move itself.
	text, seq, ok := st.endpointCause(s, m, m.At.Add(-causeBefore))
	if !ok && !m.Explained() {
		text = st.turnedCause(s, m, m.At.Add(-causeBefore))
		ok = text != ""
	}
	if !ok || text == m.Cause {
		return
	}
	m.Cause, m.CauseSeq = text, seq
	s.Moves = slices.Clone(s.Moves)
	s.Moves[len(s.Moves)-1] = m
	st.amend("move", s.Spec.ID, m.At, func(h *Happening) { h.Cause, h.CauseText, h.Level = seq, text, LevelChange })
}

// leftText says that a pod left the endpoints, and why, as of then; where a
// terminating pod keeps its clients, what counts is that it has ended since.
func (st *State) leftText(s *session, pod PodRef, why string) string {
	if p := st.pods[pod]; why == leftTerminating && !p.Gone.IsZero() && st.policy(s.Spec.Route).KeepsTerminating {
		why = leftDeleted
	}
	return st.podLabel(pod) + " " + why
}

// provisional reports whether a cause may yet turn out to be another: a
// controller that keeps clients on a terminating pod lets go of them when the
// pod ends, which the watch may tell later, as it may that a pod that is not
// ready has restarted.
func (st *State) provisional(s *session, cause string) bool {
	return strings.HasSuffix(cause, " "+leftNotReady) || st.policy(s.Spec.Route).KeepsTerminating && strings.HasSuffix(cause, " "+leftTerminating)
}

// amend changes what the timeline says of a session at an instant.
func (st *State) amend(kind string, id SessionID, at time.Time, change func(*Happening)) {
	for i := len(st.timeline) - 1; i >= 0; i-- {
		if h := st.timeline[i]; h.Kind == kind && h.Session == id && h.At.Equal(at) {
			change(&h)
			if h == st.timeline[i] {
				return
			}
			st.timeline = slices.Clone(st.timeline)
			st.timeline[i] = h
			return
		}
	}
}

// whyFailing says what was seen of the pod that has a session when its requests
// began to fail, as far as the proxy's answer can come from that.
func (st *State) whyFailing(s *session) (text string, seq uint64) {
	b := st.backendOf(s)
	if b == nil || !s.failure.ofBackend() {
		s.failing = time.Time{}
		return "", 0
	}
	m := Move{At: s.failing, From: s.Pod, CookieChanged: true} // of no balancing: nobody moved
	if pod, _ := st.decodedPod(s); !pod.IsZero() {
		m.From = pod
	}
	if !m.From.IsZero() {
		text, seq, ok := st.endpointCause(s, m, s.failing.Add(-causeBefore))
		if ok && strings.HasSuffix(text, " "+leftNotReady) && b.backBefore(m.From, s.failing) {
			s.failing = time.Time{}
			return "", 0
		}
		if ok {
			if !st.provisional(s, text) {
				s.failing = time.Time{}
			}
			return text, seq
		}
	}
	if st.sources["endpointslices"].State == SourceLive && !slices.ContainsFunc(b.all, func(e Endpoint) bool { return e.Ready }) {
		return "the Service has no ready endpoint", 0
	}
	return "", 0
}

// backLag is how long proxies may take to send requests again to an endpoint
// that is ready again: an assumption.
const backLag = time.Second

// backBefore reports whether pod was last seen to come back to the ready
// endpoints, and not to leave them, a while before an instant.
func (b *backend) backBefore(pod PodRef, at time.Time) bool {
	for _, c := range slices.Backward(b.changes) {
		if _, left := c.left[pod]; left {
			return false
		}
		if slices.Contains(c.back, pod) {
			return c.at.Before(at.Add(-backLag))
		}
	}
	return false
}

// explainFailing looks again for what explains a failing session: the watch may
// be slower than the probe.
func (st *State) explainFailing(s *session, now time.Time) {
	at := s.failing
	if at.IsZero() || now.Sub(at) > causeAfter {
		return
	}
	if text, seq := st.whyFailing(s); text != "" {
		st.amend("failing", s.Spec.ID, at, func(h *Happening) { h.Cause, h.CauseText = seq, text })
	}
}
