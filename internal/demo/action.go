package demo

import (
	"cmp"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
	"github.com/kubestickytop/stickytop/internal/demo/proxy"
)

// Action is something a user can make happen in the world.
type Action struct {
	Name  string // for World.Do: "delete-pod"
	Title string // "end the busiest pod gracefully"
	Key   string // on the keyboard: "D"
}

// action is an Action and what it does: it returns a line on what happened.
// Those without a key are for scenarios.
type action struct {
	Action
	do func(*World) (string, error)
}

var actions = []action{
	{Action{"scale-up", "one more replica", "+"}, func(w *World) (string, error) { return w.scale(+1) }},
	{Action{"scale-down", "one replica less", "_"}, func(w *World) (string, error) { return w.scale(-1) }},
	{Action{"delete-pod", "delete the busiest pod", "D"}, (*World).deletePod},
	{Action{"crash-pod", "crash the busiest pod's process", "X"}, (*World).crashPod},
	{Action{"fail-readiness", "fail or mend a pod's readiness", "H"}, (*World).failReadiness},
	{Action{"freeze-pod", "freeze or thaw a pod's HTTP server", "B"}, (*World).freezePod},
	{Action{"rollout", "restart the Deployment, pod by pod", "O"}, (*World).rollout},
	{Action{"toggle-mode", "persistent or balanced", "M"}, (*World).toggleMode},
	{Action{"toggle-affinity", "cookie affinity on or off", "A"}, (*World).toggleAffinity},
	{Action{"toggle-api", "cut or restore the API server", "L"}, (*World).toggleAPI},
	{Action{"migrate", "swap ingress-nginx for Traefik, or back", "W"}, (*World).migrate},

	{Action{Name: "affinity-on"}, func(w *World) (string, error) { return w.annotate("affinity", "cookie") }},
	{Action{Name: "affinity-off"}, func(w *World) (string, error) { return w.annotate("affinity", "") }},
	{Action{Name: "mode-balanced"}, func(w *World) (string, error) { return w.annotate("affinity-mode", "balanced") }},
	{Action{Name: "mode-persistent"}, func(w *World) (string, error) { return w.annotate("affinity-mode", "persistent") }},
	{Action{Name: "cut-api"}, func(w *World) (string, error) { return w.setAPI(apiserver.FaultRefuse) }},
	{Action{Name: "restore-api"}, func(w *World) (string, error) { return w.setAPI(apiserver.FaultNone) }},
}

// Actions lists what the user can do, for a help screen.
func (w *World) Actions() []Action {
	var all []Action
	for _, a := range actions {
		if a.Key != "" {
			all = append(all, a.Action)
		}
	}
	return all
}

// Do makes an action happen. It returns at once; what follows from it takes
// its time. The caption says what happened, or why nothing did.
func (w *World) Do(name string) error {
	said, err := w.perform(name)
	if err != nil {
		said = "cannot " + affinity.Clean(name, 40) + ": " + err.Error()
	}
	w.say(said)
	return err
}

func (w *World) perform(name string) (string, error) {
	i := slices.IndexFunc(actions, func(a action) bool { return a.Name == name })
	if i < 0 {
		return "", fmt.Errorf("no action %q", affinity.Clean(name, 40))
	}
	w.acting.Lock()
	defer w.acting.Unlock()
	return actions[i].do(w)
}

// The workload that actions act on.
const (
	namespace  = "msgapp"
	deployment = "msgapp-backend"
	ingress    = "msgapp"
	annotation = "nginx.ingress.kubernetes.io/"
)

// maxReplicas bounds what a key held down can do.
const maxReplicas = 12

func (w *World) scale(by int) (string, error) {
	n := 0
	apiserver.Modify(w.store, namespace, deployment, func(d *appsv1.Deployment) {
		n = min(max(0, int(replicas(d.Spec.Replicas))+by), maxReplicas)
		now := int32(n)
		d.Spec.Replicas = &now
	})
	return fmt.Sprintf("kubectl scale deploy/%s --replicas=%d", deployment, n), nil
}

func (w *World) deletePod() (string, error) {
	p, err := w.busiest()
	if err != nil {
		return "", err
	}
	w.cluster.deletePod(p.Namespace, p.Name)
	return "kubectl delete pod " + p.Name, nil
}

func (w *World) crashPod() (string, error) {
	p, err := w.busiest()
	if err != nil {
		return "", err
	}
	w.cluster.crash(p)
	return p.Name + " ran out of memory; its container restarts at the same address", nil
}

func (w *World) failReadiness() (string, error) {
	if w.sick.isAlive() {
		w.sick.setSick(false)
		name := w.sick.pod
		w.sick = nil
		return name + " answers its readiness probe again", nil
	}
	p, process, err := w.busiestProcess()
	if err != nil {
		return "", err
	}
	process.setSick(true)
	w.sick = process
	return p.Name + " answers 503 to its readiness probe", nil
}

func (w *World) freezePod() (string, error) {
	if w.frozen.isAlive() {
		w.frozen.freeze(false)
		name := w.frozen.pod
		w.frozen = nil
		return name + " answers again", nil
	}
	p, process, err := w.busiestProcess()
	if err != nil {
		return "", err
	}
	process.freeze(true)
	w.frozen = process
	return p.Name + " accepts connections and answers nothing", nil
}

func (w *World) rollout() (string, error) {
	w.rollouts++
	apiserver.Modify(w.store, namespace, deployment, func(d *appsv1.Deployment) {
		if d.Spec.Template.Annotations == nil {
			d.Spec.Template.Annotations = map[string]string{}
		}
		d.Spec.Template.Annotations["demo.stickytop.dev/restarted"] = fmt.Sprint(w.rollouts)
	})
	return "kubectl rollout restart deploy/" + deployment, nil
}

func (w *World) annotation(name string) string {
	ing, found := apiserver.Get[*networkingv1.Ingress](w.store, namespace, ingress)
	if !found {
		return ""
	}
	return ing.Annotations[annotation+name]
}

// annotate sets an annotation of the Ingress; "" removes it.
func (w *World) annotate(name, value string) (string, error) {
	apiserver.Modify(w.store, namespace, ingress, func(ing *networkingv1.Ingress) {
		if value == "" {
			delete(ing.Annotations, annotation+name)
			return
		}
		if ing.Annotations == nil {
			ing.Annotations = map[string]string{}
		}
		ing.Annotations[annotation+name] = value
	})
	if value == "" {
		return fmt.Sprintf("kubectl annotate ing/%s %s%s-", ingress, annotation, name), nil
	}
	return fmt.Sprintf("kubectl annotate ing/%s %s%s=%s", ingress, annotation, name, value), nil
}

func (w *World) toggleMode() (string, error) {
	if w.annotation("affinity-mode") == "persistent" {
		return w.annotate("affinity-mode", "balanced")
	}
	return w.annotate("affinity-mode", "persistent")
}

func (w *World) toggleAffinity() (string, error) {
	if w.annotation("affinity") == "cookie" {
		return w.annotate("affinity", "")
	}
	return w.annotate("affinity", "cookie")
}

func (w *World) toggleAPI() (string, error) {
	if w.cut {
		return w.setAPI(apiserver.FaultNone)
	}
	return w.setAPI(apiserver.FaultRefuse)
}

func (w *World) setAPI(f apiserver.Fault) (string, error) {
	w.cut = f != apiserver.FaultNone
	w.api.SetFault(f)
	if w.cut {
		return "the API server refuses connections; the ingress goes on", nil
	}
	return "the API server answers again", nil
}

func (w *World) migrate() (string, error) {
	if w.dialect == proxy.Traefik {
		w.dialect = proxy.IngressNginx
	} else {
		w.dialect = proxy.Traefik
	}
	w.proxy.SetDialect(w.dialect)
	return "the ingress is " + string(w.dialect) + " now; the Ingress object is the same", nil
}

// busiest returns the pod that holds the most clients: of those that ask it,
// the ones whose last request it answered. With none asked yet, the first by
// name.
func (w *World) busiest() (*corev1.Pod, error) {
	last := map[string]string{}
	for _, e := range w.proxy.AccessLog() {
		if e.Pod.Name != "" {
			last[e.Client] = e.Pod.Name
		}
	}
	held := map[string]int{}
	for _, pod := range last {
		held[pod]++
	}
	d, found := apiserver.Get[*appsv1.Deployment](w.store, namespace, deployment)
	if !found {
		return nil, fmt.Errorf("no deployment %s", deployment)
	}
	pods := slices.DeleteFunc(w.cluster.podsOf(d), func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil || !isReady(p) })
	if len(pods) == 0 {
		return nil, fmt.Errorf("no pod of %s is ready", deployment)
	}
	return slices.MaxFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(held[a.Name], held[b.Name]), cmp.Compare(b.Name, a.Name))
	}), nil
}

func (w *World) busiestProcess() (*corev1.Pod, *process, error) {
	p, err := w.busiest()
	if err != nil {
		return nil, nil, err
	}
	process := w.cluster.processOf(p)
	if process == nil {
		return nil, nil, fmt.Errorf("nothing runs in %s", p.Name)
	}
	return p, process, nil
}
