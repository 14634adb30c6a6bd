package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run the built binary. $STICKY is a loopback server that pins by
// a cookie in Traefik's format and names its pod in a header; $PLAIN names
// its pod and pins nobody; $HOSTILE answers what a terminal must not see;
// $ERRORS answers error statuses.
func TestScripts(t *testing.T) {
	servers := map[string]http.Handler{"STICKY": http.HandlerFunc(sticky), "PLAIN": http.HandlerFunc(plain), "HOSTILE": http.HandlerFunc(hostile),
		"ERRORS": http.HandlerFunc(failing)}
	urls := map[string]string{}
	for name, h := range servers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		urls[name] = s.URL
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			for name, url := range urls {
				e.Setenv(name, url)
			}
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
			return nil
		},
	})
}

// failing answers what its path says, by a proxy or by a pod.
func failing(w http.ResponseWriter, r *http.Request) {
	status, _ := strconv.Atoi(strings.Trim(path.Dir(r.URL.Path), "/"))
	switch path.Base(r.URL.Path) {
	case "pod":
		http.SetCookie(w, &http.Cookie{Name: "lb", Value: "0123456789abcdef", Path: "/", MaxAge: 3600})
		w.Header().Set("X-Pod-Name", "web-1")
	case "problem":
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"title":"x","instance":"orders-7","server":"edge"}`)
		return
	case "session": // of the application, which is no affinity
		http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: "0123456789abcdef0123456789abcdef"})
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><h1>%d</h1></html>", status)
}

func sticky(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie("lb"); err != nil || c.Value != "0123456789abcdef" {
		http.SetCookie(w, &http.Cookie{Name: "lb", Value: "0123456789abcdef", Path: "/", MaxAge: 3600, HttpOnly: true})
	}
	w.Header().Set("X-Pod-Name", "web-1")
	fmt.Fprintln(w, "hello")
}

func plain(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hostname: web-%d\n", len(r.Header.Get("X-Request-Id"))%2)
}

func hostile(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/raw" { // what net/http itself refuses
		w.Header()["Set-Cookie"] = []string{"lb=\x1b[2J; Path=/"}
		return
	}
	w.Header()["X-Pod-Name"] = []string{"evil\u009b31m\u202epod"}
	w.Header()["Set-Cookie"] = []string{"lb=\u009b2J; Path=/", "sticky=0123456789abcdef; Path=/elsewhere\u202e"}
	fmt.Fprint(w, "\x1b[2J\x1b[H")
}
