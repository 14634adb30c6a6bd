// Package kernel reads which client addresses kube-proxy's rules have pinned to
// which endpoints, out of the tables of the node it runs on: the affinity sets
// of nftables by netlink, /proc/net/xt_recent for iptables, /proc/net/ip_vs_conn
// for ipvs; and Cilium's, out of its BPF maps. It only reads, and it only reads the lists of Services that are
// known from the API: their names are computed as kube-proxy computes them.
//
// What is shown is that of the network namespace the program runs in, which has
// to be the node's. Packets renew pins without any notification (nft monitor is
// silent), so the tables are read once a second.
package kernel

import (
	"errors"
	"net/netip"
	"time"
	"unique"
)

// Mode is how kube-proxy programs the node.
type Mode string

const (
	ModeNFTables Mode = "nftables"
	ModeIPTables Mode = "iptables"
	ModeIPVS     Mode = "ipvs"
	ModeCilium   Mode = "cilium" // in place of kube-proxy
)

// byFront reports whether pins are apart for every address that clients ask for,
// and in one list for all endpoints.
func (m Mode) byFront() bool { return m == ModeIPVS || m == ModeCilium }

func (m Mode) known() bool { return m == ModeNFTables || m == ModeIPTables || m.byFront() }

// Errors of a reading. They are states, not ends: the next reading may succeed.
var (
	// ErrNoProxy: neither a table nor a list of kube-proxy's is there.
	ErrNoProxy = errors.New(noProxy("here") + "; run on the node itself, in its network namespace. " + notRead)
	// ErrNotAllowed: nf_tables may be read with CAP_NET_ADMIN only.
	ErrNotAllowed = errors.New("reading nftables needs CAP_NET_ADMIN on this node: run as root, or give the program that one capability")
	// ErrMapsNotAllowed: pinned maps are root's, and bpf(2) may take CAP_BPF.
	ErrMapsNotAllowed = errors.New("reading Cilium's maps needs root on this node, with CAP_BPF where the kernel asks for it")
	// ErrChanging: kube-proxy rewrote its rules during each attempt.
	ErrChanging = errors.New("kube-proxy's table changed under every attempt to read it")
	// ErrUnsupported: the system has no such tables.
	ErrUnsupported = errors.New("kube-proxy's tables are those of a Linux node: run stickytop there")
)

// noProxy says what was looked for in vain.
func noProxy(where string) string {
	return "no kube-proxy seen " + where + ": no nftables table kube-proxy, no xt_recent list KUBE-SEP-*, no ipvs service, nor Cilium's maps in /sys/fs/bpf"
}

const notRead = "Calico eBPF, OVN-Kubernetes and others that replace kube-proxy are not read"

// Entry is one client in a list.
type Entry struct {
	Client netip.Addr

	// nftables, ipvs and Cilium tell what is left.
	Left time.Duration
	// Timeout is the element's own, when the list's was another when it was
	// made; 0 when it is the list's.
	Timeout time.Duration

	// xt_recent tells when, in jiffies.
	Seen uint64 // last connection
	// The last connections, in no order: as they were printed, of the reading,
	// or as another machine sent them.
	ring   []byte
	Stamps []uint64

	via unique.Handle[Tie] // ipvs, Cilium; the zero value where the list says it all
}

// Tie is what an entry ties together where all endpoints share a list. There are
// few of them for many clients, so entries hold handles.
type Tie struct {
	Front    string // "ip:port" that was asked for
	Endpoint string // "ip:port" that was chosen
	Protocol string // "TCP"; "" when Cilium does not keep protocols apart
}

// tie is the handle of a Tie; that of none is the zero value.
func tie(t Tie) (h unique.Handle[Tie]) {
	if t != (Tie{}) {
		h = unique.Make(t)
	}
	return h
}

func (e *Entry) tie() (t Tie) {
	if e.via != (unique.Handle[Tie]{}) {
		t = e.via.Value()
	}
	return t
}

// List is one affinity set or list, as the kernel holds it.
type List struct {
	Name    string
	Family  string        // affinity.IPv4 or IPv6; "" when the kernel does not keep them apart
	Timeout time.Duration // that the kernel gives new entries; 0 when the list does not say
	Limit   int           // entries it takes; 0 when not known
	Entries []Entry
	Cut     bool // there were more entries than are read
}

// maxEntries bounds what is read of one list. A set of kube-proxy's takes
// 65,535; the ipvs connection table can hold more.
const maxEntries = 1 << 17
