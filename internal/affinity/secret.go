package affinity

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Secret is a value that must not be shown unless asked: a cookie's value
// hands its holder a user's session. Every way of printing it prints the mask.
type Secret string

// Mask returns the first four characters and an ellipsis; values of eight
// characters or fewer are hidden whole, as four would give away half of them.
func (s Secret) Mask() string {
	switch {
	case s == "":
		return ""
	case len(s) <= 8:
		return "…"
	}
	return Clean(string(s[:4]), 4) + "…"
}

// Fingerprint returns 8 hex digits that tell two values apart without showing
// either.
func (s Secret) Fingerprint() string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// Reveal returns the value itself. Callers do so only when the user asked.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string { return s.Mask() }

// GoString keeps %#v from printing the value.
func (s Secret) GoString() string { return "Secret(" + s.Mask() + ")" }

// Format keeps every verb, %x and %q among them, from printing the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.Mask())) }

// MarshalText masks the value in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.Mask()), nil }
