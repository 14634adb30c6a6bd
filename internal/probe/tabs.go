package probe

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe/cookie"
)

// jar is a client's cookies: its own, or those of the browser whose tab it is.
// Its zero value is empty and its own.
type jar struct {
	own  cookie.Jar
	tabs *tabs // nil for its own
}

// tabs is one jar of several sessions, which run in goroutines of their own.
type tabs struct {
	mu      sync.Mutex
	jar     cookie.Jar
	members []affinity.SessionID
	offers  []affinity.Offer // of what is held, for tabs that open later
	begun   chan struct{}    // closed once the first tab was answered, or was not
	once    sync.Once
}

func newTabs() *tabs { return &tabs{begun: make(chan struct{})} }

// begin lets the other tabs follow. People open one after another: several at
// once would each be given a cookie, and the last one would move the others.
func (t *tabs) begin() {
	if t != nil {
		t.once.Do(func() { close(t.begun) })
	}
}

// follow waits for the first tab, or for ctx.
func (t *tabs) follow(ctx context.Context) {
	select {
	case <-t.begun:
	case <-ctx.Done():
	}
}

func (j *jar) with(what func(*cookie.Jar)) {
	if j.tabs == nil {
		what(&j.own)
		return
	}
	j.tabs.mu.Lock()
	defer j.tabs.mu.Unlock()
	what(&j.tabs.jar)
}

func (j *jar) Set(u *url.URL, c cookie.Cookie, now time.Time) (why string) {
	j.with(func(held *cookie.Jar) { why = held.Set(u, c, now) })
	return why
}

func (j *jar) Cookies(u *url.URL, now time.Time) (pairs []cookie.Pair) {
	j.with(func(held *cookie.Jar) { pairs = held.Cookies(u, now) })
	return pairs
}

func (j *jar) NextExpiry() (at time.Time, ok bool) {
	j.with(func(held *cookie.Jar) { at, ok = held.NextExpiry() })
	return at, ok
}

// Expire and Clear forget cookies; of is whose they were, this session among
// them.
func (j *jar) Expire(now time.Time, me affinity.SessionID) (names []string, of []affinity.SessionID) {
	j.with(func(held *cookie.Jar) { names, of = j.forget(held.Expire(now), me) })
	return names, of
}

func (j *jar) Clear(me affinity.SessionID) (names []string, of []affinity.SessionID) {
	j.with(func(held *cookie.Jar) { names, of = j.forget(held.Clear(), me) })
	return names, of
}

func (j *jar) forget(names []string, me affinity.SessionID) ([]string, []affinity.SessionID) {
	if j.tabs == nil || len(names) == 0 {
		return names, []affinity.SessionID{me}
	}
	j.tabs.offers = slices.DeleteFunc(j.tabs.offers, func(o affinity.Offer) bool {
		return slices.ContainsFunc(names, func(n string) bool { return cleanName(n) == o.Name })
	})
	return names, slices.Clone(j.tabs.members)
}

// join makes a session a tab, and returns what the browser holds already.
func (t *tabs) join(id affinity.SessionID) []affinity.Offer {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members = append(t.members, id)
	return slices.Clone(t.offers)
}

// leave ends a tab; the browser keeps its cookies.
func (t *tabs) leave(id affinity.SessionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members = slices.DeleteFunc(t.members, func(m affinity.SessionID) bool { return m == id })
}

// offered notes a cookie that was kept, and returns the other tabs.
func (t *tabs) offered(me affinity.SessionID, o affinity.Offer) []affinity.SessionID {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.offers = slices.DeleteFunc(t.offers, func(old affinity.Offer) bool { return old.Name == o.Name })
	if !o.Deletes && len(t.offers) < maxCookies {
		t.offers = append(t.offers, o)
	}
	return slices.DeleteFunc(slices.Clone(t.members), func(m affinity.SessionID) bool { return m == me })
}

// reload is when a client of that model loads its page anew, in requests and
// in time; zero for never.
func (c *Client) reload(now time.Time) (requests int, at time.Time) {
	requests, every := c.spec.Client.Reload()
	if every > 0 {
		at = now.Add(spread(every))
	}
	return requests, at
}
