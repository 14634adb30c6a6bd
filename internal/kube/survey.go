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
)

// surveyed are the resources that rules read, beside ConfigMaps, of which only
// named ones are. Cluster-wide ones are asked for once, whatever the namespace.
var surveyed = []struct {
	kind    string
	gvr     schema.GroupVersionResource
	cluster bool
}{
	{"Ingress", schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}, false},
	{"Service", schema.GroupVersionResource{Version: "v1", Resource: "services"}, false},
	{"IngressClass", schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingressclasses"}, true},
	{"Deployment", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, false},
	{"StatefulSet", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, false},
	{"DaemonSet", schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, false},
	{"HorizontalPodAutoscaler", schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, false},
	{"PodDisruptionBudget", schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, false},
	{"Node", schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, true},
	{"Namespace", schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, true},
	{"IngressRoute", schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"}, false},
	{"TraefikService", schema.GroupVersionResource{Group: "traefik.io", Version: "v1alpha1", Resource: "traefikservices"}, false},
	{"HTTPRoute", schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}, false},
	{"Gateway", schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}, false},
	{"GatewayClass", schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}, true},
	{"BackendTrafficPolicy", schema.GroupVersionResource{Group: "gateway.envoyproxy.io", Version: "v1alpha1", Resource: "backendtrafficpolicies"}, false},
	{"HTTPProxy", schema.GroupVersionResource{Group: "projectcontour.io", Version: "v1", Resource: "httpproxies"}, false},
	{"DestinationRule", schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}, false},
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
	for _, k := range surveyed {
		namespace := opts.Namespace
		if k.cluster || opts.AllNamespaces {
			namespace = ""
		}
		if k.kind == "Namespace" && !opts.AllNamespaces {
			_ = c.surveyOne(ctx, &f, k.gvr, "", opts.Namespace) // its labels alone are wanted, where they may be read
			continue
		}
		err := c.surveyList(ctx, &f, k.gvr, namespace)
		switch {
		case err == nil, apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		case apierrors.IsForbidden(err):
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
	c.surveyConfigs(ctx, &f)
	return f, nil
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

// keepSurveyed leaves out what no rule reads: status, managed fields, and the
// copy of the object that kubectl apply keeps in it.
func keepSurveyed(f *findings.Facts, u *unstructured.Unstructured) {
	delete(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
	applied, _, _ := unstructured.NestedString(u.Object, "metadata", "annotations", lastApplied)
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", lastApplied)
	if n := findings.AppliedTimeout(applied); n > 0 && u.GetKind() == "Service" { // F04: the API server may have dropped it
		_ = unstructured.SetNestedField(u.Object, fmt.Sprintf(`{"spec":{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":%d}}}}`, n), "metadata", "annotations", lastApplied)
	}
	if o, ok := findings.NewObject(findings.From(u.Object), ""); ok {
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
