package e2e

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// entry is one request as the ingress controller logged it.
type entry struct {
	lab.Access
	end       time.Time
	setCookie bool // the answer brought a cookie; Traefik alone logs it
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// accessLog returns the controller's log by request ID.
func accessLog(t *testing.T, l *lab.Lab) map[string]entry {
	t.Helper()
	log, err := l.AccessLog()
	check(t, err)
	entries := map[string]entry{}
	for _, a := range log {
		if a.RequestID == "" || a.RequestID == "-" {
			continue // not the program's
		}
		if _, twice := entries[a.RequestID]; twice {
			t.Errorf("request %s is in the access log twice", a.RequestID)
		}
		entries[a.RequestID] = entry{Access: a}
	}
	lines, err := l.Logs("ingress/ingress-controller")
	check(t, err)
	for _, line := range lines {
		var more struct {
			ID        string `json:"request_X-Request-Id"`
			SetCookie string `json:"downstream_Set-Cookie"`
			Duration  time.Duration
		}
		if json.Unmarshal([]byte(line.Text), &more) != nil || more.ID == "" {
			continue
		}
		e, ok := entries[more.ID]
		if !ok {
			continue // written since
		}
		e.setCookie, e.end = more.SetCookie != "", e.Time.Add(more.Duration)
		entries[more.ID] = e
	}
	return entries
}

// ofRun returns what the log has of one run of the program, by session, in order.
func ofRun(log map[string]entry, run string) map[string][]entry {
	of := map[string][]entry{}
	for _, e := range log {
		if id, ok := strings.CutPrefix(e.Session, run+"-"); ok {
			of[id] = append(of[id], e)
		}
	}
	for _, all := range of {
		slices.SortFunc(all, func(a, b entry) int { return a.Time.Compare(b.Time) })
	}
	return of
}

// runOf returns the name of the run that these sessions belong to, as the access log has it; "" when none of their
// requests got there.
func runOf(log map[string]entry, all map[string]session) string {
	for _, s := range all {
		for _, x := range s.Exchanges {
			if run, ok := strings.CutSuffix(log[x.RequestID].Session, "-"+s.Name); ok && run != "" {
				return run
			}
		}
	}
	return ""
}

// agree holds every request of every session against the access log, both ways. Requests that ended after open were
// under way when the program stopped, so it may not know of them.
func agree(t *testing.T, l *lab.Lab, all map[string]session, open time.Time) {
	t.Helper()
	log := settledLog(t, l, all)
	run := runOf(log, all)
	if run == "" {
		t.Fatal("the access log knows none of these sessions")
	}
	logged := ofRun(log, run)
	claims, pods := 0, 0
	for _, name := range sorted(all) {
		s := all[name]
		c := comparison{T: t, l: l, log: log, s: s}
		c.requests(run)
		c.moves()
		c.leftovers(logged[name], open)
		claims, pods = claims+len(s.Exchanges), pods+c.pods
	}
	t.Logf("run %s: %d requests of %d sessions held against the access log, the pod of %d of them", run, claims, len(all), pods)
}

// settledLog waits until the log has what was answered: the controller writes a line after the answer.
func settledLog(t *testing.T, l *lab.Lab, all map[string]session) map[string]entry {
	t.Helper()
	var log map[string]entry
	end := time.Now().Add(patience * 3 * time.Second)
	for {
		log = accessLog(t, l)
		missing := false
		for _, s := range all {
			for _, x := range s.Exchanges {
				missing = missing || x.Status != 0 && log[x.RequestID].RequestID == ""
			}
		}
		if !missing || time.Now().After(end) {
			return log
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// comparison is of one session with the log.
type comparison struct {
	*testing.T
	l    *lab.Lab
	log  map[string]entry
	s    session
	pods int // requests whose pod the session claims
}

// requests compares each request: who answered, with what status, with which cookies.
func (c *comparison) requests(run string) {
	c.Helper()
	failures := 0
	for i, x := range c.s.Exchanges {
		if x.Failure != "" {
			failures++
		}
		e, ok := c.log[x.RequestID]
		if !ok {
			if x.Status != 0 || x.Failure == "" {
				c.Errorf("%s request %d %s: status %d, and the access log has no such request", c.s.Name, i, x.RequestID, x.Status)
			}
			continue
		}
		if e.Session != run+"-"+c.s.Name || !strings.HasPrefix(e.Agent, "stickytop/") {
			c.Errorf("%s request %d: the access log has session %q, agent %q", c.s.Name, i, e.Session, e.Agent)
		}
		if x.Status != 0 && x.Status != e.Status {
			c.Errorf("%s request %d: status %d, the access log says %d", c.s.Name, i, x.Status, e.Status)
		}
		if broken := e.Status >= 502 && e.Status <= 504; x.Status != 0 && broken != (x.Failure != "") {
			c.Errorf("%s request %d: failure %q, the access log says %d", c.s.Name, i, x.Failure, e.Status)
		}
		c.cookies(i, x, e)
		if x.Pod != "" {
			c.pods++
			if x.Pod != e.Pod {
				c.Errorf("%s request %d %s: pod %s by %s, the access log says %s (%s)", c.s.Name, i, x.RequestID, x.Pod, x.Source, e.Pod, e.Backend)
			}
		}
	}
	if len(c.s.Exchanges) != c.s.Requests || failures != c.s.Failures {
		c.Errorf("%s: %d requests and %d failures counted, %d and %d listed", c.s.Name, c.s.Requests, c.s.Failures, len(c.s.Exchanges), failures)
	}
}

// unread says that the program cannot tell which cookie holds a session: HAProxy's.
func (c *comparison) unread() bool { return c.l.Spec.Ingress == "haproxy" }

// cookies compares what was sent and set.
func (c *comparison) cookies(i int, x exchange, e entry) {
	c.Helper()
	if c.unread() {
		return
	}
	if (x.Cookie != "") != e.Cookie {
		c.Errorf("%s request %d: cookie %q sent, the access log says %v", c.s.Name, i, x.Cookie, e.Cookie)
	}
	if c.s.Client == "browser" && x.NewCookie != e.setCookie {
		c.Errorf("%s request %d: new cookie %v, the access log says %v", c.s.Name, i, x.NewCookie, e.setCookie)
	}
}

// moves compares the moves with those that the log shows. A move that the session could not see, for want of a name
// on either side, is none to it; and a client that keeps no cookies has none that change.
func (c *comparison) moves() {
	c.Helper()
	type change struct {
		from, to string
		cookie   bool
	}
	var want, got []change
	last := ""
	for _, x := range c.s.Exchanges {
		if x.Failure != "" || x.Pod == "" {
			continue
		}
		e := c.log[x.RequestID]
		if last != "" && e.Pod != last {
			want = append(want, change{last, e.Pod, e.setCookie && c.s.Client == "browser" && !c.unread()})
		}
		last = e.Pod
	}
	for _, m := range c.s.Moves {
		got = append(got, change{m.From, m.To, m.CookieChanged && !c.unread()})
	}
	if !slices.Equal(want, got) || len(got) != c.s.MoveCount+c.s.UnheldCount {
		c.Errorf("%s: moves %v (%d counted), the access log says %v", c.s.Name, got, c.s.MoveCount+c.s.UnheldCount, want)
	}
}

// leftovers looks for requests in the log that the session does not claim.
func (c *comparison) leftovers(logged []entry, open time.Time) {
	c.Helper()
	for _, e := range logged {
		known := slices.ContainsFunc(c.s.Exchanges, func(x exchange) bool { return x.RequestID == e.RequestID })
		ended := e.Time
		if e.end.After(ended) {
			ended = e.end
		}
		if !known && ended.Before(open) {
			c.Errorf("%s: the access log has request %s at %s to %s, status %d, which the session does not", c.s.Name, e.RequestID,
				e.Time.Format(time.StampMilli), e.Pod, e.Status)
		}
	}
}

// byName is a list by session name.
func (l sessionList) byName() map[string]session {
	all := map[string]session{}
	for _, s := range l.Items {
		all[s.Name] = s
	}
	return all
}

// agrees is agree for a list, whose snapshot is of a known time.
func (l sessionList) agrees(t *testing.T, in *lab.Lab) {
	t.Helper()
	agree(t, in, l.byName(), l.Metadata.At.Add(-2*time.Second))
}
