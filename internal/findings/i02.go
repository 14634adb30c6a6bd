package findings

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var i02 = Rule{
	ID: "I02", Title: "Several workers inside one pod", Severity: affinity.SeverityCritical,
	What:    "Stickiness ends at the pod. With gunicorn -w, WEB_CONCURRENCY or PM2's cluster mode, the kernel hands each connection to any of its workers, and the session is in one of them.",
	Impact:  "requests fail with code 1 (Session ID unknown) about as often as another worker is picked, though the pod is right",
	Fix:     "one worker for each pod and more pods, or @socket.io/sticky or @socket.io/cluster-engine inside it",
	Verify:  "kubectl logs: no Session ID unknown while the pod stays",
	Sources: []string{"miguelgrinberg/Flask-SocketIO#402", "benoitc/gunicorn#1147", "Unitech/pm2#389", "socketio/socket.io-sticky#2"},
	Shown: "the pod of the handshake itself refuses a later request with code 1. Told apart by the pod's restart count: when it grew, the session was lost with the container; when not, likely several workers, and certain with the second handshake that meets it. " +
		"Where a cookie alone names the pod of a refused request it stays likely, unless other answers on the route have borne the cookie out, the objects declare several workers, the Service has had one endpoint all along, or a log tells (--log-evidence).",
	check: func(c *check) {
		for _, r := range c.stickyRoutes("") {
			for _, x := range r.loads {
				for i, cont := range x.containers() {
					n, at := workers(cont)
					if n == "" {
						continue
					}
					h := hit{title: fmt.Sprintf("%s workers share each pod", n), likely: true, severity: affinity.SeverityMedium, route: r.ID, evidence: []affinity.FindingEvidence{x.field(containerPath(i, at...)...)},
						impact: "if a session lives in a worker's memory, stickiness to the pod does not find it"}
					if hint := r.socketHint(); hint != "" {
						h.severity, h.impact = affinity.SeverityCritical, ""
						h.evidence = append(h.evidence, affinity.FindingEvidence{Source: "object", Text: "sockets: " + hint})
					}
					h.patch = oneWorker(x, cont, at)
					c.hit(x.Object, h)
				}
			}
		}
	},
}

// oneWorker is how to ask for one worker in place of what field at of a container
// asks for; "" where the words do not show it plainly.
func oneWorker(x *workload, cont *Value, at []string) string {
	name := cont.Str("name")
	if at[0] == "env" {
		if x.File == "" {
			return fmt.Sprintf("kubectl -n %s set env %s -c %s WEB_CONCURRENCY=1", quote(x.Namespace), quote(x.String()), quote(name))
		}
		return fmt.Sprintf("spec:\n  template:\n    spec:\n      containers:\n      - name: %q\n        env:\n        - {name: WEB_CONCURRENCY, value: \"1\"}", name)
	}
	words := cont.words(at[0])
	i, err := strconv.Atoi(at[1])
	if err != nil || i >= len(words) {
		return ""
	}
	fields := strings.Fields(words[i])
	switch {
	case len(fields) > 1: // a shell takes it apart
		words[i] = oneOf.ReplaceAllString(words[i], "${1}1")
	case strings.Contains(words[i], "="):
		words[i], _, _ = strings.Cut(words[i], "=")
		words[i] += "=1"
	case i+1 < len(words):
		words[i+1] = "1"
	}
	for i, w := range words {
		words[i] = strconv.Quote(w)
	}
	return fmt.Sprintf("spec:\n  template:\n    spec:\n      containers:\n      - name: %q\n        %s: [%s]", name, at[0], strings.Join(words, ", "))
}

// oneOf is a number of workers among the words of a shell.
var oneOf = regexp.MustCompile(`((?:^|\s)(?:-w|--workers|-i|--instances)(?:\s+|=))(?:\d+|max)\b`)

// workers is the number of worker processes a container asks for, as written;
// "" for one or an unknown number.
func workers(c *Value) (n string, at []string) {
	if v, path := env(c, "WEB_CONCURRENCY"); many(v) {
		return v, path
	}
	for _, list := range []string{"command", "args"} {
		words := c.words(list)
		joined := strings.Join(words, " ")
		for i, w := range words {
			next := ""
			if i+1 < len(words) {
				next = words[i+1]
			}
			value := ""
			switch {
			case strings.Contains(joined, "gunicorn") || strings.Contains(joined, "uvicorn"):
				value = flagValue(w, next, "-w", "--workers")
			case strings.Contains(joined, "pm2"):
				value = flagValue(w, next, "-i", "--instances")
			}
			if many(value) {
				return value, []string{list, strconv.Itoa(i)}
			}
		}
		if len(words) > 0 { // one word that a shell takes apart
			last := strings.Fields(words[len(words)-1])
			for i, w := range last {
				next := ""
				if i+1 < len(last) {
					next = last[i+1]
				}
				value := ""
				if strings.Contains(joined, "gunicorn") {
					value = flagValue(w, next, "-w", "--workers")
				}
				if strings.Contains(joined, "pm2") {
					value = flagValue(w, next, "-i", "--instances")
				}
				if many(value) {
					return value, []string{list, strconv.Itoa(len(words) - 1)}
				}
			}
		}
	}
	return "", nil
}

func many(n string) bool {
	x, err := strconv.Atoi(n)
	return n == "max" || err == nil && x > 1
}

func flagValue(word, next, short, long string) string {
	switch {
	case word == short || word == long:
		return next
	case strings.HasPrefix(word, long+"="):
		return word[len(long)+1:]
	}
	return ""
}
