package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// serve starts the kubelet's server on the node's address, for holders of the lab's certificates only.
func (a *Agent) serve(ctx context.Context) error {
	cert, err := tls.LoadX509KeyPair(a.spec.Path("pki", a.node+".crt"), a.spec.Path("pki", a.node+".key"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(a.spec.Path("pki", "ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	handler, err := a.handler()
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}}
	listener, err := net.Listen("tcp", net.JoinHostPort(a.ip, strconv.Itoa(layout.KubeletPort)))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.ServeTLS(listener, "", "")
	return nil
}

// handler serves the kubelet's paths; the streaming protocols are k8s.io/cri-streaming's.
func (a *Agent) handler() (http.Handler, error) {
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Scheme: "https", Host: a.node, Path: "/"}
	streams, err := streaming.NewServer(config, processes{a})
	if err != nil {
		return nil, err
	}
	s := &streamer{a, streams}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", a.serveLogs)
	for _, pod := range []string{"/{namespace}/{pod}", "/{namespace}/{pod}/{uid}"} {
		mux.HandleFunc("/exec"+pod+"/{container}", s.exec)
		mux.HandleFunc("/attach"+pod+"/{container}", s.attach)
		mux.HandleFunc("/portForward"+pod, s.portForward)
	}
	return mux, nil
}

// container finds the container a request is about.
func (a *Agent) container(r *http.Request) (*container, error) {
	w, err := a.pod(r)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("container")
	for _, c := range w.containers {
		if c.spec.Name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %q not found in pod %q", name, r.PathValue("pod"))
}

func (a *Agent) pod(r *http.Request) (*worker, error) {
	w := a.find(r.PathValue("namespace"), r.PathValue("pod"))
	if w == nil || r.PathValue("uid") != "" && r.PathValue("uid") != string(w.uid) {
		return nil, fmt.Errorf("pod %q does not exist on %s", r.PathValue("pod"), a.node)
	}
	return w, nil
}

// streamer turns the kubelet's URLs into cri-streaming's one-time ones.
type streamer struct {
	agent   *Agent
	streams streaming.Server
}

func (s *streamer) redirect(w http.ResponseWriter, r *http.Request, target string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	to, err := url.Parse(target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	inner := r.Clone(r.Context())
	inner.URL.Path = to.Path
	s.streams.ServeHTTP(w, inner)
}

func (s *streamer) exec(w http.ResponseWriter, r *http.Request) {
	c, err := s.agent.container(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	answer, err := s.streams.GetExec(&runtimeapi.ExecRequest{
		ContainerId: containerID(c), Cmd: q["command"],
		Stdin: q.Get("input") == "1", Stdout: q.Get("output") == "1", Stderr: q.Get("error") == "1", Tty: q.Get("tty") == "1",
	})
	s.redirect(w, r, answer.GetUrl(), err)
}

func (s *streamer) attach(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "the lab's agent does not attach: use logs and exec", http.StatusNotImplemented)
}

func (s *streamer) portForward(w http.ResponseWriter, r *http.Request) {
	pod, err := s.agent.pod(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	var ports []int32
	for _, p := range r.URL.Query()["port"] {
		for one := range strings.SplitSeq(p, ",") {
			n, err := strconv.ParseUint(one, 10, 16)
			if err != nil {
				http.Error(w, "port: "+err.Error(), http.StatusBadRequest)
				return
			}
			ports = append(ports, int32(n))
		}
	}
	answer, err := s.streams.GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: string(pod.uid), Port: ports})
	s.redirect(w, r, answer.GetUrl(), err)
}

func containerID(c *container) string { return string(c.w.uid) + "/" + c.spec.Name }

var errGone = errors.New("the pod is gone")

// byID finds the container of an ID made by containerID.
func (a *Agent) byID(id string) (*container, error) {
	uid, name, _ := strings.Cut(id, "/")
	w := a.byUID(uid)
	if w == nil {
		return nil, errGone
	}
	for _, c := range w.containers {
		if c.spec.Name == name {
			return c, nil
		}
	}
	return nil, errGone
}
