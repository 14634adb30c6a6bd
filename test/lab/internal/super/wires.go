package super

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kubestickytop/stickytop/test/lab/internal/agent"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
	"github.com/kubestickytop/stickytop/test/lab/internal/world"
)

// fault is a network fault between two places, and how to end it.
type fault struct {
	a, b string
	text string
	heal func() error
}

// wires are the network faults in force.
type wires struct {
	mu     sync.Mutex
	next   int
	faults []fault
}

func (w *wires) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, f := range w.faults {
		out = append(out, f.text)
	}
	return out
}

// add makes a fault with a number of its own and keeps it.
func (w *wires) add(a, b, text string, begin func(number int) (func() error, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults {
		if f.a == a && f.b == b || f.a == b && f.b == a {
			return fmt.Errorf("there is a fault already (%s): heal it first", f.text)
		}
	}
	w.next++
	heal, err := begin(w.next)
	if err != nil {
		return err
	}
	w.faults = append(w.faults, fault{a, b, text, heal})
	return nil
}

// heal ends the fault between two places, or every fault when both are empty.
func (s *Supervisor) heal(a, b string) error {
	s.wires.mu.Lock()
	defer s.wires.mu.Unlock()
	var left []fault
	healed := false
	var failed error
	for _, f := range s.wires.faults {
		if a != "" && (f.a != a || f.b != b) && (f.a != b || f.b != a) {
			left = append(left, f)
			continue
		}
		healed = true
		if err := f.heal(); err != nil {
			failed = err
		}
	}
	s.wires.faults = left
	if !healed && a != "" {
		return fmt.Errorf("no fault between %s and %s", a, b)
	}
	return failed
}

// place is one side of a network fault.
type place struct {
	name string
	ns   string
	ip   string   // its own address
	ips  []string // every address that speaks for it; a node speaks for its pods
}

// place resolves client, control, nodeN, or pod/NAMESPACE/NAME.
func (s *Supervisor) place(name string) (place, error) {
	switch name {
	case layout.Control:
		return place{name, "", layout.ControlIP, []string{layout.ControlIP}}, nil
	case layout.Client:
		p := place{name: name, ns: name, ip: layout.ClientIP(0)}
		for i := range layout.LastClient - layout.FirstClient + 1 {
			p.ips = append(p.ips, layout.ClientIP(i))
		}
		return p, nil
	}
	for i := 1; i <= s.spec.Nodes; i++ {
		if name == layout.NodeName(i) {
			return place{name, name, layout.NodeIP(i), []string{layout.NodeIP(i), layout.NodePods(i)}}, nil
		}
	}
	if rest, ok := strings.CutPrefix(name, "pod/"); ok {
		namespace, base, _ := strings.Cut(rest, "/")
		pod, err := agent.FindPod(s.spec, namespace, base)
		if err != nil {
			return place{}, err
		}
		if pod.NS == "" {
			return place{}, fmt.Errorf("pod %s is on its node's network: name %s", base, pod.Node)
		}
		return place{name, pod.NS, pod.IP, []string{pod.IP}}, nil
	}
	return place{}, fmt.Errorf("no place %q: want client, control, node1, ... or pod/NAME", name)
}

func (s *Supervisor) places(q url.Values) (a, b place, err error) {
	if a, err = s.place(q.Get("a")); err != nil {
		return a, b, err
	}
	if b, err = s.place(q.Get("b")); err != nil {
		return a, b, err
	}
	if a.ns == b.ns {
		return a, b, fmt.Errorf("%s and %s are one place", a.name, b.name)
	}
	return a, b, nil
}

// drop throws away a share of the packets between two places, both ways, where they arrive.
func (s *Supervisor) drop(q url.Values) error {
	a, b, err := s.places(q)
	if err != nil {
		return err
	}
	percent, err := strconv.Atoi(q.Get("percent"))
	if err != nil || percent < 1 || percent > 100 {
		return fmt.Errorf("percent %q: want 1 to 100", q.Get("percent"))
	}
	text := fmt.Sprintf("drop %d%% between %s and %s", percent, a.name, b.name)
	return s.wires.add(a.name, b.name, text, func(number int) (func() error, error) {
		table := fmt.Sprintf("lab_fault_%d", number)
		heal := func() error {
			return errors.Join(undrop(a.ns, table), undrop(b.ns, table))
		}
		if err := dropFrom(a.ns, table, b.ips, percent); err != nil {
			return nil, err
		}
		if err := dropFrom(b.ns, table, a.ips, percent); err != nil {
			nft(a.ns, "delete table inet "+table)
			return nil, err
		}
		return heal, nil
	})
}

func dropFrom(ns, table string, sources []string, percent int) error {
	luck := ""
	if percent < 100 {
		luck = fmt.Sprintf("numgen random mod 100 < %d ", percent)
	}
	return nft(ns, fmt.Sprintf("table inet %s {\n chain in {\n type filter hook prerouting priority -400;\n ip saddr { %s } %scounter drop\n }\n}",
		table, strings.Join(sources, ", "), luck))
}

// undrop ends dropFrom. A pod that is gone has taken its part of the fault along.
func undrop(ns, table string) error {
	err := nft(ns, "delete table inet "+table)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func nft(ns, rules string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules + "\n")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := netns.Do(ns, cmd.Run); err != nil {
		return fmt.Errorf("nft in %q: %w: %s", ns, err, strings.TrimSpace(out.String()))
	}
	return nil
}

// delay makes every packet between two places late, each way. There is no sch_netem on every kernel, nor a tun
// device for every user: the packets take a wire of their own, two veth pairs with a copying process between.
func (s *Supervisor) delay(q url.Values) error {
	a, b, err := s.places(q)
	if err != nil {
		return err
	}
	if strings.HasPrefix(a.name, "pod/") || strings.HasPrefix(b.name, "pod/") {
		return fmt.Errorf("delays work between client, control and nodes; a pod's packets are delayed with its node's")
	}
	late, err := time.ParseDuration(q.Get("delay"))
	if err != nil || late <= 0 || late > time.Minute {
		return fmt.Errorf("delay %q: want a duration up to 1m", q.Get("delay"))
	}
	text := fmt.Sprintf("delay %s each way between %s and %s", late, a.name, b.name)
	return s.wires.add(a.name, b.name, text, func(number int) (func() error, error) {
		w, err := world.NewWire(number, world.End{NS: a.ns, IP: a.ip, IPs: hosts(a.ips)}, world.End{NS: b.ns, IP: b.ip, IPs: hosts(b.ips)}, late)
		if err != nil {
			return nil, err
		}
		return w.Close, nil
	})
}

// hosts leaves out networks: they are reached by way of their node.
func hosts(ips []string) []string {
	var out []string
	for _, ip := range ips {
		if !strings.Contains(ip, "/") {
			out = append(out, ip)
		}
	}
	return out
}
