package probe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe/engineio"
)

// asking is a request that is about to be made. It is made ready where the jar
// is, and may be sent from anywhere.
type asking struct {
	leg    string
	method string
	url    *url.URL
	header http.Header
	body   []byte
	most   int64 // bytes of the answer that are read; 0: maxPoll
	id     string
	sent   []affinity.Sent
	began  time.Time
}

// reply is how it went. It is taken in where the jar is.
type reply struct {
	asking
	seen    *sighting
	took    time.Duration
	resp    *http.Response // nil when no answer came; its body is read
	body    []byte
	refused bool              // no WebSocket came of it
	failure *affinity.Failure // why no answer came
}

// ask makes a request of a leg ready.
func (c *Client) ask(leg, method string, u *url.URL, body []byte) asking {
	a := asking{leg: leg, method: method, url: u, body: body, began: time.Now()}
	a.header, a.id, a.sent = c.Header(u, a.began)
	if origin := c.origin(u); origin != "" {
		a.header["Origin"] = []string{origin}
	}
	if body != nil {
		a.header["Content-Type"] = []string{"text/plain;charset=UTF-8"}
	}
	return a
}

// addHeader adds the application's own headers.
func (c *Client) addHeader(h http.Header) {
	for name, values := range c.set.Header {
		if _, own := h[name]; !own {
			h[name] = values
		}
	}
}

// maxPoll is how much of the answer to a poll is read.
const maxPoll = 2 << 20

func bytesText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// send makes the round trip and reads the answer, within timeout.
func (a asking) send(ctx context.Context, c *Client, rt http.RoundTripper, t Target, timeout time.Duration) reply {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if a.leg != affinity.LegPreflight {
		c.addHeader(a.header)
	}
	r := reply{asking: a, seen: c.look(t, c.set.Insecure)}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, r.seen.hooks()), a.method, a.url.String(), bytes.NewReader(a.body))
	if err != nil {
		r.failure = &affinity.Failure{Op: "write", Kind: affinity.FailureOther, Text: affinity.Clean(err.Error(), maxText)}
		return r
	}
	req.Header = a.header
	resp, err := rt.RoundTrip(req)
	r.took = time.Since(a.began)
	if err != nil {
		r.failure = c.set.failure(err, r.seen.phase(), t)
		if isTimeout(err) {
			r.failure.Text = "no answer within " + timeout.String()
		}
		return r
	}
	defer resp.Body.Close()
	r.resp = resp
	most := cmp.Or(a.most, maxPoll)
	r.body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	r.took = time.Since(a.began)
	switch {
	case int64(len(r.body)) > most:
		r.failure = &affinity.Failure{Op: "read", Kind: affinity.FailureProtocol, Text: "an answer of more than " + bytesText(most)}
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		r.failure = &affinity.Failure{Op: "read", Kind: affinity.FailureTimeout, Text: fmt.Sprintf("the answer stalled after %d bytes", len(r.body))}
	case err != nil:
		r.failure = &affinity.Failure{Op: "read", Kind: affinity.FailureOther, Text: fmt.Sprintf("the connection closed in the middle of the answer, after %d bytes", len(r.body))}
	}
	return r
}

// take takes in what came back: cookies, who answered, what failed.
func (c *Client) take(r reply, t Target) Trip {
	now := time.Now()
	trip := Trip{Observed: affinity.Observed{Session: c.spec.ID, RequestID: r.id, Leg: r.leg, Sent: r.sent, Took: r.took,
		Failure: r.failure, Remote: r.seen.remoteAddr()}}
	o := &trip.Observed
	if r.resp != nil {
		o.Status = r.resp.StatusCode
		if r.leg != affinity.LegPreflight { // made without credentials: its cookies are nobody's (Fetch, CORS-preflight fetch)
			o.Offers = c.Receive(r.url, r.resp.Header["Set-Cookie"], now)
			blameClock(o.Offers, r.resp.Header.Get("Date"), now)
		}
		o.Answer.Header = fields(r.resp.Header, c.set.KeepHeaders)
		if o.Failure == nil {
			o.Failure = statusFailure(o.Status)
		}
		if o.Failure == nil && o.Status != http.StatusSwitchingProtocols && r.leg != affinity.LegPreflight {
			if bad := c.corsFailure(r.url, r.resp.Header); bad != nil && o.Status < 300 {
				o.Failure = bad
			}
		}
		if leaves := redirect(o, r.url, r.resp); leaves != nil {
			o.Failure = leaves
		}
		if o.Failure == nil && (o.Status >= 300 && o.Status != http.StatusSwitchingProtocols || r.refused) {
			o.Failure, o.Refused = refusal(r)
		}
		if o.Status == http.StatusTooManyRequests || o.Status == http.StatusServiceUnavailable {
			trip.RetryAfter = retryAfter(r.resp.Header.Get("Retry-After"), now)
		}
	}
	trip.Steps = r.seen.steps(*o)
	return trip
}

// refusal words an answer with an error status, or one that is no WebSocket.
func refusal(r reply) (*affinity.Failure, *affinity.Refusal) {
	status := r.resp.StatusCode
	f := &affinity.Failure{Op: "status", Kind: affinity.FailureDenied}
	said, ok := engineio.ParseRefusal(r.body)
	switch {
	case ok && status >= 400:
		if said.Code == engineio.UnknownSID {
			f.Kind = affinity.FailureSession
		}
		f.Text = fmt.Sprintf("%d %s (code %d)", status, said.Message, said.Code)
		f.Text = affinity.Clean(f.Text, maxText)
		return f, &affinity.Refusal{Code: said.Code, Message: affinity.Clean(said.Message, maxFieldValue)}
	case status == http.StatusOK || status == http.StatusNotFound || isHTML(r):
		f.Kind = affinity.FailureForeign
		f.Text = foreign(r)
	default:
		f.Text = fmt.Sprintf("%d %s", status, http.StatusText(status))
		if text := strings.TrimSpace(string(r.body[:min(len(r.body), 512)])); text != "" {
			f.Text += ": " + text
		}
	}
	f.Text = affinity.Clean(f.Text, maxText)
	return f, nil
}

func isHTML(r reply) bool {
	return strings.HasPrefix(strings.ToLower(r.resp.Header.Get("Content-Type")), "text/html") && bytes.HasPrefix(bytes.TrimSpace(r.body), []byte("<"))
}

// foreign says what came in place of the protocol.
func foreign(r reply) string {
	what := "an answer"
	if kind, _, _ := strings.Cut(r.resp.Header.Get("Content-Type"), ";"); kind != "" {
		what = kind
	}
	wanted := "Engine.IO"
	if r.refused {
		wanted = "a WebSocket"
	}
	text := fmt.Sprintf("%d with %s in place of %s", r.resp.StatusCode, what, wanted)
	if head := strings.TrimSpace(string(r.body[:min(len(r.body), 60)])); head != "" {
		text += ": " + head
	}
	return affinity.Clean(text, maxText)
}
