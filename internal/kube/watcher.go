package kube

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Waits between attempts. Each doubles up to its limit and starts again after
// success; a fifth of it is random, so that many clients do not come together.
const (
	retryFirst     = 500 * time.Millisecond
	retryLost      = 10 * time.Second // the API server does not answer
	retryForbidden = 30 * time.Second // a Role may be granted; also 401, a new token
	retryAbsent    = time.Minute      // an API may be installed
	pollEvery      = 10 * time.Second // list without watch
	pageSize       = 500              // kubectl's --chunk-size
	flapping       = 2 * time.Second  // a wait that only several short watches in a row lead to
	healthyAfter   = 10 * time.Second // a watch that lived this long starts the waits anew
)

// watcher keeps one resource up to date. It is the ListerWatcher and the store
// of a client-go Reflector, whose list, watch, bookmark and 410 handling it
// uses, one ListAndWatch at a time: so it sees every attempt and its outcome,
// and the time of the next.
type watcher struct {
	resource
	pulse       *pulse
	pageTimeout time.Duration
	wake        chan struct{} // one slot: stop waiting
	out         chan<- change // of run
	done        <-chan struct{}
	reported    reporter

	mu     sync.Mutex
	listed int // objects of the list under way
	op     string
	since  time.Time // the watch was opened
	flaps  bool      // the last watches ended at once
}

// What a watcher does, for telling what an error is about.
const (
	opDiscover = "discover"
	opList     = "list"
	opWatch    = "watch"
)

func newWatcher(r resource, p *pulse, pageTimeout time.Duration) *watcher {
	return &watcher{resource: r, pulse: p, pageTimeout: pageTimeout, wake: make(chan struct{}, 1)}
}

// tell says where changes go until ctx ends. It comes before run, and before
// anything else speaks for w.
func (w *watcher) tell(ctx context.Context, out chan<- change) {
	w.out, w.done = out, ctx.Done()
	w.reported.send = func(s status) { w.send(change{resource: w.key(), kind: changeStatus, status: s}) }
}

// run lists and watches until ctx ends.
func (w *watcher) run(ctx context.Context) {
	w.reported.syncing(0, "")
	r := cache.NewReflectorWithOptions(w, nil, w, cache.ReflectorOptions{Name: w.name, TypeDescription: w.name})
	r.WatchListPageSize = pageSize
	var pause backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := w.once(ctx, r)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > healthyAfter {
			pause = backoff{}
		}
		w.sleep(ctx, w.failed(err, &pause))
	}
}

// once lists and watches until something ends it: nil when a watch ended, which
// client-go wants listed again.
func (w *watcher) once(ctx context.Context, r *cache.Reflector) error {
	if w.installed != nil {
		w.doing(opDiscover)
		ctx, cancel := context.WithTimeout(ctx, w.pageTimeout)
		err := w.installed(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return r.ListAndWatchWithContext(ctx)
}

// failed reports what ended an attempt and returns how long to wait.
func (w *watcher) failed(err error, pause *backoff) time.Duration {
	switch {
	case err == nil, apierrors.IsResourceExpired(err), apierrors.IsGone(err):
		// Not a loss: the server wants the next list. If it turns out to be
		// gone, the list will say so.
		w.pulse.poke()
		wait := pause.next(retryLost)
		if wait > flapping {
			w.setFlaps(true)
			w.reported.polling("watches end at once, so it is listed every few seconds", w.pollLoss, wait)
		}
		return wait
	case w.opNow() == opWatch && (apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err)):
		w.reported.polling(fmt.Sprintf("may not be watched: polled every %s", pollEvery), w.pollLoss, pollEvery)
		return pollEvery
	case apierrors.IsForbidden(err):
		wait := pause.next(retryForbidden)
		w.reported.forbidden(w.loss, wait)
		return wait
	case apierrors.IsNotFound(err) && w.installed == nil: // what every cluster has
		wait := pause.next(retryLost)
		w.reported.lost("404 for "+w.name+": is this a Kubernetes API server?", false, wait)
		return wait
	case apierrors.IsNotFound(err):
		w.reported.absent(w.group+"/"+w.version+" "+w.name+" is not installed", retryAbsent)
		return retryAbsent
	case apierrors.IsUnauthorized(err):
		wait := pause.next(retryForbidden)
		w.reported.lost(plain(err), false, wait)
		return wait
	}
	wait := pause.next(retryLost)
	if w.reported.state() != affinity.SourceAbsent { // what was not there is not out of date
		w.reported.lost(plain(err), !hasStatus(err), wait)
	}
	w.pulse.poke()
	return wait
}

// ListWithContext lists one page, and keeps what matters of it. The reads are
// consistent (no resourceVersion), as kubectl's are: a cache that lags would
// make the screen tell of pods that are gone.
func (w *watcher) ListWithContext(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, w.pageTimeout)
	defer cancel()
	w.doing(opList)
	opts.ResourceVersion, opts.ResourceVersionMatch = "", ""
	list, err := w.list(ctx, opts)
	if err != nil {
		return nil, err
	}
	w.pulse.heard()
	page, err := holdList(list, w.convert)
	if err != nil {
		return nil, err
	}
	if page.ResourceVersion == "" {
		return nil, errNoList
	}
	w.mu.Lock()
	if opts.Continue == "" {
		w.listed = 0
	}
	w.listed += len(page.Items)
	n := w.listed
	w.mu.Unlock()
	if rest := page.RemainingItemCount; rest != nil && *rest > 0 {
		w.reported.progress(n, int(*rest))
	}
	return page, nil
}

// WatchWithContext opens the watch. While the API server cannot be reached it
// waits and tries again with the same resourceVersion: when the server returns
// within its history of changes nothing needs to be listed again.
func (w *watcher) WatchWithContext(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	if w.doing(opWatch) == opWatch {
		w.pulse.poke() // the watch before this one ended: is anybody there?
	}
	var pause backoff
	for {
		stream, err := w.watch(ctx, opts)
		if err == nil && reflect.TypeOf(stream) == noWatch {
			err = errNoWatch
		}
		if err == nil {
			w.pulse.heard()
			w.opened()
			if w.reported.muted() {
				w.pulse.poke()
			}
			return watch.Filter(stream, w.keep), nil
		}
		if ctx.Err() != nil || answered(err) {
			return nil, err
		}
		wait := pause.next(retryLost)
		w.reported.lost(plain(err), !hasStatus(err), wait)
		w.pulse.poke()
		w.sleep(ctx, wait)
	}
}

// answered reports whether err is the API server's own word, which trying again
// in a moment will not change.
func answered(err error) bool {
	if apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) {
		return false
	}
	return apierrors.ReasonForError(err) != metav1.StatusReasonUnknown
}

// keep converts a watch event. An event that could not be read ends the stream
// (client-go closes it), and is dropped: the watch then goes on from the last
// resourceVersion instead of listing everything again, which is what a
// connection that broke in the middle of an event deserves.
func (w *watcher) keep(e watch.Event) (watch.Event, bool) {
	w.pulse.heard()
	w.proved()
	if e.Type == watch.Error {
		return e, !undecoded(e.Object)
	}
	h, ok := hold(e.Object, w.convert)
	if h == nil {
		return e, false
	}
	e.Object = h
	return e, ok || e.Type == watch.Bookmark
}

// undecoded reports whether obj is client-go's own word for a broken stream
// (client-go: rest/request.go, newStreamWatcher).
func undecoded(obj runtime.Object) bool {
	s, ok := obj.(*metav1.Status)
	if !ok || s.Details == nil {
		return false
	}
	for _, c := range s.Details.Causes {
		if c.Type == "ClientWatchDecoding" {
			return true
		}
	}
	return false
}

// noWatch is what client-go returns instead of an error when a connection timed
// out or ended before the watch began (client-go: rest/request.go, Watch). Taken
// for a watch, it would be called live for as long as the network is down.
var (
	noWatch    = reflect.TypeOf(watch.NewEmptyWatch())
	errNoWatch = errors.New("the connection timed out or ended before the watch began")
)

// errNoList is an answer that could be decoded, and is none: client-go reads an
// object of another kind as a list of nothing, which would be shown as a fact.
var errNoList = errors.New("the answer is not a list: is this a Kubernetes API server?")

// IsWatchListSemanticsUnSupported tells client-go to list, not to stream the
// initial state: every server can, a forbidden watch leaves the list usable, and
// pages say how many objects are still to come.
func (w *watcher) IsWatchListSemanticsUnSupported() bool { return true }

// List is ListWithContext for the older interface, which client-go does not use.
func (w *watcher) List(opts metav1.ListOptions) (runtime.Object, error) {
	return w.ListWithContext(context.Background(), opts)
}

// Watch is WatchWithContext for the older interface, which client-go does not use.
func (w *watcher) Watch(opts metav1.ListOptions) (watch.Interface, error) {
	return w.WatchWithContext(context.Background(), opts)
}

// Add, Update, Delete, Replace and Resync make the watcher the Reflector's store.

func (w *watcher) Add(obj any) error    { return w.Update(obj) }
func (w *watcher) Update(obj any) error { return w.sendObject(changeUpsert, obj) }
func (w *watcher) Delete(obj any) error { return w.sendObject(changeDelete, obj) }
func (w *watcher) Resync() error        { return nil }

func (w *watcher) Replace(objs []any, _ string) error {
	all := make([]*held, 0, len(objs))
	for _, o := range objs {
		if h, ok := o.(*held); ok {
			all = append(all, h)
		}
	}
	w.send(change{resource: w.key(), kind: changeReplace, objects: all})
	w.reported.listed()
	return nil
}

func (w *watcher) sendObject(kind changeKind, obj any) error {
	if h, ok := obj.(*held); ok && h.Value != nil {
		w.send(change{resource: w.key(), kind: kind, object: h})
	}
	return nil
}

func (w *watcher) send(c change) {
	select {
	case w.out <- c:
	case <-w.done:
	}
}

// opened marks the watch as open. After several that ended at once that alone
// proves nothing.
func (w *watcher) opened() {
	w.mu.Lock()
	w.since = time.Now()
	flaps := w.flaps
	w.mu.Unlock()
	if flaps {
		w.reported.listed()
	} else {
		w.reported.live()
	}
}

// proved notes that the watch brought something.
func (w *watcher) proved() {
	w.mu.Lock()
	again := w.flaps && time.Since(w.since) > healthyAfter
	w.flaps = w.flaps && !again
	w.mu.Unlock()
	if again {
		w.reported.live()
	}
}

func (w *watcher) setFlaps(on bool) {
	w.mu.Lock()
	w.flaps = on
	w.mu.Unlock()
}

// doing notes what is done now and returns what was done before.
func (w *watcher) doing(op string) (before string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, w.op = w.op, op
	return before
}

func (w *watcher) opNow() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.op
}

// retryNow ends a wait that is under way, or the next one.
func (w *watcher) retryNow() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-w.wake:
	}
}

// backoff doubles a wait from retryFirst up to a limit.
type backoff struct{ last time.Duration }

func (b *backoff) next(limit time.Duration) time.Duration {
	b.last = min(max(2*b.last, retryFirst), limit)
	return b.last - time.Duration(rand.Int64N(int64(b.last)/5+1))
}
