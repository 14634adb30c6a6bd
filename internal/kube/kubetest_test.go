package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// apiServer speaks the part of the Kubernetes API that is used here, over a real
// loopback connection: list with pages, watch with bookmarks, 410 after
// compaction, JSON or protobuf, and the faults that a test asks for.
type apiServer struct {
	t       testing.TB
	server  *httptest.Server
	address string
	binary  bool // protobuf when the client takes it
	useTLS  bool // with HTTP/2
	traefik bool // the CRDs are installed
	custom  bool // those of ingress.CustomKinds are

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced with every event
	rv        int
	compacted int // events up to here are forgotten
	events    []apiEvent
	objects   map[string]map[key]runtime.Object
	faults    map[string]http.HandlerFunc // "pods list", "pods watch", "* *"
	frozen    chan struct{}               // non-nil: nothing is answered until it is closed
	requests  []string                    // "list pods rv= limit=500"
	forward   http.HandlerFunc            // pods/portforward
	denied    func(authorizationv1.ResourceAttributes) bool
}

type apiEvent struct {
	rv       int
	resource string
	kind     watch.EventType
	object   runtime.Object
}

type apiOption func(*apiServer)

func withProtobuf(s *apiServer) { s.binary = true }
func withTLS(s *apiServer)      { s.useTLS = true }
func withTraefik(s *apiServer)  { s.traefik = true }
func withCustom(s *apiServer)   { s.custom = true }

func newAPIServer(t testing.TB, opts ...apiOption) *apiServer {
	t.Helper()
	s := &apiServer{t: t, rv: 100, compacted: 100, changed: make(chan struct{}), objects: map[string]map[key]runtime.Object{}, faults: map[string]http.HandlerFunc{}}
	for _, o := range opts {
		o(s)
	}
	s.start("127.0.0.1:0")
	t.Cleanup(s.stop)
	return s
}

func (s *apiServer) start(address string) {
	var l net.Listener
	var err error
	for range 50 { // the port of a server that was just stopped may take a moment
		if l, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	_ = s.server.Listener.Close() // replaced by one of a known address
	s.server.Listener = l
	s.server.Config.ErrorLog = nil
	if s.useTLS {
		s.server.EnableHTTP2 = true
		s.server.StartTLS()
		return
	}
	s.server.Start()
}

// stop closes the listener and every connection.
func (s *apiServer) stop() {
	s.thaw()
	s.server.CloseClientConnections()
	s.server.Config.Close()
	s.server.Close()
}

func (s *apiServer) restart() { s.start(s.address) }

// freeze makes the server accept and not answer, as a stopped process does.
func (s *apiServer) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen == nil {
		s.frozen = make(chan struct{})
	}
}

func (s *apiServer) thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen != nil {
		close(s.frozen)
		s.frozen = nil
	}
}

func (s *apiServer) config() *rest.Config {
	c := &rest.Config{Host: s.server.URL}
	if s.useTLS {
		c.Insecure = true
	}
	return c
}

// put adds or replaces an object; del removes one.
func (s *apiServer) put(objs ...runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, obj := range objs {
		r, k := resourceOf(obj), keyOf(obj)
		kind := watch.Modified
		if s.objects[r] == nil {
			s.objects[r] = map[key]runtime.Object{}
		}
		if s.objects[r][k] == nil {
			kind = watch.Added
		}
		s.record(r, k, kind, obj.DeepCopyObject())
	}
}

func (s *apiServer) del(obj runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record(resourceOf(obj), keyOf(obj), watch.Deleted, obj.DeepCopyObject())
}

func (s *apiServer) record(r string, k key, kind watch.EventType, obj runtime.Object) {
	s.rv++
	m, err := meta.Accessor(obj)
	if err != nil {
		s.t.Error(err)
		return
	}
	m.SetResourceVersion(strconv.Itoa(s.rv))
	if kind == watch.Deleted {
		delete(s.objects[r], k)
	} else {
		s.objects[r][k] = obj
	}
	s.append(apiEvent{s.rv, r, kind, obj})
}

func (s *apiServer) append(e apiEvent) {
	s.events = append(s.events, e)
	close(s.changed)
	s.changed = make(chan struct{})
}

// bookmark tells every watch of a resource how far it is.
func (s *apiServer) bookmark(resource string, example runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rv += 10
	obj := example.DeepCopyObject()
	m, _ := meta.Accessor(obj)
	m.SetResourceVersion(strconv.Itoa(s.rv))
	s.append(apiEvent{s.rv, resource, watch.Bookmark, obj})
}

// compact forgets all changes so far, as etcd does after five minutes.
func (s *apiServer) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rv++
	s.compacted, s.events = s.rv, nil
}

// fail answers "RESOURCE VERB" ("*" for any) with h; nil ends that.
func (s *apiServer) fail(what string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == nil {
		delete(s.faults, what)
		return
	}
	s.faults[what] = h
}

func (s *apiServer) seen(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (s *apiServer) last(prefix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.requests) {
		if strings.HasPrefix(r, prefix) {
			return r
		}
	}
	return ""
}

// refuse answers with a Status.
func refuse(code int, reason metav1.StatusReason, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentJSON)
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message})
	}
}

func forbid(what string) http.HandlerFunc {
	return refuse(http.StatusForbidden, metav1.StatusReasonForbidden, what+` is forbidden: User "alice" cannot do that`)
}

// pass waits while the server is frozen.
func (s *apiServer) pass(ctx context.Context) bool {
	s.mu.Lock()
	gate := s.frozen
	s.mu.Unlock()
	if gate == nil {
		return true
	}
	select {
	case <-gate:
		return true
	case <-ctx.Done():
		return false
	}
}

// call is a parsed request path.
type call struct {
	group, version, resource, namespace, name, sub string
}

func parse(path string) (c call, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) >= 2 && parts[0] == "api":
		c.version, parts = parts[1], parts[2:]
	case len(parts) >= 3 && parts[0] == "apis":
		c.group, c.version, parts = parts[1], parts[2], parts[3:]
	default:
		return c, false
	}
	if len(parts) >= 3 && parts[0] == "namespaces" {
		c.namespace, parts = parts[1], parts[2:]
	}
	for i, p := range parts {
		switch i {
		case 0:
			c.resource = p
		case 1:
			c.name = p
		case 2:
			c.sub = p
		}
	}
	return c, true
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	if !s.pass(r.Context()) {
		return
	}
	if r.URL.Path == "/version" {
		fmt.Fprint(w, `{"gitVersion":"v1.34.0"}`)
		return
	}
	c, ok := parse(r.URL.Path)
	q := r.URL.Query()
	verb := "list"
	switch {
	case !ok:
		verb = "none"
	case c.sub == "portforward":
		verb = "forward"
	case r.Method == http.MethodPost:
		verb = "create"
	case c.resource == "":
		verb = "discover"
	case c.name != "":
		verb = "get"
	case q.Get("watch") == "true" || q.Get("watch") == "1":
		verb = "watch"
	}
	s.mu.Lock()
	s.requests = append(s.requests, fmt.Sprintf("%s %s ns=%s rv=%s limit=%s continue=%s bookmarks=%s agent=%s group=%s",
		verb, c.resource, c.namespace, q.Get("resourceVersion"), q.Get("limit"), q.Get("continue"), q.Get("allowWatchBookmarks"), r.UserAgent(), c.group))
	fault := s.faults[c.resource+" "+verb]
	for _, any := range []string{c.resource + " *", "* " + verb, "* *"} {
		if fault == nil {
			fault = s.faults[any]
		}
	}
	s.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	s.dispatch(w, r, verb, c)
}
