package e2e

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/test/lab"
)

// TestWaysIn reaches the ingress in each way there is, and sees in the access log that it did.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	l := mainLab(t)
	controller := podsOf(t, l, "ingress", "app.kubernetes.io/component=controller")[0]
	forwarded := func(client string) bool { return !strings.HasPrefix(client, "172.30.0.") }
	direct := func(client string) bool { return strings.HasPrefix(client, "172.30.0.") }
	const nowhere = "/nonexistent/kubeconfig"
	tests := []struct {
		name   string
		args   string
		client func(string) bool // address and port, as the controller saw it
		via    string
	}{
		{"the Ingress's status", "ing/echo -n msgapp", direct, "header"},
		{"the Service's name", "svc/echo -n msgapp", direct, "header"},
		{"a port-forward", "ing/echo -n msgapp --via-controller", forwarded, "header"},
		{"a port-forward to a pod", "ing/echo -n msgapp --via-controller=ingress/" + controller, forwarded, "header"},
		{"a port-forward to a Service", "ing/echo -n msgapp --via-controller=ingress/svc/ingress-controller", forwarded, "header"},
		{"--resolve", "ing/echo -n msgapp --resolve echo.local:80:" + l.IngressIP(), direct, "header"},
		{"--url", "ing/echo -n msgapp --url http://" + l.IngressIP(), direct, "header"},
		{"--url of a node", "ing/echo -n msgapp --url http://" + l.NodeIP(1) + ":" + nodePort(t, l), direct, "header"},
		{"a URL without a cluster", "http://echo.local/ --resolve echo.local:80:" + l.IngressIP() + " --kubeconfig " + nowhere, direct, "header"},
		{"--url without a cluster", "--url http://" + l.IngressIP() + "/ --host echo.local --kubeconfig " + nowhere, direct, "header"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := sessions(t, l, append(strings.Fields(tt.args), "--path", "/", "--sessions", "3", "--for", "4s")...)
			list.agrees(t, l)
			log := accessLog(t, l)
			if len(list.Items) != 3 {
				t.Errorf("%d sessions, want 3", len(list.Items))
			}
			for _, s := range list.Items {
				if s.State != "STUCK" || s.Via != tt.via || s.Requests < 2 {
					t.Errorf("%s is %s by %s after %d requests (%s), want STUCK by %s", s.Name, s.State, s.Via, s.Requests, s.Detail, tt.via)
				}
				for _, x := range s.Exchanges {
					if e := log[x.RequestID]; !tt.client(e.Client) {
						t.Errorf("%s came to the controller from %s", x.RequestID, e.Client)
					}
				}
			}
		})
	}
}

// nodePort gives the controller a port on every node. Its own Service has one only where it runs
// (externalTrafficPolicy: Local).
func nodePort(t *testing.T, l *lab.Lab) string {
	t.Helper()
	apply(t, l, `
apiVersion: v1
kind: Service
metadata: {name: e2e-nodeport, namespace: ingress}
spec:
  type: NodePort
  externalTrafficPolicy: Cluster
  selector: {app.kubernetes.io/component: controller}
  ports: [{name: web, port: 80, targetPort: web}]
`)
	return kubectl(t, l, "-n", "ingress", "get", "service", "e2e-nodeport", "-o", "jsonpath={.spec.ports[0].nodePort}")
}
