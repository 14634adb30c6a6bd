package findings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// workload is what makes pods.
type workload struct {
	*Object
	labels map[string]string // of its pods
}

// Bounds of what is judged with one Service's routes: files can repeat a name,
// or a label, as often as they like, and each route has each workload behind it.
const (
	maxSameName = 8
	maxBehind   = 64
)

func (w *world) addWorkload(o *Object) {
	x := &workload{o, o.Strings("spec", "template", "metadata", "labels")}
	w.workloads = append(w.workloads, x)
	name := nameKey{o.Kind, o.Namespace, o.Name}
	if w.sameName[name]++; w.sameName[name] > maxSameName {
		w.cut(fmt.Sprintf("%s in namespace %q is there more than %d times: the others are not judged with their Services", x, o.Namespace, maxSameName))
		return
	}
	for k, v := range x.labels {
		key := o.Namespace + " " + k + "=" + v
		w.byLabel[key] = append(w.byLabel[key], x)
	}
}

// behind are the workloads whose pods a Service selects.
func (w *world) behind(service *Object) []*workload {
	selector := service.Strings("spec", "selector")
	key := selectorKey(service)
	if out, ok := w.selected[key]; ok {
		return out
	}
	var best []*workload
	first := true
	for k, v := range selector {
		if all := w.byLabel[service.Namespace+" "+k+"="+v]; first || len(all) < len(best) {
			best, first = all, false
		}
	}
	var out []*workload
	for _, x := range best {
		if !selects(selector, x.labels) {
			continue
		}
		if len(out) == maxBehind {
			w.cut(fmt.Sprintf("Service %s in namespace %q selects the pods of more than %d workloads: the others are not judged with it", service.Name, service.Namespace, maxBehind))
			break
		}
		out = append(out, x)
	}
	w.selected[key] = out
	return out
}

// cut says what is not judged, for the first of a kind.
func (w *world) cut(what string) {
	if *w.unjudged == "" {
		*w.unjudged = affinity.Clean(what, maxText)
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// replicas is how many pods x asks for: 1 unless it says another number
// (apps/v1 defaults). With an autoscaler, its least.
func (w *world) replicas(x *workload) int {
	if h := w.hpas[nameKey{x.Kind, x.Namespace, x.Name}]; h != nil {
		if n, ok := h.Int("spec", "minReplicas"); ok {
			return n
		}
		return 1
	}
	if n, ok := x.Int("spec", "replicas"); ok {
		return n
	}
	return 1
}

// most is how many pods x can have.
func (w *world) most(x *workload) int {
	if h := w.hpas[nameKey{x.Kind, x.Namespace, x.Name}]; h != nil {
		if n, ok := h.Int("spec", "maxReplicas"); ok {
			return n
		}
	}
	return w.replicas(x)
}

func (w *world) hpa(x *workload) *Object { return w.hpas[nameKey{x.Kind, x.Namespace, x.Name}] }

// pdb is a PodDisruptionBudget that covers x's pods, or nil.
func (w *world) pdb(x *workload) *Object {
	if w.budgets == nil {
		w.budgets = map[string][]budget{}
		for _, o := range w.objects("PodDisruptionBudget") {
			w.budgets[o.Namespace] = append(w.budgets[o.Namespace], budget{o, o.Strings("spec", "selector", "matchLabels")})
		}
	}
	for _, b := range w.budgets[x.Namespace] {
		if selects(b.labels, x.labels) || len(b.labels) == 0 && b.Has("spec", "selector", "matchExpressions") {
			return b.Object
		}
	}
	return nil
}

// budget is a PodDisruptionBudget and the labels it selects by.
type budget struct {
	*Object
	labels map[string]string
}

// grace is the time that x's pods have to end; 30 s unless they say another
// (core/v1 defaults).
func (x *workload) grace() time.Duration {
	if n, ok := x.Int("spec", "template", "spec", "terminationGracePeriodSeconds"); ok {
		return time.Duration(min(max(n, 0), 1<<31)) * time.Second
	}
	return 30 * time.Second
}

func (x *workload) containers() []*Value { return x.Items("spec", "template", "spec", "containers") }

func (x *workload) hasPreStop() bool {
	return slices.ContainsFunc(x.containers(), func(c *Value) bool { return c.Has("lifecycle", "preStop") })
}

// surge is how many pods more than asked for a rollout starts, and how many
// fewer it leaves, of n (apps/v1 RollingUpdateDeployment: 25 % each by default,
// the one rounded up, the other down).
func (x *workload) surge(n int) (more, fewer int) {
	if x.Kind != "Deployment" {
		return 0, 1
	}
	if x.Str("spec", "strategy", "type") == "Recreate" {
		return 0, n
	}
	more = share(x.Str("spec", "strategy", "rollingUpdate", "maxSurge"), n, true)
	fewer = share(x.Str("spec", "strategy", "rollingUpdate", "maxUnavailable"), n, false)
	return more, fewer
}

func share(text string, n int, up bool) int {
	if text == "" {
		text = "25%"
	}
	percent, isPercent := strings.CutSuffix(text, "%")
	v, err := strconv.Atoi(percent)
	switch {
	case err != nil || v < 0:
		return 0
	case !isPercent:
		return v
	case up:
		return (v*n + 99) / 100
	}
	return v * n / 100
}

// env returns the value of an environment variable of a container.
func env(c *Value, name string) (string, []string) {
	for i, e := range c.Items("env") {
		if e.Str("name") == name {
			return e.Str("value"), []string{"env", strconv.Itoa(i), "value"}
		}
	}
	return "", nil
}

func containerPath(i int, rest ...string) []string {
	return append([]string{"spec", "template", "spec", "containers", strconv.Itoa(i)}, rest...)
}

// socketHint is why a route looks as if sockets used it; "" when nothing does.
func (r *route) socketHint() (hint string) {
	low := strings.ToLower(r.Path)
	for _, s := range []string{"socket.io", "engine.io", "sockjs", "signalr", "/ws", "websocket", "/hub", "/cable"} {
		if strings.Contains(low, s) {
			return "path " + r.Path
		}
	}
	if n := seconds(r.object.annotation(nginxPrefix + "proxy-read-timeout")); n >= 600 {
		return fmt.Sprintf("proxy-read-timeout: %d", n)
	}
	for _, x := range r.loads {
		for _, c := range x.containers() {
			for _, e := range c.Items("env") {
				if n := strings.ToUpper(e.Str("name")); strings.Contains(n, "SOCKET") || strings.Contains(n, "SIGNALR") || strings.HasPrefix(n, "WS_") {
					return "environment variable " + e.Str("name")
				}
			}
			if image := strings.ToLower(c.Str("image")); strings.Contains(image, "socket") {
				return "image " + c.Str("image")
			}
		}
	}
	return ""
}

// plainSocket reports whether r's path looks like that of WebSockets that are no
// Engine.IO's, whose pings are the application's own matter.
func (r *route) plainSocket() bool {
	low := strings.ToLower(r.Path)
	if strings.Contains(low, "socket.io") || strings.Contains(low, "engine.io") {
		return false
	}
	return strings.Contains(low, "/ws") || strings.Contains(low, "websocket")
}

// seconds reads a number of seconds; 0 when it is none.
func seconds(text string) int {
	if text == "" {
		return 0 // most settings are absent, and an error takes memory
	}
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), "s"))
	if err != nil {
		return 0
	}
	return n
}
