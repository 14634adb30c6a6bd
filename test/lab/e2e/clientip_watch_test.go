package e2e

import (
	"encoding/json"
	"errors"
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

func parsePin(text []byte) (pinLine, error) {
	var p pinLine
	err := json.Unmarshal(text, &p)
	if err == nil && (p.Client == "" || p.Endpoint == "" || p.Node != "node2") {
		err = errors.New("not a pin of node2: " + string(text))
	}
	return p, err
}

// pinStream is what the program says over time.
type pinStream struct {
	*lines[pinLine]
	read  int
	pins  map[string]time.Time // "client endpoint" → when it ends
	ended map[string]int       // by reason
}

func followPins(t *testing.T, l *lab.Lab) *pinStream {
	s := &pinStream{pins: map[string]time.Time{}, ended: map[string]int{}}
	s.lines = followIn(t, l, "node2", parsePin, product(t), "get", "pins", "svc/echo", "-n", "msgapp", "--kernel", "local", "--kernel-node", "node2", "-w", "-o", "json")
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
	settles  time.Time // until when the node follows a change
}

func (r *rows) look(t *testing.T) {
	t.Helper()
	truth := nodePins(t, r.l, r.mode, r.timeout)
	now := time.Now()
	r.s.catchUp(t)
	if now.Before(r.settles) {
		clear(r.wrong)
		return
	}
	bad := map[string]string{}
	for key, left := range truth {
		end, ok := r.s.pins[key]
		here := end.Sub(now).Seconds()
		switch {
		case !ok && left > 1:
			bad[key] = fmt.Sprintf("%.1f s left by the node, unknown to the program", left)
		case ok && (here-left > 2 || left-here > 1): // nft cuts off, and was asked a moment before
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
	for key, why := range bad {
		if r.wrong[key]++; r.wrong[key] == late {
			t.Errorf("%s %s: %s, %d looks in a row", now.UTC().Format("15:04:05"), key, why, late)
		}
	}
}

// testPinsOverTime holds the stream of the program against the node while thirty clients come and go, a pod stops
// being ready and is again, the timeout changes, affinity is switched off and on, and a pod goes. For five minutes
// where STICKYTOP_E2E_LONG is set, else for half of one each.
func testPinsOverTime(t *testing.T, l *lab.Lab, mode string) {
	unit := 15 * time.Second
	if os.Getenv("STICKYTOP_E2E_LONG") != "" {
		unit = 50 * time.Second
	}
	patch := func(spec string) {
		kubectl(t, l, "-n", "msgapp", "patch", "service", "echo", "-p", `{"spec":`+spec+`}`)
	}
	patch(`{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}`)
	r := &rows{s: followPins(t, l), l: l, mode: mode, timeout: 60, wrong: map[string]int{}, settles: time.Now().Add(8 * time.Second)}
	turn := 0
	// run looks every second. Each third of the clients connects once in half a minute, so that short timeouts pass.
	run := func(d time.Duration) {
		t.Helper()
		for end := time.Now().Add(d); time.Now().Before(end); {
			began := time.Now()
			if third := turn % 30 / 5; turn%5 == 0 && third < 3 {
				visit(t, l, 101+third*10, 10)
			}
			turn++
			r.look(t)
			time.Sleep(time.Until(began.Add(time.Second)))
		}
	}
	change := func(what func()) {
		what()
		r.settles = time.Now().Add(6 * time.Second)
	}
	visit(t, l, 101, 30)
	run(8*time.Second + unit)
	if len(r.s.pins) < 30 {
		t.Errorf("%d pins of thirty clients", len(r.s.pins))
	}
	pod := podsOf(t, l, "msgapp", "app.kubernetes.io/component=echo")[0]
	change(func() {
		check(t, l.FailReadiness("msgapp/"+pod))
		waitReady(t, l, pod, false)
	})
	run(6*time.Second + unit/2)
	change(func() {
		check(t, l.RestoreReadiness("msgapp/"+pod))
		waitReady(t, l, pod, true)
	})
	run(6*time.Second + unit/2)
	if r.s.ended["endpoint-removed"] == 0 {
		t.Errorf("a pod was not ready for a while, and no pin ended with its endpoint: %v", r.s.ended)
	}
	change(func() { patch(`{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":20}}}`); r.timeout = 20 })
	run(30*time.Second + unit/2)
	change(func() { patch(`{"sessionAffinity":"None","sessionAffinityConfig":null}`) })
	run(10 * time.Second)
	if len(r.s.pins) > 0 {
		t.Errorf("affinity is off, and there are %d pins", len(r.s.pins))
	}
	change(func() {
		patch(`{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}`)
		r.timeout = 60
	})
	visit(t, l, 101, 30)
	run(6*time.Second + unit)
	change(func() {
		kubectl(t, l, "-n", "msgapp", "delete", "pod", pod, "--wait=true")
		check(t, l.WaitFor(within(t, time.Minute), "msgapp/echo"))
	})
	run(6*time.Second + unit)
	if _, code := r.s.stop(t); code != 130 {
		t.Errorf("exit code %d after an interrupt: %s", code, r.s.err)
	}
	if r.s.ended["expired"] == 0 {
		t.Errorf("no pin ended by its time: %v", r.s.ended)
	}
	if r.compared < 300 {
		t.Errorf("%d rows were compared", r.compared)
	}
	t.Logf("%d rows agreed in %d looks; ended %v", r.compared, turn, r.s.ended)
}

// visit connects once from each of n addresses of the client's, 172.30.0.FIRST and following.
func visit(t *testing.T, l *lab.Lab, first, n int) {
	t.Helper()
	script := fmt.Sprintf(`i=%d; while [ $i -lt %d ]; do curl -s -m 5 -o /dev/null --interface 172.30.0.$i http://%s:30080/ || echo "$i failed"; i=$((i+1)); done`,
		first, first+n, l.NodeIP(2))
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
	s := followPins(t, l)
	for first := 101; first < 251; first += 25 {
		visit(t, l, first, 25)
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
	truth := nodePins(t, l, "iptables", 600)
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
	truth, asked := nodePins(t, l, mode, 60), time.Now()
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
