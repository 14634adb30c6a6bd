package probe

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// The real servers are the lab's npm packages, installed once for each lock
// file into the user's cache.
var installPeers = sync.OnceValues(func() (modules string, err error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", err
		}
	}
	const from = "../../test/lab/npm"
	lock, err := os.ReadFile(filepath.Join(from, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "stickytop", "peers-"+hex.EncodeToString(sum[:6]))
	modules = filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules, nil
	}
	fresh, err := os.MkdirTemp(cache, "stickytop-peers-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(fresh, name), data, 0o600)
		}
		if err != nil {
			return "", err
		}
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = fresh
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, dir); err != nil && !os.IsExist(err) {
		if _, there := os.Stat(modules); there != nil {
			return "", err
		}
	}
	return modules, nil
})

// peer is one server process.
type peer struct {
	name string
	url  *url.URL
	stop func()

	mu   sync.Mutex
	said []logged
}

// logged is a line of a peer's own log.
type logged struct {
	Event, Transport, Session, RequestID, Method, Reason, Namespace, Origin, Extra, Protocol, Text string

	SID  string `json:"sid"`
	Port int
	Code int
	Auth map[string]any
}

// startPeer starts a server with options, a JSON object.
func startPeer(t *testing.T, kind, name, options string) *peer {
	t.Helper()
	modules, err := installPeers()
	if err != nil {
		t.Skipf("needs Node.js with npm, and the packages of test/lab/npm: %v", err)
	}
	cmd := exec.Command("node", filepath.Join("testdata", "peer", "peer.js"), kind, name, options)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &peer{name: name}
	listening := make(chan int, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l logged
			if json.Unmarshal(lines.Bytes(), &l) != nil {
				continue
			}
			if l.Event == "listening" {
				listening <- l.Port
			}
			p.mu.Lock()
			p.said = append(p.said, l)
			p.mu.Unlock()
		}
	}()
	p.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = in.Close()
		<-read
		_ = cmd.Wait()
	})
	t.Cleanup(p.stop)
	select {
	case port := <-listening:
		p.url = &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	case <-read:
		t.Fatal("the peer ended")
	case <-time.After(20 * time.Second):
		t.Fatal("the peer does not listen after 20 s")
	}
	return p
}

func (p *peer) log(event string) []logged {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []logged
	for _, l := range p.said {
		if l.Event == event {
			found = append(found, l)
		}
	}
	return found
}

// waitLog waits for n lines of event.
func (p *peer) waitLog(t *testing.T, event string, n int) []logged {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if found := p.log(event); len(found) >= n {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s logged %d lines %q, want %d: %+v", p.name, len(p.log(event)), event, n, p.said)
		}
	}
}

// balancer spreads requests over peers in turn, or by a cookie; it names the
// peer it chose in a header, and keeps that as its own log.
type balancer struct {
	*httptest.Server
	mu     sync.Mutex
	next   int
	chosen map[string]string // by X-Request-Id
	edit   atomic.Pointer[func(*http.Request)]
}

func balance(t *testing.T, sticky bool, peers ...*peer) *balancer {
	t.Helper()
	b := &balancer{chosen: map[string]string{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		to := b.choose(q, sticky, peers)
		b.mu.Lock()
		b.chosen[q.Header.Get("X-Request-Id")] = to.name
		b.mu.Unlock()
		if c, err := q.Cookie("route"); sticky && (err != nil || c.Value != to.name) {
			http.SetCookie(w, &http.Cookie{Name: "route", Value: to.name, Path: "/"})
		}
		if edit := b.edit.Load(); edit != nil {
			(*edit)(q)
		}
		proxy := httputil.NewSingleHostReverseProxy(to.url)
		proxy.FlushInterval = -1
		proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
		w.Header().Set("X-Pod-Name", to.name)
		proxy.ServeHTTP(w, q)
	}))
	b.Config.ErrorLog = nil
	t.Cleanup(func() {
		b.CloseClientConnections()
		b.Close()
	})
	return b
}

func (b *balancer) choose(q *http.Request, sticky bool, peers []*peer) *peer {
	if c, err := q.Cookie("route"); sticky && err == nil {
		for _, p := range peers {
			if p.name == c.Value {
				return p
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	return peers[b.next%len(peers)]
}

// sockets returns the states of held connections that were emitted.
func socketsOf(all []affinity.Event) []affinity.Socket {
	var found []affinity.Socket
	for _, e := range eventsOf[affinity.SocketChanged](all) {
		found = append(found, e.Socket)
	}
	return found
}

func carried(all []affinity.Event, carrier string) bool {
	for _, s := range socketsOf(all) {
		if s.Joined && s.Carrier == carrier && s.Ended == nil {
			return true
		}
	}
	return false
}

func endsOf(all []affinity.Event) []affinity.SocketEnd {
	var found []affinity.SocketEnd
	for _, s := range socketsOf(all) {
		if s.Ended != nil {
			found = append(found, *s.Ended)
		}
	}
	return found
}

func socketPlan(raw, transport string, n int, model affinity.ClientModel) affinity.Plan {
	p := urlPlan(raw, n, model)
	for i := range p.Sessions {
		p.Sessions[i].Transport = transport
	}
	return p
}
