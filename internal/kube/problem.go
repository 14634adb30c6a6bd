package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Problem is an error for a person: what is wrong and where, and what to try.
type Problem struct {
	What string // one sentence, without a full stop
	Hint string // the next thing to do or type; "" when nothing helps
	Err  error  // the cause; may be nil
}

func (p *Problem) Error() string { return p.What }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// maxError bounds an error's text on screen, in characters.
const maxError = 240

// plain is err in one line without the URL that net/http puts before the
// cause, cleaned and bounded.
func plain(err error) string {
	if err == nil {
		return ""
	}
	if u, ok := errors.AsType[*url.Error](err); ok && u.Err != nil {
		err = u.Err
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err) && strings.Contains(text, "Client.Timeout"):
		text = "no answer in time"
	case apierrors.IsUnauthorized(err):
		text = "401: the API server does not accept these credentials (token expired?)"
	}
	if _, kind, ok := strings.Cut(text, "serializer for "); ok && strings.HasSuffix(kind, " doesn't exist") { // client-go: rest/request.go
		text = "the answer is of type " + strings.TrimSuffix(kind, " doesn't exist") + ": is this a Kubernetes API server?"
	}
	return affinity.Clean(strings.Join(strings.Fields(text), " "), maxError)
}

// explain says why the API server could not be asked for what.
func explain(err error, host, what string) error {
	where := hostOf(host)
	switch {
	case err == nil:
		return nil
	case apierrors.IsUnauthorized(err):
		return &Problem{
			What: fmt.Sprintf("%s: the API server %s does not accept these credentials (401)", what, where),
			Hint: "log in again (the token in the kubeconfig may have expired), then check with: kubectl auth whoami", Err: err,
		}
	case apierrors.IsForbidden(err):
		return &Problem{What: what + ": " + plain(err), Hint: "kubectl stickytop rbac --missing prints the Role to ask for", Err: err}
	}
	if hasStatus(err) {
		return &Problem{What: fmt.Sprintf("%s: the API server %s answered: %s", what, where, plain(err)), Err: err}
	}
	p := &Problem{What: fmt.Sprintf("%s: cannot reach the API server %s: %s", what, where, plain(err)), Err: err}
	switch text := err.Error(); {
	case strings.Contains(text, "x509:"), strings.Contains(text, "tls:"):
		p.Hint = "check certificate-authority-data and tls-server-name of the cluster in your kubeconfig"
	case strings.Contains(text, "exec:"), strings.Contains(text, "getting credentials"):
		p.Hint = "the kubeconfig's credential plugin failed; run it by hand, or kubectl auth whoami"
	default:
		p.Hint = "check the address (kubectl config view --minify), a VPN, and --context"
	}
	return p
}

// hasStatus reports whether err is an answer of the API server.
func hasStatus(err error) bool {
	status := apierrors.APIStatus(nil)
	return errors.As(err, &status)
}

// hostOf returns the server's URL without user, path and query, cleaned.
func hostOf(host string) string {
	u, err := url.Parse(host)
	if err != nil || u.Host == "" {
		return affinity.Clean(host, 80)
	}
	return affinity.Clean(u.Scheme+"://"+u.Host, 80)
}
