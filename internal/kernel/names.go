package kernel

import (
	"crypto/sha256"
	"encoding/base32"
	"net"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func hash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return base32.StdEncoding.EncodeToString(sum[:])[:n]
}

// recentName is the xt_recent list of one endpoint, which kube-proxy names as
// its chain (kubernetes: pkg/proxy/iptables/proxier.go,
// servicePortEndpointChainName). endpoint is "ip:port", IPv6 in brackets.
func recentName(ref affinity.ServiceRef, port, protocol, endpoint string) string {
	name := ref.Namespace + "/" + ref.Name
	if port != "" {
		name += ":" + port
	}
	return recentPrefix + hash(name+strings.ToLower(protocol)+endpoint, 16)
}

const recentPrefix = "KUBE-SEP-"

// The longest name that nftables takes, less a prefix, and what kube-proxy does
// with longer ones (kubernetes: pkg/proxy/nftables/proxier.go, hashAndTruncate).
const (
	maxSetName = 240
	setEnd     = "..."
)

// setName is the affinity set of one endpoint (kubernetes:
// pkg/proxy/nftables/proxier.go, servicePortEndpointAffinityNameBase).
func setName(ref affinity.ServiceRef, port, protocol, endpoint string) string {
	host, number, err := net.SplitHostPort(endpoint)
	if err != nil {
		return ""
	}
	base := ref.Namespace + "/" + ref.Name + "/" + strings.ToLower(protocol) + "/" + port + "__" + strings.ReplaceAll(host, ":", ".") + "/" + number
	name := hash(base, 8) + "-" + base
	if len(name) > maxSetName {
		name = name[:maxSetName-len(setEnd)] + setEnd
	}
	return setPrefix + name
}

const setPrefix = "affinity-"
