// Package access reads lines of ingress controllers' access logs: which
// backend a request was sent to. It is pure: bytes in, values out.
//
// A line is looked at for what it says of the way to a backend alone. Whose
// request it was is told by an ID in it, which only its sender knows.
package access

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// MaxLine is how much of a line is read, in bytes; a longer one is no access.
const MaxLine = 16 << 10

// Entry is what a line says.
type Entry struct {
	Format string // "nginx", "traefik", "traefik-clf", "haproxy", "json"
	Addr   string // "ip:port" of the backend that answered, or that was tried last; "" for none
	Server string // the backend's name where the log has no address; "" for none
	Status int    // sent to the client; 0 when it is not said
}

// Parse reads one line. It returns false for what is no access log's line.
func Parse(line []byte) (Entry, bool) {
	if len(line) > MaxLine {
		return Entry{}, false
	}
	line = bytes.TrimSpace(line)
	if len(line) > 0 && line[0] == '{' {
		return parseJSON(line)
	}
	for _, parse := range []func(string) (Entry, bool){parseNGINX, parseCLF, parseHAProxy} {
		if e, ok := parse(string(line)); ok {
			return e, true
		}
	}
	return Entry{}, false
}

// IDs returns the words of a line that can be request IDs of ours: 32
// hexadecimal digits on their own, at most 8.
func IDs(line []byte) (ids []string) {
	for start := 0; start < len(line) && len(ids) < 8; {
		if !hex(line[start]) {
			start++
			continue
		}
		end := start
		for end < len(line) && hex(line[end]) {
			end++
		}
		alone := (start == 0 || !word(line[start-1])) && (end == len(line) || !word(line[end]))
		if end-start == 32 && alone {
			ids = append(ids, string(line[start:end]))
		}
		start = end
	}
	return ids
}

func hex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

func word(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '_'
}

// parseJSON reads Traefik's JSON (pkg/middlewares/accesslog/logdata.go of
// traefik/traefik) and what people write for nginx and HAProxy: the names of
// nginx's variables, or Traefik's.
func parseJSON(line []byte) (Entry, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil {
		return Entry{}, false
	}
	e := Entry{Format: "json"}
	if _, is := fields["DownstreamStatus"]; is {
		e.Format = "traefik"
	}
	for _, name := range []string{"DownstreamStatus", "status", "status_code"} {
		if n, err := strconv.Atoi(strings.Trim(string(fields[name]), `"`)); err == nil && plausible(n) {
			e.Status = n
			break
		}
	}
	for _, name := range []string{"ServiceAddr", "ServiceURL", "upstream_addr", "upstreamAddr", "upstream", "backend_addr"} {
		if e.Addr = lastAddr(text(fields[name])); e.Addr != "" {
			break
		}
	}
	for _, name := range []string{"ServerName", "server_name_backend", "backend_server"} {
		if s := text(fields[name]); s != "" && s != "-" && s != "<NOSRV>" && len(s) <= 253 {
			e.Server = s
			break
		}
	}
	// Traefik writes 0 where its client went before an answer came.
	return e, e.Status != 0 || string(fields["DownstreamStatus"]) == "0"
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// parseNGINX reads ingress-nginx's format upstreaminfo
// (docs/user-guide/nginx-configuration/log-format.md of
// kubernetes/ingress-nginx). Where several backends were tried the last one
// answered.
func parseNGINX(line string) (Entry, bool) {
	head, rest, ok := cutLast(line, `" `)
	if !ok {
		return Entry{}, false
	}
	words := strings.Fields(rest)
	// request_length request_time [name] [alternative] addr length time status id
	if len(words) < 9 || !bracketed(words[2]) || !bracketed(words[3]) || !digits(words[0]) {
		return Entry{}, false
	}
	status, ok := statusAfterRequest(head)
	if !ok {
		return Entry{}, false
	}
	groups := lists(words[4:])
	if len(groups) != 5 {
		return Entry{}, false
	}
	return Entry{Format: "nginx", Addr: lastAddr(groups[0]), Status: status}, true
}

func bracketed(s string) bool { return len(s) >= 2 && s[0] == '[' && s[len(s)-1] == ']' }

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// lists joins nginx's lists of several tries, "a, b" and, after an internal
// redirect, "a : b".
func lists(words []string) (groups []string) {
	for i, w := range words {
		join := i > 0 && (strings.HasSuffix(words[i-1], ",") || words[i-1] == ":" || w == ":")
		if join {
			groups[len(groups)-1] += " " + w
		} else {
			groups = append(groups, w)
		}
	}
	return groups
}

// statusAfterRequest finds the status after the request's line in quotes,
// which nginx and Traefik escape quotes in.
func statusAfterRequest(head string) (int, bool) {
	_, rest, ok := strings.Cut(head, `] "`)
	if !ok {
		return 0, false
	}
	_, rest, ok = strings.Cut(rest, `" `)
	word, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(word)
	return n, ok && err == nil && plausible(n)
}

func plausible(status int) bool { return status >= 100 && status <= 599 }

// clfTail is what Traefik adds to the common log format
// (pkg/middlewares/accesslog/logger_formatters.go): requests so far, router,
// the server's URL, time.
var clfTail = regexp.MustCompile(`" \d+ "[^"]*" "([^"]*)" \d+ms$`)

func parseCLF(line string) (Entry, bool) {
	found := clfTail.FindStringSubmatchIndex(line)
	if found == nil {
		return Entry{}, false
	}
	status, ok := statusAfterRequest(line[:found[0]+1])
	return Entry{Format: "traefik-clf", Addr: lastAddr(line[found[2]:found[3]]), Status: status}, ok
}

// httplog is HAProxy's "option httplog" (doc/configuration.txt, 8.2.3), after
// whatever syslog puts before it.
var httplog = regexp.MustCompile(`(?:^|[\s:])\S+:\d+ \[[^\]\s]+\] \S+ ([^\s/]*)/(\S+) [-+\d]+/[-+\d]+/[-+\d]+/[-+\d]+/[-+\d]+ (-?\d+) [-+\d]+ `)

func parseHAProxy(line string) (Entry, bool) {
	m := httplog.FindStringSubmatch(line)
	if m == nil {
		return Entry{}, false
	}
	e := Entry{Format: "haproxy"}
	if n, err := strconv.Atoi(m[3]); err == nil && plausible(n) {
		e.Status = n
	}
	if m[2] != "<NOSRV>" && len(m[2]) <= 253 {
		if e.Addr = lastAddr(m[2]); e.Addr == "" {
			e.Server = m[2]
		}
	}
	return e, true
}

// lastAddr returns the last of several addresses, of which there may be URLs;
// "" when that is none.
func lastAddr(s string) string {
	if i := strings.LastIndexAny(s, ", "); i >= 0 {
		s = s[i+1:]
	}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			return ""
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"https": "443"}[u.Scheme]
		}
		if port == "" {
			port = "80"
		}
		s = u.Hostname() + ":" + port
		if strings.Contains(u.Hostname(), ":") {
			s = "[" + u.Hostname() + "]:" + port
		}
	}
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return ""
	}
	return addr.String()
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
