package affinity

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tNow is the instant at which every script begins.
var tNow = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

// The scripts in testdata/fold drive a State as its sources would. A line is
// an instant (seconds from tNow), a verb and its arguments:
//
//	0 route persistent              one route /: persistent, balanced, traefik, none,
//	                                opaque, unread, clientip, url, nginx-or-traefik
//	0 endpoints a b c/notready d/terminating
//	0 pods a b                      pods exist and are ready
//	0 born a 14:00:00               the pod exists and was created then
//	0 gone a                        the pod object is gone
//	0 terminating a 30              deletionTimestamp in 30 s
//	0 open s01 [no-jar]
//	1 answer s01 pod=a via=header set=a age=10800 sent=a notreturned=why
//	1 answer s01 status=404         an answer of that status, which may name nobody
//	1 fail s01 502
//	1 drop s01 expired
//	1 edit "affinity-mode balanced→persistent"
//	1 source endpointslices stale
//	1 is s01 STUCK pod=a moves=0 …  what must be true then
//	1 timeline move "s01 A→B"       the newest line of that kind contains the text,
//	                                or ends with one before $
//
// A cookie's value is the pod it names; the balanced decoder hashes the first
// letter over the ready endpoints.
func TestFold(t *testing.T) {
	files, err := filepath.Glob("testdata/fold/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			play(t, file)
		})
	}
}

// play runs a script, and returns its text.
func play(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t}
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			s.where = fmt.Sprintf("%s:%d", file, i+1)
			s.line(splitWords(line))
		}
	}
	if s.checks == 0 {
		t.Fatal("the script checks nothing")
	}
	return string(text)
}

type script struct {
	t      *testing.T
	where  string
	st     State
	now    time.Time
	checks int
	frozen []*Snapshot
	texts  []string
	leg    int // requests so far, for their ids
	held   map[SessionID]Socket
}

func splitWords(line string) []string {
	var words []string
	quoted := false
	for _, part := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}) {
		words = append(words, strings.ReplaceAll(part, `"`, ""))
	}
	return words
}

var testService = ServiceRef{"ns", "web"}

func testPod(name string) PodRef { return PodRef{"ns", "web-" + name} }

func (s *script) line(w []string) {
	s.t.Helper()
	var at float64
	if _, err := fmt.Sscan(w[0], &at); err != nil || len(w) < 2 {
		s.t.Fatalf("%s: %v: want an instant and a verb", s.where, w)
	}
	s.now = tNow.Add(time.Duration(at * float64(time.Second)))
	switch verb, args := w[1], w[2:]; verb {
	case "is":
		s.is(args)
	case "timeline":
		s.timeline(args)
	case "finds", "silent":
		s.finding(verb, args)
	case "affects":
		s.affects(args)
	case "since":
		s.since(args)
	default:
		for _, e := range s.events(verb, args) {
			s.st.Apply(e, s.now)
		}
		// Snapshots must survive everything that comes later.
		snap := s.st.Snapshot(s.now)
		s.frozen = append(s.frozen, snap)
		s.texts = append(s.texts, dump(snap))
		for i, old := range s.frozen {
			if got := dump(old); got != s.texts[i] {
				s.t.Fatalf("%s: a snapshot changed after it was taken\nwas %s\nis  %s", s.where, s.texts[i], got)
			}
		}
	}
}

func dump(snap *Snapshot) string {
	var b strings.Builder
	for _, x := range snap.Sessions {
		c, why := x.Condition(snap.At)
		fmt.Fprintf(&b, "%s %s %s %v %v %v %v|", x.Spec.ID, c, why, x.Pod, x.Moves, x.Evidence, x.Exchanges)
	}
	fmt.Fprintf(&b, "%v %v %v %v", snap.Pods, snap.Timeline, snap.Sources, snap.Findings)
	return b.String()
}

func option(args []string, key string) (string, bool) {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, key+"="); ok {
			return v, true
		}
	}
	return "", false
}

func (s *script) events(verb string, args []string) []Event {
	switch verb {
	case "route":
		return []Event{Routes{Source: "test", Routes: []Route{testRoute(args[0])}}}
	case "endpoints":
		return []Event{EndpointsChanged{Service: testService, Endpoints: testEndpoints(args)}}
	case "pods":
		var events []Event
		for _, a := range args {
			events = append(events, PodChanged{Pod{Ref: testPod(a), Ready: true, Phase: "Running"}})
		}
		return events
	case "born":
		created, err := time.Parse("15:04:05", args[1])
		if err != nil {
			s.t.Fatalf("%s: %v", s.where, err)
		}
		return []Event{PodChanged{Pod{Ref: testPod(args[0]), Ready: true, Phase: "Running", Created: created}}}
	case "gone":
		return []Event{PodGone{testPod(args[0])}}
	case "terminating":
		return []Event{PodChanged{Pod{Ref: testPod(args[0]), Phase: "Running", Deletion: s.now.Add(30 * time.Second), Grace: 30 * time.Second}}}
	case "open":
		client := ClientBrowser
		if len(args) > 1 {
			client = ClientModel(args[1])
		}
		transport := "http"
		if len(args) > 2 {
			transport = args[2]
		}
		return []Event{SessionOpened{SessionSpec{ID: SessionID(args[0]), Route: "r", Transport: transport, Client: client}}}
	case "close":
		return []Event{SessionClosed{ID: SessionID(args[0]), Reason: "by you"}}
	case "answer", "fail":
		return []Event{s.observed(verb, args)}
	case "drop":
		return []Event{CookieDropped{Session: SessionID(args[0]), Name: "sticky", Reason: "max-age passed", Expired: args[1] == "expired"}}
	case "edit":
		return []Event{ClusterEvent{Kind: "ingress", Subject: "Ingress web", Text: args[0], Route: "r"}}
	case "source":
		state := map[string]SourceState{"stale": SourceStale, "live": SourceLive, "forbidden": SourceForbidden}[args[1]]
		return []Event{SourceChanged{SourceStatus{Name: args[0], State: state}}}
	}
	if events := s.socketEvents(verb, args); events != nil {
		return events
	}
	s.t.Fatalf("%s: unknown verb %q", s.where, verb)
	return nil
}

func (s *script) observed(verb string, args []string) Observed {
	o := Observed{Session: SessionID(args[0]), Status: 200, Took: 10 * time.Millisecond}
	if verb == "fail" {
		o.Status, o.Failure = 502, &Failure{Op: "status", Kind: FailureStatus, Text: "HTTP " + args[1]}
	}
	if verb == "fail" && args[1] == "dial" {
		o.Status, o.Failure = 0, &Failure{Op: "dial", Kind: FailureRefused, Text: "connection refused"}
	}
	o.Host, _ = option(args, "host")
	if status, ok := option(args, "status"); ok {
		fmt.Sscan(status, &o.Status)
	}
	if pod, ok := option(args, "pod"); ok {
		if via, _ := option(args, "via"); via == "body" {
			o.Answer.Body = []byte(`{"served-by":"web-` + pod + `"}`)
		} else {
			o.Answer.Header = []Field{{"Server", "x"}, {"X-Pod-Name", "web-" + pod}}
		}
	}
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "sent="); ok {
			o.Sent = append(o.Sent, Sent{"theme", "dark"}, Sent{"sticky", Secret(v)})
		}
	}
	name := "sticky"
	if n, ok := option(args, "name"); ok {
		name = n
	}
	for _, a := range args {
		v, ok := strings.CutPrefix(a, "set=")
		if !ok {
			continue
		}
		offer := Offer{Name: name, Value: Secret(v)}
		var age int
		if text, ok := option(args, "age"); ok {
			fmt.Sscan(text, &age)
			offer.Expires = s.now.Add(time.Duration(age) * time.Second)
		}
		offer.NotReturned, _ = option(args, "notreturned")
		_, offer.Deletes = option(args, "deletes")
		o.Offers = append(o.Offers, offer)
	}
	return o
}

func testEndpoints(args []string) []Endpoint {
	var all []Endpoint
	for i, a := range args {
		name, flag, _ := strings.Cut(a, "/")
		e := Endpoint{Addr: "10.0.0." + fmt.Sprint(name[0]) + ":80", IP: "10.0.0." + fmt.Sprint(name[0]), Pod: testPod(name), Ready: true, Serving: true}
		switch flag {
		case "notready":
			e.Ready, e.Serving = false, false
		case "terminating":
			e.Ready, e.Terminating = false, true
		}
		all = append(all, e)
		_ = i
	}
	return all
}

func testRoute(mode string) Route {
	r := Route{ID: "r", Kind: RouteIngress, Namespace: "ns", Name: "web", Host: "h", Path: "/", Backend: Backend{Service: testService, Port: "80"}}
	cookie := func(controller, mode string) Policy {
		return Policy{Mechanism: MechanismCookie, Controller: controller, Mode: mode, Cookie: CookieSpec{Name: "sticky"}, Renewal: RenewalAbsolute,
			Decoder: namedDecoder{name: controller + " " + mode, ring: mode == "balanced"}, MovesSilently: mode == "balanced", KeepsTerminating: controller == "traefik"}
	}
	var candidates []Policy
	switch mode {
	case "persistent", "balanced":
		candidates = []Policy{cookie("ingress-nginx", mode)}
	case "traefik":
		candidates = []Policy{cookie("traefik", "")}
	case "nginx-or-traefik":
		a, b := cookie("ingress-nginx", "persistent"), cookie("traefik", "")
		a.Decoder = namedDecoder{name: "ingress-nginx persistent", prefix: "n:"}
		b.Decoder = namedDecoder{name: "traefik", prefix: "t:"}
		candidates = []Policy{a, b}
	case "opaque":
		p := cookie("haproxytech", "")
		p.Decoder = nil
		candidates = []Policy{p}
	case "url":
		r.Kind, r.Backend = RouteURL, Backend{}
		p := cookie("", "")
		p.Cookie.Name, p.Renewal, p.Controller = "", RenewalUnknown, "traefik"
		q := p
		q.Controller, q.Decoder = "haproxy", namedDecoder{name: "haproxy", prefix: "x"}
		r := q
		r.Controller, r.Decoder = "openshift", namedDecoder{name: "openshift", prefix: "x"}
		candidates = []Policy{{Mechanism: MechanismUnknown}, p, q, r}
	case "off":
		candidates = []Policy{{TurnOn: "nginx.ingress.kubernetes.io/affinity=cookie"}}
	case "unread":
		candidates = []Policy{{Mechanism: MechanismUnknown, Controller: "haproxytech"}}
	case "direct":
		r.Kind = RouteService
		candidates = []Policy{{}}
	case "none", "clientip":
		candidates = []Policy{{}}
	}
	r.Layers = []Layer{{Where: LayerIngress, Object: "ingress/web", Candidates: candidates, Guessed: mode == "url"}}
	client := Policy{Mechanism: MechanismClientIP, Controller: "kube-proxy", Timeout: 3 * time.Hour, Renewal: RenewalSliding}
	bypassed := "the controller sends to pods directly"
	if mode == "clientip" || mode == "direct" {
		bypassed = ""
	}
	r.Layers = append(r.Layers, Layer{Where: LayerService, Object: "service/web", Candidates: []Policy{client}, Bypassed: bypassed})
	return r
}

// namedDecoder decodes the cookies of the scripts: the value is the pod's
// letter, or with ring set any text, which the ready endpoints share out.
type namedDecoder struct {
	name   string
	prefix string
	ring   bool
}

func (d namedDecoder) Name() string { return d.name }

func (d namedDecoder) Table(set EndpointSet) Table { return namedTable{d, set} }

type namedTable struct {
	d   namedDecoder
	set EndpointSet
}

func (t namedTable) Lookup(value string) Decoded {
	value, ok := strings.CutPrefix(value, t.d.prefix)
	if !ok || value == "" {
		return Decoded{}
	}
	if t.d.ring {
		var ready []Endpoint
		for _, e := range t.set.Current {
			if e.Ready {
				ready = append(ready, e)
			}
		}
		if len(ready) == 0 {
			return Decoded{Shaped: true}
		}
		return Decoded{Shaped: true, Endpoints: []Endpoint{ready[int(value[0])%len(ready)]}, Detail: "ring"}
	}
	for i, e := range slices.Concat(t.set.Current, t.set.Gone) {
		if e.Pod == testPod(value) {
			return Decoded{Shaped: true, Exact: true, Endpoints: []Endpoint{e}, Gone: i >= len(t.set.Current), Detail: "named"}
		}
	}
	return Decoded{Shaped: len(value) == 1}
}

// is checks a session: its condition first, then key=value pairs.
func (s *script) is(args []string) {
	s.t.Helper()
	s.checks++
	snap := s.st.Snapshot(s.now)
	x := snap.Session(SessionID(args[0]))
	if x == nil {
		s.t.Fatalf("%s: no session %s", s.where, args[0])
	}
	condition, why := x.Condition(s.now)
	if condition.String() != args[1] {
		s.t.Errorf("%s: %s is %s (%s), want %s", s.where, args[0], condition, why, args[1])
	}
	for _, a := range args[2:] {
		key, want, _ := strings.Cut(a, "=")
		if got := property(snap, x, key, s.now); got != want && (key != "why" && key != "cause" || !strings.Contains(got, want)) {
			s.t.Errorf("%s: %s of %s is %q, want %q", s.where, key, args[0], got, want)
		}
	}
}

func property(snap *Snapshot, x *Session, key string, now time.Time) string {
	_, why := x.Condition(now)
	last, _ := x.LastMove()
	fuse, running := x.Fuse(now)
	switch key {
	case "pod":
		return strings.TrimPrefix(x.Pod.Name, "web-")
	case "tag":
		return x.Tag
	case "via":
		return x.Via.String()
	case "moves":
		return fmt.Sprint(x.MoveCount)
	case "unheld":
		return fmt.Sprint(x.UnheldCount)
	case "cuts":
		return fmt.Sprint(x.CutCount, len(x.Cuts))
	case "evidence": // of a log
		for _, e := range x.Evidence {
			if e.Source == SourceLog {
				return strings.TrimPrefix(e.Pod.Name, "web-") + e.At.Sub(tNow).String()
			}
		}
		return "none"
	case "sentto": // the last request
		to, l := x.Exchanges[len(x.Exchanges)-1].SentTo, x.Legs[len(x.Legs)-1].SentTo
		if to == nil || l != to {
			return fmt.Sprint("none ", l)
		}
		return strings.TrimPrefix(to.Pod.Name, "web-") + " " + to.Addr
	case "between":
		return fmt.Sprint(last.Failures, last.Cuts)
	case "endedby":
		if x.LastEnd == nil {
			return ""
		}
		return x.LastEnd.By.String()
	case "errors":
		return fmt.Sprint(x.ErrorAnswers)
	case "status":
		return x.StatusText()
	case "failures":
		return fmt.Sprint(x.Failures)
	case "requests":
		return fmt.Sprint(x.Requests)
	case "why":
		return why
	case "cause":
		return last.Cause
	case "disagree":
		return x.Disagree
	case "first":
		return fmt.Sprint(last.FirstPin)
	case "loose":
		n := 0
		for _, x := range x.Exchanges {
			if x.Loose {
				n++
			}
		}
		return fmt.Sprint(n)
	case "changed":
		return fmt.Sprint(last.CookieChanged)
	case "pin":
		if x.Pin == nil {
			return "none"
		}
		return x.Pin.Value.Reveal()
	case "left":
		if x.Pin == nil {
			return "none"
		}
		left, ok := x.Pin.Remaining(now)
		if !ok {
			return "session"
		}
		return left.String()
	case "renewal":
		return x.Pin.Renewal.String()
	case "fuse":
		if !running {
			return "none"
		}
		return string(fuse.Letter) + fuse.Deadline.Sub(now).String()
	case "bypassed":
		for _, t := range x.Timers {
			if t.Letter == 'I' {
				return fmt.Sprint(t.Bypassed != "")
			}
		}
	case "controller":
		r, _ := snap.Route("r")
		return r.Policy().Controller
	case "mechanism":
		r, _ := snap.Route("r")
		return r.Layers[0].Policy().Mechanism.String()
	case "cookie":
		r, _ := snap.Route("r")
		return r.Layers[0].Policy().Cookie.Name
	case "hint":
		r, _ := snap.Route("r")
		return r.Layers[0].Hint
	case "settled":
		r, _ := snap.Route("r")
		return fmt.Sprint(r.Layers[0].Settled())
	}
	return "no property " + key
}

func (s *script) timeline(args []string) {
	s.t.Helper()
	s.checks++
	all := s.st.Snapshot(s.now).Timeline
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Kind == args[0] {
			line := all[i].Text + " · " + all[i].CauseText
			if end, exact := strings.CutSuffix(args[1], "$"); exact && !strings.HasSuffix(line, end) || !exact && !strings.Contains(line, args[1]) {
				s.t.Errorf("%s: newest %s line is %q, want %q in it", s.where, args[0], line, args[1])
			}
			return
		}
	}
	if args[1] != "none" {
		s.t.Errorf("%s: no line of kind %s", s.where, args[0])
	}
}
