package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/term"
)

// start is when every fixture begins.
var start = time.Date(2026, 3, 14, 14, 0, 0, 0, time.UTC)

// world folds events into the snapshots that the screens are tested with. All
// of it goes through affinity.State, so the screens show what it really says.
type world struct {
	st    affinity.State
	now   time.Time
	eps   []affinity.Endpoint
	pods  map[string]affinity.Pod
	route affinity.Route
	jar   map[string]string // session → cookie value
	n     int
}

var chat = affinity.ServiceRef{Namespace: "msgapp", Name: "msgapp"}

// byAddr reads cookies of the form "k-ADDR-noise", as a decoder of the fixtures.
type byAddr struct{ set affinity.EndpointSet }

func (byAddr) Name() string                                { return "ingress-nginx persistent" }
func (byAddr) Table(s affinity.EndpointSet) affinity.Table { return byAddr{s} }

func (b byAddr) Lookup(v string) affinity.Decoded {
	d := affinity.Decoded{Shaped: strings.HasPrefix(v, "k-"), Exact: true}
	for i, list := range [][]affinity.Endpoint{b.set.Current, b.set.Gone} {
		for _, e := range list {
			if !d.Hit() && strings.Contains(v, "-"+e.Addr+"-") {
				d.Endpoints, d.Gone, d.Detail = []affinity.Endpoint{e}, i == 1, "digest → "+e.Addr
			}
		}
	}
	return d
}

func chatRoute() affinity.Route {
	return affinity.Route{
		ID: affinity.RouteKey(affinity.RouteIngress, "msgapp", "msgapp", "chat.example.com", "/"), Kind: affinity.RouteIngress,
		Namespace: "msgapp", Name: "msgapp", Host: "chat.example.com", Path: "/", PathType: "Prefix", Class: "nginx", TLS: true,
		Backend: affinity.Backend{Service: chat, Port: "3000"}, Addresses: []string{"203.0.113.10"},
		ProbePath: "/healthz", ProbeWhy: "the readiness probe's path",
		Layers: []affinity.Layer{
			{Where: affinity.LayerIngress, Object: "ingress/msgapp", Candidates: []affinity.Policy{{
				Mechanism: affinity.MechanismCookie, Controller: "ingress-nginx", Mode: "persistent", Renewal: affinity.RenewalAbsolute,
				Timeout: 3 * time.Hour, Decoder: byAddr{}, Cookie: affinity.CookieSpec{Name: "msgapp-sticky", MaxAge: 3 * time.Hour, HasAge: true},
				Why: "annotation nginx.ingress.kubernetes.io/affinity: cookie",
			}}},
			{Where: affinity.LayerService, Object: "service/msgapp", Candidates: []affinity.Policy{{
				Mechanism: affinity.MechanismClientIP, Controller: "kube-proxy", Timeout: 3 * time.Hour, Renewal: affinity.RenewalSliding,
				Why: "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
			}}, Bypassed: "ingress-nginx connects to pod IPs, kube-proxy never sees the traffic"},
		},
	}
}

func newWorld() *world {
	w := &world{now: start, pods: map[string]affinity.Pod{}, route: chatRoute(), jar: map[string]string{}}
	return w
}

func (w *world) apply(events ...affinity.Event) {
	for _, e := range events {
		w.st.Apply(e, w.now)
	}
}

func (w *world) snap() *affinity.Snapshot { return w.st.Snapshot(w.now) }

// sources sets every watch to one state.
func (w *world) sources(state affinity.SourceState, detail string) {
	for i, name := range []string{"endpointslices", "ingressclasses", "ingresses", "pods", "services"} {
		w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: state, Since: w.now, Objects: 3 * i, Detail: detail}})
	}
}

func podRef(name string) affinity.PodRef { return affinity.PodRef{Namespace: "msgapp", Name: name} }

// add makes a ready pod and its endpoint.
func (w *world) add(name, ip, node string, age time.Duration) {
	p := affinity.Pod{Ref: podRef(name), IP: ip, Node: node, Phase: "Running", Ready: true, Total: 1, ReadyN: 1,
		Created: w.now.Add(-age), Grace: 30 * time.Second, Owner: "ReplicaSet/msgapp-7c9f"}
	w.pods[name] = p
	w.eps = append(w.eps, affinity.Endpoint{Addr: ip + ":3000", IP: ip, Pod: p.Ref, Node: node, Ready: true, Serving: true})
	w.apply(affinity.PodChanged{Pod: p})
	w.endpoints()
}

func (w *world) endpoints() {
	w.apply(affinity.EndpointsChanged{Service: chat, Endpoints: append([]affinity.Endpoint(nil), w.eps...)})
}

// drain begins the end of a pod.
func (w *world) drain(name string) {
	p := w.pods[name]
	p.Deletion, p.Ready, p.ReadyN = w.now.Add(p.Grace), false, 0
	w.pods[name] = p
	w.apply(affinity.PodChanged{Pod: p})
	for i := range w.eps {
		if w.eps[i].Pod == p.Ref {
			w.eps[i].Ready, w.eps[i].Terminating = false, true
		}
	}
	w.endpoints()
}

// remove ends a pod.
func (w *world) remove(name string) {
	kept := w.eps[:0]
	for _, e := range w.eps {
		if e.Pod != podRef(name) {
			kept = append(kept, e)
		}
	}
	w.eps = kept
	w.endpoints()
	w.apply(affinity.PodGone{Ref: podRef(name)})
}

func (w *world) open(id string, client affinity.ClientModel) {
	w.apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: affinity.SessionID(id), Route: w.route.ID, Transport: "http", Client: client}})
}

// answer is one round trip of id that pod answers; with renew it brings a new
// cookie.
func (w *world) answer(id, pod string, renew bool, took time.Duration) {
	w.n++
	o := affinity.Observed{Session: affinity.SessionID(id), RequestID: fmt.Sprintf("r%04d", w.n), Took: took, Status: 200, Remote: "203.0.113.10:443"}
	if v := w.jar[id]; v != "" {
		o.Sent = []affinity.Sent{{Name: "msgapp-sticky", Value: affinity.Secret(v)}}
	}
	if pod != "" {
		o.Answer.Header = []affinity.Field{{Name: "X-Pod-Name", Value: pod}}
	}
	if renew {
		v := "k-" + w.pods[pod].IP + ":3000-" + fmt.Sprint(w.n)
		w.jar[id] = v
		o.Offers = []affinity.Offer{{Name: "msgapp-sticky", Value: affinity.Secret(v), Path: "/", HTTPOnly: true, Expires: w.now.Add(3 * time.Hour)}}
	}
	w.apply(o)
}

func (w *world) fail(id string, kind affinity.FailureKind, status int, text string) {
	w.n++
	o := affinity.Observed{Session: affinity.SessionID(id), RequestID: fmt.Sprintf("r%04d", w.n), Took: 38 * time.Millisecond, Status: status,
		Remote: "203.0.113.10:443", Failure: &affinity.Failure{Op: "status", Kind: kind, Text: text}}
	if v := w.jar[id]; v != "" {
		o.Sent = []affinity.Sent{{Name: "msgapp-sticky", Value: affinity.Secret(v)}}
	}
	w.apply(o)
}

const (
	podA = "msgapp-7c9f-2xkqp"
	podB = "msgapp-7c9f-8mmzd"
	podC = "msgapp-7c9f-pq7rw"
	podD = "msgapp-84d1-zz001"
)

// base is a cluster with a route and three pods, and no sessions.
func base() *world {
	w := newWorld()
	w.sources(affinity.SourceLive, "")
	w.apply(affinity.ServiceChanged{Service: affinity.Service{Ref: chat, Type: "ClusterIP", ClusterIP: "10.96.0.12", HasIngress: true}},
		affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	w.add(podA, "10.4.1.23", "node-1", 72*time.Hour)
	w.add(podB, "10.4.2.7", "node-2", 72*time.Hour)
	w.add(podC, "10.4.2.9", "node-2", 72*time.Hour)
	return w
}

// story is ninety seconds of a busy cluster in which every state occurs once:
// pod C drains and goes, pod D comes, a session is split between A and B.
func story() *world {
	w := base()
	homes := []string{podA, podB, podC, podA, podB, podC, podA, podB}
	for i := range homes {
		w.open(fmt.Sprintf("s%02d", i+1), affinity.ClientBrowser)
	}
	w.open("s09", affinity.ClientBrowser)
	w.open("s10", affinity.ClientNoJar)
	w.open("s11", affinity.ClientBrowser)
	for sec := range 90 {
		w.now = start.Add(time.Duration(sec)*time.Second + 200*time.Millisecond)
		w.second(sec, homes)
	}
	w.now = start.Add(90 * time.Second)
	return w
}

func (w *world) second(sec int, homes []string) {
	switch sec {
	case 50:
		w.drain(podC)
	case 55:
		w.add(podD, "10.4.3.4", "node-3", 3*time.Second)
	case 70:
		w.remove(podC)
	}
	for i, home := range homes {
		id, took := fmt.Sprintf("s%02d", i+1), time.Duration(34+i)*time.Millisecond
		switch {
		case home == podC && sec == 51 && i == 2:
			w.fail(id, affinity.FailureStatus, 502, "502 Bad Gateway")
		case home == podC && sec >= 51:
			w.answer(id, podA, sec == 51 || sec == 52 && i == 2, took)
		default:
			w.answer(id, home, sec == 0, took)
		}
	}
	if sec < 60 {
		w.answer("s09", podB, sec == 0, 40*time.Millisecond)
	} else {
		w.answer("s09", []string{podB, podA}[sec/2%2], false, 40*time.Millisecond)
	}
	w.answer("s10", []string{podA, podB}[sec%2], false, 41*time.Millisecond)
	if sec < 80 {
		w.answer("s11", podB, sec == 0, 44*time.Millisecond)
	} else {
		w.fail("s11", affinity.FailureTimeout, 0, "no answer within 5s")
	}
}

// options are those of a test screen that shows snap.
func (w *world) options() Options {
	return Options{
		Snapshots: w.snap, Now: func() time.Time { return w.now }, Context: "prod-eu", Namespace: "msgapp", User: "alice@corp",
		Term:   term.Ability{Colors: 16},
		Target: affinity.Target{Kind: "ingress", Namespace: "msgapp", Name: "msgapp"},
	}
}
