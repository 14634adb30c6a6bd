package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// app is a workload of a test's own, with an Ingress for NAME.local, in namespace e2e.
type app struct {
	Name        string
	Replicas    int
	Reveal      string   // where the pods name themselves: header, body, both, none
	Drain       int      // seconds of preStop
	Affinity    bool     // persistent, by the cookie sticky
	Annotations []string // more of the Ingress's
}

var manifest = template.Must(template.New("app").Parse(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.Name}}, namespace: e2e}
spec:
  replicas: {{.Replicas}}
  selector: {matchLabels: {app: {{.Name}}}}
  template:
    metadata: {labels: {app: {{.Name}}}}
    spec:
      automountServiceAccountToken: false
      containers:
      - name: echo
        image: lab/echo
        env:
        - {name: REVEAL, value: {{.Reveal}}}
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, failureThreshold: 2}
        lifecycle: {preStop: {sleep: {seconds: {{.Drain}}}}}
`))

// front is what leads to a workload: a Service, and an Ingress for NAME.local.
type front struct {
	Name        string
	Affinity    bool     // persistent, by the cookie sticky
	Annotations []string // more of the Ingress's
}

var frontManifest = template.Must(template.New("front").Parse(`
---
apiVersion: v1
kind: Service
metadata: {name: {{.Name}}, namespace: e2e}
spec:
  selector: {app: {{.Name}}}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{.Name}}
  namespace: e2e
  annotations:
    e2e: test
{{- if .Affinity}}
    nginx.ingress.kubernetes.io/affinity: cookie
    nginx.ingress.kubernetes.io/affinity-mode: persistent
    nginx.ingress.kubernetes.io/session-cookie-name: sticky
{{- end}}
{{- range .Annotations}}
    {{.}}
{{- end}}
spec:
  ingressClassName: nginx
  rules:
  - host: {{.Name}}.local
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: {{.Name}}, port: {number: 80}}}}]}
`))

// deploy starts a workload and returns when the ingress sends requests to each of its pods. It ends with the test.
func deploy(t *testing.T, l *lab.Lab, a app) {
	t.Helper()
	if a.Reveal == "" {
		a.Reveal = "header"
	}
	launch(t, l, manifest, a, front{a.Name, a.Affinity, a.Annotations})
	reached := map[string]bool{}
	eventually(t, 20*time.Second, "the ingress reaches every pod of "+a.Name, func() bool {
		if pod, status := ask(l, a.Name+".local"); status == http.StatusOK {
			reached[pod] = true
		}
		return len(reached) == a.Replicas || a.Reveal != "header" && a.Reveal != "both" && len(reached) > 0
	})
}

// launch starts a workload and what leads to it, and returns when it is ready. Both end with the test.
func launch(t *testing.T, l *lab.Lab, workload *template.Template, data any, f front) {
	t.Helper()
	var text strings.Builder
	// Not with kubectl apply: of two at once one fails. When it is missing, what follows says so.
	_, _ = l.Exec(within(t, 20*time.Second), "client", "kubectl", "create", "namespace", "e2e")
	check(t, workload.Execute(&text, data))
	check(t, frontManifest.Execute(&text, f))
	apply(t, l, text.String())
	t.Cleanup(func() {
		_, _ = l.Exec(context.Background(), "client", "kubectl", "-n", "e2e", "delete", "deployment,service,ingress", f.Name, "--wait=false")
	})
	check(t, l.WaitFor(within(t, time.Minute), "e2e/"+f.Name))
}

func apply(t *testing.T, l *lab.Lab, text string) {
	t.Helper()
	cmd, err := l.Command(within(t, 20*time.Second), "client", "kubectl", "apply", "-f", "-")
	check(t, err)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v: %s", err, out)
	}
}

// ask sends a request without cookies through the ingress; it returns what the pod calls itself in a header.
func ask(l *lab.Lab, host string) (pod string, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.IngressIP()+"/", nil)
	if err != nil {
		return "", 0
	}
	request.Host = host
	response, err := l.HTTPClient(9).Do(request)
	if err != nil {
		return "", 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Header.Get("X-Pod-Name"), response.StatusCode
}

// kubectl runs kubectl inside the lab, as the administrator.
func kubectl(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl in PATH")
	}
	out, err := l.Exec(within(t, 40*time.Second), "client", "kubectl", args...)
	check(t, err)
	return strings.TrimSpace(string(out))
}

// podsOf returns the names of the pods that a selector finds in a namespace and that are not being deleted.
func podsOf(t *testing.T, l *lab.Lab, namespace, selector string) []string {
	t.Helper()
	out := kubectl(t, l, "-n", namespace, "get", "pods", "-l", selector, "-o",
		`go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}`)
	return strings.Fields(out)
}

// endpoint is what an EndpointSlice says of a pod.
type endpoint struct{ ready, serving, terminating bool }

type endpoints map[string]endpoint

// holds reports whether the pod still gets the requests of its pinned clients, for Traefik.
func (e endpoints) holds(pod string) bool { return e[pod].ready || e[pod].serving }

// watchEndpoints is kubectl get endpointslices -w of one Service with one slice.
func watchEndpoints(t *testing.T, l *lab.Lab, service string) *lines[endpoints] {
	t.Helper()
	const columns = `go-template={{range .endpoints}}{{.targetRef.name}}={{.conditions.ready}}/{{.conditions.serving}}/{{.conditions.terminating}} {{end}}{{"\n"}}`
	return follow(t, l, func(text []byte) (endpoints, error) {
		all := endpoints{}
		for _, word := range strings.Fields(string(text)) {
			name, conditions, ok := strings.Cut(word, "=")
			c := strings.Split(conditions, "/")
			if !ok || len(c) != 3 {
				return nil, fmt.Errorf("kubectl wrote %q", text)
			}
			all[name] = endpoint{c[0] == "true", c[1] == "true", c[2] == "true"}
		}
		return all, nil
	}, "kubectl", "-n", "e2e", "get", "endpointslices", "-l", "kubernetes.io/service-name="+service, "-w", "-o", columns)
}

// held returns the names of the sessions that a pod has.
func held(all map[string]session, pod string) []string {
	var names []string
	for _, name := range sorted(all) {
		if all[name].pod() == pod {
			names = append(names, name)
		}
	}
	return names
}

// busiest returns the pod that has most sessions.
func busiest(all map[string]session) string {
	pods := map[string]int{}
	for _, s := range all {
		pods[s.pod()]++
	}
	return slices.MaxFunc(sorted(pods), func(a, b string) int { return pods[a] - pods[b] })
}
