package world

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
)

// End is one end of a wire: a network namespace, its own address, and all addresses it answers for on its link.
type End struct {
	NS  string
	IP  string
	IPs []string
}

// Wire is a slow link between two namespaces, beside the bridge that joins them. While it is there, everything
// between the two takes it.
type Wire struct {
	a, b    End
	device  string // its name at both ends
	sockets []*os.File
}

// NewWire lays a wire on which every packet takes that long. The caller is in the control plane's namespace, where
// the wire's inner ends are.
func NewWire(number int, a, b End, late time.Duration) (*Wire, error) {
	w := &Wire{a: a, b: b, device: fmt.Sprintf("wire%d", number)}
	err := w.lay(number, late)
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *Wire) lay(number int, late time.Duration) error {
	for i, end := range []End{w.a, w.b} {
		inner := fmt.Sprintf("w%d-%d", number, i)
		into := ""
		if end.NS != "" {
			into = " netns " + end.NS
		}
		if err := IP("", fmt.Sprintf("link add %[1]s type veth peer name %[2]s%[3]s\nlink set %[1]s up\n", inner, w.device, into)); err != nil {
			return err
		}
		if err := IP(end.NS, "link set "+w.device+" up\n"); err != nil {
			return err
		}
		socket, err := packetSocket(inner)
		if err != nil {
			return err
		}
		w.sockets = append(w.sockets, socket)
	}
	go carry(w.sockets[0], w.sockets[1], late)
	go carry(w.sockets[1], w.sockets[0], late)
	if err := w.route(w.a, w.b); err != nil {
		return err
	}
	return w.route(w.b, w.a)
}

// route sends what goes from one end to the other over the wire: the other's addresses, and what is routed by way of it.
func (w *Wire) route(from, to End) error {
	var commands strings.Builder
	for _, ip := range to.IPs {
		fmt.Fprintf(&commands, "route replace %s/32 dev %s src %s\n", ip, w.device, from.IP)
	}
	if err := IP(from.NS, commands.String()); err != nil {
		return err
	}
	return reroute(from.NS, to.IP)
}

// reroute makes every route by way of a gateway anew, so that the kernel looks the gateway's device up again.
func reroute(ns, via string) error {
	var out []byte
	err := netns.Do(ns, func() (err error) {
		out, err = exec.Command("ip", "-4", "route", "show", "via", via).Output()
		return err
	})
	if err != nil {
		return err
	}
	var commands strings.Builder
	for line := range strings.Lines(string(out)) {
		destination, _, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok {
			fmt.Fprintf(&commands, "route replace %s via %s\n", destination, via)
		}
	}
	if commands.Len() == 0 {
		return nil
	}
	return IP(ns, commands.String())
}

// Close takes the wire away; what is on its way is lost.
func (w *Wire) Close() error {
	var errs []error
	for _, pair := range [][2]End{{w.a, w.b}, {w.b, w.a}} {
		var commands strings.Builder
		for _, ip := range pair[1].IPs {
			fmt.Fprintf(&commands, "route del %s/32 dev %s\n", ip, w.device)
		}
		errs = append(errs, IP(pair[0].NS, commands.String()), reroute(pair[0].NS, pair[1].IP))
	}
	for _, s := range w.sockets {
		errs = append(errs, s.Close())
	}
	for _, end := range []End{w.a, w.b} {
		errs = append(errs, IP(end.NS, "link del "+w.device+"\n"))
	}
	return errors.Join(errs...)
}

// packetSocket opens a device for whole frames with the kernel's offload header, which is passed on untouched: a
// frame inside a machine may have no checksum yet and be larger than any wire takes.
func packetSocket(device string) (*os.File, error) {
	nic, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	protocol := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(protocol))
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: nic.Index}),
	); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket on %s: %w", device, err)
	}
	return os.NewFile(uintptr(fd), device), nil
}

// carry passes frames on, late, in their order, until a socket is closed. Like a real wire it holds a bounded
// number of frames and loses what comes on top.
func carry(from, to *os.File, late time.Duration) {
	type frame struct {
		due  time.Time
		data []byte
	}
	under := make(chan frame, 4096)
	go func() {
		for f := range under {
			time.Sleep(time.Until(f.due))
			to.Write(f.data)
		}
	}()
	defer close(under)
	buffer := make([]byte, 128<<10)
	for {
		n, err := from.Read(buffer)
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		select {
		case under <- frame{time.Now().Add(late), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}
