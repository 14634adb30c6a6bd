package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// pinLine is one line of get pins -w -o json.
type pinLine struct {
	Node, Client, Pod, Endpoint, Source, Ended string
	Expires                                    *time.Time
	Shadowed                                   bool
}

func pinOf(node string) func(text []byte) (pinLine, error) {
	return func(text []byte) (pinLine, error) {
		var p pinLine
		err := json.Unmarshal(text, &p)
		if err == nil && (p.Client == "" || p.Endpoint == "" || p.Node != node) {
			err = fmt.Errorf("not a pin of %s: %s", node, text)
		}
		return p, err
	}
}

// pinStream is what the program says over time.
type pinStream struct {
	*lines[pinLine]
	node  string
	read  int
	pins  map[string]time.Time // "client endpoint" → when it ends
	ended map[string]int       // by reason
}

func followPins(t *testing.T, l *lab.Lab, node string) *pinStream {
	s := &pinStream{node: node, pins: map[string]time.Time{}, ended: map[string]int{}}
	s.lines = followIn(t, l, node, pinOf(node), product(t), "get", "pins", "svc/echo", "-n", "msgapp", "--kernel", "local", "--kernel-node", node, "-w", "-o", "json")
	return s
}

// catchUp takes the lines that came since.
func (s *pinStream) catchUp(t *testing.T) {
	t.Helper()
	all := s.all()
	for ; s.read < len(all); s.read++ {
		p := all[s.read].what
		key := p.Client + " " + p.Endpoint
		switch {
		case p.Ended != "":
			delete(s.pins, key)
			s.ended[p.Ended]++
		case p.Expires == nil || p.Source != "kernel":
			t.Errorf("%+v: no deadline of the kernel's", p)
		default:
			s.pins[key] = *p.Expires
		}
	}
}

// late is for how many looks in a row, a second apart, a row may differ: the program reads once a second, and
// publishes after that.
const late = 3

// rows compares the program's rows with the node's, again and again.
type rows struct {
	s        *pinStream
	l        *lab.Lab
	mode     string
	timeout  float64
	wrong    map[string]int
	compared int
	off      int       // rows that were more than a second off at one look
	settles  time.Time // until when the node follows a change
}

func (r *rows) look(t *testing.T) {
	t.Helper()
	truth := nodePins(t, r.l, r.s.node, r.mode, r.timeout)
	now := time.Now()
	r.s.catchUp(t)
	if now.Before(r.settles) {
		clear(r.wrong)
		return
	}
	cut := 0.0
	if r.mode == "nftables" {
		cut = 1 // nft tells whole seconds
	}
	bad := map[string]string{}
	for key, left := range truth {
		end, ok := r.s.pins[key]
		here := end.Sub(now).Seconds()
		switch {
		case !ok && left > 1:
			bad[key] = fmt.Sprintf("%.1f s left by the node, unknown to the program", left)
		case ok && (here-left > 1+cut || left-here > 1):
			bad[key] = fmt.Sprintf("%.2f s left by the node, %.2f s by the program", left, here)
		case ok:
			r.compared++
		}
	}
	for key, end := range r.s.pins {
		if _, there := truth[key]; !there && end.After(now.Add(time.Second)) {
			bad[key] = fmt.Sprintf("%.1f s left by the program, not on the node", end.Sub(now).Seconds())
		}
	}
	for key := range r.wrong {
		if bad[key] == "" {
			delete(r.wrong, key)
		}
	}
	r.off += len(bad)
	for key, why := range bad {
		if r.wrong[key]++; r.wrong[key] == late {
			t.Errorf("%s %s %s: %s, %d looks in a row", now.UTC().Format("15:04:05"), r.s.node, key, why, late)
		}
	}
}

// testPinsOverTime holds the streams of the program on both nodes against them while thirty clients come and go, a pod
// stops being ready and is again, the timeout changes, affinity is switched off and on, and a pod goes. For five minutes
// where STICKYTOP_E2E_LONG is set, else for less than half of that.
func testPinsOverTime(t *testing.T, l *lab.Lab, mode string) {
	unit := 15 * time.Second
	if os.Getenv("STICKYTOP_E2E_LONG") != "" {
		unit = 50 * time.Second
	}
	patch := func(spec string) {
		kubectl(t, l, "-n", "msgapp", "patch", "service", "echo", "-p", `{"spec":`+spec+`}`)
	}
	patch(`{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}`)
	var nodes []*rows
	for _, node := range []string{"node1", "node2"} {
		nodes = append(nodes, &rows{s: followPins(t, l, node), l: l, mode: mode, timeout: 60, wrong: map[string]int{}, settles: time.Now().Add(8 * time.Second)})
	}
	turn, began := 0, time.Now()
	// run looks every second. Each third of the clients connects once in half a minute, by one node two seconds after the
	// other, so that short timeouts pass.
	run := func(d time.Duration) {
		t.Helper()
		for end := time.Now().Add(d); time.Now().Before(end); {
			began := time.Now()
			for i, at := range []int{2, 0} {
				if third := turn % 30 / 5; turn%5 == at && third < 3 {
					visit(t, l, i+1, 101+third*10, 10)
				}
			}
			turn++
			for _, r := range nodes {
				r.look(t)
			}
			time.Sleep(time.Until(began.Add(time.Second)))
		}
	}
	change := func(timeout float64, what func()) {
		what()
		for _, r := range nodes {
			r.timeout, r.settles = timeout, time.Now().Add(6*time.Second)
		}
	}
	each := func(f func(r *rows)) {
		for _, r := range nodes {
			f(r)
		}
	}
	all := func() {
		visit(t, l, 1, 101, 30)
		visit(t, l, 2, 101, 30)
	}
	all()
	run(8*time.Second + unit)
	each(func(r *rows) {
		if len(r.s.pins) < 30 {
			t.Errorf("%s: %d pins of thirty clients", r.s.node, len(r.s.pins))
		}
	})
	pod := podsOf(t, l, "msgapp", "app.kubernetes.io/component=echo")[0]
	change(60, func() {
		check(t, l.FailReadiness("msgapp/"+pod))
		waitReady(t, l, pod, false)
	})
	run(6*time.Second + unit/2)
	change(60, func() {
		check(t, l.RestoreReadiness("msgapp/"+pod))
		waitReady(t, l, pod, true)
	})
	run(6*time.Second + unit/2)
	each(func(r *rows) {
		if r.s.ended["endpoint-removed"] == 0 {
			t.Errorf("%s: a pod was not ready for a while, and no pin ended with its endpoint: %v", r.s.node, r.s.ended)
		}
	})
	change(20, func() { patch(`{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":20}}}`) })
	run(30*time.Second + unit/2)
	change(20, func() { patch(`{"sessionAffinity":"None","sessionAffinityConfig":null}`) })
	run(10 * time.Second)
	each(func(r *rows) {
		if len(r.s.pins) > 0 {
			t.Errorf("%s: affinity is off, and there are %d pins", r.s.node, len(r.s.pins))
		}
	})
	change(60, func() {
		patch(`{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}`)
	})
	all()
	run(6*time.Second + unit)
	change(60, func() {
		kubectl(t, l, "-n", "msgapp", "delete", "pod", pod, "--wait=true")
		check(t, l.WaitFor(within(t, time.Minute), "msgapp/echo"))
	})
	run(6*time.Second + unit)
	each(func(r *rows) {
		if _, code := r.s.stop(t); code != 130 {
			t.Errorf("%s: exit code %d after an interrupt: %s", r.s.node, code, r.s.err)
		}
		if r.s.ended["expired"] == 0 {
			t.Errorf("%s: no pin ended by its time: %v", r.s.node, r.s.ended)
		}
		if r.compared < 300 {
			t.Errorf("%s: %d rows were compared", r.s.node, r.compared)
		}
		t.Logf("%s, %s: %d rows agreed in %d looks and %.0f s, %d were off at one look; ended %v", mode, r.s.node, r.compared, turn,
			time.Since(began).Seconds(), r.off, r.s.ended)
	})
}

// visit connects once from each of n addresses of the client's, 172.30.0.FIRST and following, by a node.
func visit(t *testing.T, l *lab.Lab, node, first, n int) {
	t.Helper()
	script := fmt.Sprintf(`i=%d; while [ $i -lt %d ]; do curl -s -m 5 -o /dev/null --interface 172.30.0.$i http://%s:30080/ || echo "$i failed"; i=$((i+1)); done`,
		first, first+n, l.NodeIP(node))
	if out, err := l.Exec(within(t, 2*time.Minute), "client", "sh", "-c", script); err != nil || len(out) > 0 {
		t.Errorf("visit: %v: %s", err, out)
	}
}

func waitReady(t *testing.T, l *lab.Lab, pod string, want bool) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("%s ready is %v", pod, want), func() bool {
		out := kubectl(t, l, "-n", "msgapp", "get", "pod", pod, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		return strings.TrimSpace(out) == map[bool]string{true: "True", false: "False"}[want]
	})
}

// testEviction sends 150 clients to one pod through a node in iptables mode, whose lists take a hundred.
func testEviction(t *testing.T, l *lab.Lab) {
	script := `i=150; while [ $i -le 250 ]; do ip addr add 172.30.0.$i/24 dev eth0; i=$((i+1)); done`
	_, err := l.Exec(within(t, time.Minute), "client", "sh", "-c", script)
	check(t, err)
	check(t, l.Scale(within(t, time.Minute), "msgapp/echo", 1))
	check(t, l.WaitFor(within(t, time.Minute), "msgapp/echo"))
	kubectl(t, l, "-n", "msgapp", "patch", "service", "echo", "-p", `{"spec":{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":600}}}}`)
	time.Sleep(3 * time.Second) // kube-proxy's turn
	s := followPins(t, l, "node2")
	for first := 101; first < 251; first += 25 {
		visit(t, l, 2, first, 25)
		time.Sleep(1500 * time.Millisecond)
	}
	// Clients of the tests before may be among those that had to go.
	end := time.Now().Add(10 * time.Second)
	for s.ended["evicted"] < 50 || len(s.pins) != 100 {
		if s.catchUp(t); time.Now().After(end) {
			t.Errorf("%d pins, ended %v: want a hundred, at least fifty evicted", len(s.pins), s.ended)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	truth := nodePins(t, l, "node2", "iptables", 600)
	for key := range s.pins {
		if _, ok := truth[key]; !ok {
			t.Errorf("%s is not on the node", key)
		}
	}
	if len(truth) != 100 {
		t.Errorf("the node has %d clients", len(truth))
	}
	s.stop(t)
	cmd, err := l.Command(within(t, time.Minute), "node2", product(t), "get", "findings", "svc/echo", "-n", "msgapp", "--kernel", "local", "--kernel-node", "node2", "--no-probe", "--for", "5s")
	check(t, err)
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "its list is full") {
		t.Errorf("get findings: %v, no word of the full list:\n%s", err, out)
	}
	check(t, l.Scale(within(t, time.Minute), "msgapp/echo", 3))
	check(t, l.WaitFor(within(t, time.Minute), "msgapp/echo"))
}

// testOwnAddresses holds sessions from addresses of a node, and compares what was derived from their connections with
// the node's own word.
func testOwnAddresses(t *testing.T, l *lab.Lab, mode string) {
	kubectl(t, l, "-n", "msgapp", "patch", "service", "echo", "-p", `{"spec":{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}}`)
	time.Sleep(3 * time.Second) // kube-proxy's turn
	// 127.0.0.0/8 goes where kube-proxy lets it (route_localnet), a client's own addresses anywhere.
	from, where, url := "172.30.0.101,172.30.0.102,172.30.0.103", "client", "--url=http://"+l.NodeIP(2)+":30080/"
	if mode == "iptables" {
		from, where, url = "127.0.0.5,127.0.0.6,127.0.0.7", "node2", "--host="
	}
	args := []string{"get", "pins", "svc/echo:http", "-n", "msgapp", "--from", "local", "--source-ip", from, "--kernel-node", "node2", url, "--for", "6s", "-o", "json"}
	cmd, err := l.Command(within(t, time.Minute), where, product(t), args...)
	check(t, err)
	out, err := cmd.Output()
	truth, asked := nodePins(t, l, "node2", mode, 60), time.Now()
	if err != nil {
		t.Fatalf("get pins: %v: %s", err, cmd.Stderr)
	}
	var list struct{ Items []pinLine }
	check(t, json.Unmarshal(out, &list))
	if len(list.Items) != 3 {
		t.Errorf("%d pins of three clients:\n%s", len(list.Items), out)
	}
	for _, p := range list.Items {
		left, ok := truth[p.Client+" "+p.Endpoint]
		if here := p.Expires.Sub(asked).Seconds(); !ok || here-left > 2 || left-here > 1 {
			t.Errorf("%s %s: %.1f s left by the node (%v), %.1f s derived", p.Client, p.Endpoint, left, ok, here)
		}
		want := "derived"
		if where == "client" { // which is no node, and does not know how that one keeps pins
			want = "assumed"
		}
		if p.Source != want || p.Node != "node2" {
			t.Errorf("%s is %s on %s, want %s on node2", p.Client, p.Source, p.Node, want)
		}
	}
	// By TCP alone the node's tables tell the pod.
	args = []string{"get", "sessions", "svc/echo", "-n", "msgapp", "--source-ip", from, "--transport", "tcp", "--kernel", "local", "--kernel-node", "node2", "--for", "6s", "-o", "json"}
	if mode != "iptables" {
		return
	}
	cmd, err = l.Command(within(t, time.Minute), "node2", product(t), args...)
	check(t, err)
	out, err = cmd.Output()
	check(t, err)
	for _, s := range parseList(t, string(out)).Items {
		if s.State != "STUCK" || s.Via != "kernel" || s.Pod == nil {
			t.Errorf("%s by tcp: %s by %q", s.Name, s.State, s.Via)
		}
	}
}
