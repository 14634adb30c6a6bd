package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// maxSuggestions bounds the names that a hint offers, and maxScan the objects
// that are looked through for them.
const (
	maxSuggestions = 4
	maxScan        = 2000
)

// Lookup checks that t can be seen before anything is watched, so that a typing
// mistake is told in words instead of as an empty screen. Its errors are
// *Problem. What RBAC hides cannot be told from what is there: a forbidden get
// is no error here, and shows as the watch's state later.
func (s *Source) Lookup(ctx context.Context, t affinity.Target) error {
	ctx, cancel := context.WithTimeout(ctx, s.clients.pageTimeout)
	defer cancel()
	namespace := t.Namespace
	if namespace == "" {
		namespace = s.namespace
	}
	if err := s.lookupNamespace(ctx, namespace); err != nil {
		return err
	}
	k, ok := kindOf(t.Kind)
	if !ok || t.Name == "" {
		return nil
	}
	if namespace == "" {
		return s.lookupAnywhere(ctx, k, t)
	}
	err := s.clients.get(ctx, k, namespace, t.Name)
	switch {
	case err == nil, apierrors.IsForbidden(err):
		return nil
	case apierrors.IsNotFound(err):
		return s.notFound(ctx, k, t, namespace)
	}
	return explain(err, s.clients.host, "look for "+affinity.Clean(t.String(), maxName))
}

// Asked checks that the Service of t has an address of its own, and the port, so
// that a run need not make anything to find out. Its errors are *Problem; what
// may not be read is none.
func (s *Source) Asked(ctx context.Context, t affinity.Target) error {
	ctx, cancel := context.WithTimeout(ctx, s.clients.pageTimeout)
	defer cancel()
	namespace := cmp.Or(t.Namespace, s.namespace)
	if namespace == "" {
		return nil
	}
	svc, err := s.clients.core.Services(namespace).Get(ctx, t.Name, metav1.GetOptions{})
	if err != nil {
		return nil // Lookup tells of it
	}
	what := "svc/" + affinity.Clean(t.Name, maxName)
	switch {
	case svc.Spec.ClusterIP == corev1.ClusterIPNone:
		return &Problem{What: what + " " + affinity.HeadlessText, Hint: "name a Service with an address of its own"}
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return &Problem{What: what + " is of type ExternalName: it has no address of its own, and no node pins its clients"}
	}
	if !slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
		return (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP) && (t.Port == "" || t.Port == p.Name || t.Port == strconv.Itoa(int(p.Port)))
	}) {
		return &Problem{What: strings.TrimSpace(what + " has no TCP port " + affinity.Clean(t.Port, maxName)), Hint: "kubectl get service " + affinity.Clean(t.Name, maxName) + " shows its ports"}
	}
	return nil
}

// kindOf maps the word of a target to what is asked of the API.
func kindOf(word string) (kind, bool) {
	of := map[string]string{"ingress": resIngresses, "service": resServices, "pod": resPods, "ingressroute": resIngressRoutes,
		"traefikservice": resTraefikServices}
	for _, k := range ingress.CustomKinds {
		if k.Route != "" || k.Via {
			of[strings.ToLower(k.Kind)] = k.Key
		}
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.key() == of[word] })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

// lookupNamespace also is the first call, which finds that there is no API
// server. Many users may not get namespaces; then nothing is known.
func (s *Source) lookupNamespace(ctx context.Context, namespace string) error {
	if namespace == "" {
		if p := s.clients.stranger(ctx); p != nil {
			return p
		}
		return nil
	}
	got, err := s.clients.core.Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err == nil && got.Name != namespace { // any JSON object decodes to one without a name
		err = errNoNamespace
	}
	if p := s.clients.whose(ctx, err); p != nil {
		return p
	}
	switch {
	case err == nil, apierrors.IsForbidden(err):
		return nil
	case !apierrors.IsNotFound(err):
		return explain(err, s.clients.host, fmt.Sprintf("look for namespace %q", affinity.Clean(namespace, maxName)))
	}
	p := &Problem{What: fmt.Sprintf("namespace %q not found", affinity.Clean(namespace, maxName)), Hint: "kubectl get namespaces", Err: err}
	all, err := s.clients.core.Namespaces().List(ctx, metav1.ListOptions{Limit: maxScan})
	if err != nil {
		return p
	}
	var names []string
	for _, n := range all.Items {
		names = append(names, n.Name)
	}
	if near := nearest(namespace, names); len(near) > 0 {
		p.Hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return p
}

var errNoNamespace = errors.New("the answer is not the namespace that was asked for")

// get asks whether one object is there.
func (c *clients) get(ctx context.Context, k kind, namespace, name string) error {
	var err error
	switch opts := (metav1.GetOptions{}); k.name {
	case resIngresses:
		_, err = c.networking.Ingresses(namespace).Get(ctx, name, opts)
	case resServices:
		_, err = c.core.Services(namespace).Get(ctx, name, opts)
	case resPods:
		_, err = c.core.Pods(namespace).Get(ctx, name, opts)
	default:
		_, err = c.dynamic.Resource(k.gvr()).Namespace(namespace).Get(ctx, name, opts)
	}
	return err
}

// Names lists the names of what there is of a target's kind ("ingress",
// "service"…) in the Source's namespace, for completion. It fails when they
// can't be listed.
func (s *Source) Names(ctx context.Context, kind string) ([]string, error) {
	k, ok := kindOf(kind)
	if !ok {
		return nil, fmt.Errorf("no kind %q", kind)
	}
	all, err := s.names(ctx, k, s.namespace)
	var names []string
	for _, x := range all {
		names = append(names, x.name)
	}
	return names, err
}

// Namespaces lists the cluster's namespaces, for completion. It fails when they
// can't be listed.
func (s *Source) Namespaces(ctx context.Context) ([]string, error) {
	list, err := s.clients.core.Namespaces().List(ctx, metav1.ListOptions{Limit: maxScan})
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names, nil
}

// names lists what there is of a kind, in one namespace or with "" in all.
func (s *Source) names(ctx context.Context, k kind, namespace string) ([]key, error) {
	for _, r := range resources(s.clients, namespace) {
		if r.key() != k.key() {
			continue
		}
		list, err := r.list(ctx, metav1.ListOptions{Limit: maxScan})
		if err != nil {
			return nil, err
		}
		page, err := holdList(list, func(obj runtime.Object) (any, bool) { return obj, true })
		if err != nil {
			return nil, err
		}
		var all []key
		for _, obj := range page.Items {
			if h, ok := obj.(*held); ok {
				all = append(all, key{h.Namespace, h.Name})
			}
		}
		return all, nil
	}
	return nil, nil
}

// notFound says what there is instead: names like it, the same name elsewhere,
// or anything at all.
func (s *Source) notFound(ctx context.Context, k kind, t affinity.Target, namespace string) error {
	p := &Problem{What: fmt.Sprintf("%s %q not found in namespace %q", t.Kind, affinity.Clean(t.Name, maxName), affinity.Clean(namespace, maxName))}
	here, err := s.names(ctx, k, namespace)
	if err != nil {
		return p
	}
	var names []string
	for _, x := range here {
		names = append(names, x.name)
	}
	if near := nearest(t.Name, names); len(near) > 0 {
		p.Hint = "did you mean " + strings.Join(near, ", ") + "?"
		return p
	}
	if all, err := s.names(ctx, k, ""); err == nil {
		if found := namespacesOf(all, t.Name); len(found) > 0 {
			p.Hint = fmt.Sprintf("it is in namespace %s: add -n %s", strings.Join(found, ", "), found[0])
			return p
		}
	}
	switch {
	case len(names) == 0:
		p.Hint = fmt.Sprintf("there is no %s in this namespace; -A looks in all", t.Kind)
	default:
		p.Hint = thereIs(t.Name, names)
	}
	return p
}

func (s *Source) lookupAnywhere(ctx context.Context, k kind, t affinity.Target) error {
	all, err := s.names(ctx, k, "")
	if apierrors.IsForbidden(err) {
		return nil
	}
	if err != nil {
		return explain(err, s.clients.host, "look for "+affinity.Clean(t.String(), maxName))
	}
	if len(namespacesOf(all, t.Name)) > 0 {
		return nil
	}
	p := &Problem{What: fmt.Sprintf("%s %q not found in any namespace", t.Kind, affinity.Clean(t.Name, maxName))}
	var names []string
	for _, x := range all {
		names = append(names, x.name)
	}
	if near := nearest(t.Name, names); len(near) > 0 {
		p.Hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return p
}

func namespacesOf(all []key, name string) []string {
	var found []string
	for _, x := range all {
		if x.name == name {
			found = append(found, x.namespace)
		}
	}
	slices.Sort(found)
	return cleanNames(found)
}

func cleanNames(all []string) []string {
	out := make([]string, 0, maxSuggestions)
	for _, s := range all[:min(len(all), maxSuggestions)] {
		out = append(out, name(s))
	}
	return out
}

// thereIs lists names, the nearest to want first, and counts those left out.
func thereIs(want string, names []string) string {
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(affinity.Distance(want, a)-affinity.Distance(want, b), strings.Compare(a, b))
	})
	text := "there is: " + strings.Join(cleanNames(names), ", ")
	if more := len(names) - maxSuggestions; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// nearest returns the names that a person may have meant: those that contain
// want or are contained in it, and those that differ by a slip or two.
func nearest(want string, names []string) []string {
	type near struct {
		name string
		far  int
	}
	var found []near
	if want == "" {
		return nil
	}
	for _, n := range names {
		d := affinity.Distance(want, n)
		switch {
		case strings.Contains(n, want) || len(n) > 2 && strings.Contains(want, n):
			found = append(found, near{n, 1})
		case d <= min(3, (min(len(want), len(n))+1)/2): // two letters swapped are a distance of 2
			found = append(found, near{n, d})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		if a.far != b.far {
			return a.far - b.far
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, f := range found {
		if !slices.Contains(out, f.name) {
			out = append(out, f.name)
		}
	}
	return cleanNames(out)
}
