package proxy_test

import (
	"slices"
	"testing"
)

func TestFailures(t *testing.T) {
	pinned := func(r *rig, addr string) string { return r.cookieOf(addr) }
	change := []string{"session-cookie-change-on-failure", "true"}
	for _, mode := range []func(...string) map[string]string{persistent, balanced} {
		t.Run(mode()[annotation+"affinity-mode"], func(t *testing.T) {
			dead := three[1]
			t.Run("refuses", func(t *testing.T) {
				r := newRig(t, mode(), three...)
				cookie := pinned(r, dead)
				r.faults.Store(dead, refuses)
				for _, method := range []string{"GET", "POST"} {
					a := r.do(method, "/", cookie)
					if a.status != 502 || len(a.cookies) != 0 || !slices.Equal(a.tried, []string{dead, dead, dead}) {
						t.Errorf("%s: %+v, want 502 after three tries at the same endpoint", method, a)
					}
				}
				r.faults.Store(dead, 0)
				if a := r.get(cookie); a.served != dead {
					t.Errorf("recovered, and served by %s", a.served)
				}
			})
			t.Run("refuses, change on failure", func(t *testing.T) {
				r := newRig(t, mode(change...), three...)
				cookie := pinned(r, dead)
				r.faults.Store(dead, refuses)
				a := r.get(cookie)
				if a.status != 200 || len(a.cookies) != 1 || len(a.tried) != 2 || a.served == dead {
					t.Errorf("%+v, want another endpoint and its cookie", a)
				}
				if b := r.get("msgapp-sticky=" + a.last(t)); b.served != a.served || len(b.cookies) != 0 {
					t.Errorf("the new cookie leads to %s, want %s", b.served, a.served)
				}
			})
			t.Run("two refuse, change on failure", func(t *testing.T) {
				r := newRig(t, mode(change...), three...)
				cookie := pinned(r, dead)
				r.faults.Store(dead, refuses)
				r.faults.Store(three[0], refuses)
				a := r.get(cookie)
				if a.served != three[2] || len(a.cookies) != len(a.tried)-1 {
					t.Errorf("%+v, want one cookie for each extra pick", a)
				}
				if b := r.get("msgapp-sticky=" + a.last(t)); b.served != three[2] {
					t.Errorf("the last cookie leads to %s, want the endpoint that served", b.served)
				}
			})
			t.Run("all refuse, change on failure", func(t *testing.T) {
				r := newRig(t, mode(change...), three...)
				cookie := pinned(r, dead)
				for _, addr := range three {
					r.faults.Store(addr, refuses)
				}
				if a := r.get(cookie); a.status != 502 || len(a.cookies) != 2 || len(a.tried) != 3 {
					t.Errorf("%+v, want 502 with the cookies of dead endpoints", a)
				}
			})
			t.Run("first pick refuses", func(t *testing.T) {
				r := newRig(t, mode(), three...)
				r.faults.Store(three[0], refuses)
				r.faults.Store(three[1], refuses)
				most := 0
				for range 30 {
					a := r.get()
					if a.served != three[2] || len(a.cookies) != len(a.tried) {
						t.Fatalf("%+v, want a cookie for each pick", a)
					}
					most = max(most, len(a.cookies))
				}
				if most < 2 {
					t.Error("no answer had two cookies of one name")
				}
			})
			t.Run("hangs up", func(t *testing.T) {
				r := newRig(t, mode(change...), three...)
				cookie := pinned(r, dead)
				r.faults.Store(dead, hangsUp)
				if a := r.do("POST", "/", cookie); a.status != 502 || len(a.tried) != 1 || len(a.cookies) != 0 {
					t.Errorf("POST: %+v, want 502 after one try", a)
				}
				if a := r.get(cookie); a.status != 200 || len(a.tried) != 2 || len(a.cookies) != 1 {
					t.Errorf("GET: %+v, want another endpoint", a)
				}
			})
			t.Run("answers 503", func(t *testing.T) {
				r := newRig(t, mode(change...), three...)
				cookie := pinned(r, dead)
				r.faults.Store(dead, 503)
				if a := r.get(cookie); a.status != 503 || len(a.tried) != 1 || len(a.cookies) != 0 {
					t.Errorf("%+v, want the 503 passed on", a)
				}
			})
		})
	}
}

// cookieOf returns a Cookie header that is pinned to addr.
func (r *rig) cookieOf(addr string) string {
	r.t.Helper()
	for range 200 {
		if a := r.get(); a.served == addr {
			return "msgapp-sticky=" + a.last(r.t)
		}
	}
	r.t.Fatalf("%s is never picked", addr)
	return ""
}

func TestNoEndpoints(t *testing.T) {
	r := newRig(t, persistent())
	if a := r.get(); a.status != 503 || len(a.cookies) != 0 {
		t.Errorf("%+v, want 503 without a cookie", a)
	}
}
