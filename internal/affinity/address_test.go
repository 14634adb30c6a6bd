package affinity

import (
	"net/netip"
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
