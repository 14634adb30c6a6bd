package ingress

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is how long proxies wait on a connection that says nothing: of a
// WebSocket between frames, and of a request for its answer.

// NginxConfig is the part of ingress-nginx's own ConfigMap that is read.
type NginxConfig struct {
	Name        string // "ingress-nginx/ingress-nginx-controller"; "" when none was read
	Unread      string // why it was not, where that is known
	ReadTimeout string // data[proxy-read-timeout] as written; "" when absent

	ServiceUpstream bool // data[service-upstream]: the default of the annotation
}

// idles fills in how long a controller's proxy waits at place p. What is not
// known stays zero.
func (w *World) idles(controller string, p *Place, s served, policy affinity.Policy) affinity.Policy {
	switch controller {
	case nginxKey, traefikNginxKey:
		if p.isCanary() {
			if p = s.primary(p); p == nil || controller == traefikNginxKey {
				return policy
			}
		}
		w.nginxIdle(controller, p, &policy)
	case traefikKey:
		// A hijacked connection has no deadline (net/http, hijackLocked), and
		// respondingTimeouts are of requests and of connections without one.
		policy.ReadTimeoutWhy = "Traefik does not cut a quiet WebSocket"
	case istioKey:
		policy.ReadTimeoutWhy = istioIdle
	case contourKey:
		contourIngressIdle(p, &policy)
	case kongKey:
		kongIdle(p.Service, &policy)
	case haproxytechKey:
		// timeout-tunnel is of the ConfigMap alone. [documentation/annotations.md]
		policy.ReadTimeout, policy.ReadTimeoutWhy = time.Hour, "timeout-tunnel, 1h by default; the controller's ConfigMap is not read"
		answer, at := layered(p, haproxytechPrefixes, "timeout-server", true)
		policy.AnswerTimeout, policy.AnswerTimeoutWhy = haproxyWait(answer, at, "timeout-server", 50*time.Second)
	case haproxyIngressKey:
		// [docs, configuration/keys.md, timeout]
		tunnel, at := layered(p, haproxyIngressPrefixes, "timeout-tunnel", true)
		policy.ReadTimeout, policy.ReadTimeoutWhy = haproxyWait(tunnel, at, "timeout-tunnel", time.Hour)
		answer, at := layered(p, haproxyIngressPrefixes, "timeout-server", true)
		policy.AnswerTimeout, policy.AnswerTimeoutWhy = haproxyWait(answer, at, "timeout-server", 50*time.Second)
	}
	return policy
}

// nginxIdle is proxy-read-timeout, of the Ingress that makes the location (which
// for a canary is its primary), or the ConfigMap, or 60 s. proxy-send-timeout is of writes that the other side
// does not take, and cuts nothing that is quiet. A value that is no number is
// passed over. [internal/ingress/annotations/proxy/main.go; configmap.md;
// traefik pkg/provider/kubernetes/ingress-nginx/build.go buildServersTransport,
// which sets a deadline for each read from the pod]
func (w *World) nginxIdle(controller string, p *Place, policy *affinity.Policy) {
	const key = "proxy-read-timeout"
	wait, why := 60*time.Second, key+", 60s by default"
	own, config := nginxWait(p.Ingress.Annotations[nginxPrefix+key]), nginxWait(w.nginxConfig.ReadTimeout)
	switch {
	case own > 0:
		wait, why = own, "annotation "+nginxPrefix+key+" of "+objectOf(p.Ingress)
	case controller == traefikNginxKey:
		why += "; Traefik's own option proxyReadTimeout is not read"
	case config > 0:
		wait, why = config, key+" of configmap "+w.nginxConfig.Name
	case w.nginxConfig.Name == "":
		why += "; the controller's ConfigMap is not read"
	}
	if bad := strings.TrimSpace(p.Ingress.Annotations[nginxPrefix+key]); bad != "" && own == 0 {
		why += fmt.Sprintf("; the annotation's %s is no number of seconds", quote(bad))
	}
	policy.ReadTimeout, policy.ReadTimeoutWhy = wait, why
	policy.AnswerTimeout, policy.AnswerTimeoutWhy = wait, why
}

// nginxWait reads a number of seconds without a unit; 0 for what is none.
func nginxWait(text string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n <= 0 || n > maxIdleSeconds {
		return 0
	}
	return time.Duration(n) * time.Second
}

// maxIdleSeconds is what is taken for a time at all: ten years.
const maxIdleSeconds = 10 * 365 * 24 * 3600

// haproxyWait is a timeout of HAProxy's, by annotation or by default. A number
// without a unit is of milliseconds. [HAProxy configuration manual, 2.5]
func haproxyWait(value, at, name string, otherwise time.Duration) (time.Duration, string) {
	value = strings.TrimSpace(value)
	if _, err := strconv.Atoi(value); err == nil {
		value += "ms"
	}
	if wait := haproxyTime(value); wait > 0 {
		return wait, "annotation " + at
	}
	return otherwise, fmt.Sprintf("%s, %s by default; the controller's ConfigMap is not read", name, shortTime(otherwise))
}

// shortTime prints 1h rather than 1h0m0s.
func shortTime(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// gatewayTimeouts are an HTTPRoute rule's timeouts, GEP-1742.
type gatewayTimeouts struct {
	Request        string `json:"request"`
	BackendRequest string `json:"backendRequest"`
}

// idles fills in a rule's timeouts, which are of requests, and what Envoy waits
// for by default. What they mean for a WebSocket is each implementation's own
// (GEP-1742, "streaming"), so nothing is said of it.
func (g *gatewayPlace) idles(readings []Reading) []Reading {
	for i := range readings {
		p := &readings[i].Policy
		switch p.Controller {
		case istioKey:
			p.ReadTimeoutWhy = istioIdle
		case nginxGatewayKey:
			// No proxy_read_timeout in its template: nginx's own default.
			// [nginx-gateway-fabric internal/controller/nginx/config/servers_template.go;
			// nginx ngx_http_proxy_module, proxy_read_timeout]
			p.ReadTimeout, p.ReadTimeoutWhy = time.Minute, "nginx's proxy_read_timeout, 60s by default; a ProxySettingsPolicy is not read"
			p.AnswerTimeout, p.AnswerTimeoutWhy = p.ReadTimeout, p.ReadTimeoutWhy
		case envoyGatewayKey:
			// [envoy HttpConnectionManager.stream_idle_timeout]
			p.ReadTimeout, p.ReadTimeoutWhy = 5*time.Minute, "Envoy's stream_idle_timeout, 5m by default; a ClientTrafficPolicy is not read"
			p.AnswerTimeout, p.AnswerTimeoutWhy = p.ReadTimeout, p.ReadTimeoutWhy
		}
		t := g.rule.Timeouts
		if t == nil {
			continue
		}
		for _, x := range []struct{ name, value string }{{"request", t.Request}, {"backendRequest", t.BackendRequest}} {
			wait, err := time.ParseDuration(x.value)
			if err == nil && wait > 0 && (p.AnswerTimeout == 0 || wait < p.AnswerTimeout) {
				p.AnswerTimeout = wait
				p.AnswerTimeoutWhy = fmt.Sprintf("spec.rules[%d].timeouts.%s of httproute/%s", g.index, x.name, g.object.Name)
			}
		}
	}
	return readings
}

// istioIdle: istiod sets stream_idle_timeout to 0, which is off. An EnvoyFilter
// may set it, and a VirtualService's timeout, which is of requests, is not read.
// [istio pilot/pkg/networking/core/listener_builder.go, buildHTTPConnectionManager]
const istioIdle = "Istio turns Envoy's stream_idle_timeout off; EnvoyFilters are not read"

// contourStreamIdle and contourResponse are what Envoy does where a route of
// Contour's says nothing.
const (
	contourStreamIdle = 5 * time.Minute
	contourResponse   = 15 * time.Second
)

// idles is timeoutPolicy: idle is of a stream without activity, response of an
// answer, which is not said of a WebSocket. "" and 0 are the default, infinity
// and infinite turn it off. [contour apis/projectcontour/v1/httpproxy.go
// TimeoutPolicy; internal/timeout/timeout.go Parse; internal/envoy/v3/route.go
// routeRoute]
func (r *httpProxyRoute) idles(c *Custom, p affinity.Policy) affinity.Policy {
	at := " of " + c.object("httpproxy")
	idle, idleWhy, ok := contourWait(r.TimeoutPolicy.Idle, contourStreamIdle, "timeoutPolicy.idle"+at,
		"Envoy's stream_idle_timeout, 5m by default; Contour's own configuration is not read")
	if !ok {
		return p // Contour refuses the route
	}
	response, responseWhy, ok := contourWait(r.TimeoutPolicy.Response, contourResponse, "timeoutPolicy.response"+at,
		"Envoy's route timeout, 15s by default")
	if !ok {
		return p
	}
	p.ReadTimeout, p.ReadTimeoutWhy = idle, idleWhy
	p.AnswerTimeout, p.AnswerTimeoutWhy = response, responseWhy
	if response == 0 || idle > 0 && idle < response {
		p.AnswerTimeout, p.AnswerTimeoutWhy = idle, idleWhy
	}
	return p
}

// contourIngressIdle is what an Ingress can say to Contour: how long an answer
// may take. What is no duration is the default. [contour internal/dag/policy.go
// ingressTimeoutPolicy]
func contourIngressIdle(p *Place, policy *affinity.Policy) {
	policy.ReadTimeout, policy.ReadTimeoutWhy = contourStreamIdle, "Envoy's stream_idle_timeout, 5m by default; Contour's own configuration is not read"
	const byDefault = "Envoy's route timeout, 15s by default"
	key := "projectcontour.io/response-timeout"
	if p.Ingress.Annotations[key] == "" {
		key = "projectcontour.io/request-timeout" // an older name of the same
	}
	value := p.Ingress.Annotations[key]
	wait, why, ok := contourWait(value, contourResponse, "annotation "+key+" of "+objectOf(p.Ingress), byDefault)
	if !ok {
		wait, why = contourResponse, fmt.Sprintf("%s; the annotation's %s is no duration", byDefault, quote(value))
	}
	policy.AnswerTimeout, policy.AnswerTimeoutWhy = wait, why
	if wait == 0 || policy.ReadTimeout < wait {
		policy.AnswerTimeout, policy.AnswerTimeoutWhy = policy.ReadTimeout, policy.ReadTimeoutWhy
	}
}

// kongIdle is read-timeout of the Service, in milliseconds. What is no number
// is passed over. [Kong/kubernetes-ingress-controller
// internal/dataplane/kongstate/service.go overrideReadTimeout; Kong
// kong/db/schema/entities/services.lua, read_timeout]
func kongIdle(s *Service, policy *affinity.Policy) {
	const key = "konghq.com/read-timeout"
	if s == nil {
		return
	}
	wait, why := time.Minute, "Kong's read_timeout, 60s by default"
	if value, ok := s.Annotations[key]; ok {
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
			why += fmt.Sprintf("; the annotation's %s is no number of milliseconds", quote(value))
		case n < 1 || n > math.MaxInt32-1:
			return // Kong refuses it
		default:
			wait, why = time.Duration(n)*time.Millisecond, "annotation "+key+" of service/"+s.Name
		}
	}
	policy.ReadTimeout, policy.ReadTimeoutWhy = wait, why
	policy.AnswerTimeout, policy.AnswerTimeoutWhy = wait, why
}

// contourWait reads one of Contour's timeouts: 0 for none, ok is false for what
// Contour does not take.
func contourWait(value string, otherwise time.Duration, at, byDefault string) (wait time.Duration, why string, ok bool) {
	switch value {
	case "infinity", "infinite":
		return 0, at + " turns it off", true
	case "":
		return otherwise, byDefault, true
	}
	wait, err := time.ParseDuration(value)
	switch {
	case err != nil || wait < 0:
		return 0, "", false
	case wait == 0:
		return otherwise, byDefault, true
	}
	return wait, at, true
}
