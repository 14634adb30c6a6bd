package ingress

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// skipperHash reads a cookie that Skipper hashes: consistentHash with
// consistentHashKey("${request.cookie.NAME}"). The application makes it, so it
// has no shape of its own. Every endpoint, as a URL, has 100 points, and a key
// belongs to the first at or after it. consistentHashBalanceFactor and fade-in
// move single requests off it, which the value does not show. [zalando/skipper
// loadbalancer/algorithm.go; pull request 3918 made it 10,000 points over all,
// for six days of March 2026, until 3926 took that back]
type skipperHash struct {
	scheme string // of the endpoints: the annotation skipper-backend-protocol, else http
}

func (skipperHash) Name() string { return "Skipper consistentHash" }

const skipperPoints = 100

func (d skipperHash) Table(set affinity.EndpointSet) affinity.Table {
	t := skipperTable{nodes: skipperUses(set.Current)}
	if slices.ContainsFunc(t.nodes, isIPv6) {
		return unsureTable{"how Skipper writes IPv6 addresses on its ring is not established"}
	}
	t.points = make([]skipperPoint, 0, len(t.nodes)*skipperPoints)
	for n, e := range t.nodes {
		text := append([]byte(d.scheme+"://"+e.Addr), '-')
		for j := range skipperPoints {
			t.points = append(t.points, skipperPoint{xxhash.Sum64(strconv.AppendInt(text, int64(j), 10)), n})
		}
	}
	slices.SortFunc(t.points, func(a, b skipperPoint) int { return cmp.Compare(a.hash, b.hash) })
	return t
}

// skipperUses returns the endpoints that Skipper uses: none that terminates,
// and those that serve though they are not ready.
// [dataclients/kubernetes/endpointslices.go isReady]
func skipperUses(all []affinity.Endpoint) []affinity.Endpoint {
	used := slices.DeleteFunc(slices.Clone(all), func(e affinity.Endpoint) bool { return e.Terminating || !e.Ready && !e.Serving })
	slices.SortStableFunc(used, func(a, b affinity.Endpoint) int { return cmp.Compare(a.Addr, b.Addr) })
	return slices.CompactFunc(used, func(a, b affinity.Endpoint) bool { return a.Addr == b.Addr })
}

type skipperPoint struct {
	hash uint64
	node int
}

type skipperTable struct {
	nodes  []affinity.Endpoint
	points []skipperPoint // by hash
}

func (t skipperTable) Lookup(value string) affinity.Decoded {
	if value == "" { // the client's address is hashed then
		return affinity.Decoded{Detail: "no value"}
	}
	var found []affinity.Endpoint
	if len(t.points) > 0 {
		i, _ := slices.BinarySearchFunc(t.points, xxhash.Sum64String(value), func(p skipperPoint, hash uint64) int { return cmp.Compare(p.hash, hash) })
		found = []affinity.Endpoint{t.nodes[t.points[i%len(t.points)].node]}
	}
	return onRing(found, len(t.nodes), strconv.Itoa(skipperPoints)+" points each")
}
