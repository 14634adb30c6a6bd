package ingress

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// isTrue reads a boolean annotation as strconv.ParseBool does; anything else
// is false.
func isTrue(value string) bool {
	b, err := strconv.ParseBool(value)
	return err == nil && b
}

func countPrefix(annotations map[string]string, prefix string) int {
	n := 0
	for key := range annotations {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// misspelt notes annotations under prefix that are nearly one of known:
// controllers ignore unknown keys without a word.
func misspelt(annotations map[string]string, prefix string, known []string) []string {
	var notes []string
	for key := range annotations {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok || len(name) > 64 || slices.Contains(known, name) {
			continue
		}
		for _, k := range known {
			if near(name, k) {
				notes = append(notes, fmt.Sprintf("unknown annotation %s: did you mean %s?", quote(name), k))
				break
			}
		}
	}
	slices.Sort(notes)
	return notes
}

// near reports whether two names differ in at most two letters, and in less
// than a third of them.
func near(a, b string) bool {
	limit := min(2, len(b)/3)
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return false
	}
	return affinity.Distance(a, b) <= limit
}
