package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// TestMistakes gives the program what a person at 3 am might: each is answered at once, in words, with what to try.
func TestMistakes(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	tests := []struct {
		name string
		args string
		code int
		says []string
	}{
		{"a slip in the target", "ing/msgap -n msgapp", 3, []string{`ingress "msgap" not found in namespace "msgapp"`, "did you mean msgapp?"}},
		{"a target that is nothing like", "ing/zebra -n msgapp", 3, []string{`ingress "zebra" not found`, "there is: echo, loose, msgapp"}},
		{"an unknown service", "svc/zebra -n msgapp", 3, []string{`service "zebra" not found`}},
		{"an unknown kind", "cm/zebra -n msgapp", 2, []string{"cm/zebra", "ing/NAME"}},
		{"a service without an Ingress", "svc/msgapp-mongodb -n msgapp --for 3s", 3, []string{"no Ingress leads to", "msgapp-mongodb"}},
		{"another namespace", "ing/msgapp -n ingress", 3, []string{`not found in namespace "ingress"`, "it is in namespace msgapp: add -n msgapp"}},
		{"no such namespace", "ing/msgapp -n msgap", 3, []string{`namespace "msgap" not found`, "did you mean msgapp?"}},
		{"a namespace with nothing in it", "-n default --for 3s", 3, []string{`no Ingress found in namespace "default"`, "-A"}},
		{"no such context", "ing/msgapp --context production", 3, []string{`context "production" not found`, "there is: lab"}},
		{"no such kubeconfig", "ing/msgapp --kubeconfig /nowhere/config", 3, []string{`kubeconfig "/nowhere/config" does not exist`, "--kubeconfig"}},
		{"no API server there", "ing/msgapp -n msgapp --server https://172.30.0.1:1", 3, []string{"cannot reach the API server https://172.30.0.1:1", "refused", "--context"}},
		{"a bad token", "ing/msgapp -n msgapp --token nonsense", 3, []string{"401", "log in again"}},
		{"an address where nothing listens", "ing/echo -n msgapp --resolve echo.local:80:172.30.255.77 --probe-timeout 1s --for 4s", 3,
			[]string{"no session was answered", "172.30.255.77:80", "--via-controller"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			r := stickytop(t, l, append([]string{"get", "sessions", "-o", "name"}, strings.Fields(tt.args)...)...)
			if took := time.Since(began); took > patience*15*time.Second {
				t.Errorf("took %s", took)
			}
			if r.code != tt.code {
				t.Errorf("exit code %d, want %d", r.code, tt.code)
			}
			for _, words := range tt.says {
				if !strings.Contains(r.err, words) {
					t.Errorf("it says %q, want %q in it", r.err, words)
				}
			}
		})
	}
}

// TestUsers runs the program as users who may see less and less, until not even their token is good.
func TestUsers(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	t.Run("viewer", func(t *testing.T) { viewer(t, l) })
	t.Run("blind", func(t *testing.T) { blind(t, l) })
	t.Run("blind with the Role asked for", func(t *testing.T) { granted(t, l) })
	t.Run("viewer, expired", func(t *testing.T) { expired(t, l) })
}

// viewer may read all of the namespace and nothing of the cluster's.
func viewer(t *testing.T, l *lab.Lab) {
	list := sessions(t, l, "ing/echo", "-n", "msgapp", "--kubeconfig", l.Kubeconfig("viewer"), "--path", "/", "--for", "4s")
	list.agrees(t, l)
	if list.states()["STUCK"] != 6 {
		t.Errorf("states %v, want 6 STUCK", list.states())
	}
	for name, state := range map[string]string{"pods": "live", "endpointslices": "live", "ingresses": "live", "services": "live", "ingressclasses": "forbidden"} {
		if got := list.source(name); got.State != state || (state == "forbidden") != (got.Detail != "") {
			t.Errorf("%s is %q (%q), want %s", name, got.State, got.Detail, state)
		}
	}
	r := stickytop(t, l, "rbac", "-n", "msgapp", "--kubeconfig", l.Kubeconfig("viewer"))
	if r.code != 0 || !strings.Contains(r.out, "ingressclasses") {
		t.Errorf("rbac: exit code %d: %s%s", r.code, r.out, r.err)
	}
	r = stickytop(t, l, "get", "sessions", "ing/echo", "-n", "msgapp", "--kubeconfig", l.Kubeconfig("viewer"), "--via-controller", "--for", "3s")
	if r.code != 3 || !strings.Contains(r.err, "controller") {
		t.Errorf("--via-controller without the right: exit code %d: %s", r.code, r.err)
	}
}

// blind sees neither pods nor endpoint slices: what an answer names is all that is known.
func blind(t *testing.T, l *lab.Lab) {
	user := []string{"-n", "msgapp", "--kubeconfig", l.Kubeconfig("blind"), "--for", "4s"}
	named := sessions(t, l, append([]string{"ing/echo", "--path", "/"}, user...)...)
	named.agrees(t, l)
	for _, s := range named.Items {
		if s.State != "STUCK" || s.Via != "header" {
			t.Errorf("%s: %s by %s, want STUCK by a header", s.Name, s.State, s.Via)
		}
	}
	for _, name := range []string{"pods", "endpointslices"} {
		if got := named.source(name); got.State != "forbidden" || got.Detail == "" {
			t.Errorf("%s is %q (%q), want forbidden and what is lost", name, got.State, got.Detail)
		}
	}
	nameless := stickytop(t, l, append([]string{"get", "sessions", "-o", "json", "--requests", "ing/msgapp", "--path", "/nameless"}, user...)...)
	list := parseList(t, nameless.out)
	list.agrees(t, l)
	states := list.states() // a busy machine fails a request now and then; the access log has agreed with it
	if nameless.code != 0 || states["UNKNOWN"] == 0 || states["UNKNOWN"]+states["FAILING"] != 6 {
		t.Errorf("exit code %d, states %v: a cookie cannot be read without endpoints, want 6 UNKNOWN", nameless.code, list.states())
	}
	for _, words := range []string{"pods forbidden", "endpointslices forbidden", "moves stay unexplained"} {
		if !strings.Contains(nameless.err, words) {
			t.Errorf("standard error %q, want %q in it", nameless.err, words)
		}
	}
}

// granted gives the user what rbac --missing asks for, as an administrator would.
func granted(t *testing.T, l *lab.Lab) {
	config := l.Kubeconfig("blind")
	r := stickytop(t, l, "rbac", "-n", "msgapp", "--missing", "--kubeconfig", config)
	if r.code != 0 {
		t.Fatalf("rbac --missing: exit code %d: %s", r.code, r.err)
	}
	apply(t, l, r.out)
	kubectl(t, l, "-n", "msgapp", "create", "rolebinding", "e2e", "--role=stickytop", "--user=blind")
	kubectl(t, l, "create", "clusterrolebinding", "e2e", "--clusterrole=stickytop", "--user=blind")
	defer kubectl(t, l, "-n", "msgapp", "delete", "rolebinding/e2e", "role/stickytop", "clusterrolebinding/e2e", "clusterrole/stickytop")
	list := sessions(t, l, "ing/msgapp", "--path", "/nameless", "-n", "msgapp", "--kubeconfig", config, "--for", "8s")
	list.agrees(t, l)
	if list.states()["STUCK"] != 6 {
		t.Errorf("states %v, want 6 STUCK", list.states())
	}
	for _, name := range []string{"pods", "endpointslices", "ingressclasses"} {
		if got := list.source(name); got.State != "live" {
			t.Errorf("%s is %q (%q), want live", name, got.State, got.Detail)
		}
	}
	if r := stickytop(t, l, "rbac", "-n", "msgapp", "--missing", "--kubeconfig", config); r.out != "" || !strings.Contains(r.err, "nothing is missing") {
		t.Errorf("rbac --missing with all that it asked for: %s%s", r.out, r.err)
	}
}

// expired is a user whose token ends during one run and before the next.
func expired(t *testing.T, l *lab.Lab) {
	user := []string{"ing/echo", "-n", "msgapp", "--kubeconfig", l.Kubeconfig("viewer")}
	s := watchSessions(t, l, user...)
	before := s.settled(t, 6, 2, "STUCK")
	ctx := within(t, time.Minute)
	check(t, l.ExpireToken(ctx, "viewer"))
	defer func() { check(t, l.RenewToken(ctx, "viewer")) }()
	r := stickytop(t, l, append([]string{"get", "sessions"}, user...)...)
	if r.code != 3 || !strings.Contains(r.err, "401") || !strings.Contains(r.err, "log in again") {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	now := s.settled(t, 6, 2, "STUCK")
	for _, name := range sorted(now) {
		if asked := now[name].Requests - before[name].Requests; asked < 5 {
			t.Errorf("%s asked %d times while its user's token ended: probing needs no token", name, asked)
		}
	}
	s.finish(t, l)
}
