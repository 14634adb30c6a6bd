package kube

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
)

// TestRenewToken: a server that changes which token it takes is asked with the
// one that the kubeconfig has by then, the body too.
func TestRenewToken(t *testing.T) {
	var good atomic.Value
	good.Store("one")
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != "Bearer "+good.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	kept, reads := "one", 0
	cfg := &rest.Config{Host: s.URL, BearerToken: "one"}
	RenewToken(cfg, func() (string, error) { reads++; return kept, nil })
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, status, wantAsked, wantReads int) {
		t.Helper()
		asked, reads = 0, 0
		resp, err := client.Post(s.URL, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status || asked != wantAsked || reads != wantReads {
			t.Errorf("%s: %d after %d requests and %d looks, want %d, %d, %d", when, resp.StatusCode, asked, reads, status, wantAsked, wantReads)
		}
	}
	want("while it holds", 200, 1, 0)
	good.Store("two")
	kept = "two"
	want("replaced", 200, 2, 1)
	want("from then on", 200, 1, 0)
	good.Store("three")
	want("gone, looked a moment ago", 401, 1, 0)

	plugin := &rest.Config{Host: s.URL, BearerTokenFile: "f", BearerToken: "one"}
	if RenewToken(plugin, nil); plugin.WrapTransport != nil {
		t.Error("a token file is client-go's to read")
	}
}
