// Package cookie keeps cookies the way a browser does: RFC 6265, with the
// points of RFC 6265bis (draft-ietf-httpbis-rfc6265bis) that browsers follow.
//
// It reads Set-Cookie lines as they were received, because net/http's parser
// drops what browsers accept: two-digit years, values with spaces or commas,
// cookies without a name. Nothing here reads a clock or does I/O, and nothing
// that a server sends makes it fail: a line is stored, or refused with a
// sentence that says why.
package cookie

import (
	"errors"
	"strings"
	"time"
)

// Limits of browsers (RFC 6265bis §5.6): a longer name and value refuse the
// cookie, a longer attribute is ignored.
const (
	MaxPair      = 4096 // name and value together, in bytes
	MaxAttribute = 1024 // one attribute's value, in bytes
)

// Reasons to refuse a line, whoever asks.
var (
	ErrControl = errors.New("a control character in it: browsers refuse the cookie")
	ErrEmpty   = errors.New("neither name nor value: browsers ignore it")
	ErrSize    = errors.New("name and value are longer than 4096 bytes: browsers refuse the cookie")
)

// Cookie is one Set-Cookie line, taken apart and not yet judged.
type Cookie struct {
	Name     string // "" for a line without "=", which browsers keep and send as a bare value
	Value    string // raw: quotes, "|" and "%" as received
	Path     string // as received; "" when absent
	Domain   string // as received; "" when absent
	Secure   bool
	HTTPOnly bool
	SameSite string // "Strict", "Lax", "None"; other words as received

	Expires    time.Time // zero when absent or unreadable
	MaxAge     int64     // in seconds, meaningful with HasMaxAge
	HasMaxAge  bool
	hasExpires bool // Expires may be zero for a real date: none is before 1601
}

// Parse takes a Set-Cookie line apart (RFC 6265 §5.2). With an error the cookie
// must not be kept; what could be read of it is returned all the same, so that
// the refusal can be reported by name.
func Parse(line string) (Cookie, error) {
	pair, rest, _ := strings.Cut(line, ";")
	var c Cookie
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		name, value = "", pair
	}
	c.Name, c.Value = trim(name), trim(value)
	for rest != "" {
		var attr string
		attr, rest, _ = strings.Cut(rest, ";")
		key, value, _ := strings.Cut(attr, "=")
		c.attribute(strings.ToLower(trim(key)), trim(value))
	}
	switch {
	case hasControl(line):
		return c, ErrControl
	case c.Name == "" && c.Value == "":
		return c, ErrEmpty
	case len(c.Name)+len(c.Value) > MaxPair:
		return c, ErrSize
	}
	return c, nil
}

// attribute applies one attribute; of two with one key the last counts.
func (c *Cookie) attribute(key, value string) {
	if len(value) > MaxAttribute {
		return
	}
	switch key {
	case "expires":
		if t, ok := ParseDate(value); ok {
			c.Expires, c.hasExpires = t, true
		}
	case "max-age":
		if seconds, ok := parseMaxAge(value); ok {
			c.MaxAge, c.HasMaxAge = seconds, true
		}
	case "domain":
		c.Domain = value
	case "path":
		c.Path = value
	case "secure":
		c.Secure = true
	case "httponly":
		c.HTTPOnly = true
	case "samesite":
		c.SameSite = sameSite(value)
	}
}

// End returns when a client whose clock shows now forgets c, and whether it
// ends at all before the browser does. Max-Age outranks Expires
// (RFC 6265 §5.3, step 3).
func (c Cookie) End(now time.Time) (end time.Time, ok bool) {
	switch {
	case c.HasMaxAge && c.MaxAge <= 0:
		return now, true
	case c.HasMaxAge:
		return now.Add(time.Duration(c.MaxAge) * time.Second), true
	case c.hasExpires:
		return c.Expires, true
	}
	return time.Time{}, false
}

// maxSeconds keeps Max-Age within time.Duration: 100 years, "the latest
// representable date" of RFC 6265 §5.2.2.
const maxSeconds = 100 * 365 * 24 * 60 * 60

func parseMaxAge(s string) (seconds int64, ok bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" {
		return 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
		seconds = min(seconds*10+int64(digits[i]-'0'), maxSeconds)
	}
	if len(digits) < len(s) {
		seconds = -seconds
	}
	return seconds, true
}

func sameSite(s string) string {
	for _, known := range []string{"Strict", "Lax", "None"} {
		if strings.EqualFold(s, known) {
			return known
		}
	}
	return s
}

// trim removes the white space of RFC 6265, which is space and tab alone.
func trim(s string) string { return strings.Trim(s, " \t") }

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 && s[i] != '\t' || s[i] == 0x7f {
			return true
		}
	}
	return false
}
