package ingress

import (
	"strings"
)

// Opaque is a kind of cookie that nobody but its maker can read, or that names
// no endpoint at all.
type Opaque struct {
	Controller string // key of what makes it
	Title      string
	Named      bool   // the cookie's name proves it; else its value merely has the shape
	Why        string // why it can't be decoded
	Instead    string // what tells the pod
}

// opaques are the cookies that are recognised and not decoded. A line has a
// test on the cookie's name, on its value's shape, or on both kinds of hint.
var opaques = []struct {
	controller, title string
	name, shape       func(string) bool
	why, instead      string
}{
	// [aws-load-balancer-controller docs/guide/ingress/annotations.md; AWS documentation, sticky sessions]
	{"aws-alb", "AWS Application Load Balancer", nameBegins("AWSALB"), nil,
		"AWS encrypts it", "the load balancer's access log has the target (target:port)"},
	// [AWS documentation, Classic Load Balancers, sticky sessions]
	{"aws-elb", "AWS Classic Load Balancer", nameIs("AWSELB", "AWSELBCORS"), nil,
		"its value is not documented", "the load balancer's access log has the instance (backend:port), a node unless pods are registered themselves"},
	// [ingress-gce pkg/fuzz/features/affinity.go]
	{"gce", "Google Cloud load balancer", nameIs("GCLB", "GCILB"), nil,
		"its value is not documented, and without container-native load balancing it means a node", "the load balancer's log names the backend (backendTargetProjectNumber, serverIp)"},
	// [GoogleCloudPlatform/gke-gateway-api config/crd/networking.gke.io_gcpsessionaffinityfilters.yaml]
	{"gce", "Google Cloud load balancer, stateful", nameIs("GSSA"), nil,
		"it names a host, and how it does is not documented", "the load balancer's log names the backend (backendTargetProjectNumber, serverIp)"},
	// [application-gateway-kubernetes-ingress pkg/appgw/backendhttpsettings.go]
	{"azure-agic", "Azure Application Gateway", nameBegins("ApplicationGatewayAffinity", "appgw-affinity-", "AGCAffinity"), nil,
		"its value is not documented", "the gateway's access log names the server (serverRouted)"},
	// [contour internal/dag/policy.go]
	{"contour", "Contour, a hash cookie of Envoy", nameIs("X-Contour-Session-Affinity"), nil,
		hashWhy, hashInstead},
	// [envoy source/extensions/http/… source/common/http/hash_policy.cc]
	{"envoy-hash", "a hash cookie of Envoy (Istio, Envoy Gateway consistentHash, kgateway, Emissary)", nil, func(v string) bool { return isHex(v, 16) },
		hashWhy, hashInstead},
	// [kong kong/runloop/balancer/init.lua]
	{"kong", "a hash cookie of Kong", nil, isUUID,
		"it is a random text that Kong hashes over its targets, so their weights and slots decide too; any change of them moves clients with the cookie unchanged", "let the application name its pod in a header: stickytop TARGET --pod-header NAME reads it"},
}

const (
	hashWhy     = "it is a random text that Envoy hashes over its hosts, so their weights, health and localities decide too; any change of them moves clients with the cookie unchanged"
	hashInstead = "Envoy's access log has %UPSTREAM_HOST%, or let the application name its pod in a header: stickytop TARGET --pod-header NAME reads it"
)

// Opaques returns the kinds of opaque cookies that this one may be, those that
// its name proves before those that its value merely looks like.
func Opaques(name, value string) []Opaque {
	var proved, likely []Opaque
	for _, o := range opaques {
		found := Opaque{Controller: o.controller, Title: o.title, Why: o.why, Instead: o.instead}
		switch {
		case o.name != nil && o.name(name):
			found.Named = true
			proved = append(proved, found)
		case o.shape != nil && o.shape(unquoted(value)):
			likely = append(likely, found)
		}
	}
	return append(proved, likely...)
}

func nameIs(names ...string) func(string) bool {
	return func(name string) bool {
		for _, n := range names {
			if strings.EqualFold(n, name) {
				return true
			}
		}
		return false
	}
}

func nameBegins(prefixes ...string) func(string) bool {
	return func(name string) bool {
		for _, p := range prefixes {
			if len(name) >= len(p) && strings.EqualFold(name[:len(p)], p) {
				return true
			}
		}
		return false
	}
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (s[i] == '-') || !dash && !isHex(strings.ToLower(s[i:i+1]), 1) {
			return false
		}
	}
	return true
}
