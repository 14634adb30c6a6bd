package affinity

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text from outside safe for a terminal and a log: control
// characters, escape sequences' introducers, bidirectional overrides and
// invalid UTF-8 become '·', and at most max runes are kept, the last of them
// '…' when something was cut. Printable text of any script passes unchanged.
func Clean(s string, max int) string {
	if max <= 0 {
		return ""
	}
	if isPlain(s) {
		if len(s) <= max {
			return s
		}
		return s[:max-1] + "…"
	}
	var b strings.Builder
	n := 0
	for i := 0; i < len(s); {
		if n == max-1 && !lastRune(s[i:]) {
			b.WriteRune('…')
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if !printable(r, size) {
			r = '·'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

func lastRune(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size == len(s)
}

// isPlain reports whether s is printable ASCII, the usual case.
func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// printable reports whether a terminal shows r as itself. Format characters
// (category Cf: bidirectional overrides, zero-width joiners, tags) are not:
// they can reorder or hide what stands around them. Nor are code points that
// Unicode has terminals ignore, Hangul fillers and variation selectors among
// them: they make names look alike, and columns as wide as nobody counted.
func printable(r rune, size int) bool {
	if r == utf8.RuneError && size <= 1 {
		return false
	}
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
