package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// errorPage is an ingress that answers 404 by itself, for ten seconds.
func errorPage() (*world, Options) {
	w := base()
	for _, id := range []string{"s01", "s02"} {
		w.open(id, affinity.ClientBrowser)
	}
	for range 10 {
		w.now = w.now.Add(time.Second)
		for _, id := range []string{"s01", "s02"} {
			w.apply(affinity.Observed{Session: affinity.SessionID(id), Status: 404, Took: 3 * time.Millisecond, Remote: "203.0.113.10:443",
				Answer: affinity.Answer{Header: []affinity.Field{{Name: "Server", Value: "nginx"}}, Body: []byte("<h1>404 Not Found</h1>")}})
		}
	}
	w.apply(affinity.PathChecked{Route: w.route.ID, Steps: []affinity.PathStep{
		{Name: "DNS", Status: affinity.StepOK}, {Name: "TCP", Status: affinity.StepOK}, {Name: "TLS", Status: affinity.StepOK},
		{Name: "HTTP", Status: affinity.StepOK, Detail: "GET https://chat.example.com/healthz: 404 Not Found"},
		{Name: "affinity", Status: affinity.StepFailed, Detail: "no cookie msgapp-sticky was offered"},
	}})
	return w, w.options()
}

// errorOfPods is an application that wants a login: its pods answer 401.
func errorOfPods() (*world, Options) {
	w := base()
	for i, id := range []string{"s01", "s02"} {
		w.open(id, affinity.ClientBrowser)
		pod := []string{podA, podB}[i]
		for sec := range 10 {
			w.now = start.Add(time.Duration(sec) * time.Second)
			o := affinity.Observed{Session: affinity.SessionID(id), Status: 401, Took: 3 * time.Millisecond,
				Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: pod}}}}
			if sec == 0 {
				w.jar[id] = "k-" + w.pods[pod].IP + ":3000-x"
				o.Offers = []affinity.Offer{{Name: "msgapp-sticky", Value: affinity.Secret(w.jar[id]), Path: "/", Expires: w.now.Add(3 * time.Hour)}}
			} else {
				o.Sent = []affinity.Sent{{Name: "msgapp-sticky", Value: affinity.Secret(w.jar[id])}}
			}
			w.apply(o)
		}
	}
	return w, w.options()
}

// TestErrorStatusIsSaid looks for the status in every place where a healthy
// screen would be believed.
func TestErrorStatusIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func() (*world, Options)
		want []string // on every screen
		topo []string
		rows []string
	}{
		{"of the ingress", errorPage, []string{"✗ HTTP 404", "HTTP 404 2/2", "err 100.0%"},
			[]string{"2 of 2 sessions, ×10", "probably the ingress has no route", "--path"}, []string{"FAILING", "404 ×10"}},
		{"of pods", errorOfPods, []string{"▲ HTTP 401", "HTTP 401 2/2", "err 100.0%"},
			[]string{"wants a login", "the pins are real"}, []string{"STUCK", "401 ×10", "A 2xkqp"}},
	} {
		w, o := tt.make()
		m := sized(o, 80, 24)
		topo := stripColours(m.View())
		press(m, "2")
		rows := stripColours(m.View())
		for _, want := range append(tt.want, tt.topo...) {
			if flat := strings.Join(strings.Fields(topo), " "); !strings.Contains(flat, want) {
				t.Errorf("%s: Topo lacks %q:\n%s", tt.name, want, topo)
			}
		}
		for _, want := range append(tt.want, tt.rows...) {
			if !strings.Contains(rows, want) {
				t.Errorf("%s: Sessions lack %q:\n%s", tt.name, want, rows)
			}
		}
		if strings.Contains(topo+rows, "LIVE") {
			t.Errorf("%s: it says LIVE", tt.name)
		}
		_ = w
	}
}
