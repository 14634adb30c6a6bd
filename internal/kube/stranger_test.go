package kube

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// What answers at the kubeconfig's address need not be an API server.
func TestLookupOfAStranger(t *testing.T) {
	answer := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Server", "nginx/1.27.3")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	html := "<html>\n<head><title>404 Not Found</title></head>\n<body>…</body></html>"
	tests := []struct {
		name    string
		handler http.Handler
		want    string
		state   bool // of the screen, which goes on, and no mistake of the user
	}{
		{"404 of a web server", answer(404, "text/html", html), `404 Not Found, text/html, Server: nginx/1.27.3, "404 Not Found"`, false},
		{"200 of a web server", answer(200, "text/html; charset=utf-8", "<TITLE>Welcome\n to us</TITLE>"), `200 OK, text/html, Server: nginx/1.27.3, "Welcome to us"`, false},
		{"JSON of something else", answer(200, "application/json", `{"hello":"world"}`), `200 OK, application/json, Server: nginx/1.27.3, "{"hello":"world"}"`, false},
		{"nothing in it", answer(404, "", ""), `404 Not Found, Server: nginx/1.27.3, nothing in it`, false},
		{"log in first", answer(403, "text/html", "<title>Sign in</title>"), `403 Forbidden, text/html, Server: nginx/1.27.3, "Sign in"`, false},
		{"a load balancer without backends", answer(503, "text/html", "<title>No server is available</title>"), "503 Service Unavailable, text/html", true},
		{"escapes", answer(200, "text/html", "<title>\x1b[2J\u202eevil</title>"), `"·[2J·evil"`, false},
		{"endless", http.HandlerFunc(endless), "200 OK, text/html", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			for _, namespace := range []string{"chat", ""} {
				src, err := New(&rest.Config{Host: server.URL}, Options{Namespace: namespace, AllNamespaces: namespace == ""})
				if err != nil {
					t.Fatal(err)
				}
				p := problem(t, src.Lookup(t.Context(), affinity.Target{}))
				if !strings.HasPrefix(p.What, server.URL+" does not answer as a Kubernetes API server: GET /version brought ") || !strings.Contains(p.What, tt.want) {
					t.Errorf("namespace %q: %s\nwant %s", namespace, p.What, tt.want)
				}
				if len(p.What) > 400 || !strings.Contains(p.Hint, "kubectl config view --minify") || (p.Err != nil) != tt.state {
					t.Errorf("%d bytes, hint %q, cause %v", len(p.What), p.Hint, p.Err)
				}
			}
		})
	}
}

// endless writes HTML until the client has had enough.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	chunk := bytes.Repeat([]byte("<p>more</p>"), 8<<10)
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// A watch of a web server is out of order; a core resource that is "not found"
// is not a quiet cluster's.
func TestWatchOfAStranger(t *testing.T) {
	for name, status := range map[string]int{"404": 404, "200": 200} {
		t.Run(name, func(t *testing.T) {
			s := newAPIServer(t)
			s.fail("* *", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(status)
				fmt.Fprint(w, "<title>hello</title>")
			})
			r := watchServer(t, s, chatOptions())
			r.stateWith(resPods, affinity.SourceStale, "is this a Kubernetes API server?")
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(endless))
	defer server.Close()
	res, err := (&http.Client{Transport: bounded{http.DefaultTransport}}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if n != maxBody || err == nil || !strings.Contains(err.Error(), "longer than 128 MB") {
		t.Errorf("%d bytes, %v", n, err)
	}
	res, err = (&http.Client{Transport: bounded{http.DefaultTransport}}).Get(server.URL + "/?watch=true")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.CopyN(io.Discard, res.Body, maxBody+1); err != nil {
		t.Errorf("a watch ended after %d bytes: %v", n, err)
	}
}
