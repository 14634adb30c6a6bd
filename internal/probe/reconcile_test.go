package probe

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func routeTo(id affinity.RouteID, address string) affinity.Route {
	return affinity.Route{ID: id, Kind: affinity.RouteIngress, Name: "msgapp", Host: "chat.test", ProbePath: "/", Addresses: []string{address}}
}

func planOf(perRoute int, routes ...affinity.Route) affinity.Plan {
	return affinity.MakePlan(nil, routes, affinity.Budget{PerRoute: perRoute, Transports: []string{"http"}, Clients: []affinity.ClientModel{affinity.ClientBrowser}})
}

// story renders the events of sessions, in order, without the observations.
func story(all []affinity.Event) string {
	var lines []string
	for _, e := range all {
		switch e := e.(type) {
		case affinity.SessionOpened:
			lines = append(lines, "open "+string(e.Spec.ID))
		case affinity.SessionClosed:
			lines = append(lines, fmt.Sprintf("close %s (%s)", e.ID, e.Reason))
		case affinity.CookieDropped:
			lines = append(lines, fmt.Sprintf("drop %s of %s (%s, expired %v)", e.Name, e.Session, e.Reason, e.Expired))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestWantOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{took: 10 * time.Millisecond}
		a, b := routeTo("a", "127.0.0.1"), routeTo("b", "127.0.0.2")
		var closedAt time.Time
		events := s.run(t, Options{}, planOf(2, a, b), 3*time.Second, func(r *Runner) {
			time.Sleep(3 * time.Second)
			plan := planOf(2, a, b)
			plan.Sessions = plan.Sessions[1:] // s01 was closed by hand
			plan.Routes = plan.Routes[:1]     // and b is gone
			r.Want(plan)
			time.Sleep(100 * time.Millisecond)
			closedAt = time.Now()
		})
		want := "close s01 (not wanted any more)\nclose s03 (its route is gone)\nclose s04 (its route is gone)\nopen s01\nopen s02\nopen s03\nopen s04"
		if got := story(events); got != want {
			t.Errorf("events:\n%s\nwant:\n%s", got, want)
		}
		after := map[affinity.SessionID]int{}
		for _, x := range s.all() {
			if x.at.After(closedAt) {
				after[x.id]++
			}
		}
		if len(after) != 1 || after["s02"] < 2 {
			t.Errorf("requests after the others were closed: %v", after)
		}
	})
}

func TestASessionThatChangesIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{took: 10 * time.Millisecond}
		plan := planOf(1, routeTo("a", "127.0.0.1"))
		events := s.run(t, Options{}, plan, time.Second, func(r *Runner) {
			time.Sleep(1500 * time.Millisecond)
			other := planOf(1, routeTo("a", "127.0.0.1"))
			other.Sessions[0].Client = affinity.ClientNoJar
			r.Want(other)
		})
		var order []string
		for _, e := range events {
			switch e := e.(type) {
			case affinity.SessionOpened:
				order = append(order, "open "+string(e.Spec.Client))
			case affinity.SessionClosed:
				order = append(order, "close")
			}
		}
		if got := strings.Join(order, ", "); got != "open browser, close, open no-jar" {
			t.Errorf("events: %s", got)
		}
	})
}

// TestARequestThatIsAbortedIsNoNews: closing a session ends its request, which
// is not the server's failure.
func TestARequestThatIsAbortedIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{took: time.Hour}
		route := routeTo("a", "127.0.0.1")
		events := s.run(t, Options{}, planOf(2, route), time.Second, func(r *Runner) {
			time.Sleep(2 * time.Second)
			r.Want(affinity.Plan{Routes: []affinity.Route{route}})
		})
		if seen := eventsOf[affinity.Observed](events); len(seen) > 0 || len(s.all()) != 2 {
			t.Errorf("%d requests, of which are reported: %+v", len(s.all()), seen)
		}
		if closed := eventsOf[affinity.SessionClosed](events); len(closed) != 2 {
			t.Errorf("%d sessions closed", len(closed))
		}
	})
}

// TestACookieEndsOnTime: its end is reported when it comes, not with the next
// request.
func TestACookieEndsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		var dropped time.Duration
		r, err := newRunner(Options{Interval: time.Minute}, []Transport{cookieTransport{s}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		r.Want(planOf(1, routeTo("a", "127.0.0.1")))
		_ = r.Run(ctx, func(e affinity.Event) {
			if _, ok := e.(affinity.CookieDropped); ok {
				dropped = time.Since(began)
			}
		})
		if dropped != 10*time.Second {
			t.Errorf("Max-Age=10 ended after %s", dropped)
		}
	})
}

// cookieTransport is scripted, and its answers bring a cookie of ten seconds.
type cookieTransport struct{ *scripted }

func (c cookieTransport) Open(client *Client) Session {
	return cookieSession{c.scripted.Open(client), client}
}

type cookieSession struct {
	Session
	client *Client
}

func (c cookieSession) Observe(ctx context.Context, t Target) Trip {
	trip := c.Session.Observe(ctx, t)
	trip.Observed.Offers = c.client.Receive(t.URL, []string{"route=1; Max-Age=10; Path=/"}, time.Now())
	return trip
}

func TestUnknownTransportIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		plan := planOf(1, routeTo("a", "127.0.0.1"))
		plan.Sessions[0].Transport = "carrier\x1bpigeon"
		events := s.run(t, Options{}, plan, time.Second, func(r *Runner) {
			time.Sleep(time.Second)
			r.Want(plan)
		})
		if got, want := story(events), "close s01 (transport \"carrier·pigeon\": have http)\nopen s01"; got != want || len(s.all()) > 0 {
			t.Errorf("events:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestARouteThatMovesIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(_ affinity.SessionID, _ int, to Target) Trip {
			if to.Addrs[0] == "127.0.0.1:80" {
				return failed(affinity.FailureRefused)
			}
			return Trip{Observed: affinity.Observed{Status: 200}}
		}}
		var moved time.Time
		events := s.run(t, Options{}, planOf(1, routeTo("a", "127.0.0.1")), 3*time.Second, func(r *Runner) {
			time.Sleep(50 * time.Second) // deep in a pause of 30 s
			moved = time.Now()
			r.Want(planOf(1, routeTo("a", "127.0.0.2")))
		})
		asks := s.all()
		i := slices.IndexFunc(asks, func(x ask) bool { return x.to == "127.0.0.2:80" })
		if i < 0 || asks[i].at.Sub(moved) > time.Second {
			t.Fatalf("the new address was not asked within a second: %v", asks[max(0, i-1):])
		}
		if got := story(events); got != "open s01" {
			t.Errorf("events: %s", got)
		}
		checked := eventsOf[affinity.PathChecked](events)
		if len(checked) != 2 || checked[0].Route != "a" {
			t.Errorf("%d path checks, want one for each address", len(checked))
		}
	})
}

func TestBackoffBeginsAnewElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(affinity.SessionID, int, Target) Trip { return failed(affinity.FailureRefused) }}
		s.run(t, Options{}, planOf(1, routeTo("a", "127.0.0.1")), 4*time.Second, func(r *Runner) {
			time.Sleep(50 * time.Second)
			r.Want(planOf(1, routeTo("a", "127.0.0.2")))
		})
		n := 0
		for _, x := range s.all() {
			if x.to == "127.0.0.2:80" {
				n++
			}
		}
		if n < 3 { // 0.5, 1.5 and 2.5 s after
			t.Errorf("%d requests in the first 4 s", n)
		}
	})
}

// TestARouteWithoutAnAddress says so, sends nothing, and asks as soon as there
// is one.
func TestARouteWithoutAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		nowhere := routeTo("a", "")
		nowhere.Addresses = nil
		events := s.run(t, Options{}, planOf(2, nowhere), 2*time.Second, func(r *Runner) {
			time.Sleep(time.Minute)
			if n := len(s.all()); n > 0 {
				t.Errorf("%d requests to nowhere", n)
			}
			r.Want(planOf(2, routeTo("a", "127.0.0.1")))
		})
		o := eventsOf[affinity.Observed](events)[0]
		if o.Failure == nil || o.Failure.Kind != affinity.FailureNoAddress || !strings.Contains(o.Failure.Text, "try --via-controller, --url http://ADDRESS or --resolve chat.test:80:ADDRESS") {
			t.Errorf("failure %+v", o.Failure)
		}
		if n := len(s.all()); n < 4 {
			t.Errorf("%d requests once there was an address", n)
		}
		checked := eventsOf[affinity.PathChecked](events)
		if len(checked) != 2 || checked[0].Steps[0].Status != affinity.StepFailed || checked[0].Steps[0].Detail != o.Failure.Text {
			t.Errorf("path checks: %+v", checked)
		}
	})
}

// TestCookiesThroughARunner follows one jar: expiry by the client's own clock,
// a cookie dropped by the user, and a new address.
func TestCookiesThroughARunner(t *testing.T) {
	leakCheck(t)
	var mu sync.Mutex
	served := map[string][]string{} // Cookie headers by server
	server := func(name string) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			mu.Lock()
			served[name] = append(served[name], q.Header.Get("Cookie"))
			mu.Unlock()
			if !strings.Contains(q.Header.Get("Cookie"), "long=") {
				w.Header().Add("Set-Cookie", "long=1; Max-Age=3600; Path=/")
				w.Header().Add("Set-Cookie", "short=1; Max-Age=1; Path=/")
			}
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	one, two := server("one"), server("two")
	routeAt := func(srv *httptest.Server) affinity.Plan { return urlPlan(srv.URL, 1, affinity.ClientBrowser) }
	r := mustRunner(t, Options{Interval: 200 * time.Millisecond, Host: "chat.test"})
	rec, _ := start(t, r)
	r.Want(routeAt(one))
	events := rec.until(t, "cookie that expires", func(all []affinity.Event) bool {
		return len(eventsOf[affinity.CookieDropped](all)) == 1
	})
	if d := eventsOf[affinity.CookieDropped](events)[0]; d != (affinity.CookieDropped{Session: "s01", Name: "short", Reason: "its time was up", Expired: true}) {
		t.Errorf("dropped %+v", d)
	}
	end := slices.IndexFunc(events, func(e affinity.Event) bool { _, ok := e.(affinity.CookieDropped); return ok })
	for _, o := range eventsOf[affinity.Observed](events[:end])[1:] {
		if len(o.Sent) != 2 {
			t.Errorf("before the end of short, %v was sent", o.Sent)
		}
	}
	r.Want(routeAt(two))
	rec.until(t, "request to the new address", func([]affinity.Event) bool {
		mu.Lock()
		defer mu.Unlock()
		return len(served["two"]) > 0
	})
	mu.Lock()
	if got := served["two"][0]; got != "long=1" {
		t.Errorf("the new address was sent %q, want the jar kept", got)
	}
	mu.Unlock()
	r.Do(affinity.Command{Kind: affinity.CommandDropCookie, Session: "s01"})
	events = rec.until(t, "new cookie", func(all []affinity.Event) bool {
		seen := eventsOf[affinity.Observed](all)
		return len(seen[len(seen)-1].Offers) > 0 && len(seen) > 3
	})
	drops := eventsOf[affinity.CookieDropped](events)
	if d := drops[len(drops)-1]; d != (affinity.CookieDropped{Session: "s01", Name: "long", Reason: "dropped by you"}) {
		t.Errorf("dropped %+v", d)
	}
}

// TestWantNeverBlocks calls Want and Do on a Runner that does not run, and on
// one whose events nobody takes.
func TestWantNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		r, err := newRunner(Options{}, []Transport{s})
		if err != nil {
			t.Fatal(err)
		}
		plan := planOf(50, routeTo("a", "127.0.0.1"))
		press := func() {
			for i := range 10_000 {
				r.Want(plan)
				r.Do(affinity.Command{Kind: affinity.CommandReprobe, Session: affinity.SessionID(fmt.Sprint(i))})
			}
		}
		press()
		if n := len(r.commands); n != maxCommands {
			t.Errorf("%d commands wait, want the cap of %d", n, maxCommands)
		}
		ctx := t.Context()
		block := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = r.Run(ctx, func(affinity.Event) { <-block })
		}()
		synctest.Wait()
		began := time.Now()
		press()
		if time.Since(began) != 0 { // a bubble's time stands still unless all block
			t.Error("Want or Do blocked")
		}
		if err := r.Run(ctx, func(affinity.Event) {}); err == nil {
			t.Error("a second Run is not refused")
		}
		close(block)
	})
}
