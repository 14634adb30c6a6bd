package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// What the program prints with -o json, as docs promise it: stickytop.dev/v1alpha1.
type (
	sessionList struct {
		Kind, APIVersion string
		Metadata         struct {
			At      time.Time
			Sources []source
		}
		Items []session
	}
	source  struct{ Name, State, Detail string }
	session struct {
		Kind, APIVersion string
		Name, Client     string
		SourceIP         string
		Route            struct{ Namespace, Ingress, Host, Path, Service, Port, URL string }
		State, Detail    string
		Pod              *struct{ Namespace, Name, IP, Phase string }
		Via              string
		Evidence         []struct{ Source, Pod, Detail string }
		Disagreement     string
		Pin              *struct {
			Layer, Key, Value, Renewal, Decoder, Endpoint string
			RemainingSeconds                              *float64
		}
		Requests, Failures, LastStatus int
		MoveCount, UnheldCount         int
		LastFailure                    string
		Moves                          []move
		Exchanges                      []exchange
	}
	move struct {
		At            time.Time
		From, To      string
		CookieChanged bool
		Source, Cause string
	}
	exchange struct {
		RequestID        string
		At               time.Time
		TookMilliseconds float64
		Status           int
		Pod, Source      string
		Cookie           string
		NewCookie        bool
		Failure          string
		Leg              string
	}
)

func (s session) pod() string {
	if s.Pod == nil {
		return ""
	}
	return s.Pod.Name
}

// began is when the request went out, to the precision of its own clock.
func (x exchange) began() time.Time {
	return x.At.Add(-time.Duration(x.TookMilliseconds * float64(time.Millisecond)))
}

// result is a run that ended.
type result struct {
	out, err string
	code     int
}

// try runs the program in the client's network namespace and returns what it said.
func try(ctx context.Context, l *lab.Lab, program string, args ...string) (result, error) {
	cmd, err := l.Command(ctx, "client", program, args...)
	if err != nil {
		return result{}, err
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}, ctx.Err()
}

func stickytop(t *testing.T, l *lab.Lab, args ...string) result {
	t.Helper()
	r, err := try(within(t, time.Minute), l, product(t), args...)
	if err != nil {
		t.Fatalf("stickytop %s: %v\n%s", strings.Join(args, " "), err, r.err)
	}
	return r
}

// sessions runs get sessions with these arguments, which must succeed. A run in which a session came to fewer than half
// of its requests, one a second, shows nothing but that the machine is busy: a longer one follows.
func sessions(t *testing.T, l *lab.Lab, args ...string) sessionList {
	t.Helper()
	window := slices.Index(args, "--for") + 1
	length, err := time.ParseDuration(args[window])
	check(t, err)
	for want, try := int(length/(2*time.Second)), 1; ; try++ {
		r := stickytop(t, l, append([]string{"get", "sessions", "-o", "json", "--requests"}, args...)...)
		if r.code != 0 {
			t.Fatalf("get sessions %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.err)
		}
		list := parseList(t, r.out)
		few := slices.ContainsFunc(list.Items, func(s session) bool { return s.Requests < want })
		if !few || try == 3 {
			return list
		}
		length *= 3
		args = slices.Concat(args[:window], []string{length.String()}, args[window+1:])
	}
}

func parseList(t *testing.T, text string) sessionList {
	t.Helper()
	var list sessionList
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("not the JSON of a list: %v in %q", err, text)
	}
	if list.Kind != "SessionList" || list.APIVersion != "stickytop.dev/v1alpha1" {
		t.Errorf("a %s of %s, want a SessionList of stickytop.dev/v1alpha1", list.Kind, list.APIVersion)
	}
	return list
}

func (l sessionList) source(name string) source {
	for _, s := range l.Metadata.Sources {
		if s.Name == name {
			return s
		}
	}
	return source{}
}

func (l sessionList) states() map[string]int {
	states := map[string]int{}
	for _, s := range l.Items {
		states[s.State]++
	}
	return states
}

// start starts the program on what it is given, for a test that does things meanwhile. It is killed with the test.
func start(t *testing.T, l *lab.Lab, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	cmd, err := l.Command(within(t, 3*time.Minute), "client", product(t), args...)
	check(t, err)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	check(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, &out, &errOut
}
