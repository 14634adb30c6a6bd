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
		c := Custom{Key: k.Key, Namespace: orElse(m.Metadata.Namespace, "default"), Name: m.Metadata.Name,
			Created: m.Metadata.CreationTimestamp, Annotations: m.Metadata.Annotations, Parsed: parsed}
		if k.Cluster {
			c.Namespace = ""
		}
		return c, true
	}
	return Custom{}, false
}

// TestCustomKeys: an object of another group's resource of the same name is not
// taken for one that is read.
func TestCustomKeys(t *testing.T) {
	parsed := func() *kongUpstreamPolicy { return new(kongUpstreamPolicy) }
	w := newWorld(Objects{Custom: []Custom{
		{Key: "kongupstreampolicies.example.com", Namespace: "default", Name: "a", Parsed: parsed()},
		{Key: resKongUpstreamPolicy, Namespace: "default", Name: "a", Parsed: parsed()},
	}, CustomUnread: map[string]bool{"kongupstreampolicies.example.com": true}})
	c, _ := findCustom[kongUpstreamPolicy](w, resKongUpstreamPolicy, "default", "a")
	if c == nil || c.Key != resKongUpstreamPolicy {
		t.Errorf("found %+v", c)
	}
	n := 0
	for range customs[kongUpstreamPolicy](w, resKongUpstreamPolicy) {
		n++
	}
	if n != 1 || len(w.unreadCustom(resKongUpstreamPolicy)) != 0 {
		t.Errorf("%d of the resource, %v", n, w.unreadCustom(resKongUpstreamPolicy))
	}
	for _, k := range CustomKinds {
		if k.Resource()+"."+k.Group() != k.Key || k.Group() == "" {
			t.Errorf("key %q of %s", k.Key, k.Kind)
		}
	}
}
