package lab

import "testing"

func TestParseCRI(t *testing.T) {
	lines := parseCRI("p", []byte("2026-01-02T03:04:05.1Z stdout F whole line\n"+
		"2026-01-02T03:04:05.2Z stdout P first \n2026-01-02T03:04:05.3Z stderr F other\n2026-01-02T03:04:05.4Z stdout F second\n"+
		"garbage\n2026-01-02T03:04:05.5Z stdout F\n"))
	want := []string{"stdout whole line", "stderr other", "stdout first second", "stdout "}
	if len(lines) != len(want) {
		t.Fatalf("got %v", lines)
	}
	for i, l := range lines {
		if got := l.Stream + " " + l.Text; got != want[i] || l.Pod != "p" || l.Time.Year() != 2026 {
			t.Errorf("line %d: %+v, want %q", i, l, want[i])
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{"client": "client", "node1": "node1", "pod/x": "pod/msgapp/x", "pod/ingress/x": "pod/ingress/x"} {
		if got := fullName(in); got != want {
			t.Errorf("fullName(%q) = %q, want %q", in, got, want)
		}
	}
}
