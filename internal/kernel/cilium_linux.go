package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// maxCiliumFronts bounds what is read of the maps of services and backends, and
// mapBatch what one call asks for.
const (
	maxCiliumFronts = 1 << 18
	mapBatch        = 4096
)

// readCilium reads the affinity maps of both families; fs.ErrNotExist when there
// is none.
func (r *Reader) readCilium() (reading, error) {
	n := reading{mode: ModeCilium}
	r.entries = r.entries[:0]
	for _, root := range r.cilium {
		for _, f := range ciliumFamilies {
			l, err := r.readCiliumFamily(root, f, &n)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return n, err
			}
			n.lists = append(n.lists, l)
		}
		if len(n.lists) > 0 {
			return n, nil
		}
	}
	return n, fs.ErrNotExist
}

// readCiliumFamily reads the pins first: what they refer to is there when they
// are.
func (r *Reader) readCiliumFamily(root string, f ciliumFamily, n *reading) (l List, err error) {
	m := ciliumMaps{fronts: map[uint16]ciliumFront{}, backends: map[uint32]string{}, pins: r.pins[:0]}
	pin := func(key, value []byte) { m.pins = append(m.pins, f.pin(key, value)) }
	service := func(key, value []byte) {
		if id, front, ok := f.service(key, value); ok {
			m.fronts[id] = front
		}
	}
	backend := func(key, value []byte) {
		id, addr := f.backend(key, value)
		m.backends[id] = addr
	}
	prefix := "cilium_lb" + f.digit + "_"
	l.Name = prefix + "affinity"
	at := func(name string) string { return filepath.Join(root, prefix+name) }
	var errServices, errBackends error
	now, up := time.Now(), uptime()
	if f.address == 4 {
		l.Family = affinity.IPv4
		if l.Cut, err = eachOf(at("affinity"), maxEntries, func(k, v *[16]byte) { pin(k[:], v[:]) }); err == nil {
			_, errServices = eachOf(at("services_v2"), maxCiliumFronts, func(k, v *[12]byte) { service(k[:], v[:]) })
			_, errBackends = eachOf(at("backends_v3"), maxCiliumFronts, func(k *[4]byte, v *[12]byte) { backend(k[:], v[:]) })
		}
	} else {
		l.Family = affinity.IPv6
		if l.Cut, err = eachOf(at("affinity"), maxEntries, func(k *[24]byte, v *[16]byte) { pin(k[:], v[:]) }); err == nil {
			_, errServices = eachOf(at("services_v2"), maxCiliumFronts, func(k *[24]byte, v *[12]byte) { service(k[:], v[:]) })
			_, errBackends = eachOf(at("backends_v3"), maxCiliumFronts, func(k *[4]byte, v *[24]byte) { backend(k[:], v[:]) })
		}
	}
	if err != nil {
		return l, err
	}
	if err := cmp.Or(errServices, errBackends); errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("Cilium's maps are of a version that is not known: %v", err) //nolint:errorlint // there is a Cilium
	} else if err != nil {
		return l, err
	}
	if n.at.IsZero() {
		n.at, n.uptime = now, up
	}
	c := ciliumClock{uptime: up, clock: r.clock}
	if c.sees(m.pins); c.jiffies && r.clock.hz == 0 {
		r.clock.calibrate(r.proc)
		c.clock = r.clock
	}
	var others, lost int
	r.pins = m.pins
	from := len(r.entries)
	r.entries, others, lost = m.entries(r.entries, &c)
	l.Entries = r.entries[from:len(r.entries):len(r.entries)]
	for i := range l.Entries {
		l.Entries[i].Left += up - n.uptime
	}
	n.others += others
	n.unknown += lost
	return l, nil
}

// eachOf calls fn with every entry of a pinned map, whose keys and values have
// to be as large as K and V. cut says that there were more than limit.
func eachOf[K, V any](path string, limit int, fn func(*K, *V)) (cut bool, err error) {
	m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return false, ErrMapsNotAllowed
	case err != nil:
		return false, err
	}
	defer m.Close()
	var k K
	var v V
	if int(m.KeySize()) != int(unsafe.Sizeof(k)) || int(m.ValueSize()) != int(unsafe.Sizeof(v)) {
		return false, fmt.Errorf("Cilium's map %s has keys of %d and values of %d bytes, as in no version that is known", filepath.Base(path), m.KeySize(), m.ValueSize())
	}
	keys, values := make([]K, mapBatch), make([]V, mapBatch)
	var cursor ebpf.MapBatchCursor
	for seen := 0; ; {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return false, fmt.Errorf("Cilium's map %s: %w", filepath.Base(path), err)
		}
		for i := range min(n, limit-seen) {
			fn(&keys[i], &values[i])
		}
		switch seen += n; {
		case seen > limit:
			return true, nil
		case err != nil: // the end
			return false, nil
		}
	}
}
