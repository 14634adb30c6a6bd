package findings

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var i02 = Rule{
	ID: "I02", Title: "Several workers inside one pod", Severity: affinity.SeverityCritical,
	What:    "Stickiness ends at the pod. With gunicorn -w, WEB_CONCURRENCY or PM2's cluster mode, the kernel hands each connection to any of its workers, and the session is in one of them.",
	Impact:  "requests fail with code 1 (Session ID unknown) about as often as another worker is picked, though the pod is right",
	Fix:     "one worker for each pod, and as many more pods, or @socket.io/sticky or @socket.io/cluster-engine inside it",
	Verify:  "kubectl logs: no Session ID unknown while the pod stays",
	Sources: []string{"miguelgrinberg/Flask-SocketIO#402", "benoitc/gunicorn#1147", "Unitech/pm2#389", "socketio/socket.io-sticky#2"},
	Shown: "the pod of the handshake itself refuses a later request with code 1. Told apart by the pod's restart count: when it grew, the session was lost with the container; when not, likely several workers, and certain with the second handshake that meets it. " +
		"Where a cookie alone names the pod of a refused request it stays likely, unless other answers on the route have borne the cookie out, the objects declare several workers, the Service has had one endpoint all along, or a log tells (--log-evidence).",
	Needs: []string{"Deployment", "StatefulSet", "DaemonSet"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes("") {
			for _, x := range r.loads {
				for i, cont := range x.containers() {
					n, at := workers(cont)
					if n == "" {
						continue
					}
					h := hit{title: fmt.Sprintf("%s workers share each pod", n), likely: true, severity: affinity.SeverityMedium, route: r.ID, evidence: []affinity.FindingEvidence{x.field(containerPath(i, at...)...)}, patch: oneWorker(x, i),
						impact: "if a session lives in a worker's memory, stickiness to the pod does not find it"}
					if hint := r.socketHint(); hint != "" {
						h.severity, h.impact = affinity.SeverityCritical, ""
						h.evidence = append(h.evidence, affinity.FindingEvidence{Source: "object", Text: "sockets: " + hint})
					}
					c.hit(x.Object, h)
				}
			}
		}
	},
}

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

// oneWorker is container i of x with one worker.
func oneWorker(x *workload, i int) []edit {
	cont := x.containers()[i]
	out := map[string]any{"name": cont.Str("name")}
	if v, _ := env(cont, "WEB_CONCURRENCY"); many(v) {
		out["env"] = []any{map[string]any{"name": "WEB_CONCURRENCY", "value": "1"}}
	}
	for _, list := range []string{"command", "args"} {
		words := cont.words(list)
		mended := slices.Clone(words)
		for j, w := range words {
			mended[j] = oneOf(w)
			if j > 0 && workerFlag(words[j-1]) && many(w) {
				mended[j] = "1"
			}
		}
		if !slices.Equal(words, mended) {
			all := make([]any, len(mended))
			for j, w := range mended {
				all[j] = w
			}
			out[list] = all
		}
	}
	return patched(x.Object, nest([]any{out}, "spec", "template", "spec", "containers"))
}

func workerFlag(w string) bool {
	return w == "-w" || w == "--workers" || w == "-i" || w == "--instances"
}

// workerWords are the flags for workers in a line of a shell, or in one word.
var workerWords = regexp.MustCompile(`(^|\s)(--workers=|--instances=|(?:-w|--workers|-i|--instances)\s+)(max|\d+)`)

// oneOf is a word, or a line of a shell, with one worker.
func oneOf(w string) string { return workerWords.ReplaceAllString(w, "${1}${2}1") }
