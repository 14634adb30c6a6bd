package kube

import (
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// rereadAfter is how long after one look at the kubeconfig the next comes.
const rereadAfter = 2 * time.Second

// RenewToken lets requests by cfg go on with the token that read returns, once
// the API server does not accept theirs: who logs in again while the program
// runs is known by it. It does nothing where cfg has no token of its own;
// plugins and token files renew theirs in client-go.
func RenewToken(cfg *rest.Config, read func() (string, error)) {
	if cfg.BearerToken == "" || cfg.BearerTokenFile != "" || cfg.ExecProvider != nil || cfg.AuthProvider != nil {
		return
	}
	t := &renewed{old: cfg.BearerToken, token: cfg.BearerToken, read: read}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return renewing{next, t} })
}

// renewed is a token that may be read again.
type renewed struct {
	old  string // that client-go sends
	read func() (string, error)

	mu     sync.Mutex
	token  string
	looked time.Time
}

func (t *renewed) now() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// other returns a token that is not the refused one, "" where there is none.
func (t *renewed) other(refused string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == refused && time.Since(t.looked) >= rereadAfter {
		t.looked = time.Now()
		if token, err := t.read(); err == nil && token != "" {
			t.token = token
		}
	}
	if t.token == refused {
		return ""
	}
	return t.token
}

// renewing sends requests with the newest token.
type renewing struct {
	next http.RoundTripper
	*renewed
}

func (r renewing) RoundTrip(req *http.Request) (*http.Response, error) {
	token := r.now()
	resp, err := r.send(req, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || req.Body != nil && req.GetBody == nil {
		return resp, err
	}
	other := r.other(token)
	if other == "" {
		return resp, nil
	}
	if req.Body != nil {
		body, err := req.GetBody()
		if err != nil {
			return resp, nil //nolint:nilerr // the answer stands, it cannot be asked again
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	return r.send(req, other)
}

func (r renewing) send(req *http.Request, token string) (*http.Response, error) {
	if token != r.old && req.Header.Get("Authorization") == "Bearer "+r.old {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return r.next.RoundTrip(req)
}
