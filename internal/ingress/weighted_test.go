package ingress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const weightedObjects = `kind: IngressRoute
metadata: {name: split, namespace: default}
spec:
  routes:
  - match: PathPrefix('/')
    services: [{kind: TraefikService, name: split}]
---
kind: TraefikService
metadata: {name: split, namespace: default}
spec:
  weighted:
    services:
    - {name: blue, port: 80, weight: 3STICKY}
    - {name: green, port: 80GREEN}
    - {name: off, port: 80, weight: 0STICKY}LEVEL
---
kind: Service
metadata: {name: blue, namespace: default}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
kind: Service
metadata: {name: green, namespace: default}
spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}
`

const (
	ownSticky   = ", sticky: {cookie: {}}"
	levelSticky = "\n    sticky: {cookie: {name: lvl}}"
)

// weighted is a session through a TraefikService over blue and green, of two pods
// each. What it is answered is as Traefik was seen to answer: a cookie of a level
// comes when none that names a server or service of this level was sent.
type weighted struct {
	t     *testing.T
	st    affinity.State
	now   time.Time
	held  map[string]string
	blue  string // names of the cookies
	green string
	value func(pod string) string // of a cookie; nil for Traefik's

	disagrees bool // answer and cookie name different pods
}

func newWeighted(t *testing.T, sticky, green, level string) *weighted {
	t.Helper()
	w := &weighted{t: t, now: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC), held: map[string]string{}}
	w.open(Build(load(t, strings.NewReplacer("STICKY", sticky, "GREEN", green, "LEVEL", level, "'", "`").Replace(weightedObjects))))
	w.blue, w.green = traefikCookieName("", "default-blue-80"+traefikCRD), traefikCookieName("", "default-green-80"+traefikCRD)
	return w
}

// open opens the session on the first route.
func (w *weighted) open(routes []affinity.Route) {
	w.st.Apply(affinity.Routes{Source: "objects", Routes: routes}, w.now)
	for _, service := range []string{"blue", "green"} {
		var all []affinity.Endpoint
		for n := range 2 {
			ip := weightedIP(fmt.Sprintf("%s-%d", service, n))
			all = append(all, affinity.Endpoint{Addr: ip + ":8080", IP: ip, Pod: affinity.PodRef{Namespace: "default", Name: fmt.Sprintf("%s-%d", service, n)}, Ready: true, Serving: true})
		}
		w.st.Apply(affinity.EndpointsChanged{Service: affinity.ServiceRef{Namespace: "default", Name: service}, Endpoints: all}, w.now)
	}
	w.st.Apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: routes[0].ID, Transport: "http", Client: affinity.ClientBrowser}}, w.now)
}

func weightedIP(pod string) string {
	service, n, _ := strings.Cut(pod, "-")
	return map[string]string{"blue": "10.244.1.", "green": "10.244.2."}[service] + n
}

// answer is one round trip: pod answers, says so if named, and offers cookies.
func (w *weighted) answer(pod string, named bool, offers ...string) *affinity.Session {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	o := affinity.Observed{Session: "s01", Status: 200, Answer: affinity.Answer{Body: []byte("ok")}}
	for name, value := range w.held {
		o.Sent = append(o.Sent, affinity.Sent{Name: name, Value: affinity.Secret(value)})
	}
	if named {
		o.Answer.Body = []byte(pod)
	}
	for _, name := range offers {
		value := traefikHash("http://" + weightedIP(pod) + ":8080")
		if name == "lvl" {
			service, _, _ := strings.Cut(pod, "-")
			value = traefikHash("default-" + service + "-80")
		}
		if w.value != nil {
			value = w.value(pod)
		}
		w.held[name] = value
		o.Offers = append(o.Offers, affinity.Offer{Name: name, Value: affinity.Secret(value), Path: "/"})
	}
	w.st.Apply(o, w.now)
	return w.st.Snapshot(w.now).Sessions[0]
}

func (w *weighted) want(x *affinity.Session, pod string, c affinity.Condition, texts ...string) {
	w.t.Helper()
	got, why := x.Condition(w.now)
	if last := x.Exchanges[len(x.Exchanges)-1].Pod.Name; last != pod || got != c {
		w.t.Fatalf("at %s: pod %q, %s (%s), want %q, %s; %v", w.now.Format("05"), last, got, why, pod, c, x.Evidence)
	}
	said := fmt.Sprint(x.Evidence, why, x.Moves, x.Timers)
	for _, text := range texts {
		if !strings.Contains(said, text) {
			w.t.Errorf("at %s: %q is not in %s", w.now.Format("05"), text, said)
		}
	}
	if (x.Disagree != "") != w.disagrees {
		w.t.Errorf("at %s: %s", w.now.Format("05"), x.Disagree)
	}
}

// TestWeightedPods: each service has a cookie of its own, nothing holds the
// service. Pods of either are known, by the cookie that is theirs.
func TestWeightedPods(t *testing.T) {
	w := newWeighted(t, ownSticky, ownSticky, "")
	w.want(w.answer("blue-1", true, w.blue), "blue-1", affinity.Stuck, "http://10.244.1.1:8080")
	w.want(w.answer("blue-1", true), "blue-1", affinity.Stuck)
	w.want(w.answer("green-0", true, w.green), "green-0", affinity.RePinned, "svc/green, by traefikservice/split", "shares the requests out to svc/blue and svc/green, and no cookie holds which")
	w.want(w.answer("blue-1", true), "blue-1", affinity.MovedSilent, "http://10.244.1.1:8080")
	w.want(w.answer("green-0", true), "green-0", affinity.MovedSilent, "http://10.244.2.0:8080")
	w.want(w.answer("blue-1", true), "blue-1", affinity.Split, "endpoints unchanged")
}

// TestWeightedOtherNames: Traefik makes one service of those that have a name in
// common, with the cookie that one of the rules gives it: seen of v3.7.13, where
// three TraefikServices had the same two Services.
func TestWeightedOtherNames(t *testing.T) {
	w := newWeighted(t, ownSticky, ownSticky, "")
	w.want(w.answer("blue-1", true, "a"), "blue-1", affinity.Stuck, "http://10.244.1.1:8080")
	w.want(w.answer("green-0", true, "b"), "green-0", affinity.RePinned)
	w.want(w.answer("blue-1", true), "blue-1", affinity.MovedSilent, "http://10.244.1.1:8080")
	w.want(w.answer("green-0", false), "", affinity.Unknown, "cookies of several Services are held")
}

// TestWeightedUnnamed: the same where no answer names its pod. Cookies tell as
// long as one alone is held, or one is offered; then nothing does.
func TestWeightedUnnamed(t *testing.T) {
	w := newWeighted(t, ownSticky, ownSticky, "")
	w.want(w.answer("blue-1", false, w.blue), "blue-1", affinity.Stuck)
	w.want(w.answer("blue-1", false), "blue-1", affinity.Stuck)
	w.want(w.answer("green-0", false, w.green), "green-0", affinity.RePinned)
	w.want(w.answer("blue-1", false), "", affinity.Unknown, "cookies of several Services are held")
	w.want(w.answer("green-0", false), "", affinity.Unknown)
	w.want(w.answer("green-1", false, w.green), "green-1", affinity.RePinned)
}

// TestWeightedLevels: a cookie holds the service and another the pod. Which one
// is in force, the first tells.
func TestWeightedLevels(t *testing.T) {
	w := newWeighted(t, ownSticky, ownSticky, levelSticky)
	w.want(w.answer("blue-1", false, "lvl", w.blue), "blue-1", affinity.Stuck, "cookie lvl holds service default-blue-80")
	w.want(w.answer("blue-1", false), "blue-1", affinity.Stuck)
	// The service's cookie goes, as by its own maxAge: another service is picked.
	w.st.Apply(affinity.CookieDropped{Session: "s01", Name: "lvl", Reason: "max-age passed", Expired: true}, w.now)
	delete(w.held, "lvl")
	w.want(w.answer("green-0", false, "lvl", w.green), "green-0", affinity.RePinned, "cookie lvl holds service default-green-80", "its cookie was dropped: max-age passed")
	w.want(w.answer("green-0", false), "green-0", affinity.RePinned)
	// And back: both pods' cookies are held, the new one of the level tells.
	w.want(w.answer("blue-1", false, "lvl"), "blue-1", affinity.RePinned, "http://10.244.1.1:8080")
	w.want(w.answer("blue-1", false), "blue-1", affinity.RePinned)
	w.want(w.answer("blue-1", true), "blue-1", affinity.RePinned)
}

// TestWeightedOneLevel: a cookie holds the service alone.
func TestWeightedOneLevel(t *testing.T) {
	w := newWeighted(t, "", "", levelSticky)
	w.want(w.answer("green-0", true, "lvl"), "green-0", affinity.Stuck, "default-green-80")
	w.want(w.answer("green-1", true), "green-1", affinity.MovedSilent, "cookie lvl holds service default-green-80, not a pod")
}

// TestWeightedMixed: one service has a cookie of its own, the other only that of
// the level, which holds no pod.
func TestWeightedMixed(t *testing.T) {
	w := newWeighted(t, ownSticky, "", levelSticky)
	w.want(w.answer("green-0", true, "lvl"), "green-0", affinity.Stuck, "service default-green-80")
	w.want(w.answer("green-1", true), "green-1", affinity.MovedSilent, "cookie lvl holds service default-green-80, not a pod")
	x := w.answer("blue-1", true, "lvl", w.blue)
	w.want(x, "blue-1", affinity.RePinned, "cookie lvl holds service default-blue-80")
	if x.Pin == nil || x.Pin.Key != w.blue {
		t.Errorf("pin %+v, want %s", x.Pin, w.blue)
	}
	w.want(w.answer("blue-1", false), "blue-1", affinity.RePinned)

	w = newWeighted(t, ownSticky, "", levelSticky)
	w.want(w.answer("green-0", false, "lvl"), "", affinity.Unknown, "service default-green-80")

	w = newWeighted(t, ownSticky, "", "")
	w.want(w.answer("green-0", true), "green-0", affinity.Cookieless, "svc/green, which answered, has no affinity cookie")
	w.want(w.answer("blue-1", true, w.blue), "blue-1", affinity.Stuck)
	w.want(w.answer("green-1", true), "green-1", affinity.Cookieless, "svc/green, which answered")
	w.want(w.answer("blue-1", true), "blue-1", affinity.Stuck)
}

// TestFailoverPods: the fallback's pods are known, with the cookie that is the
// fallback's own, and why it answered is said.
func TestFailoverPods(t *testing.T) {
	w := openShared(t, strings.ReplaceAll(`kind: IngressRoute
metadata: {name: main, namespace: default}
spec: {routes: [{match: PathPrefix('/'), services: [{kind: TraefikService, name: spare}]}]}
---
kind: TraefikService
metadata: {name: spare, namespace: default}
spec:
  failover:
    service: {name: blue, port: 80, sticky: {cookie: {name: blue-id}}}
    fallback: {name: green, port: 80, sticky: {cookie: {name: green-id}}}`, "'", "`")+sharedServices)
	w.want(w.answer("blue-1", false, "blue-id"), "blue-1", affinity.Stuck)
	w.want(w.answer("green-0", false, "green-id"), "green-0", affinity.RePinned, "svc/green is the fallback of traefikservice/spare, and took the request")
	w.want(w.answer("blue-1", true), "blue-1", affinity.MovedSilent, "back from svc/green, the fallback of traefikservice/spare")

	round := Build(load(t, strings.ReplaceAll(`kind: IngressRoute
metadata: {name: main, namespace: default}
spec: {routes: [{match: PathPrefix('/'), services: [{kind: TraefikService, name: round}]}]}
---
kind: TraefikService
metadata: {name: round, namespace: default}
spec: {failover: {service: {kind: TraefikService, name: round}, fallback: {kind: TraefikService, name: round}}}`, "'", "`")))[0]
	if len(round.Notes) > 3 || len(round.Branches()) > 0 {
		t.Errorf("a failover to itself has notes %q, branches %v", round.Notes, round.Branches())
	}
}
