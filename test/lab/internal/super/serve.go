package super

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/kubestickytop/stickytop/test/lab/internal/control"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
)

// serve answers on the control socket until ctx ends.
func (s *Supervisor) serve(ctx context.Context) error {
	listener, err := net.Listen("unix", s.spec.Socket())
	if err != nil {
		return err
	}
	if err := os.Chmod(s.spec.Socket(), 0o600); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(s.Status())
	})
	mux.HandleFunc("POST /dial", s.serveDial)
	mux.HandleFunc("POST /do/{verb}", s.serveVerb)
	server := &http.Server{Handler: mux}
	context.AfterFunc(ctx, func() { server.Close() })
	go server.Serve(listener)
	return nil
}

func (s *Supervisor) serveVerb(w http.ResponseWriter, r *http.Request) {
	verb, ok := verbs[r.PathValue("verb")]
	if !ok {
		http.Error(w, fmt.Sprintf("no verb %q", r.PathValue("verb")), http.StatusNotFound)
		return
	}
	if s.plane == nil {
		http.Error(w, "the lab is not up yet", http.StatusServiceUnavailable)
		return
	}
	if err := verb(s, r.Context(), r.URL.Query()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "done")
}

// namespace turns a namespace's name into what netns.Do takes: the control plane's is the supervisor's own.
func namespace(name string) string {
	if name == layout.Control {
		return ""
	}
	return name
}

func (s *Supervisor) serveDial(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	out, err := netns.Dial(ctx, namespace(q.Get("ns")), q.Get("source"), q.Get("address"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer in.Close()
	fmt.Fprint(in, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	control.Splice(control.Buffered(in, buffered.Reader), out)
}
