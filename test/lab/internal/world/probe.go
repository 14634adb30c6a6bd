package world

import (
	"fmt"
	"os/exec"
	"strings"
)

// Probe, as process 1 of new namespaces, tries what a lab does to the kernel and returns what does not go.
func Probe(proxy string) []string {
	if err := mounts(); err != nil {
		return []string{err.Error()}
	}
	type trial struct{ command, lacks string }
	trials := []trial{
		{"ip link add lab0 type bridge", "the kernel has no bridge (CONFIG_BRIDGE)"},
		{"ip netns add probe", "ip-netns cannot make a namespace"},
		{"ip link add veth0 type veth peer name veth1 netns probe", "the kernel has no veth pairs (CONFIG_VETH)"},
		{"nft add table inet probe", "the kernel has no nftables, or refuses them (CONFIG_NF_TABLES)"},
	}
	if strings.Contains(proxy, "iptables") {
		trials = append(trials,
			trial{"iptables -w -t nat -L -n", "the kernel refuses iptables' nat table"},
			trial{"iptables -w -A INPUT -m recent --name probe --set", "the kernel has no xt_recent, which ClientIP affinity needs (CONFIG_NETFILTER_XT_MATCH_RECENT)"})
	}
	if strings.Contains(proxy, "nftables") {
		trials = append(trials, trial{"nft add chain inet probe nat { type nat hook output priority 0 ; }", "the kernel has no nftables NAT (CONFIG_NFT_NAT)"})
	}
	var missing []string
	for _, t := range trials {
		words := strings.Fields(t.command)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			said, lacks := strings.Join(strings.Fields(string(out)), " "), t.lacks
			if strings.Contains(said, "Operation not permitted") || strings.Contains(said, "Permission denied") {
				lacks = "this user has not the right, even in namespaces of its own"
			}
			missing = append(missing, fmt.Sprintf("%s: `%s`: %s", lacks, t.command, said))
		}
	}
	if err := Sysctl("", map[string]string{"ipv4/ip_forward": "1"}); err != nil {
		missing = append(missing, err.Error())
	}
	return missing
}
