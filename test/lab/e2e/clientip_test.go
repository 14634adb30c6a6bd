package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// pinList is get pins -o json.
type pinList struct {
	Items []struct {
		Node, Client, Pod, Endpoint, Source, Service string
		RemainingSeconds                             *float64
		Shadowed                                     bool
	}
}

// TestPinsByAddress compares get pins --kernel local, on a node, with what nft and procfs say of the same tables:
// new pins, one renewed, an endpoint gone, another timeout, and affinity switched off.
func TestPinsByAddress(t *testing.T) {
	for _, mode := range []string{"nftables", "iptables"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l := labOf(t, "clientip-"+mode)
			// One after the other: all of them change the Service.
			t.Run("changes", func(t *testing.T) { testPinsByAddress(t, l, mode) })
			t.Run("over time", func(t *testing.T) { testPinsOverTime(t, l, mode) })
			t.Run("own addresses", func(t *testing.T) { testOwnAddresses(t, l, mode) })
			t.Run("on screen", func(t *testing.T) { testPinsOnScreen(t, l) })
			if mode == "iptables" {
				t.Run("eviction", func(t *testing.T) { testEviction(t, l) })
			}
		})
	}
}

func testPinsByAddress(t *testing.T, l *lab.Lab, mode string) {
	visit := func(clients ...int) {
		var all sync.WaitGroup
		for _, n := range clients {
			all.Go(func() {
				if out, err := l.Exec(within(t, 10*time.Second), "client", "curl", "-s", "-m", "5", "-o", "/dev/null", "--interface", fmt.Sprintf("172.30.0.%d", n), "http://"+l.NodeIP(2)+":30080/"); err != nil {
					t.Errorf("client %d: %v: %s", n, err, out)
				}
			})
		}
		all.Wait()
	}
	patch := func(spec string) {
		kubectl(t, l, "-n", "msgapp", "patch", "service", "echo", "-p", `{"spec":`+spec+`}`)
	}
	var clients []int
	for n := 101; n <= 130; n++ {
		clients = append(clients, n)
	}
	visit(clients...)
	agreeOnPins(t, l, mode, 60, 30, "thirty new pins")
	time.Sleep(3 * time.Second)
	visit(101)
	pins := agreeOnPins(t, l, mode, 60, 30, "one of them renewed")
	if renewed, other := pins["172.30.0.101"], pins["172.30.0.102"]; renewed-other < 2 {
		t.Errorf("after 3 s the renewed pin has %.1f s left, another %.1f s", renewed, other)
	}

	kubectl(t, l, "-n", "msgapp", "delete", "pod", podsOf(t, l, "msgapp", "app.kubernetes.io/component=echo")[0], "--wait=true")
	check(t, l.WaitFor(within(t, time.Minute), "msgapp/echo"))
	time.Sleep(2 * time.Second) // kube-proxy's turn
	if pins := agreeOnPins(t, l, mode, 60, -1, "a pod deleted"); len(pins) == 0 || len(pins) == 30 {
		t.Errorf("%d pins after one of the pods went", len(pins))
	}

	patch(`{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":8}}}`)
	time.Sleep(2 * time.Second)
	visit(101, 102, 103)
	agreeOnPins(t, l, mode, 8, -1, "another timeout")
	if mode == "iptables" { // a changed timeout counts for old entries there
		time.Sleep(9 * time.Second)
		agreeOnPins(t, l, mode, 8, 0, "all expired, and still in their lists")
	}
	patch(`{"sessionAffinity":"None","sessionAffinityConfig":null}`)
	time.Sleep(2 * time.Second)
	agreeOnPins(t, l, mode, 0, 0, "affinity off")
	patch(`{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}`)
	time.Sleep(2 * time.Second)
	visit(104, 105)
	agreeOnPins(t, l, mode, 60, 2, "affinity on again")
}

// agreeOnPins compares the program's word with the node's, read before and after it, and returns the seconds left of each
// client. want is the number of pins, -1 for any.
func agreeOnPins(t *testing.T, l *lab.Lab, mode string, timeout float64, want int, when string) map[string]float64 {
	t.Helper()
	began := time.Now()
	truth := nodePins(t, l, "node2", mode, timeout)
	cmd, err := l.Command(within(t, 30*time.Second), "node2", product(t), "get", "pins", "svc/echo", "-n", "msgapp", "--kernel", "local", "--kernel-node", "node2", "-o", "json")
	check(t, err)
	out, err := cmd.Output()
	took := time.Since(began).Seconds()
	if err != nil {
		t.Fatalf("%s: get pins: %v: %s", when, err, cmd.Stderr)
	}
	var list pinList
	check(t, json.Unmarshal(out, &list))
	got := map[string]float64{}
	for _, p := range list.Items {
		if p.RemainingSeconds == nil || p.Node != "node2" || p.Source != "kernel" {
			t.Errorf("%s: %+v", when, p)
			continue
		}
		got[p.Client+" "+p.Endpoint] = *p.RemainingSeconds
	}
	left := map[string]float64{}
	for key, there := range truth {
		here, ok := got[key]
		if delta := there - here; ok && (delta < -1 || delta > took+1) {
			t.Errorf("%s: %s has %.2f s left by the node, %.2f s by the program that was asked within %.2f s", when, key, there, here, took)
		} else if !ok && there > took+1 {
			t.Errorf("%s: %s is missing", when, key)
		}
		client, _, _ := strings.Cut(key, " ")
		left[client] = here
	}
	for key := range got {
		if _, ok := truth[key]; !ok {
			t.Errorf("%s: %s is not on the node", when, key)
		}
	}
	if want >= 0 && len(left) != want {
		t.Errorf("%s: %d clients are pinned, want %d", when, len(left), want)
	}
	return left
}

var (
	setEndpoint = regexp.MustCompile(`/echo/tcp/http__([0-9.]+)/([0-9]+)$`)
	recentLine  = regexp.MustCompile(`src=(\S+) ttl: \d+ last_seen: (\d+)`)
	sepRule     = regexp.MustCompile(`--set --name (KUBE-SEP-\w+) .*--to-destination (\S+)`)
	jiffiesLine = regexp.MustCompile(`(?m)^jiffies: (\d+)$`)
)

// nodePins returns the seconds left of each "client endpoint" of Service echo, by a node's own tools.
func nodePins(t *testing.T, l *lab.Lab, node, mode string, timeout float64) map[string]float64 {
	t.Helper()
	pins := map[string]float64{}
	if mode == "nftables" {
		out, err := l.Exec(within(t, 10*time.Second), node, "nft", "-j", "list", "sets", "table", "ip", "kube-proxy")
		check(t, err)
		var all struct {
			Nftables []struct {
				Set struct {
					Name string
					Elem []struct {
						Elem struct {
							Val     any
							Expires float64
						}
					}
				}
			}
		}
		// Other sets hold elements of other shapes.
		var raw struct{ Nftables []json.RawMessage }
		check(t, json.Unmarshal(out, &raw))
		for _, object := range raw.Nftables {
			one := all
			if json.Unmarshal([]byte(`{"nftables":[`+string(object)+`]}`), &one) != nil || len(one.Nftables) != 1 {
				continue
			}
			if m := setEndpoint.FindStringSubmatch(one.Nftables[0].Set.Name); m != nil {
				for _, e := range one.Nftables[0].Set.Elem {
					pins[fmt.Sprint(e.Elem.Val)+" "+m[1]+":"+m[2]] = e.Elem.Expires
				}
			}
		}
		return pins
	}
	out, err := l.Exec(within(t, 10*time.Second), node, "sh", "-c",
		`iptables-save -t nat | grep -- --set; for f in /proc/net/xt_recent/*; do echo "list ${f##*/}"; cat $f; done 2>/dev/null; grep -m1 ^jiffies: /proc/timer_list; zcat /proc/config.gz | grep ^CONFIG_HZ=`)
	check(t, err)
	text := string(out)
	_, hertz, _ := strings.Cut(text, "CONFIG_HZ=")
	hz, err := strconv.ParseFloat(strings.TrimSpace(hertz), 64)
	m := jiffiesLine.FindStringSubmatch(text)
	if err != nil || m == nil {
		t.Skip("this machine does not tell its jiffies and HZ")
	}
	now, _ := strconv.ParseFloat(m[1], 64)
	endpoint := map[string]string{}
	for _, rule := range sepRule.FindAllStringSubmatch(text, -1) {
		endpoint[rule[1]] = rule[2]
	}
	list := ""
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "list "); ok {
			list = endpoint[name]
			continue
		}
		// The other Service with affinity is msgapp-backend, on port 5000.
		if m := recentLine.FindStringSubmatch(line); m != nil && list != "" && !strings.HasSuffix(list, ":5000") {
			seen, _ := strconv.ParseFloat(m[2], 64)
			if left := timeout - (now-seen)/hz; left >= 0 && netip.MustParseAddr(m[1]).IsValid() {
				pins[m[1]+" "+list] = math.Max(left, 0)
			}
		}
	}
	return pins
}
