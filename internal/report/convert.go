package report

import (
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Options choose what goes into a report.
type Options struct {
	Routes    map[affinity.RouteID]bool // nil for all
	Reveal    bool                      // cookie values as they are
	Exchanges bool                      // every request, not only the sums
	Target    affinity.Target           // of findings: those that concern it
	All       bool                      // all namespaces were asked: findings name theirs
}

func (o Options) wants(id affinity.RouteID) bool { return o.Routes == nil || o.Routes[id] }

// Sessions lists the sessions of s as of its time.
func Sessions(s *affinity.Snapshot, o Options) *SessionList {
	list := newList[Session](s, "SessionList")
	for _, x := range s.Sessions {
		if o.wants(x.Spec.Route) {
			list.Items = append(list.Items, NewSession(s, x, o))
		}
	}
	list.Metadata.Comparisons = comparisons(s, o)
	return list
}

func comparisons(s *affinity.Snapshot, o Options) []Comparison {
	var all []Comparison
	for _, c := range affinity.Compare(s) {
		if !o.wants(c.Route) {
			continue
		}
		out := Comparison{Route: string(c.Route), Result: c.Result.String(), Verdict: c.Verdict}
		for _, m := range c.Kinds {
			out.Kinds = append(out.Kinds, ComparedKind{Transport: m.Transport, Client: string(m.Client), Sessions: m.Sessions, Held: m.Held,
				Wander: m.Wander, Failing: m.Broken, Unknown: m.Unknown, Requests: m.Requests, Failures: m.Failures, Moves: m.Moves, Unheld: m.Unheld})
		}
		all = append(all, out)
	}
	return all
}

func newList[T any](s *affinity.Snapshot, kind string) *List[T] {
	list := &List[T]{TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: kind}, Items: []T{}}
	list.Metadata.At = metav1.NewMicroTime(s.At)
	for _, src := range s.Sources {
		if src.State == affinity.SourceAbsent && src.Group != "" { // an API that is not installed, of many that could be
			continue
		}
		list.Metadata.Sources = append(list.Metadata.Sources, SourceStatus{Name: src.Name, State: src.State.String(), Detail: src.Detail})
	}
	return list
}

// NewSession converts one session.
func NewSession(s *affinity.Snapshot, x *affinity.Session, o Options) Session {
	condition, detail := x.Condition(s.At)
	out := Session{
		Name: string(x.Spec.ID), Transport: x.Spec.Transport, Client: string(x.Spec.Client),
		State: condition.String(), Detail: detail, Disagreement: x.Disagree,
		Requests: x.Requests, Failures: x.Failures, LastStatus: x.LastStatus, TookMillis: millis(x.LastTook),
		MoveCount: x.MoveCount, UnheldCount: x.UnheldCount, Moves: []Move{}, Evidence: []Evidence{},
	}
	if x.Spec.From.IsValid() {
		out.SourceIP = x.Spec.From.String()
	}
	if r, ok := s.Route(x.Spec.Route); ok {
		out.Route, out.ProbePath = routeRef(r), r.AsksOf(x.Spec)
	}
	if x.LastStatus != 0 {
		out.StatusCount, out.StatusSince = x.StatusRun, instant(x.StatusSince)
	}
	out.StatusNote, out.ErrorAnswers, out.CutCount = x.StatusNote, x.ErrorAnswers, x.CutCount
	if x.LastFailure != nil {
		out.LastFailure = x.LastFailure.Text
	}
	if !x.Pod.IsZero() {
		ref := podRef(s, x.Pod)
		out.Pod, out.Via = &ref, x.Via.String()
	}
	for _, e := range x.Evidence {
		out.Evidence = append(out.Evidence, Evidence{Source: e.Source.String(), Pod: e.Pod.Name, Detail: e.Detail, At: instant(e.At)})
	}
	out.Pin = pin(x.Pin, s.At, o)
	for _, t := range x.Timers {
		out.Timers = append(out.Timers, timer(t, s.At))
		if t.Letter == 'I' && t.Bypassed == "" {
			held := out.Timers[len(out.Timers)-1]
			out.address = &held
		}
	}
	for _, m := range x.Moves {
		out.Moves = append(out.Moves, Move{At: metav1.NewMicroTime(m.At), From: m.From.Name, To: m.To.Name,
			CookieChanged: m.CookieChanged, Unheld: m.Unheld, FirstPin: m.FirstPin, Source: m.Source.String(), Cause: m.Cause})
	}
	out.Held = heldOf(x, s.At)
	if o.Exchanges {
		for _, e := range x.Exchanges {
			out.Exchanges = append(out.Exchanges, exchange(e))
		}
	}
	return out
}

func exchange(e affinity.Exchange) Exchange {
	out := Exchange{RequestID: e.RequestID, At: metav1.NewMicroTime(e.At), TookMillis: millis(e.Took), Status: e.Status, Pod: e.Pod.Name,
		Cookie: e.Cookie, Unsure: e.Unsure, NewCookie: e.NewCookie, Loose: e.Loose, Failure: e.Failure, Leg: e.Leg, SentTo: sentTo(e.SentTo)}
	if e.Source != affinity.SourceNone {
		out.Source = e.Source.String()
	}
	return out
}

func pin(p *affinity.Pin, now time.Time, o Options) *Pin {
	if p == nil {
		return nil
	}
	out := &Pin{Layer: p.Layer.String(), Key: p.Key, Value: p.Value.Mask(), Since: metav1.NewMicroTime(p.Since),
		Expires: instant(p.Expires), Renewal: p.Renewal.String(), Decoder: p.Decoder}
	if o.Reveal {
		out.Value = affinity.Clean(p.Value.Reveal(), 4096)
	}
	if left, ok := p.Remaining(now); ok {
		out.RemainingSeconds = secondsOf(left)
	}
	if p.Decoded.Hit() {
		out.Endpoint = p.Decoded.Endpoints[0].Addr
	}
	return out
}

func timer(t affinity.Timer, now time.Time) Timer {
	out := Timer{Name: t.Name, Renewal: t.Renewal.String(), Deadline: instant(t.Deadline), TotalSeconds: t.Total.Seconds(), Source: "modelled", Bypassed: t.Bypassed, Detail: t.Detail}
	if t.Seen {
		out.Source = "seen"
	}
	if !t.Deadline.IsZero() {
		out.RemainingSeconds = secondsOf(max(0, t.Deadline.Sub(now)))
	}
	return out
}

func routeRef(r affinity.Route) RouteRef {
	if r.Kind == affinity.RouteService {
		return RouteRef{Namespace: r.Namespace, Path: r.Path, Service: r.Backend.Service.Name, Port: r.Backend.Port, URL: r.URL}
	}
	return RouteRef{Namespace: r.Namespace, Ingress: r.Name, Host: r.Host, Path: r.Path, Service: r.Backend.Service.Name, Port: r.Backend.Port, URL: r.URL}
}

func podRef(s *affinity.Snapshot, ref affinity.PodRef) PodRef {
	p, ok := s.Pod(ref)
	out := PodRef{Tag: p.Tag, Namespace: ref.Namespace, Name: ref.Name, IP: p.IP, Phase: p.Phase}
	switch {
	case ok && !p.Gone.IsZero():
		out.Phase = "Gone"
	case p.Terminating():
		out.Phase = "Terminating"
	case p.NamedOnly || !ok:
		out.Phase = "Unknown"
	}
	return out
}

// Pods lists the pods that the sessions can land on, with their share.
func Pods(s *affinity.Snapshot, o Options) *PodList {
	list := newList[Pod](s, "PodList")
	var routes []affinity.RouteID
	for id := range o.Routes {
		routes = append(routes, id)
	}
	for _, r := range s.Routes { // that were named, or all where nothing is probed
		if len(o.Routes) == 0 && o.Target.Matches(r) && (!o.Target.IsZero() || len(s.Sessions) == 0) {
			routes = append(routes, r.ID)
		}
	}
	d := affinity.Distribute(s, routes)
	for _, share := range d.Shares {
		p, _ := s.Pod(share.Pod)
		ready := &share.Ready
		if share.ReadyUnread {
			ready = nil
		}
		list.Items = append(list.Items, Pod{PodRef: podRef(s, share.Pod), Node: p.Node, Ready: ready, Terminating: p.Terminating(),
			Deletion: instant(p.Deletion), Gone: instant(p.Gone), Reason: p.Reason, Restarts: p.Restarts, Pins: share.Pins, Share: round(share.Fraction), FairShare: round(d.Fair)})
	}
	return list
}

// Routes lists the routes, probed or not.
func Routes(s *affinity.Snapshot, o Options) *RouteList {
	list := newList[Route](s, "RouteList")
	for _, r := range s.Routes {
		if !o.wants(r.ID) || !o.Target.Matches(r) {
			continue
		}
		out := Route{Name: string(r.ID), Kind: r.Kind, Ref: routeRef(r), Class: r.Class, Addresses: r.Addresses, AddressFrom: r.AddressFrom, ProbePath: r.ProbePath, ProbeWhy: r.ProbeWhy,
			Notes: r.Notes, Layers: []Layer{}}
		if i := slices.IndexFunc(s.Services, func(x affinity.Service) bool { return x.Ref == r.Backend.Service }); i >= 0 {
			out.NeedsNone = s.Services[i].NeedsNone
		}
		out.Unread = s.Is("endpointslices", affinity.SourceForbidden)
		for _, e := range s.RouteEndpoints(r) {
			out.Endpoints++
			if e.Ready {
				out.Ready++
			}
		}
		for _, l := range r.Layers {
			out.Layers = append(out.Layers, layer(s, l))
		}
		list.Items = append(list.Items, out)
	}
	return list
}

func layer(s *affinity.Snapshot, l affinity.Layer) Layer {
	p := l.Policy()
	out := Layer{Where: l.Where, Object: l.Object, Mechanism: p.Mechanism.String(), Controller: p.Controller, Mode: p.Mode, Settled: l.Settled(),
		Proof: l.Proof, Hint: l.Hint, TimeoutSeconds: p.Timeout.Seconds(), Renewal: p.Renewal.String(), Bypassed: l.Bypassed, Why: p.Why, Assumed: p.Assumed, Notes: p.Notes}
	out.Waits = waits(p)
	for _, b := range p.Branches {
		x := Branch{Namespace: b.Backend.Service.Namespace, Service: b.Backend.Service.Name, Port: b.Backend.Port, Object: b.Object,
			Share: b.Share, Canary: b.Canary, Fallback: b.Fallback, Cookie: b.Cookie}
		for _, e := range s.BackendEndpoints(b.Backend) {
			x.Endpoints++
			if e.Ready {
				x.Ready++
			}
		}
		out.Branches = append(out.Branches, x)
	}
	if len(p.Branches) > 0 {
		out.Choice = p.Choice.String()
	}
	for _, v := range p.Levels {
		out.Levels = append(out.Levels, Level{Object: v.Object, Cookie: v.Cookie.Name})
	}
	if p.Mechanism == affinity.MechanismCookie {
		out.Cookie = &Cookie{Name: p.Cookie.Name, Path: p.Cookie.Path, Domain: p.Cookie.Domain, MaxAgeSeconds: p.Cookie.MaxAge.Seconds(),
			Secure: p.Cookie.Secure, HTTPOnly: p.Cookie.HTTPOnly, SameSite: p.Cookie.SameSite}
	}
	return out
}

func instant(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	m := metav1.NewMicroTime(t)
	return &m
}

func millis(d time.Duration) float64 { return math.Round(d.Seconds()*1e5) / 100 }

func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

func secondsOf(d time.Duration) *float64 {
	x := math.Round(d.Seconds()*1000) / 1000
	return &x
}
