package findings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f08 = Rule{
	ID: "F08", Title: "A proxy behind the ingress balances again", Severity: affinity.SeverityHigh,
	What:    "The ingress keeps a client on one pod of a proxy, and the proxy opens a connection to the next Service for each request, or balances itself. What was sticky on the first hop is not on the second.",
	Impact:  "the last pod changes from request to request",
	Fix:     "make the last hop sticky too, or send the ingress to the app itself",
	Verify:  "let the app name its pod in a header: stickytop shows the last pod, not the proxy's",
	Sources: []string{"agentic-community/mcp-gateway-registry#1101", "agentgateway/agentgateway#573", "canonical/microk8s#322"},
	Needs:   []string{"Deployment", "StatefulSet", "DaemonSet"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes("") {
			for _, x := range r.loads {
				if next, at := c.upstreamOf(x); next != nil {
					c.hit(x.Object, hit{title: fmt.Sprintf("proxies to service/%s, which balances again", next.Name), likely: true, route: r.ID,
						evidence: []affinity.FindingEvidence{x.field(at...), next.noted("more than one pod behind it", "spec", "selector")}, patch: c.pastProxy(r, next)})
				}
			}
		}
	},
}

// upstreamOf is the Service with several pods that a proxy's environment or
// arguments name.
func (c *check) upstreamOf(x *workload) (*Object, []string) {
	for i, cont := range x.containers() {
		image := strings.ToLower(cont.Str("image"))
		if !slices.ContainsFunc([]string{"nginx", "envoy", "haproxy", "gateway", "proxy", "traefik", "kong", "apisix", "caddy", "httpd"}, func(s string) bool { return strings.Contains(image, s) }) {
			continue
		}
		texts := map[string][]string{}
		for j, e := range cont.Items("env") {
			texts[e.Str("value")] = containerPath(i, "env", strconv.Itoa(j), "value")
		}
		for _, list := range []string{"command", "args"} {
			for j, a := range cont.words(list) {
				texts[a] = containerPath(i, list, strconv.Itoa(j))
			}
		}
		for _, text := range slices.Sorted(maps.Keys(texts)) {
			if host := hostOf(text); host != "" {
				name, rest, _ := strings.Cut(host, ".")
				namespace, _, _ := strings.Cut(rest, ".")
				s := c.named("Service", cmp.Or(namespace, x.Namespace), name)
				if s == nil || s.Str("spec", "clusterIP") == "None" {
					continue
				}
				for _, y := range c.behind(s) {
					if c.most(y) > 1 && y != x {
						return s, texts[text]
					}
				}
			}
		}
	}
	return nil, nil
}

// hostOf is the host of the URL in a text such as --upstream=http://app:80/.
func hostOf(text string) string {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, ":")
	return strings.ToLower(host)
}

// pastProxy sends what r serves to the Service behind the proxy.
func (c *check) pastProxy(r *route, next *Object) []edit {
	port, ok := next.Int("spec", "ports", "0", "port")
	if !ok || next.Namespace != r.Namespace {
		return nil
	}
	var ops []operation
	switch r.object.Kind {
	case "Ingress":
		for _, b := range backendsOf(ingressFacts{Object: r.object, Ingress: readIngress(r.object)}) {
			if b.name == r.Backend.Service.Name && b.at[1] == "rules" && r.object.group() != "extensions" {
				ops = append(ops, put(nest(map[string]any{"name": next.Name, "port": map[string]any{"number": port}}, "service"), append(b.at, "backend")...))
			}
		}
	case "IngressRoute":
		for _, at := range traefikServices(r) {
			ops = append(ops, put(next.Name, append(slices.Clip(at), "name")...), put(port, append(slices.Clip(at), "port")...))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	edits := operated(r.object, ops...)
	for _, x := range c.behind(next) {
		if need := graceFor(r.policy.Cookie.MaxAge); !enoughGrace(x, need) {
			edits = append(edits, gracePatch(x, need)...)
		}
		if r.by(nginxKey) {
			edits = append(edits, c.budgetPatch(x)...)
		}
	}
	return edits
}
