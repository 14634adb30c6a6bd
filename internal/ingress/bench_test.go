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
