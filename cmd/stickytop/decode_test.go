package main

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/decode"
	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// decodeObjects are a Service with two pods, the younger of them from
// 2026-01-02, routed to by an Ingress; and one whose pods nothing routes to.
const decodeObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  namespace: default
  name: web
  annotations: {nginx.ingress.kubernetes.io/affinity: cookie, nginx.ingress.kubernetes.io/affinity-mode: persistent}
spec:
  ingressClassName: nginx
  rules: [{host: web.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: web}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.244.0.5], conditions: {ready: true}, targetRef: {kind: Pod, namespace: default, name: web-a, uid: 8c9ad4f1-6c0e-4b0e-9d53-0d9f4b8f4b57}}
- {addresses: [10.244.1.7], conditions: {ready: true}, targetRef: {kind: Pod, namespace: default, name: web-b}}
---
apiVersion: v1
kind: Pod
metadata: {namespace: default, name: web-a, creationTimestamp: "2025-12-01T00:00:00Z"}
status: {phase: Running, podIP: 10.244.0.5}
---
apiVersion: v1
kind: Pod
metadata: {namespace: default, name: web-b, creationTimestamp: "2026-01-02T00:00:00Z"}
status: {phase: Running, podIP: 10.244.1.7}
`

func TestDecodeAsksTheCluster(t *testing.T) {
	server := decodeServer(t)
	const key = "6cde5721ec2c7e2bce07cff7d0e4ac37"
	tests := []struct {
		name string
		args []string
		want decode.Result
		note string
		code int
	}{
		{"a pod", []string{"INGRESSCOOKIE=a4218db18517898613a5b988c1d68087|" + key},
			decode.Result{Decoded: true, Controller: "ingress-nginx", Mode: "persistent", Backend: "default/web:80", Endpoint: "10.244.0.5:8080", Pod: "default/web-a", State: "ready", Gone: new(false), Exact: true}, "", 0},
		{"a pod that was made later", []string{"INGRESSCOOKIE=f80e698df1ee02ab3cbfca44f7769f63|" + key, "--at", "2026-01-01T00:00:00Z"},
			decode.Result{Decoded: true, Controller: "ingress-nginx", Mode: "persistent", Backend: "default/web:80", Endpoint: "10.244.1.7:8080", Pod: "default/web-b", State: "ready", Gone: new(false), Exact: true},
			"the address was another's then", 0},
		{"a pod that is gone", []string{"INGRESSCOOKIE=14b39e16b47200d60fa233790cd75e71|" + key},
			decode.Result{Decoded: true, Controller: "ingress-nginx", Mode: "persistent", Backend: "default/web:80", State: "gone", Gone: new(true), Exact: true}, "the pod is gone", 0},
		{"a backend that is no more", []string{"INGRESSCOOKIE=14b39e16b47200d60fa233790cd75e71|9cd18470ce6eb663a7d180ff6eb997bb"},
			decode.Result{Controller: "ingress-nginx"}, "unknown backend", 1},
		{"a mode that the Ingress has not", []string{"INGRESSCOOKIE=1767225601.5.31.42|" + key}, decode.Result{}, "", 1},
		{"another controller's", []string{"lb=0fba5c0ba8372774"},
			decode.Result{Decoded: true, Controller: "haproxytech", Mode: "dynamic", Backend: "default/web:80", Endpoint: "10.244.0.5:8080", Pod: "default/web-a", State: "ready", Gone: new(false), Exact: true}, "", 0},
		{"a pod's UID", []string{"8c9ad4f1-6c0e-4b0e-9d53-0d9f4b8f4b57"},
			decode.Result{Decoded: true, Controller: "haproxy-ingress", Mode: "static", Backend: "default/web:80", Endpoint: "10.244.0.5:8080", Pod: "default/web-a", State: "ready", Gone: new(false), Exact: true}, "", 0},
		{"an address in clear", []string{"Cg8xMC4yNDQuMC41OjgwODA="},
			decode.Result{Decoded: true, Controller: "envoy", Mode: "stateful-session", Backend: "default/web:80", Endpoint: "10.244.0.5:8080", Pod: "default/web-a", State: "ready", Gone: new(false), Exact: true}, "", 0},
		{"an address that nobody has", []string{"MS4yLjMuNDo4MA=="},
			decode.Result{Decoded: true, Controller: "envoy", Mode: "stateful-session", Endpoint: "1.2.3.4:80", State: "gone", Gone: new(true), Exact: true}, "no endpoint in", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, code := runDecodeJSON(t, append(tt.args, "--server", server, "-n", "default")...)
			text := strings.Join(got.Notes, "; ") + got.Reason
			if !strings.Contains(text, tt.note) {
				t.Errorf("%q, want %q", text, tt.note)
			}
			told := decode.Result{Decoded: got.Decoded, Controller: got.Controller, Mode: got.Mode, Backend: got.Backend, Endpoint: got.Endpoint, Pod: got.Pod, State: got.State, Gone: got.Gone, Exact: got.Exact}
			if code != tt.code || code == 0 && toJSON(t, told) != toJSON(t, tt.want) {
				t.Errorf("exit %d, %s; want exit %d, %s", code, toJSON(t, told), tt.code, toJSON(t, tt.want))
			}
		})
	}
}

// TestDecodeWithoutRights wants no pod called gone that merely may not be seen.
func TestDecodeWithoutRights(t *testing.T) {
	server := startServer(t, decodeObjects)
	server.Deny(apiserver.Rule{Group: "discovery.k8s.io", Resource: "endpointslices"}, apiserver.Rule{Resource: "pods"})
	for _, cookie := range []string{
		"INGRESSCOOKIE=a4218db18517898613a5b988c1d68087|6cde5721ec2c7e2bce07cff7d0e4ac37", // its backend is certain
		"lb=0fba5c0ba8372774",
		"web-a", // a server's name in clear
	} {
		r, code := runDecodeJSON(t, cookie, "--server", "http://"+server.Addr(), "-n", "default")
		if code != exitCannot || r.Decoded || r.Gone != nil || r.State != "" {
			t.Errorf("%s: exit %d, %+v; want exit %d and nothing about the pod", cookie, code, r, exitCannot)
		}
		text := r.Reason + r.Instead + strings.Join(r.Notes, " ")
		if !strings.Contains(text, "endpointslices may not be read") || strings.Contains(text, "gone") || strings.Contains(text, "has most likely left") {
			t.Errorf("%s: %q", cookie, text)
		}
	}
	r, code := runDecodeJSON(t, "Cg8xMC4yNDQuMC41OjgwODA=", "--server", "http://"+server.Addr(), "-n", "default") // the address in clear
	if code != 0 || r.Endpoint != "10.244.0.5:8080" || r.Gone != nil || !strings.Contains(strings.Join(r.Notes, " "), "endpointslices may not be read") {
		t.Errorf("exit %d, %+v", code, r)
	}
}

// TestDecodeStandardInput wants - to be standard input, and a HAR file in it told.
func TestDecodeStandardInput(t *testing.T) {
	run := func(in string, args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), binary, append([]string{"decode", "--endpoints", "10.244.0.5:8080"}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		out, _ := cmd.CombinedOutput() // its code tells
		return string(out), cmd.ProcessState.ExitCode()
	}
	for _, args := range [][]string{nil, {"-"}} {
		if out, code := run("lb=0fba5c0ba8372774\n", args...); code != 0 || !strings.Contains(out, "10.244.0.5:8080") {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
		if out, code := run("\ufeff{\n  \"log\": {\"entries\": []}}", args...); code != exitUsage || !strings.Contains(out, "--har -") {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
	if out, code := run("", "chat.har"); code != exitUsage || !strings.Contains(out, "--har") {
		t.Errorf("a file's name: exit %d, %s", code, out)
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func runDecodeJSON(t *testing.T, args ...string) (decode.Result, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"decode", "-o", "json"}, args...)...)
	cmd.Env = append(cmd.Environ(), "KUBECONFIG=", "HOME="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	t.Log(stderr.String())
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var r decode.Result
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return r, code
}

func decodeServer(t *testing.T) string { return serveObjects(t, decodeObjects) }

// serveObjects serves objects until the test ends.
func serveObjects(t *testing.T, objects string) string {
	t.Helper()
	return "http://" + startServer(t, objects).Addr()
}

// startServer is serveObjects for who wants to do more to the server.
func startServer(t *testing.T, objects string) *apiserver.Server {
	t.Helper()
	store := apiserver.NewStore()
	for text := range strings.SplitSeq(objects, "---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
			t.Fatal(err)
		}
		object := map[string]apiserver.Object{"IngressClass": &networkingv1.IngressClass{}, "Ingress": &networkingv1.Ingress{}, "Service": &corev1.Service{},
			"EndpointSlice": &discoveryv1.EndpointSlice{}, "Pod": &corev1.Pod{}, "Namespace": &corev1.Namespace{}}[kind.Kind]
		if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
			t.Fatal(err)
		}
		if err := store.Put(object); err != nil {
			t.Fatal(err)
		}
	}
	server, err := apiserver.Listen(store)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server
}
