package ingress

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const sharedServices = `
---
kind: Service
metadata: {name: blue, namespace: default}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
kind: Service
metadata: {name: green, namespace: default}
spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}
`

const gatewayObjects = `kind: GatewayClass
metadata: {name: main}
spec: {controllerName: CONTROLLER}
---
kind: Gateway
metadata: {name: main, namespace: default}
spec: {gatewayClassName: main, listeners: [{name: http, protocol: HTTP, port: 80}]}
---
kind: HTTPRoute
metadata: {name: split, namespace: default}
spec:
  parentRefs: [{name: main}]
  rules: [{backendRefs: [{name: blue, port: 80, weight: 3}, {name: green, port: 80}], sessionPersistence: {sessionName: sid}}]`

// TestSharesPods: a session through a rule of blue and green is on a pod of either,
// by the cookie that the controller writes for it, and a move between the two is
// explained by the shares only where no pin holds it.
func TestSharesPods(t *testing.T) {
	const shared = "shares the requests out to svc/blue and svc/green"
	address := func(pod string) string { return weightedIP(pod) + ":8080" }
	envoy := func(pod string) string { return base64.StdEncoding.EncodeToString([]byte(address(pod))) }
	nginx := func(pod string) string { return md5hex(address(pod)) }
	for _, c := range []struct {
		name, objects, cookie, other string // names of the cookies of blue and green
		value                        func(pod string) string
		says, not                    string // why a client moves that is offered nothing
	}{
		{"envoy gateway", strings.Replace(gatewayObjects, "CONTROLLER", "gateway.envoyproxy.io/gatewayclass-controller", 1), "sid", "sid", envoy, "", "shares the requests"},
		{"kgateway", strings.Replace(gatewayObjects, "CONTROLLER", "kgateway.dev/kgateway", 1), "sid", "sid", envoy, shared, "no cookie holds which"},
		{"nginx gateway fabric", strings.Replace(gatewayObjects, "CONTROLLER", "gateway.nginx.org/nginx-gateway-controller", 1), "sid", "sid", nginx, shared + ", and no cookie holds which", "none"},
		{"openshift", `kind: Route
metadata: {name: split, namespace: default, annotations: {router.openshift.io/cookie_name: sid}}
spec:
  to: {kind: Service, name: blue, weight: 3}
  alternateBackends: [{kind: Service, name: green, weight: 1}]`, "sid", "sid", func(pod string) string {
			service, _, _ := strings.Cut(pod, "-")
			return md5hex("pod:" + pod + ":" + service + "::" + address(pod))
		}, "", "shares the requests"},
		{"virtualserver", `kind: VirtualServer
metadata: {name: split, namespace: default}
spec:
  host: a.example.com
  upstreams:
  - {name: b, service: blue, port: 80, sessionCookie: {enable: true, name: sid-b}}
  - {name: g, service: green, port: 80, sessionCookie: {enable: true, name: sid-g}}
  routes: [{path: /, splits: [{weight: 75, action: {pass: b}}, {weight: 25, action: {pass: g}}]}]`, "sid-b", "sid-g", nginx, shared + ", and no cookie holds which", "none"},
		{"contour", `kind: HTTPProxy
metadata: {name: split, namespace: default}
spec:
  virtualhost: {fqdn: a.example.com}
  routes: [{services: [{name: blue, port: 80, weight: 3}, {name: green, port: 80, weight: 1}], loadBalancerPolicy: {strategy: Cookie}}]`, contourCookie, contourCookie, nil, shared + ", and no cookie holds which", "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := openShared(t, c.objects+sharedServices)
			w.value = c.value
			opaque := c.value == nil
			if opaque {
				w.value = func(string) string { return "0123456789abcdef" }
			}
			w.want(w.answer("blue-1", opaque, c.cookie), "blue-1", affinity.Stuck)
			if !opaque {
				w.want(w.answer("green-0", false, c.other), "green-0", affinity.RePinned, "svc/green, by ")
				w.want(w.answer("green-0", true), "green-0", affinity.RePinned)
			}
			w.disagrees = c.cookie == c.other && !opaque // the cookie names green's pod yet
			x := w.answer(map[bool]string{true: "green-0", false: "blue-1"}[opaque], true)
			w.want(x, map[bool]string{true: "green-0", false: "blue-1"}[opaque], affinity.MovedSilent, c.says)
			if cause := x.Moves[len(x.Moves)-1].Cause; strings.Contains(cause, c.not) {
				t.Errorf("the move is said to be because %s", cause)
			}
		})
	}
}

func openShared(t *testing.T, objects string) *weighted {
	t.Helper()
	w := &weighted{t: t, now: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC), held: map[string]string{}}
	w.open(Build(load(t, objects)))
	return w
}
