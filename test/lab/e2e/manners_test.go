package e2e

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNothingAfterTheEnd ends the program in every way, and wants the access log silent afterwards.
func TestNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			s := watchSessions(t, l, "ing/echo", "-n", "msgapp", "--interval", "200ms")
			last := s.settled(t, 6, 3, "STUCK")
			check(t, s.cmd.Process.Signal(signal))
			<-s.ended
			end := time.Now()
			if code := s.cmd.ProcessState.ExitCode(); signal != syscall.SIGKILL && code != 130 {
				t.Errorf("exit code %d", code)
			}
			time.Sleep(3 * time.Second)
			log := accessLog(t, l)
			run := runOf(log, last)
			requests := 0
			for _, all := range ofRun(log, run) {
				requests += len(all)
				// What was on its way when the program ended may arrive a moment later; five a second were sent.
				if late := all[len(all)-1]; late.Time.After(end.Add(time.Second)) {
					t.Errorf("%s came %s after the end", late.Session, late.Time.Sub(end))
				}
			}
			if requests < 18 {
				t.Errorf("%d requests of run %q in the access log", requests, run)
			}
		})
	}
}

// TestScreenEnds kills the terminal that the program runs on.
func TestScreenEnds(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	term := terminalOf(t, l, 100, 30)
	deploy(t, l, app{Name: "hangup", Replicas: 1})
	term.typed(product(t) + " ing/hangup -n e2e --interval 200ms")
	term.shows(t, 20*time.Second, "hangup", "sess")
	count := func() (n int, last time.Time) {
		for _, e := range accessLog(t, l) {
			if e.Host == "hangup.local" && strings.HasPrefix(e.Agent, "stickytop/") {
				n++
				if e.Time.After(last) {
					last = e.Time
				}
			}
		}
		return n, last
	}
	eventually(t, 10*time.Second, "requests in the access log", func() bool { n, _ := count(); return n > 12 })
	term.tmux(t, "kill-server")
	killed := time.Now()
	time.Sleep(5 * time.Second)
	if _, last := count(); last.After(killed.Add(2 * time.Second)) {
		t.Errorf("requests came until %s after the terminal was gone", last.Sub(killed))
	}
}

// TestIdentifiesItself wants every request to say who sends it, from the address of the client, and no faster than
// asked for.
func TestIdentifiesItself(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	list := sessions(t, l, "ing/echo", "-n", "msgapp", "--sessions", "3", "--for", "8s")
	list.agrees(t, l)
	log := accessLog(t, l)
	agent := regexp.MustCompile(`^stickytop/\S+ \(.+\)$`)
	session := regexp.MustCompile(`^[0-9a-f]{8}-s0[123]$`)
	for _, all := range ofRun(log, runOf(log, list.byName())) {
		for i, e := range all {
			if !agent.MatchString(e.Agent) || !session.MatchString(e.Session) || e.Method != "GET" || e.Host != "echo.local" {
				t.Errorf("the access log has %+v", e.Access)
			}
			// One that was late on its way does not make the next one early.
			if since := e.Time.Sub(all[0].Time); i > 1 && since < time.Duration(i)*800*time.Millisecond-700*time.Millisecond {
				t.Errorf("%s asked %d times in %s", e.Session, i+1, since)
			}
		}
	}
}

// TestMaxRPS holds forty sessions to ten requests a second.
func TestMaxRPS(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	r := stickytop(t, l, "get", "sessions", "ing/echo", "-n", "msgapp", "--sessions", "40", "--max-rps", "10", "--for", "10s", "-o", "json", "--requests")
	list := parseList(t, r.out)
	log := accessLog(t, l)
	n := 0
	for _, all := range ofRun(log, runOf(log, list.byName())) {
		n += len(all)
	}
	if n < 20 || n > 115 {
		t.Errorf("%d requests in 10 s, want up to 100 and a burst", n)
	}
}

// TestHidesCookies wants no cookie value anywhere in what the program writes.
func TestHidesCookies(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	log := t.TempDir() + "/log"
	masked := stickytop(t, l, "get", "sessions", "ing/echo", "-n", "msgapp", "-o", "json", "--requests", "--for", "3s", "--log-file", log)
	shown := sessions(t, l, "ing/echo", "-n", "msgapp", "--for", "3s", "--show-cookies")
	values := 0
	text, err := os.ReadFile(log)
	check(t, err)
	for _, s := range shown.Items {
		if s.Pin == nil || len(s.Pin.Value) < 8 {
			t.Errorf("%s: --show-cookies shows pin %+v", s.Name, s.Pin)
			continue
		}
		values++
		// The controller's cookies are a function of the pod: both runs hold the same values.
		if strings.Contains(masked.out+masked.err+string(text), s.Pin.Value) {
			t.Errorf("the value of %s's cookie is in the output of a run that was not asked for it", s.Name)
		}
	}
	if values != 6 {
		t.Errorf("%d values seen", values)
	}
}
