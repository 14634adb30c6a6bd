package proxy

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sort"
)

// pointsPerNode is CONSISTENT_POINTS of lua-resty-balancer.
const pointsPerNode = 160

// ring is the consistent hash of ingress-nginx's balanced mode, which is
// lua-resty-balancer's: see ingress-nginx, rootfs/etc/nginx/lua/balancer/chash.lua.
type ring []point

type point struct {
	hash uint32
	addr string
}

func newRing(addrs []string) ring {
	r := make(ring, 0, pointsPerNode*len(addrs))
	for _, addr := range addrs {
		base := crc32.ChecksumIEEE([]byte(addr))
		var hash uint32
		for range pointsPerNode {
			hash = crc32.Update(base, crc32.IEEETable, binary.LittleEndian.AppendUint32(nil, hash))
			r = append(r, point{hash, addr})
		}
	}
	slices.SortStableFunc(r, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	return r
}

// find returns the address for a key: that of the first point at or after its
// hash.
func (r ring) find(key string) string { return r.at(crc32.ChecksumIEEE([]byte(key))) }

func (r ring) at(hash uint32) string {
	if len(r) == 0 {
		return ""
	}
	i := sort.Search(len(r), func(i int) bool { return r[i].hash >= hash })
	return r[i%len(r)].addr
}
