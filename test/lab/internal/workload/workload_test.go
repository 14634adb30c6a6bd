package workload

import (
	"strings"
	"testing"
)

func TestAssignKeepsSlots(t *testing.T) {
	ready := func(addresses ...string) map[string]bool {
		m := map[string]bool{}
		for _, a := range addresses {
			m[a] = true
		}
		return m
	}
	var slots []string
	for _, step := range []struct {
		ready map[string]bool
		want  string
	}{
		{ready("a", "b", "c"), "a,b,c"},
		{ready("a", "c"), "a,,c"},
		{ready("a", "c", "d", "e"), "a,d,c,e"},
		{ready(), ",,,"},
		{ready("f"), "f,,,"},
	} {
		slots = assign(slots, step.ready)
		if got := strings.Join(slots, ","); got != step.want {
			t.Errorf("slots %q, want %q", got, step.want)
		}
	}
}
