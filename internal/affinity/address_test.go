package affinity

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAddressPins(t *testing.T) {
	var st State
	key := AddressKey{Node: "node1", Service: ServiceRef{"msgapp", "echo"}, PortName: "http", Protocol: "TCP", Client: netip.MustParseAddr("10.9.0.2"), Endpoint: "10.244.1.2:80"}
	pin := AddressPin{AddressKey: key, Pod: PodRef{"msgapp", "echo-a"}, Expires: tNow.Add(time.Minute), Source: DeadlineKernel}
	st.Apply(AddressPinsChanged{Node: "node1", Put: []AddressPin{pin}, Lists: []AddressList{{Node: "node1", Live: 1, Limit: 1, Evicts: true}}}, tNow)
	one := st.Snapshot(tNow)
	if len(one.AddressPins) != 1 || one.AddressPins[0].Over(tNow) || !one.AddressPins[0].Over(tNow.Add(time.Minute)) || !one.AddressLists[0].Full() {
		t.Fatalf("%+v %+v", one.AddressPins, one.AddressLists)
	}
	end := AddressEnd{AddressPin: pin, At: tNow, Reason: AddressEndEvicted}
	st.Apply(AddressPinsChanged{Node: "node1", Gone: []AddressEnd{end, end}}, tNow)
	two := st.Snapshot(tNow)
	if len(two.AddressPins) != 0 || len(two.AddressEnds) != 1 || two.AddressEnds[0].Seq != 1 {
		t.Errorf("%+v, ended %+v", two.AddressPins, two.AddressEnds)
	}
	if len(one.AddressPins) != 1 || len(one.AddressEnds) != 0 {
		t.Error("an older snapshot changed")
	}
	if last := two.Timeline[len(two.Timeline)-1]; last.Kind != "pin" || !strings.Contains(last.Text, "echo-a") {
		t.Errorf("timeline: %+v", last)
	}
	for i := range 2 * maxAddressEnds {
		st.Apply(AddressPinsChanged{Node: "node1", Put: []AddressPin{pin}}, tNow)
		st.Apply(AddressPinsChanged{Node: "node1", Gone: []AddressEnd{{AddressPin: pin}}}, tNow)
		if i == 0 && st.Snapshot(tNow).AddressEnds[1].Seq != 2 {
			t.Error("ends are not numbered")
		}
	}
	if n := len(st.Snapshot(tNow).AddressEnds); n != maxAddressEnds {
		t.Errorf("%d ends are kept", n)
	}
}

// TestAddressViewMerges compares the view that is brought up to date with one
// that is sorted anew, over many small and large changes.
func TestAddressViewMerges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var st State
	for range 200 {
		e := AddressPinsChanged{Node: "n"}
		for range rnd.IntN(30) {
			key := AddressKey{Node: "n", Service: ServiceRef{"msgapp", string(rune('a' + rnd.IntN(3)))}, Protocol: "TCP",
				Client: netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(40))}), Endpoint: string(rune('a' + rnd.IntN(3)))}
			pin := AddressPin{AddressKey: key, Timeout: time.Duration(rnd.Int64())}
			if rnd.IntN(2) == 0 {
				e.Gone = append(e.Gone, AddressEnd{AddressPin: pin})
			} else {
				e.Put = append(e.Put, pin)
			}
		}
		before := slices.Clone(st.Snapshot(tNow).AddressPins)
		held := st.Snapshot(tNow).AddressPins
		st.Apply(e, tNow)
		if got := st.Snapshot(tNow).AddressPins; !slices.IsSortedFunc(got, func(x, y *AddressPin) int { return compareAddress(x.AddressKey, y.AddressKey) }) || len(got) != len(st.addresses.pins) {
			t.Fatalf("%d pins of %d, or not sorted", len(got), len(st.addresses.pins))
		}
		for _, p := range st.Snapshot(tNow).AddressPins {
			if st.addresses.pins[p.AddressKey] != p {
				t.Fatalf("%+v is out of date", p)
			}
		}
		if !slices.Equal(before, held) {
			t.Fatal("an older snapshot changed")
		}
	}
}

func TestOwners(t *testing.T) {
	s := &Snapshot{Pods: []Pod{
		{Ref: PodRef{"msgapp", "echo-a"}, IP: "10.244.1.2", HostIP: "172.30.0.11", Node: "node1"},
		{Ref: PodRef{"msgapp", "old"}, IP: "10.244.1.2", Gone: tNow},
		{Ref: PodRef{"kube-system", "proxy"}, IP: "172.30.0.11", HostIP: "172.30.0.11", Node: "node1"},
		{Ref: PodRef{"x", "one"}, IP: "172.30.0.12", Node: "node2"},
		{Ref: PodRef{"x", "two"}, IP: "172.30.0.12", Node: "node2"},
		{Ref: PodRef{"traefik", "traefik-1"}, IP: "10.244.2.9", Labels: map[string]string{"app.kubernetes.io/name": "traefik"}},
	}}
	owners := s.Owners()
	for ip, want := range map[string]string{"10.244.1.2": "msgapp/echo-a", "172.30.0.11": "node node1", "172.30.0.12": "node node2", "10.244.2.9": "ingress pod traefik/traefik-1", "192.0.2.1": ""} {
		o := owners[netip.MustParseAddr(ip)]
		if o.String() != want || o.Shared() != strings.Contains(want, " ") {
			t.Errorf("%s is %q (shared %v), want %q", ip, o, o.Shared(), want)
		}
	}
}

func BenchmarkAddressView(b *testing.B) {
	var st State
	e := AddressPinsChanged{Node: "n"}
	for i := range 50_000 {
		e.Put = append(e.Put, AddressPin{AddressKey: AddressKey{Node: "n", Service: ServiceRef{"msgapp", "echo"}, Protocol: "TCP",
			Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Endpoint: "10.244.1.2:80"}})
	}
	st.Apply(e, tNow)
	st.Snapshot(tNow)
	few := AddressPinsChanged{Node: "n", Put: e.Put[:1000]}
	b.ReportAllocs()
	for b.Loop() {
		st.Apply(few, tNow)
		st.Snapshot(tNow)
	}
}
