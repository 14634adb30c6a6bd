package ingress

import (
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// nginxBalanced reads cookies of affinity-mode: balanced, the default: a key
// that means a place on a consistent-hash ring of the ready endpoints.
type nginxBalanced struct {
	backend string
	partner string // the other side of a canary pair; "" when none
	keys    backendKeys
	other   bool // as with nginxPersistent
}

func (nginxBalanced) Name() string { return "ingress-nginx balanced" }

func (d nginxBalanced) Table(set affinity.EndpointSet) affinity.Table {
	return &balancedTable{suffixes: newSuffixes(d.backend, d.partner, d.keys, d.other), ring: newRing(readyOnce(set.Current))}
}

// readyOnce returns the endpoints that ingress-nginx uses, those that are
// ready, each address once. [endpointslices.go]
func readyOnce(all []affinity.Endpoint) []affinity.Endpoint {
	seen := make(map[string]bool, len(all))
	var ready []affinity.Endpoint
	for _, e := range all {
		if e.Ready && !seen[e.Addr] {
			seen[e.Addr] = true
			ready = append(ready, e)
		}
	}
	return ready
}

type balancedTable struct {
	suffixes suffixes
	ring     ring
}

func (t *balancedTable) Lookup(value string) affinity.Decoded {
	key, suffix := splitNginx(value)
	issued, timed := keyTime(key)
	d := affinity.Decoded{Shaped: timed && (suffix == "" || isHex(suffix, 32)), Issued: issued}
	side, detail := t.suffixes.read(suffix, &d)
	switch side {
	case sidePartner:
		d.Shaped, d.Detail = !t.suffixes.other, detail
		return d
	case sideOwn: // any text is a key to the ring, so a cookie of the other mode, too
		d.Shaped = true
	}
	if key == "" {
		d.Detail = "no key"
		return d
	}
	found := t.ring.find(key)
	d.Endpoints = found
	switch len(found) {
	case 0:
		d.Detail = "no endpoint is ready; " + detail
	case 1:
		d.Detail = "ring of " + itoa(t.ring.size()) + " endpoints; " + detail
	default:
		d.Detail = affinity.Clean("a tie on the ring between "+found[0].Addr+" and "+found[1].Addr+": either may serve it; "+detail, maxNote)
	}
	return d
}

// keyTime reads when a key was made. A key is "TIME.PID.RANDOM", where TIME is
// now+1 s in seconds with up to four decimals, trailing zeros dropped, so the
// parts count from the right. (A first attempt that fails makes it now+2 s and
// so on: the time is then late by as much.) [sticky_balanced.lua, as recorded]
func keyTime(key string) (issued time.Time, ok bool) {
	if len(key) > 64 {
		return time.Time{}, false
	}
	parts := strings.Split(key, ".")
	if n := len(parts); n != 3 && n != 4 || len(parts[0]) != 10 {
		return time.Time{}, false
	}
	for _, p := range parts {
		if !isDigits(p) {
			return time.Time{}, false
		}
	}
	s, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	var nanos int64
	if len(parts) == 4 {
		if len(parts[1]) > 4 {
			return time.Time{}, false
		}
		fraction, _ := strconv.ParseInt((parts[1] + "0000")[:4], 10, 64)
		nanos = fraction * 100_000
	}
	return time.Unix(s-1, nanos).UTC(), true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// ring is the consistent-hash ring of lua-resty-balancer (lib/resty/chash.lua,
// chash.c, v0.05): every endpoint, by its address alone, has 160 points, each
// the CRC-32 of the address and the point before.
type ring struct {
	nodes  []affinity.Endpoint
	points []point // by hash
}

type point struct {
	hash uint32
	node uint32
}

const pointsPerNode = 160

func newRing(nodes []affinity.Endpoint) ring {
	return newRingOf(nodes, func(e affinity.Endpoint) string { return e.Addr })
}

// newRingOf is a ring on which an endpoint goes by another text than its
// address.
func newRingOf(nodes []affinity.Endpoint, id func(affinity.Endpoint) string) ring {
	points := make([]point, 0, len(nodes)*pointsPerNode)
	for n, e := range nodes {
		base := crc32.ChecksumIEEE([]byte(id(e)))
		var p uint32
		for range pointsPerNode {
			p = crcLE(base, p)
			points = append(points, point{p, uint32(n)})
		}
	}
	return ring{nodes, sortPoints(points)}
}

// crcLE continues a CRC-32 with the four bytes of v, least significant first.
func crcLE(crc, v uint32) uint32 {
	crc = ^crc
	for range 4 {
		crc = crc32.IEEETable[byte(crc)^byte(v)] ^ crc>>8
		v >>= 8
	}
	return ^crc
}

// sortPoints sorts by hash, a byte at a time: four times faster here than
// comparing.
func sortPoints(points []point) []point {
	spare := make([]point, len(points))
	for shift := 0; shift < 32; shift += 8 {
		var start [257]int
		for _, p := range points {
			start[p.hash>>shift&0xff+1]++
		}
		for i := 1; i < len(start); i++ {
			start[i] += start[i-1]
		}
		for _, p := range points {
			b := p.hash >> shift & 0xff
			spare[start[b]] = p
			start[b]++
		}
		points, spare = spare, points
	}
	return points
}

func (r ring) size() int { return len(r.nodes) }

// find returns the endpoint that owns a key: that of the first point at or
// after the key's hash, the first of all when there is none. Endpoints that
// share this point are all returned: which of them wins depends on the order
// of a hash table in each nginx worker.
func (r ring) find(key string) []affinity.Endpoint {
	if len(r.points) == 0 {
		return nil
	}
	i := r.search(crc32.ChecksumIEEE([]byte(key)))
	hash := r.points[i].hash
	var found []affinity.Endpoint
	last := uint32(len(r.nodes))
	for ; i < len(r.points) && r.points[i].hash == hash; i++ {
		if n := r.points[i].node; n != last { // a node's equal points stand together: the sort is stable
			found = append(found, r.nodes[n])
			last = n
		}
	}
	return found
}

// search returns the index of the first point with at least hash, or 0.
func (r ring) search(hash uint32) int {
	low, high := 0, len(r.points)
	for low < high {
		if mid := int(uint(low+high) >> 1); r.points[mid].hash < hash {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(r.points) {
		return 0
	}
	return low
}
