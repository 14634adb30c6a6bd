package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestSourceIPs(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1":                     "[127.0.0.1]",
		"127.0.0.5,127.0.0.6,127.0.0.5": "[127.0.0.5 127.0.0.6]",
		"127.1.2.0/30":                  "[127.1.2.1 127.1.2.2]",
		"127.0.0.9/32":                  "[127.0.0.9]",
		"198.51.100.7":                  "no such address",
		"198.51.100.0/24":               "no address of this machine",
		"localhost":                     "neither an address nor a CIDR",
		"0.0.0.0":                       "no such address",
		"127.0.0.0/24":                  "at most 20",
	} {
		got, err := sourceIPs(strings.Split(in, ","))
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			text = "[" + strings.Join(names(got), " ") + "]"
		}
		if !strings.Contains(text, want) {
			t.Errorf("%s gives %q, want %q", in, text, want)
		}
	}
}

func names(all []netip.Addr) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}

func TestDirectRoute(t *testing.T) {
	s := affinity.Service{Ref: affinity.ServiceRef{Namespace: "msgapp", Name: "echo"}, ClusterIP: "10.96.0.9",
		Ports: []affinity.ServicePort{{Name: "dns", Port: 53, Protocol: "UDP"}, {Name: "http", Port: 80, Protocol: "TCP"}, {Name: "https", Port: 8443, Protocol: "TCP"}}}
	six := s
	six.ClusterIP = "fd00::9"
	headless := s
	headless.ClusterIP, headless.Headless = "None", true
	for _, tt := range []struct {
		s                 affinity.Service
		port, url, want   string
		wantPort, wantWhy string
	}{
		{s, "", "", "http://10.96.0.9:80/", "http", "own address"},
		{s, "8443", "", "https://10.96.0.9:8443/", "https", "own address"},
		{s, "http", "http://172.30.0.12:30080/x", "http://172.30.0.12:30080/x", "http", "--url"},
		{six, "", "", "http://[fd00::9]:80/", "http", "own address"},
		{s, "53", "", "", "", ""},
		{headless, "", "", "", "", ""},
	} {
		routes := direct{target: affinity.Target{Kind: "service", Name: "echo", Port: tt.port, Direct: true}, url: tt.url}.routes(tt.s)
		if tt.want == "" {
			if len(routes) > 0 {
				t.Errorf("port %q: %+v, want none", tt.port, routes)
			}
			continue
		}
		if len(routes) != 1 || routes[0].URL != tt.want || routes[0].Backend.PortName != tt.wantPort || !strings.Contains(routes[0].ProbeWhy, tt.wantWhy) {
			t.Errorf("port %q: %+v, want %s", tt.port, routes, tt.want)
		}
	}
}

func TestAskMode(t *testing.T) {
	for answer, want := range map[string]string{"iptables": "iptables", "nftables\n": "nftables", "<html>": "", "": "", "userspace": "", strings.Repeat("x", 1<<16): ""} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		if got := askMode(t.Context(), srv.Client(), srv.URL); got != want {
			t.Errorf("answer %.20q is mode %q, want %q", answer, got, want)
		}
		srv.Close()
	}
	if got := askMode(t.Context(), http.DefaultClient, "http://127.0.0.1:1/"); got != "" {
		t.Errorf("nobody answers: %q", got)
	}
}

// TestElsewherePastTheIngress: where a Service is asked itself, no way to an
// ingress is offered.
func TestElsewherePastTheIngress(t *testing.T) {
	s := setup{cluster: true, target: affinity.Target{Kind: "service", Name: "echo", Direct: true}}
	if hint := s.elsewhere(); strings.Contains(hint, "ingress") || strings.Contains(hint, "--via-controller") || !strings.Contains(hint, "--url http://NODE:NODEPORT") {
		t.Errorf("hint %q", hint)
	}
	s.target.Direct = false
	if hint := s.elsewhere(); !strings.Contains(hint, "--via-controller") {
		t.Errorf("hint %q", hint)
	}
}

// TestFindingsNeedNoRoute: those of a Service that no Ingress leads to are all
// that was asked for.
func TestFindingsNeedNoRoute(t *testing.T) {
	streams, _, _, errs := genericiooptions.NewTestIOStreams()
	s := setup{cluster: true, readOnly: true, target: affinity.Target{Kind: "service", Name: "db"}}
	if err := s.verdict(&affinity.Snapshot{}, "findings", streams); err != nil || errs.Len() > 0 {
		t.Errorf("%v, %s", err, errs)
	}
	s.readOnly, s.target.Direct = false, true
	if err := s.verdict(&affinity.Snapshot{Routes: []affinity.Route{{ID: "r"}}}, "sessions", streams); err == nil || strings.Contains(err.Error(), "Ingress") {
		t.Errorf("a Service that is asked itself: %v", err)
	}
}

// TestNotTCP: a port that is not asked is told from an address that is not there.
func TestNotTCP(t *testing.T) {
	snap := &affinity.Snapshot{Services: []affinity.Service{{Ref: affinity.ServiceRef{Namespace: "web", Name: "dns"},
		Ports: []affinity.ServicePort{{Name: "u", Port: 53, Protocol: "UDP"}, {Name: "t", Port: 53, Protocol: "TCP"}, {Name: "s", Port: 99, Protocol: "SCTP"}}}}}
	for port, want := range map[string]string{"u": "UDP", "t": "", "53": "", "99": "SCTP", "": "", "none": ""} {
		if got := notTCP(snap, affinity.Target{Kind: "service", Namespace: "web", Name: "dns", Port: port, Direct: true}); got != want {
			t.Errorf("port %q: %q, want %q", port, got, want)
		}
	}
}
