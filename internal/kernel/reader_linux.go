package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// proxyTable is kube-proxy's own (kubernetes: pkg/proxy/nftables/proxier.go).
const proxyTable = "kube-proxy"

// uptime is CLOCK_MONOTONIC, which jiffies count like: without suspend.
func uptime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// threadTime is what this thread has used of the cores, in the kernel too.
func threadTime() time.Duration { return used(unix.RUSAGE_THREAD) }

// processTime is what this process has used of them.
func processTime() time.Duration { return used(unix.RUSAGE_SELF) }

func used(who int) time.Duration {
	var u unix.Rusage
	if unix.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// read reads the lists that want names, and counts those it does not.
func (r *Reader) read(want *expected) (reading, error) {
	n, err := r.readNFT(want)
	forbidden := errors.Is(err, ErrNotAllowed)
	if !errors.Is(err, fs.ErrNotExist) && !forbidden {
		return n, err
	}
	n, err = r.readRecent(want)
	if !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	if n, err = r.readCilium(); !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	if forbidden {
		return n, ErrNotAllowed // xt_recent is open to all, and holds nothing of kube-proxy's
	}
	n, err = r.readIPVS()
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoProxy
	}
	return n, err
}

// attempts bounds how often a table that changes is read again.
const attempts = 3

// readNFT reads the affinity sets of both families. Where kube-proxy rewrites
// its table meanwhile, it starts again.
func (r *Reader) readNFT(want *expected) (reading, error) {
	if r.nft == nil {
		c, err := nftables.New(nftables.AsLasting())
		if err != nil {
			return reading{}, nftError(err)
		}
		r.nft = c
	}
	for range attempts {
		n, same, err := r.readSets(want)
		if err != nil {
			r.closeNFT() // answers of an interrupted dump may still be queued
			if errors.Is(err, errVanished) {
				continue
			}
			return n, err
		}
		if same {
			return n, nil
		}
	}
	return reading{}, ErrChanging
}

// errVanished: a set that was listed is gone.
var errVanished = errors.New("a set vanished while it was read")

// readSets reads once; same reports whether the table had the same sets, with
// the same timeouts, before and after. Elements may come and go: the packets
// that renew them are no transaction.
func (r *Reader) readSets(want *expected) (n reading, same bool, err error) {
	if r.nft == nil {
		if r.nft, err = nftables.New(nftables.AsLasting()); err != nil {
			return n, false, nftError(err)
		}
	}
	n.mode, n.at, n.uptime = ModeNFTables, time.Now(), uptime()
	r.entries = r.entries[:0]
	found := false
	for family, name := range map[nftables.TableFamily]string{nftables.TableFamilyIPv4: affinity.IPv4, nftables.TableFamilyIPv6: affinity.IPv6} {
		table := &nftables.Table{Name: proxyTable, Family: family}
		sets, err := r.sets(table)
		if errors.Is(err, fs.ErrNotExist) {
			n.absent = append(n.absent, name)
			continue
		}
		if err != nil {
			return n, false, err
		}
		found = true
		for _, s := range sets {
			if _, known := want.sets[s.Name]; !known {
				n.unknown++
				continue
			}
			at := time.Now()
			l := List{Name: s.Name, Family: name, Timeout: s.Timeout, Limit: int(s.Size)}
			from := len(r.entries)
			if r.entries, l.Cut, err = r.dump(r.entries, s); errors.Is(err, fs.ErrNotExist) {
				return n, false, errVanished
			} else if err != nil {
				return n, false, err
			}
			l.Entries = r.entries[from:]
			late := at.Sub(n.at)
			for i := range l.Entries {
				l.Entries[i].Left += late
			}
			n.lists = append(n.lists, l)
		}
		after, err := r.sets(table)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, false, err
		}
		if !slices.EqualFunc(sets, after, func(x, y *nftables.Set) bool { return x.Name == y.Name && x.ID == y.ID && x.Timeout == y.Timeout }) {
			return n, false, nil
		}
	}
	if !found {
		return n, false, fs.ErrNotExist
	}
	return n, true, nil
}

// sets returns the affinity sets of a table.
func (r *Reader) sets(table *nftables.Table) ([]*nftables.Set, error) {
	all, err := r.nft.GetSets(table)
	if err = nftError(err); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s *nftables.Set) bool { return !strings.HasPrefix(s.Name, setPrefix) }), nil
}

// nftError finds the error number again, which the library prints into its
// errors but does not wrap.
func nftError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT) || strings.HasSuffix(err.Error(), unix.ENOENT.Error()):
		return fs.ErrNotExist
	case errors.Is(err, unix.EPERM) || strings.HasSuffix(err.Error(), unix.EPERM.Error()):
		return ErrNotAllowed
	// A kernel without nf_tables: the subsystem, or all of netfilter's netlink, is not there.
	case errors.Is(err, unix.EINVAL) || strings.HasSuffix(err.Error(), unix.EINVAL.Error()),
		errors.Is(err, unix.EPROTONOSUPPORT), strings.HasSuffix(err.Error(), unix.EPROTONOSUPPORT.Error()):
		return fs.ErrNotExist
	}
	return fmt.Errorf("nftables: %w", err)
}

func (r *Reader) closeNFT() {
	if r.elements != nil {
		r.elements.Close()
		r.elements = nil
	}
	if r.nft != nil {
		_ = r.nft.CloseLasting()
		r.nft = nil
	}
}

// readRecent reads the xt_recent lists. kube-proxy has none for a node without
// any ClientIP endpoint, so an empty folder proves nothing.
func (r *Reader) readRecent(want *expected) (reading, error) {
	dir, err := os.Open(filepath.Join(r.proc, "net/xt_recent"))
	if err != nil {
		return reading{}, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return reading{}, err
	}
	if r.clock.hz == 0 {
		r.clock.calibrate(r.proc)
	}
	n := reading{mode: ModeIPTables}
	limit := r.recentLimit()
	if cap(r.text) > max(256<<10, 4*len(r.text)) {
		r.text = nil // a reading like the last needs much less
	}
	r.text, r.entries = r.text[:0], r.entries[:0]
	before := r.seen
	r.seen = make(map[string][]uint64, len(before))
	for _, name := range names {
		if !strings.HasPrefix(name, recentPrefix) {
			continue
		}
		if _, known := want.recent[name]; !known {
			n.unknown++
			continue
		}
		text, err := r.slurp(int(dir.Fd()), name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the endpoint left just now
		}
		if err != nil {
			return n, err
		}
		l := List{Name: name, Limit: limit}
		from := len(r.entries)
		if r.entries, l.Cut, err = parseRecent(r.entries, text); err != nil {
			return n, err
		}
		l.Entries = r.entries[from:]
		n.lists = append(n.lists, l)
		if same := r.note(name, l.Entries, before[name]); same && r.brief {
			for i := range l.Entries {
				l.Entries[i].ring = nil
			}
			r.text = r.text[:len(r.text)-len(text)]
		}
	}
	n.at, n.uptime = time.Now(), uptime()
	if len(n.lists) == 0 && n.unknown == 0 && !r.recentOnce {
		return n, fs.ErrNotExist
	}
	r.recentOnce = true
	return n, nil
}

// note keeps when the clients of a list were last seen, and reports whether that
// is what the reading before said.
func (r *Reader) note(name string, entries []Entry, before []uint64) (same bool) {
	same = len(entries) == len(before)
	for i := range entries {
		if same = same && entries[i].Seen == before[i]; !same {
			break
		}
	}
	if !same {
		before = slices.Grow(before[:0], len(entries))
		for i := range entries {
			before = append(before, entries[i].Seen)
		}
	}
	r.seen[name] = before
	return same
}

// maxRecentText bounds what is read of one list: 65,535 lines are the most that
// ip_list_tot allows.
const maxRecentText = 64 << 20

// slurp reads a file of dir behind what is in text already.
func (r *Reader) slurp(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	from := len(r.text)
	for len(r.text)-from < maxRecentText {
		r.text = slices.Grow(r.text, 32<<10)
		n, err := unix.Read(fd, r.text[len(r.text):cap(r.text)])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return r.text[from:len(r.text):len(r.text)], nil
		default:
			r.text = r.text[:len(r.text)+n]
		}
	}
	return nil, fmt.Errorf("%s is larger than anything xt_recent writes", name)
}

// recentLimit is how many clients a list takes. Its default is the kernel's
// (linux: net/netfilter/xt_recent.c, ip_list_tot); the parameter is for root.
func (r *Reader) recentLimit() int {
	text, err := os.ReadFile(r.param)
	if n, err2 := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && err2 == nil && n > 0 {
		return n
	}
	return defaultRecentLimit
}

func (r *Reader) readIPVS() (reading, error) {
	file, err := os.Open(filepath.Join(r.proc, "net/ip_vs_conn"))
	if err != nil {
		return reading{}, err
	}
	defer file.Close()
	n := reading{mode: ModeIPVS, at: time.Now(), uptime: uptime()}
	l := List{Name: "ip_vs_conn"}
	if l.Entries, l.Cut, err = parseIPVS(file); err != nil {
		return n, err
	}
	if len(l.Entries) == 0 && !r.ipvsInUse() {
		return n, fs.ErrNotExist
	}
	n.lists = []List{l}
	return n, nil
}

// ipvsInUse reports whether there is a virtual service: after two lines of
// header, /proc/net/ip_vs has a line for each.
func (r *Reader) ipvsInUse() bool {
	f, err := os.Open(filepath.Join(r.proc, "net/ip_vs"))
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := f.Read(head)
	return strings.Count(string(head[:n]), "\n") > 3
}
