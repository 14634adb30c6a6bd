// Package decode says what one cookie tells: which controller made it, which
// backend and pod it names, since when, and what it can't tell and why.
//
// It is pure: cookies and what is known of the cluster in, Results out. Every
// text of a Result is fit to be shown; the cookie's value is masked.
package decode

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/capture"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// World is what cookies are read against.
type World struct {
	Scopes []ingress.Scope
	// Where says what the Scopes are of: "namespace \"default\"". Empty when
	// no cluster was asked, and the Scopes are what the user gave.
	Where      string
	Unread     []string // what of the cluster's may not be read and could hold the pod: "endpointslices"
	Pods       map[affinity.PodRef]affinity.Pod
	Keys       []string  // HAProxy's dynamic-cookie-keys besides the defaults
	Controller string    // the key of the only one whose cookie it may be; "" for any
	At         time.Time // that is asked about; zero for Now
	Now        time.Time
}

const maxText = 256

// Read reads one cookie.
func Read(c capture.Cookie, w World) Result {
	v, note := locate(c, w)
	r := Result{APIVersion: apiVersion, Kind: "Cookie", Name: affinity.Clean(c.Name, maxText), Value: c.Value.Mask(), Seen: seen(c)}
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	switch {
	case Abbreviated(c.Value):
		r.undo("the value is cut short, so it names nobody", "give all of it: a browser's developer tools have it under Storage or Application, and in Copy as cURL")
	case v.Decided:
		r.decided(v.Answers, w)
		r.past(c, v, w)
	case v.Tie:
		r.tie(v.Answers)
	default:
		r.undecided(v, w)
	}
	return r
}

// locate also tries what percent-encoding and quotes hide: some tools copy a
// value with them.
func locate(c capture.Cookie, w World) (v ingress.Verdict, note string) {
	v = ingress.Locate(c.Name, c.Value, w.Scopes, ingress.Hints{Keys: w.Keys, Controller: w.Controller})
	if v.Decided || v.Tie {
		return v, ""
	}
	plain, err := url.PathUnescape(c.Value.Reveal())
	if err != nil {
		plain = c.Value.Reveal()
	}
	for _, other := range []struct{ value, note string }{
		{plain, "the value was percent-encoded"},
		{unquoted(c.Value.Reveal()), quotesNote},
		{unquoted(plain), "the value was percent-encoded; " + quotesNote},
	} {
		if other.value == c.Value.Reveal() {
			continue
		}
		if u := ingress.Locate(c.Name, affinity.Secret(other.value), w.Scopes, ingress.Hints{Keys: w.Keys, Controller: w.Controller}); len(u.Shapes) > len(v.Shapes) {
			return u, other.note
		}
	}
	return v, ""
}

const quotesNote = "read without the quotes around it, which the controller would not take off"

func unquoted(value string) string {
	if n := len(value); n > 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

// decided fills in what the answers, which agree, say.
func (r *Result) decided(answers []ingress.Answer, w World) {
	a := answers[0]
	d := a.Decoded
	r.Decoded, r.Controller, r.Mode, r.Exact, r.Detail = true, a.Controller, a.Mode, d.Exact, d.Detail
	r.Issued, r.Expires = instant(d.Issued), instant(d.Expires)
	r.Backend = backendOf(a)
	if others := distinct(answers, backendOf); len(others) > 1 {
		r.Backend = ""
		r.Notes = append(r.Notes, "the endpoint is behind several: "+strings.Join(others, ", ")+"; --backend says which")
	}
	if others := distinct(answers, controllerOf); len(others) > 1 {
		r.Notes = append(r.Notes, "written alike by "+strings.Join(others, ", "))
	}
	switch {
	case len(d.Endpoints) > 0:
		e := d.Endpoints[0]
		r.Endpoint = affinity.Clean(e.Addr, maxText)
		if w.Where != "" {
			r.State, r.Gone = state(e, d.Gone), &d.Gone
		}
		if !e.Pod.IsZero() {
			r.Pod = affinity.Clean(e.Pod.String(), maxText)
		}
	case d.Addr != "":
		r.Endpoint, r.Exact = d.Addr, true
		r.gone("no endpoint in "+w.Where+" has that address: the pod is gone, or is behind a Service elsewhere (-n, -A)", w)
	case d.Exact:
		r.Notes = append(r.Notes, "it names a Service that a weighted service chose, no pod; another cookie may name the pod")
	default:
		r.Exact = true // about the backend
		if len(w.Unread) > 0 {
			r.undo("its backend is "+r.Backend+"; "+unread(w), unreadHint)
			r.Unread = true
			return
		}
		r.gone("the backend is certain, and none of its endpoints is the one: the pod is gone, and the next request is pinned anew", w)
		if w.Where == "" {
			r.undo("its backend is "+r.Backend+"; none of the endpoints that were given is the one", "the pod is gone, or --endpoints is not complete")
		}
	}
}

// unread says what of the cluster's endpoints is not known.
func unread(w World) string {
	return "which pods there are is not known: " + strings.Join(w.Unread, " and ") + " may not be read"
}

const unreadHint = "stickytop rbac --missing prints the Role to ask for; --endpoints IP:PORT,… needs no rights"

// gone says so of a pod where the cluster was asked, and answered.
func (r *Result) gone(note string, w World) {
	if w.Where == "" {
		return
	}
	if len(w.Unread) > 0 {
		r.Notes = append(r.Notes, unread(w))
		return
	}
	is := true
	r.Gone, r.State = &is, "gone"
	r.Notes = append(r.Notes, note)
}

func (r *Result) undo(reason, instead string) {
	r.Decoded, r.Reason, r.Instead = false, reason, instead
}

func state(e affinity.Endpoint, gone bool) string {
	switch {
	case gone:
		return "gone"
	case e.Terminating:
		return "terminating"
	case !e.Ready:
		return "not ready"
	}
	return "ready"
}

// past says what about the time asked for, or the time the cookie was issued,
// speaks against the pod of now.
func (r *Result) past(c capture.Cookie, v ingress.Verdict, w World) {
	d := v.Answers[0].Decoded
	at, asked := w.At, !w.At.IsZero()
	if !asked {
		at = w.Now
	}
	if !d.Expires.IsZero() && at.After(d.Expires) {
		r.Notes = append(r.Notes, "it had ended by "+at.UTC().Format(time.RFC3339))
	}
	if asked && d.Issued.After(at.Add(time.Second)) {
		r.Notes = append(r.Notes, "it was issued after "+at.UTC().Format(time.RFC3339)+": until then the client had another, or none")
	}
	if len(d.Endpoints) == 0 {
		return
	}
	if asked && w.Where == "" { // the user gave them, and no cluster tells when pods were made
		r.Notes = append(r.Notes, "the endpoints given are taken for those of "+at.UTC().Format(time.RFC3339))
		return
	}
	pod, known := w.Pods[d.Endpoints[0].Pod]
	born := pod.Created
	if !known || born.IsZero() {
		return
	}
	switch {
	case !d.Exact && asked && born.After(at):
		r.Notes = append(r.Notes, then(c, w))
	case asked && born.After(at):
		r.Notes = append(r.Notes, fmt.Sprintf("that pod was made at %s, after %s: the address was another's then, or nobody's", born.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339)))
	case !d.Issued.IsZero() && born.After(d.Issued.Add(time.Second)) && d.Exact:
		r.Notes = append(r.Notes, fmt.Sprintf("that pod was made at %s, after the cookie: the address was another's when it was issued", born.UTC().Format(time.RFC3339)))
	case !d.Issued.IsZero() && born.After(d.Issued.Add(time.Second)):
		r.Notes = append(r.Notes, fmt.Sprintf("that pod was made at %s, after the cookie: the client was on another before", born.UTC().Format(time.RFC3339)))
	}
}

// then reads a ring over the pods that existed at the time asked about. Those
// that have left since are not known.
func then(c capture.Cookie, w World) string {
	old := w
	old.Scopes = slices.Clone(w.Scopes)
	for i := range old.Scopes {
		old.Scopes[i].Set.Current = slices.DeleteFunc(slices.Clone(old.Scopes[i].Set.Current), func(e affinity.Endpoint) bool {
			return w.Pods[e.Pod].Created.After(w.At)
		})
	}
	at := w.At.UTC().Format(time.RFC3339)
	v, _ := locate(c, old)
	if v.Decided && len(v.Answers[0].Decoded.Endpoints) > 0 {
		e := v.Answers[0].Decoded.Endpoints[0]
		return affinity.Clean("that pod was made after "+at+"; of the pods of now that existed then, "+e.Pod.String()+" ("+e.Addr+") had it, unless a pod that is gone did", 400)
	}
	return "that pod was made after " + at + ", and no pod of now that existed then can be told"
}

func (r *Result) tie(answers []ingress.Answer) {
	r.Tie = true
	r.Reason = "several endpoints fit just as well"
	r.Instead = "--backend NAMESPACE/SERVICE:PORT says whose cookie it is"
	for _, a := range answers {
		if len(a.Decoded.Endpoints) == 0 {
			r.candidate(a, affinity.Endpoint{Addr: a.Decoded.Addr})
		}
		for _, e := range a.Decoded.Endpoints {
			r.candidate(a, e)
		}
	}
	if len(distinct(answers, backendOf)) == 1 {
		r.Instead = "the controller's access log names the address that answered"
	}
}

// maxCandidates bounds the list of a tie: every ring of a cluster answers an
// unsalted key.
const maxCandidates = 20

func (r *Result) candidate(a ingress.Answer, e affinity.Endpoint) {
	if len(r.Candidates) == maxCandidates {
		return
	}
	c := Candidate{Controller: a.Controller, Mode: a.Mode, Backend: backendOf(a), Endpoint: affinity.Clean(e.Addr, maxText), Detail: a.Decoded.Detail}
	if !e.Pod.IsZero() {
		c.Pod = affinity.Clean(e.Pod.String(), maxText)
	}
	r.Candidates = append(r.Candidates, c)
}

// undecided says why a cookie names nothing.
func (r *Result) undecided(v ingress.Verdict, w World) {
	for _, a := range v.Shapes {
		r.candidate(a, affinity.Endpoint{})
	}
	switch {
	case len(v.Opaques) > 0 && v.Opaques[0].Named:
		o := v.Opaques[0]
		r.Controller = o.Controller
		r.Reason, r.Instead = o.Title+": opaque, "+o.Why, o.Instead
	case len(v.Shapes) > 0:
		r.shaped(v, w)
	case len(v.Opaques) > 0:
		o := v.Opaques[0]
		r.Reason, r.Instead = "it may be "+o.Title+": opaque, as "+o.Why, o.Instead
	case len(w.Unread) > 0:
		r.Reason, r.Instead, r.Unread = "no controller writes values of that shape, but it may be the name of a pod or server; "+unread(w), unreadHint, true
	default:
		r.Reason = "no controller is known to write such a value"
		r.Instead = "look at the controller's access log, or let the application name its pod in a header: stickytop TARGET --pod-header NAME reads it; a cookie of the application's own that APISIX or Skipper hashes is read with --controller"
	}
}

// Abbreviated reports whether a value was cut short for the eye, as this
// program's own tables and browsers' tools do.
func Abbreviated(value affinity.Secret) bool {
	v := strings.TrimRight(value.Reveal(), `"'`)
	return strings.Contains(v, "…") || strings.HasSuffix(v, "...") || strings.Contains(v, "%E2%80%A6")
}

func (r *Result) shaped(v ingress.Verdict, w World) {
	if len(distinct(v.Shapes, controllerOf)) == 1 {
		r.Controller = v.Shapes[0].Controller
	}
	d := v.Shapes[0].Decoded
	r.Issued = instant(d.Issued)
	as := "it has the shape of "
	if w.Controller != "" { // it was said whose it is: a cookie of the application's has no shape
		as = "read as "
	}
	r.Reason = as + strings.Join(distinct(v.Shapes, nameOf), ", ")
	for _, o := range v.Opaques {
		r.Reason += ", or of " + o.Title + ", which is opaque"
	}
	r.Reason += "; " + d.Detail
	key := ""
	if slices.ContainsFunc(v.Shapes, func(a ingress.Answer) bool { return strings.HasPrefix(a.Controller, "haproxy") }) {
		key = "; a HAProxy key that is not the default is --key"
	}
	switch {
	case len(v.Shapes) == 1 && strings.Contains(d.Detail, "runtime API"):
		r.Instead = "ask HAProxy: echo 'show servers state' | socat stdio SOCKET"
	case strings.Contains(d.Detail, "not established"):
		r.Instead = "the controller's access log names the address that answered"
	case w.Where != "" && len(w.Unread) > 0:
		r.Reason += "; " + unread(w)
		r.Instead, r.Unread = unreadHint, true
	case w.Where != "":
		r.Instead = "the pod it named is gone, or is not in " + w.Where + " (-n, -A)" + key
		if len(v.Routed) > 0 {
			r.Instead = "a cookie of that name is set for " + service(v.Routed[0]) + ": the pod it named has most likely left; " + r.Instead
		}
	case len(w.Scopes) > 0:
		backend := "--backend NAMESPACE/SERVICE:PORT is missing"
		if b := w.Scopes[0].Backend; b.Service.Name != "" {
			backend = "it is not the cookie of " + service(b) + " (--backend; the port as the Ingress writes it, its number or name)"
		}
		r.Instead = "the endpoints that were given are not all, or " + backend + key
	default:
		r.Instead = "its pod is found among endpoints: --endpoints IP:PORT,… or a cluster"
	}
}

func backendOf(a ingress.Answer) string {
	if a.Backend.Service.Name == "" {
		return a.Decoded.Backend
	}
	return service(a.Backend)
}

func service(b affinity.Backend) string {
	text := b.Service.String()
	if b.Port != "" {
		text += ":" + b.Port
	}
	return affinity.Clean(text, maxText)
}

func controllerOf(a ingress.Answer) string { return a.Controller }

func nameOf(a ingress.Answer) string {
	if a.Controller == "haproxytech" || a.Controller == "haproxy-ingress" || a.Controller == "haproxy" {
		return a.Name() + " (" + a.Controller + ")"
	}
	return a.Name()
}

// distinct returns the different texts of answers, in their order.
func distinct(answers []ingress.Answer, of func(ingress.Answer) string) []string {
	var all []string
	for _, a := range answers {
		if s := of(a); !slices.Contains(all, s) && len(all) < maxCandidates {
			all = append(all, s)
		}
	}
	return all
}
