package apiserver

import (
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resource is one kind of object that is served.
type resource struct {
	gv         schema.GroupVersion
	name       string // plural, as in paths
	singular   string
	kind       string
	short      []string
	namespaced bool
	goType     reflect.Type // *corev1.Pod
	createOnly bool         // a question, not an object: reviews
}

func (r *resource) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.gv.Group, Resource: r.name}
}

func (r *resource) verbs() metav1.Verbs {
	if r.createOnly {
		return metav1.Verbs{"create"}
	}
	return metav1.Verbs{"get", "list", "watch"}
}

var resources = []*resource{
	kind[*corev1.Namespace](corev1.SchemeGroupVersion, "namespaces", "namespace", false, "ns"),
	kind[*corev1.Node](corev1.SchemeGroupVersion, "nodes", "node", false, "no"),
	kind[*corev1.Pod](corev1.SchemeGroupVersion, "pods", "pod", true, "po"),
	kind[*corev1.Service](corev1.SchemeGroupVersion, "services", "service", true, "svc"),
	kind[*corev1.Event](corev1.SchemeGroupVersion, "events", "event", true, "ev"),
	kind[*appsv1.Deployment](appsv1.SchemeGroupVersion, "deployments", "deployment", true, "deploy"),
	kind[*appsv1.ReplicaSet](appsv1.SchemeGroupVersion, "replicasets", "replicaset", true, "rs"),
	kind[*appsv1.StatefulSet](appsv1.SchemeGroupVersion, "statefulsets", "statefulset", true, "sts"),
	kind[*discoveryv1.EndpointSlice](discoveryv1.SchemeGroupVersion, "endpointslices", "endpointslice", true),
	kind[*networkingv1.Ingress](networkingv1.SchemeGroupVersion, "ingresses", "ingress", true, "ing"),
	kind[*networkingv1.IngressClass](networkingv1.SchemeGroupVersion, "ingressclasses", "ingressclass", false),
	review(),
}

func kind[T Object](gv schema.GroupVersion, name, singular string, namespaced bool, short ...string) *resource {
	t := reflect.TypeFor[T]()
	return &resource{
		gv: gv, name: name, singular: singular, kind: t.Elem().Name(), short: short,
		namespaced: namespaced, goType: t,
	}
}

func review() *resource {
	r := kind[*authorizationv1.SelfSubjectAccessReview](authorizationv1.SchemeGroupVersion,
		"selfsubjectaccessreviews", "selfsubjectaccessreview", false)
	r.createOnly = true
	return r
}

func resourceOf(t reflect.Type) (*resource, error) {
	for _, r := range resources {
		if r.goType == t {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%v is not served", t)
}

// mustResource panics for a type that is not in the table: a slip in the code
// that calls, whatever the input.
func mustResource[T Object]() *resource {
	r, err := resourceOf(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return r
}

// lookup finds the resource of a path.
func lookup(gv schema.GroupVersion, name string) *resource {
	for _, r := range resources {
		if r.gv == gv && r.name == name {
			return r
		}
	}
	return nil
}
