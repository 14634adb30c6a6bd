package kube

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

func TestSurvey(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	facts, err := Survey(t.Context(), s.config(), chatOptions())
	if facts.Namespace != "chat" {
		t.Errorf("judged are objects of %q", facts.Namespace)
	}
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, o := range facts.Objects {
		kinds[o.Kind]++
		if o.Has("status") || o.Has("metadata", "managedFields") {
			t.Errorf("%s keeps its status or managed fields", o.ObjectRef)
		}
	}
	if kinds["Ingress"] != 1 || kinds["Service"] == 0 || !facts.Cluster {
		t.Errorf("read %v", kinds)
	}
	if got := s.last("list ingresses"); !strings.Contains(got, "limit=500") {
		t.Errorf("ingresses were listed as %q, want pages", got)
	}
	if n := s.seen("list secrets") + s.seen("list configmaps") + s.seen("get secrets"); n > 0 {
		t.Errorf("%d requests for what is nobody's business", n)
	}
}

func TestSurveyForbidden(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.fail("services list", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"services is forbidden"}`))
	})
	facts, err := Survey(t.Context(), s.config(), chatOptions())
	if err != nil || facts.Unread["Service"] != "list services in namespace chat is forbidden" {
		t.Errorf("unread %v, %v", facts.Unread, err)
	}
	gone := newAPIServer(t)
	cfg := gone.config()
	gone.server.Close()
	if _, err := Survey(t.Context(), cfg, chatOptions()); err == nil {
		t.Error("no error from a server that is gone")
	}
}

func TestJudge(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []affinity.Finding
	err := NewJudge(s.config(), chatOptions(), nil).Run(ctx, func(e affinity.Event) {
		if f, ok := e.(affinity.Findings); ok {
			got = f.Findings
			cancel()
		}
	})
	if err != nil {
		t.Error(err)
	}
	has := func(rule string) bool {
		return slices.ContainsFunc(got, func(f affinity.Finding) bool { return f.Rule == rule })
	}
	if !has("D01") || !has("F01") {
		t.Errorf("findings %v: want those of the chat's cookie and its ClientIP", got)
	}
	if _, ok := findings.RuleByID("D01"); !ok {
		t.Error("no rule D01")
	}
}

// TestJudgePlane wants the rules to go by what the nodes' tables tell of
// kube-proxy at once: `get findings --for` of some seconds is over soon.
func TestJudgePlane(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	chat(s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var snap atomic.Pointer[affinity.Snapshot]
	snap.Store(&affinity.Snapshot{})
	judged := make(chan time.Time, 8)
	done := make(chan error, 1)
	go func() {
		done <- NewJudge(s.config(), chatOptions(), snap.Load).Run(ctx, func(e affinity.Event) {
			if _, ok := e.(affinity.Findings); ok {
				judged <- time.Now()
			}
		})
	}()
	<-judged
	read := time.Now()
	snap.Store(&affinity.Snapshot{Dataplane: affinity.Dataplane{Mode: affinity.ModeNFTables, Read: true}})
	if took := (<-judged).Sub(read); took > judgeSoon {
		t.Errorf("judged again %s after the tables were read", took)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestJudgeSettled wants the rules to go by the controller that a cookie proved,
// within the ten seconds in which people look at what they just changed.
func TestJudgeSettled(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	chat(s)
	opts := chatOptions()
	src, err := New(s.config(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var snap atomic.Pointer[affinity.Snapshot]
	judge := NewJudge(s.config(), opts, snap.Load)
	d01 := make(chan []affinity.Finding, 8)
	var known []affinity.Route
	var lock sync.Mutex
	done := make(chan error, 1)
	go func() {
		done <- WithRules{Source: src, Judge: judge}.Run(ctx, func(e affinity.Event) {
			switch e := e.(type) {
			case affinity.Routes:
				lock.Lock()
				known = slices.Clone(e.Routes)
				lock.Unlock()
			case affinity.Findings:
				d01 <- slices.DeleteFunc(slices.Clone(e.Findings), func(f affinity.Finding) bool { return f.Rule != "D01" })
			}
		})
	}()
	first := <-d01
	if len(first) == 0 || first[0].Certainty != affinity.CertaintyLikely {
		t.Fatalf("nothing tells ingress-nginx from Traefik's provider, D01: %+v", first)
	}
	proved := time.Now()
	for len(d01) == 0 && time.Since(proved) < 10*time.Second {
		lock.Lock()
		routes := slices.Clone(known)
		lock.Unlock()
		for i := range routes {
			routes[i].Layers = slices.Clone(routes[i].Layers)
			for n := range routes[i].Layers {
				if l := &routes[i].Layers[n]; len(l.Candidates) > 1 {
					l.Chosen, l.Proof = 1, "its cookie decodes as traefik"
				}
			}
		}
		snap.Store(&affinity.Snapshot{Routes: routes})
		time.Sleep(50 * time.Millisecond)
	}
	select {
	case then := <-d01:
		if len(then) > 0 {
			t.Errorf("a cookie proved Traefik, D01: %+v", then)
		}
	default:
		t.Error("not judged again within ten seconds")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
