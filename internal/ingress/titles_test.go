package ingress

import "testing"

// TestTitles wants every controller to have a name for people.
func TestTitles(t *testing.T) {
	for _, c := range Controllers {
		if Title(c.Key()) == "" {
			t.Errorf("%s has no title", c.Key())
		}
	}
}
