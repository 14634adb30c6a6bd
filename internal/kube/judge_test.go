package kube

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

func TestSurvey(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	facts, err := Survey(t.Context(), s.config(), chatOptions())
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
	err := NewJudge(s.config(), chatOptions()).Run(ctx, func(e affinity.Event) {
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
