package affinity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// How long a pod that is gone stays known, for the pins that name it, and how
// many endpoints of one Service do.
const (
	goneFor = time.Hour
	maxGone = 64
)

// backend is the endpoints of one Service.
type backend struct {
	version uint64
	all     []Endpoint
	gone    []Endpoint // newest first
	changes []change   // the last maxChanges
	known   known
}

// change is one difference between two endpoint sets of a Service, as an
// explanation for moves.
type change struct {
	from   time.Time // when it can have happened at the earliest: before at when the watch was stale
	at     time.Time
	seq    uint64            // of its Happening
	left   map[PodRef]string // and why, as of then, but for a restart that was told after it
	back   []PodRef          // those that joined
	ended  map[PodRef]bool   // of them, those that had not been ready before
	joined int
	before int // usable endpoints
	after  int
}

const maxChanges = 32

type tableKey struct {
	route     RouteID
	candidate int
	branch    int // of its Branches, or -1
}

type tableEntry struct {
	version uint64
	decoder Decoder
	table   Table
}

func (st *State) applyRoutes(e Routes, now time.Time) {
	for _, r := range st.bySource[e.Source] {
		delete(st.routes, r.ID)
	}
	st.bySource[e.Source] = e.Routes
	for i := range e.Routes {
		st.routes[e.Routes[i].ID] = &e.Routes[i]
	}
	st.routesVersion++
	st.findPlaces()
	clear(st.tables)
	clear(st.policies)
	st.views.routes = nil
	for _, id := range st.order {
		s := st.sessions[id]
		first := st.recall(s)
		st.decodePin(s, time.Time{})
		if first && s.ClosedAt.IsZero() {
			st.pinned(s, now)
		}
		st.judge(s)
	}
}

func (st *State) backend(ref ServiceRef) *backend {
	b, ok := st.backends[ref]
	if !ok {
		b = &backend{}
		st.backends[ref] = b
	}
	return b
}

func (st *State) applyEndpoints(e EndpointsChanged, now time.Time) {
	_, had := st.backends[e.Service]
	b := st.backend(e.Service)
	old := b.all
	b.all = slices.Clone(e.Endpoints)
	slices.SortFunc(b.all, func(x, y Endpoint) int { return strings.Compare(x.Addr+x.PortName, y.Addr+y.PortName) })
	if had && slices.Equal(old, b.all) {
		return
	}
	b.version++
	b.remember(old)
	st.indexBackend(e.Service, b)
	st.views.endpoints = nil
	if had {
		st.endpointsDiffer(e.Service, b, old, now)
	}
	if st.probed(e.Service) {
		st.tagEndpoints(b)
	}
	st.refold(e.Service, now)
	if had {
		st.reconsider(now, func(v verdict) bool {
			return st.reaches(v.Route, e.Service)
		})
	}
}

// remember keeps the endpoints of old that left, newest first.
func (b *backend) remember(old []Endpoint) {
	here := make(map[string]bool, len(b.all))
	for _, e := range b.all {
		here[e.Addr+"/"+e.PortName] = true
	}
	var gone []Endpoint
	for _, e := range old {
		if !here[e.Addr+"/"+e.PortName] {
			gone = append(gone, e)
		}
	}
	for _, e := range b.gone {
		if len(gone) < maxGone && !here[e.Addr+"/"+e.PortName] {
			gone = append(gone, e)
		}
	}
	b.gone = gone
}

// indexBackend builds what the text of a response is matched against: the
// backend's own endpoints, gone ones included. Other pods' addresses appear in
// responses too (an ingress pod as the client), so they name nobody here.
func (st *State) indexBackend(ref ServiceRef, b *backend) {
	b.known = known{names: map[string]PodRef{}, addrs: map[string]PodRef{}}
	for _, list := range [][]Endpoint{b.gone, b.all} {
		for _, e := range list {
			pod := e.Pod
			if pod.IsZero() {
				pod = PodRef{Namespace: ref.Namespace, Name: e.IP}
			}
			b.known.names[pod.Name] = pod
			b.known.addrs[e.Addr] = pod
			b.known.addrs[e.IP] = pod
		}
	}
	b.known.shortest = shortest(b.known.names, b.known.addrs)
}

// shortest is the least length of a key of maps, or 0 when there is none.
func shortest(maps ...map[string]PodRef) int {
	least := 0
	for _, m := range maps {
		for key := range m {
			if key != "" && (least == 0 || len(key) < least) {
				least = len(key)
			}
		}
	}
	return least
}

// endpointPod is the pod of e; one that the slice does not name goes by its
// address.
func endpointPod(ref ServiceRef, e Endpoint) PodRef {
	if e.Pod.IsZero() {
		return PodRef{Namespace: ref.Namespace, Name: e.IP}
	}
	return e.Pod
}

// endpointsDiffer puts a change of the set of ready endpoints on the timeline
// and keeps it as an explanation.
func (st *State) endpointsDiffer(ref ServiceRef, b *backend, old []Endpoint, now time.Time) {
	was, is := readyPods(ref, old), readyPods(ref, b.all)
	var gone, come []string
	c := change{from: now, at: now, left: map[PodRef]string{}, ended: map[PodRef]bool{}, before: len(was), after: len(is)}
	for pod := range was {
		if _, ok := is[pod]; !ok {
			c.left[pod] = st.whyLeft(pod, b)
			if p := st.pods[pod]; c.left[pod] == leftNotReady && !p.restartedAt.IsZero() && now.Sub(p.restartedAt) <= causeBefore {
				c.left[pod] = leftRestarted
			}
			gone = append(gone, st.podLabel(pod))
		}
	}
	for pod := range is {
		if _, ok := was[pod]; !ok {
			c.joined++
			c.back = append(c.back, pod)
			come = append(come, st.podLabel(pod))
		}
	}
	// An endpoint that was terminating and is now out of the slices was not
	// ready before either, yet it ends the pins of controllers that keep them.
	for _, e := range old {
		pod := endpointPod(ref, e)
		if _, ok := was[pod]; !ok && !slices.ContainsFunc(b.all, func(x Endpoint) bool { return endpointPod(ref, x) == pod }) {
			c.left[pod], c.ended[pod] = st.whyLeft(pod, b), true
		}
	}
	if len(c.left) == 0 && c.joined == 0 {
		return
	}
	if s, ok := st.sources["endpointslices"]; ok && s.State != SourceLive && !s.Since.IsZero() {
		c.from = s.Since
	}
	slices.Sort(gone)
	slices.Sort(come)
	if st.probed(ref) && len(gone)+len(come) > 0 {
		text := fmt.Sprintf("%s: %d→%d ready", ref.Name, c.before, c.after)
		if len(gone) > 0 {
			text += " −" + list(gone)
		}
		if len(come) > 0 {
			text += " +" + list(come)
		}
		c.seq = st.happen(Happening{At: now, Source: "k8s", Kind: "endpoints", Text: text, Level: LevelChange})
	}
	b.changes = append(b.changes, c)
	if len(b.changes) > maxChanges {
		b.changes = slices.Clone(b.changes[len(b.changes)-maxChanges:])
	}
}

// list joins at most four names.
func list(names []string) string {
	if len(names) > 4 {
		return strings.Join(names[:4], " ") + fmt.Sprintf(" and %d more", len(names)-4)
	}
	return strings.Join(names, " ")
}

func readyPods(ref ServiceRef, all []Endpoint) map[PodRef]bool {
	pods := map[PodRef]bool{}
	for _, e := range all {
		if e.Ready {
			pods[endpointPod(ref, e)] = true
		}
	}
	return pods
}

const (
	leftTerminating = "terminating"
	leftDeleted     = "deleted"
	leftNotReady    = "not ready"
	leftRestarted   = "restarted"
)

// leftByRestart says of a pod that has just restarted, and had left the ready
// endpoints shortly before, that this is why: its container had ended then.
func (st *State) leftByRestart(pod PodRef, now time.Time) {
	for _, b := range st.backends {
		for _, c := range b.changes {
			if c.left[pod] == leftNotReady && now.Sub(c.at) <= causeAfter {
				c.left[pod] = leftRestarted
			}
		}
	}
}

// whyLeft says why a pod is not among the ready endpoints any more.
func (st *State) whyLeft(pod PodRef, b *backend) string {
	p, ok := st.pods[pod]
	switch {
	case ok && !p.Gone.IsZero(), !ok && st.sources["pods"].State == SourceLive:
		return leftDeleted
	case ok && p.Terminating():
		return leftTerminating
	}
	for _, e := range b.all {
		if e.Pod == pod && e.Terminating {
			return leftTerminating
		}
		if e.Pod == pod && !e.Ready {
			return leftNotReady
		}
	}
	return "left the EndpointSlices"
}

func (st *State) applyPod(p Pod, now time.Time) {
	old, had := st.pods[p.Ref]
	p.Gone, p.Tag, p.Turns = time.Time{}, "", p.turns(old, had, now)
	p.restartedAt = old.restartedAt
	again := had && p.Created.Equal(old.Created) && p.Restarts > old.Restarts
	if again {
		p.restartedAt = now
		st.leftByRestart(p.Ref, now)
	}
	st.pods[p.Ref] = p
	st.views.pods = nil
	st.addresses.isHost(p)
	if had && old.Gone.IsZero() {
		st.podDiffers(old, p, now)
	}
	if _, tagged := st.tags[p.Ref]; tagged && (old.Deletion != p.Deletion || old.Ready != p.Ready || again || !had) {
		st.refoldPod(p.Ref, now)
	}
	if had && (old.Deletion != p.Deletion || old.Restarts != p.Restarts || old.Created != p.Created) {
		st.reconsider(now, func(v verdict) bool { return v.pod == p.Ref })
	}
}

// podDiffers puts what matters about a change on the timeline, for pods that
// sessions can land on.
func (st *State) podDiffers(old, p Pod, now time.Time) {
	if st.tags[p.Ref] == "" {
		return
	}
	h := Happening{At: now, Source: "k8s", Kind: "pod", Pod: p.Ref, Level: LevelChange}
	switch {
	case !old.Terminating() && p.Terminating():
		h.Text = fmt.Sprintf("pod %s terminating, grace %s", st.podLabel(p.Ref), p.Grace)
	case p.Restarts > old.Restarts:
		h.Text, h.Level = fmt.Sprintf("pod %s restarted (%d)", st.podLabel(p.Ref), p.Restarts), LevelWarning
	case old.Ready && !p.Ready && !p.Terminating():
		h.Text, h.Level = fmt.Sprintf("pod %s not ready", st.podLabel(p.Ref)), LevelWarning
	case !old.Ready && p.Ready:
		h.Text = fmt.Sprintf("pod %s ready", st.podLabel(p.Ref))
	case p.Reason != "" && p.Reason != old.Reason:
		h.Text, h.Level = fmt.Sprintf("pod %s %s", st.podLabel(p.Ref), p.Reason), LevelWarning
	default:
		return
	}
	st.happen(h)
}

func (st *State) applyPodGone(ref PodRef, now time.Time) {
	p, ok := st.pods[ref]
	if !ok || !p.Gone.IsZero() {
		return
	}
	if st.tags[ref] == "" {
		delete(st.pods, ref)
		st.views.pods = nil
		return
	}
	p.Gone, p.Ready = now, false
	st.pods[ref] = p
	st.views.pods = nil
	st.happen(Happening{At: now, Source: "k8s", Kind: "pod", Pod: ref, Level: LevelChange, Text: "pod " + st.podLabel(ref) + " is gone"})
	st.refoldPod(ref, now)
	st.podEnded(ref, now)
}

// forgetGone lets go of pods that ended long ago and hold nobody.
func (st *State) forgetGone(now time.Time) {
	held := map[PodRef]bool{}
	for ref, p := range st.pods {
		if p.Gone.IsZero() || now.Sub(p.Gone) < goneFor {
			continue
		}
		if len(held) == 0 {
			for _, s := range st.sessions {
				held[s.Pod] = true
			}
		}
		if !held[ref] {
			delete(st.pods, ref)
			st.views.pods = nil
		}
	}
}

func (st *State) applySource(s SourceStatus, now time.Time) {
	old, had := st.sources[s.Name]
	if s.Since.IsZero() {
		s.Since = now
		if had && old.State == s.State {
			s.Since = old.Since
		}
	}
	st.sources[s.Name] = s
	st.views.sources = nil
	if s.Name == "pods" && s.State != SourceSyncing {
		st.tieUntied()
	}
	if s.Name == IngressPodsSource {
		st.tellFound(st.judgeUnseen(now))
	}
	if !had || old.State == s.State {
		return
	}
	switch {
	case s.State == SourceStale:
		st.happenTogether(Happening{At: now, Source: "watch", Kind: "source", Level: LevelWarning}, "watch", s.Name, "lost: "+s.Detail)
	case s.State == SourceLive && old.State == SourceStale:
		st.happenTogether(Happening{At: now, Source: "watch", Kind: "source", Level: LevelChange}, "watch", s.Name, fmt.Sprintf("back after %s", now.Sub(old.Since).Round(time.Second)))
	case s.State == SourceForbidden:
		st.happen(Happening{At: now, Source: "watch", Kind: "source", Level: LevelWarning, Text: s.Name + " forbidden: " + s.Detail})
	}
}

func (st *State) applyClusterEvent(e ClusterEvent, now time.Time) {
	at := e.At
	if at.IsZero() {
		at = now
	}
	text := e.Subject + ": " + e.Text
	var seq uint64
	// One edit of an object with several routes comes once for each of them.
	if n := len(st.timeline) - 1; n >= 0 && st.timeline[n].Text == text && at.Sub(st.timeline[n].At) < together {
		seq = st.timeline[n].Seq
	} else {
		seq = st.happen(Happening{At: at, Source: "k8s", Kind: e.Kind, Route: e.Route, Text: text, Level: LevelChange})
	}
	if e.Route != "" {
		st.edits[e.Route] = edit{at: at, seq: seq, text: e.Subject + " edited: " + e.Text}
		st.edited(e.Route, now)
	}
}

// probed reports whether a session goes to the Service.
func (st *State) probed(ref ServiceRef) bool {
	for _, s := range st.sessions {
		if slices.ContainsFunc(st.places[s.Spec.Route], func(x place) bool { return (x.object == "" || x.branch) && x.backend.Service == ref }) {
			return true
		}
	}
	return false
}

// tagEndpoints gives every pod of a backend a letter, oldest first.
func (st *State) tagEndpoints(b *backend) {
	pods := map[PodRef]time.Time{}
	for _, e := range b.all {
		if !e.Pod.IsZero() && st.tags[e.Pod] == "" {
			pods[e.Pod] = st.pods[e.Pod].Created
		}
	}
	order := slices.SortedFunc(maps.Keys(pods), func(x, y PodRef) int {
		if c := pods[x].Compare(pods[y]); c != 0 {
			return c
		}
		return strings.Compare(x.String(), y.String())
	})
	for _, pod := range order {
		st.tag(pod)
	}
}

// tag returns the pod's letter, giving it the next one if it has none. Letters
// are never reused: A to Z, a to z, then AA, AB…
func (st *State) tag(pod PodRef) string {
	if pod.IsZero() {
		return ""
	}
	if t, ok := st.tags[pod]; ok {
		return t
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	n := len(st.tags)
	t := ""
	if n < len(letters) {
		t = letters[n : n+1]
	} else {
		n -= len(letters)
		t = string(letters[n/26%26]) + string(letters[n%26])
	}
	st.tags[pod] = t
	st.views.pods = nil
	return t
}

// podLabel is how a pod is named in a line of text.
func (st *State) podLabel(pod PodRef) string {
	if t := st.tags[pod]; t != "" {
		return t + " " + pod.Short()
	}
	return pod.Short()
}
