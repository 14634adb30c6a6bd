package manifest

import (
	"strings"
	"testing"
)

// TestRefused wants told what kubectl apply refuses of YAML that is fine, in block
// and in flow style and in JSON, and nothing that it takes.
func TestRefused(t *testing.T) {
	const head = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n"
	tests := []struct{ name, text, want string }{
		{"a boolean", head + "  annotations:\n    a: x\n    b: true\n", "f:7: metadata.annotations[b] is a boolean, "},
		{"a number", head + "  annotations: {a: 12}\n", "f:5: metadata.annotations[a] is a number, "},
		{"a map", head + "  annotations:\n    a: {b: c}\n", "f:6: metadata.annotations[a] is a map, "},
		{"a label", head + "  labels:\n    v: 1.5\n", "f:6: metadata.labels[v] is a number, "},
		{"JSON", `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "annotations": {"a": false}}}`, "f:1: metadata.annotations[a] is a boolean, "},
		{"a spec that is a text", head + "spec: str\n", "f:5: spec is a text and no map"},
		{"texts", head + "  annotations:\n    a: \"true\"\n    b: '12'\n    c:\n    d: ~\n    e: 1.2.3\n    f: 2026-01-02\n    g: |\n      true\n    h: truest\n  labels: {a: \"1\"}\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			objects, problems := Read(strings.NewReader(tt.text), "f")
			if len(objects) != 1 {
				t.Errorf("%d objects", len(objects))
			}
			got := ""
			for _, p := range problems {
				got += p.Error()
			}
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
