package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// strange reports whether err comes of an answer that a Kubernetes API server
// does not give for a resource that it serves: an error that is no Status, or a
// success that is no object. A server that does not know a resource at all (a
// CRD that is not installed) answers so too: plain text, "404 page not found".
func strange(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
	}
	_, transport := errors.AsType[*url.Error](err)
	return !transport
}

// stranger asks for the version, as every API server tells it, and returns what
// is wrong with the answer: nil when it is one, or when there was none.
func (c *clients) stranger(ctx context.Context) *Problem {
	u := c.core.RESTClient().Get().AbsPath("/version").URL()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil
	}
	req.Header.Set("Accept", contentJSON)
	res, err := c.http.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // what came before it broke will do
	if isVersion(body) {
		return nil
	}
	p := &Problem{
		What: fmt.Sprintf("%s does not answer as a Kubernetes API server: GET /version brought %s", hostOf(c.host), gist(res, body)),
		Hint: "check the cluster's address: kubectl config view --minify shows it, --context chooses another",
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		p.Hint = "a proxy before the API server may want you to log in; or check the address: kubectl config view --minify"
	case res.StatusCode >= http.StatusInternalServerError: // a load balancer whose API server is away
		p.Err = errors.New(res.Status)
		p.Hint = "a load balancer may have lost its API server; or check the address: kubectl config view --minify"
	}
	return p
}

// maxAnswer bounds what is read of a stranger's answer, in bytes: all of it is
// of no use, and a line is shown.
const maxAnswer = 64 << 10

// isVersion reports whether body is what an API server says to /version:
// version.Info, or a Status that refuses it.
func isVersion(body []byte) bool {
	var v struct {
		Kind       string `json:"kind"`
		GitVersion string `json:"gitVersion"`
	}
	return json.Unmarshal(body, &v) == nil && (v.GitVersion != "" || v.Kind == "Status")
}

var htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// gist is an answer in a few words: the status, what it says it is, and its
// title or its first line.
func gist(res *http.Response, body []byte) string {
	parts := []string{affinity.Clean(res.Status, 60)}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if kind = strings.TrimSpace(kind); kind != "" {
		parts = append(parts, affinity.Clean(kind, 40))
	}
	if server := res.Header.Get("Server"); server != "" {
		parts = append(parts, "Server: "+affinity.Clean(server, 40))
	}
	text := string(body)
	if m := htmlTitle.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	if text = strings.Join(strings.Fields(text), " "); text != "" {
		parts = append(parts, `"`+affinity.Clean(text, 80)+`"`)
	} else {
		parts = append(parts, "nothing in it")
	}
	return strings.Join(parts, ", ")
}

// whose returns the Problem of a strange answer, or nil when err is the API
// server's own or no answer at all.
func (c *clients) whose(ctx context.Context, err error) error {
	if !strange(err) {
		return nil
	}
	if p := c.stranger(ctx); p != nil {
		return p
	}
	return nil
}

// maxBody bounds one answer of the API server but for watches, in bytes. A page
// of 500 objects is a few MB; client-go reads answers whole.
const maxBody = 128 << 20

var errTooLong = fmt.Errorf("the answer is longer than %d MB", maxBody>>20)

// bounded ends answers that are too long.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err != nil || res.StatusCode == http.StatusSwitchingProtocols || req.URL.Query().Get("watch") != "" {
		return res, err
	}
	res.Body = &boundedBody{res.Body, maxBody}
	return res, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
