package main

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// findingsObjects are those of decode, and an Ingress beside them whose host is
// TLS and whose cookie is not Secure.
const findingsObjects = decodeObjects + `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  namespace: default
  name: other
  annotations:
    stickytop.dev/ignore: B10
    nginx.ingress.kubernetes.io/affinity: cookie
    nginx.ingress.kubernetes.io/affinity-mode: persistent
    nginx.ingress.kubernetes.io/session-cookie-max-age: "600"
spec:
  ingressClassName: nginx
  rules: [{host: other.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: other}
spec: {clusterIP: 10.96.0.11, ports: [{name: http, port: 80, protocol: TCP}]}
`

// startFindings starts get findings without sessions, and returns what waits for
// what it printed: several wait together.
func startFindings(t *testing.T, server string, args ...string) func() (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, append([]string{"get", "findings", "--server", server, "-n", "default", "--no-probe", "--for", "8s"}, args...)...)
	cmd.Env = append(cmd.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return sync.OnceValues(func() (string, int) {
		err := cmd.Wait()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return stdout.String() + stderr.String(), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return stdout.String(), 0
	})
}

func TestGetFindings(t *testing.T) {
	server := serveObjects(t, findingsObjects)
	started := map[string]func() (string, int){}
	for _, args := range []string{"-o json", "--no-probe=false -o json", "--no-probe=false -A -o json", "ing/web -o json", "svc/other -o json",
		"ing/other -o wide", "ing/other -o name", "ing/nothing"} {
		started[args] = startFindings(t, server, strings.Fields(args)...)
	}
	of := func(args ...string) (objects []string, rules []string) {
		text, code := started[strings.Join(append(args, "-o", "json"), " ")]()
		var list struct {
			Kind  string
			Items []struct {
				Rule, Severity, Fix, Verify string
				Object                      struct{ Kind, Name string }
				Evidence                    []struct{ Field, Value string }
			}
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil || code != 0 || list.Kind != "FindingList" {
			t.Fatalf("get findings %v: exit %d, %v: %s", args, code, err, text)
		}
		for _, f := range list.Items {
			if f.Severity == "high" && (f.Fix == "" || f.Verify == "" || len(f.Evidence) == 0) {
				t.Errorf("%s lacks its fix, its evidence or how to verify it", f.Rule)
			}
			if name := f.Object.Kind + "/" + f.Object.Name; !slices.Contains(objects, name) {
				objects = append(objects, name)
			}
			rules = append(rules, f.Rule)
		}
		return objects, rules
	}
	all, rules := of()
	if !slices.Contains(all, "Ingress/web") || !slices.Contains(all, "Ingress/other") || !slices.Contains(rules, "B10") {
		t.Errorf("of the namespace: %v, %v", all, rules)
	}
	// Between several Ingresses there is nobody to choose whom to probe, yet all
	// are judged.
	for _, args := range [][]string{{"--no-probe=false"}, {"--no-probe=false", "-A"}} {
		if unasked, rules := of(args...); !slices.Contains(unasked, "Ingress/web") || !slices.Contains(unasked, "Ingress/other") || !slices.Contains(rules, "B10") {
			t.Errorf("%v: %v, %v", args, unasked, rules)
		}
	}
	web, webRules := of("ing/web")
	if !slices.Contains(web, "Ingress/web") || slices.Contains(web, "Ingress/other") || slices.Contains(webRules, "B10") {
		t.Errorf("of ing/web: %v, %v", web, webRules)
	}
	other, rules := of("svc/other")
	if slices.Contains(other, "Ingress/web") || !slices.Contains(rules, "B10") {
		t.Errorf("of svc/other: %v, %v", other, rules)
	}
	if !slices.Contains(rules, "—") || slices.Contains(webRules, "—") {
		t.Errorf("of svc/other %v, of ing/web %v: want the ignore of ingress/other that is not heeded told, of other alone", rules, webRules)
	}
	table, code := started["ing/other -o wide"]()
	if !strings.Contains(table, "an ignore is not heeded: it gives no reason") {
		t.Errorf("the ignore that is not heeded is not in\n%s", table)
	}
	if names, _ := started["ing/other -o name"](); !strings.Contains(names, "finding.stickytop.dev/note-ingress-other\n") {
		t.Errorf("names:\n%s", names)
	}
	if head, _, _ := strings.Cut(table, "\n"); code != 0 || !strings.HasPrefix(head, "RULE") || !strings.Contains(head, "FIX") || !strings.Contains(table, "ingress/other") {
		t.Errorf("exit %d, a table of\n%s", code, table)
	}
	if text, code := started["ing/nothing"](); code != 3 || !strings.Contains(text, "not found") {
		t.Errorf("of what is not there: exit %d, %s", code, text)
	}
}

// TestFindingsOfObjectsEnd: where no session is held, get findings ends once the
// objects are judged, by what keeps pins by address too.
func TestFindingsOfObjectsEnd(t *testing.T) {
	server := serveObjects(t, findingsObjects+`---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: pinned}
spec: {clusterIP: 10.96.0.12, type: NodePort, sessionAffinity: ClientIP, ports: [{name: http, port: 80, nodePort: 30080, protocol: TCP}]}
`)
	for _, target := range [][]string{nil, {"svc/other"}, {"-A"}} {
		t.Run(strings.Join(target, ""), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			text, code := startFindings(t, server, append(target, "--for", "59s", "-o", "name")...)()
			if took := time.Since(began); code != 0 || took > 40*time.Second {
				t.Errorf("exit %d after %s", code, took)
			}
			for rule, want := range map[string]bool{"B10-ingress-other": true, "B10-ingress-web": false, "F05-service-pinned": len(target) == 0 || target[0] == "-A"} {
				if strings.Contains(text, "/"+rule+"\n") != want {
					t.Errorf("%s is there: %v, want %v, in\n%s", rule, !want, want, text)
				}
			}
		})
	}
}

// TestNoProbeSaysWhereToLook: a list that cannot but be empty says why.
func TestNoProbeSaysWhereToLook(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--server", serveObjects(t, findingsObjects), "-A", "--no-probe", "--for", "1s")
	cmd.Env = append(cmd.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No sessions.") || !strings.Contains(string(out), "--no-probe asks nobody; get routes and get findings tell of the routes here, 2 of them") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestResolveOfNothing: routes are known only while it runs, and then it says
// which --resolve is for none of them, on the screen too.
func TestResolveOfNothing(t *testing.T) {
	server := serveObjects(t, findingsObjects)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := []string{"ing/other", "--server", server, "-n", "default", "--sessions", "1", "--resolve", "typo.example.com:80:127.0.0.1"}
	cmd := exec.CommandContext(ctx, binary, append([]string{"get", "sessions", "--for", "3s"}, args...)...)
	cmd.Env = append(cmd.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
	out, _ := cmd.CombinedOutput()
	const want = "--resolve typo.example.com:80:127.0.0.1 is for nothing that is asked here, which is other.example.com:80"
	if strings.Count(string(out), "warning: "+want+"\n") != 1 {
		t.Errorf("no warning in\n%s", out)
	}
	s := startTerminal(t, args, "KUBECONFIG=", "HOME="+t.TempDir())
	s.until("--resolve typo.example.com:80:127.0.0.1 is for", 10*time.Second)
	s.press("q")
	s.wait(5 * time.Second)
}

// TestSelectorOfNothing: what nothing is selected by is named, and that there
// is something else.
func TestSelectorOfNothing(t *testing.T) {
	server := serveObjects(t, findingsObjects)
	for _, target := range []string{"", "ing/other"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args := []string{"get", "routes", "--server", server, "-n", "default", "-l", "app=none"}
		if target != "" {
			args = append(args, target)
		}
		cmd := exec.CommandContext(ctx, binary, args...)
		cmd.Env = append(cmd.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
		out, _ := cmd.CombinedOutput()
		if text := string(out); !strings.Contains(text, `in namespace "default" that -l app=none selects`) || !strings.Contains(text, "hint: without -l there are 2 Ingresses") {
			t.Errorf("%q: %s", target, text)
		}
	}
}
