package kube

import (
	"context"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// The API groups that are read and written here, and no other. Client-go's
// typed clients (kubernetes/typed/…) all hang on one scheme with every type of
// every group, which a linker cannot drop: it was half the program.
var (
	apiTypes       = newScheme()
	codecs         = serializer.NewCodecFactory(apiTypes)
	parameterCodec = runtime.NewParameterCodec(apiTypes)
)

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, networkingv1.AddToScheme, discoveryv1.AddToScheme,
		batchv1.AddToScheme, authorizationv1.AddToScheme, authenticationv1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return s
}

// group is a client of one API group's version.
type group struct{ rest rest.Interface }

func newGroup(cfg *rest.Config, client *http.Client, gv schema.GroupVersion) (group, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.GroupVersion, cfg.APIPath = &gv, "/apis"
	if gv.Group == "" {
		cfg.APIPath = "/api"
	}
	cfg.NegotiatedSerializer = rest.CodecFactoryForGeneratedClient(apiTypes, codecs).WithoutConversion()
	c, err := rest.RESTClientForConfigAndClient(cfg, client)
	return group{c}, err
}

// RESTClient is for requests that are no object's.
func (g group) RESTClient() rest.Interface { return g.rest }

func (g group) Namespaces() typed[*corev1.Namespace, *corev1.NamespaceList] {
	return objects[corev1.Namespace, corev1.NamespaceList](g, "namespaces", "")
}

func (g group) Nodes() typed[*corev1.Node, *corev1.NodeList] {
	return objects[corev1.Node, corev1.NodeList](g, "nodes", "")
}

func (g group) Pods(namespace string) typed[*corev1.Pod, *corev1.PodList] {
	return objects[corev1.Pod, corev1.PodList](g, resPods, namespace)
}

func (g group) Services(namespace string) typed[*corev1.Service, *corev1.ServiceList] {
	return objects[corev1.Service, corev1.ServiceList](g, resServices, namespace)
}

func (g group) Events(namespace string) typed[*corev1.Event, *corev1.EventList] {
	return objects[corev1.Event, corev1.EventList](g, "events", namespace)
}

func (g group) Ingresses(namespace string) typed[*networkingv1.Ingress, *networkingv1.IngressList] {
	return objects[networkingv1.Ingress, networkingv1.IngressList](g, resIngresses, namespace)
}

func (g group) IngressClasses() typed[*networkingv1.IngressClass, *networkingv1.IngressClassList] {
	return objects[networkingv1.IngressClass, networkingv1.IngressClassList](g, resClasses, "")
}

func (g group) EndpointSlices(namespace string) typed[*discoveryv1.EndpointSlice, *discoveryv1.EndpointSliceList] {
	return objects[discoveryv1.EndpointSlice, discoveryv1.EndpointSliceList](g, resSlices, namespace)
}

func (g group) Jobs(namespace string) typed[*batchv1.Job, *batchv1.JobList] {
	return objects[batchv1.Job, batchv1.JobList](g, "jobs", namespace)
}

func (g group) SelfSubjectAccessReviews() made[*authorizationv1.SelfSubjectAccessReview] {
	return makes[authorizationv1.SelfSubjectAccessReview](g, "selfsubjectaccessreviews", "")
}

func (g group) SelfSubjectReviews() made[*authenticationv1.SelfSubjectReview] {
	return makes[authenticationv1.SelfSubjectReview](g, "selfsubjectreviews", "")
}

// logs asks for the log of a pod.
func (g group) logs(namespace, pod string, opts *corev1.PodLogOptions) *rest.Request {
	return g.rest.Get().Namespace(namespace).Resource(resPods).Name(pod).SubResource("log").VersionedParams(opts, parameterCodec)
}

// made is one resource of a group, in one namespace or, with "", in all or in
// none: what can be made of it.
type made[O runtime.Object] struct {
	rest                rest.Interface
	resource, namespace string
	object              func() O
}

// typed is one that can be read as well.
type typed[O, L runtime.Object] struct {
	made[O]
	list func() L
}

type pointer[T any] interface {
	*T
	runtime.Object
}

func makes[O any, PO pointer[O]](g group, resource, namespace string) made[PO] {
	return made[PO]{g.rest, resource, namespace, func() PO { return new(O) }}
}

func objects[O, L any, PO pointer[O], PL pointer[L]](g group, resource, namespace string) typed[PO, PL] {
	return typed[PO, PL]{makes[O, PO](g, resource, namespace), func() PL { return new(L) }}
}

func (m made[O]) in(r *rest.Request) *rest.Request {
	return r.NamespaceIfScoped(m.namespace, m.namespace != "").Resource(m.resource)
}

// Create makes an object and returns it as the server has it.
func (m made[O]) Create(ctx context.Context, o O, opts metav1.CreateOptions) (O, error) {
	got := m.object()
	return got, m.in(m.rest.Post()).VersionedParams(&opts, parameterCodec).Body(o).Do(ctx).Into(got)
}

// Get returns the object of a name.
func (t typed[O, L]) Get(ctx context.Context, name string, opts metav1.GetOptions) (O, error) {
	got := t.object()
	return got, t.in(t.rest.Get()).Name(name).VersionedParams(&opts, parameterCodec).Do(ctx).Into(got)
}

// List returns the objects that opts select, or a page of them.
func (t typed[O, L]) List(ctx context.Context, opts metav1.ListOptions) (L, error) {
	got := t.list()
	return got, t.in(t.rest.Get()).VersionedParams(&opts, parameterCodec).Timeout(limit(opts)).Do(ctx).Into(got)
}

// Watch follows them.
func (t typed[O, L]) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	opts.Watch = true
	return t.in(t.rest.Get()).VersionedParams(&opts, parameterCodec).Timeout(limit(opts)).Watch(ctx)
}

// Delete removes the object of a name.
func (t typed[O, L]) Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error {
	return t.in(t.rest.Delete()).Name(name).Body(&opts).Do(ctx).Error()
}

// limit is TimeoutSeconds, which the server is told and the client holds too.
func limit(opts metav1.ListOptions) time.Duration {
	if opts.TimeoutSeconds == nil {
		return 0
	}
	return time.Duration(*opts.TimeoutSeconds) * time.Second
}
