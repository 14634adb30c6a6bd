package findings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f02 = Rule{
	ID: "F02", Title: "ClientIP is remembered by each node for itself", Severity: affinity.SeverityHigh,
	What:    "kube-proxy and its replacements keep the table of clients on each node. A load balancer that spreads the connections of one client over nodes gets a pod from each.",
	Shown:   "the tables of two nodes (--kernel) hold one client in its time on two pods.",
	Impact:  "one client has as many pods as it meets nodes",
	Fix:     "let the load balancer hash by source address, or use a cookie on an ingress",
	Verify:  "ask each node's NodePort from one client: one pod answers",
	Sources: []string{"cloudnativelabs/kube-router#159", "kubernetes/kubernetes#13865"},
	Needs:   []string{"Node"},
	check: func(c *check) {
		nodes := len(c.objects("Node"))
		if c.Unread["Node"] != "" || nodes == 1 {
			return
		}
		for _, s := range c.services() {
			kind := s.Str("spec", "type")
			if !clientIP(s) || kind != "LoadBalancer" && kind != "NodePort" || balancesBySource(s) {
				continue
			}
			h := hit{title: fmt.Sprintf("ClientIP on a %s holds on each node for itself", kind), likely: true,
				evidence: []affinity.FindingEvidence{s.field("spec", "type"), s.field("spec", "sessionAffinity")}, severity: affinity.SeverityMedium,
				impact: "unless the cluster has one node, one client has as many pods as it meets nodes"}
			h.fix, h.patch = c.sourceHashing(s)
			if nodes > 1 {
				h.severity, h.impact = affinity.SeverityHigh, fmt.Sprintf("one client may have a pod on each of %d nodes", nodes)
			}
			c.hit(s, h)
		}
	},
}

// sourceHashing makes the load balancer send a client to one node, where it is
// known how that is asked for; else it leaves the Service to an ingress, whose
// cookie holds across nodes.
func (c *check) sourceHashing(s *Object) (fix string, edits []edit) {
	for _, b := range sourceHashings {
		if s.Str("spec", "type") == "LoadBalancer" && b.runs(c.world, s) {
			return "let the load balancer hash by source address, or use a cookie on an ingress", annotate(s, b.key, b.value)
		}
	}
	port, _ := s.Int("spec", "ports", "0", "port")
	if port == 0 {
		return "", nil
	}
	class, key := c.look().className(), c.look().key
	spec := map[string]any{"ingressClassName": class, "rules": []any{nest([]any{map[string]any{"path": "/", "pathType": "Prefix",
		"backend": nest(map[string]any{"name": s.Name, "port": map[string]any{"number": port}}, "service")}}, "http", "paths")}}
	made := From(map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": map[string]any{"name": s.Name, "namespace": s.Namespace}, "spec": spec})
	o, ok := NewObject(&made, "")
	if !ok || c.named("Ingress", s.Namespace, s.Name) != nil {
		return "", nil
	}
	asked := c.askIngress(ingressFacts{Object: o, Ingress: readIngress(o)}, key)
	ing := of(o)
	ing.made = map[string]any{"spec": spec}
	for _, e := range asked {
		if e.kind == "Ingress" {
			for _, a := range e.annotations {
				ing.made = merged(ing.made, nest(*a.value, "metadata", "annotations", a.key))
			}
			continue
		}
		edits = append(edits, e)
	}
	inner := serviceEdit(s.Namespace, s.Name)
	inner.fields = map[string]any{"spec": map[string]any{"type": "ClusterIP", "sessionAffinity": "None", "sessionAffinityConfig": nil, "externalTrafficPolicy": nil}}
	if key == nginxKey {
		for _, x := range c.behind(s) {
			edits = append(edits, c.budgetPatch(x)...)
		}
	}
	for _, x := range c.behind(s) {
		if !enoughGrace(x, maxGrace) {
			edits = append(edits, gracePatch(x, maxGrace)...)
		}
	}
	return "let the load balancer hash by source address, where it can; else, for HTTP, use a cookie on an ingress: the patch takes the Service behind one, of class " + class, append([]edit{ing, inner}, edits...)
}

// sourceHashings are how load balancers are asked to send a client to one node,
// and when one is there: by the cloud of the nodes, or an annotation of its own.
// [aws-load-balancer-controller docs/guide/service/annotations.md,
// target-group-attributes; cloud-provider-openstack
// docs/openstack-cloud-controller-manager/expose-applications-using-loadbalancer-type-service.md,
// loadbalancer.openstack.org/lb-method]
var sourceHashings = []sourceHashing{
	{"aws", "service.beta.kubernetes.io/aws-load-balancer-", "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes", "stickiness.enabled=true,stickiness.type=source_ip"},
	{"openstack", "loadbalancer.openstack.org/", "loadbalancer.openstack.org/lb-method", "SOURCE_IP"},
}

type sourceHashing struct{ provider, prefix, key, value string }

func (b sourceHashing) runs(w *world, s *Object) bool {
	for k := range s.Strings("metadata", "annotations") {
		if strings.HasPrefix(k, b.prefix) {
			return true
		}
	}
	return w.look().clouds[b.provider]
}

// balancesBySource reports whether an annotation asks the load balancer for
// stickiness of its own. [digitalocean-cloud-controller-manager
// docs/controllers/services/annotations.md, do-loadbalancer-sticky-sessions-type;
// scaleway-cloud-controller-manager docs/loadbalancer-annotations.md,
// scw-loadbalancer-sticky-sessions; hcloud-cloud-controller-manager
// internal/annotation/load_balancer.go, http-sticky-sessions]
func balancesBySource(s *Object) bool {
	if s.Str("spec", "type") != "LoadBalancer" {
		return false
	}
	for k, v := range s.Strings("metadata", "annotations") {
		k, v = strings.ToLower(k), strings.ToLower(strings.TrimSpace(v))
		if !strings.Contains(k, "loadbalancer") && !strings.Contains(k, "load-balancer") {
			continue
		}
		sticky := strings.Contains(k, "sticky-session") && !slices.Contains([]string{"", "none", "false", "off"}, v)
		if sticky || strings.Contains(v, "stickiness.enabled=true") || (strings.Contains(k, "algorithm") || strings.Contains(k, "lb-method")) && strings.Contains(v, "source") {
			return true
		}
	}
	return false
}
