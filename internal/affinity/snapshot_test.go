package affinity

import (
	"testing"
	"time"
)

// A pod that is forgotten an hour after its end leaves a snapshot whose pods
// and index are of one moment.
func TestSnapshotAfterPodsAreForgotten(t *testing.T) {
	svc := ServiceRef{Namespace: "ns", Name: "web"}
	gone, stays := PodRef{Namespace: "ns", Name: "web-a"}, PodRef{Namespace: "ns", Name: "web-b"}
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	var st State
	st.Apply(ServiceChanged{Service{Ref: svc}}, now)
	st.Apply(Routes{Source: "ingresses", Routes: []Route{{ID: "web", Backend: Backend{Service: svc}}}}, now)
	st.Apply(SessionOpened{SessionSpec{ID: "s01", Route: "web"}}, now)
	st.Apply(PodChanged{Pod{Ref: gone}}, now)
	st.Apply(PodChanged{Pod{Ref: stays}}, now)
	st.Apply(EndpointsChanged{svc, []Endpoint{{Addr: "10.0.0.1:80", Pod: gone}, {Addr: "10.0.0.2:80", Pod: stays}}}, now)
	st.Apply(PodGone{gone}, now)
	if _, ok := st.Snapshot(now).Pod(gone); !ok {
		t.Fatal("a pod with a letter is not kept after its end: the test proves nothing")
	}
	s := st.Snapshot(now.Add(goneFor + time.Second))
	if _, ok := s.Pod(stays); !ok {
		t.Error("the pod that runs is not known")
	}
	if _, ok := s.Pod(gone); ok || len(s.Pods) != 1 {
		t.Errorf("%d pods after an hour, the one that ended among them: %v", len(s.Pods), ok)
	}
}

// TestNoneReady: that no pod is ready is said where the endpoints are known, and
// only there.
func TestNoneReady(t *testing.T) {
	ref := ServiceRef{"web", "shop"}
	route := Route{ID: "r", Kind: RouteIngress, Name: "shop", Backend: Backend{Service: ref}}
	for _, c := range []struct {
		name      string
		state     SourceState
		endpoints []Endpoint
		route     Route
		want      string
	}{
		{"none of three", SourceLive, []Endpoint{{Addr: "10.0.0.1:80"}, {Addr: "10.0.0.2:80"}, {Addr: "10.0.0.3:80"}}, route, "svc/shop has 3 endpoints, none of them ready"},
		{"one", SourceLive, []Endpoint{{Addr: "10.0.0.1:80"}}, route, "svc/shop has 1 endpoint, which is not ready"},
		{"no endpoint", SourceLive, nil, route, "svc/shop has no endpoints"},
		{"as far as is known", SourceStale, nil, route, "svc/shop has no endpoints"},
		{"a ready one", SourceLive, []Endpoint{{Addr: "10.0.0.1:80"}, {Addr: "10.0.0.2:80", Ready: true}}, route, ""},
		{"not listed yet", SourceSyncing, nil, route, ""},
		{"may not be listed", SourceForbidden, nil, route, ""},
		{"a URL", SourceLive, nil, Route{ID: "u", Kind: RouteURL}, ""},
	} {
		var st State
		st.Apply(SourceChanged{SourceStatus{Name: "endpointslices", State: c.state}}, tNow)
		st.Apply(EndpointsChanged{Service: ref, Endpoints: c.endpoints}, tNow)
		if got := st.Snapshot(tNow).NoneReady(c.route); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	var st State
	st.Apply(SourceChanged{SourceStatus{Name: "endpointslices", State: SourceStale, Unread: true}}, tNow)
	if got := st.Snapshot(tNow).NoneReady(route); got != "" {
		t.Errorf("never listed: %q", got)
	}
}

// TestHealthIsOfObjects: what an agent or a node's tables do not tell leaves the
// view of the cluster as it is.
func TestHealthIsOfObjects(t *testing.T) {
	for name, want := range map[string]SourceState{"pods": SourceStale, AgentsSource: SourceLive, "kernel/node-1": SourceLive} {
		var st State
		st.Apply(SourceChanged{SourceStatus{Name: "services", State: SourceLive}}, tNow)
		st.Apply(SourceChanged{SourceStatus{Name: name, State: SourceStale, Detail: "gone"}}, tNow)
		if got, _ := st.Snapshot(tNow).Health(); got != want {
			t.Errorf("%s lost: %s, want %s", name, got, want)
		}
	}
}

// TestNoService: that a Service does not exist is said where all of its namespace
// are known.
func TestNoService(t *testing.T) {
	shop, route := ServiceRef{"web", "shop"}, func(of ServiceRef) Route {
		return Route{ID: "r", Kind: RouteIngress, Namespace: "web", Name: "front", Backend: Backend{Service: of}}
	}
	const absent = "svc/nosuch, which ingress/front names, does not exist"
	for _, c := range []struct {
		name   string
		status SourceStatus
		of     ServiceRef
		want   string
	}{
		{"there", SourceStatus{State: SourceLive}, shop, ""},
		{"absent", SourceStatus{State: SourceLive}, ServiceRef{"web", "nosuch"}, absent},
		{"as far as is known", SourceStatus{State: SourceStale}, ServiceRef{"web", "nosuch"}, absent},
		{"never listed", SourceStatus{State: SourceStale, Unread: true}, ServiceRef{"web", "nosuch"}, ""},
		{"not listed yet", SourceStatus{State: SourceSyncing, Unread: true}, ServiceRef{"web", "nosuch"}, ""},
		{"may not be listed", SourceStatus{State: SourceForbidden, Unread: true}, ServiceRef{"web", "nosuch"}, ""},
		{"in a namespace that is not watched", SourceStatus{State: SourceLive}, ServiceRef{"other", "nosuch"}, ""},
		{"a resource, no Service", SourceStatus{State: SourceLive}, ServiceRef{}, ""},
	} {
		var st State
		c.status.Name = "services"
		st.Apply(SourceChanged{c.status}, tNow)
		st.Apply(ServiceChanged{Service: Service{Ref: shop}}, tNow)
		if got := st.Snapshot(tNow).NoService(route(c.of)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
