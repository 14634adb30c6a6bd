// Package workload holds the lab's own images: programs that pods run.
package workload

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Request is what echo logs of each request, one JSON line each. Of cookies it logs names only.
type Request struct {
	Time      time.Time `json:"time"`
	Pod       string    `json:"pod"`
	Client    string    `json:"client"` // the TCP peer: a pod, a node or a client
	Forwarded string    `json:"forwarded,omitempty"`
	Method    string    `json:"method"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`
	Status    int       `json:"status"`
	Session   string    `json:"session,omitempty"`   // X-Stickytop-Session
	RequestID string    `json:"requestId,omitempty"` // X-Request-Id
	Agent     string    `json:"agent,omitempty"`
	Cookies   []string  `json:"cookies,omitempty"`
}

type echo struct {
	pod, reveal, header string
	health              atomic.Int32
	mu                  sync.Mutex
	log                 *json.Encoder
}

// Echo answers every request, and names its pod as told: in a header, in the body, or not at all. GET /healthz
// answers 200 until PUT /healthz?status=503 has it answer otherwise. Pod and port come from the environment
// (POD_NAME, PORT) or flags.
func Echo(args []string) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	reveal := flags.String("reveal", env("REVEAL", "body"), "where to name the pod: header, body, both, none")
	header := flags.String("header", env("HEADER", "X-Pod-Name"), "the header to name it in")
	port := flags.String("port", env("PORT", "8080"), "port to listen on")
	drain := flags.Duration("drain", 5*time.Second, "how long to finish requests after SIGTERM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch *reveal {
	case "header", "body", "both", "none":
	default:
		return fmt.Errorf("-reveal %q: want header, body, both or none", *reveal)
	}
	e := &echo{pod: env("POD_NAME", hostname()), reveal: *reveal, header: *header, log: json.NewEncoder(os.Stdout)}
	e.health.Store(http.StatusOK)
	server := &http.Server{Addr: net.JoinHostPort("", *port), Handler: e, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.Background(), *drain)
	defer cancel()
	return server.Shutdown(late)
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		e.serveHealth(w, r)
		return
	}
	io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<20))
	answer := map[string]string{"path": r.URL.Path, "client": r.RemoteAddr}
	if e.reveal == "body" || e.reveal == "both" {
		answer["pod"] = e.pod
	}
	if e.reveal == "header" || e.reveal == "both" {
		w.Header().Set(e.header, e.pod)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
	e.record(r, http.StatusOK)
}

func (e *echo) serveHealth(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		status, err := strconv.Atoi(r.URL.Query().Get("status"))
		if err != nil || status < 200 || status > 599 {
			http.Error(w, "status: want 200 to 599", http.StatusBadRequest)
			return
		}
		e.health.Store(int32(status))
		return
	}
	w.WriteHeader(int(e.health.Load()))
}

func (e *echo) record(r *http.Request, status int) {
	line := Request{
		Time: time.Now(), Pod: e.pod, Client: r.RemoteAddr, Forwarded: r.Header.Get("X-Forwarded-For"),
		Method: r.Method, Host: r.Host, Path: r.URL.Path, Status: status, Agent: r.UserAgent(),
		Session: r.Header.Get("X-Stickytop-Session"), RequestID: r.Header.Get("X-Request-Id"),
	}
	for _, cookie := range r.Cookies() {
		line.Cookies = append(line.Cookies, cookie.Name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log.Encode(line)
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
