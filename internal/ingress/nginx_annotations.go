package ingress

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const (
	nginxTypeCookie     = "cookie"
	nginxPersistentMode = "persistent"
	nginxBalancedMode   = "balanced"
)

// nginxAffinity is what an Ingress' annotations say about affinity, as
// ingress-nginx parses them.
type nginxAffinity struct {
	Type           string // "cookie" or ""
	Mode           string // as written: "persistent", "balanced" or ""
	CanaryBehavior string // "sticky", "legacy" or ""
	Canary         bool
	Cookie         nginxCookieConf
	Notes          []string // annotations that are ignored, and why
}

func (a nginxAffinity) mode() string {
	if a.Mode == nginxPersistentMode {
		return nginxPersistentMode
	}
	return nginxBalancedMode
}

type nginxCookieConf struct {
	affinity.CookieSpec
	ExpiresOnly     bool // lifetime by session-cookie-expires alone
	SecureFalse     bool // session-cookie-secure written as false
	ConditionalNone bool
	ChangeOnFailure bool
}

// What annotations must match, spaces aside, since controllers validate them
// (on by default since v1.12). [sessionaffinity/main.go, parser/validators.go]
var (
	nginxSeconds = regexp.MustCompile(`(^0|-?[1-9]\d*$)`)
	nginxBasic   = regexp.MustCompile(`^[/\-._~a-zA-Z0-9:]*$`)
	nginxURL     = regexp.MustCompile(`^[\-._~a-zA-Z0-9/:?&=]*$`)
)

// parseNginx reads the affinity annotations of an Ingress. It never fails:
// what the controller would ignore is ignored and noted.
func parseNginx(annotations map[string]string) nginxAffinity {
	a := nginxAffinity{Canary: isTrue(annotations[nginxPrefix+"canary"])}
	a.Type = a.oneOf(annotations, "affinity", nginxTypeCookie)
	a.Mode = a.oneOf(annotations, "affinity-mode", nginxBalancedMode, nginxPersistentMode)
	a.CanaryBehavior = a.oneOf(annotations, "affinity-canary-behavior", "sticky", "legacy")
	if a.Type == nginxTypeCookie {
		a.cookie(annotations)
	} else if n := countPrefix(annotations, nginxPrefix+"session-cookie-"); n > 0 {
		a.note("session-cookie-* (%d found) is ignored without affinity: cookie", n)
	}
	if a.CanaryBehavior != "" && !a.Canary {
		a.note("affinity-canary-behavior counts on the canary Ingress only")
	}
	a.Notes = append(a.Notes, misspelt(annotations, nginxPrefix, nginxKnown)...)
	return a
}

// nginxKnown are the annotations that misspelt ones are compared with.
var nginxKnown = []string{
	"affinity", "affinity-mode", "affinity-canary-behavior", "session-cookie-name", "session-cookie-secure",
	"session-cookie-path", "session-cookie-domain", "session-cookie-expires", "session-cookie-max-age",
	"session-cookie-samesite", "session-cookie-conditional-samesite-none", "session-cookie-change-on-failure", "session-cookie-hash",
	"service-upstream", "upstream-hash-by", "load-balance", "ssl-passthrough", "server-alias", "use-regex",
}

func (a *nginxAffinity) note(format string, args ...any) {
	a.Notes = append(a.Notes, fmt.Sprintf(format, args...))
}

// oneOf returns the value of an annotation if it is one of want. The
// controller compares with case and trims spaces.
func (a *nginxAffinity) oneOf(annotations map[string]string, key string, want ...string) string {
	value := strings.TrimSpace(annotations[nginxPrefix+key])
	for _, w := range want {
		if value == w {
			return value
		}
	}
	if value != "" {
		a.note("%s: %s is ignored, not one of %s", key, quote(value), strings.Join(want, ", "))
	}
	return ""
}

func (a *nginxAffinity) cookie(annotations map[string]string) {
	get := func(key string) string { return annotations[nginxPrefix+key] }
	c := &a.Cookie
	c.HTTPOnly = true
	c.Name = a.valid(nginxBasic, "session-cookie-name", get("session-cookie-name"))
	if c.Name == "" {
		c.Name = nginxCookie
	}
	c.Domain = a.valid(nginxBasic, "session-cookie-domain", get("session-cookie-domain"))
	c.Path = a.valid(nginxURL, "session-cookie-path", get("session-cookie-path"))
	c.Secure = a.boolean("session-cookie-secure", get("session-cookie-secure"))
	c.SecureFalse = get("session-cookie-secure") != "" && !c.Secure
	c.ConditionalNone = a.boolean("session-cookie-conditional-samesite-none", get("session-cookie-conditional-samesite-none"))
	c.ChangeOnFailure = a.boolean("session-cookie-change-on-failure", get("session-cookie-change-on-failure"))
	a.sameSite(strings.TrimSpace(get("session-cookie-samesite")))
	a.age(get("session-cookie-max-age"), get("session-cookie-expires"))
	if get("session-cookie-hash") != "" {
		a.note("session-cookie-hash is ignored: it was removed from ingress-nginx")
	}
}

// valid keeps a value of the characters that validation allows; any other
// falls back to the default.
func (a *nginxAffinity) valid(re *regexp.Regexp, key, value string) string {
	if len(value) > maxPath || !re.MatchString(strings.ReplaceAll(value, " ", "")) {
		a.note("%s: %s is ignored, it holds characters that the controller's validation of annotations rejects", key, quote(value))
		return ""
	}
	return strings.TrimSpace(value)
}

func (a *nginxAffinity) boolean(key, value string) bool {
	if value == "" {
		return false
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		a.note("%s: %s is ignored, not a boolean", key, quote(value))
	}
	return b
}

// sameSite: the controller takes any case, lua-resty-cookie only these three
// words, and drops the attribute otherwise.
func (a *nginxAffinity) sameSite(value string) {
	switch value {
	case "None", "Lax", "Strict", "":
		a.Cookie.SameSite = value
	default:
		a.note("session-cookie-samesite: %s is dropped, only None, Lax and Strict are sent", quote(value))
	}
}

// age settles the lifetime: Max-Age wins over Expires in clients (RFC 6265
// section 5.3 step 3). Zero and negative values are sent as they are.
func (a *nginxAffinity) age(maxAge, expires string) {
	m, hasMax := a.seconds("session-cookie-max-age", maxAge, maxAge)
	e, hasExpires := a.seconds("session-cookie-expires", expires, strings.ReplaceAll(expires, " ", ""))
	switch {
	case hasMax:
		a.Cookie.MaxAge, a.Cookie.HasAge = m, true
		if hasExpires && e != m {
			a.note("session-cookie-expires (%s) loses to session-cookie-max-age (%s): clients prefer Max-Age", e, m)
		}
	case hasExpires:
		a.Cookie.MaxAge, a.Cookie.HasAge, a.Cookie.ExpiresOnly = e, true, true
	}
	if a.Cookie.HasAge && a.Cookie.MaxAge <= 0 {
		a.note("the cookie's lifetime is %s: clients drop it at once", a.Cookie.MaxAge)
	}
}

// seconds reads a lifetime, of which validation sees the text checked.
func (a *nginxAffinity) seconds(key, value, checked string) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(value), 64) // as Lua's tonumber does
	if err != nil || !nginxSeconds.MatchString(checked) {
		a.note("%s: %s is ignored, not a number of seconds", key, quote(value))
		return 0, false
	}
	return seconds(int64(min(max(n, -maxSeconds), maxSeconds))), true
}

// maxSeconds bounds lifetimes to 136 years either way.
const maxSeconds = 1 << 32

// seconds turns n seconds into a Duration, bounded.
func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, -maxSeconds), maxSeconds)) * time.Second
}
