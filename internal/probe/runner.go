package probe

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Runner holds the sessions that its latest plan asks for.
type Runner struct {
	set        *settings
	transports []Transport
	pace       *pace
	limiter    *rate.Limiter
	started    atomic.Bool
	wake       chan struct{} // one slot; plan or commands have changed

	mu       sync.Mutex
	plan     *affinity.Plan // not yet acted upon; nil when none is
	commands []affinity.Command
}

// maxCommands bounds the commands that wait; equal ones wait once.
const maxCommands = 4096

// NewRunner checks o. Its errors name the option and what it may be.
func NewRunner(o Options) (*Runner, error) {
	return newRunner(o, transports)
}

func newRunner(o Options, table []Transport) (*Runner, error) {
	set, err := o.settings()
	if err != nil {
		return nil, err
	}
	return &Runner{
		set:        set,
		transports: table,
		pace:       &pace{base: set.Interval, maxRPS: set.MaxRPS},
		limiter:    rate.NewLimiter(rate.Limit(set.MaxRPS), 1),
		wake:       make(chan struct{}, 1),
	}, nil
}

// Want replaces the plan. The missing sessions are opened, the surplus closed,
// and sessions of a route that changed go on asking where it is now, with the
// cookies they hold. It never blocks; only the latest plan counts.
func (r *Runner) Want(p affinity.Plan) {
	r.mu.Lock()
	r.plan = &p
	r.mu.Unlock()
	r.poke()
}

// Do queues CommandDropCookie or CommandReprobe for Session, or for all of
// Route, or for all there are. Other commands are ignored. It never blocks.
func (r *Runner) Do(c affinity.Command) {
	if c.Kind != affinity.CommandDropCookie && c.Kind != affinity.CommandReprobe {
		return
	}
	r.mu.Lock()
	if len(r.commands) < maxCommands && !slices.Contains(r.commands, c) {
		r.commands = append(r.commands, c)
	}
	r.mu.Unlock()
	r.poke()
}

func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run holds sessions until ctx is done, and returns when all of them have
// ended; those that hold a connection take leave of it within a second. It may
// be called once. Events come from many goroutines, those of one
// session in order; emit may block, but must return once ctx is done. After
// that nothing is sent and nothing is emitted.
func (r *Runner) Run(ctx context.Context, emit func(affinity.Event)) error {
	if r.started.Swap(true) {
		return errors.New("probe: Run was called twice")
	}
	p := &pool{runner: r, emit: func(e affinity.Event) {
		if ctx.Err() == nil {
			emit(e)
		}
	}, live: map[affinity.SessionID]*running{}, ladders: map[affinity.RouteID]*ladder{}, refused: map[affinity.SessionSpec]bool{}, browsers: map[affinity.SessionID]*tabs{}}
	defer p.join()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		r.mu.Lock()
		plan, commands := r.plan, r.commands
		r.plan, r.commands = nil, nil
		r.mu.Unlock()
		if plan != nil {
			p.reconcile(ctx, *plan)
		}
		for _, c := range commands {
			p.perform(c)
		}
	}
}

// pool is the live sessions of one Run, touched by its goroutine alone.
type pool struct {
	runner   *Runner
	emit     func(affinity.Event)
	live     map[affinity.SessionID]*running
	ladders  map[affinity.RouteID]*ladder
	refused  map[affinity.SessionSpec]bool // that no transport can hold; reported once
	browsers map[affinity.SessionID]*tabs  // jars that several sessions share
	group    sync.WaitGroup
}

type running struct {
	*session
	end  context.CancelFunc
	done chan struct{} // closed when the goroutine has ended
}

// reconcile makes live what plan says.
func (p *pool) reconcile(ctx context.Context, plan affinity.Plan) {
	routes := map[affinity.RouteID]*affinity.Route{} // one for all the sessions of a route
	for i := range plan.Routes {
		routes[plan.Routes[i].ID] = &plan.Routes[i]
	}
	wanted, order := p.wanted(plan, routes)
	p.closeSurplus(ctx, wanted, routes)
	p.runner.pace.sessions.Store(int64(len(order)))

	var missing []affinity.SessionSpec
	for _, spec := range order {
		s, ok := p.live[spec.ID]
		if !ok {
			missing = append(missing, spec)
			continue
		}
		s.order(func(o *orders) {
			o.route, o.ladder, o.rerouted, o.faceless = routes[spec.Route], p.ladder(spec.Route), true, plan.Faceless[spec.ID]
		})
	}
	for i, spec := range missing {
		wait := p.runner.pace.interval() * time.Duration(i) / time.Duration(len(missing))
		p.open(ctx, spec, routes[spec.Route], plan.Faceless[spec.ID], wait)
	}
}

// wanted returns the sessions of plan that can be had, by ID and in order.
func (p *pool) wanted(plan affinity.Plan, routes map[affinity.RouteID]*affinity.Route) (map[affinity.SessionID]affinity.SessionSpec, []affinity.SessionSpec) {
	byID := map[affinity.SessionID]affinity.SessionSpec{}
	var order []affinity.SessionSpec
	for _, spec := range plan.Sessions {
		_, known := routes[spec.Route]
		_, twice := byID[spec.ID]
		if known && !twice && len(order) < MaxSessions {
			byID[spec.ID] = spec
			order = append(order, spec)
		}
	}
	return byID, order
}

// closeSurplus ends the sessions that are not wanted, or wanted otherwise, and
// waits for them: an ID may be opened anew right after.
func (p *pool) closeSurplus(ctx context.Context, wanted map[affinity.SessionID]affinity.SessionSpec, routes map[affinity.RouteID]*affinity.Route) {
	var ending []*running
	for id, s := range p.live {
		if spec, ok := wanted[id]; ok && spec == s.client.spec {
			continue
		}
		reason := "not wanted any more"
		if _, ok := routes[s.client.spec.Route]; !ok {
			reason = "its route is gone"
		}
		s.order(func(o *orders) { o.reason = reason })
		s.end()
		delete(p.live, id)
		ending = append(ending, s)
	}
	for _, s := range ending {
		select {
		case <-s.done:
		case <-ctx.Done():
		}
	}
	for id := range p.ladders {
		if _, ok := routes[id]; !ok {
			delete(p.ladders, id)
		}
	}
}

// open starts a session whose first request is due after wait.
func (p *pool) open(ctx context.Context, spec affinity.SessionSpec, route *affinity.Route, faceless bool, wait time.Duration) {
	t, err := transportNamed(p.runner.transports, spec.Transport)
	if err != nil {
		if !p.refused[spec] {
			p.refused[spec] = true
			p.emit(affinity.SessionOpened{Spec: spec})
			p.emit(affinity.SessionClosed{ID: spec.ID, Reason: err.Error()})
		}
		return
	}
	ctx, end := context.WithCancel(ctx)
	client := &Client{spec: spec, set: p.runner.set, emit: p.emit, allow: p.runner.limiter.Wait}
	if spec.Jar != "" {
		if p.browsers[spec.Jar] == nil {
			p.browsers[spec.Jar] = newTabs()
		}
		client.jar.tabs = p.browsers[spec.Jar]
	}
	s := &session{
		client: client, conn: t.Open(client), pace: p.runner.pace, limiter: p.runner.limiter,
		emit: p.emit, wake: make(chan struct{}, 1), next: time.Now().Add(wait),
		orders: orders{route: route, ladder: p.ladder(spec.Route), rerouted: true, faceless: faceless},
	}
	live := &running{session: s, end: end, done: make(chan struct{})}
	p.live[spec.ID] = live
	p.group.Go(func() {
		defer close(live.done)
		defer end()
		s.run(ctx)
	})
}

func (p *pool) ladder(id affinity.RouteID) *ladder {
	l, ok := p.ladders[id]
	if !ok {
		l = &ladder{}
		p.ladders[id] = l
	}
	return l
}

// perform passes a command on to the sessions it means.
func (p *pool) perform(c affinity.Command) {
	for id, s := range p.live {
		if c.Session != "" && c.Session != id || c.Route != "" && c.Route != s.client.spec.Route {
			continue
		}
		s.order(func(o *orders) {
			o.drop = o.drop || c.Kind == affinity.CommandDropCookie
			o.ask = o.ask || c.Kind == affinity.CommandReprobe
		})
	}
}

// join ends all sessions and waits for their goroutines.
func (p *pool) join() {
	for _, s := range p.live {
		s.end()
	}
	p.group.Wait()
}
