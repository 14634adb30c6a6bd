package report

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestTimeOfAnAddress: what is left of a pin by address is in LEFT, as that of a
// cookie is, marked where no table was read.
func TestTimeOfAnAddress(t *testing.T) {
	var st affinity.State
	at := func(s int) time.Time { return time.Date(2026, 11, 23, 14, 0, s, 0, time.UTC) }
	svc, pod := affinity.ServiceRef{Namespace: "shop", Name: "web"}, affinity.PodRef{Namespace: "shop", Name: "web-1"}
	policy := affinity.Policy{Mechanism: affinity.MechanismClientIP, Controller: "kube-proxy", Timeout: time.Minute, Renewal: affinity.RenewalSliding}
	for _, e := range []affinity.Event{
		affinity.ServiceChanged{Service: affinity.Service{Ref: svc, Policy: policy, Ports: []affinity.ServicePort{{Port: 80, Protocol: "TCP"}}}},
		affinity.Routes{Source: "services", Routes: []affinity.Route{{ID: "svc", Kind: affinity.RouteService, Namespace: "shop", Name: "web",
			Backend: affinity.Backend{Service: svc, Port: "80"}, Layers: []affinity.Layer{{Where: affinity.LayerService, Object: "service/web", Candidates: []affinity.Policy{policy}}}}}},
		affinity.PodChanged{Pod: affinity.Pod{Ref: pod, IP: "10.244.0.7", Ready: true}},
		affinity.EndpointsChanged{Service: svc, Endpoints: []affinity.Endpoint{{Addr: "10.244.0.7:80", IP: "10.244.0.7", Pod: pod, Ready: true, Serving: true}}},
		affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: "svc", Transport: "http", Client: affinity.ClientBrowser, From: netip.MustParseAddr("10.0.0.4")}},
		affinity.Observed{Session: "s01", Status: 200, Remote: "10.96.0.9:80", Answer: affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: "web-1"}}}},
	} {
		st.Apply(e, at(0))
	}
	for _, format := range []string{"", "wide"} {
		print, err := NewPrinter(format, false)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := print(&out, Sessions(st.Snapshot(at(5)), Options{})); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, "0 0 ≈55s sliding") {
			t.Errorf("-o %q: %s", format, out.String())
		}
	}
}
