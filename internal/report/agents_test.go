package report

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAgents(t *testing.T) {
	now := time.Date(2026, 3, 14, 14, 0, 0, 0, time.UTC)
	ends := metav1.NewMicroTime(now.Add(50 * time.Minute))
	list := NewAgents(now, []Agent{
		{Name: "stickytop-abc-c1-x", Namespace: "web", Run: "abc", Role: "client", Node: "n1", Address: "10.0.0.9", Phase: "Running", Ready: true,
			Created: metav1.NewMicroTime(now.Add(-10 * time.Minute)), Ends: &ends, By: "alice", Usable: true},
		{Name: "stickytop-abc-c2-y", Namespace: "web", Run: "abc", Role: "client", Phase: "Pending", Why: "ErrImagePull: not found", Created: metav1.NewMicroTime(now)},
	})
	for format, want := range map[string][]string{
		"":                             {"NAMESPACE", "web", "Ready", "10m", "50m", "alice", "yes", "Pending (ErrImagePull: not found)", "no"},
		"json":                         {`"apiVersion": "stickytop.dev/v1alpha1"`, `"kind": "AgentList"`, `"why": "ErrImagePull: not found"`, `"ends": "2026-03-14T14:50:00`},
		"yaml":                         {"usable: true", "run: abc"},
		"name":                         {"agent.stickytop.dev/stickytop-abc-c1-x\nagent.stickytop.dev/stickytop-abc-c2-y\n"},
		"jsonpath={.items[*].address}": {"10.0.0.9"},
	} {
		p, err := NewPrinter(format, false)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := p(&b, list); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("-o %q: no %q in %s", format, w, b.String())
			}
		}
	}
	var b strings.Builder
	if err := printJSON(&b, NewAgents(now, nil)); err != nil || !strings.Contains(b.String(), `"items": []`) {
		t.Errorf("no agents: %s, %v", b.String(), err)
	}
}
