package probe

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func stepsTo(name string, detail string) []affinity.PathStep {
	var steps []affinity.PathStep
	status := affinity.StepOK
	for _, n := range []string{stepDNS, stepTCP, stepTLS, stepHTTP, stepAffinity} {
		step := affinity.PathStep{Name: n, Status: status}
		if n == name {
			step.Status, step.Detail, status = affinity.StepFailed, detail, affinity.StepNotTried
		}
		steps = append(steps, step)
	}
	return steps
}

// TestLadderSpeaksForTheRoute: what is shown is the session that came furthest,
// and only a changed outcome is news.
func TestLadderSpeaksForTheRoute(t *testing.T) {
	var l ladder
	set, _ := Options{}.settings()
	here, there := set.target(routeTo("a", "127.0.0.1")), set.target(routeTo("a", "127.0.0.2"))
	says := func(id affinity.SessionID, to Target, steps []affinity.PathStep) string {
		got := "nothing"
		l.report(id, to, steps, func(steps []affinity.PathStep) {
			got = "all well"
			for _, s := range steps {
				if s.Status == affinity.StepFailed {
					got = s.Name + ": " + s.Detail
				}
			}
		})
		return got
	}
	for i, x := range []struct {
		id    affinity.SessionID
		to    Target
		steps []affinity.PathStep
		want  string
	}{
		{"s01", here, stepsTo(stepTCP, "refused"), "TCP: refused"},
		{"s02", here, stepsTo(stepTCP, "refused"), "nothing"},
		{"s01", here, stepsTo("", ""), "all well"},
		{"s02", here, stepsTo(stepHTTP, "502"), "nothing"}, // one pod, not the route
		{"s02", here, stepsTo("", ""), "nothing"},
		{"s01", here, stepsTo(stepHTTP, "503"), "nothing"},
		{"s02", here, stepsTo(stepHTTP, "503"), "HTTP: 503"},
		{"s02", here, stepsTo(stepHTTP, "504"), "HTTP: 504"},
		{"s01", there, stepsTo(stepHTTP, "504"), "HTTP: 504"}, // of another address
		{"s01", there, stepsTo("", ""), "all well"},
	} {
		if got := says(x.id, x.to, x.steps); got != x.want {
			t.Errorf("report %d: %s, want %s", i, got, x.want)
		}
	}
	l.forget("s01")
	if got := says("s02", there, stepsTo(stepHTTP, "502")); got != "HTTP: 502" {
		t.Errorf("after the session that got through has ended: %s", got)
	}
}

func TestAffinityStep(t *testing.T) {
	layer := func(names ...string) []affinity.Layer {
		l := affinity.Layer{Where: affinity.LayerIngress}
		for _, n := range names {
			l.Candidates = append(l.Candidates, affinity.Policy{Mechanism: affinity.MechanismCookie, Cookie: affinity.CookieSpec{Name: n}})
		}
		return []affinity.Layer{l}
	}
	offers := func(o ...affinity.Offer) affinity.Observed { return affinity.Observed{Status: 200, Offers: o} }
	none := []affinity.Layer{{Candidates: []affinity.Policy{{}}}}
	clientIP := []affinity.Layer{{Candidates: []affinity.Policy{{Mechanism: affinity.MechanismClientIP}}}}
	bypassed := layer("route")
	bypassed[0].Bypassed = "it is"
	tests := []struct {
		name   string
		layers []affinity.Layer
		o      affinity.Observed
		status affinity.StepStatus
		detail string
	}{
		{"offered", layer("route"), offers(affinity.Offer{Name: "app"}, affinity.Offer{Name: "route"}), affinity.StepOK, "cookie route"},
		{"sent back", layer("route"), affinity.Observed{Status: 200, Sent: []affinity.Sent{{Name: "route"}}}, affinity.StepOK, "cookie route"},
		{"one of two names", layer("a", "b"), offers(affinity.Offer{Name: "b"}), affinity.StepOK, "cookie b"},
		{"an unknown name", layer(""), offers(affinity.Offer{Name: "_d2b5a"}), affinity.StepOK, "cookie _d2b5a"},
		{"not offered", layer("a", "b"), offers(affinity.Offer{Name: "app"}), affinity.StepFailed, "no cookie a or b was offered"},
		{"not offered, unknown name", layer(""), offers(), affinity.StepFailed, "no cookie was offered"},
		{"deleted", layer("route"), offers(affinity.Offer{Name: "route", Deletes: true, NotReturned: "x"}), affinity.StepFailed, "no cookie route was offered"},
		{"not returned", layer("route"), offers(affinity.Offer{Name: "route", NotReturned: "Path=/app does not cover /"}),
			affinity.StepFailed, "cookie route is not sent back: Path=/app does not cover /"},
		{"the last one counts", layer("route"), offers(affinity.Offer{Name: "route", NotReturned: "x"}, affinity.Offer{Name: "route"}), affinity.StepOK, "cookie route"},
		{"none configured", none, offers(), affinity.StepNotTried, "none is configured"},
		{"by address", clientIP, offers(), affinity.StepNotTried, "nothing on the wire shows it"},
		{"bypassed", bypassed, offers(), affinity.StepNotTried, "none is configured"},
		{"nothing known", nil, offers(), affinity.StepNotTried, "nothing on the wire shows it"},
		{"nothing known, a cookie", nil, offers(affinity.Offer{Name: "x"}), affinity.StepOK, "cookie x"},
		{"failed", layer("route"), affinity.Observed{Status: 502, Failure: &affinity.Failure{}}, affinity.StepNotTried, ""},
	}
	for _, tt := range tests {
		got := affinityStep(affinity.Route{Layers: tt.layers}, tt.o)
		if got.Name != stepAffinity || got.Status != tt.status || got.Detail != tt.detail {
			t.Errorf("%s: %+v, want %d %q", tt.name, got, tt.status, tt.detail)
		}
	}
}

// TestStepsOfARealRequest reads the whole ladder off one answered request.
func TestStepsOfARealRequest(t *testing.T) {
	leakCheck(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		time.Sleep(20 * time.Millisecond)
		http.SetCookie(w, &http.Cookie{Name: "route", Value: "x"})
	}))
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	r := mustRunner(t, Options{Host: "chat.test"})
	rec, _ := start(t, r)
	r.Want(urlPlan(srv.URL+"/healthz", 3, affinity.ClientBrowser))
	events := rec.until(t, "answers", observations(6))
	for _, o := range eventsOf[affinity.Observed](events) {
		if o.Host != "chat.test" {
			t.Errorf("asked for host %q", o.Host)
		}
	}
	checked := eventsOf[affinity.PathChecked](events)
	if len(checked) != 1 {
		t.Fatalf("%d path checks for one outcome", len(checked))
	}
	want := []affinity.PathStep{
		{Name: "DNS", Status: affinity.StepOK, Detail: addr + ", from the URL"},
		{Name: "TCP", Status: affinity.StepOK, Detail: addr},
		{Name: "TLS", Status: affinity.StepNotTried, Detail: "plain http"},
		{Name: "HTTP", Status: affinity.StepOK, Detail: "GET http://chat.test/healthz: 200 OK; asked for host chat.test (--host)"},
		{Name: "affinity", Status: affinity.StepOK, Detail: "cookie route"},
	}
	for i, got := range checked[0].Steps {
		took := got.Took
		got.Took = 0
		if got != want[i] {
			t.Errorf("step %+v, want %+v", got, want[i])
		}
		if i == 1 && took <= 0 || i == 3 && took < 20*time.Millisecond || took > 5*time.Second {
			t.Errorf("%s took %s", got.Name, took)
		}
	}
}

// TestALookUpIsAStep uses the one name that needs no DNS server.
func TestALookUpIsAStep(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	trip := onceURL(t, Options{}, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1))
	step := trip.Steps[0]
	if step.Status != affinity.StepOK || !strings.HasPrefix(step.Detail, "localhost is ") ||
		!strings.Contains(step.Detail, "127.0.0.1") || !strings.HasSuffix(step.Detail, "; from the URL") || step.Took <= 0 {
		t.Errorf("step %+v", step)
	}
	if trip.Observed.Failure != nil || trip.Observed.Remote != srv.Listener.Addr().String() {
		t.Errorf("%+v by way of %s", trip.Observed.Failure, trip.Observed.Remote)
	}
}

func TestDNSText(t *testing.T) {
	for want, e := range map[string]net.DNSError{
		"lb.test: no such host in DNS":             {Name: "lb.test", Err: "no such host", IsNotFound: true},
		"lb.test: DNS did not answer in time":      {Name: "lb.test", Err: "i/o timeout", IsTimeout: true},
		"lb.test: DNS: server misbehaving (·[31m)": {Name: "lb.test", Err: "server misbehaving (\x1b[31m)"},
	} {
		set, _ := Options{}.settings()
		f := set.failure(&net.OpError{Op: "dial", Net: "tcp", Err: &e}, "dial", set.target(routeTo("a", "lb.test")))
		if f.Text != want || f.Kind != affinity.FailureDNS {
			t.Errorf("%+v, want %q", f, want)
		}
	}
}

// TestOutcomeThatStaysIsNoNews: a route that is down for minutes is said to be
// once.
func TestOutcomeThatStaysIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(_ affinity.SessionID, n int, _ Target) Trip {
			trip := failed(affinity.FailureRefused)
			trip.Steps = stepsTo(stepTCP, "connection refused")[:4]
			if n == 20 {
				trip.Steps = stepsTo(stepTCP, "no answer")[:4]
			}
			return trip
		}}
		events := s.run(t, Options{}, planOf(1, routeTo("a", "127.0.0.1")), 20*time.Minute, nil)
		if got := len(eventsOf[affinity.PathChecked](events)); got != 3 {
			t.Errorf("%d path checks, want 3: refused, no answer, refused", got)
		}
	})
}

// TestFiveHundredSessions measures the budget on a real server: every window of
// a second holds 50 requests, and those of before that a busy machine was late
// with.
func TestFiveHundredSessions(t *testing.T) {
	leakCheck(t)
	arrivals := make(chan time.Time, 10_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		arrivals <- time.Now()
	}))
	t.Cleanup(srv.Close)
	r := mustRunner(t, Options{})
	rec, stop := start(t, r)
	r.Want(urlPlan(srv.URL, 500, affinity.ClientBrowser))
	var late time.Duration // the most that this machine was, to do a thing
	for until := time.Now().Add(4 * time.Second); time.Now().Before(until); {
		due := time.Now().Add(time.Millisecond)
		time.Sleep(time.Millisecond)
		late = max(late, time.Since(due))
	}
	stop()
	srv.Close() // waits for its handlers
	close(arrivals)
	var asks []ask
	for at := range arrivals {
		asks = append(asks, ask{at: at})
	}
	most := busiest(asks)
	if most > 55+int(2*late.Seconds()*50) { // to send, and to take in
		t.Errorf("%d requests within one second, though nothing was later than %s", most, late)
	}
	if len(asks) < 120 {
		t.Errorf("%d requests in 4 s", len(asks))
	}
	opened := len(eventsOf[affinity.SessionOpened](rec.all()))
	if opened != 500 {
		t.Errorf("%d sessions opened", opened)
	}
	t.Log(strings.TrimSpace(fmt.Sprintf("%d sessions: %d requests in 4 s, at most %d within any second", opened, len(asks), most)))
}
