// Package capture takes cookies out of what people can copy from a browser, a
// proxy or a terminal: a value, a header's line, a dump of headers, a HAR file.
//
// It reads what it is given, within bounds, and nothing else. What it returns
// is hostile: names and values are as they were written.
package capture

import (
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Limits of what is kept. Browsers send at most 4 KiB for one cookie (RFC 6265
// section 6.1 asks for that many at least).
const (
	MaxText    = 1 << 20 // bytes of pasted text
	maxCookies = 1000    // different ones
	maxValue   = 8 << 10 // bytes of one
	maxName    = 256
)

// Cookie is a cookie that somebody saw.
type Cookie struct {
	Name  string // "" for a value without one
	Value affinity.Secret

	// The rest is told by a HAR file alone.
	First, Last time.Time // of the requests that carried or brought it; zero when not told
	Count       int       // requests
	Where       string    // method and URL of the first, without its query
}

// jar collects different cookies.
type jar struct {
	cookies []Cookie
	at      map[Cookie]int // by name and value
	left    int            // out, for the limits
}

// add enters a cookie and returns its index, or -1 when it is left out.
func (j *jar) add(name, value string) int {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if value == "" {
		return -1
	}
	key := Cookie{Name: name, Value: affinity.Secret(value)}
	if i, ok := j.at[key]; ok {
		return i
	}
	if len(j.cookies) == maxCookies || len(value) > maxValue || len(name) > maxName {
		j.left++
		return -1
	}
	if j.at == nil {
		j.at = map[Cookie]int{}
	}
	j.at[key] = len(j.cookies)
	j.cookies = append(j.cookies, key)
	return len(j.cookies) - 1
}

// Text reads a value, name=value pairs, a whole Cookie or Set-Cookie line, a
// command that browsers copy as cURL, or lines of headers as curl -v and browsers
// show them; of those, other headers are passed over. Quotes around a whole line
// are a shell's. It returns how many cookies were left out for being too
// long or too many, too.
func Text(text string) (cookies []Cookie, left int) {
	text = text[:min(len(text), MaxText)]
	var j jar
	if strings.Contains(text, "curl") && j.curl(text) {
		return j.cookies, j.left
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	headers := false
	for i := range lines {
		lines[i] = unquoted(lines[i])
	}
	for _, line := range lines {
		if name, value, ok := header(line); ok {
			headers = true
			j.header(name, value)
		}
	}
	if headers {
		return j.cookies, j.left
	}
	for _, line := range lines {
		line = strings.TrimSpace(line)
		switch name, _, ok := pair(line); {
		case line == "":
		case !ok:
			j.add("", line)
		case isSetCookie(line):
			j.header("set-cookie", line)
		case name != "":
			j.header("cookie", line)
		}
	}
	return j.cookies, j.left
}

// unquoted takes a shell's quotes off a line, or off one that is more than a
// value: those of a value are a part of it.
func unquoted(line string) string {
	s := strings.TrimSpace(line)
	if n := len(s); n > 2 && s[0] == s[n-1] && (s[0] == '\'' || s[0] == '"') {
		inner := s[1 : n-1]
		_, _, isPair := pair(inner)
		_, _, isHeader := header(inner)
		if s[0] == '\'' || isPair || isHeader {
			return inner
		}
	}
	return line
}

// header takes a Cookie or Set-Cookie header out of a line; curl -v puts "> "
// or "< " before it.
func header(line string) (name, value string, ok bool) {
	line = strings.TrimSpace(strings.TrimLeft(line, "<> \t"))
	name, value, ok = strings.Cut(line, ":")
	name = strings.ToLower(strings.TrimSpace(name))
	return name, strings.TrimSpace(value), ok && (name == "cookie" || name == "set-cookie")
}

// header reads the value of a header of that lower-case name, and returns the
// indexes of its cookies.
func (j *jar) header(name, value string) []int {
	var all []int
	add := func(part string) {
		if n, v, ok := strings.Cut(part, "="); ok {
			if i := j.add(n, v); i >= 0 {
				all = append(all, i)
			}
		}
	}
	switch name {
	case "cookie":
		for part := range strings.SplitSeq(value, ";") {
			add(part)
		}
	case "set-cookie": // several of them joined by line ends, in HAR files
		for line := range strings.Lines(value) {
			part, _, _ := strings.Cut(line, ";")
			add(part)
		}
	}
	return all
}

// pair splits name=value. The padding of a bare base64 value is no separator.
func pair(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, "=")
	if !ok || strings.Trim(value, "= ") == "" || !isToken(strings.TrimSpace(name)) {
		return "", line, false
	}
	return name, value, true
}

// isSetCookie reports whether name=value is followed by an attribute of
// Set-Cookie (RFC 6265 section 4.1.1, and SameSite, Partitioned, Priority).
func isSetCookie(line string) bool {
	_, rest, _ := strings.Cut(line, ";")
	for part := range strings.SplitSeq(rest, ";") {
		name, _, _ := strings.Cut(part, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "path", "domain", "expires", "max-age", "secure", "httponly", "samesite", "partitioned", "priority":
			return true
		}
	}
	return false
}

// isToken reports whether s can be a cookie's name (RFC 6265 section 4.1.1).
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
