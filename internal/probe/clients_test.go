package probe

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// plan makes the sessions of client models on a URL.
func plan(raw, transport string, n int, models ...affinity.ClientModel) affinity.Plan {
	route := affinity.Route{ID: affinity.RouteID(raw), Kind: affinity.RouteURL, URL: raw}
	return affinity.MakePlan(nil, []affinity.Route{route}, affinity.Budget{PerRoute: n, Transports: []string{transport}, Clients: models})
}

func TestTabsShareAJar(t *testing.T) {
	a, b := startPeer(t, "io4", "msgapp-a", ""), startPeer(t, "io4", "msgapp-b", "")
	front := balance(t, true, a, b)
	r := mustRunner(t, Options{Interval: 2 * time.Second})
	rec, stop := start(t, r)
	r.Want(plan(front.URL, "socketio", 6, "tabs=3"))
	rec.until(t, "six sessions", func(all []affinity.Event) bool { return carriedBy(all) == 6 })
	stop()
	cookies := map[affinity.SessionID]string{} // sent or known last, by session
	offered := 0
	for _, e := range rec.all() {
		switch e := e.(type) {
		case affinity.Observed:
			for _, o := range e.Offers {
				offered++
				cookies[e.Session] = o.Value.Reveal()
			}
		case affinity.CookieShared:
			cookies[e.Session] = e.Offer.Value.Reveal()
		}
	}
	if offered != 2 {
		t.Errorf("%d cookies were offered to two browsers of three tabs", offered)
	}
	for _, tab := range [][]affinity.SessionID{{"s01", "s02", "s03"}, {"s04", "s05", "s06"}} {
		if first := cookies[tab[0]]; first == "" || cookies[tab[1]] != first || cookies[tab[2]] != first {
			t.Errorf("tabs %v know %v", tab, cookies)
		}
		for _, o := range eventsOf[affinity.Observed](rec.all()) {
			if slices.Contains(tab, o.Session) && podHeader(o) != cookies[tab[0]] {
				t.Errorf("%s %s was answered by %s, its browser is on %s", o.Session, o.Leg, podHeader(o), cookies[tab[0]])
			}
		}
	}
	if a, b := cookies["s01"], cookies["s04"]; a == b {
		t.Errorf("both browsers are on %s: the balancer takes turns", a)
	}
}

// TestTabsFollowTheFirst: however slow the first answer is, the other tabs wait
// for its cookie, and none is given another.
func TestTabsFollowTheFirst(t *testing.T) {
	var pins atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") == "" {
			time.Sleep(1500 * time.Millisecond)
			w.Header().Set("Set-Cookie", fmt.Sprintf("route=%d; Path=/", pins.Add(1)))
		}
	}))
	t.Cleanup(srv.Close)
	r := mustRunner(t, Options{Interval: 200 * time.Millisecond})
	rec, stop := start(t, r)
	r.Want(plan(srv.URL, "http", 3, "tabs=3"))
	rec.until(t, "an answer to each tab", func(all []affinity.Event) bool {
		asked := map[affinity.SessionID]bool{}
		for _, o := range eventsOf[affinity.Observed](all) {
			asked[o.Session] = true
		}
		return len(asked) == 3
	})
	stop()
	if n := pins.Load(); n != 1 {
		t.Errorf("%d cookies were given to the tabs of one browser", n)
	}
}

// TestTabsDropTogether: the jar is one, whoever empties it.
func TestTabsDropTogether(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "route=a; Path=/")
	}))
	t.Cleanup(srv.Close)
	r := mustRunner(t, Options{Interval: 500 * time.Millisecond})
	rec, stop := start(t, r)
	r.Want(plan(srv.URL, "http", 2, "tabs=2"))
	rec.until(t, "a shared cookie", func(all []affinity.Event) bool { return len(eventsOf[affinity.CookieShared](all)) > 2 })
	r.Do(affinity.Command{Kind: affinity.CommandDropCookie, Session: "s02"})
	rec.until(t, "both tabs to lose it", func(all []affinity.Event) bool { return len(eventsOf[affinity.CookieDropped](all)) >= 2 })
	stop()
	drops := eventsOf[affinity.CookieDropped](rec.all())
	if drops[0].Session == drops[1].Session || drops[0].Name != "route" {
		t.Errorf("dropped: %+v", drops)
	}
}

func TestReloadBeginsAnew(t *testing.T) {
	a, b := startPeer(t, "io4", "msgapp-a", ""), startPeer(t, "io4", "msgapp-b", "")
	front := balance(t, true, a, b)
	for _, tt := range []struct {
		model     affinity.ClientModel
		transport string
	}{{"reload=1s", "socketio"}, {"reload=4", "socketio"}} {
		t.Run(string(tt.model), func(t *testing.T) {
			r := mustRunner(t, Options{})
			rec, stop := start(t, r)
			r.Want(plan(front.URL, tt.transport, 1, tt.model))
			rec.until(t, "three ends", func(all []affinity.Event) bool { return len(endsOf(all)) >= 3 })
			stop()
			sids, pods := map[string]bool{}, map[string]bool{}
			for _, s := range socketsOf(rec.all()) {
				if s.SID != "" {
					sids[s.SID.Reveal()] = true
				}
			}
			for _, o := range eventsOf[affinity.Observed](rec.all()) {
				if o.Failure != nil {
					t.Errorf("%s: %+v", o.Leg, o.Failure)
				}
				pods[podHeader(o)] = true
			}
			for _, e := range endsOf(rec.all())[:3] {
				if e.By != affinity.EndedByClient || e.Failed != nil || e.Text != "left: the page is loaded anew" {
					t.Errorf("ended by %s: %s %+v", e.By, e.Text, e.Failed)
				}
			}
			if len(sids) < 3 || len(pods) != 1 {
				t.Errorf("%d sids on pods %v: want several on one", len(sids), pods)
			}
		})
	}
}

func TestWSOnlyDoesNotPoll(t *testing.T) {
	p := startPeer(t, "io4", "msgapp-a", "")
	r := mustRunner(t, Options{})
	rec, stop := start(t, r)
	r.Want(plan(p.url.String(), "socketio", 2, affinity.ClientWSOnly, affinity.ClientBrowser))
	rec.until(t, "two sessions", func(all []affinity.Event) bool { return carriedBy(all) == 2 })
	stop()
	legs := map[affinity.SessionID][]string{}
	for _, o := range eventsOf[affinity.Observed](rec.all()) {
		legs[o.Session] = append(legs[o.Session], o.Leg)
	}
	if !slices.Equal(legs["s01"], []string{affinity.LegHandshake}) || !slices.Contains(legs["s02"], affinity.LegPoll) {
		t.Errorf("legs %v", legs)
	}
}

// TestCrossSite is what a page of another site gets of a server, request by
// request.
func TestCrossSite(t *testing.T) {
	const page = "https://app.example.com"
	allow := func(origin string, more ...string) http.Header {
		h := http.Header{"Access-Control-Allow-Origin": {origin}, "Access-Control-Allow-Credentials": {"true"}}
		for i := 0; i+1 < len(more); i += 2 {
			h.Add(more[i], more[i+1])
		}
		return h
	}
	tests := []struct {
		name, origin string
		cookie       string
		header       http.Header
		own          http.Header // that the page adds
		failure      string
		notReturned  string
		preflights   int // of three requests
	}{
		{"all is allowed", page, "r=a; Path=/; SameSite=None; Secure", allow(page), nil, "", "", 0},
		{"no SameSite", page, "r=a; Path=/; Secure", allow(page), nil, "", "SameSite is not set, which Chrome takes for Lax: not kept for a page of another site (app.example.com)", 0},
		{"Lax", page, "r=a; Path=/; SameSite=Lax", allow(page), nil, "", "SameSite=Lax: not kept", 0},
		{"None without Secure", page, "r=a; Path=/; SameSite=None", allow(page), nil, "", "SameSite=None without Secure", 0},
		{"same site, another origin", "https://127.0.0.1:1", "r=a; Path=/; SameSite=Strict", allow("https://127.0.0.1:1"), nil, "", "", 0},
		{"same host by http is another site", "http://127.0.0.1:1", "r=a; Path=/; SameSite=Lax", allow("http://127.0.0.1:1"), nil, "", "SameSite=Lax: not kept", 0},
		{"no CORS", page, "r=a; Path=/; SameSite=None; Secure", nil, nil, "CORS: the browser keeps the answer from the page: no Access-Control-Allow-Origin", "", 0},
		{"any origin", page, "r=a; Path=/; SameSite=None; Secure", allow("*"), nil, "Access-Control-Allow-Origin is *", "", 0},
		{"another origin", page, "r=a; Path=/; SameSite=None; Secure", allow("https://other.example"), nil, "Access-Control-Allow-Origin is https://other.example, the page is https://app.example.com", "", 0},
		{"no credentials", page, "r=a; Path=/; SameSite=None; Secure", http.Header{"Access-Control-Allow-Origin": {page}}, nil, "no Access-Control-Allow-Credentials: true", "", 0},
		{"preflight", page, "r=a; Path=/; SameSite=None; Secure", allow(page, "Access-Control-Allow-Headers", "authorization, x-app"), http.Header{"Authorization": {"t0p"}}, "", "", 1},
		{"preflight that holds for no time", page, "r=a; Path=/; SameSite=None; Secure", allow(page, "Access-Control-Allow-Headers", "Authorization", "Access-Control-Max-Age", "0"), http.Header{"Authorization": {"t0p"}}, "", "", 3},
		{"preflight for any header", page, "r=a; Path=/; SameSite=None; Secure", allow(page, "Access-Control-Allow-Headers", "*"), http.Header{"Authorization": {"t0p"}}, "CORS preflight: Access-Control-Allow-Headers does not name authorization", "", 3},
		{"a header that needs no leave", page, "r=a; Path=/; SameSite=None; Secure", allow(page), http.Header{"Accept-Language": {"de"}}, "", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked []*http.Request
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				asked = append(asked, q)
				for name, values := range tt.header {
					w.Header()[name] = values
				}
				w.Header().Set("Set-Cookie", tt.cookie)
			}))
			t.Cleanup(srv.Close)
			c := newTestClient(t, Options{Insecure: true, Header: tt.own, Socket: SocketOptions{Origin: tt.origin}}, affinity.ClientCrossSite)
			s := httpTransport{}.Open(c)
			defer s.Close()
			target := c.set.target(affinity.Route{Kind: affinity.RouteURL, URL: srv.URL})
			preflights := 0
			for i := range 3 {
				trip := s.Observe(t.Context(), target)
				preflights += len(trip.Before)
				o := trip.Observed
				if o.Leg == affinity.LegPreflight {
					preflights++
				}
				text := ""
				if o.Failure != nil {
					text = o.Failure.Text
				}
				if (text == "") != (tt.failure == "") || !strings.Contains(text, tt.failure) {
					t.Errorf("request %d: failure %q, want %q", i, text, tt.failure)
				}
				if o.Leg == "" && (len(o.Offers) != 1 || (o.Offers[0].NotReturned == "") != (tt.notReturned == "") || !strings.HasPrefix(o.Offers[0].NotReturned, tt.notReturned)) {
					t.Errorf("request %d: offers %+v, want not returned: %q", i, o.Offers, tt.notReturned)
				}
				if o.Leg == "" && (len(o.Sent) == 1) != (i > 0 && tt.notReturned == "") {
					t.Errorf("request %d: sent %v", i, o.Sent)
				}
			}
			if preflights != tt.preflights {
				t.Errorf("%d preflights, want %d", preflights, tt.preflights)
			}
			for _, q := range asked {
				own := q.Header.Get("Authorization") + q.Header.Get("Accept-Language")
				if q.Header.Get("Origin") != tt.origin || q.Method == http.MethodOptions && (q.Header.Get("Cookie") != "" || own != "" || q.Header.Get("Access-Control-Request-Headers") != "authorization" || q.Header.Get("Access-Control-Request-Method") != "GET") ||
					q.Method == http.MethodGet && (own == "") != (tt.own == nil) {
					t.Errorf("%s with %v", q.Method, q.Header)
				}
			}
		})
	}
}

// TestCrossSiteSocketIO holds a session of a page elsewhere, as the server's
// own CORS allows it or not.
func TestCrossSiteSocketIO(t *testing.T) {
	const page = "https://app.example.com"
	for _, tt := range []struct {
		name, options string
		own           http.Header
		failure       string
		preflight     bool
	}{
		{"allowed", `{"engine":{"cors":{"origin":"https://app.example.com","credentials":true}}}`, nil, "", false},
		{"with headers", `{"engine":{"cors":{"origin":"https://app.example.com","credentials":true,"allowedHeaders":["x-app"]}}}`, http.Header{"X-App": {"1"}}, "", true},
		{"header not allowed", `{"engine":{"cors":{"origin":"https://app.example.com","credentials":true,"allowedHeaders":["x-other"]}}}`, http.Header{"X-App": {"1"}}, "CORS preflight: Access-Control-Allow-Headers does not name x-app", true},
		{"any origin", `{"engine":{"cors":{"origin":"*"}}}`, nil, "Access-Control-Allow-Origin is *", false},
		{"no CORS", ``, nil, "no Access-Control-Allow-Origin", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, "io4", "msgapp-a", tt.options)
			r := mustRunner(t, Options{Header: tt.own, Socket: SocketOptions{Origin: page}})
			rec, stop := start(t, r)
			defer stop()
			r.Want(plan(p.url.String(), "socketio", 1, affinity.ClientCrossSite))
			if tt.failure == "" {
				rec.until(t, "a session", func(all []affinity.Event) bool { return carried(all, affinity.CarrierWebSocket) })
			} else {
				rec.until(t, "a failure", func(all []affinity.Event) bool {
					return slices.ContainsFunc(eventsOf[affinity.Observed](all), func(o affinity.Observed) bool {
						return o.Failure != nil && strings.Contains(o.Failure.Text, tt.failure)
					})
				})
			}
			stop()
			legs := map[string]int{}
			for _, o := range eventsOf[affinity.Observed](rec.all()) {
				legs[o.Leg]++
				if tt.failure == "" && o.Failure != nil {
					t.Errorf("%s: %+v", o.Leg, o.Failure)
				}
			}
			if (legs[affinity.LegPreflight] > 0) != tt.preflight || tt.preflight && tt.failure == "" && legs[affinity.LegPreflight] < legs[affinity.LegPoll]+1 {
				t.Errorf("legs %v", legs)
			}
			for _, l := range p.log("connect") {
				if l.Origin != "" && l.Origin != page {
					t.Errorf("the server saw origin %q", l.Origin)
				}
			}
		})
	}
}

func TestSites(t *testing.T) {
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"https://app.example.com", "https://api.example.com", true}, {"https://example.com", "http://example.com", false},
		{"https://a.github.io", "https://b.github.io", false}, {"http://a.co.uk", "http://b.co.uk", false},
		{"https://10.0.0.1:8443", "https://10.0.0.1", true}, {"http://localhost:1", "http://localhost:2", true}, {"http://10.0.0.1", "http://10.0.0.2", false},
		{"wss://example.com", "https://www.example.com", true},
	} {
		if got := sameSite(parse(tt.a), parse(tt.b)); got != tt.same {
			t.Errorf("%s and %s: same site %v", tt.a, tt.b, got)
		}
	}
}
