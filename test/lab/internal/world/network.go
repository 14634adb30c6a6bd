// Package world makes the lab's own Linux: namespaces, a bridge, nodes, and an init process whose end ends everything.
package world

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
)

// IP runs ip(8) commands, one per line, inside a network namespace.
func IP(ns, commands string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := netns.Do(ns, cmd.Run); err != nil {
		return fmt.Errorf("ip in %q: %w: %s", ns, err, strings.TrimSpace(out.String()))
	}
	return nil
}

// Sysctl writes network sysctls (below /proc/sys/net, with slashes) inside a network namespace.
func Sysctl(ns string, settings map[string]string) error {
	return netns.Do(ns, func() error {
		for key, value := range settings {
			if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644); err != nil {
				return fmt.Errorf("sysctl in %q: %w", ns, err)
			}
		}
		return nil
	})
}

// Build makes the lab's network: the caller's own namespace becomes the control plane, with a bridge that
// joins it to the client and to every node by a veth pair each.
func Build(spec layout.Spec) error {
	err := IP("", "link set lo up\nlink add lab0 type bridge\nlink set lab0 up\naddr add "+layout.ControlIP+"/24 dev lab0\n")
	if err != nil {
		return err
	}
	if err := settle("", "lab0"); err != nil {
		return err
	}
	if err := join(layout.Client, layout.ClientIP(0)); err != nil {
		return err
	}
	var clients strings.Builder
	for last := layout.FirstClient + 1; last <= layout.LastClient; last++ {
		fmt.Fprintf(&clients, "addr add %s/24 dev eth0\n", layout.ClientIP(last-layout.FirstClient))
	}
	if err := IP(layout.Client, clients.String()); err != nil {
		return err
	}
	for i := 1; i <= spec.Nodes; i++ {
		if err := join(layout.NodeName(i), layout.NodeIP(i)); err != nil {
			return err
		}
	}
	return routePods(spec)
}

// join adds a namespace to the bridge.
func join(name, ip string) error {
	port := "p-" + name
	cmd := exec.Command("ip", "netns", "add", name)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip netns add %s: %w: %s", name, err, out)
	}
	err := IP("", fmt.Sprintf("link add %s type veth peer name eth0 netns %s\nlink set %s master lab0 up\n", port, name, port))
	if err != nil {
		return err
	}
	err = IP(name, fmt.Sprintf("link set lo up\nlink set eth0 up\naddr add %s/24 dev eth0\nroute add default via %s\n", ip, layout.ControlIP))
	if err != nil {
		return err
	}
	return settle(name, "eth0")
}

// settle makes a namespace's settings the lab's: new namespaces take some of them from the host.
func settle(ns, device string) error {
	err := Sysctl(ns, map[string]string{
		"ipv4/ip_forward": "1",
		// A delayed path may differ from the way back.
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", "ipv4/conf/" + device + "/rp_filter": "0",
		"ipv4/conf/all/arp_ignore": "0", "ipv4/conf/all/arp_filter": "0",
	})
	if err != nil {
		return err
	}
	// What the bridge switches is none of the control plane's packet filter's business. Without br_netfilter there is no such setting.
	err = Sysctl(ns, map[string]string{"bridge/bridge-nf-call-iptables": "0"})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// routePods lets every namespace reach the pods of every node.
func routePods(spec layout.Spec) error {
	for i := 1; i <= spec.Nodes; i++ {
		// An address that no pod has must not wander back to the control plane and in again.
		if err := IP(layout.NodeName(i), "route add unreachable "+layout.NodePods(i)+"\n"); err != nil {
			return err
		}
		route := fmt.Sprintf("route add %s via %s\n", layout.NodePods(i), layout.NodeIP(i))
		if err := IP("", route); err != nil {
			return err
		}
		if err := IP(layout.Client, route); err != nil {
			return err
		}
		for j := 1; j <= spec.Nodes; j++ {
			if j == i {
				continue
			}
			if err := IP(layout.NodeName(j), route); err != nil {
				return err
			}
		}
	}
	return nil
}
