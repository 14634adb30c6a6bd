package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// luaCookie returns the cookie's value as lua-resty-cookie reads the header,
// which is not RFC 6265: the last one of a name wins, a value ends at a blank
// as well, and a cookie without "=" swallows the name of the next.
func luaCookie(h http.Header, name string) string {
	text := strings.Join(h["Cookie"], "; ")
	found := ""
	for {
		text = strings.TrimLeft(text, " \t")
		key, rest, ok := strings.Cut(text, "=")
		if !ok {
			return found
		}
		value, more := rest, ""
		if end := strings.IndexAny(rest, "; \t"); end >= 0 {
			value, more = rest[:end], rest[end+1:]
		}
		if key == name {
			found = value
		}
		text = more
	}
}

// nginxSetCookie writes the header as ingress-nginx does: a "|" is raw, the
// year has two digits, attributes come in this order.
func nginxSetCookie(c cookieFields, value, path string, tls bool, now time.Time) string {
	var b strings.Builder
	b.WriteString(c.name + "=" + value)
	if c.expires != "" {
		b.WriteString("; Expires=" + now.Add(seconds(c.expires)).UTC().Format("Mon, 02-Jan-06 15:04:05 GMT"))
	}
	if c.maxAge != "" {
		b.WriteString("; Max-Age=" + c.maxAge)
	}
	if c.domain != "" {
		b.WriteString("; Domain=" + c.domain)
	}
	b.WriteString("; Path=" + path)
	if c.secure || tls {
		b.WriteString("; Secure")
	}
	b.WriteString("; HttpOnly")
	switch c.sameSite {
	case "None", "Lax", "Strict": // other spellings are dropped
		b.WriteString("; SameSite=" + c.sameSite)
	}
	return b.String()
}

func seconds(text string) time.Duration {
	n, _ := strconv.Atoi(text) // number has checked it
	return time.Duration(n) * time.Second
}
