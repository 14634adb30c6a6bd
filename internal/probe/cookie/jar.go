package cookie

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of a Jar. Browsers keep at least 50 cookies for a domain
// (RFC 6265 §6.1); the limit in bytes is ours, for one process holds hundreds
// of jars and servers may be hostile. What was not used longest goes first.
const (
	MaxPerDomain = 50
	MaxBytes     = 64 << 10
)

// Jar is one client's cookies. Its zero value is empty and ready to use. It is
// not safe for concurrent use.
type Jar struct {
	held []held
	seq  uint64 // orders what was made or used at one instant
}

type held struct {
	name, value    string
	domain, path   string // domain in lower case
	hostOnly       bool
	secure         bool
	expires        time.Time // zero: with the browser
	created, usedN uint64
}

// Pair is a cookie as a request carries it.
type Pair struct{ Name, Value string }

// Set judges c, which u answered with at now, and keeps it, replaces the one it
// renews, or forgets that one. It returns why a browser would not send c back
// to u: "" when it would. A cookie that is kept but belongs to other URLs has
// such a reason too.
func (j *Jar) Set(u *url.URL, c Cookie, now time.Time) (notReturned string) {
	next, refused := admit(u, c)
	if refused != "" {
		return refused
	}
	end, ends := c.End(now)
	if ends {
		next.expires = end
	}
	j.Expire(now)
	i := slices.IndexFunc(j.held, next.same)
	if next.shadows(u, j.held) {
		return "a Secure cookie of that name is held, and http may not replace it"
	}
	if ends && !end.After(now) {
		if i >= 0 {
			j.held = slices.Delete(j.held, i, i+1)
		}
		return endedReason(c)
	}
	j.seq++
	next.created, next.usedN = j.seq, j.seq
	if i >= 0 {
		next.created = j.held[i].created
		j.held[i] = next
	} else {
		j.held = append(j.held, next)
	}
	j.evict(next.domain)
	return next.unfit(u)
}

// Judge returns what Set would, for a client that holds nothing, and keeps
// nothing.
func Judge(u *url.URL, c Cookie, now time.Time) (notReturned string) {
	var empty Jar
	return empty.Set(u, c, now)
}

// Cookies returns what goes out with a request to u at now, in the order of
// RFC 6265 §5.4: longer paths first, then older cookies.
func (j *Jar) Cookies(u *url.URL, now time.Time) []Pair {
	var fit []*held
	for i := range j.held {
		if h := &j.held[i]; h.live(now) && h.unfit(u) == "" {
			fit = append(fit, h)
		}
	}
	slices.SortStableFunc(fit, func(a, b *held) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.created, b.created))
	})
	j.seq++
	pairs := make([]Pair, len(fit))
	for i, h := range fit {
		h.usedN = j.seq
		pairs[i] = Pair{Name: h.name, Value: h.value}
	}
	return pairs
}

// Header joins pairs to a Cookie header's value.
func Header(pairs []Pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Name != "" {
			b.WriteString(p.Name)
			b.WriteByte('=')
		}
		b.WriteString(p.Value)
	}
	return b.String()
}

// Expire forgets the cookies whose time is up at now and returns their names.
func (j *Jar) Expire(now time.Time) (names []string) {
	j.held = slices.DeleteFunc(j.held, func(h held) bool {
		if h.live(now) {
			return false
		}
		names = append(names, h.name)
		return true
	})
	return names
}

// NextExpiry returns when the next cookie ends, and whether any does.
func (j *Jar) NextExpiry() (at time.Time, ok bool) {
	for _, h := range j.held {
		if !h.expires.IsZero() && (!ok || h.expires.Before(at)) {
			at, ok = h.expires, true
		}
	}
	return at, ok
}

// Clear forgets everything and returns the names.
func (j *Jar) Clear() (names []string) {
	for _, h := range j.held {
		names = append(names, h.name)
	}
	j.held = nil
	return names
}

// Len returns how many cookies are held.
func (j *Jar) Len() int { return len(j.held) }

func (h held) live(now time.Time) bool { return h.expires.IsZero() || now.Before(h.expires) }

// same reports whether o is the cookie that h replaces (RFC 6265bis §5.7).
func (h held) same(o held) bool {
	return h.name == o.name && h.domain == o.domain && h.path == o.path && h.hostOnly == o.hostOnly
}

// unfit says why h does not go to u; "" when it does.
func (h held) unfit(u *url.URL) string {
	host, path := Host(u), RequestPath(u)
	switch {
	case h.hostOnly && host != h.domain, !h.hostOnly && !DomainMatch(host, h.domain):
		return fmt.Sprintf("Domain=%s does not cover %s", h.domain, host)
	case !PathMatch(path, h.path) && strings.ContainsAny(h.path, `*()[]|^$\`):
		return fmt.Sprintf("Path=%s does not cover %s: a pattern is taken literally", h.path, path)
	case !PathMatch(path, h.path):
		return fmt.Sprintf("Path=%s does not cover %s", h.path, path)
	case h.secure && u.Scheme != "https":
		return secureReason
	}
	return ""
}

// shadows reports whether keeping h, offered over http, would hide a Secure
// cookie (RFC 6265bis §5.7, "leave secure cookies alone").
func (h held) shadows(u *url.URL, all []held) bool {
	return u.Scheme != "https" && slices.ContainsFunc(all, func(o held) bool {
		return o.secure && o.name == h.name && PathMatch(h.path, o.path) &&
			(DomainMatch(h.domain, o.domain) || DomainMatch(o.domain, h.domain))
	})
}

// evict keeps the jar within its limits.
func (j *Jar) evict(domain string) {
	for {
		bytes, ofDomain := 0, 0
		for _, h := range j.held {
			bytes += len(h.name) + len(h.value) + len(h.domain) + len(h.path)
			if h.domain == domain {
				ofDomain++
			}
		}
		if ofDomain <= MaxPerDomain && bytes <= MaxBytes {
			return
		}
		oldest := -1
		for i, h := range j.held {
			if ofDomain > MaxPerDomain && h.domain != domain {
				continue
			}
			if oldest < 0 || cmp.Or(cmp.Compare(h.usedN, j.held[oldest].usedN), cmp.Compare(h.created, j.held[oldest].created)) < 0 {
				oldest = i
			}
		}
		j.held = slices.Delete(j.held, oldest, oldest+1)
	}
}
