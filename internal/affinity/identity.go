package affinity

import (
	"encoding/json"
	"net"
	"strings"
)

// Hints are what the user said about how responses name their pod. With a hint
// set, that place alone is believed.
type Hints struct {
	Header string   // response header, any case
	JSON   []string // path into a JSON body: ["pod", "name"]
}

// known looks up what the text of a response may name: pods of one backend.
type known struct {
	names map[string]PodRef // by pod name
	addrs map[string]PodRef // by "ip:port" and by IP
	open  bool              // no pods are known at all: believe conventional names
	// strict believes only what names nothing but a pod: proxies sign their own
	// error pages too, and "instance" is a member of RFC 9457 problem details.
	strict bool
}

// claim is a pod that a part of a response names.
type claim struct {
	source Source
	pod    PodRef
	detail string
}

// identify returns what the response's header and body say about the pod that
// made it, at most one claim each. A part that names two different pods proves
// nothing: a page may list its peers.
func identify(a Answer, k known, h Hints) []claim {
	var claims []claim
	if h.Header != "" || len(h.JSON) > 0 {
		return hinted(a, k, h)
	}
	if c, ok := inHeader(a.Header, k); ok {
		claims = append(claims, c)
	}
	if c, ok := inBody(a.Body, k); ok {
		claims = append(claims, c)
	}
	if len(claims) == 0 && k.open {
		return conventional(a, k.strict)
	}
	return claims
}

// notIdentity are headers whose addresses and names are not the answering
// pod's: cookies are decoded on their own, the others speak of the client or
// of the way back.
var notIdentity = map[string]bool{
	"set-cookie": true, "location": true, "x-forwarded-for": true, "x-real-ip": true, "forwarded": true,
	"access-control-allow-origin": true, "content-security-policy": true, "link": true, "referer": true,
}

func inHeader(fields []Field, k known) (claim, bool) {
	var found claim
	for _, f := range fields {
		if notIdentity[strings.ToLower(f.Name)] {
			continue
		}
		pod, n := only(f.Value, k)
		if n > 1 || n == 1 && !found.pod.IsZero() && found.pod != pod {
			return claim{}, false
		}
		if n == 1 && found.pod.IsZero() {
			found = claim{SourceHeader, pod, Clean(f.Name+": "+f.Value, 120)}
		}
	}
	return found, !found.pod.IsZero()
}

func inBody(body []byte, k known) (claim, bool) {
	pod, n := only(string(body), k)
	if n != 1 {
		return claim{}, false
	}
	return claim{SourceBody, pod, "body names " + Clean(pod.Name, 80)}, true
}

// only returns the single pod that text names, and how many distinct ones it
// names; counting stops at two.
func only(text string, k known) (PodRef, int) {
	var found PodRef
	for start := 0; start < len(text); {
		for start < len(text) && !isWord(text[start]) {
			start++
		}
		end := start
		for end < len(text) && isWord(text[end]) {
			end++
		}
		if pod, ok := k.lookup(text[start:end]); ok {
			if !found.IsZero() && found != pod {
				return PodRef{}, 2
			}
			found = pod
		}
		start = end
	}
	if found.IsZero() {
		return found, 0
	}
	return found, 1
}

// isWord reports whether c can be part of a pod name or of an address.
func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '.' || c == ':' || c == '[' || c == ']' || c == '_'
}

func (k known) lookup(word string) (PodRef, bool) {
	word = strings.Trim(word, ".:-_")
	if len(word) < 3 {
		return PodRef{}, false
	}
	if pod, ok := k.names[word]; ok {
		return pod, true
	}
	if pod, ok := k.addrs[word]; ok {
		return pod, true
	}
	colon := strings.IndexByte(word, ':')
	if colon < 0 {
		return PodRef{}, false
	}
	if host, _, err := net.SplitHostPort(word); err == nil { // "10.244.0.7:9090": the pod, on another port
		if pod, ok := k.addrs[host]; ok {
			return pod, true
		}
	}
	for part := range strings.SplitSeq(word, ":") { // "host:msgapp-7c9f-2xkqp"
		if pod, ok := k.names[part]; ok {
			return pod, true
		}
	}
	return PodRef{}, false
}

// hinted believes the configured place alone. A name no known pod has is still
// believed when no pods are known.
func hinted(a Answer, k known, h Hints) []claim {
	var claims []claim
	for _, f := range a.Header {
		if h.Header != "" && strings.EqualFold(f.Name, h.Header) {
			if pod, ok := k.resolve(f.Value); ok {
				claims = append(claims, claim{SourceHeader, pod, Clean(f.Name+": "+f.Value, 120)})
				break
			}
		}
	}
	if len(h.JSON) > 0 {
		if text, ok := jsonText(a.Body, h.JSON); ok {
			if pod, ok := k.resolve(text); ok {
				claims = append(claims, claim{SourceBody, pod, Clean(strings.Join(h.JSON, ".")+": "+text, 120)})
			}
		}
	}
	return claims
}

func (k known) resolve(text string) (PodRef, bool) {
	text = strings.TrimSpace(text)
	if pod, n := only(text, k); n == 1 {
		return pod, true
	}
	if k.open && text != "" {
		return PodRef{Name: Clean(text, 63)}, true
	}
	return PodRef{}, false
}

// Places where applications and test servers conventionally name their host:
// traefik/whoami prints "Hostname: NAME", nginxdemos/hello "Server name: NAME".
var (
	conventionalHeaders = []string{"x-pod-name", "x-pod", "x-hostname", "x-served-by", "x-backend-server", "x-backend", "x-instance", "x-server"}
	conventionalKeys    = []string{"pod", "podName", "pod_name", "hostname", "instance", "server"}
	conventionalLines   = []string{"hostname:", "server name:", "pod:"}
)

// conventional is for a run without a cluster: pods are then whatever the
// responses name.
func conventional(a Answer, strict bool) []claim {
	for _, name := range conventionalHeaders {
		if strict && ambiguous[name] {
			continue
		}
		for _, f := range a.Header {
			if strings.EqualFold(f.Name, name) && looksNamed(f.Value) {
				return []claim{{SourceHeader, named(f.Value), Clean(f.Name+": "+f.Value, 120)}}
			}
		}
	}
	for _, key := range conventionalKeys {
		if text, ok := jsonText(a.Body, []string{key}); ok && looksNamed(text) && !(strict && ambiguous[key]) {
			return []claim{{SourceBody, named(text), Clean(key+": "+text, 120)}}
		}
	}
	for line := range strings.Lines(string(a.Body)) {
		for _, prefix := range conventionalLines {
			if len(line) > len(prefix) && strings.EqualFold(line[:len(prefix)], prefix) && looksNamed(line[len(prefix):]) {
				return []claim{{SourceBody, named(line[len(prefix):]), Clean(strings.TrimSpace(line), 120)}}
			}
		}
	}
	return nil
}

// ambiguous are the conventional places where proxies name themselves or
// error formats say something else.
var ambiguous = map[string]bool{"x-served-by": true, "x-server": true, "server": true, "instance": true}

// looksNamed reports whether text can be a host's name or address: a path
// ("/orders/7") or a product ("nginx/1.25") is none.
func looksNamed(text string) bool {
	text = strings.TrimSpace(text)
	for i := range len(text) {
		if !isWord(text[i]) {
			return false
		}
	}
	return text != "" && strings.Trim(text, ".:-_[]") != ""
}

func named(text string) PodRef { return PodRef{Name: Clean(strings.TrimSpace(text), 63)} }

// jsonText returns the string at path in a JSON object.
func jsonText(body []byte, path []string) (string, bool) {
	if len(body) == 0 || body[0] != '{' {
		return "", false
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return "", false
	}
	for _, key := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return "", false
		}
		value = object[key]
	}
	text, ok := value.(string)
	return text, ok
}
