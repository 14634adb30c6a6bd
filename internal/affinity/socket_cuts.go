package affinity

import (
	"fmt"
	"slices"
	"time"
)

// cut is a connection that ended without a word.
type cut struct {
	at      time.Time
	silent  time.Duration
	session SessionID
	route   RouteID
}

const (
	// A mass cut is massCuts connections of a route, cut within together.
	massCuts = 3
	maxCuts  = 256
	// workerShutdown is ingress-nginx's worker-shutdown-timeout by default:
	// how long workers of the configuration before the last one keep their
	// connections (docs/user-guide/nginx-configuration/configmap.md).
	workerShutdown      = 240 * time.Second
	workerShutdownSlack = 15 * time.Second
	// minSilence is the shortest silence that an idle timeout is suspected of,
	// and alike how far two cuts by the same one may lie apart.
	minSilence = 5 * time.Second
	alike      = 2 * time.Second

	aboutPing = "ping" // I05 by what is configured, not measured
	aboutPoll = "poll" // I05 of long polls that were refused after the proxy's wait
)

// judgeSocket looks at the connection itself.
func (st *State) judgeSocket(s *session, now time.Time) {
	held := s.Socket
	if held.Ended == nil {
		st.hides(s, now)
		if wait, why := st.waits(s.Spec.Route, held.Carrier); wait > 0 && held.PingInterval >= wait {
			st.find(Finding{Rule: "I05", Severity: SeverityHigh, Certainty: CertaintyLikely, Route: s.Spec.Route, Session: s.Spec.ID,
				Title:  fmt.Sprintf("the proxy cuts after %s without a frame, the server pings every %s", wait, held.PingInterval),
				Impact: "every quiet connection is cut before its next heartbeat, and its user connects again",
				Evidence: []FindingEvidence{{Source: "session", Field: "pingInterval", Value: held.PingInterval.String(), Text: "of the handshake"},
					{Source: "object", Field: "read timeout", Value: wait.String(), Text: why}},
				Fix:    "set the server's pingInterval below the smallest idle timeout on the way, or raise that one",
				Verify: "--transport ws --idle holds a quiet WebSocket and says when it is cut", objectsMend: true}, proof{about: aboutPing}, now)
		}
		return
	}
	if held.Ended.By != EndedByUnknown {
		return
	}
	if _, text := st.endCause(s, now); text != "" {
		return // its pod left or restarted: that is why
	}
	st.idleCut(s, now)
	st.massCut(s, now)
}

// idleCut is I05, measured: silence, then a cut without a word. One such cut
// may be a process that died; it counts when the silence is one that a hop on
// the way is configured to, or known to, wait for, and for certain when two
// cuts at different times came after the same silence.
func (st *State) idleCut(s *session, now time.Time) {
	held, end := s.Socket, s.Socket.Ended
	if end.Silent < minSilence || held.Carrier != CarrierWebSocket || held.PingInterval > 0 && end.Silent > held.PingInterval+held.PingTimeout {
		return
	}
	wait, why := st.waits(s.Spec.Route, held.Carrier)
	configured := wait > 0 && near(end.Silent, wait)
	again := slices.ContainsFunc(st.cuts, func(c cut) bool {
		return c.route == s.Spec.Route && now.Sub(c.at) > together && near(end.Silent, c.silent)
	})
	known := usualCut(end.Silent)
	if !configured && !again && known == "" && !held.Idle {
		return
	}
	f := Finding{Rule: "I05", Severity: SeverityHigh, Certainty: CertaintyLikely, Route: s.Spec.Route, Session: s.Spec.ID,
		Title:    fmt.Sprintf("a quiet WebSocket was cut after %s without a frame", shortDuration(end.Silent)),
		Impact:   "connections on which nothing is said for that long are lost, and their users connect again",
		Evidence: []FindingEvidence{{Source: "session", Field: "silence", Value: shortDuration(end.Silent), Text: end.Text}},
		Fix:      "ping more often than that (pingInterval, a ping frame), or raise the idle timeout of the hop that cuts",
		Verify:   "--transport ws --idle again: the WebSocket is held for longer", objectsMend: configured}
	if held.PingInterval > 0 && end.Silent < held.PingInterval {
		f.Title += fmt.Sprintf(", before the ping that is due every %s", held.PingInterval)
	}
	if configured || again {
		f.Certainty = CertaintyExact
	}
	if configured {
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "object", Field: "read timeout", Value: wait.String(), Text: why})
	} else if known != "" {
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: known})
	}
	if again {
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Text: "an earlier one was cut after the same silence"})
	}
	st.find(f, proof{pod: s.Pod}, now)
}

// cutPoll is I05 of a long poll that was refused with code 1 not at once, as a pod
// that does not know the session does, but after the time that the proxy waits
// for an answer: it gave the first try up, the server ended the session with it
// ("transport error"), and what came back is the answer to a second try. Seen of
// Traefik 3.7 with socket.io 4, whose pod logs that request twice, the second time
// on another connection.
func (st *State) cutPoll(s *session, first, l Leg) (Finding, bool) {
	wait, why := st.waits(s.Spec.Route, CarrierPolling)
	if l.Name != LegPoll || wait < minSilence || !near(l.Took, wait) {
		return Finding{}, false
	}
	f := Finding{Rule: "I05", Severity: SeverityHigh, Certainty: CertaintyLikely, Route: s.Spec.Route, Session: s.Spec.ID,
		Title:  fmt.Sprintf("polls get 400 Session ID unknown after %s, when the proxy stops waiting for their answer", shortDuration(l.Took)),
		Impact: "every quiet session that polls ends so, and its user connects again",
		Evidence: []FindingEvidence{legEvidence(st, first), legEvidence(st, l),
			{Source: "session", Field: "took", Value: shortDuration(l.Took), Text: "a pod that does not know a session says so at once: this is probably the answer to the proxy's second try"},
			{Source: "object", Field: "read timeout", Value: wait.String(), Text: why}},
		Fix:    "set the server's pingInterval below the smallest idle timeout on the way, or raise that one",
		Verify: "hold Socket.IO sessions with --socketio-transports polling: no poll is refused with code 1"}
	if held := s.Socket; held != nil && held.PingInterval >= wait {
		f.Evidence = append(f.Evidence, FindingEvidence{Source: "session", Field: "pingInterval", Value: held.PingInterval.String(), Text: "of the handshake: nothing is said for that long"})
	}
	return f, true
}

// near reports whether a silence is that of a timer: timers of proxies are
// late by up to a second or two, and hardly early.
func near(silent, timer time.Duration) bool { return silent > timer-alike && silent < timer+alike }

// usualCut names who is known to cut after such a time, as a hint; "" for
// nobody (kubernetes/ingress-nginx#2917, #5539, #5830).
func usualCut(d time.Duration) string {
	for _, known := range []struct {
		at  time.Duration
		who string
	}{
		{60 * time.Second, "60 s is nginx's proxy_read_timeout and an AWS load balancer's idle timeout by default"},
		{100 * time.Second, "100 s is Cloudflare's idle timeout"},
		{240 * time.Second, "4 min is an Azure load balancer's idle timeout by default"},
		{350 * time.Second, "350 s is an AWS NLB's idle timeout"},
		{900 * time.Second, "15 min has been seen of load balancers in front of ingress-nginx"},
	} {
		if near(d, known.at) {
			return known.who
		}
	}
	return ""
}

// massCut is I06: many connections cut at once, four minutes after an Ingress
// changed, behind a controller that keeps old workers for that long.
func (st *State) massCut(s *session, now time.Time) {
	if len(st.cuts) >= maxCuts {
		st.cuts = slices.Clone(st.cuts[maxCuts/2:])
	}
	st.cuts = append(st.cuts, cut{now, s.Socket.Ended.Silent, s.Spec.ID, s.Spec.Route})
	if c := st.policy(s.Spec.Route).Controller; c != "ingress-nginx" && c != "" {
		return
	}
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
			Title:  fmt.Sprintf("%d or more connections were cut at once, %s after an Ingress changed", massCuts, shortDuration(gap)),
			Impact: "every change of any Ingress drops all WebSockets of the workers before it, and their clients reconnect together",
			Evidence: []FindingEvidence{{Source: "session", Field: "cut at", Value: now.UTC().Format(time.RFC3339)},
				{Source: "object", Field: "changed at", Value: h.At.UTC().Format(time.RFC3339), Text: h.Text}},
			Fix:    "raise worker-shutdown-timeout (240s by default) in the controller's ConfigMap to the length of a session, and batch changes of Ingresses",
			Verify: "change an annotation and hold WebSockets for five minutes: none is cut", objectsMend: true}, proof{pod: s.Pod}, now)
		return
	}
}
