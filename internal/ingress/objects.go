package ingress

import (
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Objects is everything that decides about routes, as plain data: what of the
// Kubernetes objects is read, and nothing else. Missing kinds are left empty.
type Objects struct {
	Ingresses       []Ingress
	Services        []Service
	Classes         []Class
	IngressRoutes   []IngressRoute
	TraefikServices []TraefikService
	Custom          []Custom

	// Readiness holds the path of the HTTP readiness probe of the pods behind
	// a Service's port.
	Readiness map[ServicePortKey]string

	// NginxConfig is ingress-nginx's own ConfigMap, or why it was not read.
	NginxConfig NginxConfig

	// Running is the controller that is likeliest of several that may serve an
	// object, where the cluster's workloads tell.
	Running Running

	// Kinds that could not be read (RBAC, not synced yet): what they would
	// have told is presumed, and nothing is called missing.
	ClassesUnread  bool
	ServicesUnread bool
	CustomUnread   map[string]bool // by resource: installed, and not read
}

// Running is a controller that a workload was seen to run, and none to run the
// others that answer to the same classes.
type Running struct {
	Key string // as in affinity.Policy.Controller; "" when nothing was seen
	By  string // the workload
}

// ServicePortKey names one port of a Service by its number.
type ServicePortKey struct {
	Service affinity.ServiceRef
	Port    int
}

// Ingress is a networking.k8s.io/v1 Ingress.
type Ingress struct {
	Namespace      string
	Name           string
	Created        time.Time // order in which controllers merge
	Annotations    map[string]string
	ClassName      string // spec.ingressClassName; "" when unset
	DefaultBackend *Backend
	Rules          []Rule
	TLS            []TLS
	Addresses      []string // status.loadBalancer.ingress, IPs or host names
}

// Rule is one of spec.rules.
type Rule struct {
	Host  string // "" for any
	Paths []Path // empty when the rule has no http part
}

// Path is one of spec.rules[].http.paths.
type Path struct {
	Path    string // as written; "" when absent
	Type    string // "Prefix", "Exact", "ImplementationSpecific"; "" when absent
	Backend Backend
}

// Backend is an IngressBackend.
type Backend struct {
	Service    string // "" for a resource backend
	PortNumber int    // 0 when the port is named
	PortName   string
	Resource   string // "Kind/name" of a resource backend; "" for a Service
}

// Port returns the port as written: the number if there is one, else the name.
func (b Backend) Port() string {
	if b.PortNumber > 0 {
		return itoa(b.PortNumber)
	}
	return b.PortName
}

// TLS is one of spec.tls.
type TLS struct{ Hosts []string }

// Class is an IngressClass.
type Class struct {
	Name       string
	Controller string // spec.controller: "k8s.io/ingress-nginx"
	Default    bool   // annotation ingressclass.kubernetes.io/is-default-class: "true"
}

// Service is a core/v1 Service.
type Service struct {
	Namespace                string
	Name                     string
	Type                     string // "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"; "" is ClusterIP
	ClusterIP                string // "None" for headless
	ExternalName             string
	Annotations              map[string]string
	Labels                   map[string]string
	Ports                    []ServicePort
	SessionAffinity          string // "None", "ClientIP"; "" is None
	AffinityTimeout          int    // seconds; 0 when unset
	PublishNotReadyAddresses bool
}

// Ref returns the Service's name.
func (s Service) Ref() affinity.ServiceRef {
	return affinity.ServiceRef{Namespace: s.Namespace, Name: s.Name}
}

// ServicePort is one of spec.ports.
type ServicePort struct {
	Name       string
	Port       int
	TargetPort string // number or name, as written; "" when absent
	NodePort   int
	Protocol   string // "" is TCP
}

// IngressRoute is a traefik.io/v1alpha1 IngressRoute.
type IngressRoute struct {
	Namespace   string
	Name        string
	Created     time.Time
	Annotations map[string]string
	ClassName   string
	TLS         bool // spec.tls is there, empty or not
	Routes      []IngressRouteRule
}

// IngressRouteRule is one of an IngressRoute's spec.routes.
type IngressRouteRule struct {
	Match       string
	Services    []TraefikBackend
	Middlewares []string
}

// TraefikBackend is a reference to a Service or TraefikService, with the
// load-balancing settings that stand beside it.
type TraefikBackend struct {
	Kind       string // "Service", "TraefikService"; "" is Service
	Namespace  string // "" for the namespace of the referring object
	Name       string
	Port       string // number or name, as written; "" when absent
	Scheme     string
	Strategy   string
	Weight     *int // nil for 1
	NativeLB   *bool
	NodePortLB bool
	Sticky     *TraefikCookie // sticky.cookie; nil when absent
}

// TraefikCookie is a sticky.cookie of Traefik.
type TraefikCookie struct {
	Name     string
	Secure   bool
	HTTPOnly bool
	SameSite string
	MaxAge   int // seconds; 0: a session cookie; negative: clients delete it at once
	Path     *string
	Domain   string
}

// TraefikService is a traefik.io/v1alpha1 TraefikService.
type TraefikService struct {
	Namespace string
	Name      string
	Kind      string // which part of spec is set: "weighted", "mirroring", "failover", "highestRandomWeight"
	// Services are those of the part that is set: all that are weighted or
	// hashed, of mirroring the one that answers, of failover the first choice and the
	// fallback.
	Services []TraefikBackend
	Sticky   *TraefikCookie // weighted.sticky.cookie
}
