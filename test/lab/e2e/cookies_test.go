package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestNoAffinity probes a route that has none: COOKIELESS, whichever pod answers.
func TestNoAffinity(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	list := sessions(t, l, "ing/loose", "-n", "msgapp", "--path", "/", "--for", "6s")
	list.agrees(t, l)
	if list.states()["COOKIELESS"] != 6 {
		t.Errorf("states %v, want 6 COOKIELESS", list.states())
	}
	pods := map[string]bool{}
	for _, s := range list.Items {
		if s.Pin != nil || s.Requests < 3 {
			t.Errorf("%s: %d requests, pin %+v", s.Name, s.Requests, s.Pin)
		}
		for _, x := range s.Exchanges {
			pods[x.Pod] = true
		}
	}
	if len(pods) != 3 || pods[""] {
		t.Errorf("answers by %v, want the three pods", pods)
	}
}

// TestAffinityOffAndOn edits the Ingress of sessions that are held: they lose their cookie's use, and get another.
func TestAffinityOffAndOn(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deploy(t, l, app{Name: "toggle", Replicas: 2})
	s := watchSessions(t, l, "ing/toggle", "-n", "e2e", "--path", "/")
	s.settled(t, 6, 2, "COOKIELESS")
	kubectl(t, l, "-n", "e2e", "annotate", "ingress", "toggle", "nginx.ingress.kubernetes.io/affinity=cookie",
		"nginx.ingress.kubernetes.io/session-cookie-name=sticky")
	eventually(t, 20*time.Second, "all sessions hold a cookie and their pod", func() bool {
		n := 0
		for _, x := range s.latest() {
			if x.Pin != nil && x.Pin.Key == "sticky" && (x.State == "STUCK" || x.State == "RE-PINNED") {
				n++
			}
		}
		return n == 6
	})
	on := s.latest()
	time.Sleep(3 * time.Second)
	_, last := s.finish(t, l)
	for name, x := range last {
		if x.MoveCount != on[name].MoveCount || x.pod() != on[name].pod() {
			t.Errorf("%s moved from %s to %s with affinity on: %+v", name, on[name].pod(), x.pod(), x.Moves)
		}
	}
}

// TestNoJar is a client that throws cookies away: it never sends one, and says so.
func TestNoJar(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	list := sessions(t, l, "ing/echo", "-n", "msgapp", "--path", "/", "--client", "no-jar", "--for", "6s")
	list.agrees(t, l)
	if list.states()["NOT-RETURNED"] != 6 {
		t.Errorf("states %v, want 6 NOT-RETURNED", list.states())
	}
	log := accessLog(t, l)
	for _, s := range list.Items {
		if s.Client != "no-jar" || !strings.Contains(s.Detail, "keeps no cookies") {
			t.Errorf("%s: client %s: %s", s.Name, s.Client, s.Detail)
		}
		for _, x := range s.Exchanges {
			if e := log[x.RequestID]; e.Cookie || !e.setCookie {
				t.Errorf("%s: the access log of %s: sent a cookie %v, got one %v", s.Name, x.RequestID, e.Cookie, e.setCookie)
			}
		}
	}
}

// TestExpiredCookie holds cookies that live for four seconds and asks about every three: a request within its cookie's
// time has it, a later one comes without and gets another.
func TestExpiredCookie(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	deploy(t, l, app{Name: "short", Replicas: 2, Affinity: true, Annotations: []string{`nginx.ingress.kubernetes.io/session-cookie-max-age: "4"`}})
	s := watchSessions(t, l, "ing/short", "-n", "e2e", "--path", "/", "--interval", "3s", "--sessions", "4")
	for _, name := range []string{"s01", "s02", "s03", "s04"} {
		s.until(t, 15*time.Second, name+" EXPIRED", func(x session) bool { return x.Name == name && x.State == "EXPIRED" && x.Detail != "" })
		s.until(t, 10*time.Second, name+" with another cookie", func(x session) bool {
			return x.Name == name && x.Requests >= 3 && (x.State == "STUCK" || x.State == "RE-PINNED")
		})
	}
	_, last := s.finish(t, l)
	log := accessLog(t, l)
	for name, x := range last {
		var given time.Time // when the controller gave the cookie that is held
		kept := 0
		for i, e := range x.Exchanges {
			was := log[e.RequestID]
			if was.Cookie == was.setCookie || e.NewCookie != was.setCookie {
				t.Errorf("%s request %d: the access log says cookie sent %v, set %v; the session says new %v", name, i,
					was.Cookie, was.setCookie, e.NewCookie)
			}
			// The program counts from when it reads the answer, and sends before the controller logs.
			if age := was.Time.Sub(given); i > 0 && (was.Cookie && age > 6*time.Second || !was.Cookie && age < 3500*time.Millisecond) {
				t.Errorf("%s request %d: cookie sent %v, %s after it was given for 4s", name, i, was.Cookie, age)
			}
			if was.setCookie {
				given = was.end
			} else {
				kept++
			}
		}
		if kept == 0 {
			t.Errorf("%s never sent its cookie", name)
		}
		for _, m := range x.Moves {
			if !m.CookieChanged || !strings.Contains(m.Cause, "time was up") {
				t.Errorf("%s: move %+v, want the cookie's end as its cause", name, m)
			}
		}
	}
}
