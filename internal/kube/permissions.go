package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Answer is what an access review said.
type Answer uint8

const (
	Unasked Answer = iota // the verb means nothing here
	Allowed
	Denied
	Unknown // the review itself failed
)

// Permission is one row of "can I?": a resource, its verbs and what is lost
// without them.
type Permission struct {
	Group    string // API group; "" for core
	Resource string // "pods", "pods/portforward"
	Cluster  bool   // takes a ClusterRole
	Optional bool   // nothing is broken without it: an API that may be absent, an extra
	Get      Answer
	List     Answer
	Watch    Answer
	Create   Answer // for subresources that are opened: pods/portforward; for agents' Jobs
	Delete   Answer // for agents' Jobs
	Without  string // what is lost
	For      string // why it is asked for, in the Role; "" where Without tells enough
}

// OK reports whether every verb that was asked for is allowed.
func (p Permission) OK() bool {
	for _, a := range []Answer{p.Get, p.List, p.Watch, p.Create, p.Delete} {
		if a == Denied || a == Unknown {
			return false
		}
	}
	return true
}

// Access is the result of a preflight.
type Access struct {
	User      string // as the API server knows it; "" when it does not say
	Namespace string // "" for all
	At        time.Time
	Rows      []Permission
}

// Missing returns the rows that lack something; the optional ones too if asked
// for.
func (a Access) Missing(optional bool) []Permission {
	return slices.DeleteFunc(slices.Clone(a.Rows), func(p Permission) bool { return p.OK() || p.Optional && !optional })
}

// NeedAgents makes what agents take no longer optional: what makes and removes
// them and, with nodes, what tells where there are tables to read.
func (a *Access) NeedAgents(nodes bool) {
	for i := range a.Rows {
		switch p := &a.Rows[i]; {
		case p.Resource == "jobs", p.Resource == "pods/portforward", nodes && p.Resource == "nodes":
			p.Optional = false
		}
	}
}

// NeedLogs makes what following pods' logs takes no longer optional.
func (a *Access) NeedLogs() { a.need("pods/log") }

// NeedForward makes what a port-forward to a pod takes no longer optional.
func (a *Access) NeedForward() { a.need("pods/portforward") }

func (a *Access) need(resource string) {
	for i := range a.Rows {
		if a.Rows[i].Resource == resource {
			a.Rows[i].Optional = false
		}
	}
}

// Wanted returns every row of the preflight, with the verbs that matter marked
// Unknown. RoleYAML makes the whole Role of it.
func Wanted() []Permission {
	var rows []Permission
	for _, k := range kinds {
		rows = append(rows, Permission{Group: k.group, Resource: k.name, Cluster: k.cluster, Optional: k.optional,
			Get: Unknown, List: Unknown, Watch: Unknown, Without: k.loss})
	}
	rows = append(rows, surveyOnly()...)
	rows = append(rows, everywhere()...)
	return append(rows,
		Permission{Resource: "pods/portforward", Optional: true, Create: Unknown, Without: "the ingress must be reachable from here"},
		Permission{Group: "batch", Resource: "jobs", Optional: true, List: Unknown, Create: Unknown, Delete: Unknown, Without: "no agents: --agents, and --kernel but on a node"},
		Permission{Resource: "pods/log", Optional: true, Get: Unknown, Without: "VIA is limited to hdr, body and ck"},
		Permission{Resource: "namespaces", Cluster: true, Optional: true, Get: Unknown, List: Unknown, Without: "namespaces taken from kubeconfig only"},
	)
}

// everywhere are the rows of what is asked for in all namespaces beside the one
// that is watched, by label: what the charts of ingress controllers install.
func everywhere() []Permission {
	var rows []Permission
	for _, resource := range []string{"deployments", "daemonsets"} {
		rows = append(rows, Permission{Group: "apps", Resource: resource, Cluster: true, Optional: true, List: Unknown,
			Without: "which ingress controller runs is known in its usual namespaces alone, if at all: findings that depend on it are likely",
			For:     "in all namespaces, by label: which ingress controller runs"})
	}
	return append(rows, Permission{Resource: "services", Cluster: true, Optional: true, List: Unknown,
		Without: "the load balancers of controllers are known in their usual namespaces alone, if at all: the address of routes without status, B03",
		For:     "in all namespaces, by label: at which address ingress controllers are reached, and whether TLS ends before them"})
}

// surveyOnly are the rows of what the rules of findings read and no watch does.
func surveyOnly() []Permission {
	var rows []Permission
	for _, s := range surveyed() {
		if s.kind == "Namespace" || slices.ContainsFunc(kinds, func(k kind) bool { return k.name == s.gvr.Resource && k.group == s.gvr.Group }) {
			continue
		}
		rows = append(rows, Permission{Group: s.gvr.Group, Resource: s.gvr.Resource, Cluster: s.cluster, Optional: true, List: Unknown,
			Without: "findings about " + s.gvr.Resource + " are not checked"})
	}
	return append(rows, Permission{Resource: "configmaps", Optional: true, Get: Unknown,
		Without: "settings in the ConfigMaps of kube-proxy and the controllers are not checked"})
}

// verbs are those of p that are asked, with where the answer goes.
func (p *Permission) verbs() map[string]*Answer {
	all := map[string]*Answer{"get": &p.Get, "list": &p.List, "watch": &p.Watch, "create": &p.Create, "delete": &p.Delete}
	for v, a := range all {
		if *a == Unasked {
			delete(all, v)
		}
	}
	return all
}

// Permissions asks the API server what this user may (SelfSubjectAccessReview,
// which every authenticated user may create). It fails only when the API server
// cannot be asked at all.
func (s *Source) Permissions(ctx context.Context) (Access, error) {
	ctx, cancel := context.WithTimeout(ctx, s.clients.pageTimeout)
	defer cancel()
	access := Access{Namespace: s.namespace, At: time.Now(), Rows: Wanted()}
	if s.namespace == "" { // all of them are asked for anyway
		access.Rows = slices.DeleteFunc(access.Rows, func(p Permission) bool { return p.For != "" })
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var firstErr error
	asked, failed := 0, 0
	for i := range access.Rows {
		row := &access.Rows[i]
		for verb, answer := range row.verbs() {
			asked++
			wg.Go(func() {
				got, err := s.clients.may(ctx, row, verb, s.namespace)
				*answer = got
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed++
					if firstErr == nil {
						firstErr = err
					}
				}
			})
		}
	}
	wg.Wait()
	if failed == asked {
		if p := s.clients.whose(ctx, firstErr); p != nil {
			return access, p
		}
		return access, explain(firstErr, s.clients.host, "ask for permissions")
	}
	access.User = s.clients.whoami(ctx)
	return access, nil
}

func (c *clients) may(ctx context.Context, p *Permission, verb, namespace string) (Answer, error) {
	if p.Cluster {
		namespace = ""
	}
	resource, sub := splitResource(p.Resource)
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: p.Group, Resource: resource, Subresource: sub},
	}}
	got, err := c.authorization.SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	switch {
	case err != nil:
		return Unknown, err
	case got.Status.Allowed:
		return Allowed, nil
	}
	return Denied, nil
}

// whoami returns the user's name, or "": the API exists since Kubernetes 1.28
// (authentication.k8s.io/v1 SelfSubjectReview).
func (c *clients) whoami(ctx context.Context) string {
	got, err := c.authentication.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return ""
	}
	return name(got.Status.UserInfo.Username)
}

// String is the row without its verbs, for logs.
func (p Permission) String() string {
	if p.Group == "" {
		return p.Resource
	}
	return fmt.Sprintf("%s.%s", p.Resource, p.Group)
}
