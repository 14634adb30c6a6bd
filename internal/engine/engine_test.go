package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// scripted is a source that runs a function.
type scripted func(ctx context.Context, emit func(affinity.Event)) error

func (f scripted) Run(ctx context.Context, emit func(affinity.Event)) error { return f(ctx, emit) }

// prober keeps what it was asked for.
type prober struct {
	mu    sync.Mutex
	plans []affinity.Plan
	done  []affinity.Command
}

func (p *prober) Run(ctx context.Context, _ func(affinity.Event)) error { <-ctx.Done(); return nil }

func (p *prober) Want(plan affinity.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plans = append(p.plans, plan)
}

func (p *prober) Do(c affinity.Command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, c)
}

func (p *prober) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.plans) == 0 {
		return "none"
	}
	var ids []string
	for _, s := range p.plans[len(p.plans)-1].Sessions {
		ids = append(ids, fmt.Sprintf("%s@%s", s.ID, s.Route))
	}
	return strings.Join(ids, " ")
}

func TestBurstIsPacedAndWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		e := New(Options{Frames: 10}, nil, scripted(func(ctx context.Context, emit func(affinity.Event)) error {
			for i := range 1000 {
				emit(affinity.ServiceChanged{Service: affinity.Service{Ref: affinity.ServiceRef{Name: fmt.Sprint(i)}}})
				time.Sleep(time.Millisecond)
			}
			return nil
		}))
		published := 0
		go func() {
			for range e.Changed() {
				published++
			}
		}()
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if published < 8 || published > 13 {
			t.Errorf("%d snapshots of 1000 events in a second, want about 10", published)
		}
		if got := len(e.Snapshot().Services); got != 1000 {
			t.Errorf("the last snapshot has %d services, want all 1000", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v, want nil after a cancelled context", err)
		}
		close(e.changed)
	})
}

func TestFirstChangeAfterQuietIsShownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		e := New(Options{Frames: 1}, nil, scripted(func(ctx context.Context, emit func(affinity.Event)) error {
			time.Sleep(5 * time.Second)
			emit(affinity.ServiceChanged{})
			<-ctx.Done()
			return nil
		}))
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(5*time.Second + time.Millisecond)
		if e.Snapshot().Seq != 1 {
			t.Error("the first event waits for a frame")
		}
		cancel()
		<-done
	})
}

func TestRunEndsWithItsSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no such file")
		ended := false
		e := New(Options{}, nil,
			scripted(func(ctx context.Context, _ func(affinity.Event)) error { time.Sleep(time.Second); return broken }),
			scripted(func(ctx context.Context, _ func(affinity.Event)) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				ended = true
				return ctx.Err()
			}))
		if err := e.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("Run: %v, want the source's error", err)
		}
		if !ended {
			t.Error("Run returned before its sources did")
		}
	})
}

func TestPanicOfASourceIsAnError(t *testing.T) {
	e := New(Options{}, nil, scripted(func(context.Context, func(affinity.Event)) error { panic("boom") }))
	if err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("Run: %v, want the panic as an error", err)
	}
}

func route(name, path string) affinity.Route {
	return affinity.Route{ID: affinity.RouteID(name + path), Kind: affinity.RouteIngress, Namespace: "ns", Name: name, Path: path}
}

func TestPlanFollowsRoutesAndCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &prober{}
		feed := make(chan []affinity.Route)
		e := New(Options{Budget: affinity.Budget{PerRoute: 2}}, p, scripted(func(ctx context.Context, emit func(affinity.Event)) error {
			for {
				select {
				case rs := <-feed:
					emit(affinity.Routes{Source: "t", Routes: rs})
				case <-ctx.Done():
					return nil
				}
			}
		}))
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		step := func(want string, do func()) {
			t.Helper()
			do()
			time.Sleep(time.Second)
			if got := p.last(); got != want {
				t.Errorf("plan is %q, want %q", got, want)
			}
		}
		step("s01@a/ s02@a/", func() { feed <- []affinity.Route{route("a", "/")} })
		step("", func() { feed <- []affinity.Route{route("a", "/"), route("b", "/")} }) // two: the user chooses
		step("s03@b/ s04@b/", func() {
			e.Do(affinity.Command{Kind: affinity.CommandSelect, Target: affinity.Target{Kind: "ingress", Namespace: "ns", Name: "b"}})
		})
		step("s03@b/ s04@b/ s05@b/", func() { e.Do(affinity.Command{Kind: affinity.CommandOpen, Route: "b/"}) })
		step("s04@b/ s05@b/", func() { e.Do(affinity.Command{Kind: affinity.CommandClose, Session: "s03"}) })
		step("", func() { feed <- []affinity.Route{route("a", "/")} })
		step("s04@b/ s05@b/", func() { feed <- []affinity.Route{route("b", "/")} }) // back under their names
		e.Do(affinity.Command{Kind: affinity.CommandReprobe, Session: "s04"})
		time.Sleep(time.Second)
		synctest.Wait()
		if len(p.done) != 1 || p.done[0].Session != "s04" {
			t.Errorf("commands passed on: %+v", p.done)
		}
		cancel()
		<-done
	})
}

// TestErrorPagesAreTold: the prober learns who got an error page that nothing
// shows a pod behind, and when that is over.
func TestErrorPagesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &prober{}
		route := affinity.Route{ID: "a", Kind: affinity.RouteURL, URL: "http://127.0.0.1:1/"}
		status := make(chan int)
		e := New(Options{Frames: 10, Budget: affinity.Budget{PerRoute: 1}}, p, scripted(func(ctx context.Context, emit func(affinity.Event)) error {
			emit(affinity.Routes{Source: "url", Routes: []affinity.Route{route}})
			emit(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: "a"}})
			for code := range status {
				emit(affinity.Observed{Session: "s01", Status: code})
			}
			<-ctx.Done()
			return nil
		}))
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		for _, want := range []struct {
			status   int
			faceless bool
		}{{200, false}, {404, true}, {404, true}, {200, false}} {
			status <- want.status
			time.Sleep(time.Second)
			p.mu.Lock()
			if got := p.plans[len(p.plans)-1].Faceless["s01"]; got != want.faceless {
				t.Errorf("after %d: faceless %v, want %v", want.status, got, want.faceless)
			}
			p.mu.Unlock()
		}
		if n := len(p.plans); n != 3 {
			t.Errorf("%d plans, want the first and one for each change", n)
		}
		close(status)
		cancel()
		<-done
	})
}
