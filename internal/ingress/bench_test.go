package ingress

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func many(n int) affinity.EndpointSet {
	var set affinity.EndpointSet
	for i := range n {
		set.Current = append(set.Current, endpoints(fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255))...)
	}
	return set
}

func BenchmarkTable(b *testing.B) {
	for _, d := range []affinity.Decoder{nginxPersistent{backend: "default-web-80"}, nginxBalanced{backend: "default-web-80"}, traefikSticky{}} {
		for _, n := range []int{10, 1000} {
			set := many(n)
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(d.Name(), " ", "-"), n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					d.Table(set)
				}
			})
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	set := many(1000)
	addr := set.Current[500].Addr
	for _, c := range []struct {
		decoder affinity.Decoder
		value   string
	}{
		{nginxPersistent{backend: "default-web-80"}, md5hex("default-web-80"+addr) + "|" + webKey},
		{nginxBalanced{backend: "default-web-80"}, "1767225601.5.31.42|" + webKey},
		{traefikSticky{}, traefikHash("http://" + addr)},
	} {
		table := c.decoder.Table(set)
		if d := table.Lookup(c.value); !d.Hit() {
			b.Fatalf("%s: %+v", c.decoder.Name(), d)
		}
		b.Run(strings.ReplaceAll(c.decoder.Name(), " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(c.value)
			}
		})
	}
}

// BenchmarkBuild is a large cluster: 200 Services, 200 Ingresses of five paths.
func BenchmarkBuild(b *testing.B) {
	o := Objects{Classes: []Class{{Name: "nginx", Controller: nginxController}}, Readiness: map[ServicePortKey]string{}}
	for i := range 200 {
		s := Service{Namespace: "default", Name: fmt.Sprintf("s%d", i), ClusterIP: "10.96.0.10", Ports: []ServicePort{{Name: "http", Port: 80}}}
		o.Services = append(o.Services, s)
		o.Readiness[ServicePortKey{s.Ref(), 80}] = "/healthz"
		ing := Ingress{Namespace: "default", Name: fmt.Sprintf("i%d", i), ClassName: "nginx", Annotations: map[string]string{
			nginxPrefix + "affinity": "cookie", nginxPrefix + "affinity-mode": "persistent", nginxPrefix + "session-cookie-max-age": "10800"}}
		rule := Rule{Host: fmt.Sprintf("h%d.example.com", i/4)}
		for _, path := range []string{"/", "/a", "/b", "/c", "/d"} {
			rule.Paths = append(rule.Paths, Path{path, "Prefix", Backend{Service: s.Name, PortNumber: 80}})
		}
		ing.Rules = []Rule{rule}
		o.Ingresses = append(o.Ingresses, ing)
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(Build(o)); n != 1000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkBuildPolicies: 2,500 Services, each with an HTTPRoute, and a
// DestinationRule or a BackendTrafficPolicy of its own.
func BenchmarkBuildPolicies(b *testing.B) {
	o := Objects{Custom: []Custom{
		{Key: resGatewayClasses, Name: "istio", Parsed: &gatewayClass{}}, {Key: resGatewayClasses, Name: "eg", Parsed: &gatewayClass{}}}}
	o.Custom[0].Parsed.(*gatewayClass).Spec.ControllerName = "istio.io/gateway-controller"
	o.Custom[1].Parsed.(*gatewayClass).Spec.ControllerName = "gateway.envoyproxy.io/gatewayclass-controller"
	add := func(resource, kind, name, raw string) {
		for _, k := range CustomKinds {
			if k.Key == resource && k.Kind == kind {
				parsed, err := k.Parse([]byte(raw))
				if err != nil {
					b.Fatal(err)
				}
				o.Custom = append(o.Custom, Custom{Key: resource, Namespace: "default", Name: name, Parsed: parsed})
			}
		}
	}
	for _, class := range []string{"istio", "eg"} {
		add(resGateways, "Gateway", class, `{"spec":{"gatewayClassName":"`+class+`","listeners":[{"name":"http","protocol":"HTTP","port":80}]}}`)
	}
	for i := range 2500 {
		name, class := fmt.Sprintf("web-%d", i), "istio"
		if i%2 == 0 {
			class = "eg"
			add(resEnvoyTrafficPolicies, "BackendTrafficPolicy", name, `{"spec":{"targetRefs":[{"kind":"HTTPRoute","name":"`+name+`"}],"loadBalancer":{"type":"ConsistentHash","consistentHash":{"type":"Cookie","cookie":{"name":"c"}}}}}`)
		} else {
			add(resDestinationRules, "DestinationRule", name, `{"spec":{"host":"`+name+`","trafficPolicy":{"loadBalancer":{"consistentHash":{"httpCookie":{"name":"c"}}}}}}`)
		}
		o.Services = append(o.Services, Service{Namespace: "default", Name: name, ClusterIP: "10.96.0.1", Ports: []ServicePort{{Port: 80}}})
		add(resHTTPRoutes, "HTTPRoute", name, `{"spec":{"parentRefs":[{"name":"`+class+`"}],"hostnames":["`+name+`.example.com"],"rules":[{"backendRefs":[{"name":"`+name+`","port":80}]}]}}`)
	}
	for b.Loop() {
		sticky := 0
		for _, r := range Build(o) {
			if r.Layers[0].Candidates[0].Cookie.Name == "c" {
				sticky++
			}
		}
		if sticky != 2500 {
			b.Fatalf("%d sticky routes, want 2500", sticky)
		}
	}
}
