// Package apiserver is a small Kubernetes API server on 127.0.0.1: enough
// discovery, list and watch for client-go's informers to run against it
// unchanged, in JSON, YAML and protobuf. Over the network it can only be read;
// the program that holds the Store writes. It can be made to fail as real ones
// do: out of reach, silent, 401, 403 by resource, 410 Gone.
package apiserver

import (
	"context"
	"net/http"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/demo/loopback"
)

// User is the name under which every client is known.
const User = "system:serviceaccount:msgapp:stickytop"

// Server serves a Store.
type Server struct {
	store *Store
	http  *loopback.Server

	mu           sync.Mutex
	fault        Fault
	faultChanged chan struct{}
	denied       []Rule
}

// Listen opens a port for store; Run serves it.
func Listen(store *Store) (*Server, error) {
	s := &Server{store: store, faultChanged: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/api", serveAPIVersions)
	mux.HandleFunc("/apis", serveGroups)
	mux.HandleFunc("/apis/{group}", serveGroup)
	mux.HandleFunc("/version", serveVersion)
	mux.HandleFunc("/healthz", serveOK)
	mux.HandleFunc("/livez", serveOK)
	mux.HandleFunc("/readyz", serveOK)
	mux.HandleFunc("/api/{version}", serveResources)
	mux.HandleFunc("/apis/{group}/{version}", serveResources)
	mux.HandleFunc("/", s.serveObjects)
	var err error
	s.http, err = loopback.Listen(s.faulty(mux))
	return s, err
}

// Run serves until ctx is done and every connection has ended.
func (s *Server) Run(ctx context.Context) error { return s.http.Run(ctx) }

// Close frees the port of a server that was never run.
func (s *Server) Close() error { return s.http.Close() }

// Addr returns "127.0.0.1:port".
func (s *Server) Addr() string { return s.http.Addr() }

// RESTConfig returns what client-go needs to connect. Each call returns a new
// one, free to be modified.
func (s *Server) RESTConfig() *rest.Config {
	return &rest.Config{Host: "http://" + s.http.Addr(), Dial: s.Dial, QPS: -1}
}
