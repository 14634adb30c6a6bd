package kernel

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseIPVS reads the templates out of /proc/net/ip_vs_conn (linux:
// net/netfilter/ipvs/ip_vs_conn.c, ip_vs_conn_seq_show): the lines whose client
// port is 0 tie an address, the others are connections.
//
//	Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
//	TCP 0AE90001 0000 0A600001 0050 0AF40105 1F90 NONE            58
func parseIPVS(r io.Reader) (entries []Entry, cut bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || f[0] == "Pro" {
			continue
		}
		if len(f) < 9 {
			return nil, false, fmt.Errorf("ip_vs_conn line: unknown fields in %.60q", lines.Text())
		}
		if f[2] != "0000" {
			continue
		}
		if len(entries) == maxEntries {
			return entries, true, nil
		}
		var e Entry
		t := Tie{Protocol: f[0]}
		var ok, ok2, ok3 bool
		e.Client, ok = ipvsAddr(f[1])
		t.Front, ok2 = ipvsPort(f[3], f[4])
		t.Endpoint, ok3 = ipvsPort(f[5], f[6])
		left, err := strconv.ParseInt(f[8], 10, 64)
		if !ok || !ok2 || !ok3 || err != nil {
			return nil, false, fmt.Errorf("ip_vs_conn line: unknown fields in %.60q", lines.Text())
		}
		// The counter has been seen to wrap for two seconds after 0
		// (kubernetes: test/e2e/network/service.go); nothing lives for a week.
		if left > 7*24*3600 || left < 0 {
			left = 0
		}
		e.Left, e.via = time.Duration(left)*time.Second, tie(t)
		entries = append(entries, e)
	}
	return entries, false, lines.Err()
}

// ipvsAddr reads 0AE90001, or an IPv6 address as text.
func ipvsAddr(s string) (netip.Addr, bool) {
	if len(s) == 8 && !strings.Contains(s, ":") {
		b, err := hex.DecodeString(s)
		if err != nil {
			return netip.Addr{}, false
		}
		return netip.AddrFrom4([4]byte(b)), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err == nil && a.Zone() == ""
}

func ipvsPort(address, port string) (string, bool) {
	a, ok := ipvsAddr(address)
	n, err := strconv.ParseUint(port, 16, 16)
	return net.JoinHostPort(a.String(), strconv.FormatUint(n, 10)), ok && err == nil
}
