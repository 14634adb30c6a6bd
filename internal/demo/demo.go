// Package demo is a world to watch without a cluster: a chat and its database,
// an API server that client-go follows, pods that are real HTTP servers, and a
// sticky ingress in front of them, all on 127.0.0.1, without root. Only the
// cluster itself is made up.
//
// A scenario tells a story in it, at a stage's pace, and says what must be
// seen: scenarios are test fixtures as well.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
	"github.com/kubestickytop/stickytop/internal/demo/loopback"
	"github.com/kubestickytop/stickytop/internal/demo/proxy"
)

// Options says which world it is.
type Options struct {
	Scenario string  // Default when empty
	Seed     uint64  // of names, addresses and the ingress's choices; 0 for the scenario's
	Speed    float64 // of the story and the cluster, not of cookies; 0 for 1
}

// World is a running demo: New prepares it, Run lets time pass in it. Its
// methods may be used from several goroutines.
type World struct {
	scenario scenario
	store    *apiserver.Store
	api      *apiserver.Server
	cluster  *cluster
	proxy    *proxy.Proxy
	entrance *loopback.Server // of the proxy

	captionMu sync.Mutex
	caption   string

	acting   sync.Mutex // what follows is of actions
	sick     *process
	frozen   *process
	cut      bool
	rollouts int
	dialect  proxy.Dialect
}

// Entry is a line of the ingress's access log.
type Entry = proxy.Entry

// New prepares a world: its pods are ready and its ports open when it returns,
// and clients may connect. Nothing answers before Run.
func New(o Options) (*World, error) {
	s, err := load(cmp.Or(o.Scenario, Default))
	if err != nil {
		return nil, err
	}
	if o.Speed < 0 || o.Speed > 100 {
		return nil, fmt.Errorf("speed %g is not between 0 and 100", o.Speed)
	}
	seed := cmp.Or(o.Seed, s.Seed)
	w := &World{scenario: s, store: apiserver.NewStore(), dialect: proxy.IngressNginx, caption: s.Title}
	w.cluster = newCluster(w.store, seed, cmp.Or(o.Speed, 1))
	if err := w.open(seed); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) open(seed uint64) (err error) {
	for _, o := range w.scenario.world {
		o.SetCreationTimestamp(w.cluster.born())
	}
	if err := w.store.Put(w.scenario.world...); err != nil {
		return err
	}
	if err := w.cluster.boot(); err != nil {
		return err
	}
	if w.api, err = apiserver.Listen(w.store); err != nil {
		return err
	}
	w.api.Deny(w.scenario.Deny...)
	w.proxy = proxy.New(proxy.Options{Store: w.store, Dial: w.cluster.network.DialContext, Now: time.Now, Seed: seed})
	w.entrance, err = loopback.Listen(w.proxy)
	return err
}

// Close frees the ports of a world that is not going to run.
func (w *World) Close() error {
	errs := []error{w.cluster.close()}
	if w.api != nil {
		errs = append(errs, w.api.Close())
	}
	if w.entrance != nil {
		errs = append(errs, w.entrance.Close())
	}
	return errors.Join(errs...)
}

// Run tells the story and keeps the world going until ctx is done. It is
// called once; every goroutine and every port is gone when it returns.
func (w *World) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{w.api.Run, w.entrance.Run, w.cluster.run, w.tell}
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			if errs[i] = part(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// tell performs the steps of the scenario.
func (w *World) tell(ctx context.Context) error {
	began := time.Now()
	for _, s := range w.scenario.Steps {
		timer := time.NewTimer(time.Until(began.Add(w.cluster.scaled(s.At.Duration))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		said := ""
		for _, name := range s.Do {
			var err error
			if said, err = w.perform(name); err != nil {
				// What a user did meanwhile can leave a step without its object.
				said = err.Error()
			}
		}
		if said = cmp.Or(s.Say, said); said != "" {
			w.say(said)
		}
	}
	return nil
}

// Caption returns the current line of the story.
func (w *World) Caption() string {
	w.captionMu.Lock()
	defer w.captionMu.Unlock()
	return w.caption
}

func (w *World) say(text string) {
	w.captionMu.Lock()
	defer w.captionMu.Unlock()
	w.caption = text
}

// Name returns the scenario's name.
func (w *World) Name() string { return w.scenario.name }

// Title returns the scenario's title.
func (w *World) Title() string { return w.scenario.Title }

// RESTConfig returns what client-go needs to connect to the API server.
func (w *World) RESTConfig() *rest.Config { return w.api.RESTConfig() }

// API returns the API server, to make it fail in ways no action does.
func (w *World) API() *apiserver.Server { return w.api }

// Store returns the cluster's objects, to read or change them as kubectl would.
func (w *World) Store() *apiserver.Store { return w.store }

// Namespace returns the namespace that the story is in.
func (w *World) Namespace() string { return namespace }

// Target returns what to watch.
func (w *World) Target() affinity.Target {
	return affinity.Target{Kind: "ingress", Namespace: namespace, Name: ingress}
}

// Client returns the kind of client that the story is about.
func (w *World) Client() affinity.ClientModel { return w.scenario.Client }

// Resolve returns the address that the ingress really listens on,
// "127.0.0.1:port".
func (w *World) Resolve() string { return w.entrance.Addr() }

// DialContext connects to port 80 of the ingress, whatever host is named, as
// the world has no other. Every other port refuses.
func (w *World) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"80", "http"}, port) {
		return nil, loopback.Refused(place(addr))
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", w.entrance.Addr())
}

// AccessLog returns what really happened to each request, oldest first. A
// request is in it once its answer is complete.
func (w *World) AccessLog() []Entry { return w.proxy.AccessLog() }
