package affinity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// judgeLeg looks at one request of a held connection for what its users would
// call broken.
func (st *State) judgeLeg(s *session, o Observed, now time.Time) {
	engine := s.Spec.Transport != "ws" // a plain WebSocket has no Engine.IO to be told from HTML
	switch f := o.Failure; {
	case f == nil:
		if o.Leg == LegHandshake {
			st.outdated(foundKey{"I08", s.Spec.Route, ""}, s.Spec.ID)
		}
		st.hides(s, now)
		st.jarHolds(s, o.Leg, now)
	case f.Kind == FailureForeign && engine && o.Leg == LegHandshake:
		st.find(Finding{Rule: "I08", Severity: SeverityMedium, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:    Clean("the path does not lead to Engine.IO: "+f.Text, maxTitle),
			Impact:   "Socket.IO clients of this route cannot connect; callers that look at the status alone see success",
			Evidence: []FindingEvidence{{Source: "body", Field: "X-Request-Id", Value: o.RequestID, Text: f.Text}},
			Fix:      "route the Socket.IO path to the server that speaks it, before the catch-all; or name the right path with --socketio-path",
			Verify:   "curl the path with ?EIO=4&transport=polling: the body begins with 0{ (Engine.IO 4) or NN:0{ (3)"}, proof{request: o.RequestID}, now)
	case f.Kind == FailureVersion:
		st.find(Finding{Rule: "I07", Severity: SeverityMedium, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:    f.Text,
			Impact:   "clients of that version cannot connect at all, and no affinity can help them",
			Evidence: []FindingEvidence{{Source: "body", Field: "X-Request-Id", Value: o.RequestID, Text: f.Text}},
			Fix:      "bring client and server to one major version (Socket.IO 1 and 2 speak EIO 3, 3 and 4 speak EIO 4), or set allowEIO3: true on the server",
			Verify:   "the handshake with the client's EIO is answered with 200"}, proof{request: o.RequestID}, now)
	case o.Refused == nil:
	case o.Refused.Code == 1:
		st.judgeLegs(s, now)
	}
}

// spokenIn is I07 where two sessions of a route are held at once that were
// answered in different versions of Engine.IO: theirs follow the server's, those
// of users do not. What a WebSocket's first packets tell of the version is too
// little.
func (st *State) spokenIn(s *session, now time.Time) {
	held := s.Socket
	if held.Ended != nil || held.Carrier != CarrierPolling || !strings.HasPrefix(held.Protocol, "Engine.IO ") {
		return
	}
	of := st.spoke[s.Spec.Route]
	if of == nil {
		of = map[string]SessionID{}
		st.spoke[s.Spec.Route] = of
	}
	of[held.Protocol] = s.Spec.ID
	for protocol, id := range of {
		x := st.sessions[id]
		if protocol == held.Protocol || x == nil || x.Socket == nil || x.Socket.Ended != nil || x.Socket.Protocol != protocol {
			continue
		}
		early, late := x, s
		if protocol > held.Protocol {
			early, late = s, x
		}
		from, _ := early.Leg(LegHandshake)
		to, _ := late.Leg(LegHandshake)
		f := Finding{Rule: "I07", Severity: SeverityMedium, Certainty: CertaintyExact, Route: s.Spec.Route, Session: early.Spec.ID,
			Title:  "servers behind one path speak different versions of Engine.IO",
			Impact: "clients of one version fail whenever they are sent to a server of the other",
			Evidence: []FindingEvidence{{Source: "session", Text: fmt.Sprintf("%s was answered in %s, %s in %s, and both are held", early.Spec.ID, early.Socket.Protocol, late.Spec.ID, late.Socket.Protocol)},
				legEvidence(st, from), legEvidence(st, to)},
			Fix:    "bring all pods to one major version of Socket.IO (1 and 2 speak EIO 3, 3 and 4 speak EIO 4), or set allowEIO3: true on the later ones while clients of both are about",
			Verify: "--socketio-eio 4 (or 3) asks as your clients do: every handshake is answered"}
		if !from.Pod.IsZero() && !to.Pod.IsZero() && from.Pod != to.Pod {
			f.Title = fmt.Sprintf("pods of one path speak different versions of Engine.IO: %s 3, %s 4", st.podLabel(from.Pod), st.podLabel(to.Pod))
		}
		st.find(f, proof{about: aboutMixed, pod: from.Pod}, now)
		return
	}
}

// aboutMixed is I07 of servers of both versions, not of one that refused.
const aboutMixed = "mixed"

// judgeLegs finds out why a server did not know a session that it, or another,
// had opened. What was said of the same requests before, with less to go by,
// is taken back.
func (st *State) judgeLegs(s *session, now time.Time) {
	first, ok := s.Leg(LegHandshake)
	if !ok {
		return
	}
	for _, l := range s.Legs {
		if l.Name == LegHandshake || l.Failure == "" || s.refused[l.RequestID] != 1 {
			continue
		}
		st.judgeRefusal(s, first, l, now)
	}
}

// judgeRefusal finds out why a leg was refused that belongs to a handshake.
func (st *State) judgeRefusal(s *session, first, l Leg, now time.Time) {
	f, p, why := st.unknownSession(s, st.only(s, first), st.only(s, l))
	if cut, ok := st.cutPoll(s, first, l); ok && why == "" {
		f, p = cut, proof{about: aboutPoll}
	}
	f.At = l.At // word of its pod may come later
	p.request, p.first, p.refused = l.RequestID, first, l
	for key, v := range st.found {
		if v.request == l.RequestID && (why != "" || key != (foundKey{f.Rule, f.Route, p.about})) {
			st.withdraw(key, cmp.Or(why, "told apart since: "+f.Rule))
		}
	}
	if why == "" {
		st.find(f, p, now)
	}
}

// only fills in the pod of a leg that nothing names where there is just one.
func (st *State) only(s *session, l Leg) Leg {
	if l.Pod.IsZero() && !l.alone.IsZero() {
		l.Pod, l.restarts, l.created = l.alone, l.aloneRestarts, l.aloneCreated
	}
	return l
}

// unknownSession is the verdict on "Session ID unknown": which of routing, a
// restart, several workers and a client without cookies it was. With why set
// there is none: the cluster, or whoever drives the session, accounts for it.
func (st *State) unknownSession(s *session, first, refused Leg) (f Finding, p proof, why string) {
	f = Finding{Rule: "I01", Severity: SeverityCritical, Certainty: CertaintyExact, Route: s.Spec.Route, Session: s.Spec.ID,
		Impact:   "users see 400 Session ID unknown, connect again, and may never get past the handshake",
		Verify:   "hold Socket.IO sessions again: all legs of each name one pod, and none is refused with code 1",
		Evidence: []FindingEvidence{legEvidence(st, first), legEvidence(st, refused)}}
	p.pod, p.handshake = first.Pod, first.RequestID
	if why := st.accounted(s, first, refused); why != "" {
		return f, p, why
	}
	if !first.Pod.IsZero() && (first.Pod == refused.Pod || !refused.Pod.IsZero() && st.restartedSince(first)) {
		f, p = st.samePod(s, f, p, first, refused)
		return f, p, ""
	}
	if !st.sure(s, first, refused, &f) {
		f.Certainty = CertaintyLikely // nothing names a pod, or only where a cookie pointed
	}
	if st.keepsNothing(s) {
		if broken, ok := st.found[foundKey{"I01", s.Spec.Route, ""}]; !ok || st.keepsNothingID(broken.Session) {
			return st.withoutCookie(s, f), p, ""
		}
	} else if s.notReturned != "" {
		return st.notSentBack(s, f, s.notReturned), p, ""
	} else if s.unkept != "" && s.Pin == nil && st.nameless(s.Spec.Route) {
		f.Certainty = CertaintyLikely
		return st.notSentBack(s, f, ""), p, ""
	}
	f.Title = fmt.Sprintf("400 Session ID unknown: the %s got to a pod that did not open the session", refused.Name)
	if !first.Pod.IsZero() && !refused.Pod.IsZero() {
		f.Title = fmt.Sprintf("400 Session ID unknown: the handshake was on %s, the %s on %s", st.podLabel(first.Pod), refused.Name, st.podLabel(refused.Pod))
	} else {
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: "nothing names both pods: several workers in one of them (I02) would look the same"})
	}
	f.Fix = "turn cookie affinity on for this path, or let clients connect with transports: [\"websocket\"] alone"
	if !refused.Cookie && !s.expired {
		f.Patch = st.affinityOn(s.Spec.Route)
	}
	switch {
	case refused.Cookie:
		f.Fix = "find out why the cookie does not hold the session: another ingress replica or node, a hop that balances again, affinity on another path"
		if st.policy(s.Spec.Route).MovesSilently && st.hashedAgain(s, first, refused) {
			f.Severity = SeverityHigh
			f.Title = fmt.Sprintf("400 Session ID unknown: the endpoints changed, and the same cookie went from %s to %s", st.podLabel(first.Pod), st.podLabel(refused.Pod))
			f.Fix = "affinity-mode: persistent, which keeps a cookie's pod when others come and go"
		}
	case refused.Unsure != "":
		f.Fix = "if a cookie that is sent is for affinity (--cookie NAME), find the hop that does not heed it; else " + f.Fix
	case s.expired:
		f.Severity = SeverityHigh
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: "the affinity cookie had ended: " + s.dropped})
		f.Fix = "let the affinity cookie outlive the session: a longer max-age, or none at all"
	}
	if refused.Name == LegUpgrade {
		f.Rule = "I03"
		f.Impact = "the browser reports \"Unexpected response code: 400\" and stays on polling, with a request for every message"
	}
	return f, p, ""
}

// affinityOn is the command that turns cookie affinity on for the Ingress of a
// route, where annotations do that for whoever may serve it; "" elsewhere.
func (st *State) affinityOn(id RouteID) string {
	r := st.routes[id]
	if r == nil || r.Kind != RouteIngress || !plainName(r.Namespace) || !plainName(r.Name) {
		return ""
	}
	l, ok := r.Layer(LayerIngress)
	if !ok || len(l.Candidates) == 0 {
		return ""
	}
	on := l.Candidates[0].TurnOn
	for _, c := range l.Candidates {
		if on == "" || c.TurnOn != on {
			return ""
		}
	}
	return fmt.Sprintf("kubectl annotate --overwrite ingress %s -n %s %s", r.Name, r.Namespace, on)
}

// accounted is what was seen that explains a refusal without any fault in how
// sessions are routed; "" when nothing does.
func (st *State) accounted(s *session, first, refused Leg) string {
	if whole := s.heartbeat(first.At); whole > 0 && refused.At.Sub(s.Socket.Heard) > whole {
		return "the server had given the session up: nothing was heard for longer than its heartbeat allows"
	}
	if s.dropped != "" && !s.expired {
		return "its cookie was dropped: " + s.dropped
	}
	since := first.At.Add(-causeBefore)
	if e, ok := st.edits[s.Spec.Route]; ok && e.at.After(since) && e.at.Before(refused.At.Add(causeAfter)) {
		return e.text
	}
	b := st.backendOf(s)
	if b == nil || first.Pod.IsZero() {
		return ""
	}
	for i := len(b.changes) - 1; i >= 0; i-- {
		c := b.changes[i]
		if c.at.Before(first.At) || c.from.After(refused.At.Add(causeAfter)) {
			continue
		}
		if why, ok := c.left[first.Pod]; ok {
			return st.podLabel(first.Pod) + " " + why
		}
	}
	if p, ok := st.pods[first.Pod]; ok && p.endedBy(refused.At.Add(causeAfter)) {
		return st.podLabel(first.Pod) + " " + st.whyLeft(first.Pod, b)
	}
	return ""
}

// endedBy reports whether p had been asked to end, or was gone, by then.
func (p Pod) endedBy(t time.Time) bool {
	return p.Terminating() && p.Deletion.Add(-p.Grace).Before(t) || !p.Gone.IsZero() && p.Gone.Before(t)
}

// heartbeat is the whole time of the heartbeat, of a connection whose handshake was at
// that time; zero before it is known.
func (s *session) heartbeat(handshake time.Time) time.Duration {
	if s.Socket == nil || s.Socket.Opened.Before(handshake.Add(-time.Second)) {
		return 0
	}
	return s.Socket.PingInterval + s.Socket.PingTimeout
}

// hashedAgain reports whether the endpoints changed between two legs.
func (st *State) hashedAgain(s *session, first, refused Leg) bool {
	b := st.backendOf(s)
	return b != nil && slices.ContainsFunc(b.changes, func(c change) bool {
		return !c.at.Before(first.At) && !c.from.After(refused.At.Add(causeAfter))
	})
}

const (
	workersFix = "run one worker in each pod (WEB_CONCURRENCY=1, pm2 -i 1) and more pods, or share sessions among workers with @socket.io/sticky or @socket.io/cluster-engine"
	restartFix = "find out why the container restarts (kubectl logs --previous), or keep sessions outside its memory"
)

// samePod tells a restart from several workers: by the pod's restarts, and only
// the second handshake that meets it makes it certain.
func (st *State) samePod(s *session, f Finding, p proof, first, refused Leg) (Finding, proof) {
	f.Rule, p.about = "I02", "workers"
	at := st.pods[first.Pod]
	object := ObjectRef{Kind: "Pod", Namespace: first.Pod.Namespace, Name: first.Pod.Name}
	if st.restartedSince(first) {
		p.about, f.Severity = "restart", SeverityHigh
		f.Title = fmt.Sprintf("400 Session ID unknown: %s restarted between the handshake and the %s", st.podLabel(first.Pod), refused.Name)
		if first.Pod != refused.Pod {
			f.Title += ", which went to " + st.podLabel(refused.Pod)
		}
		f.Impact = "the sessions in the memory of a container end with it; every user of this pod connects again"
		f.Evidence = append(f.Evidence, FindingEvidence{Object: object, Field: "status.containerStatuses[].restartCount", Value: fmt.Sprintf("%d → %d", first.restarts, at.Restarts), Source: "object"})
		f.Fix = restartFix
		if at.LastEnd != "" {
			f.Evidence = append(f.Evidence, FindingEvidence{Object: object, Field: "status.containerStatuses[].lastState.terminated", Value: at.LastEnd, Source: "object"})
			if strings.HasPrefix(at.LastEnd, "OOMKilled") {
				f.Fix = "give the container more memory (resources.limits.memory), or find what fills it; keep sessions outside its memory"
			}
		}
		f.Patch = restartCommand(at)
		f.Verify = "the pod's restart count stays, and no leg is refused with code 1"
		return f, p
	}
	f.Title = fmt.Sprintf("400 Session ID unknown by %s, which opened the session: several workers in one pod", st.podLabel(first.Pod))
	f.Impact = "requests fail about as often as another worker of the pod is picked, though the pod is right: no affinity can help"
	f.Fix = workersFix
	f.Patch = workersCommand(at)
	f.Verify = "hold Socket.IO sessions again: no leg is refused by the pod of its handshake"
	sure := st.sure(s, first, refused, &f)
	if at.Ref.IsZero() || at.NamedOnly {
		f.Certainty = CertaintyLikely // it may have restarted unseen
		return f, p
	}
	f.Evidence = append(f.Evidence, FindingEvidence{Object: object, Field: "status.containerStatuses[].restartCount", Value: fmt.Sprint(at.Restarts), Source: "object", Text: "as at the handshake"})
	before, had := st.found[foundKey{f.Rule, f.Route, p.about}]
	if !(had && before.handshake != p.handshake) || !sure {
		f.Certainty = CertaintyLikely
	}
	return f, p
}

// restartedSince reports whether the pod of a leg has restarted since, or is
// another of that name.
func (st *State) restartedSince(l Leg) bool {
	p := st.pods[l.Pod]
	return p.Restarts > l.restarts || p.Created.After(l.created) && !l.created.IsZero()
}

// workersCommand shows what runs in a pod, and ends the workers but one.
func workersCommand(p Pod) string {
	if !pasteable(p) {
		return ""
	}
	text := fmt.Sprintf("# what runs in the pod: several of the server's processes are several workers\n"+
		"kubectl -n %s exec %s -- sh -c 'for p in /proc/[0-9]*; do tr \"\\0\" \" \" <$p/cmdline; echo; done'", p.Ref.Namespace, p.Ref.Name)
	if w := p.Workload(); plainName(strings.ReplaceAll(w, "/", "")) {
		text += fmt.Sprintf("\n# one worker in each pod, where the server heeds WEB_CONCURRENCY (gunicorn, uvicorn, Puma)\n"+
			"kubectl -n %s set env %s WEB_CONCURRENCY=1", p.Ref.Namespace, w)
	}
	return text
}

// restartCommand shows why containers of a pod restarted.
func restartCommand(p Pod) string {
	if !pasteable(p) {
		return ""
	}
	return fmt.Sprintf("kubectl -n %[1]s logs %[2]s --all-containers --previous --tail=50\n"+
		"kubectl -n %[1]s get pod %[2]s -o jsonpath='{range .status.containerStatuses[*]}{.name} {.restartCount} {.lastState.terminated}{\"\\n\"}{end}'", p.Ref.Namespace, p.Ref.Name)
}

// pasteable reports whether p is an object, and of a name that a shell leaves as
// it is.
func pasteable(p Pod) bool {
	return !p.NamedOnly && plainName(p.Ref.Namespace) && plainName(p.Ref.Name)
}

// plainName reports whether s is made of what names of objects are (RFC 1123).
func plainName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}

// sure reports whether it is known which pods answered two legs, and adds to f
// what that rests on, or what would tell, where they did not name themselves.
func (st *State) sure(s *session, first, refused Leg, f *Finding) bool {
	if !weak(first) && !weak(refused) {
		return true
	}
	byCookie := func(l Leg) bool { return !weak(l) || l.Source == SourceCookie }
	if w := st.cookieWord[s.Spec.Route]; byCookie(first) && byCookie(refused) && w.agreed >= cookieTrusted && w.denied == 0 {
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "session",
			Text: fmt.Sprintf("where answers on this route told their pod, it was the one that the cookie names: %d of %d", w.agreed, w.agreed)})
		return true
	}
	if byCookie(first) && byCookie(refused) {
		if text := st.declaredWorkers(s.Spec.Route); text != "" && first.Pod == refused.Pod {
			f.Evidence = append(f.Evidence, FindingEvidence{Source: "object", Text: "declared: " + text})
			return true
		}
	}
	if first.alone == first.Pod && refused.alone == first.Pod && !first.Pod.IsZero() && st.onlyEver(s, first.At) {
		return true
	}
	const tell = "--log-evidence, or an answer that names its pod (--pod-header), would make it certain"
	if first.Source == SourceCookie || refused.Source == SourceCookie {
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: "a cookie alone tells where the request went, and a hop behind the ingress would look the same: " + tell})
	}
	return false
}

// cookieTrusted is how many answers must have named the pod of the cookie that
// was sent before the cookie's word is believed where an answer names none.
const cookieTrusted = 3

// cookieWord is how often answers on a route named the pod that the cookie sent
// along named, and how often another.
type cookieWord struct{ agreed, denied int }

// heard compares what an answer says of its pod with the cookie that went along.
func (st *State) heard(s *session, said PodRef, via Source, points PodRef) {
	if !via.answers() || said.IsZero() || points.IsZero() || s.Pin == nil || s.Pin.Decoded.Gone {
		return
	}
	w := st.cookieWord[s.Spec.Route]
	if said == points {
		w.agreed++
	} else {
		w.denied++
	}
	st.cookieWord[s.Spec.Route] = w
}

// declaredWorkers is what the objects say of several workers behind a route; ""
// for nothing.
func (st *State) declaredWorkers(route RouteID) string {
	for source, all := range st.findings {
		if source == "sockets" {
			continue
		}
		for _, f := range all {
			if f.Rule == "I02" && f.Session == "" && f.Fails() && (f.Route == route || slices.Contains(f.Routes, route)) {
				return f.Title + " (" + f.Object.String() + ")"
			}
		}
	}
	return ""
}

// onlyEver reports whether the Service of s has had one endpoint, ready or not,
// since then.
func (st *State) onlyEver(s *session, since time.Time) bool {
	b := st.backendOf(s)
	if b == nil || len(ofPort(b.all, st.routes[s.Spec.Route].Backend.PortName)) != 1 {
		return false
	}
	return !slices.ContainsFunc(b.changes, func(c change) bool { return c.at.After(since.Add(-causeBefore)) })
}

// weak reports whether nobody said which pod answered.
func weak(l Leg) bool { return l.Source == SourceNone || l.Source == SourceCookie }

// keepsNothing reports whether s is a client without a jar that was offered
// what would have held it, or may have been.
func (st *State) keepsNothing(s *session) bool {
	return s.Spec.Client == ClientNoJar && (s.offered || s.cookies && st.nameless(s.Spec.Route))
}

func (st *State) keepsNothingID(id SessionID) bool {
	s, ok := st.sessions[id]
	return ok && st.keepsNothing(s)
}

// withoutCookie is B07: the client keeps no cookies. It is certain once a
// client that does keep them gets by where this one is refused.
func (st *State) withoutCookie(s *session, f Finding) Finding {
	f.Rule, f.Severity, f.Certainty = "B07", SeverityCritical, CertaintyLikely
	f.Title = "sticky only for cookie-keeping clients: one without a jar gets 400 Session ID unknown"
	f.Impact = "clients that keep no cookies (Node, mobile, load generators) are refused where browsers get by"
	why := "the affinity cookie was offered; this client keeps no cookies"
	if !s.offered {
		why = "a cookie was offered that may be the affinity cookie; this client keeps none; --cookie NAME would tell"
	}
	f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: why})
	f.Fix = "let the client keep cookies (withCredentials: true, in Node since Socket.IO 4.7), or connect with transports: [\"websocket\"] alone"
	f.Verify = "hold sessions with --client browser and --client no-jar: neither is refused with code 1"
	if by := st.keeper(s.Spec.Route, s.Spec.Transport); by != nil {
		if s.offered && by.Pin != nil { // else both may hold by something else
			f.Certainty = CertaintyExact
		}
		f.Evidence = append(f.Evidence, keeperEvidence(st, by))
	}
	return f
}

// offeredInVain begins the evidence of a cookie that a client does not send back.
const offeredInVain = "the affinity cookie was offered and is not sent back: "

// notSentBack is a client that keeps cookies, but not this one: which rule it
// is depends on the attribute, which why names. Without why it is one that may
// be the affinity cookie or not: nothing says what that is called.
func (st *State) notSentBack(s *session, f Finding, why string) Finding {
	f.Title = "400 Session ID unknown: the affinity cookie is not sent back: " + why
	f.Impact = "clients like this one get 400 Session ID unknown"
	evidence := offeredInVain + why
	if why == "" {
		name, of, _ := strings.Cut(s.unkept, " is not sent back: ")
		why = of
		f.Title = "400 Session ID unknown: a cookie that may be for affinity, " + name + ", is not sent back: " + of
		evidence = s.unkept + "; nothing says whether it is for affinity: --cookie NAME would"
	}
	f.Title = Clean(f.Title, maxTitle)
	f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: evidence})
	f.Fix = "let the affinity cookie's Path, Domain, Secure and SameSite fit the way this client comes"
	switch {
	case strings.Contains(why, "SameSite"):
		f.Rule, f.Severity = "B04", SeverityHigh
		f.Fix = "SameSite=None with Secure on the affinity cookie for clients on other sites, or one site for page and socket"
	case strings.HasPrefix(why, "Path="):
		f.Rule, f.Fix, f.objectsMend = "B02", "session-cookie-path (or its like) that covers the Socket.IO path: /", true
	case strings.Contains(why, "Secure"):
		f.Rule, f.Severity = "B03", SeverityHigh
		f.Fix = "serve the socket over https, or do not mark the affinity cookie Secure"
	}
	return f
}

// keeper is a session of a cookie-keeping client that gets by: it sent the
// affinity cookie with several requests and was refused none. nil for none.
func (st *State) keeper(route RouteID, transport string) *session {
	for _, id := range st.order {
		if s := st.sessions[id]; s.Spec.Route == route && s.Spec.Transport == transport && s.keeps() {
			return s
		}
	}
	return nil
}

// keeperLegs is how many requests with the cookie must be answered before a
// session counts as one that gets by.
const keeperLegs = 3

func (s *session) keeps() bool {
	if s.Spec.Client == ClientNoJar || !s.ClosedAt.IsZero() {
		return false
	}
	n := 0
	for _, l := range s.Legs {
		if l.Failure != "" {
			return false
		}
		if (l.Cookie || l.Unsure != "") && l.Name != LegHandshake && l.Name != LegPreflight {
			n += l.Count
		}
	}
	return n >= keeperLegs
}

const keptAnswered = " keeps cookies, and every leg of it was answered"

func keeperEvidence(st *State, s *session) FindingEvidence {
	text := string(s.Spec.ID) + keptAnswered
	if !s.Pod.IsZero() {
		text += " (" + st.podLabel(s.Pod) + ")"
	}
	return FindingEvidence{Source: "session", Text: text}
}

// jarHolds makes B07 certain once a cookie-keeping client gets by.
func (st *State) jarHolds(s *session, leg string, now time.Time) {
	key := foundKey{"B07", s.Spec.Route, ""}
	v, ok := st.found[key]
	if !ok || leg == LegHandshake || v.Certainty == CertaintyExact || !s.keeps() || !st.speakAlike(v.Session, s.Spec.ID) {
		return
	}
	f := v.Finding
	by := keeperEvidence(st, s)
	if s.Pin != nil && st.sessions[v.Session].offered {
		f.Certainty, f.At = CertaintyExact, now
	} else if slices.ContainsFunc(f.Evidence, func(e FindingEvidence) bool { return strings.Contains(e.Text, keptAnswered) }) {
		return // one is enough
	}
	f.Evidence = append(slices.Clone(f.Evidence), by)
	st.find(f, v.proof, now)
}

func legEvidence(st *State, l Leg) FindingEvidence {
	text := fmt.Sprintf("%s: status %d, pod unknown", l.Name, l.Status)
	source := "session"
	switch {
	case l.Pod.IsZero() && l.SentTo != nil:
		text = fmt.Sprintf("%s: status %d, %s", l.Name, l.Status, st.sentWords(l.SentTo))
		source = SourceLog.String()
	case l.Pod.IsZero():
	case l.Source == SourceNone:
		text = fmt.Sprintf("%s: status %d, %s is the only endpoint", l.Name, l.Status, st.podLabel(l.Pod))
	default:
		text = fmt.Sprintf("%s: status %d, %s by %s", l.Name, l.Status, st.podLabel(l.Pod), l.Source)
		source = l.Source.String()
	}
	if l.Name != LegHandshake {
		switch {
		case l.Cookie:
			text += ", with the affinity cookie"
		case l.Unsure != "":
			text += ", with " + l.Unsure + ", not known if for affinity"
		default:
			text += ", without an affinity cookie"
		}
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
	points, by := st.decodedPod(s)
	if pod, via := st.served(s, o, now); !pod.IsZero() {
		st.heard(s, pod, via, points)
		return pod, via
	}
	return points, by
}

// hides is I04: a session that never polls works where sessions that do break.
func (st *State) hides(s *session, now time.Time) {
	if s.Socket == nil || s.Socket.PingInterval == 0 || !s.Socket.Joined || s.Socket.Ended != nil || s.Socket.Carrier != CarrierWebSocket || s.polls() {
		return
	}
	key, broken, ok := st.breaksPolling(s.Spec.Route)
	if !ok {
		return
	}
	st.find(Finding{Rule: "I04", Severity: SeverityInfo, Certainty: broken.Certainty, Route: s.Spec.Route, Session: s.Spec.ID,
		Title:    "WebSocket-only sessions work, and hide that polling is broken (" + key.rule + ")",
		Impact:   "affinity is not needed while every client connects with WebSocket alone; one that falls back to polling fails",
		Evidence: append([]FindingEvidence{{Source: "session", Text: fmt.Sprintf("%s holds a WebSocket and has never polled", s.Spec.ID)}}, broken.Evidence...),
		Fix:      broken.Fix, Patch: broken.Patch, Verify: broken.Verify}, proof{}, now)
}

// breaksPolling is the verdict that says that sessions which poll fail.
func (st *State) breaksPolling(route RouteID) (foundKey, verdict, bool) {
	for _, key := range []foundKey{{"I01", route, ""}, {"I02", route, "workers"}, {"I03", route, ""}, {"B07", route, ""}} {
		v, ok := st.found[key]
		if s := st.sessions[v.Session]; ok && (key.rule != "B07" || s != nil && len(s.Legs) > 0) { // not of plain HTTP
			return key, v, true
		}
	}
	return foundKey{}, verdict{}, false
}

// polls reports whether the session has polled since its handshake.
func (s *session) polls() bool {
	_, poll := s.Leg(LegPoll)
	_, upgrade := s.Leg(LegUpgrade)
	return poll || upgrade
}
