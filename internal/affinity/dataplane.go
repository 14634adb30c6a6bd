package affinity

import (
	"slices"
	"strings"
)

// Dataplane is what keeps pins by address on the nodes, as the cluster's own
// objects or the nodes tell.
type Dataplane struct {
	Mode   string // one of the Mode… values; "" when nothing tells, or nodes differ
	Why    string // which object says so, or what could not be read; safe to print
	Read   bool   // nodes' own tables told, not objects
	Differ string // the modes of nodes that differ, sorted, as "iptables, nftables"
}

// Modes of a Dataplane; the first three are kube-proxy's own words.
const (
	ModeIPTables   = "iptables"
	ModeNFTables   = "nftables"
	ModeIPVS       = "ipvs"
	ModeCilium     = "cilium"
	ModeCalicoEBPF = "calico-ebpf"
	ModeOVN        = "ovn-kubernetes"
	ModeAntrea     = "antrea"
	ModeKubeRouter = "kube-router"
)

// DataplaneDetected replaces what is known of what keeps pins on a node or, where
// none is named, on those that nothing else tells of.
type DataplaneDetected struct {
	Node      string
	Dataplane Dataplane
}

func (DataplaneDetected) event() {}

// KubeProxy reports whether it is kube-proxy, whose tables are read and whose
// timers are known.
func (d Dataplane) KubeProxy() bool {
	return d.Mode == ModeIPTables || d.Mode == ModeNFTables || d.Mode == ModeIPVS
}

// Modes are those that nodes are known to be in.
func (d Dataplane) Modes() []string {
	switch {
	case d.Differ != "":
		return strings.Split(d.Differ, ", ")
	case d.Mode != "":
		return []string{d.Mode}
	}
	return nil
}

// Runs reports whether nodes are in a mode.
func (d Dataplane) Runs(mode string) bool { return slices.Contains(d.Modes(), mode) }

// Semantics says in a sentence how pins by address begin and end there, of each
// mode where nodes differ in that.
func (d Dataplane) Semantics() string {
	if d.Differ == "" {
		return semantics(d.Mode)
	}
	var told []string
	same := true
	for _, m := range d.Modes() {
		same = same && semantics(m) == semantics(d.Modes()[0])
		told = append(told, m+": "+semantics(m))
	}
	if same {
		return semantics(d.Modes()[0])
	}
	return strings.Join(told, "; ")
}

func semantics(mode string) string {
	switch mode {
	case ModeIPTables, ModeNFTables:
		return "each new connection through a node restarts that node's pin, requests on an open one do not"
	case ModeIPVS:
		return "each new connection through a node restarts that node's pin; open connections hold it beyond its time, by a minute at a time"
	case ModeCilium:
		// cilium: bpf/lib/lb.h, bpf/bpf_sock.c
		return "from outside every packet restarts the pin; from pods each connect does, and the pin is the pod's network namespace's, not its address's"
	case ModeCalicoEBPF:
		// projectcalico/calico: felix/bpf-gpl/nat_lookup.h, connect.h
		return "a pin ends its timeout after the first connection, whatever follows; connections that pods of one node open may share a single pin"
	case ModeOVN:
		// ovn-kubernetes: go-controller/pkg/ovn/controller/services; ovn: northd/lb.c
		return "traffic restarts the pin; timeouts above 65535 s are cut to that, and 86400 s means for ever"
	case ModeAntrea:
		// antrea: pkg/agent/openflow/pipeline.go
		return "a pin ends its timeout after the first connection, whatever follows; timeouts above 65535 s are cut to that"
	case ModeKubeRouter:
		return "ipvs, which each new connection restarts and open connections hold"
	}
	return "how nodes keep pins is not known; this is kube-proxy's way with iptables and nftables"
}

// Renews is what traffic does to a pin's timer there.
func (d Dataplane) Renews() Renewal {
	switch d.Mode {
	case ModeCalicoEBPF, ModeAntrea:
		return RenewalAbsolute
	}
	return RenewalSliding
}

// Doubt is why a deadline that is worked out for this dataplane is assumed and
// not derived; "" when it is derived.
func (d Dataplane) Doubt() string {
	switch d.Mode {
	case ModeIPTables, ModeNFTables, ModeIPVS:
		return ""
	case "":
		return d.Semantics()
	}
	if d.Mode == ModeCilium {
		return d.Mode + ", unless --kernel reads its maps: " + d.Semantics()
	}
	return d.Mode + ", whose tables are not read: " + d.Semantics()
}
