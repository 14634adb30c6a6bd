// Package agent plays the kubelet of one node: it runs the node's pods as processes in network namespaces of
// their own, probes and restarts them, reports their status, and serves logs, exec and port-forward.
package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// Agent is the kubelet of one node. It must run inside the node's network namespace.
type Agent struct {
	spec   layout.Spec
	index  int
	node   string
	ip     string
	client kubernetes.Interface
	events record.EventRecorder
	self   string // the lab's own program, which is every lab image's program too
	ips    *addresses

	mu      sync.Mutex
	workers map[types.UID]*worker
}

// Run plays the kubelet of node index (counted from 1) until ctx ends.
func Run(ctx context.Context, spec layout.Spec, index int) error {
	node := layout.NodeName(index)
	config, err := clientcmd.BuildConfigFromFlags("", spec.Kubeconfig(node))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 50, 100
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedv1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	a := &Agent{
		spec: spec, index: index, node: node, ip: layout.NodeIP(index), client: client, self: self,
		events:  broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: "kubelet", Host: node}),
		ips:     newAddresses(layout.NodePods(index)),
		workers: map[types.UID]*worker{},
	}
	if err := a.serve(ctx); err != nil {
		return err
	}
	go a.heartbeat(ctx)
	a.watchPods(ctx)
	return nil
}

// watchPods hands every pod of this node to a worker of its own.
func (a *Agent) watchPods(ctx context.Context) {
	selector := fields.OneTermEqualSelector("spec.nodeName", a.node).String()
	lw := cache.NewListWatchFromClient(a.client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll, fields.ParseSelectorOrDie(selector))
	informer := cache.NewSharedInformer(lw, &v1.Pod{}, 0)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { a.update(ctx, o.(*v1.Pod)) },
		UpdateFunc: func(_, o any) { a.update(ctx, o.(*v1.Pod)) },
		DeleteFunc: func(o any) {
			if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			a.remove(o.(*v1.Pod))
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "watch pods:", err)
		return
	}
	informer.Run(ctx.Done())
}

func (a *Agent) update(ctx context.Context, pod *v1.Pod) {
	a.mu.Lock()
	w, known := a.workers[pod.UID]
	if !known {
		if pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed {
			a.mu.Unlock()
			return
		}
		w = newWorker(a, pod)
		a.workers[pod.UID] = w
	}
	a.mu.Unlock()
	if known {
		w.update(pod)
		return
	}
	go func() {
		w.run(ctx)
		a.mu.Lock()
		delete(a.workers, pod.UID)
		a.mu.Unlock()
	}()
}

// remove ends a pod that is gone from the API server: a forced deletion, or the agent's own final one.
func (a *Agent) remove(pod *v1.Pod) {
	a.mu.Lock()
	w := a.workers[pod.UID]
	a.mu.Unlock()
	if w != nil {
		w.vanish()
	}
}

// find returns the worker of a pod by name.
func (a *Agent) find(namespace, name string) *worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.workers {
		pod := w.current()
		if pod.Namespace == namespace && pod.Name == name {
			return w
		}
	}
	return nil
}

// byUID returns the worker of a pod by UID.
func (a *Agent) byUID(uid string) *worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.workers[types.UID(uid)]
}

// LogDir is the folder of a pod's logs, kept after the pod is gone: they are the tests' ground truth.
func LogDir(spec layout.Spec, namespace, name, uid string) string {
	return filepath.Join(spec.Dir, "podlogs", namespace+"_"+name+"_"+uid)
}

// PodDir is the folder of a running pod's state: its description, its containers' pids, its faults.
func PodDir(spec layout.Spec, uid string) string { return filepath.Join(spec.Dir, "pods", uid) }

const (
	heartbeatPeriod = 10 * time.Second
	leaseSeconds    = 40
)
