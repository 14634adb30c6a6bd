package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/probe"
)

const patience = 20 * time.Second

// run starts a world and ends it with the test.
func run(t *testing.T, o demo.Options) *demo.World {
	t.Helper()
	w, err := demo.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	return w
}

// user is a client of the chat, as simple as can be.
type user struct {
	name   string
	client *http.Client
}

func newUser(w *demo.World, n int) *user {
	u := &user{name: fmt.Sprintf("test-s%02d", n), client: &http.Client{
		Transport: &http.Transport{DialContext: w.DialContext, DisableKeepAlives: true},
		Timeout:   5 * time.Second,
	}}
	if w.Client() == affinity.ClientBrowser {
		u.client.Jar, _ = cookiejar.New(nil)
	}
	return u
}

// ask sends one request and returns the pod that the answer names.
func (u *user) ask(ctx context.Context) (pod string, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://chat.example.com/api/health", nil)
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("X-Stickytop-Session", u.name)
	resp, err := u.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0, err
	}
	var named struct{ Pod string }
	_ = json.Unmarshal(body, &named) // an error page is no JSON
	return named.Pod + resp.Header.Get("X-Pod-Name"), resp.StatusCode, nil
}

// outcome is what a log amounts to.
type outcome struct {
	sessions                        map[string]int
	moves, silent, repins, failures int
}

// unmet lists what a scenario expects and o does not show.
func (o outcome) unmet(want demo.Expect) (all []string) {
	check := func(what string, got int, bound demo.Bound) {
		if !bound.Holds(got) {
			all = append(all, fmt.Sprintf("%d %s, want %v", got, what, bound))
		}
	}
	for name, bound := range want.Sessions {
		check("sessions "+name, o.sessions[name], bound)
	}
	check("moves", o.moves, want.Moves)
	check("silent moves", o.silent, want.Silent)
	check("re-pins", o.repins, want.RePins)
	check("failures", o.failures, want.Failures)
	return all
}

// outcomeOf folds the access log by the definitions of affinity.Condition.
func outcomeOf(log []demo.Entry) outcome {
	type session struct {
		pod           affinity.PodRef
		offered, sent bool // ever, in the last request
		last          affinity.Condition
	}
	o := outcome{sessions: map[string]int{}}
	sessions := map[string]*session{}
	for _, e := range log {
		s := sessions[e.Client]
		if s == nil {
			s = &session{}
			sessions[e.Client] = s
		}
		if e.Status != http.StatusOK {
			o.failures++
			s.last = affinity.Failing
			continue
		}
		offers := len(e.SetCookie) > 0
		moved := !s.pod.IsZero() && s.pod != e.Pod
		first := offers && !s.offered // a pin where there was none
		s.pod, s.offered, s.sent = e.Pod, s.offered || offers, strings.Contains(e.Cookie, "msgapp-sticky=")
		switch {
		case moved && first:
			o.moves, s.last = o.moves+1, affinity.Stuck
		case moved && offers:
			o.moves, o.repins, s.last = o.moves+1, o.repins+1, affinity.RePinned
		case moved:
			o.moves, o.silent, s.last = o.moves+1, o.silent+1, affinity.MovedSilent
		case s.last != affinity.RePinned && s.last != affinity.MovedSilent:
			s.last = affinity.Stuck
		}
	}
	for _, s := range sessions {
		switch {
		case s.last == affinity.Failing:
		case !s.offered && !s.sent:
			s.last = affinity.Cookieless
		case !s.sent:
			s.last = affinity.NotReturned
		}
		o.sessions[s.last.String()]++
	}
	return o
}

// TestScenarios plays each scenario to six users and holds the ingress's log
// against what the scenario promises.
func TestScenarios(t *testing.T) {
	for _, info := range demo.Scenarios() {
		if info.Transport != "http" {
			continue // TestSocketIOStory
		}
		t.Run(info.Name, func(t *testing.T) {
			t.Parallel()
			speed := 4.0
			if info.Name == "expired" {
				speed = 1 // cookies burn at their own pace
			}
			w := run(t, demo.Options{Scenario: info.Name, Speed: speed})
			scaled := func(d time.Duration) time.Duration { return time.Duration(float64(d) / speed) }
			ctx, cancel := context.WithCancel(t.Context())
			var users sync.WaitGroup
			for n := range 6 {
				users.Go(func() {
					u := newUser(w, n+1)
					for tick := time.NewTicker(scaled(time.Second)); ctx.Err() == nil; <-tick.C {
						_, _, _ = u.ask(t.Context()) // the log has what happened
					}
				})
			}
			time.Sleep(scaled(info.Expect.After.Duration))
			// On a busy machine the world may be late.
			late := time.Now().Add(patience)
			for len(outcomeOf(w.AccessLog()).unmet(info.Expect)) > 0 && time.Now().Before(late) {
				time.Sleep(scaled(time.Second))
			}
			cancel()
			users.Wait()
			got := outcomeOf(w.AccessLog())
			for _, unmet := range got.unmet(info.Expect) {
				t.Error(unmet)
			}
			t.Logf("%+v", got)
		})
	}
}

func TestScenariosAreTold(t *testing.T) {
	all := demo.Scenarios()
	if len(all) < 10 || all[0].Name != demo.Default {
		t.Fatalf("%d scenarios, the first is %s", len(all), all[0].Name)
	}
	conditions := map[string]bool{}
	for _, c := range affinity.Conditions() {
		conditions[c.String()] = true
	}
	for _, info := range all {
		if info.Title == "" || info.Story == "" || info.Expect.After.Duration <= 0 {
			t.Errorf("%s lacks a title, a story or a time", info.Name)
		}
		for line := range strings.SplitSeq(info.Story, "\n") {
			if len(line) > 78 {
				t.Errorf("%s: a line of %d characters", info.Name, len(line))
			}
		}
		if !slices.Contains(probe.Transports(), info.Transport) {
			t.Errorf("%s is told to %q, which no client speaks", info.Name, info.Transport)
		}
		for name := range info.Expect.Sessions {
			if !conditions[name] {
				t.Errorf("%s expects %s, which is no condition", info.Name, name)
			}
		}
	}
}

func TestUnknownNames(t *testing.T) {
	_, err := demo.New(demo.Options{Scenario: "../nope\x1b"})
	if err == nil || !strings.Contains(err.Error(), `"../nope·"`) || !strings.Contains(err.Error(), "scale-balanced") {
		t.Errorf("%v, want the known scenarios and no escape sequence", err)
	}
	w, err := demo.New(demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Do("nope"); err == nil {
		t.Error("an unknown action succeeds")
	}
	keys := map[string]bool{}
	for _, a := range w.Actions() {
		if a.Name == "" || a.Title == "" || keys[a.Key] {
			t.Errorf("action %+v lacks something or shares its key", a)
		}
		keys[a.Key] = true
	}
}

func TestSeedMakesTheSameWorld(t *testing.T) {
	world := func(seed uint64) (all []string) {
		w := run(t, demo.Options{Scenario: "scale-balanced", Seed: seed})
		for n := range 6 {
			pod, status, err := newUser(w, n).ask(t.Context())
			if err != nil || status != 200 {
				t.Fatal(status, err)
			}
			all = append(all, pod)
		}
		return all
	}
	a, b, other := world(5), world(5), world(6)
	if !slices.Equal(a, b) {
		t.Errorf("one seed: %v and %v", a, b)
	}
	if slices.Equal(a, other) {
		t.Errorf("two seeds: %v", a)
	}
}

func TestNewIsQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	best := time.Hour
	for range 5 {
		began := time.Now()
		w, err := demo.New(demo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("New takes %v", best)
	if best > 100*time.Millisecond {
		t.Errorf("New takes %v, want less than 100 ms", best)
	}
}
