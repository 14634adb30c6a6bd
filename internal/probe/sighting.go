package probe

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Names of the steps of reaching an ingress, outermost first.
const (
	stepDNS      = "DNS"
	stepTCP      = "TCP"
	stepTLS      = "TLS"
	stepHTTP     = "HTTP"
	stepAffinity = "affinity"
)

// sighting is what one request met on its way. net/http may call the hooks
// after the request is over, from goroutines of its own.
type sighting struct {
	target   Target
	insecure bool

	mu       sync.Mutex
	op       string // Failure.Op, if it failed now
	began    time.Time
	dns      span
	names    string // what DNS said
	tcp      span
	tls      span
	state    tls.ConnectionState
	up       bool   // connected
	remote   string // "ip:port"; "" where a forwarded connection has none
	kept     bool   // connection of an earlier request
	asked    time.Time
	answered time.Time
}

// span is one step's time and outcome.
type span struct {
	began, ended time.Time
	err          error
}

func (s span) took() time.Duration {
	if s.ended.IsZero() {
		return 0
	}
	return s.ended.Sub(s.began)
}

func newSighting(t Target, insecure bool) *sighting {
	return &sighting{target: t, insecure: insecure, op: "dial", began: time.Now()}
}

func (s *sighting) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { s.note(func() { s.dns = span{began: time.Now()} }) },
		DNSDone:  func(i httptrace.DNSDoneInfo) { s.note(func() { s.resolved(i) }) },
		ConnectStart: func(string, string) {
			s.note(func() {
				if s.tcp.began.IsZero() { // IPv4 and IPv6 may race
					s.tcp.began = time.Now()
				}
			})
		},
		ConnectDone:       func(_, addr string, err error) { s.note(func() { s.connected(addr, err) }) },
		TLSHandshakeStart: func() { s.note(func() { s.op, s.tls.began = "tls", time.Now() }) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			s.note(func() { s.tls.ended, s.tls.err, s.state = time.Now(), err, state })
		},
		GotConn:              func(i httptrace.GotConnInfo) { s.note(func() { s.got(i) }) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { s.note(func() { s.op = "read" }) },
		GotFirstResponseByte: func() { s.note(func() { s.answered = time.Now() }) },
	}
}

func (s *sighting) note(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

func (s *sighting) resolved(i httptrace.DNSDoneInfo) {
	s.dns.ended, s.dns.err = time.Now(), i.Err
	var ips []string
	for _, a := range i.Addrs[:min(len(i.Addrs), maxAddresses)] {
		ips = append(ips, a.String())
	}
	if more := len(i.Addrs) - len(ips); more > 0 {
		ips = append(ips, fmt.Sprintf("%d more", more))
	}
	s.names = strings.Join(ips, ", ")
}

func (s *sighting) connected(addr string, err error) {
	if s.up { // the other of two that raced
		return
	}
	s.tcp.ended, s.tcp.err, s.up = time.Now(), err, err == nil
	if s.up {
		s.reached(addr)
	}
}

// reached notes the address of the other side, if it is one.
func (s *sighting) reached(addr string) {
	if _, err := netip.ParseAddrPort(addr); err == nil {
		s.remote = addr
	}
}

func (s *sighting) got(i httptrace.GotConnInfo) {
	s.op, s.up, s.kept, s.asked = "write", true, i.Reused, time.Now()
	if a := i.Conn.RemoteAddr(); a != nil {
		s.reached(a.String())
	}
}

func (s *sighting) phase() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.op
}

// waiting is the step that the request waits for now, for people.
func (s *sighting) waiting() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := func(what, preposition string) string {
		where := s.remote
		if where == "" && len(s.target.Addrs) > 0 {
			where = s.target.Addrs[0]
		}
		if where == "" {
			return what
		}
		return affinity.Clean(what+preposition+where, maxText)
	}
	switch {
	case !s.dns.began.IsZero() && s.dns.ended.IsZero() && len(s.target.Addrs) > 0:
		return affinity.Clean("the address of "+hostOnly(s.target.Addrs[0]), maxText)
	case !s.tls.began.IsZero() && s.tls.ended.IsZero():
		return at("the TLS handshake", " with ")
	case s.op == "dial" && !s.up:
		return at("a connection", " to ")
	case !s.answered.IsZero():
		return at("the rest of the answer", " of ")
	}
	return at("the answer", " of ")
}

func (s *sighting) remoteAddr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return affinity.Clean(s.remote, 80)
}

// steps returns the ladder from DNS to HTTP, as far as o, the outcome, came.
func (s *sighting) steps(o affinity.Observed) []affinity.PathStep {
	s.mu.Lock()
	defer s.mu.Unlock()
	steps := []affinity.PathStep{s.dnsStep(), s.tcpStep(), s.tlsStep(), s.httpStep(o)}
	for i := range steps {
		steps[i].Detail = affinity.Clean(steps[i].Detail, maxText)
	}
	if o.Failure == nil {
		return steps
	}
	failed := failedStep(o.Failure)
	steps[failed].Status, steps[failed].Detail = affinity.StepFailed, o.Failure.Text
	for i := failed + 1; i < len(steps); i++ {
		steps[i] = affinity.PathStep{Name: steps[i].Name}
	}
	return steps
}

// failedStep is the index of the step that f belongs to.
func failedStep(f *affinity.Failure) int {
	switch {
	case f.Kind == affinity.FailureDNS, f.Kind == affinity.FailureNoAddress:
		return 0
	case f.Op == "dial":
		return 1
	case f.Op == "tls":
		return 2
	}
	return 3
}

func (s *sighting) dnsStep() affinity.PathStep {
	step := affinity.PathStep{Name: stepDNS, Took: s.dns.took()}
	switch {
	case s.target.Missing != "" || len(s.target.Addrs) == 0:
		step.Status, step.Detail = affinity.StepFailed, s.target.Missing
	case s.dns.err != nil:
		step.Status = affinity.StepFailed // worded by the Failure
	case s.target.forwarded:
		step.Detail = "not asked: " + s.target.From
	case !s.target.looksUp():
		step.Status, step.Detail = affinity.StepOK, s.target.Addrs[0]+", from "+s.target.From
	case s.names != "":
		step.Status, step.Detail = affinity.StepOK, hostOnly(s.target.Addrs[0])+" is "+s.names+"; from "+s.target.From
	case s.up:
		step.Status, step.Detail = affinity.StepOK, s.target.Addrs[0]+", from "+s.target.From
	}
	return step
}

func (s *sighting) tcpStep() affinity.PathStep {
	step := affinity.PathStep{Name: stepTCP, Took: s.tcp.took()}
	switch {
	case s.kept:
		step.Status, step.Detail = affinity.StepOK, "kept connection"
	case s.up && s.remote == "":
		step.Status, step.Detail = affinity.StepOK, s.target.From
	case s.up:
		step.Status, step.Detail = affinity.StepOK, s.remote
	case s.tcp.err != nil:
		step.Status = affinity.StepFailed
	}
	return step
}

func (s *sighting) tlsStep() affinity.PathStep {
	step := affinity.PathStep{Name: stepTLS, Took: s.tls.took()}
	switch {
	case s.target.URL.Scheme != "https":
		step.Detail = "plain http"
	case s.tls.err != nil:
		step.Status = affinity.StepFailed
	case s.kept:
		step.Status, step.Detail = affinity.StepOK, "kept connection"
	case !s.tls.ended.IsZero():
		step.Status, step.Detail = affinity.StepOK, s.certificate()
	}
	return step
}

func (s *sighting) certificate() string {
	text := tls.VersionName(s.state.Version)
	if len(s.state.PeerCertificates) > 0 {
		c := s.state.PeerCertificates[0]
		text += ", certificate for " + certNames(c) + " until " + c.NotAfter.UTC().Format(time.DateOnly)
	}
	if s.insecure {
		text += ", not verified"
	}
	return text
}

func (s *sighting) httpStep(o affinity.Observed) affinity.PathStep {
	step := affinity.PathStep{Name: stepHTTP}
	if o.Status == 0 {
		return step
	}
	if !s.asked.IsZero() && s.answered.After(s.asked) {
		step.Took = s.answered.Sub(s.asked)
	}
	step.Status = affinity.StepOK
	step.Detail = strings.TrimSpace(fmt.Sprintf("GET %s: %d %s", s.target.URL, o.Status, http.StatusText(o.Status)))
	if o.Redirect != "" {
		step.Detail += " → " + o.Redirect
	}
	if s.target.Note != "" {
		step.Detail += "; " + s.target.Note
	}
	return step
}
