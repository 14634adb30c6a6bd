package demo

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// cluster keeps the objects of a store as a cluster would: Deployments get
// pods, pods run, Services get endpoints. One goroutine reconciles; each pod
// has one of its own.
type cluster struct {
	store   *apiserver.Store
	network *network
	prober  *http.Client
	speed   float64

	// Of the goroutine that reconciles.
	names     *names
	addresses map[string]string // of pods, from their creation on, by namespace/name
	pods      sync.WaitGroup
	booted    time.Time // zero until the first objects are all there

	mu      sync.Mutex
	workers map[types.UID]*worker
	failure error // of a worker
	failed  context.CancelFunc
}

func newCluster(store *apiserver.Store, seed uint64, speed float64) *cluster {
	n := newNetwork()
	return &cluster{
		store: store, network: n, speed: speed,
		prober:    &http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}},
		names:     newNames(seed),
		addresses: map[string]string{}, workers: map[types.UID]*worker{},
	}
}

// scaled returns how long d takes at the demo's speed.
func (c *cluster) scaled(d time.Duration) time.Duration { return time.Duration(float64(d) / c.speed) }

// born returns the creation time of a new object: those that the demo starts
// with are some hours old.
func (c *cluster) born() metav1.Time {
	now := time.Now().Truncate(time.Second)
	if c.booted.IsZero() {
		return metav1.NewTime(now.Add(-26 * time.Hour))
	}
	return metav1.NewTime(now)
}

// boot brings the world up at once: when it returns every pod is ready and
// listens.
func (c *cluster) boot() error {
	for i := range nodes {
		ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue}
		if err := c.store.Put(&corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: nodeName(i + 1), CreationTimestamp: c.born()},
			Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{ready}},
		}); err != nil {
			return err
		}
	}
	for more := true; more; {
		if err := c.syncWorkloads(); err != nil {
			return err
		}
		more = false
		for _, p := range apiserver.List[*corev1.Pod](c.store, "") {
			if p.Status.Phase == corev1.PodRunning {
				continue
			}
			more = true
			w := newWorker(c, p, c.addresses[p.Namespace+"/"+p.Name])
			if err := w.listen(); err != nil {
				return err
			}
			c.workers[p.UID] = w
			w.update(func(p *corev1.Pod) {
				setRunning(p, w.ip, p.CreationTimestamp.Time)
				setReady(p, true, p.CreationTimestamp.Time)
			})
		}
	}
	if err := c.syncServices(); err != nil {
		return err
	}
	c.booted = time.Now()
	return nil
}

// run reconciles until ctx is done and every pod has ended.
func (c *cluster) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.failed = cancel
	for _, w := range c.workers {
		c.start(ctx, w)
	}
	c.mu.Unlock()
	var err error
	for ctx.Err() == nil && err == nil {
		changed := c.store.Changed()
		if err = errors.Join(c.syncWorkloads(), c.syncServices()); err != nil {
			break
		}
		c.syncPods(ctx)
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	cancel()
	c.pods.Wait()
	c.prober.CloseIdleConnections()
	return errors.Join(err, c.failure)
}

// close frees the ports of a cluster that was never run.
func (c *cluster) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, w := range c.workers {
		if w.process != nil {
			errs = append(errs, w.process.server.Close())
		}
	}
	return errors.Join(errs...)
}

func (c *cluster) syncWorkloads() error {
	for _, d := range apiserver.List[*appsv1.Deployment](c.store, "") {
		if err := c.syncDeployment(d); err != nil {
			return err
		}
	}
	for _, s := range apiserver.List[*appsv1.StatefulSet](c.store, "") {
		if err := c.syncStatefulSet(s); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) syncServices() error {
	for _, svc := range apiserver.List[*corev1.Service](c.store, "") {
		if err := c.syncEndpoints(svc); err != nil {
			return err
		}
	}
	return nil
}

// syncPods tells each pod's worker what became of its object.
func (c *cluster) syncPods(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := map[types.UID]bool{}
	for _, p := range apiserver.List[*corev1.Pod](c.store, "") {
		there[p.UID] = true
		w := c.workers[p.UID]
		if w == nil {
			w = newWorker(c, p, c.addresses[p.Namespace+"/"+p.Name])
			c.workers[p.UID] = w
			c.start(ctx, w)
		}
		if p.DeletionTimestamp != nil {
			w.asked()
		}
	}
	for uid, w := range c.workers {
		if !there[uid] {
			w.remove()
			delete(c.workers, uid)
		}
	}
}

// start is called under mu.
func (c *cluster) start(ctx context.Context, w *worker) {
	c.pods.Go(func() {
		if err := w.run(ctx); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.failure = err
			c.failed()
		}
	})
}

func (c *cluster) podsMatching(namespace string, selector labels.Selector) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, p := range apiserver.List[*corev1.Pod](c.store, namespace) {
		if selector.Matches(labels.Set(p.Labels)) {
			pods = append(pods, p)
		}
	}
	return pods
}

// deletePod asks a pod to end, with the grace period of its spec.
func (c *cluster) deletePod(namespace, name string) bool {
	return apiserver.Modify(c.store, namespace, name, func(p *corev1.Pod) {
		if p.DeletionTimestamp != nil {
			return
		}
		grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
		if p.Spec.TerminationGracePeriodSeconds != nil {
			grace = *p.Spec.TerminationGracePeriodSeconds
		}
		lasts := c.scaled(time.Duration(grace) * time.Second)
		end := metav1.NewTime(time.Now().Add(lasts))
		whole := int64(math.Ceil(lasts.Seconds()))
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &end, &whole
	})
}

// processOf returns the process of a pod; nil when none runs.
func (c *cluster) processOf(p *corev1.Pod) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.workers[p.UID]; w != nil {
		return w.process
	}
	return nil
}

// crash ends a pod's process as if it had run out of memory.
func (c *cluster) crash(p *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.workers[p.UID]
	if w == nil {
		return
	}
	select {
	case w.crashed <- struct{}{}:
	default: // it is crashing already
	}
}
