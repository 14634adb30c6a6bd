package affinity

import (
	"net/netip"
	"slices"
	"strings"
)

// AddressOwner says whose address it is, as far as the objects tell.
type AddressOwner struct {
	Kind string // one of the Owner constants
	Name string // of the pod with its namespace, or of the node
}

// Kinds of owners.
const (
	OwnerPod     = "pod"
	OwnerAgent   = "agent"       // a pod of ours, or of another run of stickytop
	OwnerIngress = "ingress pod" // a pod of an ingress controller: all its users have this address
	OwnerNode    = "node"        // its own processes, pods on its network, and who is masqueraded there
)

// Shared reports whether many clients are behind the address.
func (o AddressOwner) Shared() bool { return o.Kind == OwnerIngress || o.Kind == OwnerNode }

// String is "msgapp/echo-a" for a pod, "agent msgapp/stickytop-x" for one of
// ours, "node node1" and "ingress pod traefik/traefik-x" for those that many
// share, and "" when nothing is known.
func (o AddressOwner) String() string {
	if o.Kind == OwnerPod || o.Kind == "" {
		return o.Name
	}
	return o.Kind + " " + o.Name
}

// Owners says whose addresses are known. A node's address is that which its
// pods give as their host's.
func (s *Snapshot) Owners() map[netip.Addr]AddressOwner {
	return owners(slices.Concat(s.Pods, s.IngressPods))
}

func owners(pods []Pod) map[netip.Addr]AddressOwner {
	known := make(map[netip.Addr]AddressOwner, len(pods))
	for _, p := range pods {
		if ip, err := netip.ParseAddr(p.HostIP); err == nil && p.Node != "" {
			known[ip.Unmap()] = AddressOwner{OwnerNode, p.Node}
		}
	}
	mine := map[netip.Addr]bool{} // set by a pod, not by a node
	for _, p := range pods {
		ip, err := netip.ParseAddr(p.IP)
		if err != nil || !p.Gone.IsZero() {
			continue
		}
		ip = ip.Unmap()
		switch o, taken := known[ip]; {
		case !taken:
			known[ip], mine[ip] = AddressOwner{OwnerPod, p.Ref.String()}, true
			switch {
			case p.routes():
				known[ip] = AddressOwner{OwnerIngress, p.Ref.String()}
			case p.Labels["app.kubernetes.io/name"] == agentName:
				known[ip] = AddressOwner{OwnerAgent, p.Ref.String()}
			}
		case mine[ip] && o.Name != p.Ref.String():
			known[ip], mine[ip] = AddressOwner{OwnerNode, p.Node}, false // several pods: the host's network
		}
	}
	return known
}

// agentName is what pods of `agents up` say in app.kubernetes.io/name.
const agentName = "stickytop-agent"

// controllerNames are what charts and manifests of ingress controllers say in
// app.kubernetes.io/name (or app, name).
var controllerNames = []string{"ingress-nginx", "rke2-ingress-nginx", "nginx-ingress", "nginx-ingress-microk8s", "traefik", "haproxy-ingress", "kubernetes-ingress",
	"contour", "kong", "apisix", "envoy", "istio-ingressgateway", "ingress-controller"}

// ControllerLabels are those that tell an ingress controller's pods: one in full,
// and keys that have one of the names.
func ControllerLabels() (full string, keys, names []string) {
	return componentKey + "=" + componentName, slices.Clone(controllerKeys), slices.Clone(controllerNames)
}

const (
	componentKey  = "app.kubernetes.io/component"
	componentName = "ingress-controller"
)

var controllerKeys = []string{"app.kubernetes.io/name", "app", "name"}

// routes reports whether p's labels are those of an ingress controller.
func (p Pod) routes() bool {
	if p.Labels[componentKey] == componentName {
		return true
	}
	for _, key := range controllerKeys {
		for _, n := range controllerNames {
			if strings.EqualFold(p.Labels[key], n) {
				return true
			}
		}
	}
	return false
}

// AddressPin returns the pin of that key, nil when there is none.
func (s *Snapshot) AddressPin(key AddressKey) *AddressPin {
	at, ok := slices.BinarySearchFunc(s.AddressPins, key, func(p *AddressPin, k AddressKey) int { return compareAddress(p.AddressKey, k) })
	if !ok {
		return nil
	}
	return s.AddressPins[at]
}

// Meant says which Services t means: one, those behind an Ingress, or all.
func (s *Snapshot) Meant(t Target) func(ServiceRef) bool {
	switch t.Kind {
	case "":
		return func(ref ServiceRef) bool { return t.Namespace == "" || ref.Namespace == t.Namespace }
	case "service":
		return func(ref ServiceRef) bool {
			return ref.Name == t.Name && (t.Namespace == "" || ref.Namespace == t.Namespace)
		}
	}
	behind := map[ServiceRef]bool{}
	for _, r := range s.Routes {
		if t.Matches(r) {
			behind[r.Backend.Service] = true
		}
	}
	return func(ref ServiceRef) bool { return behind[ref] }
}
