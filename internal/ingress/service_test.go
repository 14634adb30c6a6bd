package ingress

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestServicePolicy(t *testing.T) {
	vip := Service{Namespace: "default", Name: "web", ClusterIP: "10.96.0.10", Ports: []ServicePort{{Name: "http", Port: 80}, {Port: 53, Protocol: "UDP"}}}
	with := func(change func(*Service)) Service {
		s := vip
		change(&s)
		return s
	}
	tests := []struct {
		name  string
		s     Service
		ready int
		want  string // mechanism, controller, timeout, renewal, needs none
		note  string
	}{
		{"none", vip, 3, "none kube-proxy 0s unknown ", ""},
		{"one replica", vip, 1, "none kube-proxy 0s unknown one replica", ""},
		{"no endpoint", vip, 0, "none kube-proxy 0s unknown ", ""},
		{"a timeout alone is no affinity", with(func(s *Service) { s.AffinityTimeout = 60 }), 3, "none kube-proxy 0s unknown ", ""},
		{"ClientIP", with(func(s *Service) { s.SessionAffinity = "ClientIP" }), 3, "clientip kube-proxy 3h0m0s sliding ", "every new connection"},
		{"ClientIP and a timeout", with(func(s *Service) { s.SessionAffinity, s.AffinityTimeout = "ClientIP", 60 }), 3, "clientip kube-proxy 1m0s sliding ", "one node's own"},
		{"headless", with(func(s *Service) { s.ClusterIP = "None" }), 3, "none kube-proxy 0s unknown headless: clients choose a pod themselves, by its DNS name", ""},
		{"headless ClientIP", with(func(s *Service) { s.ClusterIP, s.SessionAffinity = "None", "ClientIP" }), 3,
			"none  0s unknown headless: clients choose a pod themselves, by its DNS name", "no effect"},
		{"ExternalName", with(func(s *Service) { s.ClusterIP, s.Type, s.SessionAffinity = "", "ExternalName", "ClientIP" }), 0,
			"none  0s unknown ", "no effect on an ExternalName"},
		{"not ready addresses", with(func(s *Service) { s.SessionAffinity, s.PublishNotReadyAddresses = "ClientIP", true }), 3,
			"clientip kube-proxy 3h0m0s sliding ", "publishNotReadyAddresses"},
		{"another proxy", with(func(s *Service) {
			s.SessionAffinity, s.Labels = "ClientIP", map[string]string{labelProxyName: "my\x1bproxy"}
		}), 3, "clientip my·proxy 3h0m0s unknown ", "whose timer is not known"},
	}
	for _, tt := range tests {
		got := ServicePolicy(tt.s, tt.ready)
		p := got.Policy
		text := fmt.Sprintf("%s %s %s %s %s", p.Mechanism, p.Controller, p.Timeout, p.Renewal, got.NeedsNone)
		if text != tt.want || !strings.Contains(strings.Join(p.Notes, "; "), tt.note) || p.Why == "" {
			t.Errorf("%s: %s (%s), want %s (%s)", tt.name, text, p.Notes, tt.want, tt.note)
		}
		if p.KeepsTerminating != (tt.s.SessionAffinity == "ClientIP" && tt.s.PublishNotReadyAddresses) {
			t.Errorf("%s: KeepsTerminating = %v", tt.name, p.KeepsTerminating)
		}
	}
	got := ServicePolicy(vip, 3)
	if got.Type != "ClusterIP" || len(got.Ports) != 2 || got.Ports[0] != (affinity.ServicePort{Name: "http", Port: 80, Protocol: "TCP"}) || got.Ports[1].Protocol != "UDP" {
		t.Errorf("ServicePolicy(%+v) = %+v", vip, got)
	}
}
