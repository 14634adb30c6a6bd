package affinity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// judge works out what a session's history amounts to, but for what depends on
// the time.
func (st *State) judge(s *session) {
	s.touch()
	s.Split = nil
	s.base, s.detail = st.verdict(s)
	if why := s.NoWebSocket(); why != "" && s.base != Closed && s.base != Failing {
		s.detail = strings.TrimPrefix(s.detail+"; it got no WebSocket and goes on polling: "+why, "; ")
	}
}

func (st *State) verdict(s *session) (Condition, string) {
	if !s.ClosedAt.IsZero() {
		return Closed, s.CloseWhy
	}
	if s.Requests == 0 {
		if s.AwaitingStep != "" {
			return Waiting, "waits for " + s.AwaitingStep + ", since " + s.Awaiting.UTC().Format("15:04:05Z")
		}
		return Waiting, ""
	}
	if why := st.orphaned(s); why != "" {
		return Orphan, why
	}
	if s.InARow > 0 {
		if sent := st.sentText(s); sent != "" {
			return Failing, s.LastFailure.Text + "; " + sent
		}
		return Failing, s.LastFailure.Text
	}
	if s.StatusNote != "" && s.LastStatus >= 500 {
		return Failing, s.StatusNote
	}
	if held := s.Socket; s.Spec.Transport == "ws" && held != nil && held.Ended == nil && !held.Joined {
		return Waiting, held.Note
	}
	if s.Pin == nil && st.wantsCookie(s) {
		switch {
		case s.notReturned != "":
			return NotReturned, s.notReturned
		case s.expired:
			return Expired, s.dropped
		case s.dropped != "":
			return Cookieless, s.dropped
		}
		return Cookieless, st.cookielessDetail(s)
	}
	if pods := s.split(); pods != nil {
		s.Split = pods
		same := "same cookie, "
		if len(s.aside) > 0 {
			same = "same cookies, "
		}
		return Split, same + st.tagList(pods) + " in turn, endpoints unchanged"
	}
	if s.Via == SourceNone && s.sideless {
		return Unknown, "cookies of several Services are held, and the last answer does not tell which of them gave it"
	}
	if s.Pod.IsZero() || s.Via == SourceNone {
		if !s.Pod.IsZero() {
			return Unknown, "the last answer names no pod; " + st.podLabel(s.Pod) + " was named last at " + s.answered.UTC().Format("15:04:05Z")
		}
		if s.Spec.Transport == "tcp" {
			return Unknown, "a TCP connection names no pod; --kernel reads which one the node has tied it to"
		}
		return Unknown, "no header, body or decodable cookie names the pod"
	}
	return Stuck, st.held(s)
}

// stay is what was seen of the pod that has a session, since it has it.
type stay struct {
	pod   PodRef
	since time.Time
	spoke bool // an answer named it
	mute  bool // a request failed, or its answer named nobody
	via   Source
	cuts  int // held connections that ended unasked
}

// held says how s is known to be on its pod, and since when.
func (st *State) held(s *session) string {
	now := stay{s.Pod, s.PodSince, s.spoke > 0, s.mute > 0, s.Via, s.CutCount}
	if now == s.stay {
		return s.stayText
	}
	pod, since := st.podLabel(s.Pod), " since "+s.PodSince.UTC().Format("15:04:05Z")
	switch {
	case !now.spoke && now.via == SourceKernel:
		s.stayText = "the node's tables have tied it to " + pod + since + "; no answer has named a pod"
	case !now.spoke:
		s.stayText = "the cookie has named " + pod + since + "; no answer has named a pod"
	case now.mute:
		s.stayText = pod + " gave every answer that names a pod" + since + "; others failed or name none"
	default:
		s.stayText = pod + " answered every request" + since
	}
	if end := s.LastEnd; now.cuts > 0 && end != nil && end.Failed != nil {
		cuts := "its connection ended unasked at "
		if now.cuts > 1 {
			cuts = fmt.Sprintf("%d connections ended unasked, the last at ", now.cuts)
		}
		s.stayText += "; " + cuts + end.At.UTC().Format("15:04:05Z") + ": " + end.Text
	}
	s.stay = now
	return s.stayText
}

// wantsCookie reports whether a cookie is what would hold the session: always,
// but where ClientIP decides, or where an unknown controller set cookies of
// which any may be the one.
func (st *State) wantsCookie(s *session) bool {
	switch st.policy(s.Spec.Route).Mechanism {
	case MechanismClientIP:
		return false
	case MechanismUnknown:
		return !s.cookies
	}
	return true
}

func (st *State) cookielessDetail(s *session) string {
	p := st.policy(s.Spec.Route)
	r := st.routes[s.Spec.Route]
	switch {
	case s.side != (ServiceRef{}) && !slices.ContainsFunc(st.cookieNames(r), func(name string) bool { return st.holds(r, name, s.side) }):
		return "svc/" + s.side.Name + ", which answered, has no affinity cookie"
	case p.Mechanism == MechanismCookie && p.Cookie.Name == "":
		if others := s.keptNames(); others != "" {
			return "no cookie of a known format was offered; it holds " + others + ": if that keeps it on its pod, name it with --cookie"
		}
		if s.unkept != "" {
			return "no cookie of a known format was offered; " + s.unkept
		}
		return "no cookie of a known format was offered"
	case p.Mechanism == MechanismCookie:
		return "no Set-Cookie for " + p.Cookie.Name + ", though it is configured"
	case p.Mechanism == MechanismUnknown:
		return "no cookie at all was offered; the controller's configuration is not read"
	}
	return "no affinity is configured on this path"
}

// keptNames are the cookies that the session holds and that are no affinity
// cookie as far as is known.
func (s *session) keptNames() string {
	names := make([]string, 0, maxNamed)
	for _, k := range s.kept[:min(len(s.kept), maxNamed)] {
		names = append(names, Clean(k.offer.Name, 40))
	}
	return strings.Join(names, ", ")
}

// sentNames are the names of cookies that went out.
func sentNames(sent []Sent) string {
	names := make([]string, 0, maxNamed)
	for _, c := range sent[:min(len(sent), maxNamed)] {
		names = append(names, Clean(c.Name, 40))
	}
	text := strings.Join(names, ", ")
	if more := len(sent) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// nameless reports whether nothing says what the affinity cookie of a route, if
// it has one, is called: any may be it.
func (st *State) nameless(route RouteID) bool {
	p := st.policy(route)
	return p.Mechanism == MechanismUnknown || p.Mechanism == MechanismCookie && p.Cookie.Name == ""
}

// noteKept brings s.Kept up to date, after an answer that offered cookies or
// one that did not.
func (st *State) noteKept(s *session, offered bool) {
	switch {
	case s.Pin != nil || len(s.kept) == 0 || !st.nameless(s.Spec.Route):
		s.Kept = nil
	case offered || s.Kept == nil:
		s.Kept = make([]Sent, len(s.kept)) // snapshots share the old one
		for i, k := range s.kept {
			s.Kept[i] = Sent{Name: k.offer.Name, Value: k.offer.Value}
		}
	}
}

func (st *State) tagList(pods []PodRef) string {
	tags := make([]string, len(pods))
	for i, p := range pods {
		tags[i] = st.tag(p)
	}
	return strings.Join(tags, " and ")
}

// split returns the pods of a SPLIT, most recent first, or nil.
func (s *session) split() []PodRef {
	first := &s.recent[0]
	if first.cookie == "" {
		return nil
	}
	n, changes := 0, 0
	for ; n < len(s.recent); n++ {
		v := &s.recent[n]
		if v.pod.IsZero() || v.cookie != first.cookie || v.version != first.version {
			break
		}
		if n > 0 && v.pod != s.recent[n-1].pod {
			changes++
		}
	}
	if changes < splitMin {
		return nil
	}
	var pods []PodRef
	for i := range s.recent[:n] {
		if pod := s.recent[i].pod; !slices.Contains(pods, pod) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// orphaned says why the pod that holds s cannot answer it any more, as far as
// the EndpointSlices tell; "" when it can, or when they are not known.
func (st *State) orphaned(s *session) string {
	b := st.backendOf(s)
	if b == nil || s.Pod.IsZero() || s.Pin == nil && st.wantsCookie(s) {
		return ""
	}
	policy := st.policy(s.Spec.Route)
	for _, x := range st.places[s.Spec.Route] {
		b := st.backends[x.backend.Service]
		if b != nil && slices.ContainsFunc(b.all, func(e Endpoint) bool {
			return endpointPod(x.backend.Service, e) == s.Pod && (e.Usable(*policy) || x.object != "" && !x.branch)
		}) {
			return ""
		}
	}
	if _, its, ok := st.placeOf(s, s.Pod); ok {
		b = its
	}
	why := st.podLabel(s.Pod) + " is gone from the endpoints: " + st.whyLeft(s.Pod, b)
	for i := len(b.changes) - 1; i >= 0; i-- {
		if _, ok := b.changes[i].left[s.Pod]; ok {
			if s.Via.answers() && s.answered.After(b.changes[i].at) {
				why += "; yet it has answered since"
			}
			break
		}
	}
	if pod, _ := st.decodedPod(s); !pod.IsZero() && pod != s.Pod {
		why += "; the cookie now decodes to " + st.podLabel(pod)
	}
	if s.InARow > 0 && s.LastFailure != nil {
		why += fmt.Sprintf("; %d in a row failed: %s", s.InARow, s.LastFailure.Text)
		if sent := st.sentText(s); sent != "" {
			why += "; " + sent
		}
	}
	return why
}

// disagreement says how the latest words of the sources contradict each other.
// Only sources that spoke since the last answer that counts are compared.
func (st *State) disagreement(s *session) string {
	var said []Evidence
	for _, e := range s.Evidence {
		if !e.Pod.IsZero() && !e.At.Before(s.answered) {
			said = append(said, e)
		}
	}
	for i := 1; i < len(said); i++ {
		if said[i].Pod != said[0].Pod {
			return fmt.Sprintf("%s says %s, %s says %s", said[0].Source, st.podLabel(said[0].Pod), said[i].Source, st.podLabel(said[i].Pod))
		}
	}
	if s.doubled && s.Via == SourceCookie && s.Pin != nil {
		return "two cookies " + s.Pin.Key + " of different values are sent; which one the proxy reads is not known"
	}
	return ""
}

// timers lists what will end the session, each with its source.
func (st *State) timers(s *session) []Timer {
	var timers []Timer
	if s.Pin != nil && s.Pin.Layer == MechanismCookie {
		t := Timer{Letter: 'C', Name: "cookie " + s.Pin.Key, Renewal: s.Pin.Renewal, Deadline: s.Pin.Expires, Seen: true, Detail: "Set-Cookie as received"}
		if !s.Pin.Expires.IsZero() {
			t.Total = s.Pin.Expires.Sub(s.Pin.Since).Round(time.Second) // the answer is folded a little after the client took it
		} else {
			t.Detail = "no Max-Age, no Expires: ends with the browser"
		}
		timers = append(timers, t)
	}
	for _, p := range s.aside {
		if r := st.routes[s.Spec.Route]; r != nil && !p.Expires.IsZero() && st.level(r, p.Key) != nil {
			timers = append(timers, Timer{Letter: 'C', Name: "cookie " + p.Key, Renewal: RenewalAbsolute, Deadline: p.Expires,
				Total: p.Expires.Sub(p.Since).Round(time.Second), Seen: true, Detail: "Set-Cookie as received; it holds the Service, not the pod"})
		}
	}
	if p, ok := st.pods[s.Pod]; ok && p.Terminating() && p.Gone.IsZero() {
		timers = append(timers, Timer{Letter: 'D', Name: "drain of pod " + st.podLabel(p.Ref), Renewal: RenewalAbsolute, Deadline: p.Deletion,
			Total: p.Grace, Seen: true, Detail: "deletionTimestamp of the pod"})
	}
	if r := st.routes[s.Spec.Route]; r != nil {
		if l, ok := r.Layer(LayerService); ok && l.Policy().Mechanism == MechanismClientIP {
			t := Timer{Letter: 'I', Name: "ClientIP " + seconds(l.Policy().Timeout), Renewal: l.Policy().Renewal,
				Total: l.Policy().Timeout, Bypassed: l.Bypassed, Detail: l.Policy().Why}
			if p := st.pinOf(s); p != nil {
				t.Name, t.Renewal, t.Deadline, t.Total = "ClientIP on "+p.Node+" ("+p.Source.String()+")", p.Renewal, p.Expires, p.Timeout
				t.Seen, t.Detail = p.Source == DeadlineKernel, cmp.Or(p.Note, "restarted by each new connection from "+p.Client.String())
			}
			timers = append(timers, t)
		}
	}
	return append(timers, st.socketTimers(s)...)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d/time.Second)) }

// refold re-reads the cookies of every session on a Service whose endpoints
// changed, and looks again for what explains their last moves.
func (st *State) refold(ref ServiceRef, now time.Time) {
	for _, id := range st.order {
		s := st.sessions[id]
		if !st.reaches(s.Spec.Route, ref) {
			continue
		}
		st.decodePin(s, time.Time{})
		st.explainAgain(s, now)
		st.judge(s)
	}
}

// refoldPod does the same for the sessions that one pod holds or held.
func (st *State) refoldPod(ref PodRef, now time.Time) {
	for _, id := range st.order {
		s := st.sessions[id]
		if m, ok := s.LastMove(); s.Pod == ref || ok && m.From == ref {
			st.explainAgain(s, now)
			st.judge(s)
		}
	}
}
