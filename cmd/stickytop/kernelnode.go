package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// strangeNode says why the name that this machine's pins go by may be none of the
// cluster's: no pod is on a node of that name. A machine that is no node for sure
// need not have one. What pods are at one of the
// machine's addresses, own, tells what the cluster calls it. "" where the name
// is known, or nothing tells.
func strangeNode(name string, node bool, pods []affinity.Pod, own []netip.Addr) string {
	placed, here := false, ""
	for _, p := range pods {
		if p.Node == name {
			return ""
		}
		placed = placed || p.Node != ""
		host, err := netip.ParseAddr(p.HostIP)
		if err != nil {
			continue
		}
		for _, a := range own {
			if a == host.Unmap() && !a.IsLoopback() {
				here = p.Node
			}
		}
	}
	switch {
	case !placed:
		return ""
	case here != "":
		return fmt.Sprintf("this machine goes by %q, and the cluster calls it %s: --kernel-node %[2]s", name, affinity.Clean(here, 253))
	}
	if !node {
		return ""
	}
	return fmt.Sprintf("this machine goes by %q, and no pod here is on a node of that name: --kernel-node says what the cluster calls it", name)
}

// ownAddresses are those of this machine.
func ownAddresses() (own []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, ip.Unmap())
			}
		}
	}
	return own
}
