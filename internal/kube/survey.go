package kube

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// survey is a resource that rules read, beside ConfigMaps, of which only named
// ones are. Cluster-wide ones are asked for once, whatever the namespace.
type survey struct {
	kind    string
	gvr     schema.GroupVersionResource
	cluster bool
	wide    bool // of all namespaces, where that is allowed
	// optional is what need not be installed.
	optional bool
}

// surveyed are the resources that rules read: those of ingress.CustomKinds
// among them.
func surveyed() []survey {
	all := []survey{
		{kind: "Ingress", gvr: schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}},
		{kind: "Service", gvr: schema.GroupVersionResource{Version: "v1", Resource: "services"}},
		{kind: "IngressClass", gvr: schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingressclasses"}, cluster: true},
		{kind: "Deployment", gvr: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}},
		{kind: "StatefulSet", gvr: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}},
		{kind: "DaemonSet", gvr: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}},
		{kind: "HorizontalPodAutoscaler", gvr: schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}},
		{kind: "PodDisruptionBudget", gvr: schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}},
		{kind: "Node", gvr: schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, cluster: true},
		{kind: "Namespace", gvr: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, cluster: true},
		{kind: "IngressRoute", gvr: schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"}, optional: true},
		{kind: "TraefikService", gvr: schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "traefikservices"}, optional: true},
		{kind: "VirtualService", gvr: schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}, optional: true},
	}
	for _, k := range ingress.CustomKinds {
		all = append(all, survey{kind: k.Kind, gvr: schema.GroupVersionResource{Group: k.Group(), Version: k.Version, Resource: k.Resource()}, cluster: k.Cluster, wide: k.Wide, optional: true})
	}
	return all
}

// maxSurveyed bounds the objects of one kind.
const maxSurveyed = 50_000

// Survey reads once what the rules of findings judge, in pages. A kind that
// RBAC forbids is in Facts.Unread, one whose API is not installed is not there.
// It fails only when the API server cannot be asked, or refuses the user.
func Survey(ctx context.Context, cfg *rest.Config, opts Options) (findings.Facts, error) {
	c, err := newClients(cfg, opts.Version)
	if err != nil {
		return findings.Facts{}, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	defer c.dialer.CloseAll()
	f := findings.Facts{Cluster: true, Unread: map[string]string{}}
	if !opts.AllNamespaces {
		f.Namespace = opts.Namespace
	}
	for _, k := range surveyed() {
		namespace := opts.Namespace
		if k.cluster || opts.AllNamespaces {
			namespace = ""
		}
		if k.kind == "Namespace" && !opts.AllNamespaces {
			_ = c.surveyOne(ctx, &f, k.gvr, "", opts.Namespace) // its labels alone are wanted, where they may be read
			continue
		}
		err := c.surveyKind(ctx, &f, k, namespace)
		switch {
		case err == nil, apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		case apierrors.IsForbidden(err):
			if k.optional {
				if err := c.installed(ctx, kind{group: k.gvr.Group, version: k.gvr.Version, name: k.gvr.Resource}); apierrors.IsNotFound(err) {
					continue // 403 comes before 404 to whom no Role names it
				}
			}
			where := "in namespace " + namespace
			if namespace == "" {
				where = "in all namespaces"
			}
			if k.cluster {
				where = "cluster-wide"
			}
			f.Unread[k.kind] = fmt.Sprintf("list %s %s is forbidden", k.gvr.Resource, where)
		default:
			return f, &Problem{What: fmt.Sprintf("cannot list %s of %s: %s", k.gvr.Resource, c.host, plain(err)), Err: err,
				Hint: "stickytop lint -f FILE needs no cluster"}
		}
	}
	if f.Namespace != "" {
		c.surveyControllers(ctx, &f)
		c.surveyFronts(ctx, &f)
	}
	c.surveyConfigs(ctx, &f)
	return f, nil
}

// running reads what tells at once which ingress controller runs.
func running(ctx context.Context, cfg *rest.Config, opts Options) (findings.Facts, error) {
	c, err := newClients(cfg, opts.Version)
	if err != nil {
		return findings.Facts{}, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	defer c.dialer.CloseAll()
	f := findings.Facts{Cluster: true, Unread: map[string]string{}}
	c.surveyControllers(ctx, &f)
	c.surveyConfigs(ctx, &f)
	return f, nil
}

// controllers are the controllers of which one IngressClass may be, by the label
// that their charts give to their workloads and Services. [ingress-nginx, its copy
// in RKE2, and Traefik, Helm charts, app.kubernetes.io/name]
const controllers = "app.kubernetes.io/name in (ingress-nginx,rke2-ingress-nginx,traefik)"

// controllerNamespaces are where they usually run, for users who may not list
// workloads of all namespaces.
var controllerNamespaces = []string{"ingress-nginx", "traefik", "kube-system"}

// surveyControllers reads which ingress controllers run in other namespaces than
// the one that is judged. What forbids it is in Facts.ControllersUnread.
func (c *clients) surveyControllers(ctx context.Context, f *findings.Facts) {
	found := map[string]bool{}
	for _, resource := range []string{"deployments", "daemonsets"} {
		gvr := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
		err := c.surveyLabelled(ctx, f, gvr, "", found)
		if err == nil {
			continue
		}
		f.ControllersUnread = fmt.Sprintf("list %s in all namespaces: %s", resource, plain(err))
		if apierrors.IsForbidden(err) {
			f.ControllersUnread = fmt.Sprintf("list %s in all namespaces is forbidden", resource)
			for _, ns := range controllerNamespaces {
				_ = c.surveyLabelled(ctx, f, gvr, ns, found) // what is forbidden there too stays unknown
			}
		}
	}
	for ns := range found { // whether a mesh is injected there
		_ = c.surveyOne(ctx, f, schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", ns)
	}
}

// surveyFronts reads the Services by which controllers of other namespaces are
// reached, as far as they may be listed: their load balancers may end TLS.
func (c *clients) surveyFronts(ctx context.Context, f *findings.Facts) {
	gvr, found := schema.GroupVersionResource{Version: "v1", Resource: "services"}, map[string]bool{}
	if err := c.surveyLabelled(ctx, f, gvr, "", found); apierrors.IsForbidden(err) {
		for _, ns := range controllerNamespaces {
			_ = c.surveyLabelled(ctx, f, gvr, ns, found)
		}
	}
}

// surveyLabelled lists what is of controllers and not among the objects, and
// adds its namespaces to found.
func (c *clients) surveyLabelled(ctx context.Context, f *findings.Facts, gvr schema.GroupVersionResource, namespace string, found map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, c.pageTimeout)
	defer cancel()
	all, err := c.dynamic.Resource(gvr).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: controllers, Limit: pageSize})
	if err != nil {
		return err
	}
	seen := map[key]bool{}
	for _, o := range f.Objects {
		seen[key{o.Namespace, o.Kind + "/" + o.Name}] = true
	}
	for i := range all.Items {
		u := &all.Items[i]
		if at := (key{u.GetNamespace(), u.GetKind() + "/" + u.GetName()}); !seen[at] {
			seen[at], found[u.GetNamespace()] = true, true
			keepSurveyed(f, u)
		}
	}
	return nil
}

// surveyKind lists a kind; a wide one in the namespace only if it may not be
// listed in all.
func (c *clients) surveyKind(ctx context.Context, f *findings.Facts, k survey, namespace string) error {
	if k.wide && namespace != "" {
		if err := c.surveyList(ctx, f, k.gvr, ""); !apierrors.IsForbidden(err) {
			return err
		}
	}
	return c.surveyList(ctx, f, k.gvr, namespace)
}

func (c *clients) surveyList(ctx context.Context, f *findings.Facts, gvr schema.GroupVersionResource, namespace string) error {
	more, n := "", 0
	for {
		page, cancel := context.WithTimeout(ctx, c.pageTimeout)
		list, err := c.dynamic.Resource(gvr).Namespace(namespace).List(page, metav1.ListOptions{Limit: pageSize, Continue: more})
		cancel()
		if err != nil {
			return err
		}
		for i := range list.Items {
			keepSurveyed(f, &list.Items[i])
		}
		more = list.GetContinue()
		if n += len(list.Items); more == "" || n >= maxSurveyed {
			return nil
		}
	}
}

// surveyOne gets one object; what forbids it is returned.
func (c *clients) surveyOne(ctx context.Context, f *findings.Facts, gvr schema.GroupVersionResource, namespace, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.pageTimeout)
	defer cancel()
	u, err := c.dynamic.Resource(gvr).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		keepSurveyed(f, u)
	}
	return err
}

// keepSurveyed leaves out what no rule reads: managed fields, the copy of the
// object that kubectl apply keeps in it, and status but of custom kinds, where it
// tells which controller took the object.
func keepSurveyed(f *findings.Facts, u *unstructured.Unstructured) {
	if _, custom := ingress.CustomKindOf(u.GetKind(), u.GroupVersionKind().Group); !custom {
		delete(u.Object, "status")
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
	applied, _, _ := unstructured.NestedString(u.Object, "metadata", "annotations", lastApplied)
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", lastApplied)
	if n := findings.AppliedTimeout(applied); n > 0 && u.GetKind() == "Service" { // F04: the API server may have dropped it
		_ = unstructured.SetNestedField(u.Object, fmt.Sprintf(`{"spec":{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":%d}}}}`, n), "metadata", "annotations", lastApplied)
	}
	v := findings.From(u.Object)
	if o, ok := findings.NewObject(&v, ""); ok {
		f.Objects = append(f.Objects, o)
	}
}

// surveyConfigs gets the ConfigMaps of kube-proxy, Cilium and ingress-nginx, and
// no other: those of apps are nobody's business here.
func (c *clients) surveyConfigs(ctx context.Context, f *findings.Facts) {
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	names := []key{{"kube-system", "kube-proxy"}, {"kube-system", "cilium-config"}, {"ingress-nginx", "ingress-nginx-controller"}}
	for _, o := range f.Objects {
		if ref, ok := controllerConfig(o); ok {
			names = append(names, ref)
		}
		if o.Kind == "DaemonSet" && o.Name == "cilium" { // its ConfigMap is beside it
			names = append(names, key{o.Namespace, "cilium-config"})
		}
	}
	seen := map[key]bool{}
	for _, k := range names {
		if seen[k] {
			continue
		}
		seen[k] = true
		if err := c.surveyOne(ctx, f, gvr, k.namespace, k.name); apierrors.IsForbidden(err) {
			f.Unread["ConfigMap"] = fmt.Sprintf("get configmaps in %s is forbidden", k.namespace)
		}
	}
}

// controllerConfig is the ConfigMap that an ingress-nginx names on its command
// line: --configmap=$(POD_NAMESPACE)/ingress-nginx-controller.
func controllerConfig(o *findings.Object) (key, bool) {
	if o.Kind != "Deployment" && o.Kind != "DaemonSet" {
		return key{}, false
	}
	for _, c := range o.Items("spec", "template", "spec", "containers") {
		for _, a := range c.Items("args") {
			if ref, ok := strings.CutPrefix(a.Str(), "--configmap="); ok {
				namespace, name, ok := strings.Cut(strings.ReplaceAll(ref, "$(POD_NAMESPACE)", o.Namespace), "/")
				return key{namespace, name}, ok
			}
		}
	}
	return key{}, false
}
