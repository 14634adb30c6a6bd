package affinity

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// rulesWorld is a Service with ClientIP affinity and two ports on two pods, read
// on two nodes.
type rulesWorld struct {
	st  State
	now time.Time
	t   *testing.T
}

func newRulesWorld(t *testing.T) *rulesWorld {
	w := &rulesWorld{now: tNow, t: t}
	ref := ServiceRef{"msgapp", "echo"}
	policy := Policy{Mechanism: MechanismClientIP, Timeout: time.Minute, Renewal: RenewalSliding}
	w.apply(ServiceChanged{Service{Ref: ref, ClusterIP: "10.96.0.9", Ports: []ServicePort{{"http", 80, "TCP"}, {"ws", 81, "TCP"}}, Policy: policy}})
	w.pod("a", true)
	w.pod("b", true)
	w.apply(PodChanged{Pod{Ref: PodRef{"traefik", "traefik-1"}, IP: "10.244.1.90", HostIP: "172.30.0.11", Node: "node1", Labels: map[string]string{"app.kubernetes.io/name": "traefik"}}})
	var eps []Endpoint
	for _, port := range []string{"http", "ws"} {
		for _, n := range []string{"a", "b"} {
			eps = append(eps, Endpoint{Addr: endpointIP(n) + ":80" + map[string]string{"http": "80", "ws": "81"}[port], PortName: port, Pod: PodRef{"msgapp", "echo-" + n}, Ready: true})
		}
	}
	w.apply(EndpointsChanged{Service: ref, Endpoints: eps})
	return w
}

func endpointIP(n string) string { return "10.244.1." + map[string]string{"a": "2", "b": "3"}[n] }

func (w *rulesWorld) apply(e Event) { w.st.Apply(e, w.now) }

func (w *rulesWorld) pod(n string, ready bool) {
	w.apply(PodChanged{Pod{Ref: PodRef{"msgapp", "echo-" + n}, IP: endpointIP(n), HostIP: "172.30.0.12", Node: "node2", Ready: ready}})
}

// pin is a client that connects now.
func (w *rulesWorld) pin(node, client, port, pod string) AddressPin {
	addr := endpointIP(pod) + ":80" + map[string]string{"http": "80", "ws": "81"}[port]
	return AddressPin{AddressKey: AddressKey{Node: node, Service: ServiceRef{"msgapp", "echo"}, PortName: port, Protocol: "TCP", Client: netip.MustParseAddr(client), Endpoint: addr},
		Pod: PodRef{"msgapp", "echo-" + pod}, Timeout: time.Minute, Since: w.now, Renewed: w.now, Expires: w.now.Add(time.Minute), Source: DeadlineKernel}
}

func (w *rulesWorld) list(node, pod string, live, limit int, evicts bool) AddressList {
	return AddressList{Node: node, Service: ServiceRef{"msgapp", "echo"}, PortName: "http", Protocol: "TCP", Endpoint: endpointIP(pod) + ":8080", Pod: PodRef{"msgapp", "echo-" + pod},
		Mode: "iptables", Name: "KUBE-SEP-" + pod, Live: live, Limit: limit, Evicts: evicts}
}

// read is one reading of a node.
func (w *rulesWorld) read(node string, lists []AddressList, pins ...AddressPin) {
	if lists == nil {
		lists = []AddressList{w.list(node, "a", len(pins), 100, true), w.list(node, "b", 1, 100, true)}
	}
	w.apply(AddressPinsChanged{Node: node, Put: pins, Lists: lists})
	w.st.Snapshot(w.now)
}

// found is the findings as "RULE severity certainty: title".
func (w *rulesWorld) found() string {
	var out []string
	for _, f := range w.st.Snapshot(w.now).Findings {
		out = append(out, fmt.Sprintf("%s %s %s: %s", f.Rule, f.Severity, f.Certainty, f.Title))
		if f.Title == "" || f.Impact == "" || f.Fix == "" || f.Verify == "" || len(f.Evidence) == 0 || f.Object.Name != "echo" || f.At.IsZero() || len([]rune(f.Title)) > 110 {
			w.t.Errorf("%s lacks something: %+v", f.Rule, f)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func (w *rulesWorld) want(parts ...string) {
	w.t.Helper()
	got := w.found()
	if len(parts) == 0 && got != "" {
		w.t.Errorf("found %s, want nothing", got)
	}
	for _, p := range parts {
		if !strings.Contains(got, p) {
			w.t.Errorf("found:\n%s\nwant %q", got, p)
		}
	}
}

func (w *rulesWorld) after(d time.Duration) { w.now = w.now.Add(d) }

func TestPinFindings(t *testing.T) {
	t.Run("nothing is wrong", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"), w.pin("node1", "203.0.113.7", "ws", "a"), w.pin("node1", "203.0.113.8", "http", "b"))
		w.read("node2", nil, w.pin("node2", "203.0.113.7", "http", "a"))
		w.want()
	})
	t.Run("F02", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.after(61 * time.Second)
		w.read("node2", nil, w.pin("node2", "203.0.113.7", "http", "b"))
		w.want() // the other pin's time was up
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.want("F02 high exact: one client is on pod a through node1, on pod b through node2")
	})
	t.Run("F03", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"), w.pin("node1", "203.0.113.7", "ws", "b"))
		w.want("F03 medium exact: one client is on pod", "by port ws")
	})
	t.Run("F05", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", []AddressList{w.list("node1", "a", 79, 100, true)})
		w.want()
		w.read("node1", []AddressList{w.list("node1", "a", 80, 100, true)})
		w.want("F05 medium exact: node1 remembers 80 of at most 100 clients of pod a")
		w.read("node1", []AddressList{w.list("node1", "a", 70, 100, true)})
		w.want() // it has emptied
		w.read("node1", []AddressList{w.list("node1", "a", 100, 100, true)})
		w.want("F05 high exact: node1 remembers no more than 100 clients")
		w.read("node1", []AddressList{w.list("node1", "a", 10, 100, true), w.list("node2", "a", 65535, 65535, false)})
		w.want("no more than 100", "no more than 65535") // that it was full stays
	})
	t.Run("E03", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", nil, w.pin("node1", "10.244.1.90", "http", "a"))
		w.want("E03 critical exact: all users of ingress pod traefik/traefik-1 are one client, on pod a")
		w.read("node1", nil, w.pin("node1", "172.30.0.12", "http", "a"), w.pin("node1", "172.30.0.11", "http", "a"))
		w.want("E03 medium likely: what comes from node node2 itself is one client")
		if n := strings.Count(w.found(), "E03"); n != 2 {
			t.Errorf("%d times E03, want one for the ingress, one for nodes", n)
		}
	})
	t.Run("D02", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.pod("a", false)
		w.read("node1", nil)
		w.after(proxyLag - time.Second)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.want() // the node has not had its time
		w.after(2 * time.Second)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.want("D02 high exact: node1 still sends clients to pod a, which is not ready")
	})
	t.Run("D02 stays silent", func(t *testing.T) {
		w := newRulesWorld(t)
		w.pod("a", false)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.pod("a", true)
		w.read("node1", nil)
		w.after(time.Minute)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.want()
	})
	t.Run("E04", func(t *testing.T) {
		w := newRulesWorld(t)
		p := w.pin("node1", "203.0.113.7", "http", "a")
		one := []AddressList{w.list("node1", "a", 1, 100, true)}
		for range 6 {
			w.after(29 * time.Second)
			p.Renewed, p.Expires = w.now, w.now.Add(time.Minute)
			w.read("node1", one, p)
			w.want()
		}
		w.after(29 * time.Second)
		p.Renewed, p.Expires = w.now, w.now.Add(time.Minute)
		w.read("node1", one, p)
		w.want("E04 high likely: the only client, 203.0.113.7, has kept one pod for 3 times the timeout")
	})
	t.Run("E04 stays silent", func(t *testing.T) {
		w := newRulesWorld(t)
		for range 6 { // pinned anew each time: another pin, of which none is old
			w.after(61 * time.Second)
			w.read("node1", []AddressList{w.list("node1", "a", 1, 100, true)}, w.pin("node1", "203.0.113.7", "http", "a"))
		}
		w.want()
	})
	t.Run("of the routes that lead there", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"), w.pin("node1", "203.0.113.7", "ws", "b"))
		w.apply(Routes{Source: "ingresses", Routes: []Route{{ID: "r", Kind: RouteIngress, Name: "echo", Backend: Backend{Service: ServiceRef{"msgapp", "echo"}, PortName: "http"}}}})
		w.read("node1", nil)
		if all := w.st.Snapshot(w.now).FindingsOf(Target{Kind: "ingress", Name: "echo"}); len(all) != 1 || all[0].Rule != "F03" {
			t.Errorf("%+v", all)
		}
	})
	t.Run("E03 of an ingress pod that is not watched", func(t *testing.T) {
		w := newRulesWorld(t)
		w.read("node1", nil, w.pin("node1", "10.244.2.3", "http", "a"))
		w.want()
		pod := Pod{Ref: PodRef{"ingress", "controller-1"}, IP: "10.244.2.3", Node: "node2", Labels: map[string]string{"app.kubernetes.io/name": "traefik"}}
		w.apply(IngressPodsListed{Pods: []Pod{pod}}) // after the tables were read
		w.want("E03 critical exact: all users of ingress pod ingress/controller-1 are one client, on pod a")
		if got := w.st.Snapshot(w.now).KnownAddresses()[netip.MustParseAddr("10.244.2.3")]; got != "ingress pod ingress/controller-1" {
			t.Errorf("it is %q", got)
		}
	})
	t.Run("E03 where pods of other namespaces may not be listed", func(t *testing.T) {
		w := newRulesWorld(t)
		unchecked := func() (why []string) {
			for _, f := range w.st.Snapshot(w.now).FindingsOf(Target{}) {
				if f.Rule == "E03" && f.Certainty == CertaintyNotChecked && f.Object.Name == "echo" {
					why = append(why, f.NotChecked)
				}
			}
			return why
		}
		w.apply(SourceChanged{SourceStatus{Name: IngressPodsSource, State: SourceAbsent, Detail: "may not be listed"}})
		if got := unchecked(); got != nil {
			t.Errorf("%q though no table is read", got)
		}
		for range 2 {
			w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
			if got := unchecked(); !slices.Equal(got, []string{"may not be listed"}) {
				t.Errorf("not checked: %q", got)
			}
		}
		w.apply(SourceChanged{SourceStatus{Name: IngressPodsSource, State: SourceLive}})
		if got := unchecked(); got != nil {
			t.Errorf("not checked: %q, though they are listed", got)
		}
	})
	t.Run("F01", func(t *testing.T) {
		w := newRulesWorld(t)
		ref := ServiceRef{"msgapp", "echo"}
		w.apply(Routes{Source: "ingresses", Routes: []Route{{ID: "r", Kind: RouteIngress, Namespace: "msgapp", Name: "echo", Backend: Backend{Service: ref, PortName: "http"},
			Layers: []Layer{{Where: LayerService, Bypassed: "traefik connects to pods", Candidates: []Policy{{Mechanism: MechanismClientIP, Timeout: time.Minute}}}}}}})
		w.apply(SessionOpened{SessionSpec{ID: "s01", Route: "r", Transport: "http"}})
		for range ingressAnswers {
			w.want()
			w.apply(Observed{Session: "s01", Status: 200, Answer: Answer{Header: []Field{{"X-Pod-Name", "echo-a"}}}})
		}
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.want("F01 info likely: 10 answers came through the ingress, and node1 holds no pin of it")
	})
}
