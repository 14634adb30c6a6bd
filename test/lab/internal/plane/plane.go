package plane

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

const (
	// EtcdURL is where etcd answers, in the control plane's namespace only.
	EtcdURL     = "http://127.0.0.1:2379"
	reviewHost  = "127.0.0.1:9443"
	adminGroup  = "system:masters"
	kubeletUser = "kube-apiserver-kubelet-client"
)

// Plane is the control plane of one lab and the kube-proxy of each node.
type Plane struct {
	Spec   layout.Spec
	Tokens *Tokens
	Config *rest.Config // the lab's own administrator, by certificate: no fault reaches it
	Client kubernetes.Interface

	Etcd, API, Managers *Process
	Proxies             []*Process
}

// New writes the certificates, tokens, kubeconfigs and configurations of a control plane. Nothing runs yet.
func New(spec layout.Spec) (*Plane, error) {
	p := &Plane{Spec: spec, Tokens: &Tokens{}}
	if err := p.writeCertificates(); err != nil {
		return nil, err
	}
	server := "https://" + net.JoinHostPort(layout.ControlIP, strconv.Itoa(layout.APIPort))
	if err := p.writeKubeconfigs(server); err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", spec.Kubeconfig("lab"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	p.Config = config
	if p.Client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(spec.Path("logs"), 0o700); err != nil {
		return nil, err
	}
	p.Etcd = p.process("etcd", "", p.etcdArgs())
	p.API = p.process("kube-apiserver", "", p.apiArgs())
	p.Managers = p.process("kube-controller-manager", "", p.managerArgs())
	for i := 1; i <= spec.Nodes; i++ {
		if err := p.addProxy(i); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Plane) process(name, ns string, args []string) *Process {
	log := name
	if ns != "" {
		log += "-" + ns
	}
	binary := layout.Binary(p.Spec.Cache, name)
	return &Process{Name: log, NS: ns, Args: append([]string{binary}, args...), Log: p.Spec.Path("logs", log+".log")}
}

// Processes returns every program of the plane, in starting order.
func (p *Plane) Processes() []*Process {
	return append([]*Process{p.Etcd, p.API, p.Managers}, p.Proxies...)
}

func (p *Plane) writeCertificates() error {
	ca, err := newAuthority(p.Spec.Path("pki"))
	if err != nil {
		return err
	}
	if err := ca.signingKey(); err != nil {
		return err
	}
	type leaf struct {
		name, commonName string
		groups, hosts    []string
	}
	leaves := []leaf{
		{"apiserver", "kube-apiserver", nil, []string{layout.ControlIP, "127.0.0.1", "10.96.0.1", "localhost", "kubernetes", "kubernetes.default.svc"}},
		{"kubelet-client", kubeletUser, []string{adminGroup}, nil},
		{"lab", "lab", []string{adminGroup}, nil},
		{"managers", "system:kube-controller-manager", []string{adminGroup}, nil},
		{"proxy", "system:kube-proxy", nil, nil},
		{"review", "lab-token-review", nil, []string{"127.0.0.1"}},
	}
	for i := 1; i <= p.Spec.Nodes; i++ {
		name := layout.NodeName(i)
		leaves = append(leaves, leaf{name, "system:node:" + name, []string{"system:nodes"}, []string{layout.NodeIP(i), name}})
	}
	for _, l := range leaves {
		if err := ca.issue(l.name, l.commonName, l.groups, l.hosts); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plane) writeKubeconfigs(server string) error {
	for _, name := range []string{"lab", "managers", "proxy"} {
		if err := writeKubeconfig(p.Spec, p.Spec.Kubeconfig(name), server, name, ""); err != nil {
			return err
		}
	}
	for i := 1; i <= p.Spec.Nodes; i++ {
		name := layout.NodeName(i)
		if err := writeKubeconfig(p.Spec, p.Spec.Kubeconfig(name), server, name, ""); err != nil {
			return err
		}
	}
	for user := range Users {
		if err := p.RenewToken(user); err != nil {
			return err
		}
	}
	return writeKubeconfig(p.Spec, p.Spec.Kubeconfig("review"), "https://"+reviewHost+"/", "lab", "")
}

// RenewToken issues a token for the user and writes the user's kubeconfig anew.
func (p *Plane) RenewToken(user string) error {
	token, err := p.Tokens.Issue(user)
	if err != nil {
		return err
	}
	server := "https://" + net.JoinHostPort(layout.ControlIP, strconv.Itoa(layout.APIPort))
	return writeKubeconfig(p.Spec, p.Spec.Kubeconfig(user), server, user, token)
}

// ServeTokens answers the API server's token reviews until ctx ends.
func (p *Plane) ServeTokens(ctx context.Context) error {
	cert, err := tls.LoadX509KeyPair(p.Spec.Path("pki", "review.crt"), p.Spec.Path("pki", "review.key"))
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", reviewHost, &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		return err
	}
	server := &http.Server{Handler: p.Tokens, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.Serve(listener)
	return nil
}

// WaitAPI waits until the API server says it is ready.
func (p *Plane) WaitAPI(ctx context.Context) error {
	for {
		body, err := p.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(2 * time.Second).DoRaw(ctx)
		if err == nil && string(body) == "ok" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("API server not ready: %w (%v); see %s", ctx.Err(), err, p.API.Log)
		case <-time.After(150 * time.Millisecond):
		}
		if state := p.API.State(); state == "ended" || len(state) > 6 && state[:6] == "ended:" {
			return fmt.Errorf("API server %s; see %s", state, p.API.Log)
		}
	}
}
