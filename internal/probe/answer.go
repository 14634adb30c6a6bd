package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// bodyPatience is how long a body without a short, declared length is read:
// a stream that never ends is an answer like any other.
const bodyPatience = 2 * time.Second

// readBody returns the start of resp's body, reads on for a bounded while so
// that the server sees an ordinary client, and closes it. A body that broke
// off, or that stalled within a length it had declared, is a failure.
func readBody(resp *http.Response, cancel context.CancelFunc) ([]byte, *affinity.Failure) {
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // what follows is no body
	}
	short := resp.ContentLength >= 0 && resp.ContentLength <= maxIdentityBody
	if !short {
		defer time.AfterFunc(bodyPatience, cancel).Stop()
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, maxIdentityBody))
	if err == nil {
		_, err = io.CopyN(io.Discard, resp.Body, maxDiscardBody)
	}
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return head, nil
	case isTimeout(err) || errors.Is(err, context.Canceled):
		if !short {
			return head, nil
		}
		return head, &affinity.Failure{Op: "read", Kind: affinity.FailureTimeout,
			Text: fmt.Sprintf("the answer stalled after %d of %d bytes", len(head), resp.ContentLength)}
	case isCutOff(err):
		return head, &affinity.Failure{Op: "read", Kind: affinity.FailureOther,
			Text: fmt.Sprintf("the connection closed in the middle of the answer, after %d bytes", len(head))}
	}
	return head, &affinity.Failure{Op: "read", Kind: affinity.FailureProtocol,
		Text: affinity.Clean("the answer's body is broken: "+err.Error(), maxText)}
}

// fields returns the header fields that may name a pod, bounded and cleaned:
// those of keep first, then extensions (X-…), then the rest by name. Cookies
// are left out, for their values are secrets.
func fields(h http.Header, keep []string) []affinity.Field {
	names := make([]string, 0, len(h))
	for name := range h {
		if name != "Set-Cookie" && name != "Set-Cookie2" {
			names = append(names, name)
		}
	}
	rank := func(name string) int {
		switch {
		case slices.ContainsFunc(keep, func(k string) bool { return strings.EqualFold(k, name) }):
			return 0
		case strings.HasPrefix(name, "X-"):
			return 1
		}
		return 2
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	var kept []affinity.Field
	for _, name := range names {
		for _, value := range h[name] {
			if len(kept) == maxFields {
				return kept
			}
			kept = append(kept, affinity.Field{
				Name:  affinity.Clean(name, maxFieldName),
				Value: affinity.Clean(bound(value, 4*maxFieldValue), maxFieldValue),
			})
		}
	}
	return kept
}
