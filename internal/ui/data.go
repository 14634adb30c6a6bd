package ui

import (
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// data is what every panel draws from: one snapshot, one instant, and what
// was computed from them. Panels read it; the model alone writes it.
type data struct {
	opt   *Options
	snap  *affinity.Snapshot
	now   time.Time
	clock clockFormat
	class class

	sum   summary
	hist  history
	rev   uint64                     // grows with each snapshot or instant
	index map[affinity.SessionID]int // into snap.Sessions
	born  uint64                     // rev since which the index holds
	scope []affinity.Route           // that the screen is about
	focus int                        // index into scope, of Topo and Pods

	target affinity.Target // chosen on screen, or on the command line
	mutes  mutes

	revealed affinity.SessionID // whose cookie is shown
	revealTo time.Time          // until when
}

// adopt computes everything that depends on the snapshot.
func (d *data) adopt(snap *affinity.Snapshot, now time.Time) {
	d.snap, d.now = snap, now
	d.rev++
	d.reindex()
	d.setScope()
	d.sum = summarize(d)
	d.hist = d.hist.collect(snap, now)
}

// reindex finds the sessions by ID. They stay where they are in the snapshots
// of a run, so most of the time there is nothing to do.
func (d *data) reindex() {
	same := len(d.index) == len(d.snap.Sessions) && d.index != nil
	for i, s := range d.snap.Sessions {
		if !same {
			break
		}
		at, ok := d.index[s.Spec.ID]
		same = ok && at == i
	}
	if same {
		return
	}
	d.index, d.born = make(map[affinity.SessionID]int, len(d.snap.Sessions)), d.rev
	for i, s := range d.snap.Sessions {
		d.index[s.Spec.ID] = i
	}
}

// session returns the session of that ID, or nil.
func (d *data) session(id affinity.SessionID) *affinity.Session {
	if i, ok := d.index[id]; ok {
		return d.snap.Sessions[i]
	}
	return nil
}

// setScope finds the routes that the screen is about: those with sessions,
// else those the user named or, where nothing was, all.
func (d *data) setScope() {
	was := d.route().ID
	probed := map[affinity.RouteID]bool{}
	for _, s := range d.snap.Sessions {
		if s.ClosedAt.IsZero() {
			probed[s.Spec.Route] = true
		}
	}
	var named, all []affinity.Route
	d.scope = nil
	for _, r := range d.snap.Routes {
		all = append(all, r)
		if probed[r.ID] {
			d.scope = append(d.scope, r)
		}
		if !d.target.IsZero() && d.target.Matches(r) {
			named = append(named, r)
		}
	}
	if len(d.scope) == 0 {
		d.scope = named
	}
	if len(d.scope) == 0 && d.target.IsZero() {
		d.scope = all
	}
	d.focus = max(0, slices.IndexFunc(d.scope, func(r affinity.Route) bool { return r.ID == was }))
}

// lost reports whether nothing leads to what the user named, as far as all that
// is watched tells.
func (d *data) lost() bool {
	state, _ := d.snap.Health()
	return len(d.scope) == 0 && !d.target.IsZero() && state != affinity.SourceSyncing && !d.silent()
}

// route returns the route in focus; its zero value when there is none.
func (d *data) route() affinity.Route {
	if d.focus < len(d.scope) {
		return d.scope[d.focus]
	}
	return affinity.Route{}
}

// scopeIDs returns the IDs of the routes in scope.
func (d *data) scopeIDs() []affinity.RouteID {
	ids := make([]affinity.RouteID, len(d.scope))
	for i, r := range d.scope {
		ids[i] = r.ID
	}
	return ids
}

// stale reports whether the cluster's side of the screen is out of date, and
// since when.
func (d *data) stale() (since time.Time, ok bool) {
	state, since := d.snap.Health()
	return since, state == affinity.SourceStale
}

func (d *data) isStale() bool {
	_, ok := d.stale()
	return ok
}

// silent reports whether nothing has said anything yet.
func (d *data) silent() bool { return len(d.snap.Sources) == 0 && len(d.snap.Routes) == 0 }

// unread reports whether a resource may not be read.
func (d *data) unread(name string) bool {
	return slices.ContainsFunc(d.snap.Sources, func(s affinity.SourceStatus) bool {
		return s.Name == name && s.State == affinity.SourceForbidden
	})
}

// sources returns the sources of objects that are in one of the given states.
func (d *data) sources(states ...affinity.SourceState) []affinity.SourceStatus {
	var out []affinity.SourceStatus
	for _, s := range d.snap.Sources {
		if slices.Contains(states, s.State) && s.OfObjects() {
			out = append(out, s)
		}
	}
	return out
}

// shows reports whether the cookie of a session may be shown now.
func (d *data) shows(id affinity.SessionID) bool {
	return id != "" && d.revealed == id && d.now.Before(d.revealTo)
}

// secret prints a cookie value of a session, masked unless revealed.
func (d *data) secret(id affinity.SessionID, v affinity.Secret) string {
	if d.shows(id) {
		return affinity.Clean(v.Reveal(), 4096)
	}
	return v.Mask()
}

// keptCookies are the cookies of s of which one may be for affinity, as a
// request sends them, masked or not; "" for none.
func (d *data) keptCookies(s *affinity.Session) string {
	var out []string
	for _, c := range s.Kept {
		out = append(out, affinity.Clean(c.Name, 60)+"="+d.secret(s.Spec.ID, c.Value))
	}
	return strings.Join(out, "; ")
}

// podLabel is a pod as the screens name it in little room: "A 2xkqp".
func (d *data) podLabel(ref affinity.PodRef) string {
	if p, ok := d.snap.Pod(ref); ok && p.Tag != "" {
		return p.Tag + " " + ref.Short()
	}
	return ref.Short()
}

// ingressLabel is the short name of a route's object: "ing msgapp".
func ingressLabel(r affinity.Route) string {
	switch r.Kind {
	case affinity.RouteIngress:
		return "ing " + r.Name
	case affinity.RouteURL:
		return r.URL
	case "":
		return ""
	}
	return strings.ToLower(r.Kind) + " " + r.Name
}

// controllerName is the controller of a route, as far as is known.
func controllerName(r affinity.Route) string {
	if l, ok := r.Layer(affinity.LayerIngress); ok {
		if p := l.Policy(); p.Controller != "" {
			if !l.Settled() {
				return p.Controller + "?"
			}
			return p.Controller
		}
	}
	if r.Class == "" {
		return ""
	}
	return "class " + r.Class
}

// compared is the verdict of the comparison of clients or transports on the route
// in focus, or else on the first route that has one; its text is empty without.
func (d *data) compared() run {
	var found *affinity.Comparison
	for i := range d.snap.Comparisons {
		c := &d.snap.Comparisons[i]
		if c.Route == d.route().ID {
			found = c
			break
		}
		if found == nil && slices.ContainsFunc(d.scope, func(r affinity.Route) bool { return r.ID == c.Route }) {
			found = c
		}
	}
	if found == nil {
		return run{}
	}
	text := found.Verdict
	if found.Route != d.route().ID {
		text = string(found.Route) + ": " + text
	}
	switch found.Result {
	case affinity.CompareDiffers, affinity.CompareNone:
		return run{warn, "▲ " + text}
	case affinity.CompareSame:
		return run{plain, "● " + text}
	}
	return run{plain, text}
}
