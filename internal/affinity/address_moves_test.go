package affinity

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestAddressesMove(t *testing.T) {
	echo := ServiceRef{"msgapp", "echo"}
	client := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(n)}) }
	pin := func(n int, pod string) AddressPin {
		return AddressPin{AddressKey: AddressKey{Node: "node1", Service: echo, PortName: "http", Protocol: "TCP", Client: client(n), Endpoint: map[string]string{"echo-a": "10.244.1.1:80", "echo-b": "10.244.1.2:80"}[pod]},
			Pod: PodRef{"msgapp", pod}, Expires: tNow.Add(time.Minute), Source: DeadlineKernel}
	}
	end := func(p AddressPin, why AddressEndReason, after time.Duration) AddressEnd {
		return AddressEnd{AddressPin: p, At: tNow.Add(after), Reason: why}
	}
	shadowed := pin(1, "echo-a")
	shadowed.Shadowed = true
	derived := pin(1, "echo-a")
	derived.Source = DeadlineDerived
	var many, manyEnds = []AddressPin{}, []AddressEnd{}
	for n := range 5 {
		many, manyEnds = append(many, pin(n+1, "echo-b")), append(manyEnds, end(pin(n+1, "echo-a"), AddressEndRemoved, 0))
	}
	fives := []AddressPin{pin(1, "echo-a"), pin(2, "echo-a"), pin(3, "echo-a"), pin(4, "echo-a"), pin(5, "echo-a")}
	endpoints := func(names ...string) EndpointsChanged {
		e := EndpointsChanged{Service: echo}
		for i, name := range names {
			p := pin(1, name)
			e.Endpoints = append(e.Endpoints, Endpoint{Addr: p.Endpoint, IP: fmt.Sprint("10.244.1.", i+1), PortName: "http", Pod: p.Pod, Ready: true})
		}
		return e
	}
	both := endpoints("echo-a", "echo-b")
	type step struct {
		after time.Duration
		event Event
	}
	read := func(after time.Duration, put []AddressPin, gone ...AddressEnd) step {
		return step{after, AddressPinsChanged{Node: "node1", Put: put, Gone: gone, Lists: []AddressList{{Node: "node1", Service: echo, Mode: "nftables", Live: 1}}}}
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  []string // text: cause
	}{
		{"expired, then another", []step{read(0, []AddressPin{pin(1, "echo-a")}), read(0, nil, end(pin(1, "echo-a"), AddressEndExpired, 0)), read(3*time.Second, []AddressPin{pin(1, "echo-b")})},
			[]string{"A→B on node1: 10.9.0.1 of msgapp/echo: its pin to A had expired 3.0s before"}},
		{"expired, then the same", []step{read(0, []AddressPin{pin(1, "echo-a")}), read(0, nil, end(pin(1, "echo-a"), AddressEndExpired, 0)), read(0, []AddressPin{pin(1, "echo-a")})}, nil},
		{"the same, then another without an end", []step{read(0, []AddressPin{pin(1, "echo-a")}), read(0, nil, end(pin(1, "echo-a"), AddressEndExpired, 0)), read(0, []AddressPin{pin(1, "echo-a")}),
			read(time.Second, []AddressPin{pin(1, "echo-b")}, end(pin(1, "echo-a"), AddressEndEvicted, time.Second))},
			[]string{"A→B on node1: 10.9.0.1 of msgapp/echo: the node's list of A was full and pushed them out",
				"1 of msgapp/echo's addresses lost the pin to echo-a on node1 before its time: the node's list is full: "}},
		{"renewed", []step{read(0, []AddressPin{pin(1, "echo-a")}), read(0, []AddressPin{pin(1, "echo-a")})}, nil},
		{"first seen", []step{read(0, []AddressPin{pin(1, "echo-a"), pin(2, "echo-b")})}, nil},
		{"derived before", []step{read(0, []AddressPin{derived}), read(0, []AddressPin{pin(1, "echo-b")}, end(derived, AddressEndUnread, 0))}, nil},
		{"many, by an endpoint that left", []step{read(0, fives), {0, endpoints("echo-b")}, read(0, nil, manyEnds...), read(time.Second, many)},
			[]string{"A→B on node1: 10.9.0.1, 10.9.0.2, 10.9.0.3, 2 more of msgapp/echo: the node dropped A and its pins: left the EndpointSlices"}},
		{"another comes first", []step{read(0, []AddressPin{pin(1, "echo-b")}), read(0, []AddressPin{pin(1, "echo-a")})},
			[]string{"A→B on node1: 10.9.0.1 of msgapp/echo: the pin to A is still in its time, but B stands earlier in the node's rules"}},
		{"another comes later", []step{read(0, []AddressPin{pin(1, "echo-b")}), read(0, []AddressPin{shadowed})}, nil},
		{"affinity switched off and on", []step{{0, ServiceChanged{Service{Ref: echo, Policy: Policy{Mechanism: MechanismClientIP}}}}, read(0, []AddressPin{pin(1, "echo-a")}),
			{0, ServiceChanged{Service{Ref: echo}}}, read(0, nil, end(pin(1, "echo-a"), AddressEndRemoved, 0)),
			{0, ServiceChanged{Service{Ref: echo, Policy: Policy{Mechanism: MechanismClientIP}}}}, read(0, []AddressPin{pin(1, "echo-b")})},
			[]string{"A→B on node1: 10.9.0.1 of msgapp/echo: the Service's sessionAffinity was not ClientIP in between"}},
		{"of our own", []step{{0, SessionOpened{SessionSpec{ID: "s01", Route: "r", From: client(1)}}}, read(0, []AddressPin{pin(1, "echo-a")}),
			read(0, []AddressPin{pin(1, "echo-b")}, end(pin(1, "echo-a"), AddressEndExpired, 0))}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var st State
			st.Apply(both, tNow)
			for _, s := range tt.steps {
				st.Apply(s.event, tNow.Add(s.after))
			}
			var got []string
			for _, h := range st.Snapshot(tNow).Timeline {
				if h.Kind == "pin" {
					got = append(got, h.Text+": "+h.CauseText)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestMovesAreBounded: what is remembered of pins that ended does not outgrow
// the ends themselves, and one reading gives few lines.
func TestMovesAreBounded(t *testing.T) {
	var st State
	pin := func(n, endpoint int) AddressPin {
		return AddressPin{Source: DeadlineKernel, AddressKey: AddressKey{Node: "n", Service: ServiceRef{"a", "b"}, Endpoint: fmt.Sprint("10.0.0.", endpoint, ":80"),
			Client: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})}}
	}
	for n := range 5 * maxAddressEnds {
		st.Apply(AddressPinsChanged{Node: "n", Put: []AddressPin{pin(n, n%200)}}, tNow)
		st.Apply(AddressPinsChanged{Node: "n", Gone: []AddressEnd{{AddressPin: pin(n, n%200), Reason: AddressEndExpired, At: tNow}}}, tNow)
	}
	if n := len(st.addresses.lastEnds); n > 2*maxAddressEnds || n < maxAddressEnds {
		t.Errorf("%d ends are indexed", n)
	}
	var all []AddressPin
	for n := range 5 * maxAddressEnds {
		all = append(all, pin(n, 201))
	}
	before := st.happened
	st.Apply(AddressPinsChanged{Node: "n", Put: all}, tNow)
	if lines := st.happened - before; lines != maxMoveLines+1 {
		t.Errorf("%d lines", lines)
	}
	if n := len(st.addresses.lastEnds); n != 0 {
		t.Errorf("%d ends are still indexed", n)
	}
}
