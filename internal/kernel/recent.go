package kernel

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
)

// maxLine bounds a line of procfs: an xt_recent line with 255 stamps of 20
// digits is below 6 KB.
const maxLine = 16 << 10

// maxStamps is how many connections xt_recent can be told to remember of one
// client (linux: net/netfilter/xt_recent.c, XT_RECENT_MAX_NSTAMPS - 1).
const maxStamps = 255

// parseRecent reads the text of /proc/net/xt_recent/NAME (linux:
// net/netfilter/xt_recent.c, recent_seq_show), and appends to entries:
//
//	src=10.9.0.2 ttl: 64 last_seen: 4295164414 oldest_pkt: 2 4295164124, 4295164414
//
// oldest_pkt is the place in the ring that is written next, not a count. The
// entries refer to text.
func parseRecent(entries []Entry, text []byte) (_ []Entry, cut bool, err error) {
	before := len(entries)
	for len(text) > 0 {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		if len(line) == 0 {
			continue
		}
		if len(entries)-before == maxEntries {
			return entries, true, nil
		}
		e, err := parseRecentLine(line)
		if err != nil {
			return entries, false, err
		}
		entries = append(entries, e)
	}
	return entries, false, nil
}

func parseRecentLine(line []byte) (Entry, error) {
	bad := func(what string) (Entry, error) {
		return Entry{}, fmt.Errorf("xt_recent line: %s in %.60q", what, line)
	}
	rest, ok := bytes.CutPrefix(line, []byte("src="))
	address, rest, ok2 := bytes.Cut(rest, []byte(" ttl: "))
	_, rest, ok3 := bytes.Cut(rest, []byte(" last_seen: "))
	seen, rest, ok4 := bytes.Cut(rest, []byte(" oldest_pkt: "))
	if !ok || !ok2 || !ok3 || !ok4 || len(line) > maxLine {
		return bad("unknown fields")
	}
	var e Entry
	if e.Client, ok = parseAddr(address); !ok {
		return bad("no address")
	}
	if e.Seen, ok = parseNumber(seen); !ok {
		return bad("no time")
	}
	if _, ring, ok := bytes.Cut(rest, []byte(" ")); ok {
		e.ring = ring
	}
	return e, nil
}

// stamps appends the last connections to out, of those that can be read.
func (e Entry) stamps(out []uint64) []uint64 {
	if e.ring == nil {
		return append(out, e.Stamps[:min(len(e.Stamps), maxStamps)]...)
	}
	for rest := e.ring; len(rest) > 0 && len(out) < maxStamps; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte(","))
		if n, ok := parseNumber(bytes.TrimSpace(one)); ok {
			out = append(out, n)
		}
	}
	return out
}

func parseNumber(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	if len(b) == 20 { // may overflow
		n, err := strconv.ParseUint(string(b), 10, 64)
		return n, err == nil
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// parseAddr reads an address as the kernel prints it, an IPv4 one without
// allocating.
func parseAddr(b []byte) (netip.Addr, bool) {
	var four [4]byte
	at := 0
	for i := range four {
		n, digits := 0, 0
		for at < len(b) && b[at] >= '0' && b[at] <= '9' && digits < 3 {
			n, digits, at = n*10+int(b[at]-'0'), digits+1, at+1
		}
		dot := at < len(b) && b[at] == '.'
		if digits == 0 || n > 255 || dot != (i < 3) {
			a, err := netip.ParseAddr(string(b))
			return a.Unmap(), err == nil && a.Zone() == ""
		}
		if dot {
			at++
		}
		four[i] = byte(n)
	}
	if at != len(b) {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4(four), true
}
