package affinity

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "msgapp-7c9f", "msgapp-7c9f"},
		{"cut", "msgapp-7c9f-2xkqp-long", "msgapp-7c9f…"},
		{"exact", "123456789012", "123456789012"},
		{"escape sequence", "a\x1b[31mb", "a·[31mb"},
		{"OSC and BEL", "\x1b]0;x\x07", "·]0;x·"},
		{"C1 CSI", "a\u009b31m", "a·31m"},
		{"newline", "a\r\nb", "a··b"},
		{"bidi override", "a\u202eb", "a·b"},
		{"zero width", "a\u200db", "a·b"},
		{"bidi embeddings", "\u202aa\u202b\u202c\u202d", "·a···"},
		{"bidi isolates", "a\u2066b\u2067c\u2068d\u2069e", "a·b·c·d·e"},
		{"bidi marks", "a\u200eb\u200fc\u061cd", "a·b·c·d"},
		{"line separators", "a\u2028b\u2029c\u0085d", "a·b·c·d"},
		{"invisible letters", "a\u3164b\u115fc\uffa0d", "a·b·c·d"},
		{"invisible marks", "a\u034fb\ufe0fc\U000e0100d", "a·b·c·d"},
		{"tags", "a\U000e0041\u00adb\ufeff", "a··b·"},
		{"right-to-left letters", "אבג", "אבג"},
		{"invalid UTF-8", "a\xffb", "a·b"},
		{"other script", "服务", "服务"},
		{"cut by runes", "ééééééééééééé", "ééééééééééé…"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		if got := Clean(tt.in, 12); got != tt.want {
			t.Errorf("%s: Clean(%q, 12) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

// TestShortLabelIsSafe: what tells pods apart on screen is cut out of a name
// that was cleaned, so what a terminal must not see is not in it either.
func TestShortLabelIsSafe(t *testing.T) {
	for _, tail := range []string{"\u202egnp", "a\u2066b\u2069", "\u200e", "\x1b[31m", "x\u3164"} {
		for _, a := range []Answer{
			{Header: []Field{{"X-Pod-Name", "web-" + tail}}},
			{Body: []byte(`{"pod":"web-` + strings.ReplaceAll(tail, "\x1b", "\\u001b") + `"}`)},
		} {
			for _, h := range []Hints{{}, {Header: "x-pod-name", JSON: []string{"pod"}}} {
				for _, c := range identify(a, known{open: true}, h) {
					if got := c.pod.Short(); Clean(got, 200) != got || got == "" {
						t.Errorf("%q: the short label is %q", tail, got)
					}
				}
			}
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b]52;c;Zm9v\x07", 8)
	f.Fuzz(func(t *testing.T, s string, max int) {
		got := Clean(s, max%500)
		if !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) is not UTF-8", s)
		}
		if n := utf8.RuneCountInString(got); n > 0 && n > max%500 {
			t.Fatalf("Clean(%q, %d) has %d runes", s, max%500, n)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("Clean(%q) = %q keeps a control character", s, got)
		}
		if again := Clean(got, max%500); again != got {
			t.Fatalf("Clean is not idempotent: %q, %q", got, again)
		}
	})
}

func TestSecretNeverPrints(t *testing.T) {
	s := Secret("69e345ded6a54093e604c11164d0392a")
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); strings.Contains(got, "ded6a5") || strings.Contains(got, "36396533") {
			t.Errorf("Sprintf(%q) = %q shows the value", verb, got)
		}
	}
	if got := s.Mask(); got != "69e3…" {
		t.Errorf("Mask() = %q, want 69e3…", got)
	}
	if got := Secret("s1").Mask(); got != "…" {
		t.Errorf("Mask() of a short value = %q, want …", got)
	}
}
