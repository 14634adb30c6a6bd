package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// lost is a world whose watches were lost for a reason that is long.
func lost() *world {
	w := story()
	for _, name := range []string{"services", "ingressclasses", "ingresses", "pods", "endpointslices"} {
		w.apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: name, State: affinity.SourceStale, Since: w.now,
			Detail: `Get "https://10.0.0.1:6443/api/v1": dial tcp 10.0.0.1:6443: connect: connection refused`}})
	}
	return w
}

// TestEventInFull: enter tells what one line cuts, then leads on.
func TestEventInFull(t *testing.T) {
	const want = `watch services, ingressclasses, ingresses, pods, endpointslices lost: Get "https://10.0.0.1:6443/api/v1": dial tcp 10.0.0.1:6443: connect: connection refused`
	for _, size := range [][2]int{{44, 10}, {60, 15}, {80, 24}} {
		w := lost()
		m := sized(w.options(), size[0], size[1])
		press(m, "4")
		if text := stripColours(m.View()); strings.Contains(text, "watch watch") {
			t.Errorf("%v: the source is said twice:\n%s", size, text)
		}
		press(m, "enter")
		all := func() string { return strings.Join(strings.Fields(stripColours(m.View())), "") }
		if got := all(); !strings.Contains(got, strings.ReplaceAll(want, " ", "")) {
			t.Errorf("%v: the event is not told in full:\n%s", size, m.View())
		}
		w.now = w.now.Add(time.Second)
		w.answer("s01", podB, true, time.Millisecond) // what is newer does not take its place
		m.tick(w.snap(), w.now)
		if got := all(); !strings.Contains(got, "connectionrefused") {
			t.Errorf("%v: a newer event took the place of the one that is read", size)
		}
		press(m, "esc")
		if m.events.full || m.view != viewEvents {
			t.Errorf("%v: esc does not go back to the list", size)
		}
		press(m, "/", "type:session=s11", "enter", "enter")
		if !strings.Contains(all(), "enteropenssessions11") {
			t.Errorf("%v: what enter opens next is not said:\n%s", size, m.View())
		}
		if press(m, "enter"); m.detail.id != "s11" {
			t.Errorf("%v: enter does not lead to the session", size)
		}
	}
	m := sized(lost().options(), 140, 40)
	press(m, "4", "/", "type:session=s11", "enter")
	m.View()
	if press(m, "enter"); m.detail.id != "s11" {
		t.Error("140x40: the event is told below the list, yet enter does not lead to its session")
	}
}

// TestGroupedUnderADeletedPod: where a controller keeps clients on a terminating
// pod, the moves come with its end, which changes no ready endpoint. They stand
// under the line that told of the pod.
func TestGroupedUnderADeletedPod(t *testing.T) {
	w := newWorld()
	policy := &w.route.Layers[0].Candidates[0]
	policy.Controller, policy.KeepsTerminating = "traefik", true
	w.sources(affinity.SourceLive, "")
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	w.add(podA, "10.4.1.23", "node-1", time.Hour)
	w.add(podB, "10.4.2.7", "node-2", time.Hour)
	w.add(podC, "10.4.2.9", "node-2", time.Hour)
	ids := []string{"s01", "s02", "s03", "s04"}
	for i, id := range ids {
		w.open(id, affinity.ClientBrowser)
		w.answer(id, []string{podA, podB}[i/2], true, time.Millisecond)
	}
	w.now = w.now.Add(time.Second)
	w.drain(podA)
	w.drain(podB)
	w.now = w.now.Add(30 * time.Second)
	kept := w.eps[2:]
	w.eps = kept
	w.endpoints() // both at once
	w.apply(affinity.PodGone{Ref: podRef(podA)}, affinity.PodGone{Ref: podRef(podB)})
	w.now = w.now.Add(time.Second)
	for _, id := range ids {
		w.answer(id, podC, true, time.Millisecond)
	}
	m := sized(w.options(), 140, 40)
	press(m, "4")
	m.events.grouped = true
	text := stripColours(m.View())
	for _, want := range []string{"−A 2xkqp  (2 events)", "−B 8mmzd  (2 events)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "├ s0") + strings.Count(text, "└ s0"); n != 4 {
		t.Errorf("%d of 4 moves stand under a cause:\n%s", n, text)
	}
}
