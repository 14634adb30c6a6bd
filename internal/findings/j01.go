package findings

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var j01 = Rule{
	ID: "J01", Title: "A database behind a balancing Service", Severity: affinity.SeverityHigh,
	What:    "A replicated database has one member that takes writes, and drivers that find it when they see the members: through a headless Service. A virtual IP over all members, with or without affinity, leads to any of them.",
	Impact:  "writes fail with \"not primary\", depending on the pod a connection meets",
	Fix:     "name the members (or the replica set) in the connection string, through a headless Service beside this one: clusterIP of a Service that exists cannot change. Or delete this one and create it again with clusterIP: None",
	Verify:  "nslookup of the headless Service from a pod lists every member",
	Sources: []string{"mongodb/mongodb-kubernetes-operator#1029", "cozystack/cozystack#2514", "bitnami/charts#3830", "bitnami/charts#7064", "cravall/mongo-k8s-sidecar#58"},
	check: func(c *check) {
		for _, s := range c.services() {
			database := databaseOf(s)
			if database == "" {
				continue
			}
			headless := s.Str("spec", "clusterIP") == "None"
			x := firstOf(c.behind(s))
			evidence := []affinity.FindingEvidence{s.noted(ifElse(headless, "headless", "a virtual IP"), "spec", "clusterIP"), s.noted("None when absent", "spec", "sessionAffinity")}
			switch {
			case headless && !clientIP(s):
				c.hit(s, hit{title: database + " is headless and without affinity: right", severity: affinity.SeverityInfo, evidence: evidence,
					impact: "clients see the members, and can choose the one that takes writes", fix: "nothing; " + cmp.Or(connecting[database], "let clients name the members")})
			case headless:
				// J02 says it
			case x != nil && x.Kind == "StatefulSet" && c.most(x) > 1 && database == "MongoDB" && !oneMember(s):
				h := hit{title: fmt.Sprintf("%s's %d members are behind one virtual IP", database, c.most(x)), likely: true, evidence: append(evidence, x.field("spec", "replicas")), patch: headlessPatch(s)}
				if o := c.look().headless[selectorKey(s)]; o != nil { // which name the clients use, no object tells
					h.severity, h.patch = affinity.SeverityInfo, nil
					h.impact, h.fix = "clients that use this name, and not service/"+o.Name+", write to any member", "name the members of service/"+o.Name+" (or the replica set) in the connection string"
					h.evidence = append(h.evidence, o.noted("headless, of the same pods", "spec", "clusterIP"))
				}
				c.hit(s, h)
			case clientIP(s):
				c.hit(s, hit{title: database + " needs no sessionAffinity", severity: affinity.SeverityMedium, evidence: evidence,
					impact: "all clients behind one address share one member, and affinity hides which one answers", fix: "set sessionAffinity: None", patch: unpin(s)})
			}
		}
	},
}

// connecting is how clients of each database find the member that takes writes.
var connecting = map[string]string{
	"MongoDB":    "use a replica-set connection string",
	"PostgreSQL": "name the primary, or list the members with target_session_attrs=read-write",
	"MySQL":      "name the primary, or go through what elects it",
	"Redis":      "name the primary, or use a client of Redis Sentinel or Redis Cluster",
	"Cassandra":  "give drivers some members as contact points",
	"Kafka":      "give clients some members as bootstrap servers",
	"etcd":       "list the members as endpoints",
}

// headlessPatch is a headless Service beside s, whose own clusterIP can't change
// once it is there. [kubernetes pkg/apis/core/validation ValidateServiceUpdate]
func headlessPatch(s *Object) []edit {
	const suffix = "-headless"
	var ports []any
	for i, p := range s.Items("spec", "ports") {
		n, _ := p.Int("port")
		port := map[string]any{"name": cmp.Or(p.Str("name"), fmt.Sprintf("port-%d", i)), "port": n}
		if p.Has("targetPort") {
			port["targetPort"] = p.At("targetPort").plain()
		}
		ports = append(ports, port)
	}
	return []edit{{apiVersion: "v1", kind: "Service", namespace: s.Namespace, name: strings.TrimRight(s.Name[:min(len(s.Name), 63-len(suffix))], "-") + suffix,
		made: nest(map[string]any{"clusterIP": "None", "selector": s.At("spec", "selector").plain(), "ports": ports}, "spec")}}
}

// databaseOf names the database a Service is for, by its port and then its name
// or labels; "" for none.
func databaseOf(s *Object) string {
	for _, p := range s.Items("spec", "ports") {
		switch p.Str("port") {
		case "27017":
			return "MongoDB"
		case "5432":
			return "PostgreSQL"
		case "3306":
			return "MySQL"
		case "6379":
			return "Redis"
		case "9042":
			return "Cassandra"
		case "9092":
			return "Kafka"
		case "5672":
			return "RabbitMQ"
		case "2379":
			return "etcd"
		}
	}
	return ""
}

// oneMember reports whether a Service selects one member on purpose: the
// primary by a role label, or a pod by its name.
func oneMember(s *Object) bool {
	for k, v := range s.Strings("spec", "selector") {
		k, v = strings.ToLower(k), strings.ToLower(v)
		if strings.Contains(k, "role") || strings.Contains(k, "pod-name") || strings.Contains(v, "primary") || strings.Contains(v, "master") || v == "arbiter" {
			return true
		}
	}
	return false
}

// unpin takes the affinity from a Service; the API server has no timeout without.
func unpin(s *Object) []edit {
	fields := nest("None", "spec", "sessionAffinity")
	if s.Has("spec", "sessionAffinityConfig") {
		fields = merged(fields, nest(nil, "spec", "sessionAffinityConfig"))
	}
	return patched(s, fields)
}
