package affinity

import (
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"web", "web", 0}, {"web", "wbe", 2}, {"kitten", "sitting", 3},
		{"affinty-mode", "affinity-mode", 1}, {"session-cookie-maxage", "session-cookie-max-age", 1}, {"a", "b", 1},
		{strings.Repeat("x", 1000), strings.Repeat("x", 300), 0}, // only the start is compared
	} {
		if got := Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("Distance(%.20q, %.20q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := Distance(tt.b, tt.a); got != tt.want {
			t.Errorf("Distance(%.20q, %.20q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
