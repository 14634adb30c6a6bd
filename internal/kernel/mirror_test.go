package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// frame is one reading as a node would send it, through the wire's own form.
func (f *Feed) frame(t testing.TB, n reading) Frame {
	t.Helper()
	f.seq++
	out := Frame{Seq: f.seq, Full: f.sent == nil, Mode: n.mode, Uptime: n.uptime, Unknown: n.unknown}
	f.difference(&out, n)
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var back Frame
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestMirror makes a node's tables change at random, three hundred times, and
// compares what the changes add up to with the tables.
func TestMirror(t *testing.T) {
	for _, mode := range []Mode{ModeNFTables, ModeIPTables, ModeIPVS} {
		t.Run(string(mode), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			feed, m := &Feed{reader: &Reader{}}, &mirror{}
			at, uptime := time.Now(), 1000*time.Second
			lists := map[string]List{}
			for range 300 {
				uptime += time.Second
				at = at.Add(time.Second)
				change(r, lists, mode, uptime)
				n := reading{mode: mode, at: at, uptime: uptime, unknown: r.IntN(3)}
				for _, l := range lists {
					n.lists = append(n.lists, l)
				}
				got, _, err := m.apply(feed.frame(t, n), at)
				if err != nil {
					t.Fatal(err)
				}
				byName := cmpopts.SortSlices(func(a, b List) bool { return a.Name < b.Name })
				byClient := cmpopts.SortSlices(func(a, b Entry) bool { return a.Client.String()+a.tie().Endpoint < b.Client.String()+b.tie().Endpoint })
				near := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < jitter })
				addresses := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
				ties := cmp.Comparer(func(a, b unique.Handle[Tie]) bool { return a == b })
				if diff := cmp.Diff(n, got, cmp.AllowUnexported(reading{}, Entry{}), byName, byClient, near, addresses, ties, cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("the tables (-) and their mirror (+):\n%s", diff)
				}
				for name, l := range lists { // what is left goes down
					for i := range l.Entries {
						l.Entries[i].Left = max(0, l.Entries[i].Left-time.Second-time.Duration(r.IntN(20)-10)*time.Millisecond)
					}
					lists[name] = l
				}
			}
		})
	}
}

func change(r *rand.Rand, lists map[string]List, mode Mode, uptime time.Duration) {
	name := fmt.Sprintf("list-%d", r.IntN(5))
	switch l, ok := lists[name]; {
	case ok && r.IntN(20) == 0:
		delete(lists, name)
	case ok && len(l.Entries) > 0 && r.IntN(3) == 0:
		i := r.IntN(len(l.Entries))
		l.Entries = append(l.Entries[:i:i], l.Entries[i+1:]...)
		lists[name] = l
	default:
		l.Name, l.Timeout, l.Limit = name, time.Duration(60+r.IntN(2))*time.Second, 100
		e := Entry{Client: netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(250))}), Left: 60 * time.Second}
		switch mode {
		case ModeIPTables:
			l.Timeout = 0
			e.Left, e.Seen = 0, uint64(formula(250, uptime))
			e.Stamps = []uint64{e.Seen}
		case ModeIPVS:
			e.via = tie(Tie{Endpoint: fmt.Sprintf("10.244.0.%d:80", r.IntN(3)), Front: "10.96.0.1:80", Protocol: "TCP"})
		}
		for i, old := range l.Entries {
			if old.Client == e.Client && old.tie().Endpoint == e.tie().Endpoint {
				l.Entries = append(l.Entries[:i:i], l.Entries[i+1:]...)
				break
			}
		}
		l.Entries = append(l.Entries[:len(l.Entries):len(l.Entries)], e)
		lists[name] = l
	}
}

// TestFrameIsAChange: of a large table in which nothing happens, nothing is sent.
func TestFrameIsAChange(t *testing.T) {
	feed := &Feed{reader: &Reader{}}
	n := reading{mode: ModeNFTables, uptime: 1000 * time.Second, lists: []List{{Name: "s"}}}
	for i := range 10_000 {
		n.lists[0].Entries = append(n.lists[0].Entries, Entry{Client: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Left: 3 * time.Hour})
	}
	if f := feed.frame(t, n); !f.Full || len(f.Lists) != 1 || len(f.Lists[0].Put) != 10_000 {
		t.Fatalf("the first frame is full: %v", f.Full)
	}
	n.uptime += time.Second
	for i := range n.lists[0].Entries {
		n.lists[0].Entries[i].Left -= time.Second
	}
	if f := feed.frame(t, n); len(f.Lists) != 0 {
		t.Errorf("a second later %d entries are sent again", len(f.Lists[0].Put))
	}
	n.lists[0].Entries[7].Left = 3 * time.Hour
	if f := feed.frame(t, n); len(f.Lists) != 1 || len(f.Lists[0].Put) != 1 {
		t.Errorf("one renewed entry: %+v", f.Lists)
	}
}

func TestMirrorFaults(t *testing.T) {
	m := &mirror{}
	for fault, want := range faults {
		if _, _, err := m.apply(Frame{Seq: 1, Full: true, Fault: fault}, time.Now()); !errors.Is(err, want) {
			t.Errorf("%s: %v", fault, err)
		}
	}
	if _, _, err := m.apply(Frame{Seq: 1, Full: true, Fault: "new", Text: "red\x1b[31m"}, time.Now()); err == nil || strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("an unknown fault: %v", err)
	}
	if _, _, err := m.apply(Frame{Seq: 7, Mode: ModeNFTables}, time.Now()); !errors.Is(err, ErrOutOfStep) {
		t.Errorf("a change to nothing: %v", err)
	}
	if _, _, err := m.apply(Frame{Seq: 7, Full: true, Mode: "ebpf"}, time.Now()); err == nil {
		t.Error("an unknown mode was taken")
	}
}

// TestRemoteSource runs a Source on a node that is elsewhere: its pins arrive,
// its silence is a state.
func TestRemoteSource(t *testing.T) {
	var st affinity.State
	now := time.Now()
	st.Apply(affinity.ServiceChanged{Service: affinity.Service{Ref: svc5, ClusterIP: "10.96.0.1", Ports: []affinity.ServicePort{{Name: "p80", Port: 80, Protocol: "TCP"}},
		Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP, Timeout: 20 * time.Second}}}, now)
	st.Apply(affinity.EndpointsChanged{Service: svc5, Endpoints: []affinity.Endpoint{{Addr: "10.180.0.3:80", PortName: "p80", Ready: true}}}, now)
	for _, name := range needed {
		st.Apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceLive}}, now)
	}
	feed := &Feed{reader: &Reader{}}
	calls := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := New(Options{Node: "node7", Name: "kernel/node7", Interval: time.Millisecond, Objects: func() *affinity.Snapshot { return st.Snapshot(now) },
		Remote: func(_ context.Context, names Names, since uint64) (Frame, time.Time, error) {
			switch calls++; calls {
			case 1:
				if len(names.Sets) != 1 || len(names.Recent) != 1 || since != 0 {
					t.Errorf("asked for %+v since %d", names, since)
				}
				return feed.frame(t, reading{mode: ModeNFTables, uptime: time.Hour, lists: []List{{Name: names.Sets[0], Timeout: 20 * time.Second,
					Entries: []Entry{{Client: netip.MustParseAddr("10.9.0.2"), Left: 15 * time.Second}}}}}), now, nil
			case 2:
				return Frame{}, now, errors.New("the agent does not answer")
			}
			return Frame{Seq: 1, Full: true, Fault: FaultNotAllowed}, now, nil
		}})
	var states []affinity.SourceState
	if err := s.Run(ctx, func(e affinity.Event) {
		if c, ok := e.(affinity.SourceChanged); ok && c.Status.Name == "kernel/node7" {
			states = append(states, c.Status.State)
			if c.Status.State == affinity.SourceForbidden {
				cancel()
			}
		}
		st.Apply(e, now)
	}); err != nil {
		t.Fatal(err)
	}
	want := []affinity.SourceState{affinity.SourceSyncing, affinity.SourceLive, affinity.SourceStale, affinity.SourceForbidden}
	if !cmp.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	snap := st.Snapshot(now)
	if len(snap.AddressEnds) != 1 || snap.AddressEnds[0].Node != "node7" || snap.AddressEnds[0].Reason != affinity.AddressEndUnread || snap.AddressEnds[0].Expires.Sub(now) != 15*time.Second {
		t.Errorf("ended: %+v", snap.AddressEnds)
	}
}

func FuzzMirror(f *testing.F) {
	f.Add(`{"seq":1,"full":true,"mode":"nftables","uptime":5,"lists":[{"name":"x","put":[{"c":"10.0.0.1","x":9}]}]}`, `{"seq":2,"mode":"nftables","lists":[{"name":"x","gone":[{"c":"10.0.0.1"}]}],"gone":["y"]}`)
	f.Add(`{"seq":1,"full":true,"mode":"iptables","hz":250,"lists":[{"name":"x","put":[{"c":"::1","s":4295164414,"r":[1,2]}]}]}`, `{"fault":"changing"}`)
	f.Fuzz(func(t *testing.T, one, two string) {
		m := &mirror{}
		for _, text := range []string{one, two} {
			var frame Frame
			if json.Unmarshal([]byte(text), &frame) != nil {
				return
			}
			n, c, err := m.apply(frame, time.Unix(0, 0))
			for _, l := range n.lists {
				for _, e := range l.Entries {
					if err != nil || !e.Client.IsValid() || e.Left < 0 {
						t.Errorf("%v: %+v", err, e)
					}
				}
			}
			want, _, _ := fixture(time.Minute)
			newLedger("node1").take(n, want, &c)
		}
	})
}

// TestTableGone: a family's missing table is no empty one. Its pins end unread,
// the other family's stay, and the source says which table is missing.
func TestTableGone(t *testing.T) {
	var st affinity.State
	now := time.Now()
	st.Apply(affinity.ServiceChanged{Service: affinity.Service{Ref: svc5, ClusterIP: "10.96.0.1", Ports: []affinity.ServicePort{{Name: "p80", Port: 80, Protocol: "TCP"}},
		Policy: affinity.Policy{Mechanism: affinity.MechanismClientIP, Timeout: time.Minute}}}, now)
	four, six := "10.180.0.3:80", "[fd00:10:180::3]:80"
	var endpoints []affinity.Endpoint
	for _, a := range []string{four, six} {
		endpoints = append(endpoints, affinity.Endpoint{Addr: a, PortName: "p80", Ready: true, Pod: affinity.PodRef{Namespace: "ns5", Name: "pod"}})
	}
	st.Apply(affinity.EndpointsChanged{Service: svc5, Endpoints: endpoints}, now)
	for _, name := range needed {
		st.Apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceLive}}, now)
	}
	snap := st.Snapshot(now)
	list := func(addr, client string) ListFrame {
		return ListFrame{Name: setName(svc5, "p80", "TCP", addr), Timeout: time.Minute, Limit: 65535,
			Put: []EntryFrame{{EntryKey: EntryKey{Client: netip.MustParseAddr(client)}, End: 1030 * time.Second}}}
	}
	var frames []Frame
	s := New(Options{Node: "node1", Objects: func() *affinity.Snapshot { return snap }, Remote: func(context.Context, Names, uint64) (Frame, time.Time, error) {
		f := frames[0]
		frames = frames[1:]
		return f, now, nil
	}})
	var status affinity.SourceStatus
	ends := map[string]affinity.AddressEndReason{}
	step := func(f Frame) {
		f.Mode, f.Uptime = ModeNFTables, 1000*time.Second
		frames = append(frames, f)
		s.step(context.Background(), func(e affinity.Event) {
			switch e := e.(type) {
			case affinity.SourceChanged:
				status = e.Status
			case affinity.AddressPinsChanged:
				for _, g := range e.Gone {
					ends[g.Endpoint] = g.Reason
				}
			}
		})
	}
	step(Frame{Seq: 1, Full: true, Lists: []ListFrame{list(four, "10.9.0.2"), list(six, "fd00:9::2")}})
	if status.State != affinity.SourceLive || status.Objects != 2 {
		t.Fatalf("%+v", status)
	}
	step(Frame{Seq: 2, Absent: []string{affinity.IPv4}, Gone: []string{setName(svc5, "p80", "TCP", four)}})
	if status.State != affinity.SourceAbsent || !strings.Contains(status.Detail, "no nftables table ip kube-proxy on node1") || status.Objects != 1 {
		t.Errorf("%+v", status)
	}
	if len(ends) != 1 || ends[four] != affinity.AddressEndUnread {
		t.Errorf("ended: %v", ends)
	}
	step(Frame{Seq: 3, Lists: []ListFrame{list(four, "10.9.0.2")}})
	if status.State != affinity.SourceLive || status.Objects != 2 {
		t.Errorf("the table is back: %+v", status)
	}
	for _, fault := range []Fault{FaultNoProxy, FaultNotAllowed, FaultMaps, FaultUnsupported} {
		step(Frame{Seq: 4, Full: true, Fault: fault})
		if d := status.Detail; !strings.Contains(d, "node1") || strings.Contains(d, "here,") || strings.Contains(d, "here:") || strings.Contains(d, "run ") {
			t.Errorf("of another machine: %s", d)
		}
	}
}

// TestFirstReading: the tables are read as soon as the objects are there, not a
// whole interval later.
func TestFirstReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var st affinity.State
		var snap atomic.Pointer[affinity.Snapshot]
		snap.Store(st.Snapshot(time.Now()))
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := New(Options{Node: "node1", Objects: snap.Load, Remote: func(context.Context, Names, uint64) (Frame, time.Time, error) {
			return Frame{Seq: 1, Full: true, Mode: ModeNFTables}, time.Now(), nil
		}})
		time.AfterFunc(300*time.Millisecond, func() {
			for _, name := range needed {
				st.Apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceLive}}, time.Now())
			}
			snap.Store(st.Snapshot(time.Now()))
		})
		var read time.Duration
		_ = s.Run(ctx, func(e affinity.Event) {
			if e, ok := e.(affinity.SourceChanged); ok && e.Status.State == affinity.SourceLive {
				read = time.Since(began)
				cancel()
			}
		})
		if read > 400*time.Millisecond {
			t.Errorf("read first after %s", read)
		}
	})
}
