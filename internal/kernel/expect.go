package kernel

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// place is one endpoint of one port of a Service with ClientIP affinity: what
// has a list of its own on every node.
type place struct {
	service  affinity.ServiceRef
	portName string
	port     int
	protocol string
	timeout  time.Duration // as the Service says
	endpoint affinity.Endpoint
	family   string // of the endpoint's address
	order    int    // in the node's rules: endpoints sorted by the text "ip:port"
}

// expected are the places that the objects know.
type expected struct {
	places []place
	recent map[string]int // list name → place
	sets   map[string]int // set name → place
	// byEndpoint are the places of "PROTOCOL ip:port", and fronts the Service
	// port of "PROTOCOL clusterIP:port".
	byEndpoint map[string][]int
	fronts     map[string]front
}

type front struct {
	service  affinity.ServiceRef
	portName string
}

// signature tells whether the objects that names are computed from are those
// of before: snapshots share what has not changed.
type signature []any

func sign(s *affinity.Snapshot) signature {
	var of signature
	for i := range s.Services {
		if s.Services[i].Policy.Mechanism != affinity.MechanismClientIP {
			continue
		}
		of = append(of, &s.Services[i])
		if all := s.Endpoints(s.Services[i].Ref); len(all) > 0 {
			of = append(of, &all[0], len(all))
		}
	}
	return of
}

// expect computes the names that kube-proxy gives. It leaves out the Services
// that kube-proxy does (kubernetes: pkg/proxy/util/utils.go, ShouldSkipService).
func expect(s *affinity.Snapshot) *expected {
	x := &expected{recent: map[string]int{}, sets: map[string]int{}, byEndpoint: map[string][]int{}, fronts: map[string]front{}}
	for _, svc := range s.Services {
		if svc.Policy.Mechanism != affinity.MechanismClientIP || svc.Headless || svc.Type == "ExternalName" {
			continue
		}
		for _, port := range svc.Ports {
			x.add(svc, port, s.Endpoints(svc.Ref))
		}
	}
	return x
}

func (x *expected) add(svc affinity.Service, port affinity.ServicePort, all []affinity.Endpoint) {
	x.fronts[port.Protocol+" "+net.JoinHostPort(svc.ClusterIP, strconv.Itoa(port.Port))] = front{svc.Ref, port.Name}
	var mine []affinity.Endpoint
	for _, e := range all {
		if e.PortName == port.Name {
			mine = append(mine, e)
		}
	}
	slices.SortStableFunc(mine, func(a, b affinity.Endpoint) int { return strings.Compare(a.Addr, b.Addr) })
	for i, e := range mine {
		n := len(x.places)
		x.places = append(x.places, place{service: svc.Ref, portName: port.Name, port: port.Port, protocol: port.Protocol,
			timeout: svc.Policy.Timeout, endpoint: e, family: familyOf(e.Addr), order: i})
		x.recent[recentName(svc.Ref, port.Name, port.Protocol, e.Addr)] = n
		x.sets[setName(svc.Ref, port.Name, port.Protocol, e.Addr)] = n
		key := port.Protocol + " " + e.Addr
		x.byEndpoint[key] = append(x.byEndpoint[key], n)
	}
}

// familyOf is that of "ip:port"; "" for what is none.
func familyOf(addr string) string {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ""
	}
	return affinity.FamilyOf(a.Addr())
}

// without returns which of the families the places need.
func (x *expected) without(families []string) []string {
	var out []string
	for _, f := range families {
		if slices.ContainsFunc(x.places, func(p place) bool { return p.family == f }) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// ofTemplate finds the place of a pin of ipvs or Cilium: by the Service's own
// address, or by its endpoint where only one Service has that.
func (x *expected) ofTemplate(t Tie) (int, bool) {
	if t.Protocol == "" {
		for _, t.Protocol = range []string{"TCP", "UDP", "SCTP"} {
			if at, ok := x.ofTemplate(t); ok {
				return at, true
			}
		}
		return 0, false
	}
	places := x.byEndpoint[t.Protocol+" "+t.Endpoint]
	if f, ok := x.fronts[t.Protocol+" "+t.Front]; ok {
		for _, n := range places {
			if x.places[n].service == f.service && x.places[n].portName == f.portName {
				return n, true
			}
		}
		return 0, false
	}
	if len(places) == 1 {
		return places[0], true
	}
	return 0, false
}
