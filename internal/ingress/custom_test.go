package ingress

import (
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// loadCustom reads a YAML document of one of CustomKinds.
func loadCustom(t *testing.T, doc string) (Custom, bool) {
	t.Helper()
	var m struct {
		Kind     string
		Metadata struct {
			Namespace, Name   string
			CreationTimestamp time.Time
			Annotations       map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
		return Custom{}, false
	}
	for _, k := range CustomKinds {
		if k.Kind != m.Kind {
			continue
		}
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := k.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		c := Custom{Resource: k.Resource, Namespace: orElse(m.Metadata.Namespace, "default"), Name: m.Metadata.Name,
			Created: m.Metadata.CreationTimestamp, Annotations: m.Metadata.Annotations, Parsed: parsed}
		if k.Cluster {
			c.Namespace = ""
		}
		return c, true
	}
	return Custom{}, false
}
