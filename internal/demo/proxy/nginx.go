package proxy

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nginx balances as ingress-nginx does, from controller 1.4 to 1.15
// (rootfs/etc/nginx/lua/balancer/sticky*.lua).
type nginx struct{ pid int }

// workers is how many processes serve, each with its own idea of whose turn it
// is: without affinity, clients that ask in step still see several pods.
const workers = 4

// maxPicks is MAX_UPSTREAM_CHECKS_COUNT of sticky_balanced.lua.
const maxPicks = 20

func (nginx) tries() int { return 3 } // proxy-next-upstream-tries

// usable keeps the endpoints that are ready: a pod that terminates is left at
// once.
func (nginx) usable(all []endpoint) []string {
	var addrs []string
	for _, e := range all {
		if e.ready {
			addrs = append(addrs, e.addr)
		}
	}
	return addrs
}

func (n nginx) pick(x *exchange) string {
	a := x.backend.affinity
	if a == nil {
		return x.nextInTurn(int(x.draw() % workers))
	}
	addr := ""
	if key, _, _ := strings.Cut(strings.TrimLeft(luaCookie(x.header, a.cookie.name), "|"), "|"); key != "" {
		addr = n.find(x, key)
	}
	failedBefore := len(x.tried) > 0
	if addr != "" && (!failedBefore || !a.changeOnFailure) {
		return addr
	}
	addr, key := n.choose(x)
	if addr != "" && a.locations[x.host][x.location.shown()] {
		path := a.cookie.path
		if path == "" {
			path = x.location.shown()
		}
		x.setCookies = append(x.setCookies, nginxSetCookie(a.cookie, key+"|"+backendKey(x.backend.name), path, x.tls, x.now()))
	}
	return addr
}

// find returns the endpoint that a cookie's key stands for: "" for none, which
// only persistent keys can, as a ring knows an answer to everything.
func (nginx) find(x *exchange, key string) string {
	if !x.backend.affinity.persistent {
		return newRing(x.usable).find(key)
	}
	for _, addr := range x.usable {
		if persistentKey(x.backend.name, addr) == key {
			return addr
		}
	}
	return ""
}

// choose picks an endpoint that has not failed in this request, and its key.
func (n nginx) choose(x *exchange) (addr, key string) {
	if x.backend.affinity.persistent {
		left := slices.DeleteFunc(slices.Clone(x.usable), func(a string) bool { return slices.Contains(x.tried, a) })
		if len(left) == 0 {
			return "", ""
		}
		addr = left[int(x.draw()%uint32(len(left)))]
		return addr, persistentKey(x.backend.name, addr)
	}
	r := newRing(x.usable)
	for i := 1; i <= maxPicks; i++ {
		key = n.balancedKey(r, x.now(), i, x.draw())
		if addr = r.find(key); addr != "" && !slices.Contains(x.tried, addr) {
			return addr, key
		}
	}
	return "", ""
}

// persistentKey is the key of an endpoint: md5 of the backend's name and its
// address.
func persistentKey(backend, addr string) string { return md5hex(backend + addr) }

// backendKey is what follows the "|".
func backendKey(backend string) string { return md5hex(md5hex(backend) + backend) }

func md5hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// balancedKey returns "<now+i>.<pid>.<1..999999>". The original's last number
// is random; here it is the one, of some thousands, that brings the key
// closest to a place on the ring without leaving that place's endpoint: the
// same seed makes the same picks whatever the time is, and nearly always the
// same silent moves.
func (n nginx) balancedKey(r ring, now time.Time, i int, place uint32) string {
	head := luaSeconds(now.Add(time.Duration(i)*time.Second)) + "." + strconv.Itoa(n.pid) + "."
	const candidates = 16 << 10
	first := 1 + int(place%(999_999-candidates))
	base := crc32.ChecksumIEEE([]byte(head))
	want := r.at(place)
	best, bestFar := first, uint32(math.MaxUint32)
	digits := make([]byte, 0, 8)
	for number := first; number < first+candidates; number++ {
		hash := crc32.Update(base, crc32.IEEETable, strconv.AppendInt(digits, int64(number), 10))
		if far := min(hash-place, place-hash); far < bestFar && r.at(hash) == want {
			best, bestFar = number, far
		}
	}
	return head + strconv.Itoa(best)
}

// luaSeconds prints a time as Lua does a number (%.14g) of milliseconds:
// without trailing zeros, "1795423817.4", or no dot at all for a whole second.
func luaSeconds(t time.Time) string {
	text := fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
