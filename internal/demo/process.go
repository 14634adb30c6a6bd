package demo

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/kubestickytop/stickytop/internal/demo/loopback"
)

// Ways in which a workload says which pod answered: value of the annotation
// demo.stickytop.dev/names-pod on its pods.
const (
	namesInHeader = "header" // X-Pod-Name
	namesInBody   = "body"   // {"pod": "..."}
	namesNowhere  = "none"   // only the cookie tells
)

// process is what runs in a pod's container: the chat's server, for HTTP, for
// Socket.IO and, on any other path, for WebSockets that it echoes.
type process struct {
	pod     string
	names   string
	addr    string // "10.244.1.7:5000"
	server  *loopback.Server
	network *network
	chat    *chat

	mu      sync.Mutex
	sick    bool          // readiness says 503
	thawed  chan struct{} // closed unless frozen
	stopped chan struct{}
	stop    context.CancelFunc
}

// newProcess listens on behalf of a pod; run serves.
func newProcess(n *network, pod, names, addr string) (*process, error) {
	p := &process{pod: pod, names: names, addr: addr, network: n, thawed: make(chan struct{}), stopped: make(chan struct{})}
	close(p.thawed)
	p.chat = newChat(pod, names, p.thaw)
	server, err := loopback.Listen(p)
	if err != nil {
		return nil, err
	}
	p.server = server
	n.open(addr, server.Addr())
	return p, nil
}

// start serves until ctx is done or kill is called; stopped is closed then.
func (p *process) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	p.stop = cancel
	p.mu.Unlock()
	go func() {
		defer close(p.stopped)
		defer cancel()
		_ = p.server.Run(ctx) // a pod that ends is news for the kubelet, not an error
		p.network.shut(p.addr, p.server.Addr())
	}()
}

// kill ends a process that was started, and waits for its end.
func (p *process) kill() {
	p.network.shut(p.addr, p.server.Addr())
	p.mu.Lock()
	stop := p.stop
	p.mu.Unlock()
	stop()
	<-p.stopped
}

// isAlive reports whether p can still be asked something.
func (p *process) isAlive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.stopped:
		return false
	default:
		return true
	}
}

// freeze makes the process accept connections and answer none, as a deadlock
// does, or ends that.
func (p *process) freeze(frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isFrozen() == frozen {
		return
	}
	if frozen {
		p.thawed = make(chan struct{})
	} else {
		close(p.thawed)
	}
}

// isFrozen is called under mu.
func (p *process) isFrozen() bool {
	select {
	case <-p.thawed:
		return false
	default:
		return true
	}
}

// thaw is closed unless the process is frozen.
func (p *process) thaw() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thawed
}

func (p *process) setSick(sick bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sick = sick
}

func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	thawed, sick := p.thawed, p.sick
	p.mu.Unlock()
	select {
	case <-thawed:
	case <-r.Context().Done():
		return
	}
	if strings.HasPrefix(r.URL.Path, chatPath) {
		p.chat.ServeHTTP(w, r)
		return
	}
	if websocket.IsWebSocketUpgrade(r) {
		p.echo(w, r)
		return
	}
	answer := map[string]string{"status": "ok"}
	status := http.StatusOK
	if sick && r.URL.Path == healthPath {
		answer["status"], status = "unavailable", http.StatusServiceUnavailable
	}
	switch p.names {
	case namesInHeader:
		w.Header().Set("X-Pod-Name", p.pod)
	case namesInBody:
		answer["pod"] = p.pod
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// echo sends each message of a WebSocket back.
func (p *process) echo(w http.ResponseWriter, r *http.Request) {
	header := http.Header{}
	p.chat.sign(header)
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, ReadBufferSize: 1024, WriteBufferSize: 1024}
	conn, err := up.Upgrade(w, r, header)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetReadLimit(maxPayload)
	for {
		kind, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		select {
		case <-p.thaw():
		case <-p.stopped:
			return
		}
		if conn.WriteMessage(kind, text) != nil {
			return
		}
	}
}
