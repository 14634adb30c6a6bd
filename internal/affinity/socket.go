package affinity

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// SocketChanged tells how the connection that a session holds stands.
type SocketChanged struct {
	Session SessionID
	Socket  Socket
}

// Attributed is late word of who answered a request: a message on the
// connection that the request opened, or a line of a log.
type Attributed struct {
	Session   SessionID
	RequestID string
	Source    Source
	Answer    Answer // matched as a response is; empty for a log
	Addr      string // "ip:port" that a proxy's log names
	Pod       PodRef // whose own log has the line
	Detail    string // safe to print
	// Unanswered: it tells where the request was sent, and that no answer of a
	// backend's came.
	Unanswered bool
}

func (SocketChanged) event() {}
func (Attributed) event()    {}

// Legs of a session that holds a connection, in the order they come. Each is a
// request of its own, and so a routing decision of its own.
const (
	LegHandshake = "handshake" // the first request, which a pod is chosen for
	LegConnect   = "connect"   // the POST that joins the namespace
	LegPoll      = "poll"      // a long poll
	LegPost      = "post"      // any other POST
	LegUpgrade   = "upgrade"   // the WebSocket of a session that polls
	LegPreflight = "preflight" // a browser's OPTIONS from another origin
)

// Carriers of a Socket.
const (
	CarrierPolling   = "polling"
	CarrierWebSocket = "websocket"
)

// Socket is a held connection as its client knows it.
type Socket struct {
	Protocol string // "WebSocket", "Engine.IO 4"
	Carrier  string
	SID      Secret // Engine.IO's, which lets anyone who has it speak for the session
	Opened   time.Time
	Heard    time.Time // last frame or packet of the other side
	Active   time.Time // last frame or packet of either side
	// Beat is what the heartbeat's time counts from.
	Beat         time.Time
	PingInterval time.Duration // of Engine.IO's handshake; zero for a plain WebSocket
	PingTimeout  time.Duration
	RTT          time.Duration // of the last ping that was answered; zero before
	Joined       bool          // Socket.IO: the namespace took the session in; otherwise: the expected message came, if one is
	Idle         bool          // held quiet, to see who ends it
	Note         string        // what of the session's options came to nothing, or has not come to anything yet; "" for nothing. Safe to print
	Ended        *SocketEnd    // nil while it is held
}

// SocketEnd is how a held connection ended.
type SocketEnd struct {
	At     time.Time
	Lasted time.Duration
	Silent time.Duration // since the last frame of either side
	Code   int           // of the close frame (RFC 6455 §7.4.1); 0 without one
	By     EndedBy
	Text   string   // for people, safe to print
	Failed *Failure // nil when the client ended it on purpose
}

// EndedBy is who ended a connection, as far as its client can tell.
type EndedBy uint8

const (
	EndedByClient  EndedBy = iota // this session
	EndedByServer                 // it said so, by a close frame or packet
	EndedByUnknown                // cut without a word: a proxy, or the process died
	EndedByProxy                  // a 502, 503 or 504 in the server's place
)

func (e EndedBy) String() string {
	return [...]string{"client", "server", "cut", "proxy"}[e]
}

// Leg is the latest request of one kind of the connection that a session holds.
type Leg struct {
	Name      string
	RequestID string
	At        time.Time
	Took      time.Duration
	Status    int
	Pod       PodRef
	Tag       string
	Source    Source  // how Pod is known
	Cookie    bool    // the affinity cookie went along
	Others    int     // as an Exchange's
	Unsure    string  // as an Exchange's
	Failure   string  // "" when it was answered
	SentTo    *SentTo // as an Exchange's
	Count     int     // requests of this kind since the handshake

	restarts int       // of the pod then
	created  time.Time // of the pod
	// Where nothing names the pod, the only one that it can have been.
	alone         PodRef
	aloneRestarts int
	aloneCreated  time.Time
}

// Leg returns the latest leg of that name.
func (s *Session) Leg(name string) (Leg, bool) {
	for _, l := range s.Legs {
		if l.Name == name {
			return l, true
		}
	}
	return Leg{}, false
}

// applySocket folds the state of a held connection.
func (st *State) applySocket(e SocketChanged, now time.Time) {
	s, ok := st.sessions[e.Session]
	if !ok {
		return
	}
	before := s.Socket
	held := e.Socket
	s.Socket = &held
	if s.hollow && held.Joined && held.Ended == nil {
		s.hollow, s.InARow, s.LastFailure = false, 0, nil
	}
	if held.Ended != nil && (before == nil || before.Ended == nil) {
		st.socketEnded(s, held, now)
	} else if before != nil && before.Ended == nil && before.Carrier != held.Carrier {
		st.happen(Happening{At: now, Source: "probe", Kind: "socket", Session: s.Spec.ID, Pod: s.Pod, Route: s.Spec.Route,
			Text: fmt.Sprintf("%s upgraded from %s to %s", s.Spec.ID, before.Carrier, held.Carrier)})
	}
	st.judgeSocket(s, now)
	if before == nil || before.Ended != nil || before.Protocol != held.Protocol {
		st.spokenIn(s, now)
	}
	st.judge(s)
}

func (st *State) socketEnded(s *session, held Socket, now time.Time) {
	end := held.Ended
	if end.By == EndedByProxy && s.saidByPod(end.Failed) {
		said := *end
		said.By = EndedByServer
		end, held.Ended = &said, &said
		s.Socket = &held
	}
	s.LastEnd = end
	h := Happening{At: now, Source: "probe", Kind: "socket", Session: s.Spec.ID, Pod: s.Pod, Route: s.Spec.Route,
		Text: fmt.Sprintf("%s %s ended after %s: %s", s.Spec.ID, held.Carrier, shortDuration(end.Lasted), end.Text)}
	if end.Failed != nil {
		s.hollow = !held.Joined
		if end.Failed != s.LastFailure { // else a request has told of it already
			s.wasCut(now)
		}
		s.LastFailure = end.Failed
		h.Level = LevelBroken
		h.Cause, h.CauseText = st.endCause(s, now)
	}
	st.happen(h)
}

// saidByPod reports whether a pod put its name on the answer that failed so.
func (s *session) saidByPod(f *Failure) bool {
	if len(s.Exchanges) == 0 || f == nil || f != s.LastFailure {
		return false
	}
	return s.Exchanges[len(s.Exchanges)-1].Source.answers()
}

// wasCut counts a held connection that ended unasked.
func (s *session) wasCut(now time.Time) {
	s.InARow++
	s.apart.cuts++
	s.CutCount++
	s.Cuts = append(s.Cuts[max(0, len(s.Cuts)-MaxMoves+1):len(s.Cuts):len(s.Cuts)], now)
}

// Failed counts the failed requests of s, and its held connections that ended
// unasked.
func (s *Session) Failed() int { return s.Failures + s.CutCount }

// trouble is what stood between two answers of a session.
type trouble struct{ failures, cuts int }

func (t trouble) String() string {
	failed, cut := fmt.Sprintf("%d failed", t.failures), "its connection was cut"
	switch {
	case t.cuts == 0:
		return failed
	case t.failures == 0:
		return cut
	}
	return failed + ", " + cut
}

// endCause is what the cluster shows of the pod that a connection led to.
func (st *State) endCause(s *session, now time.Time) (seq uint64, text string) {
	b := st.backendOf(s)
	if b == nil || s.Pod.IsZero() {
		return 0, ""
	}
	if p, ok := st.pods[s.Pod]; ok && (p.Terminating() || !p.Gone.IsZero()) {
		return 0, st.podLabel(s.Pod) + " " + st.whyLeft(s.Pod, b)
	} else if ok && s.restarted(p) {
		return 0, st.podLabel(s.Pod) + " restarted"
	}
	for i := len(b.changes) - 1; i >= 0; i-- {
		if why, ok := b.changes[i].left[s.Pod]; ok && now.Sub(b.changes[i].at) < time.Minute {
			return b.told(b.changes[i], s.Pod), st.podLabel(s.Pod) + " " + why
		}
	}
	return 0, ""
}

// restarted reports whether p has restarted since it answered a leg of s.
func (s *session) restarted(p Pod) bool {
	for _, l := range s.Legs {
		if l.Pod == p.Ref && p.Restarts > l.restarts {
			return true
		}
	}
	return false
}

// shortDuration prints tenths of a second up to two minutes.
func shortDuration(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// leg records one request of a held connection.
func (st *State) leg(s *session, o Observed, x Exchange) {
	l := Leg{Name: o.Leg, RequestID: o.RequestID, At: x.At, Took: o.Took, Status: o.Status, Pod: x.Pod, Tag: x.Tag, Source: x.Source,
		Cookie: x.Cookie != "", Others: x.Others, Unsure: x.Unsure, Failure: x.Failure, Count: 1}
	if p, ok := st.pods[x.Pod]; ok {
		l.restarts, l.created = p.Restarts, p.Created
	} else if p, ok := st.onlyPod(s); ok && x.Pod.IsZero() {
		l.alone, l.aloneRestarts, l.aloneCreated = p.Ref, p.Restarts, p.Created
	}
	if o.Leg == LegHandshake {
		s.Legs = []Leg{l}
		return
	}
	legs := slices.Clone(s.Legs)
	for i := range legs {
		if legs[i].Name == l.Name {
			l.Count += legs[i].Count
			legs[i] = l
			s.Legs = legs
			return
		}
	}
	s.Legs = append(legs, l)
}

// onlyPod is the pod of a route's only usable endpoint.
func (st *State) onlyPod(s *session) (Pod, bool) {
	b := st.backendOf(s)
	if b == nil {
		return Pod{}, false
	}
	r, p := st.routes[s.Spec.Route], st.policy(s.Spec.Route)
	var only PodRef
	for _, e := range ofPort(b.all, r.Backend.PortName) {
		if !e.Usable(*p) {
			continue
		}
		if !only.IsZero() {
			return Pod{}, false
		}
		only = endpointPod(r.Backend.Service, e)
	}
	pod, ok := st.pods[only]
	return pod, ok
}

// attribute folds late word of who answered a request.
func (st *State) attribute(e Attributed, now time.Time) {
	s, ok := st.sessions[e.Session]
	if !ok {
		return
	}
	at := len(s.Exchanges) - 1
	for at >= 0 && s.Exchanges[at].RequestID != e.RequestID {
		at--
	}
	if at < 0 {
		return // longer ago than is remembered
	}
	pod, source, detail := st.attributed(s, e)
	x := s.Exchanges[at]
	if e.Source == SourceLog && (e.Unanswered || x.unanswered()) {
		st.sentTo(s, at, SentTo{Pod: pod, Addr: e.Addr, Detail: cmp.Or(detail, e.Detail)}, now)
		return
	}
	if pod.IsZero() {
		return
	}
	newest := s.nobodySince(at, pod)
	st.named(pod)
	if said, had := s.evidence(source); x.Failure == "" && (!had || !said.At.After(x.At)) {
		s.witness(Evidence{Source: source, Pod: pod, Addr: e.Addr, At: x.At, Detail: detail})
	}
	if x.Source == SourceNone || x.Source == SourceCookie {
		if points, _ := st.decodedPod(s); x.Cookie != "" && x.Cookie == s.print {
			st.heard(s, pod, source, points)
		}
		if newest && x.Failure == "" {
			s.loose = false
			between := trouble{}
			if x.Source == SourceNone { // else the answer has told of it
				between = s.troubleBefore(at)
			}
			st.land(s, pod, source, x.NewCookie, between, x.At)
			x.Loose = s.loose
		}
		if x.Failure == "" && pod == s.Pod && source.answers() {
			s.spoke, s.mute = s.spoke+1, max(0, s.mute-1)
		}
		x.Pod, x.Tag, x.Source = pod, st.tag(pod), source
		st.rewrite(s, at, x, now)
	}
	st.judge(s)
}

// rewrite puts x in the place of an exchange, and of the leg that it was.
func (st *State) rewrite(s *session, at int, x Exchange, now time.Time) {
	s.Exchanges = slices.Clone(s.Exchanges)
	s.Exchanges[at] = x
	st.reattributeLeg(s, x, now)
}

// unanswered reports whether no answer of a backend's came: none at all, or a
// proxy's own word.
func (x Exchange) unanswered() bool {
	return x.Failure != "" && !x.Source.answers() && (x.Status == 0 || x.Status >= 502 && x.Status <= 504)
}

// sentTo folds where a request went that no backend answered.
func (st *State) sentTo(s *session, at int, to SentTo, now time.Time) {
	x := s.Exchanges[at]
	if !x.unanswered() || x.SentTo != nil && (to.Addr == "" || to.Pod.IsZero()) {
		return
	}
	to.Tag = st.tag(to.Pod)
	x.SentTo = &to
	st.rewrite(s, at, x, now)
	if at == len(s.Exchanges)-1 && !s.failing.IsZero() {
		st.amend("failing", s.Spec.ID, s.failing, func(h *Happening) { h.CauseText = cmp.Or(h.CauseText, st.sentWords(&to)) })
	}
	st.judge(s)
}

// sentText says where the last request was sent, when that failed and a log tells;
// "" otherwise.
func (st *State) sentText(s *session) string {
	if len(s.Exchanges) == 0 {
		return ""
	}
	return st.sentWords(s.Exchanges[len(s.Exchanges)-1].SentTo)
}

func (st *State) sentWords(to *SentTo) string {
	switch {
	case to == nil:
		return ""
	case to.Pod.IsZero():
		return "sent to " + Clean(to.Addr, 60) + ", which is no known pod's"
	}
	text := "sent to pod " + st.podLabel(to.Pod)
	if to.Addr != "" {
		text = "sent to " + Clean(to.Addr, 60) + ", pod " + st.podLabel(to.Pod)
	}
	switch p, ok := st.pods[to.Pod]; {
	case !ok || !p.Gone.IsZero():
		text += ", gone"
	case p.Terminating():
		text += ", terminating"
	}
	return text
}

// troubleBefore is what stood between the exchange at i and the one before it
// whose pod is known.
func (s *session) troubleBefore(i int) (between trouble) {
	since := time.Time{}
	for j := i - 1; j >= 0; j-- {
		x := s.Exchanges[j]
		if x.Failure == "" && x.Source != SourceNone {
			since = x.At
			break
		}
		if x.Failure != "" && x.Leg != LegUpgrade { // without one it goes on polling
			between.failures++
		}
	}
	for _, at := range s.Cuts {
		if at.After(since) && !at.After(s.Exchanges[i].At) {
			between.cuts++
		}
	}
	return between
}

// nobodySince reports whether no request after the one at i has shown its pod,
// but for cookies that point to pod: what is said on a connection may come after
// polls that named nobody.
func (s *session) nobodySince(i int, pod PodRef) bool {
	for _, x := range s.Exchanges[i+1:] {
		if x.Failure == "" && x.Source != SourceNone && (x.Source != SourceCookie || x.Pod != pod) {
			return false
		}
	}
	return true
}

// provedBy is who has proved, on the connection that s holds, that it is on pod:
// a later poll of the same connection whose cookie points there takes nothing from
// that. SourceNone where nobody has.
func (s *session) provedBy(pod PodRef, leg string) Source {
	if leg == "" || leg == LegHandshake || pod != s.Pod || !s.Via.answers() || s.Socket == nil || s.Socket.Ended != nil {
		return SourceNone
	}
	if e, ok := s.evidence(s.Via); !ok || e.Pod != pod || e.At.Before(s.Socket.Opened.Add(-time.Second)) { // its handshake was folded before
		return SourceNone
	}
	return s.Via
}

func (st *State) reattributeLeg(s *session, x Exchange, now time.Time) {
	for i, l := range s.Legs {
		if l.RequestID != x.RequestID {
			continue
		}
		s.Legs = slices.Clone(s.Legs)
		s.Legs[i] = st.reattributed(l, x)
		st.judgeLegs(s, now)
	}
	st.retell(s, x, now)
}

// reattributed is l with what has become known of its request.
func (st *State) reattributed(l Leg, x Exchange) Leg {
	l.Pod, l.Tag, l.Source, l.SentTo = x.Pod, x.Tag, x.Source, x.SentTo
	if p, ok := st.pods[x.Pod]; ok {
		l.restarts, l.created = p.Restarts, p.Created
	}
	return l
}

// retell judges verdicts again that rest on a request whose pod has become known:
// its session may have connected again since.
func (st *State) retell(s *session, x Exchange, now time.Time) {
	for key, v := range st.found {
		first, refused := v.first, v.refused
		if v.Session != s.Spec.ID || x.RequestID == "" || first.RequestID != x.RequestID && refused.RequestID != x.RequestID {
			continue
		}
		if first.RequestID == x.RequestID {
			first = st.reattributed(first, x)
		} else {
			refused = st.reattributed(refused, x)
		}
		if first.Pod == v.first.Pod && refused.Pod == v.refused.Pod {
			continue // judgeLegs was there before
		}
		st.found[key] = verdict{Finding: v.Finding, proof: proof{v.about, v.request, v.handshake, v.pod, first, refused}, seen: v.seen, seq: v.seq}
		st.judgeRefusal(s, first, refused, now)
	}
}

// attributed is the pod that e names, if a known one.
func (st *State) attributed(s *session, e Attributed) (PodRef, Source, string) {
	if !e.Pod.IsZero() {
		return e.Pod, e.Source, e.Detail
	}
	k := known{open: true}
	if b := st.backendOf(s); b != nil {
		k = b.known
	}
	if e.Addr != "" {
		pod, ok := k.lookup(e.Addr)
		if !ok {
			return PodRef{}, SourceNone, ""
		}
		return pod, e.Source, e.Detail
	}
	claims := identify(e.Answer, k, st.Hints)
	if len(claims) == 0 {
		return PodRef{}, SourceNone, ""
	}
	c := claims[0]
	if e.Detail != "" {
		c.detail = e.Detail + " " + c.detail
	}
	return c.pod, e.Source, c.detail
}

// socketTimers are the timers of a held connection.
func (st *State) socketTimers(s *session) []Timer {
	held := s.Socket
	if held == nil || held.Ended != nil {
		return nil
	}
	var timers []Timer
	if whole := held.PingInterval + held.PingTimeout; whole > 0 {
		timers = append(timers, Timer{Letter: 'H', Name: "heartbeat", Renewal: RenewalSliding, Deadline: held.Beat.Add(whole), Total: whole, Seen: true,
			Detail: fmt.Sprintf("pingInterval %s + pingTimeout %s of the handshake", held.PingInterval, held.PingTimeout)})
	}
	if wait, why := st.waits(s.Spec.Route, held.Carrier); wait > 0 {
		timers = append(timers, Timer{Letter: 'R', Name: "proxy read " + seconds(wait), Renewal: RenewalSliding, Deadline: held.Active.Add(wait), Total: wait, Detail: why})
	}
	return timers
}

// waits is how long the proxy before a route's pods waits on a connection that
// says nothing, and which field or default says so; zero where that is not
// known, or never. It holds whatever the affinity.
func (st *State) waits(id RouteID, carrier string) (time.Duration, string) {
	if st.routes[id] == nil {
		return 0, ""
	}
	l, _ := st.routeView(id).Layer(LayerIngress)
	p := l.Policy()
	if carrier == CarrierPolling {
		return p.AnswerTimeout, p.AnswerTimeoutWhy
	}
	return p.ReadTimeout, p.ReadTimeoutWhy
}

// HeldLeg returns the leg that a held WebSocket, or the last one, came by.
func (s *Session) HeldLeg() (Leg, bool) {
	if s.Socket == nil || s.Socket.Carrier != CarrierWebSocket {
		return Leg{}, false
	}
	if l, ok := s.Leg(LegUpgrade); ok && l.Failure == "" {
		return l, true
	}
	l, ok := s.Leg(LegHandshake)
	return l, ok && l.Failure == ""
}
