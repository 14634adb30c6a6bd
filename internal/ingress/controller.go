package ingress

import (
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Controller reads Ingress objects the way one ingress controller does. To add
// one, write a file with its implementation, a line in Controllers, and a
// folder testdata/KEY with what it should read out of which objects.
type Controller interface {
	// Key is the controller's name in affinity.Policy.Controller.
	Key() string
	// Claims reports whether the controller by default answers to
	// IngressClasses with this spec.controller.
	Claims(controller string) bool
	// KnownAs reports whether a class of this name conventionally is the
	// controller's, for when the IngressClass itself can't be read.
	KnownAs(class string) bool
	// Owns reports whether an annotation is one of the controller's: the key
	// of an Ingress' annotation.
	Owns(annotation string) bool
	// Read returns the policy of each place, in the same order. The places
	// are all that one controller of this kind serves: those of one class.
	Read(w *World, places []*Place) []Reading
}

// Controllers are the ingress controllers whose policies are read, likeliest
// first where several claim the same class.
var Controllers = []Controller{
	nginx{},
	traefikNginx{},
	traefik{},
	haproxytech{},
	haproxyIngress{},
	nginxInc{},
	contour{},
	kong{},
	istio{},
	openshiftIngress{},
	awsALB{},
	gce{},
	azureAGIC{},
	skipper{},
}

// Reading is what a controller makes of one place.
type Reading struct {
	Policy   affinity.Policy
	Upstream Upstream
	Setting  string   // that makes Upstream other than UpstreamPods
	Notes    []string // for the route
}

// Upstream is what the controller connects to.
type Upstream uint8

const (
	UpstreamPods      Upstream = iota // pod addresses, from the EndpointSlices
	UpstreamClusterIP                 // the Service's virtual IP
	UpstreamNodePort                  // the nodes' addresses
	UpstreamExternal                  // a DNS name
	// UpstreamPassthrough is the Service's virtual IP if the controller passes
	// TLS through, which a flag of its own decides; pods if not.
	UpstreamPassthrough
)

// named lists controllers that are recognised by the start of an
// IngressClass's spec.controller, also those whose policies are not read.
var named = []struct{ controller, class, key, title string }{
	{"nginx.org/ingress-controller", "", "nginx-inc", "F5 NGINX Ingress Controller"},
	{"projectcontour.io/", "contour", "contour", "Contour"},
	{"ingress-controllers.konghq.com/kong", "kong", "kong", "Kong"},
	{"apisix.apache.org/apisix-ingress-controller", "apisix", "apisix", "Apache APISIX"},
	{"getambassador.io/ingress-controller", "ambassador", "emissary", "Emissary"},
	{"istio.io/ingress-controller", "istio", "istio", "Istio"},
	{"cilium.io/ingress-controller", "cilium", "cilium", "Cilium"},
	{"openshift.io/ingress-to-route", "openshift-default", "openshift", "OpenShift router"},
	{"ingress.k8s.aws/alb", "alb", "aws-alb", "AWS Load Balancer Controller"},
	{"azure/application-gateway", "azure-application-gateway", "azure-agic", "Azure Application Gateway"},
	{"", "gce", "gce", "GKE Ingress"},
	{"", "gce-internal", "gce", "GKE Ingress (internal)"},
}

// recognise names a controller that Controllers has not.
func recognise(c classOf) (key, title string) {
	for _, n := range named {
		if n.controller != "" && strings.HasPrefix(c.controller, n.controller) ||
			c.controller == "" && n.class != "" && n.class == c.name {
			return n.key, n.title
		}
	}
	return "", ""
}
