// Package kube turns the objects of a cluster into affinity events: it lists
// and watches what one namespace (or all of them) holds, keeps the little of it
// that matters, and says of every resource how far it can be believed.
//
// It only reads. A resource that RBAC forbids, an API that is not installed and
// an API server that is gone are states, emitted as affinity.SourceChanged; none
// of them ends Run. List, watch, paging, bookmarks and the relist after 410 Gone
// are those of client-go's Reflector; what this package adds is the state, the
// waiting between attempts, and a pulse that notices an API server that keeps
// its connections open and says nothing.
//
// Goroutines: one for each resource and one for the pulse, all joined by Run;
// and Run itself, which alone owns what is known and alone calls emit.
package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Options says what to watch.
type Options struct {
	Namespace     string // of everything namespaced; ignored with AllNamespaces
	AllNamespaces bool
	// LabelSelector narrows the routes to Ingresses and IngressRoutes that
	// match. Services, pods and endpoints are not narrowed: two Ingresses that
	// share a Service shape each other's policy, whichever of them is shown.
	LabelSelector string
	Version       string // for the User-Agent, "stickytop/VERSION"
}

// Source watches a cluster. Make one with New; it runs once.
type Source struct {
	namespace string // "" for all
	selector  labels.Selector
	clients   *clients
	pulse     *pulse
	watchers  []*watcher
	learned   chan learned // one slot

	wanted chan struct{} // one slot: a route has no address of its own
	found  chan doors
}

// New prepares a Source. It does not talk to the API server.
func New(cfg *rest.Config, opts Options) (*Source, error) {
	selector, err := labels.Parse(opts.LabelSelector)
	if err != nil {
		return nil, &Problem{What: fmt.Sprintf("label selector %q cannot be read", opts.LabelSelector), Hint: "write it as kubectl does: -l app=web,tier!=db", Err: err}
	}
	c, err := newClients(cfg, opts.Version)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	s := &Source{selector: selector, clients: c, namespace: opts.Namespace, learned: make(chan learned, 1), wanted: make(chan struct{}, 1), found: make(chan doors)}
	if opts.AllNamespaces {
		s.namespace = ""
	}
	s.pulse = newPulse(c.alive, c.dialer.CloseAll)
	for _, r := range resources(c, s.namespace) {
		s.watchers = append(s.watchers, newWatcher(r, s.pulse, c.pageTimeout))
	}
	return s, nil
}

// Server is the URL of the API server, without user, path and query.
func (s *Source) Server() string { return hostOf(s.clients.host) }

// Run lists and watches until ctx ends, and returns when every goroutine it
// started has. It calls emit from one goroutine only. It must be called once.
func (s *Source) Run(ctx context.Context, emit func(affinity.Event)) error {
	changes := make(chan change, 64)
	var wg sync.WaitGroup
	for _, w := range s.watchers {
		w.tell(ctx, changes)
	}
	for _, w := range s.watchers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Go(func() { s.pulse.run(ctx, s.watchers) })
	wg.Go(func() { s.findDoors(ctx) })
	world := newWorld(emit, s.selector, s.watchers)
	world.want = func() {
		select {
		case s.wanted <- struct{}{}:
		default:
		}
	}
	s.fold(ctx, changes, world)
	wg.Wait()
	return nil
}

// settle is how long changes are collected before the routes are built again:
// long enough for one to stand for the 200 that a rollout brings, too short to
// be seen.
const settle = 30 * time.Millisecond

func (s *Source) fold(ctx context.Context, changes <-chan change, w *world) {
	timer := time.NewTimer(0)
	<-timer.C
	var due time.Time // of the timer; zero while it is not set
	for {
		var again time.Duration
		select {
		case <-ctx.Done():
			return
		case c := <-changes:
			w.apply(c, time.Now())
			again = settle
		case c := <-s.learned:
			w.learn(c)
			again = settle
		case d := <-s.found:
			w.enter(d)
			again = settle
		case <-timer.C:
			due = time.Time{}
			again = w.rebuild(time.Now())
		}
		if at := time.Now().Add(again); w.dirty() && (due.IsZero() || at.Before(due)) {
			due = at
			timer.Reset(again)
		}
	}
}

// Reconnect drops every connection to the API server and tries all resources
// again now, those that were forbidden or absent too. It does not block.
func (s *Source) Reconnect() {
	s.clients.dialer.CloseAll()
	s.pulse.poke()
	for _, w := range s.watchers {
		w.retryNow()
	}
}
