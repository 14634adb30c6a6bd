package report

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// pinWorld is two Services of which a node's tables hold a client each way: in
// its time, shadowed, without a deadline, and one in IPv6.
func pinWorld() (*affinity.State, func(...affinity.AddressPin), time.Time) {
	var st affinity.State
	svc := affinity.ServiceRef{Namespace: "msgapp", Name: "echo"}
	pods := []string{"echo-7c9f-2xkqp", "echo-7c9f-8mmzd"}
	for i, name := range pods {
		st.Apply(affinity.PodChanged{Pod: affinity.Pod{Ref: affinity.PodRef{Namespace: "msgapp", Name: name}, IP: []string{"10.244.1.2", "10.244.2.3"}[i], HostIP: "172.30.0.12", Node: "node2", Ready: true}}, tNow)
	}
	put := func(pins ...affinity.AddressPin) {
		st.Apply(affinity.AddressPinsChanged{Node: "node2", Put: pins}, tNow)
	}
	pin := func(client string, pod int, left time.Duration) affinity.AddressPin {
		return affinity.AddressPin{
			AddressKey: affinity.AddressKey{Node: "node2", Service: svc, PortName: "http", Protocol: "TCP", Client: netip.MustParseAddr(client), Endpoint: []string{"10.244.1.2:8080", "10.244.2.3:8080"}[pod]},
			Port:       80, Pod: affinity.PodRef{Namespace: "msgapp", Name: pods[pod]}, Timeout: time.Minute, Since: tNow.Add(-5 * time.Minute), Renewed: tNow.Add(left - time.Minute), Expires: tNow.Add(left),
			Renewal: affinity.RenewalSliding, Source: affinity.DeadlineKernel,
		}
	}
	shadowed := pin("203.0.113.7", 1, 50*time.Second)
	shadowed.Shadowed = true
	unknown := pin("203.0.113.8", 1, 0)
	unknown.Expires, unknown.Renewed, unknown.Source, unknown.Note = time.Time{}, time.Time{}, affinity.DeadlineAssumed, "when it ends cannot be told: the kernel's HZ is not known"
	over := pin("203.0.113.9", 0, -time.Second)
	front := pin("2001:db8::7", 0, 30500*time.Millisecond)
	front.Front = "[fd00::9]:80"
	other := pin("172.30.0.12", 0, 20*time.Second)
	other.Service.Name = "msgapp-backend"
	put(pin("203.0.113.7", 0, 43*time.Second), shadowed, unknown, over, front, other)
	return &st, put, tNow
}

func TestPinFormats(t *testing.T) {
	st, _, now := pinWorld()
	list := Pins(st.Snapshot(now), affinity.Target{})
	for name, format := range map[string]string{"table": "", "wide": "wide", "json": "json", "yaml": "yaml", "name": "name"} {
		p, err := NewPrinter(format, false)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := p(&out, list); err != nil {
			t.Fatal(err)
		}
		golden(t, "pins."+name, out.Bytes())
	}
	for target, want := range map[affinity.Target]int{
		{Kind: "service", Name: "echo"}:                     4,
		{Kind: "service", Name: "echo", Namespace: "other"}: 0,
		{Kind: "service", Name: "msgapp-backend"}:           1,
		{Kind: "ingress", Name: "none"}:                     0,
	} {
		if got := Pins(st.Snapshot(now), target); len(got.Items) != want {
			t.Errorf("%s: %d pins, want %d", target, len(got.Items), want)
		}
	}
}

// TestNoPins tells an empty table from one that could not be read.
func TestNoPins(t *testing.T) {
	for state, want := range map[affinity.SourceState]string{
		affinity.SourceLive:  "No pins by address.\n",
		affinity.SourceStale: "No pins by address were read.\n",
	} {
		p, err := NewPrinter("", false)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		s := &affinity.Snapshot{Sources: []affinity.SourceStatus{{Name: "pods"}, {Name: "kernel/node1", State: state}}}
		if err := p(&out, Pins(s, affinity.Target{})); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v; want %q", state, out.String(), err, want)
		}
	}
}

// TestPinWatch wants each change once: pins that are there, one renewed, those
// that end with the reason, before what is new.
func TestPinWatch(t *testing.T) {
	st, put, now := pinWorld()
	w := PinWatch{Format: "json", Target: affinity.Target{Kind: "service", Name: "echo"}}
	next := func() []string {
		t.Helper()
		var out bytes.Buffer
		if err := w.Write(&out, st.Snapshot(now)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			var x AddressPin
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if x.Kind != "Pin" || x.APIVersion != APIVersion || x.Service != "echo" {
				t.Errorf("line is a %s of %s: %s", x.Kind, x.APIVersion, line)
			}
			if x.Ended != "" && x.RemainingSeconds != nil {
				t.Errorf("one that ended has time left: %s", line)
			}
			if (x.Ended != "") != (x.EndedAt != nil) || x.EndedAt != nil && !x.EndedAt.Time.Equal(now) {
				t.Errorf("ended at %v, want %s: %s", x.EndedAt, now, line)
			}
			got = append(got, strings.TrimSpace(x.Client+" "+x.Pod+" "+x.Ended))
		}
		return got
	}
	want := func(when string, lines ...string) {
		t.Helper()
		if d := cmp.Diff(lines, next()); d != "" {
			t.Errorf("%s (-want +got):\n%s", when, d)
		}
	}
	want("at first", "203.0.113.7 echo-7c9f-2xkqp", "203.0.113.7 echo-7c9f-8mmzd", "203.0.113.8 echo-7c9f-8mmzd", "203.0.113.9 echo-7c9f-2xkqp", "2001:db8::7 echo-7c9f-2xkqp")
	want("nothing happened")

	pins := map[string]affinity.AddressPin{}
	for _, p := range st.Snapshot(now).AddressPins {
		pins[p.Service.Name+" "+p.Client.String()+" "+p.Pod.Short()] = *p
	}
	renewed := pins["echo 203.0.113.7 2xkqp"]
	renewed.Expires = renewed.Expires.Add(10 * time.Second)
	put(renewed, pins["msgapp-backend 172.30.0.12 2xkqp"])
	want("one renewed, and one of another Service", "203.0.113.7 echo-7c9f-2xkqp")

	end := func(name string, reason affinity.AddressEndReason) affinity.AddressEnd {
		return affinity.AddressEnd{AddressPin: pins[name], At: now, Reason: reason}
	}
	fresh := pins["echo 203.0.113.8 8mmzd"]
	fresh.Client = netip.MustParseAddr("203.0.113.200")
	st.Apply(affinity.AddressPinsChanged{Node: "node2", Put: []affinity.AddressPin{fresh}, Gone: []affinity.AddressEnd{
		end("echo 203.0.113.9 2xkqp", affinity.AddressEndExpired), end("echo 203.0.113.8 8mmzd", affinity.AddressEndEvicted), end("msgapp-backend 172.30.0.12 2xkqp", affinity.AddressEndRemoved)}}, now)
	want("some ended", "203.0.113.9 echo-7c9f-2xkqp expired", "203.0.113.8 echo-7c9f-8mmzd evicted", "203.0.113.200 echo-7c9f-8mmzd")
	put(pins["echo 203.0.113.9 2xkqp"])
	want("one is back", "203.0.113.9 echo-7c9f-2xkqp")

	rows := PinWatch{}
	var out bytes.Buffer
	for range 2 {
		if err := rows.Write(&out, st.Snapshot(now)); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "CLIENT"); n != 1 {
		t.Errorf("%d headers in\n%s", n, out.String())
	}
}

// TestFillingLists: which lists fill up is told, and who was pushed out of them.
func TestFillingLists(t *testing.T) {
	var st affinity.State
	svc := affinity.ServiceRef{Namespace: "msgapp", Name: "echo"}
	list := func(pod string, live, expired, limit int, evicts bool) affinity.AddressList {
		return affinity.AddressList{Node: "node2", Service: svc, PortName: "http", Protocol: "TCP", Endpoint: pod + ":8080", Pod: affinity.PodRef{Namespace: "msgapp", Name: "echo-" + pod}, Name: pod, Live: live, Expired: expired, Limit: limit, Evicts: evicts}
	}
	pin := affinity.AddressPin{AddressKey: affinity.AddressKey{Node: "node2", Service: svc, PortName: "http", Protocol: "TCP", Client: netip.MustParseAddr("203.0.113.7"), Endpoint: "a:8080"}, Source: affinity.DeadlineKernel}
	st.Apply(affinity.AddressPinsChanged{Node: "node2", Put: []affinity.AddressPin{pin}}, tNow)
	st.Apply(affinity.AddressPinsChanged{Node: "node2", Gone: []affinity.AddressEnd{{AddressPin: pin, At: tNow, Reason: affinity.AddressEndEvicted}},
		Lists: []affinity.AddressList{list("a", 97, 3, 100, true), list("b", 79, 0, 100, true), list("c", 65535, 0, 65535, false), list("d", 7, 0, 0, true)}}, tNow)
	got := Pins(st.Snapshot(tNow), affinity.Target{Kind: "service", Namespace: "msgapp", Name: "echo"}).Metadata.FillingLists
	if len(got) != 2 || got[0].Evicted != 1 || !got[0].Evicts || got[1].Limit != 65535 || got[1].Evicts {
		t.Fatalf("%+v", got)
	}
	for i, want := range []string{
		"node2 holds 100 of at most 100 clients of pod echo-a (svc/echo -n msgapp), 3 of them expired: each new client pushes out the one that was longest away; 1 pushed out meanwhile",
		"node2 holds 65535 of at most 65535 clients of pod echo-c (svc/echo -n msgapp): further clients are not pinned",
	} {
		if text := got[i].Text(); text != want {
			t.Errorf("%q\nwant %q", text, want)
		}
	}
	if got := Pins(st.Snapshot(tNow), affinity.Target{Kind: "service", Namespace: "msgapp", Name: "other"}).Metadata.FillingLists; len(got) > 0 {
		t.Errorf("of another Service: %+v", got)
	}
}

// TestSinceOrBefore: what was not seen to begin has no since.
func TestSinceOrBefore(t *testing.T) {
	p := affinity.AddressPin{AddressKey: affinity.AddressKey{Node: "node2", Client: netip.MustParseAddr("203.0.113.7"), Endpoint: "a:8080"}, Since: tNow}
	for _, before := range []bool{false, true} {
		p.SinceOrBefore = before
		x := newAddressPin(&affinity.Snapshot{At: tNow}, p, nil)
		row := strings.Join(x.row(true), "|")
		if (x.Since == nil) != before || (x.SinceOrBefore == nil) == before || strings.Contains(row, "by "+clock(instant(tNow))) != before {
			t.Errorf("or before %t: %+v, row %s", before, x, row)
		}
	}
}
