package affinity

import (
	"net/netip"
	"testing"
	"time"
)

// TestKernelAgainstAnswer: a node sends a client to one pod, and another answers.
func TestKernelAgainstAnswer(t *testing.T) {
	const long = 20 * time.Second // since when the pin holds
	type script struct {
		name    string
		answers string        // the pod that answers
		since   time.Duration // of the pin before the first connection
		renews  bool          // the connections renew it
		beside  bool          // the node has a shadowed pin for the pod that answers
		early   bool          // the tables are read before the answer comes
		times   int
		want    bool
	}
	scripts := []script{
		{name: "another pod answers", answers: "echo-b", since: long, renews: true, times: 2, want: true},
		{name: "another pod answers, after the reading", answers: "echo-b", since: long, renews: true, early: true, times: 2, want: true},
		{name: "the same", answers: "echo-a", since: long, renews: true, times: 3},
		{name: "once", answers: "echo-b", since: long, renews: true, times: 1},
		{name: "not renewed: by another node or address", answers: "echo-b", since: long, times: 3},
		{name: "split at the first connection", answers: "echo-b", renews: true, times: 1},
		{name: "pinned to both", answers: "echo-b", since: long, renews: true, beside: true, times: 3},
		{name: "nobody says who answers", since: long, renews: true, times: 3},
	}
	play := func(c script) []Finding {
		st, at := ownWorld()
		now := 30 * time.Second
		at(spec("s01", "172.30.0.101"), now)
		key := AddressKey{Node: "node2", Service: ServiceRef{"msgapp", "echo"}, PortName: "http", Protocol: "TCP", Client: netip.MustParseAddr("172.30.0.101"), Endpoint: "10.244.1.2:8080"}
		pin := AddressPin{AddressKey: key, Port: 80, Pod: PodRef{"msgapp", "echo-a"}, Timeout: time.Minute, Since: tNow.Add(now - c.since), Source: DeadlineKernel, Renewal: RenewalSliding}
		read := func(renewed, when time.Duration) {
			pin.Renewed, pin.Expires = tNow.Add(renewed), tNow.Add(renewed+time.Minute)
			e := AddressPinsChanged{Node: "node2", Put: []AddressPin{pin}, Lists: []AddressList{{Node: "node2", Service: key.Service, Mode: "iptables", Live: 1}}}
			if c.beside {
				other := pin
				other.Endpoint, other.Pod, other.Shadowed = "10.244.1.3:8080", PodRef{"msgapp", "echo-b"}, true
				e.Put = append(e.Put, other)
			}
			at(e, when)
		}
		read(now-c.since, now)
		for range c.times {
			now += 5 * time.Second
			renewed := 30*time.Second - c.since
			if c.renews {
				renewed = now - 100*time.Millisecond
			}
			o := came("s01", c.answers)
			o.Took = 200 * time.Millisecond
			if c.early {
				read(renewed, now-50*time.Millisecond)
			}
			at(o, now)
			if !c.early {
				read(renewed, now+800*time.Millisecond)
			}
		}
		st.Apply(AddressPinsChanged{Node: "node2", Lists: []AddressList{{Node: "node2", Service: key.Service, Mode: "iptables", Live: 1}}}, tNow.Add(now+2*time.Second))
		return st.Snapshot(tNow.Add(now + 2*time.Second)).Findings
	}
	want := func(rule string, found []Finding) {
		t.Helper()
		if len(found) != 1 || found[0].Rule+" "+found[0].Severity.String()+" "+found[0].Certainty.String() != rule || len(found[0].Evidence) != 2 || found[0].Object.Name != "echo" {
			t.Errorf("found %+v, want %s", found, rule)
		}
	}
	t.Run("F09", func(t *testing.T) {
		for _, c := range scripts {
			if c.want {
				want("F09 high likely", play(c))
			}
		}
	})
	t.Run("F09 stays silent", func(t *testing.T) {
		for _, c := range scripts {
			if found := play(c); !c.want && len(found) > 0 {
				t.Errorf("%s: found %+v", c.name, found)
			}
		}
	})
}
