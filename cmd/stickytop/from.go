package main

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/engine"
)

// maxSourceIPs bounds the addresses of one run. Each takes one of the hundred
// places of an xt_recent list (linux: net/netfilter/xt_recent.c, ip_list_tot),
// out of which a real user's would fall.
const maxSourceIPs = 20

// fromFlags say where synthetic clients of a Service start, each with an
// address of its own.
type fromFlags struct {
	where string
	ips   []string

	addrs []netip.Addr          // of ips, checked; or of agents
	nodes map[netip.Addr]string // of agents
}

// Where --from starts.
const (
	fromLocal = "local"
	fromPods  = "pods"
)

func (f *fromFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.where, "from", "", "local: ask svc/NAME[:PORT] itself, past any ingress, from addresses of this machine; pods: from the agents that 'agents up' made, a Service itself or ing/NAME by its ingress")
	fs.StringSliceVar(&f.ips, "source-ip", nil, "ADDRESS or CIDR of this machine's, a client of its own each (ClientIP affinity), at most "+strconv.Itoa(maxSourceIPs))
}

func (f *fromFlags) on() bool { return f.where != "" }

// check reads the addresses, and says what else does not go with them.
func (f *fromFlags) check(c *config) error {
	if f.where == "" && len(f.ips) > 0 {
		f.where = fromLocal
	}
	if c.cluster.agents.clients > 0 {
		if f.where != "" {
			return usageError("--agents makes agents to ask from; --from %s asks from elsewhere: one of them", affinity.Clean(f.where, 60))
		}
		f.where = fromPods
	}
	if f.where == "" {
		if c.target.Port != "" {
			return usageError("svc/NAME:PORT goes with --from or --agents; an ingress chooses the port itself")
		}
		return nil
	}
	p := c.probe
	switch {
	case f.where != fromLocal && f.where != fromPods:
		return usageError("--from %q: use local or pods", affinity.Clean(f.where, 60))
	case f.where == fromLocal && len(f.ips) == 0:
		return usageError("--from local needs --source-ip: the addresses of this machine that clients start from")
	case f.where == fromPods && len(f.ips) > 0:
		return usageError("--source-ip names addresses of this machine; agents have their own")
	case f.where == fromPods && (c.target.Kind == "url" || c.target.IsZero() && p.url != ""):
		return usageError("agents are made in a cluster: name a Service or an Ingress; --url says where it is")
	case f.where == fromLocal && c.target.Kind != "service":
		return usageError("--from local asks a Service itself: name it, svc/NAME[:PORT]; --url says which of its front doors")
	case p.noProbe:
		return usageError("--from sends requests, --no-probe sends none")
	case p.keepAlive:
		return usageError("--from opens a connection for each request: a kept one renews no pin")
	case c.target.Kind == "service" && slices.ContainsFunc(p.transports, pastNode):
		return usageError("--transport %s: --from asks a Service with http or tcp", affinity.Clean(strings.Join(p.transports, ","), 80))
	case p.via != "" || p.proxy != "":
		return usageError("--from connects itself: no --via-controller and no --probe-proxy, which have addresses of their own")
	}
	var err error
	if p.url != "" {
		if _, err := urlRoute(p.url, ""); err != nil {
			return usageError("--url: %w", err)
		}
	}
	f.addrs, err = sourceIPs(f.ips)
	if kinds, n := len(p.budget().Kinds()), cmp.Or(len(f.addrs), c.cluster.agents.clients); err == nil && n > 0 && n < kinds {
		return usageError("%d addresses for %d kinds of sessions: each address has one client, of one --client and one --transport", n, kinds)
	}
	return err
}

// pastNode reports whether sessions of a transport are not asked from addresses
// of their own.
func pastNode(transport string) bool { return transport != "http" && transport != "tcp" }

// sourceIPs reads addresses and CIDRs. A CIDR means those of its addresses that
// this machine has.
func sourceIPs(list []string) ([]netip.Addr, error) {
	var out []netip.Addr
	add := func(ip netip.Addr) {
		if !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	for _, s := range list {
		s = strings.TrimSpace(s)
		if prefix, err := netip.ParsePrefix(s); err == nil {
			before := len(out)
			for ip := range within(prefix) {
				add(ip)
			}
			if len(out) == before {
				return nil, usageError("--source-ip %s: no address of this machine is in it", prefix)
			}
			continue
		}
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return nil, usageError("--source-ip %q: neither an address nor a CIDR", affinity.Clean(s, 60))
		}
		if !isMine(ip) {
			return nil, usageError("--source-ip %s: this machine has no such address", ip)
		}
		add(ip.Unmap())
	}
	if len(out) > maxSourceIPs {
		return nil, usageError("--source-ip: %d addresses, at most %d: each takes one of the 100 places that a node's xt_recent list has, and pushes users out of it", len(out), maxSourceIPs)
	}
	return out, nil
}

// within yields the addresses of prefix that this machine has: those of its
// interfaces and, as all of 127.0.0.0/8 is a machine's own, of that range.
func within(prefix netip.Prefix) func(func(netip.Addr) bool) {
	return func(yield func(netip.Addr) bool) {
		prefix = prefix.Masked()
		if prefix.Addr().Is4() && prefix.Addr().IsLoopback() && prefix.Bits() >= 8 {
			n := 0
			for ip := prefix.Addr(); prefix.Contains(ip) && n <= maxSourceIPs; ip = ip.Next() {
				if !isMine(ip) || prefix.Bits() < 31 && (ip == prefix.Addr() || !prefix.Contains(ip.Next())) {
					continue // not the network's address, nor its broadcast
				}
				n++
				if !yield(ip) {
					return
				}
			}
			return
		}
		all, _ := net.InterfaceAddrs()
		for _, a := range all {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Contains(p.Addr().Unmap()) && !p.Addr().IsLinkLocalUnicast() && !yield(p.Addr().Unmap()) {
				return
			}
		}
	}
}

// isMine reports whether a socket can be bound to ip. Nothing is sent or
// listened for.
func isMine(ip netip.Addr) bool {
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() {
		return false
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// budget asks for a session of each address.
func (f *fromFlags) budget(b affinity.Budget, node string) affinity.Budget {
	if f.on() {
		b.PerRoute, b.From, b.Node = len(f.addrs), f.addrs, node
		if f.where == fromPods {
			b.Node, b.Nodes = "", f.nodes
		}
	}
	return b
}

// direct adds the route that leads to a Service itself to a source that knows
// the Service.
type direct struct {
	engine.Source
	target affinity.Target
	url    string // of a front door; "" for the Service's own address
}

func (x direct) Run(ctx context.Context, emit func(affinity.Event)) error {
	return x.Source.Run(ctx, func(e affinity.Event) {
		emit(e)
		switch e := e.(type) {
		case affinity.ServiceChanged:
			if x.means(e.Service.Ref) {
				emit(affinity.Routes{Source: "direct", Routes: x.routes(e.Service)})
			}
		case affinity.ServiceGone:
			if x.means(e.Ref) {
				emit(affinity.Routes{Source: "direct"})
			}
		}
	})
}

func (x direct) means(ref affinity.ServiceRef) bool {
	return ref.Name == x.target.Name && (x.target.Namespace == "" || ref.Namespace == x.target.Namespace)
}

// routes is the route to a Service, or none when there is no such port or no
// address.
func (x direct) routes(s affinity.Service) []affinity.Route {
	i := slices.IndexFunc(s.Ports, func(p affinity.ServicePort) bool {
		return p.Protocol == "TCP" && (x.target.Port == "" || x.target.Port == p.Name || x.target.Port == strconv.Itoa(p.Port))
	})
	if i < 0 || x.url == "" && (s.ClusterIP == "" || s.Headless) {
		return nil
	}
	port := s.Ports[i]
	at, why := x.url, "--url"
	if at == "" {
		u := url.URL{Scheme: "http", Host: net.JoinHostPort(s.ClusterIP, strconv.Itoa(port.Port)), Path: "/"}
		if port.Port == 443 || port.Name == "https" {
			u.Scheme = "https"
		}
		at, why = u.String(), "the Service's own address"
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil
	}
	path := cmp.Or(u.EscapedPath(), "/")
	return []affinity.Route{{
		ID: affinity.RouteKey(affinity.RouteService, s.Ref.Namespace, s.Ref.Name, u.Host, path), Kind: affinity.RouteService,
		Namespace: s.Ref.Namespace, Name: s.Ref.Name, Host: u.Hostname(), Path: path, URL: at, TLS: u.Scheme == "https",
		Backend:   affinity.Backend{Service: s.Ref, Port: strconv.Itoa(port.Port), PortName: port.Name},
		ProbePath: u.RequestURI(), ProbeWhy: why,
		Layers: []affinity.Layer{{Where: affinity.LayerService, Object: "service/" + s.Ref.Name, Candidates: []affinity.Policy{s.Policy}}},
	}}
}

// proxyMode asks the kube-proxy of this machine, if it has one, how it keeps
// pins (kubernetes: cmd/kube-proxy/app/server.go, /proxyMode of the metrics
// port, which listens on 127.0.0.1 alone by default).
type proxyMode struct{ node string }

const proxyModeURL = "http://127.0.0.1:10249/proxyMode"

func (p proxyMode) Run(ctx context.Context, emit func(affinity.Event)) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if mode := askMode(ctx, &client, proxyModeURL); mode != "" {
			emit(affinity.DataplaneDetected{Node: p.node, Dataplane: affinity.Dataplane{Mode: mode, Why: proxyModeURL}})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Minute):
		}
	}
}

// askMode returns "" where nobody answers, or not in kube-proxy's words.
func askMode(ctx context.Context, client *http.Client, at string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return ""
	}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	mode := strings.TrimSpace(string(body))
	if err != nil || resp.StatusCode != http.StatusOK || !slices.Contains([]string{"iptables", "nftables", "ipvs"}, mode) {
		return ""
	}
	return mode
}

// notTCP is the protocol of the port that a target names of a Service itself, ""
// where it names none, or one of TCP.
func notTCP(snap *affinity.Snapshot, t affinity.Target) (protocol string) {
	svc := snap.Named(t)
	if svc == nil || !t.Direct || t.Port == "" {
		return ""
	}
	for _, p := range svc.Ports {
		if p.Name != t.Port && strconv.Itoa(p.Port) != t.Port {
			continue
		}
		if p.Protocol == "TCP" {
			return ""
		}
		protocol = p.Protocol
	}
	return protocol
}
