package affinity

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestChiSquareTail(t *testing.T) {
	// Critical values of the χ² distribution (NIST/SEMATECH e-Handbook §1.3.6.7.4).
	tests := []struct {
		x    float64
		df   int
		want float64
	}{{3.841, 1, 0.05}, {5.991, 2, 0.05}, {9.210, 2, 0.01}, {18.307, 10, 0.05}, {124.342, 100, 0.05}, {1.386, 2, 0.5}, {0, 3, 1}}
	for _, tt := range tests {
		if got := chiSquareTail(tt.x, tt.df); math.Abs(got-tt.want) > 5e-4 {
			t.Errorf("chiSquareTail(%v, %d) = %.5f, want %.3f", tt.x, tt.df, got, tt.want)
		}
	}
}

func TestDistributionVerdict(t *testing.T) {
	tests := []struct {
		pins []int
		want string
	}{
		{[]int{9, 9, 5}, "not a problem: chance alone looks like this"},
		{[]int{30, 0, 0}, "uneven: chance alone gives this in less than 1 of 100 runs"},
		{[]int{2, 1, 0}, "too few sessions to tell"},
		{[]int{7}, "nothing to compare"},
	}
	for _, tt := range tests {
		var d Distribution
		for _, n := range tt.pins {
			d.Shares = append(d.Shares, Share{Pins: n, Ready: true})
		}
		d.judge()
		if d.Verdict != tt.want {
			t.Errorf("%v: %q (P %.4f), want %q", tt.pins, d.Verdict, d.P, tt.want)
		}
	}
}

// TestUnknownHoldsNobody: a pod that was named before the last answer is not
// known to have the session now.
func TestUnknownHoldsNobody(t *testing.T) {
	var st State
	st.Apply(Routes{Source: "test", Routes: []Route{testRoute("clientip")}}, tNow)
	st.Apply(EndpointsChanged{Service: testService, Endpoints: testEndpoints([]string{"a", "b"})}, tNow)
	st.Apply(SessionOpened{SessionSpec{ID: "s01", Route: "r"}}, tNow)
	for i, answer := range []Answer{{Header: []Field{{"X-Pod-Name", "web-a"}}}, {}} {
		st.Apply(Observed{Session: "s01", Status: 200, Answer: answer}, tNow)
		d := Distribute(st.Snapshot(tNow), nil)
		if d.Total != 1-i || d.None != i {
			t.Errorf("after answer %d: %d held, %d not", i+1, d.Total, d.None)
		}
	}
}

// TestReadyElsewhere: a pod of another Service that has a session is as ready as
// its object says.
func TestReadyElsewhere(t *testing.T) {
	var st State
	main, canary := testRoute("clientip"), testRoute("none")
	canary.ID, canary.Name, canary.Backend.Service.Name = "c", "canary", "next"
	st.Apply(Routes{Source: "test", Routes: []Route{main, canary}}, tNow)
	st.Apply(EndpointsChanged{Service: testService, Endpoints: testEndpoints([]string{"a"})}, tNow)
	st.Apply(EndpointsChanged{Service: canary.Backend.Service, Endpoints: testEndpoints([]string{"b"})}, tNow)
	st.Apply(SessionOpened{SessionSpec{ID: "s01", Route: "r"}}, tNow)
	st.Apply(Observed{Session: "s01", Status: 200, Answer: Answer{Header: []Field{{"X-Pod-Name", "web-b"}}}}, tNow)
	for _, ready := range []bool{true, false} {
		st.Apply(PodChanged{Pod{Ref: PodRef{Namespace: testService.Namespace, Name: "web-b"}, Ready: ready}}, tNow)
		d := Distribute(st.Snapshot(tNow), []RouteID{"r"})
		i := slices.IndexFunc(d.Shares, func(x Share) bool { return x.Pod.Name == "web-b" })
		if i < 0 || d.Shares[i].Ready != ready || d.Shares[i].Pins != 1 {
			t.Errorf("ready %t: %+v", ready, d.Shares)
		}
	}
}

// TestReadyUnread: of a pod that answers alone tell, it is not known whether it
// is ready.
func TestReadyUnread(t *testing.T) {
	var st State
	st.Apply(Routes{Source: "test", Routes: []Route{testRoute("clientip")}}, tNow)
	st.Apply(SessionOpened{SessionSpec{ID: "s01", Route: "r"}}, tNow)
	st.Apply(Observed{Session: "s01", Status: 200, Answer: Answer{Header: []Field{{"X-Pod-Name", "web-b"}}}}, tNow)
	for _, read := range []bool{false, true} {
		if read {
			st.Apply(PodChanged{Pod{Ref: PodRef{Name: "web-b"}}}, tNow)
		}
		if d := Distribute(st.Snapshot(tNow), nil); len(d.Shares) != 1 || d.Shares[0].Ready || d.Shares[0].ReadyUnread == read {
			t.Errorf("read %t: %+v", read, d.Shares)
		}
	}
}

// TestShared: where a route's requests are shared out to several Services, pods of
// all are listed, and no share is called fair.
func TestShared(t *testing.T) {
	var st State
	ref := func(name string) ServiceRef { return ServiceRef{Namespace: "ns", Name: name} }
	st.Apply(Routes{Source: "t", Routes: []Route{{ID: "r", Kind: RouteIngressRoute, Backend: Backend{Service: ref("blue")}, Layers: []Layer{{Where: LayerIngress,
		Candidates: []Policy{{Mechanism: MechanismCookie, Branches: []Branch{{Backend: Backend{Service: ref("green")}, Object: "traefikservice/split", Share: "weight 1/2"}}}}}}}}}, tNow)
	for i, name := range []string{"blue", "green"} {
		ip := fmt.Sprintf("10.0.0.%d", i)
		st.Apply(EndpointsChanged{Service: ref(name), Endpoints: []Endpoint{{Addr: ip + ":80", IP: ip, Pod: PodRef{"ns", name + "-1"}, Ready: true}}}, tNow)
	}
	st.Apply(SessionOpened{Spec: SessionSpec{ID: "s01", Route: "r", Transport: "http", Client: ClientBrowser}}, tNow)
	d := Distribute(st.Snapshot(tNow), []RouteID{"r"})
	if len(d.Shares) != 2 || len(st.tags) != 2 || d.Fair != 0 || d.Parts != 2 {
		t.Errorf("%+v", d)
	}
}
