package kube

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// RoleYAML returns the Role (and, for what is not in a namespace, the
// ClusterRole) that grants rows in namespace, as YAML to send to an
// administrator; with namespace "" a ClusterRole for everything. It returns ""
// for no rows.
func RoleYAML(namespace string, rows []Permission) string {
	var local, cluster []Permission
	for _, p := range rows {
		if p.Cluster || namespace == "" {
			cluster = append(cluster, p)
		} else {
			local = append(local, p)
		}
	}
	var docs []string
	if len(local) > 0 {
		docs = append(docs, roleDoc("Role", namespace, local))
	}
	if len(cluster) > 0 {
		docs = append(docs, roleDoc("ClusterRole", "", cluster))
	}
	return strings.Join(docs, "---\n")
}

func roleDoc(kind, namespace string, rows []Permission) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: stickytop\n", kind)
	if namespace != "" {
		fmt.Fprintf(&b, "  namespace: %s\n", strconv.Quote(namespace))
	}
	b.WriteString("rules:\n")
	for _, r := range rulesOf(rows) {
		if r.why != "" {
			fmt.Fprintf(&b, "# %s\n", r.why)
		}
		fmt.Fprintf(&b, "- apiGroups: [%q]\n  resources: [%s]\n  verbs: [%s]\n", r.group, quoted(r.resources), quoted(r.verbs))
	}
	return b.String()
}

type rule struct {
	group     string
	resources []string
	verbs     []string
	why       string // Permission.For
}

// rulesOf joins rows of one group, one reason and the same verbs. A verb that is
// denied, unknown or allowed already is in the rule: a Role that is bound
// replaces nothing, but one that is read should be whole.
func rulesOf(rows []Permission) []rule {
	var out []rule
	for _, p := range rows {
		var verbs []string
		for _, v := range []string{"get", "list", "watch", "create", "delete"} {
			if p.verbs()[v] != nil {
				verbs = append(verbs, v)
			}
		}
		i := slices.IndexFunc(out, func(r rule) bool { return r.group == p.Group && r.why == p.For && slices.Equal(r.verbs, verbs) })
		if i < 0 {
			out = append(out, rule{group: p.Group, verbs: verbs, why: p.For})
			i = len(out) - 1
		}
		out[i].resources = append(out[i].resources, p.Resource)
	}
	return out
}

func quoted(all []string) string {
	q := make([]string, len(all))
	for i, s := range all {
		q[i] = strconv.Quote(s)
	}
	return strings.Join(q, ", ")
}

func splitResource(s string) (resource, sub string) {
	resource, sub, _ = strings.Cut(s, "/")
	return resource, sub
}
