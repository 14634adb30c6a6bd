package kernel

import (
	"time"
)

// defaultRecentLimit is xt_recent's ip_list_tot where nobody set it.
const defaultRecentLimit = 100

// reading is what one look at the tables gave.
type reading struct {
	mode    Mode
	at      time.Time
	uptime  time.Duration
	lists   []List   // by no order
	unknown int      // lists of kube-proxy's for no endpoint that is known; Cilium's pins likewise
	others  int      // Cilium's pins of network namespaces: no address names them
	absent  []string // families without a table, where the other has one (nftables)
}

// Reader reads the tables of this machine. One goroutine at a time may use it.
type Reader struct {
	proc  string // where procfs is
	param string // xt_recent's ip_list_tot
	clock clock

	cilium []string // folders of its maps

	nft        conn        // open connection, nil while there is none
	elements   dumpConn    // for dumps of sets, nil while there is none
	text       []byte      // of the files of a reading, used again by the next
	entries    []Entry     // likewise
	pins       []ciliumPin // likewise
	recentOnce bool        // lists were seen: no lists now means no clients

	// brief asks for no connections of xt_recent's before the last, in the lists
	// where nobody has connected since the reading before: most of the text of a
	// reading are those.
	brief bool
	seen  map[string][]uint64 // by list: when each client was last seen, as it was read
}

// NewReader returns a Reader of the machine, or the container, it runs in.
func NewReader() *Reader {
	return &Reader{proc: "/proc", param: "/sys/module/xt_recent/parameters/ip_list_tot", cilium: ciliumRoots}
}

// Close ends what the Reader holds open.
func (r *Reader) Close() { r.closeNFT() }

// ciliumRoots are where Cilium pins its maps (cilium/cilium: pkg/bpf/bpffs_linux.go).
var ciliumRoots = []string{"/sys/fs/bpf/tc/globals", "/run/cilium/bpffs/tc/globals"}
