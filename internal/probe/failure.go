package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// statusFailure tells the statuses that are the ingress's word from answers of
// the application, which it returns nil for.
func statusFailure(status int) *affinity.Failure {
	if status < 100 { // net/http takes 000
		return &affinity.Failure{Op: "read", Kind: affinity.FailureProtocol, Text: fmt.Sprintf("not a usable HTTP answer: status %03d", status)}
	}
	kind := affinity.FailureStatus
	switch status {
	case http.StatusTooManyRequests:
		kind = affinity.FailureLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return nil
	}
	return &affinity.Failure{Op: "status", Kind: kind, Text: strconv.Itoa(status) + " " + http.StatusText(status)}
}

// failure says what went wrong with a request to t that had come as far as op.
func (s *settings) failure(err error, op string, t Target) *affinity.Failure {
	f := &affinity.Failure{Op: op, Kind: affinity.FailureOther}
	f.Kind, f.Text = s.explain(err, op, t)
	f.Text = affinity.Clean(f.Text, maxText)
	return f
}

func (s *settings) explain(err error, op string, t Target) (affinity.FailureKind, string) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return affinity.FailureDNS, dnsText(dns)
	}
	if op == "tls" {
		return s.explainTLS(err, t)
	}
	where := ""
	if op == "dial" {
		where = "connect to " + s.dialled(err, t) + ": "
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return affinity.FailureRefused, where + "connection refused"
	case isTimeout(err) && op == "dial":
		return affinity.FailureTimeout, where + "no answer within " + min(s.ConnectTimeout, s.Timeout).String()
	case isTimeout(err):
		return affinity.FailureTimeout, "no answer within " + s.Timeout.String()
	case op == "dial":
		return affinity.FailureOther, where + cause(err)
	case isCutOff(err):
		return affinity.FailureOther, "the connection closed before an answer came"
	}
	return affinity.FailureProtocol, "not a usable HTTP answer: " + protocolText(err)
}

// explainTLS words the errors of a handshake with what to do about them.
func (s *settings) explainTLS(err error, t Target) (affinity.FailureKind, string) {
	const kind = affinity.FailureTLS
	host := cleanHost(t.URL.Hostname())
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return kind, "certificate" + issuedBy(e.Cert) + " is signed by an unknown authority; give its CA with --probe-ca FILE, or --probe-insecure"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return kind, fmt.Sprintf("certificate is for %s, not for %s; %s", certNames(e.Certificate), host, instead(e.Certificate))
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return kind, invalidText(e)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return kind, "the server does not speak TLS on this port"
	}
	// crypto/tls marks an alert of the other side so.
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return kind, fmt.Sprintf("the server refused the handshake for %s: %s", host, strings.TrimPrefix(cause(err), "tls: "))
	}
	switch {
	case isTimeout(err):
		return affinity.FailureTimeout, "the TLS handshake did not end within " + min(s.ConnectTimeout, s.Timeout).String()
	case isCutOff(err):
		return kind, "the server closed the connection during the TLS handshake"
	}
	return kind, strings.TrimPrefix(cause(err), "tls: ")
}

func invalidText(e x509.CertificateInvalidError) string {
	switch {
	case e.Reason != x509.Expired || e.Cert == nil:
		return "certificate is not valid: " + strings.TrimPrefix(e.Error(), "x509: ")
	case time.Now().Before(e.Cert.NotBefore):
		return "certificate is not valid before " + e.Cert.NotBefore.UTC().Format(time.RFC3339)
	}
	return "certificate expired on " + e.Cert.NotAfter.UTC().Format(time.RFC3339)
}

func issuedBy(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	return " of " + certNames(c)
}

// certNames names a certificate by what it is valid for.
func certNames(c *x509.Certificate) string {
	if c == nil {
		return "nothing"
	}
	var names []string
	for _, name := range c.DNSNames {
		names = append(names, affinity.Clean(name, 60))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return fmt.Sprintf("%q", affinity.Clean(c.Subject.CommonName, 60))
	}
	if len(names) > 3 {
		names = append(names[:3:3], fmt.Sprintf("%d more", len(names)-3))
	}
	return strings.Join(names, ", ")
}

// ownCertificates are what controllers make for themselves and show where none
// of a host's own is there. [ingress-nginx internal/net/ssl/ssl.go, traefik
// pkg/tls/generate/generate.go]
var ownCertificates = []string{"Kubernetes Ingress Controller Fake Certificate", "TRAEFIK DEFAULT CERT"}

// instead is what to type where a certificate is another name's: the name is
// taken from it if it can be one, since it is going to be pasted.
func instead(c *x509.Certificate) string {
	const anyway = "--probe-insecure takes it as it is"
	if c == nil {
		return anyway
	}
	if slices.Contains(ownCertificates, c.Subject.CommonName) {
		return "the controller made it itself, it has none for this host: " + anyway
	}
	wild := ""
	for _, name := range c.DNSNames[:min(len(c.DNSNames), maxNames)] {
		rest, star := strings.CutPrefix(name, "*.")
		switch {
		case !hostName.MatchString(rest):
		case !star:
			return "--host " + name + " asks for that name, " + anyway
		case wild == "":
			wild = "--host NAME." + rest + " asks for such a name, " + anyway
		}
	}
	return cmp.Or(wild, anyway)
}

// maxNames bounds the names of a certificate that are looked through, and
// hostName is what one must be to be offered.
const maxNames = 100

var hostName = regexp.MustCompile(`^[0-9A-Za-z](?:[0-9A-Za-z.-]{0,98}[0-9A-Za-z])?$`)

func dnsText(e *net.DNSError) string {
	switch {
	case e.IsNotFound:
		return fmt.Sprintf("%s: no such host in DNS", e.Name)
	case e.IsTimeout:
		return fmt.Sprintf("%s: DNS did not answer in time", e.Name)
	}
	return fmt.Sprintf("%s: DNS: %s", e.Name, e.Err)
}

// dialled is the address that err is about, without the local port, which
// would make every failure look new.
func (s *settings) dialled(err error, t Target) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Addr != nil {
		return op.Addr.String()
	}
	if s.Dial != nil && s.DialName != "" {
		return s.DialName
	}
	if len(t.Addrs) > 0 {
		return t.Addrs[0]
	}
	return cleanHost(t.URL.Host)
}

// cause is the innermost error's text, again without addresses.
func cause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return err.Error()
}

// protocolText takes net/http's own prefixes off.
func protocolText(err error) string {
	text := err.Error()
	for _, prefix := range []string{"net/http: ", "HTTP/1.x transport connection broken: ", "http: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// isCutOff reports whether the other side went away.
func isCutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "server closed idle connection")
}
