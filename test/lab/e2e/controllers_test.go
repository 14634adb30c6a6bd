package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// TestTraefik has Traefik read its own ways: annotations of a Service, an IngressRoute, and a TraefikService that
// chooses on two levels.
func TestTraefik(t *testing.T) {
	t.Parallel()
	l := labOf(t, "traefik")
	t.Run("Service annotations", func(t *testing.T) {
		heldThrough(t, l, "STUCK", "cookie", "ing/msgapp", "--path", "/nameless")
	})
	t.Run("IngressRoute", func(t *testing.T) {
		r := stickytop(t, l, "get", "sessions", "ingressroute/echo", "-n", "msgapp", "--for", "2s")
		if r.code != 0 || !strings.Contains(r.err, "asked at "+l.IngressIP()+", that of svc/ingress-controller in ingress") {
			t.Errorf("an IngressRoute is asked at its controller's Service, and that is said: exit code %d: %s", r.code, r.err)
		}
		heldThrough(t, l, "STUCK", "header", "ingressroute/echo", "--path", "/", "--url", "http://"+l.IngressIP())
		heldThrough(t, l, "STUCK", "cookie", "ingressroute/echo", "--via-controller")
	})
	t.Run("TraefikService", func(t *testing.T) {
		list := sessions(t, l, "ingressroute/split", "-n", "msgapp", "--path", "/", "--url", "http://"+l.IngressIP(), "--for", "6s")
		for _, s := range list.Items {
			t.Logf("%s is %s on %s by %s: %s; pin %+v", s.Name, s.State, s.pod(), s.Via, s.Detail, s.Pin)
			if s.pod() == "" || s.Pin == nil {
				t.Errorf("%s: every service of it is known, and the cookies of both levels: %s, %s", s.Name, s.State, s.Detail)
			}
		}
		list.agrees(t, l)
	})
	t.Run("none", func(t *testing.T) {
		list := sessions(t, l, "ing/loose", "-n", "msgapp", "--path", "/", "--for", "5s")
		list.agrees(t, l)
		if list.states()["COOKIELESS"] != len(list.Items) {
			t.Errorf("states %v, want COOKIELESS", list.states())
		}
	})
	t.Run("pod deleted", func(t *testing.T) {
		movesOnce(t, l, "ing/msgapp", "msgapp-backend", "app.kubernetes.io/component=backend")
	})
}

// TestHAProxy has a cookie of HAProxy's hold the sessions. Where no answer names the pod, the dynamic cookie is decoded,
// and the access log says whether it was right.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	l := labOf(t, "haproxy")
	t.Run("dynamic cookie", func(t *testing.T) { heldThrough(t, l, "STUCK", "body", "ing/msgapp", "--path", "/") })
	t.Run("static cookie", func(t *testing.T) { heldThrough(t, l, "STUCK", "header", "ing/echo", "--path", "/") })
	t.Run("cookie alone", func(t *testing.T) { heldThrough(t, l, "STUCK", "cookie", "ing/msgapp", "--path", "/nameless") })
	t.Run("none", func(t *testing.T) {
		list := sessions(t, l, "ing/loose", "-n", "msgapp", "--path", "/", "--for", "5s")
		list.agrees(t, l)
		if list.states()["COOKIELESS"] != len(list.Items) {
			t.Errorf("states %v, want COOKIELESS", list.states())
		}
	})
	t.Run("pod deleted", func(t *testing.T) {
		movesOnce(t, l, "ing/msgapp", "msgapp-backend", "app.kubernetes.io/component=backend")
	})
}

// heldThrough wants each session to be held by one pod, as the access log has it, and the program to say so or, where
// nothing names the pod, that it does not know.
func heldThrough(t *testing.T, l *lab.Lab, state, via string, args ...string) {
	t.Helper()
	list := sessions(t, l, append(args, "-n", "msgapp", "--for", "6s")...)
	list.agrees(t, l)
	log := accessLog(t, l)
	for _, s := range list.Items {
		if s.State != state || via != "" && s.Via != via || s.Requests < 3 {
			t.Errorf("%s is %s by %s after %d requests (%s), want %s by %s", s.Name, s.State, s.Via, s.Requests, s.Detail, state, via)
		}
		for i, x := range s.Exchanges {
			e := log[x.RequestID]
			if e.Pod != log[s.Exchanges[0].RequestID].Pod || e.Cookie != (i > 0) {
				t.Errorf("%s request %d went to %s with a cookie %v: it is not held", s.Name, i, e.Pod, e.Cookie)
			}
		}
	}
}

// movesOnce deletes a pod and wants its sessions, and no others, to move, explained. The controllers that the lab has
// set a new cookie then, so no move is silent.
func movesOnce(t *testing.T, l *lab.Lab, target, workload, selector string) {
	t.Helper()
	s := watchSessions(t, l, target, "-n", "msgapp", "--path", "/", "--probe-timeout", "3s")
	before := s.settled(t, 6, 2, "STUCK")
	victim := busiest(before)
	names := held(before, victim)
	if !slices.Contains(podsOf(t, l, "msgapp", selector), victim) {
		t.Fatalf("sessions are said to be on %s, which kubectl does not know", victim)
	}
	check(t, l.DeletePod(within(t, 5*time.Second), victim))
	eventually(t, 30*time.Second, "its sessions are on other pods", func() bool {
		now := s.latest()
		return !slices.ContainsFunc(names, func(n string) bool {
			return now[n].pod() == victim || now[n].State == "ORPHAN" || now[n].State == "FAILING"
		})
	})
	_, last := s.finish(t, l)
	for _, name := range sorted(last) {
		x, moved := last[name], slices.Contains(names, name)
		if moved != (x.MoveCount == 1) || slices.ContainsFunc(x.Moves, func(m move) bool { return m.Cause == "" }) {
			t.Errorf("%s was on %s: moves %+v", name, before[name].pod(), x.Moves)
		}
		if x.State == "MOVED-SILENT" {
			t.Errorf("%s is MOVED-SILENT (%s), and its cookie is another", name, x.Detail)
		}
	}
	check(t, l.WaitFor(within(t, 40*time.Second), workload))
}

// TestHAProxyCookies shows that HAProxy's cookie is a function of the server: no move can leave it as it was.
func TestHAProxyCookies(t *testing.T) {
	t.Parallel()
	l := labOf(t, "haproxy")
	value := map[string]string{}
	for n := 0; n < 60 && len(value) < 3; n++ { // servers that were reloaded begin anew
		request, err := http.NewRequestWithContext(within(t, 5*time.Second), http.MethodGet, "http://"+l.IngressIP()+"/", nil)
		check(t, err)
		request.Host = "echo.local"
		response, err := l.HTTPClient(3).Do(request)
		check(t, err)
		_ = response.Body.Close()
		pod, cookies := response.Header.Get("X-Pod-Name"), response.Cookies()
		if len(cookies) != 1 || cookies[0].Name != "echo-sticky" {
			t.Fatalf("%s set %v", pod, cookies)
		}
		value[cookies[0].Value] = pod
	}
	if len(value) != 3 {
		t.Errorf("cookies by value %v, want three for three pods", value)
	}
}
