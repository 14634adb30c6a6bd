package ingress

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func podEndpoint(addr, pod, portName string) affinity.Endpoint {
	e := endpoints(addr)[0]
	e.Pod, e.PortName = affinity.PodRef{Name: pod}, portName
	return e
}

func TestOpenShiftVectors(t *testing.T) {
	tests := []struct {
		value, service string
		endpoint       affinity.Endpoint
	}{
		{"b8575929e333d5a32cb0663f0d640c44", "web", podEndpoint("10.128.2.15:8080", "web-6d4cf56db6-abcde", "http")},
		{"81d9dc004ebf63fb05fa9b96030b1529", "web", podEndpoint("10.129.0.21:8080", "web-6d4cf56db6-fghij", "http")},
		{"2d368b28be2610d50fce158096e01760", "web", podEndpoint("10.128.2.15:8080", "web-0", "")},
		// The next two are of the router's own haproxy_test.go, before the port's name was added.
		{"7e4a3da6d0368ecb934a4910245f83b4", "console", podEndpoint("10.129.0.43:8443", "console-6db7cbb464-gr787", "https")},
		{"ce739475136fa468d51cfcf5aad91b68", "downloads", podEndpoint("10.128.0.30:8080", "downloads-564948bf9c-vn6lh", "http")},
	}
	for _, tt := range tests {
		d := newOpenShift(tt.service).Table(affinity.EndpointSet{Current: []affinity.Endpoint{tt.endpoint}}).Lookup(tt.value)
		if !d.Shaped || !d.Exact || addrs(d.Endpoints) != tt.endpoint.Addr {
			t.Errorf("%s: %+v, want %s", tt.value, d, tt.endpoint.Addr)
		}
		d = newOpenShift("other").Table(affinity.EndpointSet{Current: []affinity.Endpoint{tt.endpoint}}).Lookup(tt.value)
		if !d.Shaped || len(d.Endpoints) != 0 {
			t.Errorf("%s for another Service: %+v, want the shape alone", tt.value, d)
		}
	}
	// Round trip of an endpoint that is no pod, IPv6, and gone.
	e := podEndpoint("[fd00:10:244::5]:8080", "", "http")
	value := md5hex("ept:web:http:fd00:10:244::5:8080")
	d := newOpenShift("web").Table(affinity.EndpointSet{Gone: []affinity.Endpoint{e}}).Lookup(value)
	if !d.Gone || addrs(d.Endpoints) != e.Addr || !strings.Contains(d.Detail, "is gone") {
		t.Errorf("an endpoint that is no pod: %+v", d)
	}
	if d := newOpenShift("").Table(affinity.EndpointSet{Current: []affinity.Endpoint{e}}).Lookup(value); len(d.Endpoints) != 0 || !strings.Contains(d.Detail, "of the Service") {
		t.Errorf("without a Service: %+v", d)
	}
}

func TestOpenShiftRoutingKey(t *testing.T) {
	tests := []struct{ namespace, route, want string }{
		{"default", "web", "a8e8361ea727d761f24ae9a56012bdd5"},
		{"openshift-console", "console", "1e2670d92730b515ce3a1bb65da45062"}, // this and the next: the router's own haproxy_test.go
		{"openshift-console", "downloads", "a663438294fbd72a8e16964e97c8ecde"},
	}
	for _, tt := range tests {
		if got := openshiftRoutingKey(tt.namespace, tt.route); got != tt.want {
			t.Errorf("%s/%s: %s, want %s", tt.namespace, tt.route, got, tt.want)
		}
	}
	key := openshiftRoutingKey("default", "web")
	d := newHAProxyDynamic(key).Table(affinity.EndpointSet{Current: endpoints("10.128.2.15:8080")}).Lookup("cb6ab05d83635a85")
	if !d.Hit() || !d.Exact {
		t.Errorf("the router's dynamic cookie: %+v", d)
	}
}
