package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Entry is a line of the access log: what really happened to one request.
type Entry struct {
	At        time.Time // when the answer was complete
	Took      time.Duration
	Client    string // X-Stickytop-Session, as received
	RequestID string // X-Request-Id, as received
	Method    string
	Host      string
	Path      string
	Status    int
	Backend   string          // "msgapp-msgapp-backend-5000"; "" when no rule matched
	Tried     []string        // endpoints in the order they were asked
	Served    string          // the one that answered; "" for none
	Pod       affinity.PodRef // of Served; zero for none
	Cookie    string          // Cookie header
	SetCookie []string        // those of the proxy
}

// maxEntries is how many entries are kept.
const maxEntries = 50_000

// accessLog keeps the newest entries.
type accessLog struct {
	entries []Entry
	dropped int
}

func (l *accessLog) add(e Entry) {
	if len(l.entries) >= maxEntries {
		half := len(l.entries) / 2
		l.dropped += half
		l.entries = append(l.entries[:0:0], l.entries[half:]...)
	}
	l.entries = append(l.entries, e)
}

// AccessLog returns the requests so far, oldest first: the newest 25,000 at
// least.
func (p *Proxy) AccessLog() []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Entry(nil), p.log.entries...)
}

func (p *Proxy) finish(r *http.Request, x *exchange, w *statusRecorder, began time.Time) {
	e := Entry{
		At: p.opts.Now(), Client: r.Header.Get("X-Stickytop-Session"), RequestID: r.Header.Get("X-Request-Id"),
		Method: r.Method, Host: r.Host, Path: r.URL.Path, Status: w.status,
		Tried: x.tried, Served: x.served, Cookie: r.Header.Get("Cookie"), SetCookie: x.setCookies,
	}
	e.Took = e.At.Sub(began)
	if x.backend != nil {
		e.Backend = x.backend.name
		e.Pod = x.backend.podAt(x.served)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.add(e)
}

// statusRecorder remembers the status it passes on.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (w *statusRecorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController flush and hijack.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// statusClientGone is nginx's 499: nobody is there to read it, but the log.
const statusClientGone = 499

// serveUpstreamError answers when no endpoint did: 504 for one that was
// silent, 502 otherwise. Cookies of endpoints that failed are set all the same.
func serveUpstreamError(w http.ResponseWriter, r *http.Request, err error) {
	for _, c := range exchangeOf(r.Context()).setCookies {
		w.Header().Add("Set-Cookie", c)
	}
	status := http.StatusBadGateway
	var timeout net.Error
	switch {
	case r.Context().Err() != nil:
		status = statusClientGone
	case errors.Is(err, errTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		status = http.StatusGatewayTimeout
	}
	serveStatus(w, status)
}

// serveStatus writes nginx's own error page.
func serveStatus(w http.ResponseWriter, status int) {
	title := fmt.Sprintf("%d %s", status, statusText(status))
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", title, title)
}

// statusText is nginx's wording where it is not net/http's.
func statusText(status int) string {
	switch status {
	case http.StatusServiceUnavailable:
		return "Service Temporarily Unavailable"
	case http.StatusGatewayTimeout:
		return "Gateway Time-out"
	default:
		return http.StatusText(status)
	}
}
