package affinity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// More client models. Those with a number are written MODEL=NUMBER.
const (
	ClientCrossSite ClientModel = "browser-cross-site" // a page of another site: SameSite and credentialed CORS decide
	ClientWSOnly    ClientModel = "ws-only"            // Socket.IO by WebSocket alone, which needs no affinity
	ClientTabs      ClientModel = "tabs"               // tabs=N: N sessions share one jar
	ClientReload    ClientModel = "reload"             // reload=30s or reload=20: the jar is kept, the session begins anew
)

// Bounds of the numbers.
const (
	MaxTabs     = 50
	minReload   = time.Second
	minRequests = 3
	dfltTabs    = 3
	dfltReload  = 10 * time.Second
)

// ClientWords are the client models as users may write them, those with a
// number with their usual one.
func ClientWords() []string {
	return []string{string(ClientBrowser), string(ClientCrossSite), string(ClientNoJar), string(ClientWSOnly),
		fmt.Sprintf("%s=%d", ClientTabs, dfltTabs), fmt.Sprintf("%s=%s", ClientReload, dfltReload)}
}

// ParseClient reads a client model as users write it.
func ParseClient(text string) (ClientModel, error) {
	name, number, numbered := strings.Cut(text, "=")
	m := ClientModel(text)
	switch kind := ClientModel(name); {
	case !numbered && (kind == ClientBrowser || kind == ClientNoJar || kind == ClientCrossSite || kind == ClientWSOnly):
		return m, nil
	case kind == ClientTabs && !numbered:
		return ClientModel(fmt.Sprintf("%s=%d", ClientTabs, dfltTabs)), nil
	case kind == ClientTabs:
		if n, err := strconv.Atoi(number); err != nil || n < 2 || n > MaxTabs {
			return "", fmt.Errorf("%q: tabs=N, N from 2 to %d", Clean(text, 40), MaxTabs)
		}
		return m, nil
	case kind == ClientReload && !numbered:
		return ClientModel(fmt.Sprintf("%s=%s", ClientReload, dfltReload)), nil
	case kind == ClientReload:
		if _, every := m.Reload(); every >= minReload {
			return m, nil
		} else if n, _ := m.Reload(); n >= minRequests {
			return m, nil
		}
		return "", fmt.Errorf("%q: reload=DURATION of at least %s, or reload=REQUESTS of at least %d", Clean(text, 40), minReload, minRequests)
	}
	return "", fmt.Errorf("%q: use browser, browser-cross-site, no-jar, ws-only, tabs=N or reload=DURATION|REQUESTS", Clean(text, 40))
}

// Kind is m without its number.
func (m ClientModel) Kind() ClientModel {
	name, _, _ := strings.Cut(string(m), "=")
	return ClientModel(name)
}

// Tabs is how many sessions share a jar: 1 for all but tabs.
func (m ClientModel) Tabs() int {
	if m.Kind() != ClientTabs {
		return 1
	}
	_, number, _ := strings.Cut(string(m), "=")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 1
	}
	return min(max(n, 1), MaxTabs)
}

// Reload is after how many requests, or how long, a session begins anew; both
// are zero for all but reload.
func (m ClientModel) Reload() (requests int, every time.Duration) {
	if m.Kind() != ClientReload {
		return 0, 0
	}
	_, number, _ := strings.Cut(string(m), "=")
	if n, err := strconv.Atoi(number); err == nil {
		return max(n, 0), 0
	}
	d, err := time.ParseDuration(number)
	if err != nil {
		return 0, 0
	}
	return 0, max(d, 0)
}

// Speaks reports whether clients of model m hold sessions of a transport, by
// its name.
func (m ClientModel) Speaks(transport string) bool {
	switch m.Kind() {
	case ClientWSOnly:
		return transport == "socketio"
	case ClientReload: // of what is held; a WebSocket is one request
		requests, _ := m.Reload()
		return transport == "socketio" || transport == "ws" && requests == 0
	}
	return true
}

// KeepsCookies reports whether m has a jar at all.
func (m ClientModel) KeepsCookies() bool { return m != ClientNoJar }

// CookieShared tells that a session has a cookie that another tab of its
// browser was given.
type CookieShared struct {
	Session SessionID
	From    SessionID
	Offer   Offer
}

func (CookieShared) event() {}

func (st *State) shareCookie(e CookieShared, now time.Time) {
	s, ok := st.sessions[e.Session]
	if !ok {
		return
	}
	last, held, format := s.offeredLast, s.held, s.format
	st.takeOffers(s, Observed{Offers: []Offer{e.Offer}}, now)
	s.offeredLast, s.held, s.format = last, held, format
	st.decodePin(s, time.Time{})
	st.judge(s)
}

// thrown reads a cookie that the client does not send back. It is as good as
// another to tell who issues it, and which pod the proxy chose for this answer.
func (st *State) thrown(s *session, o Observed, offer Offer, now time.Time) {
	r := st.routes[s.Spec.Route]
	if r == nil || offer.Deletes || BadStatus(o.Status) {
		return
	}
	d, _ := st.decode(r, Pin{Layer: MechanismCookie, Key: offer.Name, Value: offer.Value, Since: now, Offer: offer})
	if !d.Hit() || d.Gone {
		return
	}
	v := visit{pod: d.pod(r), version: st.version(s)}
	s.given[1], s.given[0] = s.given[0], v
	if old := s.given[1]; !old.pod.IsZero() && old.pod != v.pod && old.version == v.version {
		s.Rechosen++
	}
}

// judgeModels is B07 as a comparison: clients that keep cookies stay on one
// pod where one that does not, and speaks the same, is sent to several,
// endpoints unchanged.
func (st *State) judgeModels(s *session, now time.Time) {
	key := foundKey{rule: "B07", route: s.Spec.Route}
	if f, had := st.found[key]; had && f.Certainty == CertaintyExact || s.Spec.Client.KeepsCookies() || !s.offered {
		return
	}
	first, second, spoke := s.recent[0], s.recent[1], true
	if first.pod.IsZero() {
		first, second, spoke = s.given[0], s.given[1], false
	}
	if first.pod.IsZero() || second.pod.IsZero() || first.pod == second.pod || first.version != second.version {
		return
	}
	for _, id := range st.order {
		keeper := st.sessions[id]
		if keeper.Spec.Route != s.Spec.Route || keeper.Spec.Transport != s.Spec.Transport || !keeper.Spec.Client.KeepsCookies() || !keeper.stays(first.version) {
			continue
		}
		certainty := CertaintyExact
		stays := fmt.Sprintf("%s (%s) stays on %s", keeper.Spec.ID, keeper.Spec.Client, st.podLabel(keeper.Pod))
		wanders := fmt.Sprintf("%s (%s) was answered by %s, then by %s: it was offered a cookie and keeps none", s.Spec.ID, s.Spec.Client,
			st.podLabel(second.pod), st.podLabel(first.pod))
		if !keeper.Via.answers() {
			certainty = CertaintyLikely
			stays = fmt.Sprintf("the cookie of %s (%s) names %s with every answer", keeper.Spec.ID, keeper.Spec.Client, st.podLabel(keeper.Pod))
		}
		if !spoke {
			certainty = CertaintyLikely
			wanders = fmt.Sprintf("%s (%s) was given a cookie of %s, then one of %s: it keeps none", s.Spec.ID, s.Spec.Client, st.podLabel(second.pod), st.podLabel(first.pod))
		}
		st.find(Finding{Rule: "B07", Severity: SeverityHigh, Certainty: certainty, Route: s.Spec.Route, Session: s.Spec.ID,
			Title:  "sticky only for cookie-keeping clients",
			Impact: "browsers stay on one pod; clients without a cookie jar (Node, mobile, load generators) change pods between requests",
			Evidence: []FindingEvidence{
				{Source: "session", Text: stays}, {Source: "session", Text: wanders}},
			Fix:    "let the client keep cookies and send them back, or do not rely on affinity for it",
			Verify: "compare again with --compare: both models stay on one pod"}, proof{}, now)
		return
	}
}

// stays reports whether s was answered by one pod each time, thrice at least,
// while the endpoints were those of version.
func (s *session) stays(version uint64) bool {
	const least = 3
	n := slices.IndexFunc(s.recent[:], func(v visit) bool { return v.pod != s.Pod || v.version != version })
	if n < 0 {
		n = len(s.recent)
	}
	return n >= least && s.InARow == 0 && (n == len(s.recent) || s.recent[n].pod.IsZero() || s.recent[n].version != version)
}

// preflighted is the pod that answered a preflight. It carries no cookie, so
// where it went says nothing of where the session is.
func (st *State) preflighted(s *session, o Observed) (PodRef, Source) {
	k := known{open: true}
	if b := st.backendOf(s); b != nil {
		k = b.known
	}
	for _, c := range identify(o.Answer, k, st.Hints) {
		st.named(c.pod)
		return c.pod, c.source
	}
	return PodRef{}, SourceNone
}

// KindSummary is what the sessions of one kind on one route came to.
type KindSummary struct {
	Route RouteID
	SessionKind
	Sessions int
	Held     int // one pod with every answer, or moved for a reason that was seen
	Wander   int // answered by several pods, and nothing that was seen made it so
	Broken   int // the last request failed
	Unknown  int // nothing names the pods that answered
	Requests int
	Failures int
	Moves    int
	Unheld   int // changes of pod that nothing held
	Once     int // of Held: answered once, so that nothing could have moved them
}

// compareKinds sums the sessions up by route and kind, in the order of routes
// and of the first session of each kind.
func compareKinds(sessions []*Session) []KindSummary {
	var all []KindSummary
	for _, x := range sessions {
		kind := SessionKind{x.Spec.Transport, x.Spec.Client}
		i := slices.IndexFunc(all, func(m KindSummary) bool { return m.Route == x.Spec.Route && m.SessionKind == kind })
		if i < 0 {
			i = len(all)
			all = append(all, KindSummary{Route: x.Spec.Route, SessionKind: kind})
		}
		all[i].add(x)
	}
	slices.SortStableFunc(all, func(a, b KindSummary) int { return strings.Compare(string(a.Route), string(b.Route)) })
	return all
}

func (m *KindSummary) add(x *Session) {
	m.Sessions++
	m.Requests += x.Requests
	m.Failures += x.Failures
	m.Moves += x.MoveCount
	m.Unheld += x.UnheldCount
	upgrade, _ := x.Leg(LegUpgrade)
	switch {
	case x.InARow > 0:
		m.Broken++
	case upgrade.Failure != "" && !upgrade.Pod.IsZero() && upgrade.Pod != x.Pod:
		m.Wander++ // polls on one pod, and its WebSocket was sent to another
	case x.Pod.IsZero() || x.Via == SourceNone:
		if x.Rechosen > 0 {
			m.Wander++
		} else {
			m.Unknown++
		}
	case x.MoveCount+x.UnheldCount == 0 || x.base == Stuck && !slices.ContainsFunc(x.Moves, func(v Move) bool { return !v.Explained() }):
		m.Held++
		if x.Requests-x.Failures < 2 {
			m.Once++
		}
	default:
		m.Wander++
	}
}
