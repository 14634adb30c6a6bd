package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestMusterRefused: of agents that were never made nothing is said to be left,
// and a run that was given up ends as one, whatever broke on the way.
func TestMusterRefused(t *testing.T) {
	for name, given := range map[string]bool{"refused": false, "given up": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if !strings.HasSuffix(r.URL.Path, "selfsubjectaccessreviews") {
					w.WriteHeader(http.StatusForbidden)
					_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"not for you","code":403}`))
					return
				}
				if given {
					cancel()
				}
				_, _ = w.Write([]byte(`{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{},"status":{"allowed":false}}`))
			}))
			defer srv.Close()
			streams, _, _, errs := genericiooptions.NewTestIOStreams()
			c := config{version: "test", streams: &streams}
			c.cluster.agents.clients, c.cluster.agents.yes = 2, true
			_, err := muster(ctx, c, &rest.Config{Host: srv.URL}, "web")
			if errors.Is(err, context.Canceled) != given || !given && (err == nil || !strings.Contains(err.Error(), "you may not")) {
				t.Errorf("%v", err)
			}
			if strings.Contains(errs.String(), "could not be removed") {
				t.Errorf("nothing was made, and it says %s", errs)
			}
		})
	}
}

// TestCrewStatus: how many agents are lost is said with the reason of one.
func TestCrewStatus(t *testing.T) {
	lost := "agent a-1 does not answer: deleted"
	w := &crew{members: []*member{{}, {}, {}}}
	for i, want := range []struct {
		state  affinity.SourceState
		detail string
	}{{affinity.SourceLive, ""}, {affinity.SourceStale, lost}, {affinity.SourceStale, "2 of 3 do not answer: " + lost}} {
		if got := w.status(); got.State != want.state || got.Detail != want.detail || got.Objects != 3-i {
			t.Errorf("%d lost: %+v", i, got)
		}
		w.members[i].lost.Store(&lost)
	}
}
