package affinity

import (
	"fmt"
	"slices"
	"time"
)

// foundKey is what a finding of the sockets is about: one rule on one route,
// however many sessions show it.
type foundKey struct {
	rule  string
	route RouteID
}

// cut is a connection that ended without a word.
type cut struct {
	at      time.Time
	session SessionID
	route   RouteID
}

// A mass cut is massCuts connections of a route, cut within together.
const (
	massCuts = 3
	maxCuts  = 256
	// workerShutdown is ingress-nginx's worker-shutdown-timeout by default:
	// how long workers of the configuration before the last one keep their
	// connections (docs/user-guide/nginx-configuration/configmap.md).
	workerShutdown      = 240 * time.Second
	workerShutdownSlack = 15 * time.Second
)

// find records a finding, once for each rule and route, and puts it on the
// timeline. A likely one becomes exact when later evidence says so.
func (st *State) find(f Finding, now time.Time) {
	key := foundKey{f.Rule, f.Route}
	old, had := st.found[key]
	if had && old.Certainty >= f.Certainty {
		return
	}
	if r := st.routes[f.Route]; r != nil && f.Object.Kind == "" && r.Kind != RouteURL {
		f.Object = ObjectRef{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
	}
	f.At = now
	if had {
		f.At = old.At
	}
	st.found[key] = f
	st.applyFindings(Findings{Source: "sockets", Findings: st.socketFindings()})
	level := LevelWarning
	if f.Severity >= SeverityHigh {
		level = LevelBroken
	} else if f.Severity <= SeverityInfo {
		level = LevelInfo
	}
	st.happen(Happening{At: now, Source: "probe", Kind: "finding", Session: f.Session, Route: f.Route, Level: level, Text: f.Rule + " " + f.Title})
}

// socketFindings lists what sockets showed.
func (st *State) socketFindings() []Finding {
	all := make([]Finding, 0, len(st.found))
	for key, f := range st.found {
		if st.routes[key.route] != nil {
			all = append(all, f)
		}
	}
	return all
}

// judgeLeg looks at one request of a held connection for what its users would
// call broken.
func (st *State) judgeLeg(s *session, o Observed, now time.Time) {
	switch f := o.Failure; {
	case f == nil:
		st.hides(s, now)
	case f.Kind == FailureForeign:
		st.find(Finding{Rule: "I08", Severity: SeverityMedium, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:    "the answer is not Engine.IO: " + f.Text,
			Impact:   "Socket.IO clients of this route cannot connect; callers that look at the status alone see success",
			Evidence: []FindingEvidence{{Source: "body", Text: f.Text}},
			Fix:      "route the Socket.IO path to the server that speaks it, before the catch-all; --socketio-path names another path",
			Verify:   "curl the path with ?EIO=4&transport=polling: the body begins with 0{"}, now)
	case o.Refused == nil:
	case o.Refused.Code == 5:
		st.find(Finding{Rule: "I07", Severity: SeverityMedium, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:    "client and server speak different versions of Engine.IO",
			Impact:   "clients of the other version cannot connect at all; no affinity can help them",
			Evidence: []FindingEvidence{{Source: "body", Value: Clean(o.Refused.Message, 120), Text: f.Text}},
			Fix:      "bring client and server to one major version, or set allowEIO3: true on the server",
			Verify:   "the handshake is answered with 200 to the client's EIO"}, now)
	case o.Refused.Code == 1:
		st.judgeLegs(s)
	}
}

// judgeLegs finds out why a server did not know a session that it, or another,
// had opened.
func (st *State) judgeLegs(s *session) {
	first, ok := s.Leg(LegHandshake)
	if !ok {
		return
	}
	for _, l := range s.Legs {
		if l.Name != LegHandshake && l.Failure != "" && s.refused[l.RequestID] == 1 {
			if f, ok := st.unknownSession(s, first, l); ok {
				st.find(f, l.At)
			}
		}
	}
}

// unknownSession is the verdict on "Session ID unknown": which of routing, a
// restart and several workers it was.
func (st *State) unknownSession(s *session, first, refused Leg) (Finding, bool) {
	f := Finding{Rule: "I01", Severity: SeverityCritical, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
		Impact: "users see 400 Session ID unknown, connect again, and may never get past the handshake",
		Verify: "hold Socket.IO sessions again: all legs of each name one pod"}
	f.Evidence = []FindingEvidence{legEvidence(st, first), legEvidence(st, refused)}
	if s.Spec.Client == ClientNoJar && s.offered || s.notReturned != "" {
		return st.withoutCookie(s, f), true
	}
	if b := st.backendOf(s); b != nil && !first.Pod.IsZero() {
		if p, ok := st.pods[first.Pod]; ok && (p.Terminating() || !p.Gone.IsZero()) {
			return f, false // it was lost with its pod, which the timeline tells
		}
	}
	switch {
	case !first.Pod.IsZero() && first.Pod == refused.Pod:
		return st.samePod(s, f, first, refused)
	case !first.Pod.IsZero() && !refused.Pod.IsZero():
		f.Title = fmt.Sprintf("the handshake was on %s, the %s on %s", st.podLabel(first.Pod), refused.Name, st.podLabel(refused.Pod))
		if first.Source == SourceCookie || refused.Source == SourceCookie {
			f.Certainty = CertaintyLikely // where the cookie pointed, not who answered
		}
	case st.endpointCount(s) == 1:
		f.Rule, f.Certainty = "I02", CertaintyLikely
		f.Title = "the only pod does not know the session it opened"
		f.Fix = workersFix
		return f, true
	case s.Pin == nil:
		f.Certainty = CertaintyLikely
		f.Title = fmt.Sprintf("nothing ties the %s to the pod of the handshake: no affinity cookie is held", refused.Name)
	default:
		f.Certainty = CertaintyLikely
		f.Title = fmt.Sprintf("the pod that got the %s did not open the session; nothing names either pod", refused.Name)
	}
	f.Fix = "turn cookie affinity on for this path, or let clients connect with transports: [\"websocket\"] alone"
	if s.Pin != nil {
		f.Fix = "find out why the cookie " + s.Pin.Key + " does not hold the session: another ingress replica, a hop that drops it, affinity on another path"
	}
	if refused.Name == LegUpgrade {
		f.Rule = "I03"
		f.Impact = "the browser reports \"Unexpected response code: 400\" and stays on polling, at several times the requests"
	}
	return f, true
}

const workersFix = "run one worker in each pod (WEB_CONCURRENCY=1, pm2 -i 1), or share sessions among workers with @socket.io/sticky or @socket.io/cluster-engine"

// samePod tells a restart from several workers.
func (st *State) samePod(s *session, f Finding, first, refused Leg) (Finding, bool) {
	p := st.pods[first.Pod]
	if p.Restarts > first.restarts || p.Created.After(first.created) {
		f.Rule, f.Severity = "I02", SeverityHigh
		f.Title = st.podLabel(first.Pod) + " restarted between the handshake and the " + refused.Name
		f.Evidence = append(f.Evidence, FindingEvidence{Object: ObjectRef{Kind: "Pod", Namespace: p.Ref.Namespace, Name: p.Ref.Name},
			Field: "status.containerStatuses.restartCount", Value: fmt.Sprint(p.Restarts), Source: "object"})
		f.Fix = "find out why the container restarts; sessions in its memory end with it"
		return f, true
	}
	f.Rule = "I02"
	f.Title = fmt.Sprintf("%s does not know the session it opened, and has not restarted: several workers in one pod", st.podLabel(first.Pod))
	f.Fix = workersFix
	// A pod that was not watched may have restarted unseen.
	if p.NamedOnly || first.Source == SourceCookie || refused.Source == SourceCookie {
		f.Certainty = CertaintyLikely
	}
	return f, true
}

// withoutCookie is B07: the client does not send back what would hold it.
func (st *State) withoutCookie(s *session, f Finding) Finding {
	f.Rule, f.Severity = "B07", SeverityCritical
	f.Title = "sticky only for cookie-keeping clients"
	f.Impact = "browsers work; clients without a cookie jar (Node, mobile, load generators) get 400 Session ID unknown"
	why := "this client keeps no cookies"
	if s.Spec.Client != ClientNoJar {
		f.Rule, f.Title, why = "B04", "the affinity cookie is not sent back: "+s.notReturned, s.notReturned
		f.Impact = "clients like this one get 400 Session ID unknown"
	}
	f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: "the cookie was offered and not sent back: " + why})
	f.Fix = "let the client keep cookies (withCredentials: true in Node since engine.io-client 6.5), or connect with transports: [\"websocket\"] alone"
	return f
}

func legEvidence(st *State, l Leg) FindingEvidence {
	text := fmt.Sprintf("%s: status %d, pod unknown", l.Name, l.Status)
	source := "session"
	if !l.Pod.IsZero() {
		text = fmt.Sprintf("%s: status %d, %s by %s", l.Name, l.Status, st.podLabel(l.Pod), l.Source)
		source = l.Source.String()
	}
	return FindingEvidence{Source: source, Field: "X-Request-Id", Value: l.RequestID, Text: text}
}

// refusedBy is the pod that answered a request in the negative, and by which
// evidence.
func (st *State) refusedBy(s *session, o Observed, now time.Time) (PodRef, Source) {
	if s.refused == nil || o.Leg == LegHandshake {
		s.refused = map[string]int{}
	}
	if len(s.refused) < 64 {
		s.refused[o.RequestID] = o.Refused.Code
	}
	if pod, via := st.served(s, o, now); !pod.IsZero() {
		return pod, via
	}
	return st.decodedPod(s)
}

// endpointCount is how many usable endpoints a session's route has.
func (st *State) endpointCount(s *session) int {
	b, n := st.backendOf(s), 0
	if b == nil {
		return 0
	}
	p := st.policy(s.Spec.Route)
	for _, e := range ofPort(b.all, st.routes[s.Spec.Route].Backend.PortName) {
		if e.Usable(*p) {
			n++
		}
	}
	return n
}

// judgeSocket looks at the connection itself.
func (st *State) judgeSocket(s *session, now time.Time) {
	held := s.Socket
	p := st.policy(s.Spec.Route)
	if held.Ended == nil {
		st.hides(s, now)
	}
	if held.Ended == nil && p.ReadTimeout > 0 && held.PingInterval >= p.ReadTimeout {
		st.find(Finding{Rule: "I05", Severity: SeverityHigh, Certainty: CertaintyLikely, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:    fmt.Sprintf("the server pings every %s, the proxy waits %s", held.PingInterval, p.ReadTimeout),
			Impact:   "every quiet connection is cut before its next heartbeat",
			Evidence: []FindingEvidence{{Source: "session", Field: "pingInterval", Value: held.PingInterval.String()}, {Source: "object", Value: p.ReadTimeout.String(), Text: p.ReadTimeoutWhy}},
			Fix:      "set the server's pingInterval below the proxy's read timeout, or raise that",
			Verify:   "--idle holds a quiet WebSocket and says when it is cut"}, now)
	}
	if held.Ended == nil || held.Ended.By != EndedByUnknown {
		return
	}
	st.idleCut(s, now)
	st.massCut(s, now)
}

// idleCut is I05, measured: silence, then a cut without a word.
func (st *State) idleCut(s *session, now time.Time) {
	held, end := s.Socket, s.Socket.Ended
	if end.Silent < 5*time.Second || held.Carrier != CarrierWebSocket || held.PingInterval > 0 && end.Silent > held.PingInterval+held.PingTimeout {
		return
	}
	if _, text := st.endCause(s, now); text != "" {
		return // its pod left: that is why
	}
	f := Finding{Rule: "I05", Severity: SeverityHigh, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
		Title:    fmt.Sprintf("a quiet WebSocket was cut after %s without a frame", shortDuration(end.Silent)),
		Impact:   "connections on which nothing is said for that long are lost, and reconnect",
		Evidence: []FindingEvidence{{Source: "session", Field: "silence", Value: shortDuration(end.Silent), Text: end.Text + usualCut(end.Silent)}},
		Fix:      "ping more often than that (pingInterval, a ping frame), or raise the idle timeout of the hop that cuts",
		Verify:   "--idle again: the WebSocket is held for longer"}
	if held.PingInterval > 0 && end.Silent < held.PingInterval {
		f.Title = fmt.Sprintf("cut after %s of silence, before the ping that is due every %s", shortDuration(end.Silent), held.PingInterval)
	}
	st.find(f, now)
}

// usualCut names who is known to cut after such a time, as a hint.
func usualCut(d time.Duration) string {
	for _, known := range []struct {
		at  time.Duration
		who string
	}{
		{60 * time.Second, "60 s is nginx's proxy_read_timeout and an AWS load balancer's idle timeout by default"},
		{100 * time.Second, "100 s is Cloudflare's"},
		{350 * time.Second, "350 s is an AWS NLB's"},
		{240 * time.Second, "4 min is an Azure load balancer's"},
		{900 * time.Second, "15 min has been seen of load balancers in front"},
	} {
		if d > known.at-2*time.Second && d < known.at+3*time.Second {
			return "; " + known.who
		}
	}
	return ""
}

// massCut is I06: many connections cut at once, four minutes after an Ingress
// changed.
func (st *State) massCut(s *session, now time.Time) {
	if len(st.cuts) >= maxCuts {
		st.cuts = slices.Clone(st.cuts[maxCuts/2:])
	}
	st.cuts = append(st.cuts, cut{now, s.Spec.ID, s.Spec.Route})
	at := map[SessionID]bool{}
	for _, c := range st.cuts {
		if now.Sub(c.at) <= together && c.route == s.Spec.Route {
			at[c.session] = true
		}
	}
	if len(at) < massCuts {
		return
	}
	for i := len(st.timeline) - 1; i >= 0; i-- {
		h := st.timeline[i]
		gap := now.Sub(h.At)
		if gap > workerShutdown+workerShutdownSlack {
			return
		}
		if h.Kind != "ingress" || gap < workerShutdown-workerShutdownSlack {
			continue
		}
		st.find(Finding{Rule: "I06", Severity: SeverityHigh, Certainty: CertaintyLikely, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:  fmt.Sprintf("%d connections were cut at once, %s after an Ingress changed", len(at), shortDuration(gap)),
			Impact: "every change of any Ingress drops all WebSockets of the workers before it, and their clients reconnect together",
			Evidence: []FindingEvidence{{Source: "session", Field: "cut at", Value: now.UTC().Format(time.RFC3339)},
				{Source: "object", Value: h.At.UTC().Format(time.RFC3339), Text: h.Text}},
			Fix:    "raise worker-shutdown-timeout in the controller's ConfigMap, and batch changes of Ingresses",
			Verify: "change an annotation and hold WebSockets for five minutes"}, now)
		return
	}
}

// hides is I04: a session that never polls works where sessions that do break.
func (st *State) hides(s *session, now time.Time) {
	if s.Socket == nil || s.Socket.PingInterval == 0 || s.Socket.Carrier != CarrierWebSocket || s.polls() {
		return
	}
	for _, rule := range []string{"I01", "I02", "I03", "B07"} {
		broken, ok := st.found[foundKey{rule, s.Spec.Route}]
		if !ok {
			continue
		}
		st.find(Finding{Rule: "I04", Severity: SeverityInfo, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:    "WebSocket-only sessions work and hide that polling is broken",
			Impact:   "affinity is not needed while every client connects with WebSocket alone; one that falls back to polling fails",
			Evidence: append([]FindingEvidence{{Source: "session", Text: fmt.Sprintf("%s holds a WebSocket without polling", s.Spec.ID)}}, broken.Evidence...),
			Fix:      broken.Fix, Verify: broken.Verify}, now)
		return
	}
}

// polls reports whether the session has polled since its handshake.
func (s *session) polls() bool {
	_, poll := s.Leg(LegPoll)
	_, upgrade := s.Leg(LegUpgrade)
	return poll || upgrade
}
