package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// logServer serves pods and their logs, which go on until they are cut.
type logServer struct {
	t    *testing.T
	mu   sync.Mutex
	logs map[string]chan string // NAMESPACE/POD/CONTAINER
	deny map[string]int         // status of a pod's log
	seen []string
}

func (s *logServer) log(name string) chan string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs[name] == nil {
		s.logs[name] = make(chan string, 100)
	}
	return s.logs[name]
}

func (s *logServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // api v1 namespaces NS pods NAME [log]
	answer := func(status int, object any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(object)
	}
	fail := func(status int, reason metav1.StatusReason) {
		answer(status, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(status), Reason: reason, Message: string(reason) + "\x1b[2J"})
	}
	pod := func(namespace, name string, containers ...string) corev1.Pod {
		p := corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		p.Status.Phase = corev1.PodRunning
		for _, c := range containers {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c})
		}
		return p
	}
	switch {
	case len(parts) == 3: // pods of all namespaces
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
		if strings.Contains(r.URL.Query().Get("labelSelector"), "name=ingress-nginx") {
			list.Items = []corev1.Pod{pod("ingress-nginx", "controller")}
		}
		answer(http.StatusOK, list)
	case len(parts) == 6 && parts[5] == "controller":
		answer(http.StatusOK, pod(parts[3], parts[5], "controller"))
	case len(parts) == 6:
		answer(http.StatusOK, pod(parts[3], parts[5], "app", "sidecar"))
	case len(parts) == 7:
		q := r.URL.Query()
		name := parts[3] + "/" + parts[5]
		s.mu.Lock()
		s.seen = append(s.seen, name+"/"+q.Get("container")+" follow="+q.Get("follow"))
		status := s.deny[name]
		s.mu.Unlock()
		switch {
		case status == http.StatusForbidden:
			fail(status, metav1.StatusReasonForbidden)
			return
		case status != 0:
			fail(status, metav1.StatusReasonNotFound)
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case text, open := <-s.log(name + "/" + q.Get("container")):
				if !open {
					return
				}
				_, _ = fmt.Fprint(w, text)
				_ = http.NewResponseController(w).Flush()
			}
		}
	default:
		fail(http.StatusNotFound, metav1.StatusReasonNotFound)
	}
}

func TestLogsAreEvidence(t *testing.T) {
	s := &logServer{t: t, logs: map[string]chan string{}, deny: map[string]int{"e/web-c": http.StatusForbidden, "e/web-d": http.StatusNotFound}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	l, err := NewLogs(&rest.Config{Host: srv.URL}, Options{Namespace: "e"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []affinity.Attributed
	var status affinity.SourceStatus
	emit := func(e affinity.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch e := e.(type) {
		case affinity.Attributed:
			told = append(told, e)
		case affinity.SourceChanged:
			status = e.Status
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := l.Run(ctx, emit); err != nil {
			t.Error(err)
		}
	}()
	wait := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			mu.Lock()
			ok := holds()
			mu.Unlock()
			if ok {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: told %+v, status %+v", what, told, status)
			}
		}
	}
	service := affinity.ServiceRef{Namespace: "e", Name: "web"}
	pod := func(n, ip string) affinity.Endpoint {
		return affinity.Endpoint{Addr: ip + ":80", IP: ip, Pod: affinity.PodRef{Namespace: "e", Name: n}}
	}
	l.Saw(affinity.Routes{Routes: []affinity.Route{{ID: "a", Backend: affinity.Backend{Service: service}}}}, emit)
	l.Saw(affinity.EndpointsChanged{Service: service, Endpoints: []affinity.Endpoint{pod("web-a", "10.0.0.1"), pod("web-b", "10.0.0.2"), pod("web-c", "10.0.0.3"), pod("web-d", "10.0.0.4")}}, emit)
	l.Saw(affinity.EndpointsChanged{Service: affinity.ServiceRef{Namespace: "e", Name: "other"}, Endpoints: []affinity.Endpoint{pod("other", "10.0.0.9")}}, emit)
	l.Saw(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: "a"}}, emit)
	wait("what is followed and what is not", func() bool {
		return status.State == affinity.SourceLive && status.Detail == "2 backend pods, 1 controller pods; get on pods/log is forbidden in namespace e"
	})

	id := func(n int) string { return fmt.Sprintf("%032x", n) }
	ask := func(n int) { l.Saw(affinity.Observed{Session: "s01", RequestID: id(n), Status: 200}, emit) }
	ask(1)
	s.log("e/web-a/sidecar") <- strings.Repeat("x", 100<<10) + " " + id(1) + "\n" // too long to be anybody's
	s.log("e/web-a/app") <- "GET / " + id(1)
	s.log("e/web-a/app") <- " half a line\nand another\n"
	wait("a backend's line", func() bool {
		return len(told) == 1 && told[0].Pod.Name == "web-a" && told[0].Detail == "log of e/web-a"
	})
	s.log("ingress-nginx/controller/controller") <- `1.2.3.4 - - [25/Nov/2026:13:58:18 +0000] "GET / HTTP/1.1" 200 157 "-" "x" 159 0.000 [a] [] 10.0.0.2:80 0 0.000 200 ` + id(2) + "\n"
	time.Sleep(200 * time.Millisecond)
	ask(2)
	wait("an access line that was there first", func() bool {
		return len(told) == 2 && told[1].Pod.Name == "web-b" && told[1].RequestID == id(2) && strings.Contains(told[1].Detail, "ingress-nginx/controller (nginx): 10.0.0.2:80")
	})

	// A log that ends is opened again; nothing is told twice.
	close(s.log("e/web-b/app"))
	s.mu.Lock()
	delete(s.logs, "e/web-b/app")
	s.mu.Unlock()
	s.log("e/web-b/app") <- id(2) + "\n" + id(2) + "\n"
	wait("a log that was opened again", func() bool { return len(told) == 3 && told[2].Pod.Name == "web-b" })
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("Run did not end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.seen, "\n")
	if strings.Contains(all, "other") || strings.Count(all, "e/web-c") > 4 || strings.Count(all, "e/web-d") > 2 || strings.Contains(all, "follow=\n") {
		t.Errorf("asked for\n%s", all)
	}
}
