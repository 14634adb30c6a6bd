package kube

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // oidc, azure, gcp users of a kubeconfig
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/klog/v2"
)

// Limits of the client, as kubectl's own (kubectl: pkg/cmd/cmd.go).
const (
	clientQPS   = 50
	clientBurst = 300
	// dialTimeout bounds connecting; client-go's own 30 s would leave a screen
	// guessing for half a minute.
	dialTimeout = 5 * time.Second
	// defaultPageTimeout bounds one page of a list, unless --request-timeout does.
	defaultPageTimeout = 30 * time.Second
)

const (
	contentProtobuf = "application/vnd.kubernetes.protobuf"
	contentJSON     = "application/json"
)

// clients are the typed clients of one cluster, on one set of connections.
type clients struct {
	host           string
	http           *http.Client
	dialer         *connrotation.Dialer // tracks the connections, so that they can be dropped
	pageTimeout    time.Duration
	core           group
	networking     group
	discovery      group
	authorization  group
	authentication group
	dynamic        dynamic.Interface
}

func newClients(cfg *rest.Config, version string) (*clients, error) {
	cfg, dialer := prepare(cfg, version)
	c := &clients{host: cfg.Host, dialer: dialer, pageTimeout: cfg.Timeout}
	if c.pageTimeout <= 0 {
		c.pageTimeout = defaultPageTimeout
	}
	// http.Client.Timeout, which is what rest.Config.Timeout becomes, would
	// also end the watches; lists are bounded one by one instead.
	cfg.Timeout = 0
	shared, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	c.http = shared
	return c, c.connect(cfg, shared)
}

func (c *clients) connect(cfg *rest.Config, shared *http.Client) (err error) {
	binary := rest.CopyConfig(cfg)
	binary.ContentType = contentProtobuf
	binary.AcceptContentTypes = contentProtobuf + "," + contentJSON
	for _, g := range []struct {
		to  *group
		cfg *rest.Config
		of  schema.GroupVersion
	}{
		{&c.core, binary, corev1.SchemeGroupVersion},
		{&c.networking, binary, networkingv1.SchemeGroupVersion},
		{&c.discovery, binary, discoveryv1.SchemeGroupVersion},
		{&c.authorization, cfg, authorizationv1.SchemeGroupVersion},
		{&c.authentication, cfg, authenticationv1.SchemeGroupVersion},
	} {
		if *g.to, err = newGroup(g.cfg, shared, g.of); err != nil {
			return err
		}
	}
	c.dynamic, err = dynamic.NewForConfigAndClient(cfg, shared)
	return err
}

// prepare returns a copy of cfg with what stickytop sets for every client, and
// the dialer that its connections come from.
func prepare(cfg *rest.Config, version string) (*rest.Config, *connrotation.Dialer) {
	cfg = rest.CopyConfig(cfg)
	cfg.UserAgent = UserAgent(version)
	cfg.WarningHandlerWithContext = nil
	cfg.WarningHandler = rest.NoWarnings{} // they would be printed over the screen
	cfg.QPS, cfg.Burst = clientQPS, clientBurst
	cfg.ContentType, cfg.AcceptContentTypes = contentJSON, ""
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{
			Timeout: dialTimeout,
			// A peer that vanished (a laptop that slept, a VPN that dropped) is
			// found by the kernel within about 20 s, also without HTTP/2.
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3},
		}).DialContext
	}
	dialer := connrotation.NewDialer(dial)
	cfg.Dial = dialer.DialContext
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return bounded{next} })
	return cfg, dialer
}

// UserAgent is what the API server's audit log shows.
func UserAgent(version string) string {
	if version == "" {
		version = "unknown"
	}
	return "stickytop/" + version
}

// alive asks for the version, which every authenticated user may read (ClusterRole
// system:public-info-viewer). Any HTTP answer will do, a refusal too.
func (c *clients) alive(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var status int
	err := c.core.RESTClient().Get().AbsPath("/version").MaxRetries(0).Do(ctx).StatusCode(&status).Error()
	if status != 0 {
		return nil
	}
	if err == nil {
		return fmt.Errorf("no HTTP status")
	}
	return err
}

// RedirectLogs sends what client-go logs (klog) to w, or nowhere when w is nil,
// instead of to standard error, where it would be drawn over the screen. Call it
// before anything else of this package. It is safe with values from outside: the
// JSON handler escapes them.
func RedirectLogs(w io.Writer) {
	if w == nil {
		klog.SetSlogLogger(slog.New(slog.DiscardHandler))
		return
	}
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(w, nil)))
}
