package kube

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Names of the resources, which are those of their sources too.
const (
	resServices        = "services"
	resPods            = "pods"
	resSlices          = "endpointslices"
	resIngresses       = "ingresses"
	resClasses         = "ingressclasses"
	resIngressRoutes   = "ingressroutes"
	resTraefikServices = "traefikservices"
)

// kind is what is asked of the API and what is lost without it.
type kind struct {
	group, version, name string
	cluster              bool   // not in a namespace
	optional             bool   // a CRD that need not be there
	custom               string // its kind in ingress.CustomKinds; "" for what has code of its own here
	wide                 bool   // wanted of all namespaces where that is allowed
	loss                 string // when it cannot be listed
	pollLoss             string // when it can be listed but not watched
}

// kinds are the resources that are watched, in the order in which they help:
// the routes first.
var kinds = append(builtin, customKinds()...)

// builtin are the kinds that have code of their own here.
var builtin = []kind{
	{group: "networking.k8s.io", version: "v1", name: resIngresses,
		loss: "no routes; name one with --url", pollLoss: "edits are seen up to 10s late"},
	{version: "v1", name: resServices,
		loss: "no Services: ClientIP layers, ports and headless Services unknown", pollLoss: "edits are seen up to 10s late"},
	{group: "discovery.k8s.io", version: "v1", name: resSlices,
		loss: "which pods are behind a Service is unknown; moves stay unexplained", pollLoss: "re-pin cause is ±10s"},
	{version: "v1", name: resPods,
		loss: "pods by name alone; no state, drain or age", pollLoss: "drain state is seen up to 10s late"},
	{group: "networking.k8s.io", version: "v1", name: resClasses, cluster: true,
		loss: "controllers are presumed from class names and annotations", pollLoss: "edits are seen up to 10s late"},
	{group: "traefik.io", version: "v1alpha1", name: resIngressRoutes, optional: true,
		loss: "no IngressRoutes", pollLoss: "edits are seen up to 10s late"},
	{group: "traefik.io", version: "v1alpha1", name: resTraefikServices, optional: true,
		loss: "stickiness of TraefikServices unknown", pollLoss: "edits are seen up to 10s late"},
}

// key is what its objects are kept under: of custom resources two groups may have
// one name.
func (k kind) key() string {
	if k.custom == "" {
		return k.name
	}
	return k.name + "." + k.group
}

// title is what people call it: with its group where another has the name.
func (k kind) title() string {
	for _, other := range kinds {
		if other.name == k.name && other.group != k.group {
			return k.name + "." + k.group
		}
	}
	return k.name
}

func (k kind) gvr() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.name}
}

// resource is a kind with the calls that read it.
type resource struct {
	kind
	list      func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch     func(context.Context, metav1.ListOptions) (watch.Interface, error)
	convert   convertFunc
	installed func(context.Context) error // NotFound when the API is absent; nil for what always is there
}

// client is what every typed client offers.
type client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func reads[L runtime.Object](k kind, c client[L], convert convertFunc) resource {
	return resource{kind: k, convert: convert, watch: c.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, o) }}
}

// resources returns every kind with its calls, for one namespace or, with "",
// for all.
func resources(c *clients, namespace string) []resource {
	var all []resource
	for _, k := range kinds {
		if namespace == "" && !k.cluster {
			k.loss += "; in all namespaces, -n NAMESPACE may be allowed"
		}
		if k.custom != "" {
			all = append(all, c.custom(k, namespace))
			continue
		}
		switch k.name {
		case resIngresses:
			all = append(all, reads(k, client[*networkingv1.IngressList](c.networking.Ingresses(namespace)), convertIngress))
		case resClasses:
			all = append(all, reads(k, client[*networkingv1.IngressClassList](c.networking.IngressClasses()), convertClass))
		case resServices:
			all = append(all, reads(k, client[*corev1.ServiceList](c.core.Services(namespace)), convertService))
		case resPods:
			all = append(all, reads(k, client[*corev1.PodList](c.core.Pods(namespace)), convertPod))
		case resSlices:
			all = append(all, reads(k, client[*discoveryv1.EndpointSliceList](c.discovery.EndpointSlices(namespace)), convertSlice))
		default:
			all = append(all, c.traefik(k, namespace))
		}
	}
	return all
}

// traefik reads a custom resource.
func (c *clients) traefik(k kind, namespace string) resource {
	convert := convertIngressRoute
	if k.name == resTraefikServices {
		convert = convertTraefikService
	}
	of := c.dynamic.Resource(k.gvr()).Namespace(namespace)
	return resource{
		kind: k, convert: convert, watch: of.Watch,
		list:      func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return of.List(ctx, o) },
		installed: func(ctx context.Context) error { return c.installed(ctx, k) },
	}
}

// installed asks discovery, which every authenticated user may (ClusterRole
// system:discovery): a list of what is not installed would be answered 403
// before 404 to whom no Role names it.
func (c *clients) installed(ctx context.Context, k kind) error {
	body, err := c.core.RESTClient().Get().AbsPath("/apis/"+k.group+"/"+k.version).
		SetHeader("Accept", contentJSON).Do(ctx).Raw()
	if err != nil {
		return err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	for _, r := range list.APIResources {
		if r.Name == k.name {
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: k.group, Resource: k.name}, "")
}
