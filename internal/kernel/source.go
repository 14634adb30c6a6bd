package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// SourceName is the kernel's among the sources of a snapshot.
const SourceName = "kernel"

// Options say what to read.
type Options struct {
	// Node is the name of this machine in what is shown.
	Node string
	// Objects returns what the cluster's objects say now: the Services and
	// endpoints whose lists are read.
	Objects func() *affinity.Snapshot
	// Interval between two readings; 0 for a second.
	Interval time.Duration
	// Remote reads another machine in place of this one; nil for this one.
	Remote Remote
	// Name is the source's among those of a snapshot; "" for SourceName.
	Name string
}

// Source reads the tables of this machine again and again, and emits what
// changed. It runs once.
type Source struct {
	opts   Options
	reader *Reader
	mirror mirror // of a Remote
	last   world
	status affinity.SourceStatus
}

// New returns a Source of this machine.
func New(o Options) *Source {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Name == "" {
		o.Name = SourceName
	}
	return &Source{opts: o, reader: NewReader()}
}

// Run reads until ctx ends. That the tables cannot be read is a state, and no
// error.
func (s *Source) Run(ctx context.Context, emit func(affinity.Event)) error {
	defer s.reader.Close()
	tick := time.NewTicker(s.opts.Interval)
	defer tick.Stop()
	s.say(emit, affinity.SourceSyncing, "waits for the Services and their endpoints", 0)
	for {
		s.step(ctx, emit)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// step is one reading.
func (s *Source) step(ctx context.Context, emit func(affinity.Event)) {
	objects := s.opts.Objects()
	if state, why := ready(objects); state != affinity.SourceLive {
		s.say(emit, state, why, len(s.last.pins))
		return
	}
	want := expect(objects)
	n, err := s.read(ctx, want)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, ErrNotAllowed):
		s.forget(emit)
		s.say(emit, affinity.SourceForbidden, err.Error(), 0)
		return
	case errors.Is(err, ErrNoProxy), errors.Is(err, ErrUnsupported):
		s.forget(emit)
		s.say(emit, affinity.SourceAbsent, err.Error(), 0)
		return
	case err != nil:
		s.say(emit, affinity.SourceStale, err.Error(), len(s.last.pins))
		return
	}
	now := s.reader.interpret(n, want, s.opts.Node)
	put, gone := difference(s.last, now, s.opts.Node, n.at)
	changed := len(put) > 0 || len(gone) > 0 || !sameLists(s.last.lists, now.lists)
	s.last = now
	if changed {
		emit(affinity.AddressPinsChanged{Node: s.opts.Node, Put: put, Gone: gone, Lists: now.lists})
	}
	s.say(emit, affinity.SourceLive, describe(n, now, s.reader.clock), len(now.pins))
}

// forget ends every pin: the tables are not read any more.
func (s *Source) forget(emit func(affinity.Event)) {
	if len(s.last.pins) == 0 && len(s.last.lists) == 0 {
		return
	}
	at := time.Now()
	e := affinity.AddressPinsChanged{Node: s.opts.Node}
	for _, p := range s.last.pins {
		e.Gone = append(e.Gone, affinity.AddressEnd{AddressPin: *p, At: at, Reason: affinity.AddressEndUnread})
	}
	s.last = world{}
	emit(e)
}

// say emits the source's state when it is news.
func (s *Source) say(emit func(affinity.Event), state affinity.SourceState, detail string, pins int) {
	detail = affinity.Clean(detail, 300)
	if s.status.Name != "" && s.status.State == state && s.status.Detail == detail && s.status.Objects == pins {
		return
	}
	since := s.status.Since
	if s.status.State != state || since.IsZero() {
		since = time.Now()
	}
	s.status = affinity.SourceStatus{Name: s.opts.Name, State: state, Since: since, Objects: pins, Detail: detail}
	emit(affinity.SourceChanged{Status: s.status})
}

// needed are the resources that the names of lists are computed from.
var needed = []string{"services", "endpointslices"}

// ready reports whether the objects are known; SourceLive when they are.
func ready(s *affinity.Snapshot) (affinity.SourceState, string) {
	found := 0
	for _, src := range s.Sources {
		if !slices.Contains(needed, src.Name) {
			continue
		}
		found++
		switch src.State {
		case affinity.SourceSyncing:
			return affinity.SourceSyncing, "waits for " + src.Name
		case affinity.SourceForbidden, affinity.SourceAbsent, affinity.SourceOff:
			return affinity.SourceForbidden, "without " + src.Name + " the names of the node's lists cannot be computed: " + src.Detail
		}
	}
	if found < len(needed) {
		return affinity.SourceSyncing, "waits for the Services and their endpoints"
	}
	return affinity.SourceLive, ""
}

func describe(n reading, w world, c clock) string {
	text := fmt.Sprintf("%s: %d lists", n.mode, len(w.lists))
	if n.unknown > 0 {
		text += fmt.Sprintf(", %d more of endpoints that are not watched", n.unknown)
	}
	switch {
	case n.mode != ModeIPTables:
	case w.noClock:
		text += "; deadlines unknown: neither /proc/timer_list, /proc/config.gz nor an entry tells HZ"
	case !c.exact:
		text += fmt.Sprintf("; times by HZ %d, up to a second early", c.hz)
	}
	if w.cut {
		text += "; there are more entries than are read"
	}
	return text
}

// sameLists compares without regard to order.
func sameLists(x, y []affinity.AddressList) bool {
	if len(x) != len(y) {
		return false
	}
	byName := make(map[string]affinity.AddressList, len(x))
	for _, l := range x {
		byName[l.Name+" "+l.Endpoint+" "+l.Service.String()+" "+l.PortName] = l
	}
	for _, l := range y {
		if byName[l.Name+" "+l.Endpoint+" "+l.Service.String()+" "+l.PortName] != l {
			return false
		}
	}
	return true
}
