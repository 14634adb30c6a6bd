package kernel

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// maxLine bounds a line of procfs: an xt_recent line with 255 stamps of 20
// digits is below 6 KB.
const maxLine = 16 << 10

// parseRecent reads /proc/net/xt_recent/NAME (linux: net/netfilter/xt_recent.c,
// recent_seq_show):
//
//	src=10.9.0.2 ttl: 64 last_seen: 4295164414 oldest_pkt: 2 4295164124, 4295164414
//
// oldest_pkt is the place in the ring that is written next, not a count.
func parseRecent(r io.Reader) (entries []Entry, cut bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if lines.Text() == "" {
			continue
		}
		if len(entries) == maxEntries {
			return entries, true, nil
		}
		e, err := parseRecentLine(lines.Text())
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, e)
	}
	return entries, false, lines.Err()
}

func parseRecentLine(line string) (Entry, error) {
	bad := func(what string) (Entry, error) {
		return Entry{}, fmt.Errorf("xt_recent line: %s in %.60q", what, line)
	}
	rest, ok := strings.CutPrefix(line, "src=")
	address, rest, ok2 := strings.Cut(rest, " ttl: ")
	_, rest, ok3 := strings.Cut(rest, " last_seen: ")
	seen, rest, ok4 := strings.Cut(rest, " oldest_pkt: ")
	if !ok || !ok2 || !ok3 || !ok4 {
		return bad("unknown fields")
	}
	client, err := netip.ParseAddr(address)
	if err != nil || client.Zone() != "" {
		return bad("no address")
	}
	e := Entry{Client: client.Unmap()}
	if e.Seen, err = strconv.ParseUint(seen, 10, 64); err != nil {
		return bad("no time")
	}
	_, stamps, _ := strings.Cut(rest, " ")
	for s := range strings.SplitSeq(stamps, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return bad("no time")
		}
		e.Stamps = append(e.Stamps, n)
	}
	return e, nil
}
