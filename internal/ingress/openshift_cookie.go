package ingress

import (
	"net"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// openshiftCookie reads the cookies of the OpenShift router: md5 of a text
// that names the pod, its Service and its address. [openshift/router
// pkg/router/template/plugin.go; the vectors are of its own
// pkg/router/metrics/haproxy/haproxy_test.go]
type openshiftCookie struct{ service string }

// newOpenShift reads the cookies of Routes to that Service.
func newOpenShift(service string) affinity.Decoder { return openshiftCookie{service} }

func (openshiftCookie) Name() string { return "OpenShift router" }

func (d openshiftCookie) Table(set affinity.EndpointSet) affinity.Table {
	t := openshiftTable{service: affinity.Clean(d.service, maxText)}
	if d.service != "" {
		t.hits = newHits(set, d.values)
	}
	return t
}

// values are those of both formats: since 4.6 (commit 763e086ec, 2020-08-20)
// with the name of the port, which may be empty whatever was given, before
// without. An endpoint that is no pod has none in its text.
func (d openshiftCookie) values(e affinity.Endpoint) []string {
	_, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return nil
	}
	of := "ept:" + d.service
	if !e.Pod.IsZero() {
		of = "pod:" + e.Pod.Name + ":" + d.service
	}
	address := e.IP + ":" + port // IPv6 too, without brackets
	all := []string{md5hex(of + ":" + e.PortName + ":" + address), md5hex(of + ":" + address)}
	if e.PortName != "" {
		all = append(all, md5hex(of+"::"+address))
	}
	return all
}

// openshiftRoutingKey is a Route's default cookie name, and the key of its
// dynamic cookies where the router changes HAProxy without reloading it. The
// space is where the TLS termination, unknown yet, would stand.
// [openshift/router pkg/router/template/router.go]
func openshiftRoutingKey(namespace, route string) string {
	return md5hex(" " + namespace + ":" + route)
}

type openshiftTable struct {
	service string
	hits    hits
}

func (t openshiftTable) Lookup(value string) affinity.Decoded {
	d := affinity.Decoded{Shaped: isHex(value, 32)}
	addr, ok := t.hits.read(value, &d)
	switch {
	case ok:
		d.Detail = "md5 of the pod, service " + t.service + " and " + addr + fate(d, "its weight may be 0, which keeps those it has")
	case t.service == "":
		d.Detail = "its md5 takes the names of the pod and of the Service"
	default:
		d.Detail = "md5 of no pod known here behind service " + t.service
	}
	return d
}
