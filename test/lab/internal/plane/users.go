package plane

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	authv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// Users of the lab by name, with their groups. What viewer and blind may do is in manifests/rbac.yaml.
var Users = map[string][]string{
	"admin":  {"system:masters"},
	"viewer": nil,
	"blind":  nil,
}

// Tokens is the lab's token authenticator: the API server asks it, by webhook, who a bearer token is.
// A token file would need a restart of the API server for every change.
type Tokens struct {
	mu    sync.Mutex
	users map[string]string // token to user
}

// Issue makes a token for the user, beside those the user has.
func (t *Tokens) Issue(user string) (string, error) {
	if _, ok := Users[user]; !ok {
		return "", fmt.Errorf("no user %q: the lab has admin, viewer and blind", user)
	}
	token := "lab-" + user + "-" + rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users == nil {
		t.users = map[string]string{}
	}
	t.users[token] = user
	return token, nil
}

// Expire forgets every token of the user. The API server itself remembers a token it has seen for up to 10
// seconds (k8s.io/kubernetes pkg/kubeapiserver/options/authentication.go, TokenSuccessCacheTTL).
func (t *Tokens) Expire(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for token, owner := range t.users {
		if owner == user {
			delete(t.users, token)
		}
	}
}

// ServeHTTP answers TokenReview requests (authentication.k8s.io/v1).
func (t *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review authv1.TokenReview
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	user, ok := t.users[review.Spec.Token]
	t.mu.Unlock()
	review.Status = authv1.TokenReviewStatus{Authenticated: ok}
	if ok {
		review.Status.User = authv1.UserInfo{Username: user, UID: "lab-" + user, Groups: Users[user]}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(review)
}

// writeKubeconfig writes a kubeconfig for the API server at host:port, with a token or, without one, the certificate named name.
func writeKubeconfig(spec layout.Spec, path, server, name, token string) error {
	cluster := &clientapi.Cluster{Server: server, CertificateAuthority: spec.Path("pki", "ca.crt")}
	user := &clientapi.AuthInfo{Token: token}
	if token == "" {
		user.ClientCertificate = spec.Path("pki", name+".crt")
		user.ClientKey = spec.Path("pki", name+".key")
	}
	config := clientapi.NewConfig()
	config.Clusters["lab-"+spec.Name] = cluster
	config.AuthInfos[name] = user
	config.Contexts["lab"] = &clientapi.Context{Cluster: "lab-" + spec.Name, AuthInfo: name, Namespace: "msgapp"}
	config.CurrentContext = "lab"
	return clientcmd.WriteToFile(*config, path)
}

// UserConfig returns a client configuration from a user's kubeconfig as it is now.
func UserConfig(spec layout.Spec, user string) (*rest.Config, error) {
	if _, ok := Users[user]; !ok {
		return nil, fmt.Errorf("no user %q: the lab has admin, viewer and blind", user)
	}
	return clientcmd.BuildConfigFromFlags("", spec.Kubeconfig(user))
}

// Unauthorized asks the API server who the holder of that configuration is, and says whether it was told 401.
func Unauthorized(ctx context.Context, config *rest.Config) (bool, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return false, err
	}
	_, err = client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authv1.SelfSubjectReview{}, metav1.CreateOptions{})
	return apierrors.IsUnauthorized(err), err
}
