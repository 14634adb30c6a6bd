package kernel

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
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
	ledger *ledger
	want   *expected // of objects
	of     signature
	told   []affinity.AddressList
	mode   Mode // that was told
	status affinity.SourceStatus
	last   time.Time // of the last reading
}

// New returns a Source of this machine.
func New(o Options) *Source {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Name == "" {
		o.Name = SourceName
	}
	return &Source{opts: o, reader: NewReader(), ledger: newLedger(o.Node)}
}

// Run reads until ctx ends. That the tables cannot be read is a state, and no
// error.
func (s *Source) Run(ctx context.Context, emit func(affinity.Event)) error {
	defer s.reader.Close()
	runtime.LockOSThread() // whose time is counted
	defer runtime.UnlockOSThread()
	s.say(emit, affinity.SourceSyncing, "waits for the Services and their endpoints", 0)
	for {
		began, used := time.Now(), threadTime()
		s.step(ctx, emit)
		interval := s.opts.Interval
		if s.status.State == affinity.SourceSyncing {
			interval = min(interval, soon) // nothing was read
		}
		pause := max(interval, budget(threadTime()-used)) - time.Since(began)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(pause, 0)):
		}
	}
}

// A reading that takes 10 ms of a core is followed by the next after share
// times that, so that the reader stays under 1 % of it; but after slowest at
// the latest.
const (
	share   = 100
	slowest = 8 * time.Second // an agent's answer has to come in time

	soon = 50 * time.Millisecond // until the objects are there to read for
)

// budget is how long after the beginning of a reading the next may begin, when
// that one took so much of a core.
func budget(cost time.Duration) time.Duration { return min(share*cost, slowest) }

// step is one reading.
func (s *Source) step(ctx context.Context, emit func(affinity.Event)) {
	objects := s.opts.Objects()
	if state, why := ready(objects); state != affinity.SourceLive {
		s.say(emit, state, why, s.ledger.pins)
		return
	}
	if of := sign(objects); s.want == nil || !slices.Equal(of, s.of) {
		s.want, s.of = expect(objects), of
	}
	n, err := s.read(ctx, s.want)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, ErrNotAllowed), errors.Is(err, ErrMapsNotAllowed):
		s.forget(emit)
		s.say(emit, affinity.SourceForbidden, s.text(err), 0)
		return
	case errors.Is(err, ErrNoProxy), errors.Is(err, ErrUnsupported):
		s.forget(emit)
		s.say(emit, affinity.SourceAbsent, s.text(err), 0)
		return
	case err != nil:
		s.say(emit, affinity.SourceStale, err.Error(), s.ledger.pins)
		return
	}
	put, gone, lists := s.ledger.take(n, s.want, &s.reader.clock)
	if len(put) > 0 || len(gone) > 0 || !slices.Equal(lists, s.told) || s.mode != n.mode {
		s.told, s.mode = lists, n.mode
		emit(affinity.AddressPinsChanged{Node: s.opts.Node, Mode: string(n.mode), Put: put, Gone: gone, Lists: lists})
	}
	if lost := s.want.without(n.absent); len(lost) > 0 {
		s.say(emit, affinity.SourceAbsent, tableGone(lost, s.where())+"; "+describe(n, s.ledger, s.reader.clock), s.ledger.pins)
		return
	}
	text := describe(n, s.ledger, s.reader.clock)
	if gap := n.at.Sub(s.last).Round(time.Second); !s.last.IsZero() && gap > s.opts.Interval.Round(time.Second) {
		text += fmt.Sprintf("; read every %s, so that it costs no more than 1 %% of a core", gap)
	}
	s.last = n.at
	s.say(emit, affinity.SourceLive, text, s.ledger.pins)
}

// where is the machine that is read, in a sentence.
func (s *Source) where() string {
	if s.opts.Remote == nil {
		return "here"
	}
	return "on " + s.opts.Node
}

// text is an error of a reading in words that fit the machine that is read: a
// user can start the program on another, an agent cannot be.
func (s *Source) text(err error) string {
	if s.opts.Remote == nil {
		return err.Error()
	}
	switch {
	case errors.Is(err, ErrNoProxy):
		return noProxy(s.where()) + ". " + notRead
	case errors.Is(err, ErrNotAllowed):
		return "reading nftables " + s.where() + " needs CAP_NET_ADMIN, which the agent there was not given"
	case errors.Is(err, ErrMapsNotAllowed):
		return "reading Cilium's maps " + s.where() + " needs root, with CAP_BPF where the kernel asks for it, which the agent there was not given"
	case errors.Is(err, ErrUnsupported):
		return "kube-proxy's tables are those of a Linux node, and " + s.opts.Node + " is none"
	}
	return err.Error()
}

// forget ends every pin: the tables are not read any more.
func (s *Source) forget(emit func(affinity.Event)) {
	if s.ledger.pins == 0 && len(s.told) == 0 && s.mode == "" {
		return
	}
	at := time.Now()
	e := affinity.AddressPinsChanged{Node: s.opts.Node}
	for _, p := range s.ledger.all() {
		e.Gone = append(e.Gone, affinity.AddressEnd{AddressPin: p, At: at, Reason: affinity.AddressEndUnread})
	}
	s.ledger, s.told = newLedger(s.opts.Node), nil
	s.mode = ""
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

// tableGone says that a family's table is not there, though Services are.
func tableGone(families []string, where string) string {
	var tables []string
	for _, f := range families {
		tables = append(tables, "no nftables table "+nftFamilies[f]+" kube-proxy "+where+", which holds the pins of "+f+" Services")
	}
	return strings.Join(tables, ", ") + ": is kube-proxy running?"
}

// nftFamilies are nft's words for them.
var nftFamilies = map[string]string{affinity.IPv4: "ip", affinity.IPv6: "ip6"}

func describe(n reading, w *ledger, c clock) string {
	text := fmt.Sprintf("%s: %d lists", n.mode, len(w.lists))
	if n.mode == ModeCilium {
		text = fmt.Sprintf("%s: pins to %d endpoints", n.mode, len(w.lists))
		if n.others > 0 {
			text += fmt.Sprintf(", %d more by pods of this node, which it keeps by network namespace", n.others)
		}
		if n.unknown > 0 {
			text += fmt.Sprintf(", %d that nothing explains", n.unknown)
		}
	} else if n.unknown > 0 {
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
