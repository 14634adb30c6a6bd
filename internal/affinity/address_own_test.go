package affinity

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// ownWorld is a Service with ClientIP affinity on two pods, and the route that
// leads to it past any ingress.
func ownWorld() (*State, func(Event, time.Duration)) {
	var st State
	at := func(e Event, after time.Duration) { st.Apply(e, tNow.Add(after)) }
	ref := ServiceRef{"msgapp", "echo"}
	policy := Policy{Mechanism: MechanismClientIP, Timeout: time.Minute, Renewal: RenewalSliding}
	at(ServiceChanged{Service{Ref: ref, ClusterIP: "10.96.0.9", Ports: []ServicePort{{"http", 80, "TCP"}}, Policy: policy}}, 0)
	var eps []Endpoint
	for _, n := range []string{"a", "b"} {
		ip := "10.244.1." + map[string]string{"a": "2", "b": "3"}[n]
		at(PodChanged{Pod{Ref: PodRef{"msgapp", "echo-" + n}, IP: ip, HostIP: "172.30.0.12", Node: "node2", Ready: true}}, 0)
		eps = append(eps, Endpoint{Addr: ip + ":8080", IP: ip, PortName: "http", Pod: PodRef{"msgapp", "echo-" + n}, Ready: true, Serving: true})
	}
	at(EndpointsChanged{Service: ref, Endpoints: eps}, 0)
	at(Routes{Source: "direct", Routes: []Route{{ID: "r", Kind: RouteService, Namespace: "msgapp", Name: "echo", Backend: Backend{Service: ref, Port: "80", PortName: "http"},
		Layers: []Layer{{Where: LayerService, Candidates: []Policy{policy}}}}}}, 0)
	return &st, at
}

func spec(id, ip string) SessionOpened {
	return SessionOpened{SessionSpec{ID: SessionID(id), Route: "r", Transport: "http", From: netip.MustParseAddr(ip), Node: "node2"}}
}

func came(id, pod string) Observed {
	o := Observed{Session: SessionID(id), Status: 200, Remote: "10.96.0.9:80"}
	if pod != "" {
		o.Answer.Header = []Field{{"X-Pod-Name", pod}}
	}
	return o
}

func (st *State) onlyPin(t *testing.T, after time.Duration) *AddressPin {
	t.Helper()
	s := st.Snapshot(tNow.Add(after))
	if len(s.AddressPins) != 1 {
		t.Fatalf("%d pins at %s, want 1: %+v", len(s.AddressPins), after, s.AddressPins)
	}
	return s.AddressPins[0]
}

func TestDerivedPin(t *testing.T) {
	st, at := ownWorld()
	at(spec("s01", "172.30.0.101"), 0)
	o := came("s01", "echo-a")
	o.Took = 200 * time.Millisecond
	at(o, time.Second)
	p := st.onlyPin(t, time.Second)
	if p.Source != DeadlineAssumed || p.Note == "" || p.Node != "node2" || p.Pod.Name != "echo-a" || !p.Expires.Equal(tNow.Add(60800*time.Millisecond)) {
		t.Errorf("the mode is not known: %+v", p)
	}
	at(DataplaneDetected{Node: "node2", Dataplane: Dataplane{Mode: "nftables"}}, 2*time.Second)
	at(came("s01", "echo-a"), 10*time.Second)
	p = st.onlyPin(t, 10*time.Second)
	if p.Source != DeadlineDerived || p.Note != "" || !p.Expires.Equal(tNow.Add(70*time.Second)) || !p.Since.Equal(tNow.Add(800*time.Millisecond)) {
		t.Errorf("a new connection: %+v", p)
	}
	timer, ok := st.Snapshot(tNow.Add(11 * time.Second)).Session("s01").Fuse(tNow.Add(11 * time.Second))
	if !ok || timer.Letter != 'I' || !timer.Deadline.Equal(p.Expires) || timer.Seen || timer.Renewal != RenewalSliding {
		t.Errorf("fuse %+v", timer)
	}
	// Moved before its time: why is not known.
	at(came("s01", "echo-b"), 20*time.Second)
	if p = st.onlyPin(t, 20*time.Second); p.Pod.Name != "echo-b" || !p.Since.Equal(tNow.Add(20*time.Second)) {
		t.Errorf("moved: %+v", p)
	}
	s := st.Snapshot(tNow.Add(81 * time.Second))
	if len(s.AddressPins) != 0 || len(s.AddressEnds) != 2 || s.AddressEnds[0].Reason != AddressEndUnknown || s.AddressEnds[1].Reason != AddressEndExpired {
		t.Errorf("after its time: %+v, ended %+v", s.AddressPins, s.AddressEnds)
	}
	// A failure, and an answer of nobody known, say nothing.
	at(Observed{Session: "s01", Remote: "10.96.0.9:80", Failure: &Failure{Text: "no"}}, 82*time.Second)
	at(came("s01", ""), 83*time.Second)
	if s := st.Snapshot(tNow.Add(83 * time.Second)); len(s.AddressPins) != 0 {
		t.Errorf("%+v", s.AddressPins[0])
	}
}

func TestPinThroughAnotherNode(t *testing.T) {
	st, at := ownWorld()
	at(PodChanged{Pod{Ref: PodRef{"x", "y"}, HostIP: "172.30.0.11", Node: "node1"}}, 0)
	at(spec("s01", "172.30.0.101"), 0)
	o := came("s01", "echo-a")
	o.Remote = "172.30.0.11:30080"
	at(o, time.Second)
	if p := st.onlyPin(t, time.Second); p.Node != "node1" {
		t.Errorf("on %q", p.Node)
	}
}

// TestKernelTellsOwnPins: where the tables are read, they speak, also for a
// session whose answers name no pod.
func TestKernelTellsOwnPins(t *testing.T) {
	st, at := ownWorld()
	at(spec("s01", "172.30.0.101"), 0)
	at(spec("s02", "172.30.0.102"), 0)
	at(came("s01", "echo-a"), time.Second)
	at(came("s02", ""), time.Second)
	key := st.onlyPin(t, time.Second).AddressKey
	pin := AddressPin{AddressKey: key, Pod: PodRef{"msgapp", "echo-a"}, Timeout: time.Minute, Expires: tNow.Add(50 * time.Second), Source: DeadlineKernel, Renewal: RenewalSliding}
	two := pin
	two.Client, two.Endpoint, two.Pod = netip.MustParseAddr("172.30.0.102"), "10.244.1.3:8080", PodRef{"msgapp", "echo-b"}
	at(AddressPinsChanged{Node: "node2", Put: []AddressPin{pin, two}, Lists: []AddressList{{Node: "node2", Service: key.Service, Mode: "iptables"}}}, 2*time.Second)
	s := st.Snapshot(tNow.Add(2 * time.Second))
	if len(s.AddressPins) != 2 || s.AddressPins[0].Source != DeadlineKernel || s.AddressPins[1].Source != DeadlineKernel {
		t.Fatalf("%+v %+v", s.AddressPins[0], s.AddressPins[1])
	}
	if x := s.Session("s02"); x.Pod.Name != "echo-b" || x.Via != SourceKernel {
		t.Errorf("s02 is on %v by %v", x.Pod, x.Via)
	}
	at(came("s01", "echo-a"), 3*time.Second)
	at(came("s02", ""), 3*time.Second)
	s = st.Snapshot(tNow.Add(3 * time.Second))
	if p := s.AddressPins[0]; p.Source != DeadlineKernel || !p.Expires.Equal(pin.Expires) {
		t.Errorf("our connection took the word from the kernel: %+v", p)
	}
	x := s.Session("s02")
	if c, _ := x.Condition(s.At); x.Via != SourceKernel || c != Stuck {
		t.Errorf("s02 is %v by %v", c, x.Via)
	}
	if f, ok := x.Fuse(s.At); !ok || !f.Seen {
		t.Errorf("fuse %+v", f)
	}
}

func TestPlanFromAddresses(t *testing.T) {
	from := []netip.Addr{netip.MustParseAddr("127.0.0.5"), netip.MustParseAddr("127.0.0.6")}
	direct, viaIngress := Route{ID: "svc", Kind: RouteService, Backend: Backend{Service: ServiceRef{"n", "echo"}}}, Route{ID: "ing", Kind: RouteIngress, Backend: Backend{Service: ServiceRef{"n", "echo"}}}
	target := Target{Kind: "service", Name: "echo", Direct: true}
	if !target.Matches(direct) || target.Matches(viaIngress) {
		t.Error("a Service that is asked itself is not the routes that lead to it")
	}
	plan := MakePlan(nil, []Route{direct}, Budget{PerRoute: 6, Max: 500, From: from, Node: "node2"})
	if len(plan.Sessions) != 2 || plan.Sessions[0].From != from[0] || plan.Sessions[1].From != from[1] || plan.Sessions[0].Node != "node2" {
		t.Errorf("%+v", plan.Sessions)
	}
}

// TestDerivedPinOfTCP: a connection that names nobody is a pin all the same, of
// a pod that is not known, until the tables tell.
func TestDerivedPinOfTCP(t *testing.T) {
	st, at := ownWorld()
	at(DataplaneDetected{Dataplane: Dataplane{Mode: "nftables", Why: "configmap"}}, 0)
	s := spec("s01", "172.30.0.101")
	s.Spec.Transport = "tcp"
	at(s, 0)
	at(came("s01", ""), time.Second)
	p := st.onlyPin(t, time.Second)
	if p.Source != DeadlineDerived || p.Endpoint != "" || !p.Pod.IsZero() || p.Note != namesNone || !p.Expires.Equal(tNow.Add(61*time.Second)) {
		t.Errorf("%+v", p)
	}
	x := st.Snapshot(tNow.Add(time.Second)).Session("s01")
	if timer, ok := x.Fuse(tNow.Add(time.Second)); !ok || !timer.Deadline.Equal(p.Expires) {
		t.Errorf("fuse %+v", timer)
	}
	if _, detail := x.Condition(tNow.Add(time.Second)); !strings.Contains(detail, "TCP") || !strings.Contains(detail, "--kernel") {
		t.Errorf("detail %q", detail)
	}
	o := came("s01", "") // by an address that may be anybody's
	o.Remote = "172.30.0.12:30080"
	at(o, 2*time.Second)
	if p = st.onlyPin(t, 2*time.Second); p.Source != DeadlineAssumed || !strings.Contains(p.Note, "172.30.0.12:30080 leads to the Service") || !p.Since.Equal(tNow.Add(time.Second)) {
		t.Errorf("%+v", p)
	}
	read := AddressPin{AddressKey: p.AddressKey, Pod: PodRef{"msgapp", "echo-b"}, Expires: tNow.Add(62 * time.Second), Timeout: time.Minute, Source: DeadlineKernel}
	read.Endpoint = "10.244.1.3:8080"
	at(AddressPinsChanged{Node: "node2", Put: []AddressPin{read}, Lists: []AddressList{{Node: "node2", Service: p.Service, Mode: "nftables"}}}, 3*time.Second)
	if p = st.onlyPin(t, 3*time.Second); p.Source != DeadlineKernel || p.Pod.Name != "echo-b" {
		t.Errorf("the tables tell: %+v", p)
	}
}

// TestPinBeforeNodes: one client has one pin on the node that it meets, also
// where its first connection came before it was known which nodes there are.
func TestPinBeforeNodes(t *testing.T) {
	for name, listing := range map[string]bool{"pods are being listed": true, "nodes come with a later pod": false} {
		for _, transport := range []string{"tcp", "http"} {
			t.Run(name+", "+transport, func(t *testing.T) {
				var st State
				at := func(e Event, after time.Duration) { st.Apply(e, tNow.Add(after)) }
				if listing {
					at(SourceChanged{SourceStatus{Name: "pods", State: SourceSyncing}}, 0)
				}
				ref := ServiceRef{"msgapp", "echo"}
				turn(at, true, 0)
				at(EndpointsChanged{Service: ref, Endpoints: []Endpoint{{Addr: "10.244.1.2:8080", IP: "10.244.1.2", PortName: "http", Pod: PodRef{"msgapp", "echo-a"}, Ready: true, Serving: true}}}, 0)
				s := spec("s01", "172.30.0.101")
				s.Spec.Transport = transport
				at(s, 0)
				pod := "echo-a"
				if transport == "tcp" {
					pod = ""
				}
				at(came("s01", pod), time.Second)
				if n := len(st.Snapshot(tNow.Add(time.Second)).AddressPins); listing && n != 0 {
					t.Errorf("%d pins of a node that is not known", n)
				}
				at(PodChanged{Pod{Ref: PodRef{"msgapp", "echo-a"}, IP: "10.244.1.2", HostIP: "172.30.0.12", Node: "node2", Ready: true}}, 2*time.Second)
				if listing {
					at(SourceChanged{SourceStatus{Name: "pods", State: SourceLive}}, 2*time.Second)
				} else {
					at(came("s01", pod), 3*time.Second)
				}
				if p := st.onlyPin(t, 4*time.Second); p.Node != "node2" || !p.Since.Equal(tNow.Add(time.Second)) {
					t.Errorf("on %q since %s", p.Node, p.Since)
				}
			})
		}
	}
}
