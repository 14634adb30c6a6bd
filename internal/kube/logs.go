package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/access"
	"github.com/kubestickytop/stickytop/internal/affinity"
)

// SourceLogs is the Source of what logs tell.
const SourceLogs = "logs"

// Bounds of following logs.
const (
	maxFollowed   = 24               // backend pods
	maxFollowedIn = 6                // controller pods
	maxContainers = 3                // of a pod
	logBytes      = 1 << 20          // a second, of each container; more waits
	logLook       = 15 * time.Second // between looks at who the controller's pods are
	logAgain      = 3 * time.Second  // before a log that ended is opened again
	logForbidden  = time.Minute      // before one that is forbidden is tried again
)

// Logs follows the logs of the pods that probes are sent to, and of ingress
// controllers, for the requests of these probes. It reads (get on pods/log)
// and keeps no line. Make one with NewLogs.
type Logs struct {
	clients *clients
	opts    Options
	began   time.Time
	wake    chan struct{} // one slot

	mu       sync.Mutex
	ledger   access.Ledger
	services map[affinity.RouteID][]affinity.ServiceRef
	probed   map[affinity.RouteID]bool
	backends map[affinity.ServiceRef][]affinity.PodRef
	troubles map[string]string // why something is not followed, by what
	open     map[access.Origin]int
	crowd    int // backend pods that are too many
}

// NewLogs prepares a follower. It does not talk to the API server.
func NewLogs(cfg *rest.Config, opts Options) (*Logs, error) {
	c, err := newClients(cfg, opts.Version)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	return &Logs{clients: c, opts: opts, began: time.Now(), wake: make(chan struct{}, 1), services: map[affinity.RouteID][]affinity.ServiceRef{},
		probed: map[affinity.RouteID]bool{}, backends: map[affinity.ServiceRef][]affinity.PodRef{}, troubles: map[string]string{}, open: map[access.Origin]int{}}, nil
}

// Saw tells what was emitted, by watches and by probes, and passes on to emit
// what logs had told of it before. It does not block for long.
func (l *Logs) Saw(e affinity.Event, emit func(affinity.Event)) {
	var told []affinity.Attributed
	l.mu.Lock()
	changed := true
	switch e := e.(type) {
	case affinity.Routes:
		for _, r := range e.Routes {
			l.services[r.ID] = nil
			for _, b := range r.Backends() {
				l.services[r.ID] = append(l.services[r.ID], b.Service)
			}
		}
	case affinity.EndpointsChanged:
		l.ledger.Endpoints(e.Endpoints, time.Now())
		var pods []affinity.PodRef
		for _, p := range e.Endpoints {
			if !p.Pod.IsZero() && !slices.Contains(pods, p.Pod) {
				pods = append(pods, p.Pod)
			}
		}
		l.backends[e.Service] = pods
	case affinity.SessionOpened:
		l.probed[e.Spec.Route] = true
	case affinity.Observed:
		told, changed = l.ledger.Asked(e, time.Now()), false
	default:
		changed = false
	}
	l.mu.Unlock()
	for _, a := range told {
		emit(a)
	}
	if changed {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// wanted are the pods whose logs matter now.
func (l *Logs) wanted() (pods []affinity.PodRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for route := range l.probed {
		for _, service := range l.services[route] {
			for _, p := range l.backends[service] {
				if !slices.Contains(pods, p) {
					pods = append(pods, p)
				}
			}
		}
	}
	slices.SortFunc(pods, func(a, b affinity.PodRef) int { return strings.Compare(a.String(), b.String()) })
	l.crowd = max(0, len(pods)-maxFollowed)
	return pods[:min(len(pods), maxFollowed)]
}

// Run follows logs until ctx ends, and returns when every stream has.
func (l *Logs) Run(ctx context.Context, emit func(affinity.Event)) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	following := map[access.Origin]context.CancelFunc{}
	look := time.NewTicker(logLook)
	defer look.Stop()
	var controllers []affinity.PodRef
	looked := time.Time{}
	last := affinity.SourceStatus{}
	tell := time.NewTicker(time.Second)
	defer tell.Stop()
	for {
		want := map[access.Origin]bool{}
		backends := l.wanted()
		for _, p := range backends {
			want[access.Origin{Pod: p}] = true
		}
		if len(backends) > 0 && time.Since(looked) >= logLook {
			controllers, looked = l.controllers(ctx), time.Now()
		}
		for _, p := range controllers {
			want[access.Origin{Pod: p, Controller: true}] = true
		}
		for o, end := range following {
			if !want[o] {
				// What it wrote last is yet to come; a pod that is gone ends its log.
				time.AfterFunc(logLook, end)
				delete(following, o)
			}
		}
		for o := range want {
			if _, is := following[o]; !is {
				stream, end := context.WithCancel(ctx)
				following[o] = end
				group.Go(func() { l.follow(stream, o, emit) })
			}
		}
		if s := l.status(len(backends)); s.State != last.State || s.Detail != last.Detail {
			s.Since = last.Since
			if s.State != last.State {
				s.Since = time.Now()
			}
			last = s
			emit(affinity.SourceChanged{Status: s})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-look.C:
		case <-tell.C:
		}
	}
}

// status says what is followed and what is not.
func (l *Logs) status(backends int) affinity.SourceStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := affinity.SourceStatus{Name: SourceLogs, State: affinity.SourceSyncing}
	pods, controllers := 0, 0
	for o := range l.open {
		if o.Controller {
			controllers++
		} else {
			pods++
		}
	}
	s.Objects = pods + controllers
	var words []string
	if s.Objects > 0 {
		s.State = affinity.SourceLive
		words = append(words, fmt.Sprintf("%d backend pods, %d controller pods", pods, controllers))
	}
	if l.crowd > 0 {
		words = append(words, fmt.Sprintf("%d more backend pods are not followed", l.crowd))
	}
	if _, _, unnamed := l.ledger.Summary(); unnamed != "" {
		words = append(words, noIDs(unnamed))
	}
	var troubles []string
	for _, why := range l.troubles {
		troubles = append(troubles, why)
	}
	slices.Sort(troubles)
	troubles = slices.Compact(troubles)
	if len(troubles) > 3 {
		troubles = append(troubles[:3], fmt.Sprintf("%d more", len(troubles)-3))
	}
	if len(troubles) > 0 && s.Objects == 0 {
		s.State = affinity.SourceForbidden
	}
	if backends == 0 && s.Objects == 0 && len(troubles) == 0 {
		s.Detail = "no backend pod is known, so there is no log to follow"
		return s
	}
	s.Detail = affinity.Clean(strings.Join(append(words, troubles...), "; "), maxError)
	return s
}

// noIDs says how to make a controller's log carry request IDs.
func noIDs(format string) string {
	text := "the access log carries no request ID"
	switch format {
	case "traefik-clf":
		return text + ": Traefik writes it with --accesslog.format=json and --accesslog.fields.headers.names.X-Request-Id=keep"
	case "traefik":
		return text + ": --accesslog.fields.headers.names.X-Request-Id=keep adds it"
	case "haproxy":
		return text + ": \"capture request header X-Request-Id len 64\" adds it"
	}
	return text + ": nginx writes $req_id or $http_x_request_id"
}

// controllers lists the pods of ingress controllers.
func (l *Logs) controllers(ctx context.Context) (pods []affinity.PodRef) {
	d := &ControllerDialer{clients: l.clients, opts: ControllerOptions{Namespace: l.opts.Namespace}}
	everywhere := true
	for _, in := range installations {
		list, err := d.podsOf(ctx, in.selector, in.namespaces, &everywhere)
		if err != nil {
			l.trouble("controllers", "controllers' pods: "+plain(err))
			return pods
		}
		for _, p := range list {
			ref := affinity.PodRef{Namespace: p.Namespace, Name: p.Name}
			if p.Status.Phase == corev1.PodRunning && !slices.Contains(pods, ref) && len(pods) < maxFollowedIn {
				pods = append(pods, ref)
			}
		}
	}
	why := ""
	if len(pods) == 0 {
		why = "no ingress controller's pod is found"
		if !everywhere {
			why += " where pods may be listed"
		}
		why += ": its access log is not read"
	}
	l.trouble("controllers", why)
	return pods
}

func (l *Logs) trouble(what, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if why == "" {
		delete(l.troubles, what)
		return
	}
	l.troubles[what] = why
}

// follow reads the logs of one pod, all its containers, until ctx ends.
func (l *Logs) follow(ctx context.Context, o access.Origin, emit func(affinity.Event)) {
	var group sync.WaitGroup
	defer group.Wait()
	defer l.trouble(o.Pod.String(), "")
	for _, container := range l.containers(ctx, o.Pod) {
		group.Go(func() {
			since := l.began
			for ctx.Err() == nil {
				wait := logAgain
				opened := time.Now()
				err := l.stream(ctx, o, container, since, emit)
				since = opened
				switch {
				case ctx.Err() != nil, apierrors.IsNotFound(err):
					return // the pod is gone; what was written last has been read
				case apierrors.IsForbidden(err):
					l.trouble(o.Pod.String(), fmt.Sprintf("get on pods/log is forbidden in namespace %s", affinity.Clean(o.Pod.Namespace, 63)))
					wait = logForbidden
				case err != nil:
					l.trouble(o.Pod.String(), "log of "+affinity.Clean(o.Pod.Name, 80)+": "+plain(err))
				}
				select {
				case <-ctx.Done():
				case <-time.After(wait):
				}
			}
		})
	}
}

// containers are those of a pod, or "" for its only one where that may not be
// asked.
func (l *Logs) containers(ctx context.Context, ref affinity.PodRef) []string {
	ctx, cancel := context.WithTimeout(ctx, l.clients.pageTimeout)
	defer cancel()
	p, err := l.clients.core.Pods(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil || len(p.Spec.Containers) == 0 {
		return []string{""}
	}
	var names []string
	for _, c := range p.Spec.Containers[:min(len(p.Spec.Containers), maxContainers)] {
		names = append(names, c.Name)
	}
	return names
}

// stream reads one container's log from since on until it ends.
func (l *Logs) stream(ctx context.Context, o access.Origin, container string, since time.Time, emit func(affinity.Event)) error {
	from := metav1.NewTime(since)
	body, err := l.clients.core.logs(o.Pod.Namespace, o.Pod.Name, &corev1.PodLogOptions{Container: container, Follow: true, SinceTime: &from}).Stream(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	l.trouble(o.Pod.String(), "")
	l.count(o, 1)
	defer l.count(o, -1)
	limit := rate.NewLimiter(logBytes, logBytes)
	reader := bufio.NewReaderSize(body, access.MaxLine)
	for {
		line, err := reader.ReadSlice('\n')
		read := len(line)
		whole := err == nil
		for errors.Is(err, bufio.ErrBufferFull) { // a longer line is nobody's
			var rest []byte
			rest, err = reader.ReadSlice('\n')
			if read += len(rest); limit.WaitN(ctx, min(len(rest), logBytes)) != nil {
				return nil
			}
		}
		if whole {
			l.line(line, o, emit)
		}
		if limit.WaitN(ctx, min(read, access.MaxLine)) != nil {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *Logs) line(line []byte, o access.Origin, emit func(affinity.Event)) {
	l.mu.Lock()
	told := l.ledger.Line(line, o, time.Now())
	l.mu.Unlock()
	for _, a := range told {
		emit(a)
	}
}

func (l *Logs) count(o access.Origin, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[o] += n; l.open[o] == 0 {
		delete(l.open, o)
	}
}
