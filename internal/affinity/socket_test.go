package affinity

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The scripts in testdata/sockets/RULE prove the verdicts of sockets: those
// named good_*.txt that the rule stays silent, the others that it speaks. They
// may use what TestFold's can, and
//
//	0 proxy persistent 60s          a route whose proxy cuts after 60 s of silence
//	0 open s01 browser socketio     client model and transport
//	0 leg s01 handshake pod=a set=a one request; options as of answer
//	1 leg s01 poll pod=b sent=a code=1 text="Session ID unknown"
//	                                refused by the server: 400 and Engine.IO's code
//	1 leg s01 handshake html=404    an answer of another protocol
//	1 leg s01 handshake version=3   an answer in that version of Engine.IO, not the client's
//	1 leg s01 poll status=502       the ingress's own word
//	1 restarted a 1 end="Error, exit code 1"
//	                                the pod's restart count, and how its container ended
//	1 socket s01 websocket ping=25 timeout=20 joined
//	                                how the held connection stands; what is left out stays; eio=3: in that version
//	61 ended s01 cut silent=60      by whom: cut, server, client, proxy; told: the last request's failure told of it
//	1 judged I06 word               the rule says of the Ingress of the route that it takes "kubectl word"
//	1 said s01 pod=a                the application names its pod, on the last leg
//	1 logged s01 a poll             a log names the pod of the latest leg of that name; own: its own log does; was=b: whose
//	                                the address was then; 502: the line is of a proxy's own answer
//	1 saidof s01 r3 pod=a           the application names its pod, on the third request
//	1 lateword s01 a r3             a log names the pod of the third request
//	1 finds I01 exact critical "…"  the finding is there, complete; its title, evidence, fix or patch has the text
//	61 since 61 I05 cut             those of that rule with the word in their title are as of that second
//	1 affects B07 "s01 +1"          the session that showed it, and how many others
//	1 silent I01                    no finding of that rule; without a rule, none at all
func TestSocketVerdicts(t *testing.T) {
	files, err := filepath.Glob("testdata/sockets/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		rule := filepath.Base(filepath.Dir(file))
		t.Run(rule+"/"+strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text := play(t, file)
			good := strings.HasPrefix(filepath.Base(file), "good")
			if want := map[bool]string{true: " silent", false: " finds " + rule}[good]; !strings.Contains(text, want) {
				t.Errorf("the script does not say%q", want)
			}
		})
	}
}

func (s *script) socketEvents(verb string, args []string) []Event {
	id := SessionID("")
	if len(args) > 0 {
		id = SessionID(args[0])
	}
	switch verb {
	case "judged":
		r := testRoute("persistent")
		return []Event{Findings{Source: "rules", Findings: []Finding{{Rule: args[0], Title: "x", Severity: SeverityHigh, Object: ObjectRef{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name},
			Fix: "theirs", Patch: "kubectl " + args[1]}}}}
	case "proxy":
		r := testRoute(args[0])
		r.Layers[0].Candidates[0].ReadTimeout, _ = time.ParseDuration(args[1])
		r.Layers[0].Candidates[0].ReadTimeoutWhy = "by the script"
		p := &r.Layers[0].Candidates[0]
		p.AnswerTimeout, p.AnswerTimeoutWhy = p.ReadTimeout, p.ReadTimeoutWhy
		return []Event{Routes{Source: "test", Routes: []Route{r}}}
	case "restarted":
		n := 0
		fmt.Sscan(args[1], &n)
		end, _ := option(args, "end")
		return []Event{PodChanged{Pod{Ref: testPod(args[0]), Ready: true, Phase: "Running", Restarts: n, LastEnd: end,
			Owner: "ReplicaSet/web-7c9f", Labels: map[string]string{"pod-template-hash": "7c9f"}}}}
	case "leg":
		return []Event{s.legEvent(args)}
	case "socket", "ended":
		return []Event{s.socketEvent(verb, id, args[1:])}
	case "said":
		pod, _ := option(args, "pod")
		return []Event{Attributed{Session: id, RequestID: fmt.Sprintf("r%d", s.leg), Source: SourceBody, Answer: Answer{Body: []byte(`{"pod":"web-` + pod + `"}`)}}}
	case "logged":
		l, ok := s.st.Snapshot(s.now).Session(id).Leg(args[2])
		if !ok {
			s.t.Fatalf("%s: %s has no leg %s", s.where, id, args[2])
		}
		pod := PodRef{}
		if name, was := option(args, "was"); was {
			pod = testPod(name)
		}
		if slices.Contains(args, "own") {
			return []Event{Attributed{Session: id, RequestID: l.RequestID, Source: SourceLog, Pod: testPod(args[1]), Detail: "log of " + args[1]}}
		}
		return []Event{Attributed{Session: id, RequestID: l.RequestID, Source: SourceLog, Addr: testEndpoints(args[1:2])[0].Addr, Pod: pod,
			Unanswered: slices.Contains(args, "502")}}
	case "saidof":
		pod, _ := option(args, "pod")
		return []Event{Attributed{Session: id, RequestID: args[1], Source: SourceBody, Answer: Answer{Body: []byte(`{"pod":"web-` + pod + `"}`)}}}
	case "lateword":
		return []Event{Attributed{Session: id, RequestID: args[2], Source: SourceLog, Addr: testEndpoints(args[1:2])[0].Addr}}
	}
	return nil
}

func (s *script) legEvent(args []string) Observed {
	s.leg++
	o := s.observed("answer", args)
	o.Leg, o.RequestID = args[1], fmt.Sprintf("r%d", s.leg)
	if o.Leg == LegUpgrade {
		o.Status = 101
	}
	if text, ok := option(args, "code"); ok {
		words, _ := option(args, "text")
		o.Status, o.Refused = 400, &Refusal{Message: words}
		fmt.Sscan(text, &o.Refused.Code)
		o.Failure = &Failure{Op: "status", Kind: FailureDenied, Text: fmt.Sprintf("400 %s (code %s)", words, text)}
		switch o.Refused.Code {
		case 1:
			o.Failure.Kind = FailureSession
		case 5:
			o.Failure.Kind, o.Failure.Text = FailureVersion, "the server speaks Engine.IO 4, the client 3: "+o.Failure.Text
		}
	}
	if text, ok := option(args, "html"); ok {
		fmt.Sscan(text, &o.Status)
		o.Failure = &Failure{Op: "status", Kind: FailureForeign, Text: text + " with text/html in place of Engine.IO: <!doctype html>"}
	}
	if text, ok := option(args, "version"); ok {
		o.Failure = &Failure{Op: "read", Kind: FailureVersion, Text: "the server speaks Engine.IO " + text + ", the client 4"}
	}
	if text, ok := option(args, "took"); ok {
		o.Took, _ = time.ParseDuration(text)
	}
	if slices.Contains(args, "timeout") {
		o.Status, o.Failure = 0, &Failure{Op: "read", Kind: FailureTimeout, Text: "no answer within 10s"}
	}
	if text, ok := option(args, "status"); ok {
		fmt.Sscan(text, &o.Status)
		o.Failure = &Failure{Op: "status", Kind: FailureStatus, Text: text + " by the ingress"}
	}
	return o
}

func (s *script) socketEvent(verb string, id SessionID, args []string) SocketChanged {
	if s.held == nil {
		s.held = map[SessionID]Socket{}
	}
	held, ok := s.held[id]
	if !ok || held.Ended != nil {
		held = Socket{Opened: s.now, Protocol: "Engine.IO 4"}
	}
	seconds := func(key string, d *time.Duration) {
		var n float64
		if text, ok := option(args, key); ok {
			fmt.Sscan(text, &n)
			*d = time.Duration(n * float64(time.Second))
		}
	}
	if verb == "socket" {
		if text, ok := option(args, "eio"); ok {
			held.Protocol = "Engine.IO " + text
		}
		held.Carrier, held.Heard, held.Active, held.Beat = args[0], s.now, s.now, s.now
		seconds("ping", &held.PingInterval)
		seconds("timeout", &held.PingTimeout)
		for _, a := range args {
			held.Joined = held.Joined || a == "joined"
			held.Idle = held.Idle || a == "idle"
		}
	} else {
		end := SocketEnd{At: s.now, Lasted: s.now.Sub(held.Opened), By: map[string]EndedBy{"client": EndedByClient, "server": EndedByServer, "cut": EndedByUnknown, "proxy": EndedByProxy}[args[0]]}
		seconds("silent", &end.Silent)
		end.Text = fmt.Sprintf("%s after %s without a frame", args[0], end.Silent)
		end.Failed = &Failure{Op: "read", Kind: FailureClosed, Text: end.Text}
		if slices.Contains(args, "told") { // by the request that failed
			end.Failed = s.st.sessions[id].LastFailure
		}
		held.Ended = &end
	}
	s.held[id] = held
	return SocketChanged{Session: id, Socket: held}
}

// finding checks what the sockets showed: finds RULE CERTAINTY SEVERITY TEXT…,
// silent [RULE].
func (s *script) finding(verb string, args []string) {
	s.t.Helper()
	s.checks++
	var of []Finding
	for _, f := range s.st.Snapshot(s.now).Findings {
		if len(args) == 0 || f.Rule == args[0] {
			of = append(of, f)
		}
	}
	if verb == "silent" {
		for _, f := range of {
			s.t.Errorf("%s: %s %s %q, want silence", s.where, f.Rule, f.Certainty, f.Title)
		}
		return
	}
	if len(of) == 0 {
		s.t.Errorf("%s: no finding %s", s.where, args[0])
		return
	}
	errs := ""
	for _, f := range of {
		if errs = s.lacks(f, args[1:]); errs == "" {
			return
		}
	}
	s.t.Errorf("%s: %s", s.where, errs)
}

// affects checks which sessions showed a finding: affects RULE SESSIONS.
func (s *script) affects(args []string) {
	s.t.Helper()
	s.checks++
	for _, f := range s.st.Snapshot(s.now).Findings {
		if f.Rule == args[0] && f.Affects() == args[1] {
			return
		}
	}
	s.t.Errorf("%s: no %s that affects %q", s.where, args[0], args[1])
}

// since checks as of when findings are: since SECOND RULE TITLE.
func (s *script) since(args []string) {
	s.t.Helper()
	s.checks++
	at, err := time.ParseDuration(args[0] + "s")
	n := 0
	for _, f := range s.st.Snapshot(s.now).Findings {
		if f.Rule != args[1] || !strings.Contains(f.Title, args[2]) {
			continue
		}
		if n++; err != nil || !f.At.Equal(tNow.Add(at)) {
			s.t.Errorf("%s: %s %q is as of %s, want %s (%v)", s.where, f.Rule, f.Title, f.At.Sub(tNow), at, err)
		}
	}
	if n == 0 {
		s.t.Errorf("%s: no %s with %q", s.where, args[1], args[2])
	}
}

// lacks says what f has not of what is wanted, or of what every finding needs.
func (s *script) lacks(f Finding, want []string) string {
	all := []string{f.Title, f.Impact, f.Fix, f.Patch, f.Verify}
	for _, e := range f.Evidence {
		all = append(all, e.Source+" "+e.Field+" "+e.Value+" "+e.Text)
	}
	text := strings.Join(all, "\n")
	switch {
	case f.Certainty.String() != want[0] || f.Severity.String() != want[1]:
		return fmt.Sprintf("%s is %s %s (%s), want %v", f.Rule, f.Certainty, f.Severity, f.Title, want[:2])
	case f.Title == "" || f.Impact == "" || f.Fix == "" || f.Verify == "" || len(f.Evidence) == 0 || f.Session == "" || f.Route == "" || f.At.IsZero():
		return fmt.Sprintf("%s is not complete: %+v", f.Rule, f)
	case len([]rune(f.Title)) > maxTitle:
		return fmt.Sprintf("%s has a title of %d runes: %q", f.Rule, len([]rune(f.Title)), f.Title)
	}
	for _, w := range want[2:] {
		if !strings.Contains(text, w) {
			return fmt.Sprintf("%s has no %q in\n%s", f.Rule, w, text)
		}
	}
	return ""
}
