package e2e

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// TestAgreesWithAccessLog holds three runs of a minute on the chat backend against the ingress controller's access
// log and the backends' own, request by request, while a pod is deleted: one on a path that names the pod in a
// header, one in the body, and one not at all, so that the cookie alone tells.
func TestAgreesWithAccessLog(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	length := time.Minute
	if testing.Short() {
		length = 30 * time.Second
	}
	ways := []struct{ path, source string }{{"/named", "header"}, {"/", "body"}, {"/nameless", "cookie"}}
	type ended struct {
		result
		err error
	}
	results := make([]chan ended, len(ways))
	ctx, program := within(t, length+40*time.Second), product(t)
	for i, way := range ways {
		results[i] = make(chan ended, 1)
		go func() {
			r, err := try(ctx, l, program, "get", "sessions", "ing/msgapp", "-n", "msgapp", "-o", "json", "--requests",
				"--sessions", "4", "--path", way.path, "--for", length.String())
			results[i] <- ended{r, err}
		}()
	}
	time.Sleep(length / 2)
	victim := podsOf(t, l, "msgapp", "app.kubernetes.io/component=backend")[0]
	check(t, l.DeletePod(ctx, victim))
	t.Logf("deleted %s", victim)
	moved := 0
	for i, way := range ways {
		r := <-results[i]
		t.Run(way.source, func(t *testing.T) {
			if r.err != nil || r.code != 0 {
				t.Fatalf("exit code %d, %v: %s", r.code, r.err, r.result.err)
			}
			list := parseList(t, r.out)
			if len(list.Items) != 4 {
				t.Fatalf("%d sessions, want 4", len(list.Items))
			}
			list.agrees(t, l)
			backendsAgree(t, list)
			moved += wantNamed(t, list, way.source, victim, int(length/time.Second))
		})
	}
	if moved == 0 {
		t.Error("no session was on the pod that was deleted: the run proves less than it should")
	}
	check(t, l.WaitFor(ctx, "msgapp-backend"))
}

// wantNamed wants each answer's pod to be known, by that source, each move to be explained, and a session to have
// moved if it was on the victim. It returns how many were.
func wantNamed(t *testing.T, list sessionList, source, victim string, seconds int) (moved int) {
	t.Helper()
	for _, s := range list.Items {
		if s.Requests < seconds/4 { // a request that hangs on the pod that left takes ten seconds
			t.Errorf("%s: %d requests in %d s", s.Name, s.Requests, seconds)
		}
		for i, x := range s.Exchanges {
			if x.Failure == "" && (x.Pod == "" || x.Source != source) {
				t.Errorf("%s request %d: answered %d by pod %q, known by %q; want by %s", s.Name, i, x.Status, x.Pod, x.Source, source)
			}
		}
		was := slices.ContainsFunc(s.Exchanges, func(x exchange) bool { return x.Pod == victim })
		if was {
			moved++
		}
		if was != (len(s.Moves) > 0) || s.pod() == victim {
			t.Errorf("%s: on the victim %v, moves %+v, now on %s", s.Name, was, s.Moves, s.pod())
		}
		for _, m := range s.Moves {
			if m.Cause == "" || !m.CookieChanged || m.From != victim {
				t.Errorf("%s: move %+v, want one from %s, explained, with a new cookie", s.Name, m, victim)
			}
		}
		if want := map[bool]string{true: "RE-PINNED", false: "STUCK"}[was]; s.State != want {
			t.Errorf("%s is %s (%s), want %s", s.Name, s.State, s.Detail, want)
		}
	}
	return moved
}

// backendsAgree holds the pods against what the backends themselves logged.
func backendsAgree(t *testing.T, list sessionList) {
	t.Helper()
	lines, err := mainLab(t).Logs("msgapp-backend")
	check(t, err)
	wrote := map[string]string{}
	for _, line := range lines {
		var entry struct{ RequestID, Pod string }
		if json.Unmarshal([]byte(line.Text), &entry) == nil && entry.RequestID != "" {
			wrote[entry.RequestID] += entry.Pod
		}
	}
	for _, s := range list.Items {
		for i, x := range s.Exchanges {
			if x.Status == 200 && wrote[x.RequestID] != x.Pod {
				t.Errorf("%s request %d: pod %s, the backends' logs say %q", s.Name, i, x.Pod, wrote[x.RequestID])
			}
		}
	}
}
