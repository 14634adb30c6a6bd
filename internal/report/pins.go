package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// PinList is what `get pins` prints.
type PinList = List[AddressPin]

// AddressPin is a client's address that a node ties to an endpoint.
type AddressPin struct {
	metav1.TypeMeta `json:",inline"` // empty inside a list

	Layer            string            `json:"layer"` // clientip
	Node             string            `json:"node"`
	Family           string            `json:"family"`
	Namespace        string            `json:"namespace"`
	Service          string            `json:"service"`
	ServicePort      ServicePort       `json:"servicePort"`
	Front            string            `json:"front,omitempty"`
	Client           string            `json:"client"`
	ClientIs         string            `json:"clientIs,omitempty"`
	Pod              string            `json:"pod,omitempty"`
	Endpoint         string            `json:"endpoint"` // "" when nothing names it
	Since            *metav1.MicroTime `json:"since,omitempty"`
	SinceOrBefore    *metav1.MicroTime `json:"sinceOrBefore,omitempty"` // in place of since where its beginning was not seen
	Renewed          *metav1.MicroTime `json:"renewed,omitempty"`
	Expires          *metav1.MicroTime `json:"expires,omitempty"`
	RemainingSeconds *float64          `json:"remainingSeconds,omitempty"`
	TimeoutSeconds   float64           `json:"timeoutSeconds,omitempty"`
	Renewal          string            `json:"renewal"`
	Source           string            `json:"source"` // kernel, derived or assumed
	Shadowed         bool              `json:"shadowed"`
	Note             string            `json:"note,omitempty"`
	Ended            string            `json:"ended,omitempty"`   // with -w: expired, evicted, endpoint-removed, affinity-off, gone, unread
	EndedAt          *metav1.MicroTime `json:"endedAt,omitempty"` // when that was seen; one that expired did so at expires
}

// ServicePort is the port of a Service that a pin is for.
type ServicePort struct {
	Name     string `json:"name,omitempty"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
}

// Pins lists the pins by address of s as of its time; those whose time is up
// are left out. target narrows them to one Service, or to the Services behind
// one Ingress.
func Pins(s *affinity.Snapshot, target affinity.Target) *PinList {
	list := newList[AddressPin](s, "PinList")
	if d := s.Dataplane; d != (affinity.Dataplane{}) {
		list.Metadata.Dataplane = &Dataplane{Mode: d.Mode, Modes: d.Modes(), Why: d.Why, Semantics: d.Semantics()}
	}
	wanted, known := s.Meant(target), s.KnownAddresses()
	list.Metadata.FillingLists = fillingLists(s, wanted)
	for _, p := range s.AddressPins {
		if wanted(p.Service) && !p.Over(s.At) {
			list.Items = append(list.Items, newAddressPin(s, *p, known))
		}
	}
	return list
}

// fillingLists are those of the lists that fill up, and those that clients were
// pushed out of.
func fillingLists(s *affinity.Snapshot, wanted func(affinity.ServiceRef) bool) []FillingList {
	type place struct {
		node, port, endpoint string
		service              affinity.ServiceRef
	}
	evicted := map[place]int{}
	for _, e := range s.AddressEnds {
		if e.Reason == affinity.AddressEndEvicted {
			evicted[place{e.Node, e.PortName, e.Endpoint, e.Service}]++
		}
	}
	var out []FillingList
	for _, l := range s.AddressLists {
		n := evicted[place{l.Node, l.PortName, l.Endpoint, l.Service}]
		if wanted(l.Service) && (l.Filling() || n > 0) {
			out = append(out, FillingList{Node: l.Node, Namespace: l.Service.Namespace, Service: l.Service.Name, PortName: l.PortName, Pod: l.Pod.Name,
				Endpoint: l.Endpoint, Live: l.Live, Expired: l.Expired, Limit: l.Limit, Evicts: l.Evicts, Evicted: n})
		}
	}
	return out
}

// Text says it in a line.
func (l FillingList) Text() string {
	taken := l.Live + l.Expired
	text := fmt.Sprintf("%s holds %d of at most %d clients of pod %s (svc/%s -n %s)", l.Node, taken, l.Limit, cmp.Or(l.Pod, l.Endpoint), l.Service, l.Namespace)
	if l.Expired > 0 {
		text += fmt.Sprintf(", %d of them expired", l.Expired)
	}
	switch {
	case l.Evicts && taken >= l.Limit:
		text += ": each new client pushes out the one that was longest away"
	case l.Evicts:
		text += ": when it is full, each new client pushes out the one that was longest away"
	case taken >= l.Limit:
		text += ": further clients are not pinned"
	default:
		text += ": when it is full, further clients are not pinned"
	}
	if l.Evicted > 0 {
		text += fmt.Sprintf("; %d pushed out meanwhile", l.Evicted)
	}
	return text
}

func newAddressPin(s *affinity.Snapshot, p affinity.AddressPin, known map[netip.Addr]string) AddressPin {
	out := AddressPin{
		Layer: "clientip", Node: p.Node, Family: p.Family(), Namespace: p.Service.Namespace, Service: p.Service.Name,
		ServicePort: ServicePort{p.PortName, p.Port, p.Protocol}, Front: p.Front, Client: p.Client.String(), ClientIs: known[p.Client],
		Pod: p.Pod.Name, Endpoint: p.Endpoint, Since: instant(p.Since), Renewed: instant(p.Renewed), Expires: instant(p.Expires),
		TimeoutSeconds: p.Timeout.Seconds(), Renewal: p.Renewal.String(), Source: p.Source.String(), Shadowed: p.Shadowed, Note: p.Note,
	}
	if p.SinceOrBefore {
		out.Since, out.SinceOrBefore = nil, out.Since
	}
	if left, ok := p.Remaining(s.At); ok {
		seconds := left.Seconds()
		out.RemainingSeconds = &seconds
	}
	return out
}

// noPins says that there are none, or that nobody could look.
func (m *ListMeta) noPins() string {
	for _, src := range m.Sources {
		if (affinity.SourceStatus{Name: src.Name}).OfNode() && src.State != affinity.SourceLive.String() {
			return "No pins by address were read."
		}
	}
	return "No pins by address."
}

func pinHeader(wide bool) []string {
	h := []string{"CLIENT", "NODE", "SERVICE", "PORT", "POD", "LEFT", "SOURCE", "STATE"}
	if wide {
		h = append(h, "CLIENT IS", "ENDPOINT", "FRONT", "TIMEOUT", "SINCE", "NOTE")
	}
	return h
}

func (p *AddressPin) row(wide bool) []string {
	left, state := "", "pinned"
	if p.RemainingSeconds != nil {
		left = duration(*p.RemainingSeconds)
	}
	switch {
	case p.Ended != "":
		state, left = p.Ended, ""
		if p.EndedAt != nil {
			state += " " + clock(p.EndedAt)
		}
	case p.Shadowed:
		state = "shadowed"
	}
	port := fmt.Sprint(p.ServicePort.Port)
	if p.ServicePort.Protocol != "TCP" {
		port += "/" + p.ServicePort.Protocol
	}
	pod := p.Pod
	if p.Endpoint == "" {
		pod = "not known"
	}
	row := []string{p.Client, p.Node, p.Namespace + "/" + p.Service, port, pod, left, p.Source, state}
	if wide {
		since := clock(p.Since)
		if p.SinceOrBefore != nil {
			since = "by " + clock(p.SinceOrBefore)
		}
		row = append(row, p.ClientIs, p.Endpoint, p.Front, duration(p.TimeoutSeconds), since, p.Note)
	}
	return row
}

func (p *AddressPin) name() string {
	return p.Client + "@" + p.Node + ":" + p.Namespace + "/" + p.Service
}

// PinWatch writes pins by address as they change: one JSON object on a line, or
// one row.
type PinWatch struct {
	Format string // "json", "wide", "name" or ""
	Target affinity.Target

	seen   map[affinity.AddressKey]*affinity.AddressPin
	ended  uint64
	header bool
}

// Write prints what changed since the last call: the pins that ended with the
// reason, then those that are new, renewed or changed.
func (w *PinWatch) Write(out io.Writer, s *affinity.Snapshot) error {
	if w.seen == nil {
		w.seen = map[affinity.AddressKey]*affinity.AddressPin{}
	}
	wanted, known := s.Meant(w.Target), s.KnownAddresses()
	for _, end := range s.AddressEnds {
		if end.Seq <= w.ended {
			continue
		}
		w.ended = end.Seq
		delete(w.seen, end.AddressKey)
		if !wanted(end.Service) {
			continue
		}
		x := newAddressPin(s, end.AddressPin, known)
		x.Ended, x.EndedAt, x.RemainingSeconds = end.Reason.String(), instant(end.At), nil
		if err := w.line(out, x); err != nil {
			return err
		}
	}
	for _, p := range s.AddressPins {
		if w.seen[p.AddressKey] == p || !wanted(p.Service) {
			continue
		}
		w.seen[p.AddressKey] = p
		if err := w.line(out, newAddressPin(s, *p, known)); err != nil {
			return err
		}
	}
	return nil
}

func (w *PinWatch) line(out io.Writer, x AddressPin) error {
	switch w.Format {
	case "json":
		x.TypeMeta = metav1.TypeMeta{APIVersion: APIVersion, Kind: "Pin"}
		return json.NewEncoder(out).Encode(x)
	case "name":
		_, err := fmt.Fprintln(out, "pin.stickytop.dev/"+x.name())
		return err
	}
	t := table{header: pinHeader(w.Format == "wide"), rows: [][]string{x.row(w.Format == "wide")}}
	err := t.print(out, w.header)
	w.header = true
	return err
}
