package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dumper is a netlink socket for dumps of sets. It reads in place and with room
// for the largest answers: the kernel walks a set from its start for each of
// them, and makes them as large as the buffer it has seen, 32 KB at most
// (linux: net/netlink/af_netlink.c, netlink_recvmsg). In answers of a page each,
// as the library takes them, a dump of 10,000 elements takes ten times as long.
type dumper struct {
	fd  int
	seq uint32
	buf []byte
}

// dumpPatience bounds the wait for an answer of the kernel's.
const dumpPatience = 5 * time.Second

func newDumper() (*dumper, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	wait := unix.NsecToTimeval(int64(dumpPatience))
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &dumper{fd: fd, buf: make([]byte, 64<<10)}, nil
}

func (d *dumper) Close() { unix.Close(d.fd) }

// dump appends the elements of a set to entries.
func (r *Reader) dump(entries []Entry, s *nftables.Set) ([]Entry, bool, error) {
	if r.elements == nil {
		d, err := newDumper()
		if err != nil {
			return entries, false, nftError(err)
		}
		r.elements = d
	}
	before := len(entries)
	entries, err := r.elements.elements(entries, s)
	if err != nil {
		return entries, false, nftError(err)
	}
	if len(entries)-before > maxEntries {
		return entries[:before+maxEntries], true, nil
	}
	return entries, false, nil
}

// header is the length of struct nlmsghdr (linux: include/uapi/linux/netlink.h).
const header = 16

func (d *dumper) elements(entries []Entry, s *nftables.Set) ([]Entry, error) {
	if err := d.ask(s); err != nil {
		return entries, err
	}
	for {
		n, _, err := unix.Recvfrom(d.fd, d.buf, unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return entries, err
		}
		if n > len(d.buf) {
			return entries, fmt.Errorf("an answer of %d bytes", n)
		}
		for b := d.buf[:n]; len(b) >= header; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < header || size > len(b) {
				return entries, errors.New("an answer that is cut off")
			}
			message := b[:size]
			b = b[min(len(b), (size+3)&^3):]
			if binary.NativeEndian.Uint32(message[8:]) != d.seq {
				continue // to a question that was given up
			}
			switch kind, flags := binary.NativeEndian.Uint16(message[4:]), binary.NativeEndian.Uint16(message[6:]); {
			case kind == unix.NLMSG_DONE:
				return entries, nil
			case kind == unix.NLMSG_ERROR:
				if len(message) >= header+4 {
					return entries, unix.Errno(-int32(binary.NativeEndian.Uint32(message[header:])))
				}
				return entries, errors.New("an error without a number")
			case flags&unix.NLM_F_DUMP_INTR != 0:
				return entries, errVanished
			case len(message) >= header+nfgenmsg:
				entries = appendElements(entries, message[header+nfgenmsg:])
			}
		}
	}
}

// ask sends the question for a dump.
func (d *dumper) ask(s *nftables.Set) error {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: []byte(s.Table.Name + "\x00")},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: []byte(s.Name + "\x00")},
	})
	if err != nil {
		return err
	}
	d.seq++
	q := make([]byte, header, header+nfgenmsg+len(attrs))
	binary.NativeEndian.PutUint32(q, uint32(cap(q)))
	binary.NativeEndian.PutUint16(q[4:], unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSETELEM)
	binary.NativeEndian.PutUint16(q[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(q[8:], d.seq)
	q = append(append(q, byte(s.Table.Family), unix.NFNETLINK_V0, 0, 0), attrs...)
	return unix.Sendto(d.fd, q, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// nfgenmsg is the length of netfilter's own header (linux:
// include/uapi/linux/netfilter/nfnetlink.h, struct nfgenmsg).
const nfgenmsg = 4

// appendElements reads the attributes of one answer (linux:
// net/netfilter/nf_tables_api.c, nf_tables_fill_setelem). Elements without an
// address are no client's, and left out.
func appendElements(entries []Entry, b []byte) []Entry {
	attributes(b, func(t uint16, list []byte) {
		if t != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return
		}
		attributes(list, func(_ uint16, element []byte) {
			var e Entry
			attributes(element, func(t uint16, v []byte) {
				switch {
				case t == unix.NFTA_SET_ELEM_KEY:
					attributes(v, func(t uint16, key []byte) {
						if a, ok := netip.AddrFromSlice(key); ok && t == unix.NFTA_DATA_VALUE {
							e.Client = a.Unmap()
						}
					})
				case t == unix.NFTA_SET_ELEM_TIMEOUT && len(v) == 8:
					e.Timeout = millis(v)
				case t == unix.NFTA_SET_ELEM_EXPIRATION && len(v) == 8:
					e.Left = millis(v)
				}
			})
			if e.Client.IsValid() {
				entries = append(entries, e)
			}
		})
	})
	return entries
}

// millis reads a time that the kernel counts in milliseconds, big-endian. One
// that is longer than any pin's is cut.
func millis(b []byte) time.Duration {
	const most = uint64(366 * 24 * time.Hour / time.Millisecond)
	return time.Duration(min(binary.BigEndian.Uint64(b), most)) * time.Millisecond
}

// typeMask leaves out NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const typeMask = 0x3fff

// attributes calls f for each attribute of b, until one does not fit (linux:
// include/uapi/linux/netlink.h, struct nlattr). The flags of a type are left
// out.
func attributes(b []byte, f func(t uint16, value []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&typeMask, b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}
