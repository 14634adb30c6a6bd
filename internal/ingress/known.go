package ingress

import (
	"slices"
	"strings"
)

// KnownAnnotations are the annotations under one prefix that have to do with
// affinity, and those of its other annotations that look like one of them.
type KnownAnnotations struct {
	Controller string // as in affinity.Policy.Controller
	Prefix     string
	Kinds      []string // of objects that are read for them
	Affinity   []string // without the prefix
	Others     []string // true ones, too
	// Shared reports whether other controllers have the prefix too: it tells
	// nothing where this one does not serve.
	Shared bool
	// Fold reports whether names are compared without case.
	Fold bool
	// Renamed are names of versions that are gone, and what took their place.
	Renamed map[string]string
}

// AffinityAnnotations are the annotations of all controllers but ingress-nginx, which has
// NginxAffinityAnnotations. Contour has none for affinity: it takes it from an
// HTTPProxy. Istio has a label of the Service, istio.io/persistent-session.
//
// Sources: haproxytech/kubernetes-ingress documentation/annotations.md (3.2);
// jcmoraisjr/haproxy-ingress pkg/converters/ingress/types/annotations.go and
// docs, configuration/keys.md; nginx/kubernetes-ingress
// internal/configs/annotations.go; openshift/router
// images/router/haproxy/conf/haproxy-config.template and OpenShift's
// documentation, "Route-specific annotations"; Kong/kubernetes-ingress-controller
// internal/annotations/annotations.go; kubernetes-sigs/aws-load-balancer-controller
// pkg/annotations/constants.go; kubernetes/ingress-gce pkg/annotations/service.go;
// traefik pkg/provider/kubernetes/ingress/annotations.go;
// Azure/application-gateway-kubernetes-ingress pkg/annotations/ingress_annotations.go;
// zalando/skipper docs/kubernetes/ingress-usage.md.
var AffinityAnnotations = func() (all []KnownAnnotations) {
	both := []string{"Ingress", "Service"}
	for i, prefix := range haproxytechPrefixes {
		all = append(all, KnownAnnotations{Controller: haproxytechKey, Prefix: prefix, Kinds: both, Shared: i == 1,
			Affinity: []string{"cookie-persistence", "cookie-persistence-no-dynamic", "load-balance", "cr-backend"}})
	}
	for i, prefix := range haproxyIngressPrefixes {
		all = append(all, KnownAnnotations{Controller: haproxyIngressKey, Prefix: prefix, Kinds: both, Shared: i == 1,
			Affinity: []string{"affinity", "session-cookie-name", "session-cookie-dynamic", "session-cookie-strategy", "session-cookie-keywords", "session-cookie-same-site",
				"session-cookie-domain", "session-cookie-preserve", "session-cookie-shared", "session-cookie-value-strategy", "backend-server-naming", "balance-algorithm",
				"service-upstream", "drain-support", "drain-support-redispatch"}})
	}
	return append(all,
		KnownAnnotations{Controller: nginxIncKey, Prefix: "nginx.org/", Kinds: []string{"Ingress"}, Affinity: []string{"sticky-cookie-services", "lb-method", "use-cluster-ip"}},
		KnownAnnotations{Controller: nginxIncKey, Prefix: "nginx.com/", Kinds: []string{"Ingress"}, Affinity: []string{"sticky-cookie-services"},
			Renamed: map[string]string{"lb-method": "nginx.org/lb-method", "use-cluster-ip": "nginx.org/use-cluster-ip"}},
		KnownAnnotations{Controller: openshiftKey, Prefix: openshiftPrefix, Kinds: []string{"Route", "Ingress"}, Affinity: []string{"disable_cookies", "balance"},
			Renamed: map[string]string{"cookie_name": openshiftName, "cookie-same-site": openshiftSite}},
		KnownAnnotations{Controller: openshiftKey, Prefix: "router.openshift.io/", Kinds: []string{"Route", "Ingress"}, Affinity: []string{"cookie_name", "cookie-same-site"},
			Renamed: map[string]string{"disable_cookies": openshiftPrefix + "disable_cookies", "balance": openshiftPrefix + "balance"}},
		KnownAnnotations{Controller: kongKey, Prefix: "konghq.com/", Kinds: []string{"Service"}, Affinity: []string{"upstream-policy"}},
		KnownAnnotations{Controller: awsKey, Prefix: awsPrefix, Kinds: both, Affinity: []string{"target-group-attributes", "target-type"}},
		KnownAnnotations{Controller: awsKey, Prefix: "service.beta.kubernetes.io/", Kinds: []string{"Service"}, Affinity: []string{"aws-load-balancer-target-group-attributes"}},
		KnownAnnotations{Controller: gceKey, Prefix: "cloud.google.com/", Kinds: []string{"Service"}, Affinity: []string{"backend-config", "neg"}},
		KnownAnnotations{Controller: traefikKey, Prefix: traefikPrefix, Kinds: []string{"Service"}, Fold: true,
			Affinity: []string{"service.sticky", "service.sticky.cookie", "service.sticky.cookie.name", "service.sticky.cookie.secure", "service.sticky.cookie.httponly",
				"service.sticky.cookie.samesite", "service.sticky.cookie.maxage", "service.sticky.cookie.path", "service.sticky.cookie.domain", "service.nativelb", "service.nodeportlb"},
			Renamed: map[string]string{"affinity": traefikPrefix + "service.sticky.cookie", "session-cookie-name": traefikPrefix + "service.sticky.cookie.name"}},
		KnownAnnotations{Controller: azureKey, Prefix: azurePrefix, Kinds: []string{"Ingress"}, Affinity: []string{"cookie-based-affinity", "cookie-based-affinity-distinct-name"}},
		KnownAnnotations{Controller: skipperKey, Prefix: skipperPrefix, Kinds: []string{"Ingress"}, Affinity: []string{"skipper-loadbalancer", "skipper-filter"}},
	)
}()

// Meant is the annotation that key looks like a slip of; "" for a known one, and
// for one that is far from all.
func (k KnownAnnotations) Meant(key string) string {
	name, ok := strings.CutPrefix(key, k.Prefix)
	if !ok || len(name) > 64 {
		return ""
	}
	if k.Fold {
		name = strings.ToLower(name)
	}
	if to := k.Renamed[name]; to != "" {
		return to
	}
	if slices.Contains(k.Affinity, name) || slices.Contains(k.Others, name) {
		return ""
	}
	for _, known := range k.Affinity {
		if near(name, known) {
			return k.Prefix + known
		}
	}
	return ""
}
