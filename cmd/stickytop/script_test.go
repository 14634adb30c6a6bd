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
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run the built binary. $STICKY is a loopback server that pins by
// a cookie in Traefik's format and names its pod in a header; $PLAIN names
// its pod and pins nobody; $HOSTILE answers what a terminal must not see;
// $ERRORS answers error statuses; $CHAT is a WebSocket for one page alone; $PAIR
// pins to one of two pods by a cookie.
func TestScripts(t *testing.T) {
	servers := map[string]http.Handler{"STICKY": http.HandlerFunc(sticky), "PLAIN": http.HandlerFunc(plain), "HOSTILE": http.HandlerFunc(hostile),
		"ERRORS": http.HandlerFunc(failing), "CHAT": http.HandlerFunc(chat), "PAIR": pair()}
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
	asked := path.Clean(r.URL.Path)
	status, _ := strconv.Atoi(strings.Trim(path.Dir(asked), "/"))
	switch path.Base(asked) {
	case "pod":
		http.SetCookie(w, &http.Cookie{Name: "lb", Value: "0123456789abcdef", Path: "/", MaxAge: 3600})
		w.Header().Set("X-Pod-Name", "web-1")
	case "problem":
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"title":"x","instance":"orders-7","server":"edge"}`)
		return
	case "engine": // Engine.IO's own refusal
		w.WriteHeader(status)
		fmt.Fprint(w, `{"code":4,"message":"not today"}`)
		return
	case "login": // on the same host
		w.Header().Set("Location", "/sign-in?next=%2F")
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

// pair sends each client without a cookie to its pods in turn.
func pair() http.HandlerFunc {
	values := map[string]string{"0123456789abcdef": "web-1", "fedcba9876543210": "web-2"}
	var mu sync.Mutex
	asked := map[string]int{}
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("lb")
		if err != nil {
			mu.Lock()
			asked[r.Header.Get("X-Stickytop-Session")]++
			value := []string{"0123456789abcdef", "fedcba9876543210"}[asked[r.Header.Get("X-Stickytop-Session")]%2]
			mu.Unlock()
			c = &http.Cookie{Name: "lb", Value: value, Path: "/", HttpOnly: true}
			http.SetCookie(w, c)
		}
		w.Header().Set("X-Pod-Name", values[c.Value])
	}
}

func chat(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{Subprotocols: []string{"chat.v2"}, CheckOrigin: func(*http.Request) bool { return true }}
	protocol, origin := r.Header.Get("Sec-WebSocket-Protocol"), r.Header.Get("Origin")
	if protocol != "chat.v2" || origin != "https://app.example.com" || r.Header.Get("Authorization") != "Bearer t0p-s3cret" || r.Header.Get("X-Extra") != "1" {
		http.Error(w, fmt.Sprintf("subprotocol %q, origin %q", protocol, origin), http.StatusForbidden)
		return
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if string(text) == "whoami" {
			_ = conn.WriteMessage(websocket.TextMessage, []byte(`{"pod":"web-7"}`))
		}
	}
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
