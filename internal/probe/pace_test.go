package probe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// scripted is a transport without a network: answers take took, and are what
// reply says for the n-th request of a session.
type scripted struct {
	took  time.Duration
	reply func(id affinity.SessionID, n int, t Target) Trip

	mu   sync.Mutex
	asks []ask
}

type ask struct {
	at time.Time
	id affinity.SessionID
	to string
}

func (*scripted) Name() string { return "http" }

func (s *scripted) Open(c *Client) Session { return &scriptedSession{script: s, client: c} }

type scriptedSession struct {
	script *scripted
	client *Client
	n      int
}

func (s *scriptedSession) Close() {}

func (s *scriptedSession) Observe(ctx context.Context, t Target) Trip {
	s.script.mu.Lock()
	s.script.asks = append(s.script.asks, ask{time.Now(), s.client.spec.ID, t.Addrs[0]})
	s.script.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(s.script.took):
	}
	trip := Trip{Observed: affinity.Observed{Status: 200}}
	if s.script.reply != nil {
		trip = s.script.reply(s.client.spec.ID, s.n, t)
	}
	trip.Observed.Session = s.client.spec.ID
	s.n++
	return trip
}

func (s *scripted) all() []ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asks)
}

// run runs plan for d of a bubble's time.
func (s *scripted) run(t *testing.T, o Options, plan affinity.Plan, d time.Duration, meanwhile func(*Runner)) []affinity.Event {
	t.Helper()
	r, err := newRunner(o, []Transport{s})
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx, rec.emit); err != nil {
			t.Errorf("Run = %v", err)
		}
	}()
	r.Want(plan)
	if meanwhile != nil {
		meanwhile(r)
	}
	time.Sleep(d)
	cancel()
	<-done
	return rec.all()
}

func failed(kind affinity.FailureKind) Trip {
	return Trip{Observed: affinity.Observed{Failure: &affinity.Failure{Op: "dial", Kind: kind, Text: "no"}}}
}

func TestOneRequestASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{took: 20 * time.Millisecond}
		began := time.Now()
		s.run(t, Options{}, urlPlan("http://127.0.0.1:1/", 6, affinity.ClientBrowser), time.Minute, nil)
		last := map[affinity.SessionID]time.Time{}
		count := map[affinity.SessionID]int{}
		var first []time.Duration
		varied := map[time.Duration]bool{}
		for _, a := range s.all() {
			count[a.id]++
			before, again := last[a.id]
			last[a.id] = a.at
			if !again {
				first = append(first, a.at.Sub(began))
				continue
			}
			gap := a.at.Sub(before)
			varied[gap] = true
			if gap < 900*time.Millisecond || gap > 1140*time.Millisecond { // 20 ms more for a token
				t.Errorf("%s waited %s", a.id, gap)
			}
		}
		for id, n := range count {
			if n < 56 || n > 66 {
				t.Errorf("%s asked %d times in a minute", id, n)
			}
		}
		if len(count) != 6 || len(varied) < 100 {
			t.Errorf("%d sessions, %d different gaps", len(count), len(varied))
		}
		for i, at := range first {
			if want := time.Duration(i) * time.Second / 6; at < want || at > want+50*time.Millisecond {
				t.Errorf("session %d began after %s, want %s", i, at, want)
			}
		}
	})
}

// TestBudget has 500 sessions share 50 requests a second.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{took: 5 * time.Millisecond}
		s.run(t, Options{}, urlPlan("http://127.0.0.1:1/", 700, affinity.ClientBrowser), 2*time.Minute, nil)
		asks := s.all()
		if most := busiest(asks); most > 50 {
			t.Errorf("%d requests within one second", most)
		}
		if len(asks) < 5000 {
			t.Errorf("%d requests in two minutes: the budget of 6000 is not used", len(asks))
		}
		count := map[affinity.SessionID]int{}
		for _, a := range asks {
			count[a.id]++
		}
		if len(count) != MaxSessions {
			t.Errorf("%d sessions, want the cap of %d", len(count), MaxSessions)
		}
		for id, n := range count {
			if n < 9 || n > 13 {
				t.Errorf("%s asked %d times where the fair share is about 11", id, n)
			}
		}
	})
}

// busiest returns the most requests within any one second, give or take the
// nanosecond that the token bucket rounds by.
func busiest(asks []ask) int {
	most, from := 0, 0
	for i, a := range asks {
		for a.at.Sub(asks[from].at) >= time.Second-time.Microsecond {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func TestBackoff(t *testing.T) {
	tests := []struct {
		name  string
		reply func(id affinity.SessionID, n int, t Target) Trip
		want  []float64 // seconds between requests, ±10 %
	}{
		{"refused", func(affinity.SessionID, int, Target) Trip { return failed(affinity.FailureRefused) },
			[]float64{1, 1, 2, 4, 8, 16, 30, 30, 30}},
		{"the ingress has no pod", func(affinity.SessionID, int, Target) Trip { return failed(affinity.FailureStatus) },
			[]float64{1, 1, 2, 4, 5, 5, 5}},
		{"a server in trouble", func(_ affinity.SessionID, n int, _ Target) Trip {
			if n == 6 {
				return Trip{Observed: affinity.Observed{Status: 200}}
			}
			return Trip{Observed: affinity.Observed{Status: 500}}
		}, []float64{1, 1, 2, 4, 5, 5, 1, 1, 1, 2, 4, 5}},
		{"what the application says of the path", func(affinity.SessionID, int, Target) Trip { return Trip{Observed: affinity.Observed{Status: 401}} },
			[]float64{1, 1, 1, 1, 1, 1}},
		{"an answer resets it", func(_ affinity.SessionID, n int, _ Target) Trip {
			if n == 3 {
				return Trip{Observed: affinity.Observed{Status: 200}}
			}
			return failed(affinity.FailureStatus)
		}, []float64{1, 1, 2, 1, 1, 1, 2, 4}},
		{"a re-pin is seen soon", func(_ affinity.SessionID, n int, _ Target) Trip {
			if n == 1 || n == 2 {
				return failed(affinity.FailureRefused)
			}
			return Trip{Observed: affinity.Observed{Status: 200}}
		}, []float64{1, 1, 1, 1}},
		{"Retry-After", func(affinity.SessionID, int, Target) Trip {
			trip := failed(affinity.FailureLimited)
			trip.RetryAfter = 20 * time.Second
			return trip
		}, []float64{20, 20, 20}},
		{"Retry-After shorter than the pause", func(affinity.SessionID, int, Target) Trip {
			trip := failed(affinity.FailureLimited)
			trip.RetryAfter = 3 * time.Second
			return trip
		}, []float64{3, 3, 3, 4, 8}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{reply: tt.reply}
				s.run(t, Options{}, urlPlan("http://127.0.0.1:1/", 1, affinity.ClientBrowser), 5*time.Minute, nil)
				asks := s.all()
				if len(asks) <= len(tt.want) {
					t.Fatalf("%d requests", len(asks))
				}
				for i, want := range tt.want {
					got := asks[i+1].at.Sub(asks[i].at).Seconds()
					if got < want*0.89 || got > want*1.11 {
						t.Errorf("pause %d is %.2f s, want about %g", i, got, want)
					}
				}
			})
		})
	}
}

// TestSentAwayEnds: one request, and one more when the user asks.
func TestSentAwayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(affinity.SessionID, int, Target) Trip { return failed(affinity.FailureRedirect) }}
		before := 0
		s.run(t, Options{}, urlPlan("http://127.0.0.1:1/", 1, affinity.ClientBrowser), time.Hour, func(r *Runner) {
			time.Sleep(time.Hour)
			before = len(s.all())
			r.Do(affinity.Command{Kind: affinity.CommandReprobe, Session: "s01"})
		})
		if after := len(s.all()); before != 1 || after != 2 {
			t.Errorf("%d requests, and %d once the user asked", before, after)
		}
	})
}

func TestSlowAnswersAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{took: 3 * time.Second}
		s.run(t, Options{}, urlPlan("http://127.0.0.1:1/", 1, affinity.ClientBrowser), time.Minute, nil)
		asks := s.all()
		for i := range asks[1:] {
			if gap := asks[i+1].at.Sub(asks[i].at); gap < 3400*time.Millisecond || gap > 3600*time.Millisecond {
				t.Errorf("gap %s, want 3 s and half an interval", gap)
			}
		}
		if len(asks) < 15 {
			t.Errorf("%d requests", len(asks))
		}
	})
}

func TestReprobe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(affinity.SessionID, int, Target) Trip { return failed(affinity.FailureRefused) }}
		var at []time.Time
		s.run(t, Options{}, urlPlan("http://127.0.0.1:1/", 1, affinity.ClientBrowser), time.Second, func(r *Runner) {
			time.Sleep(50 * time.Second) // deep in a pause of 30 s
			for range 20 {               // a key held down
				at = append(at, time.Now())
				r.Do(affinity.Command{Kind: affinity.CommandReprobe, Session: "s01"})
				time.Sleep(50 * time.Millisecond)
			}
		})
		n, soon := 0, false
		for _, a := range s.all() {
			if d := a.at.Sub(at[0]); d >= 0 && d <= time.Second {
				n++
				soon = soon || d < 10*time.Millisecond
			}
		}
		if !soon || n < 3 || n > 5 {
			t.Errorf("%d requests in the second of a held key, at once: %v", n, soon)
		}
	})
}

func TestReprobeOfARoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(affinity.SessionID, int, Target) Trip { return failed(affinity.FailureRefused) }}
		routes := []affinity.Route{{ID: "a", Kind: affinity.RouteURL, URL: "http://127.0.0.1:1/"}, {ID: "b", Kind: affinity.RouteURL, URL: "http://127.0.0.1:2/"}}
		plan := affinity.MakePlan(nil, routes, affinity.Budget{PerRoute: 3})
		var at time.Time
		s.run(t, Options{}, plan, 200*time.Millisecond, func(r *Runner) {
			time.Sleep(47 * time.Second)
			at = time.Now()
			r.Do(affinity.Command{Kind: affinity.CommandReprobe, Route: "b"})
			r.Do(affinity.Command{Kind: affinity.CommandOpen, Route: "b"}) // not ours
		})
		got := map[string]int{}
		for _, a := range s.all() {
			if !a.at.Before(at) {
				got[a.to]++
			}
		}
		if fmt.Sprint(got) != "map[127.0.0.1:2:3]" {
			t.Errorf("asked at once: %v", got)
		}
	})
}

// TestErrorPagesAreLeftAlone: a 404 that nothing shows a pod behind is asked for
// less and less, until one is known to be.
func TestErrorPagesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(affinity.SessionID, int, Target) Trip { return Trip{Observed: affinity.Observed{Status: 404}} }}
		plan := urlPlan("http://127.0.0.1:1/", 1, affinity.ClientBrowser)
		var known time.Time
		s.run(t, Options{}, plan, 20*time.Second, func(r *Runner) {
			plan := plan
			plan.Faceless = map[affinity.SessionID]bool{"s01": true}
			r.Want(plan)
			time.Sleep(time.Minute)
			plan.Faceless, known = nil, time.Now()
			r.Want(plan)
		})
		before, after := 0, 0
		for _, a := range s.all() {
			if a.at.Before(known) {
				before++
			} else {
				after++
			}
		}
		if before < 12 || before > 18 || after < 14 {
			t.Errorf("%d requests in a minute of error pages, want about 15; then %d in 20 s of a pod's", before, after)
		}
	})
}
