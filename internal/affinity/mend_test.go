package affinity

import (
	"strings"
	"testing"
	"time"
)

// patches are those of the findings of a rule that tables or sessions showed.
func patches(st *State, rule string, now time.Time) (all []string) {
	for _, f := range st.Snapshot(now).Findings {
		if f.Rule == rule && !f.At.IsZero() {
			all = append(all, f.Fix+"|"+f.Patch)
		}
	}
	return all
}

// TestPinFixes: what nodes' tables show brings a command where there is one.
func TestPinFixes(t *testing.T) {
	service := ObjectRef{Kind: "Service", Namespace: "msgapp", Name: "echo"}
	objects := func(w *rulesWorld, rule string, o ObjectRef, route RouteID) {
		w.apply(Findings{Source: "rules", Findings: []Finding{{Rule: rule, Title: "x", Severity: SeverityHigh, Object: o, Route: route, Fix: "theirs", Patch: "kubectl theirs"}}})
	}
	want := func(w *rulesWorld, rule, fix string) {
		t.Helper()
		got := patches(&w.st, rule, w.now)
		if len(got) == 0 || !strings.Contains(got[0], fix) || fix == "" && !strings.HasSuffix(got[0], "|") {
			t.Errorf("%s: %q, want %q", rule, got, fix)
		}
	}
	shown := map[string]func(*rulesWorld){
		"F02": func(w *rulesWorld) {
			w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
			w.read("node2", nil, w.pin("node2", "203.0.113.7", "http", "b"))
			w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		},
		"F03": func(w *rulesWorld) {
			w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"), w.pin("node1", "203.0.113.7", "ws", "b"))
		},
		"F05": func(w *rulesWorld) { w.read("node1", []AddressList{w.list("node1", "a", 90, 100, true)}) },
		"E03": func(w *rulesWorld) { w.read("node1", nil, w.pin("node1", "10.244.1.90", "http", "a")) },
	}
	for rule, show := range shown {
		w := newRulesWorld(t)
		show(w)
		want(w, rule, "")
		objects(w, rule, ObjectRef{Kind: "Service", Namespace: "msgapp", Name: "other"}, "r")
		want(w, rule, "")
		objects(w, rule, service, "r") // also when it comes later
		want(w, rule, "theirs|kubectl theirs")
	}
	w := newRulesWorld(t)
	shown["E03"](w)
	objects(w, "E03", service, "") // of the load balancer
	want(w, "E03", "")
	w = newRulesWorld(t)
	w.read("node1", []AddressList{w.list("node1", "a", 65535, 65535, false)}) // no iptables
	objects(w, "F05", service, "")
	want(w, "F05", "")

	unready := func(slice bool) *rulesWorld {
		w := newRulesWorld(t)
		w.pod("a", false)
		if !slice {
			w.apply(EndpointsChanged{Service: ServiceRef{"msgapp", "echo"}, Endpoints: []Endpoint{{Addr: endpointIP("a") + ":8080", PortName: "http", Pod: PodRef{"msgapp", "echo-a"}}}})
		}
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		w.after(proxyLag + time.Second)
		w.read("node1", nil, w.pin("node1", "203.0.113.7", "http", "a"))
		return w
	}
	want(unready(true), "D02", `kubectl patch service echo -n msgapp -p '{"spec":{"publishNotReadyAddresses":false}}'`)
	want(unready(false), "D02", "kubectl -n msgapp describe pod echo-a")

	for client, fix := range map[string]string{"203.0.113.7": "", "10.244.1.90": `kubectl patch service echo -n msgapp -p '{"spec":{"sessionAffinity":"None","sessionAffinityConfig":null}}'`} {
		w := newRulesWorld(t)
		p := w.pin("node1", client, "http", "a")
		for range 8 {
			w.after(29 * time.Second)
			p.Renewed, p.Expires = w.now, w.now.Add(time.Minute)
			w.read("node1", []AddressList{w.list("node1", "a", 1, 100, true)}, p)
		}
		want(w, "E04", fix)
	}
}
