package affinity

import (
	"fmt"
	"testing"
	"time"
)

// FuzzSocketFold folds any order of what sources tell of sockets and pods: two
// bytes an event. Whatever comes, each verdict is complete and there once, and
// no snapshot changes after it was taken.
func FuzzSocketFold(f *testing.F) {
	f.Add([]byte("\x00\x00\x10\x01\x11\x05\x12\x06\x40\x00\x50\x01\x61\x02"))
	f.Add([]byte("\x00\x04\x10\x00\x12\x09\x12\x09\x70\x00\x12\x09\x80\x01\x90\x00"))
	f.Add([]byte("\x10\x00\x30\x11\x31\x22\x10\x01\x30\x41\x12\x0d\xa0\x00\xb0\x00\xc0\x03"))
	f.Add([]byte("\x10\x00\x15\x22\x10\x03\x43\x01\x70\x00\x80\x00")) // I01, I04, and the pod was ending
	f.Fuzz(func(t *testing.T, script []byte) {
		s := &driven{st: &State{}, now: tNow}
		s.apply(Routes{Source: "test", Routes: []Route{testRoute("persistent")}}, EndpointsChanged{Service: testService, Endpoints: testEndpoints([]string{"a", "b"})})
		for _, id := range []string{"s01", "s02"} {
			client := ClientBrowser
			if id == "s02" {
				client = ClientNoJar
			}
			s.apply(SessionOpened{SessionSpec{ID: SessionID(id), Route: "r", Transport: "socketio", Client: client}})
		}
		script = script[:min(len(script), 400)]
		var frozen []*Snapshot
		var texts []string
		for i := 0; i+1 < len(script); i += 2 {
			s.step(script[i], script[i+1])
			if i%16 == 0 {
				snap := s.st.Snapshot(s.now)
				frozen, texts = append(frozen, snap), append(texts, dump(snap))
			}
		}
		for i, old := range frozen {
			if dump(old) != texts[i] {
				t.Fatal("a snapshot changed after it was taken")
			}
		}
		seen := map[string]bool{}
		for _, x := range s.st.Snapshot(s.now).Findings {
			key := fmt.Sprint(x.Rule, x.Route, x.Session, x.Title)
			if seen[key] || x.Title == "" || x.Impact == "" || x.Fix == "" || x.Verify == "" || len(x.Evidence) == 0 || len([]rune(x.Title)) > maxTitle || x.At.IsZero() {
				t.Errorf("%+v", x)
			}
			seen[key] = true
		}
		if _, hidden := s.st.found[foundKey{"I04", "r", ""}]; hidden {
			if _, _, broken := s.st.breaksPolling("r"); !broken {
				t.Error("I04 hides nothing")
			}
		}
	})
}

// driven is a State that bytes drive.
type driven struct {
	st  *State
	now time.Time
	n   int
}

func (s *driven) apply(events ...Event) {
	for _, e := range events {
		s.st.Apply(e, s.now)
	}
}

func (s *driven) step(what, how byte) {
	id := SessionID([]string{"s01", "s02"}[how&1])
	pod := []string{"a", "b", "c", ""}[how>>1&3]
	s.now = s.now.Add(time.Duration(how>>4) * 3 * time.Second)
	switch what >> 4 % 14 {
	case 0:
		s.apply(EndpointsChanged{Service: testService, Endpoints: testEndpoints([][]string{{"a"}, {"a", "b"}, {"b/notready", "a"}, {"a", "b", "c"}}[how&3])})
	case 1, 2, 3:
		s.apply(s.leg(id, pod, what&7, how>>3))
	case 4, 5, 6:
		s.apply(s.socket(id, what, how))
	case 7:
		s.apply(PodChanged{Pod{Ref: testPod("a"), Ready: true, Restarts: int(how & 3), Created: tNow}})
	case 8:
		s.apply(PodChanged{Pod{Ref: testPod("ab"[how&1 : how&1+1]), Deletion: s.now.Add(30 * time.Second), Grace: 30 * time.Second}})
	case 9:
		s.apply(PodGone{testPod("ab"[how&1 : how&1+1])})
	case 10:
		s.apply(ClusterEvent{Kind: "ingress", Subject: "Ingress web", Text: "x", Route: "r"})
	case 11:
		s.apply(Attributed{Session: id, RequestID: fmt.Sprintf("r%d", s.n-int(what&3)), Source: SourceLog, Addr: testEndpoints([]string{"ab"[how&1 : how&1+1]})[0].Addr})
	case 12:
		s.apply(CookieDropped{Session: id, Name: "sticky", Reason: "x", Expired: how&4 > 0})
	case 13:
		r := testRoute([]string{"persistent", "balanced", "none", "traefik"}[how&3])
		r.Layers[0].Candidates[0].ReadTimeout = time.Duration(how>>4) * 10 * time.Second
		s.apply(Routes{Source: "test", Routes: []Route{r}})
	}
}

func (s *driven) leg(id SessionID, pod string, name, how byte) Observed {
	s.n++
	o := Observed{Session: id, RequestID: fmt.Sprintf("r%d", s.n), Leg: []string{LegHandshake, LegConnect, LegPoll, LegPost, LegUpgrade, LegPoll, LegHandshake, LegPreflight}[name], Status: 200, Took: time.Millisecond}
	if pod != "" {
		o.Answer.Header = []Field{{"X-Pod-Name", "web-" + pod}}
	}
	if how&1 > 0 {
		o.Offers = []Offer{{Name: "sticky", Value: "a", NotReturned: []string{"", "Path=/x does not cover /", "SameSite=Lax", ""}[how>>1&3]}}
	}
	if how&8 > 0 {
		o.Sent = []Sent{{"sticky", "a"}}
	}
	if how&16 > 0 || name == 5 {
		o.Status, o.Refused = 400, &Refusal{Code: int(how>>1&7) - 1, Message: "no"}
		o.Failure = &Failure{Op: "status", Kind: FailureSession, Text: "400 no"}
	}
	return o
}

func (s *driven) socket(id SessionID, what, how byte) SocketChanged {
	held := Socket{Protocol: "Engine.IO 4", Carrier: []string{CarrierPolling, CarrierWebSocket}[what&1], Opened: s.now, Heard: s.now, Active: s.now, Beat: s.now,
		PingInterval: time.Duration(how&7) * 10 * time.Second, PingTimeout: 20 * time.Second, Joined: what&2 > 0, Idle: what&4 > 0}
	if what&8 > 0 {
		held.Ended = &SocketEnd{At: s.now, Silent: time.Duration(how) * time.Second, By: EndedBy(how % 3), Text: "x", Failed: &Failure{Text: "x"}}
	}
	return SocketChanged{Session: id, Socket: held}
}
