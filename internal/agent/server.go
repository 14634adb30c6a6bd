package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"github.com/kubestickytop/stickytop/internal/kernel"
)

// Config is what an agent is told by its pod.
type Config struct {
	Role    string
	Address string        // to listen on; a loopback address
	Digest  string        // of the run's token
	Silence time.Duration // it ends after that long without a word
	Life    time.Duration // it ends after that long, whatever is said
	Version string
	Run     string
	Pod     string
	Node    string
}

func (c Config) check() error {
	at, err := netip.ParseAddrPort(c.Address)
	switch {
	case err != nil || !at.Addr().IsLoopback():
		return fmt.Errorf("address %q: an agent listens on loopback only", c.Address)
	case c.Role != RoleClient && c.Role != RoleKernel:
		return fmt.Errorf("role %q: use %s or %s", c.Role, RoleClient, RoleKernel)
	case len(c.Digest) != 64:
		return errors.New("digest: want the SHA-256 of a token, in hexadecimal")
	case c.Silence <= 0 || c.Life <= 0:
		return errors.New("silence and life must be above 0")
	}
	return nil
}

// Server is an agent, in its pod.
type Server struct {
	config Config
	began  time.Time
	heard  atomic.Int64 // nanoseconds since began of the last word
	ended  chan struct{}
	end    sync.Once
	rate   *rate.Limiter
	tunnel sync.WaitGroup

	mu    sync.Mutex // of what follows
	feed  *kernel.Feed
	names kernel.Names
	id    string // of names
}

// NewServer checks what the agent was told.
func NewServer(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Server{config: c, ended: make(chan struct{}), rate: rate.NewLimiter(maxPerSecond, maxPerSecond)}, nil
}

// Run listens until ctx ends, the silence or the life of the agent is over, or
// it is asked to end, and says which. Its errors are those of listening.
func (s *Server) Run(ctx context.Context) (why string, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Address)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.began = time.Now()
	if s.config.Role == RoleKernel {
		s.feed = kernel.NewFeed()
		defer s.feed.Close()
	}
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: s.config.Silence, MaxHeaderBytes: 8 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var small sync.WaitGroup
	small.Go(func() { keepSmall(ctx) })
	defer func() {
		cancel()
		small.Wait()
	}()
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(l, maxConnections)) }()
	why = s.wait(ctx)
	cancel()
	_ = server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return "", fmt.Errorf("serve: %w", err)
	}
	s.tunnel.Wait()
	s.mu.Lock() // a reading under way ends before its feed does
	defer s.mu.Unlock()
	return why, nil
}

// wait returns why the agent has to end.
func (s *Server) wait(ctx context.Context) string {
	life := time.NewTimer(s.config.Life)
	defer life.Stop()
	for {
		quiet := time.NewTimer(time.Duration(s.heard.Load()) + s.config.Silence - time.Since(s.began))
		select {
		case <-ctx.Done():
			quiet.Stop()
			return "it was told to stop"
		case <-s.ended:
			quiet.Stop()
			return "its run has ended"
		case <-life.C:
			quiet.Stop()
			return "its time was up: " + s.config.Life.String()
		case <-quiet.C:
			if time.Since(s.began)-time.Duration(s.heard.Load()) >= s.config.Silence {
				return "nobody spoke to it for " + s.config.Silence.String()
			}
		}
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !opens(r, s.config.Digest) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "not without the run's token", http.StatusUnauthorized)
		return
	}
	s.heard.Store(int64(time.Since(s.began)))
	switch {
	case r.Method == http.MethodConnect && s.config.Role == RoleClient:
		s.connect(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/hello":
		reply(w, Hello{Version: s.config.Version, Role: s.config.Role, Pod: s.config.Pod, Node: s.config.Node, Run: s.config.Run,
			Left: s.config.Life - time.Since(s.began), Silence: s.config.Silence})
	case r.Method == http.MethodGet && r.URL.Path == "/v1/beat":
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/end":
		w.WriteHeader(http.StatusNoContent)
		s.end.Do(func() { close(s.ended) })
	case r.Method == http.MethodPost && r.URL.Path == "/v1/tables" && s.config.Role == RoleKernel:
		s.tables(w, r)
	default:
		http.Error(w, "an agent of role "+s.config.Role+" does not do that", http.StatusNotFound)
	}
}

// tables answers with what changed, not before the budget of the agent allows
// it. Two who ask at once are answered one after the other, each in full.
func (s *Server) tables(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	var q question
	if err := json.NewDecoder(io.LimitReader(r.Body, maxNames)).Decode(&q); err != nil {
		http.Error(w, "not a question: "+err.Error(), http.StatusBadRequest)
		return
	}
	if !s.pause(r.Context()) {
		return
	}
	s.mu.Lock()
	if q.Names != nil {
		s.names, s.id = *q.Names, q.ID
	}
	if q.ID != s.id {
		s.mu.Unlock()
		http.Error(w, "these names are not known", http.StatusPreconditionFailed)
		return
	}
	frame := s.feed.Read(s.names, q.Since)
	s.mu.Unlock()
	reply(w, answer{Frame: frame, Took: time.Since(began)})
}

// pause waits until the node's tables may be read again without costing the node
// more than 1 % of a core; false when nobody waits for that any more.
func (s *Server) pause(ctx context.Context) bool {
	s.mu.Lock()
	wait := s.feed.Wait()
	s.mu.Unlock()
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the other end notices what is missing
}
