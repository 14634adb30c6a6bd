package probe

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// recorder collects what a Runner emits.
type recorder struct {
	mu     sync.Mutex
	events []affinity.Event
	more   chan struct{}
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{}, 1)} }

func (r *recorder) emit(e affinity.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recorder) all() []affinity.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]affinity.Event(nil), r.events...)
}

func eventsOf[E affinity.Event](all []affinity.Event) []E {
	var found []E
	for _, e := range all {
		if x, ok := e.(E); ok {
			found = append(found, x)
		}
	}
	return found
}

// until waits for events to satisfy done.
func (r *recorder) until(t *testing.T, what string, done func([]affinity.Event) bool) []affinity.Event {
	t.Helper()
	limit := time.After(15 * time.Second)
	for {
		if all := r.all(); done(all) {
			return all
		}
		select {
		case <-r.more:
		case <-limit:
			t.Fatalf("no %s within 15 s; have %d events", what, len(r.all()))
		}
	}
}

func observations(n int) func([]affinity.Event) bool {
	return func(all []affinity.Event) bool { return len(eventsOf[affinity.Observed](all)) >= n }
}

// start runs r until the test ends, and checks that nothing outlives it.
func start(t *testing.T, r *Runner) (*recorder, context.CancelFunc) {
	t.Helper()
	rec := newRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, rec.emit) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run = %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Error("Run did not return within 5 s of the end of its context")
			}
		})
	}
	t.Cleanup(stop)
	return rec, stop
}

func mustRunner(t *testing.T, o Options) *Runner {
	t.Helper()
	r, err := NewRunner(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func urlPlan(url string, n int, model affinity.ClientModel) affinity.Plan {
	route := affinity.Route{ID: "url", Kind: affinity.RouteURL, URL: url}
	return affinity.MakePlan(nil, []affinity.Route{route}, affinity.Budget{PerRoute: n, Transports: []string{"http"}, Clients: []affinity.ClientModel{model}})
}

// leakCheck fails the test when goroutines of net/http or of this package
// outlive it.
func leakCheck(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		var stacks string
		for range 50 {
			buf := make([]byte, 1<<20)
			stacks = string(buf[:runtime.Stack(buf, true)])
			left := 0
			for g := range strings.SplitSeq(stacks, "\n\n") {
				if strings.Contains(g, "persistConn") || strings.Contains(g, "probe.(*session)") || strings.Contains(g, "probe.(*pool)") {
					left++
				}
			}
			if left == 0 {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("goroutines left behind:\n%s", stacks)
	})
}

func TestSessionKeepsItsCookie(t *testing.T) {
	leakCheck(t)
	type asked struct{ cookie, agent, session, id, host string }
	var mu sync.Mutex
	var got []asked
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		got = append(got, asked{q.Header.Get("Cookie"), q.UserAgent(), q.Header.Get("X-Stickytop-Session"), q.Header.Get("X-Request-Id"), q.Host})
		mu.Unlock()
		if q.Header.Get("Cookie") == "" {
			w.Header().Add("Set-Cookie", "route=69e345ded6a54093e604c11164d0392a|9d64; Expires=Mon, 23-Nov-76 11:48:14 GMT; Max-Age=10800; Path=/; HttpOnly")
		}
		w.Header().Set("X-Pod-Name", "msgapp-0")
		_, _ = w.Write([]byte("hello from msgapp-0"))
	}))
	defer srv.Close()

	r := mustRunner(t, Options{Version: "1.2.3", Run: "test", Interval: 100 * time.Millisecond})
	rec, stop := start(t, r)
	r.Want(urlPlan(srv.URL+"/app?x=1", 1, affinity.ClientBrowser))
	seen := eventsOf[affinity.Observed](rec.until(t, "three answers", observations(3)))
	stop()

	first, second := seen[0], seen[1]
	if len(first.Offers) != 1 || first.Offers[0].NotReturned != "" || first.Offers[0].Path != "/" || !first.Offers[0].HTTPOnly {
		t.Errorf("offers of the first answer = %+v", first.Offers)
	}
	if left := time.Until(first.Offers[0].Expires); left < 10790*time.Second || left > 10800*time.Second {
		t.Errorf("cookie ends in %s, want Max-Age's 3 h", left)
	}
	if len(first.Sent) != 0 || len(second.Sent) != 1 || second.Sent[0].Value.Reveal() != "69e345ded6a54093e604c11164d0392a|9d64" {
		t.Errorf("sent = %+v, then %+v", first.Sent, second.Sent)
	}
	if first.Status != 200 || first.Failure != nil || string(first.Answer.Body) != "hello from msgapp-0" || first.Remote != srv.Listener.Addr().String() {
		t.Errorf("observed = %+v", first)
	}
	if f := first.Answer.Header[0]; f.Name != "X-Pod-Name" || f.Value != "msgapp-0" {
		t.Errorf("first field = %+v", f)
	}
	mu.Lock()
	defer mu.Unlock()
	if got[1].cookie != "route=69e345ded6a54093e604c11164d0392a|9d64" {
		t.Errorf("Cookie = %q, want the value raw", got[1].cookie)
	}
	if got[0].agent != "stickytop/1.2.3 (+synthetic session probe)" || got[0].session != "test-s01" {
		t.Errorf("agent %q, session %q", got[0].agent, got[0].session)
	}
	if got[0].id != first.RequestID || len(first.RequestID) != 32 || first.RequestID == second.RequestID {
		t.Errorf("request IDs %q and %q; the server saw %q", first.RequestID, second.RequestID, got[0].id)
	}
	if got[0].host != srv.Listener.Addr().String() {
		t.Errorf("Host = %q", got[0].host)
	}
}

func TestNothingIsSentAfterTheEnd(t *testing.T) {
	leakCheck(t)
	var mu sync.Mutex
	conns, ended := 0, false
	late := 0
	hold := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		select {
		case <-hold:
		case <-q.Context().Done():
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if s == http.StateNew {
			conns++
			if ended {
				late++
			}
		}
	}
	srv.Start()
	defer srv.Close()
	defer close(hold)

	r := mustRunner(t, Options{Interval: 100 * time.Millisecond})
	rec, stop := start(t, r)
	r.Want(urlPlan(srv.URL, 8, affinity.ClientBrowser))
	deadline := time.Now().Add(5 * time.Second)
	for {
		mu.Lock()
		n := conns
		mu.Unlock()
		if n >= 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections within 5 s", n)
		}
		time.Sleep(5 * time.Millisecond)
	}
	before := time.Now()
	stop()
	if took := time.Since(before); took > time.Second {
		t.Errorf("Run took %s to end with requests in flight", took)
	}
	mu.Lock()
	ended = true
	mu.Unlock()
	n := len(rec.all())
	time.Sleep(300 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if late > 0 || len(rec.all()) != n {
		t.Errorf("%d connections and %d events after Run had returned", late, len(rec.all())-n)
	}
	if seen := eventsOf[affinity.Observed](rec.all()); len(seen) != 0 {
		t.Errorf("aborted requests were reported: %+v", seen)
	}
}

// TestAHandshakeInFlightEnds, with the request or with the Runner: net/http
// would leave it to its own time-out.
func TestAHandshakeInFlightEnds(t *testing.T) {
	shaking, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	raw, _ := rawServer(t, func(c net.Conn, _ string) {
		shaking <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
		gone <- struct{}{}
	})
	isGone := func(after string) {
		t.Helper()
		select {
		case <-gone:
		case <-time.After(2 * time.Second):
			t.Errorf("the connection is open 2 s after %s", after)
		}
	}
	raw = strings.Replace(raw, "http:", "https:", 1)

	c := newTestClient(t, Options{ConnectTimeout: time.Minute, Timeout: 200 * time.Millisecond}, affinity.ClientBrowser)
	s := httpTransport{}.Open(c)
	trip := s.Observe(t.Context(), c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: raw}))
	checkFailure(t, trip.Observed.Failure, "tls", affinity.FailureTimeout, "the TLS handshake did not end within 200ms")
	<-shaking
	isGone("its request had timed out")
	s.Close()

	r := mustRunner(t, Options{ConnectTimeout: time.Minute, Timeout: time.Minute})
	_, stop := start(t, r)
	r.Want(urlPlan(raw, 1, affinity.ClientBrowser))
	<-shaking
	stop()
	isGone("Run returned")
}

func TestTransports(t *testing.T) {
	names := Transports()
	if len(names) != len(transports) || names[0] != "http" {
		t.Errorf("Transports() = %v", names)
	}
	for _, name := range append(names, "") {
		if _, err := transportNamed(transports, name); err != nil {
			t.Error(err)
		}
	}
}
