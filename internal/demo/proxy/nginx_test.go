package proxy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/demo/proxy"
)

// sample is a line of testdata/ingress-nginx-sample.jsonl.
type sample struct {
	Scenario      string   `json:"scenario"`
	Mode          string   `json:"mode"`
	Endpoints     []string `json:"endpoints"`
	RequestCookie string   `json:"request_cookie"`
	CookieValue   string   `json:"cookie_value"`
	SetCookie     string   `json:"set_cookie"`
	Served        string   `json:"served"`
	Note          string   `json:"note"`
}

func samples(t *testing.T) []sample {
	t.Helper()
	f, err := os.Open("testdata/ingress-nginx-sample.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []sample
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) < 90 {
		t.Fatalf("%d samples", len(all))
	}
	return all
}

// TestRecorded replays what the real controller was seen to do.
func TestRecorded(t *testing.T) {
	for i, s := range samples(t) {
		t.Run(fmt.Sprintf("%d %s %s", i, s.Mode, s.Scenario), func(t *testing.T) {
			r := newRig(t, annotations(s.Mode), s.Endpoints...)
			switch {
			case s.RequestCookie != "" && s.SetCookie == "": // honoured, not renewed
				if got := r.get(s.RequestCookie); got.served != s.Served || len(got.cookies) != 0 {
					t.Errorf("served by %s with %v, want %s and no cookie", got.served, got.cookies, s.Served)
				}
			case s.RequestCookie != "": // another endpoint, with a new cookie
				r.mustSet(t, s, s.RequestCookie)
			default:
				r.mustSet(t, s)
			}
		})
	}
}

// mustSet asks until chance falls on the recorded endpoint, and compares the
// cookie to the letter; in balanced mode, but for its key.
func (r *rig) mustSet(t *testing.T, s sample, cookie ...string) {
	t.Helper()
	_, after, _ := strings.Cut(s.SetCookie, "Expires=")
	stamp, _, _ := strings.Cut(after, ";")
	expires, err := time.Parse("Mon, 02-Jan-06 15:04:05 MST", stamp)
	if err != nil {
		t.Fatal(err)
	}
	r.now = expires.Add(-10800 * time.Second)
	for range 200 {
		got := r.get(cookie...)
		if len(got.cookies) != 1 {
			t.Fatalf("cookies %v, want one", got.cookies)
		}
		if got.served != s.Served {
			continue
		}
		want := s.SetCookie
		if s.Mode == "balanced" {
			want = strings.Replace(want, s.CookieValue, got.last(t), 1)
			if again := r.get("msgapp-sticky=" + got.last(t)); again.served != got.served || len(again.cookies) != 0 {
				t.Errorf("the cookie leads to %s, it was issued by %s", again.served, got.served)
			}
		}
		if got.cookies[0] != want {
			t.Errorf("set %s\nwant %s", got.cookies[0], want)
		}
		return
	}
	t.Errorf("%s never served", s.Served)
}

func TestBalancedKeyTellsItsTime(t *testing.T) {
	tests := []struct {
		ms   int
		want string
	}{
		{420, `^1795423736\.42\.\d+\.\d{1,6}$`},
		{422, `^1795423736\.422\.\d+\.\d{1,6}$`},
		{400, `^1795423736\.4\.\d+\.\d{1,6}$`},
		{0, `^1795423736\.\d+\.\d{1,6}$`},
		{7, `^1795423736\.007\.\d+\.\d{1,6}$`},
	}
	for _, tt := range tests {
		r := newRig(t, balanced(), three...)
		r.now = time.Unix(1795423735, int64(tt.ms)*1e6)
		key, suffix, _ := strings.Cut(r.get().last(t), "|")
		if !regexp.MustCompile(tt.want).MatchString(key) || len(suffix) != 32 {
			t.Errorf("at .%03d: key %s|%s, want %s", tt.ms, key, suffix, tt.want)
		}
	}
}

func TestScaling(t *testing.T) {
	const clients = 60
	tests := []struct {
		name        string
		annotations map[string]string
		from, to    []string
		moves       func(was string) bool // may a client of this endpoint move?
		newCookies  bool
		someMove    bool
	}{
		{"persistent up", persistent(), three[:2], three, func(string) bool { return false }, false, false},
		{"balanced up", balanced(), three[:2], three, func(string) bool { return true }, false, true},
		{"persistent down", persistent(), three, three[:2], func(was string) bool { return was == three[2] }, true, true},
		{"balanced down", balanced(), three, three[:2], func(was string) bool { return was == three[2] }, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.annotations, tt.from...)
			was, cookies := make([]string, clients), make([]string, clients)
			for i := range clients {
				a := r.get()
				was[i], cookies[i] = a.served, "msgapp-sticky="+a.last(t)
			}
			r.endpoints(tt.to...)
			moved := 0
			for i := range clients {
				a := r.get(cookies[i])
				if a.served == was[i] {
					if len(a.cookies) != 0 {
						t.Errorf("a client that stayed got %v", a.cookies)
					}
					continue
				}
				moved++
				if !tt.moves(was[i]) {
					t.Errorf("a client of %s moved to %s", was[i], a.served)
				}
				if (len(a.cookies) > 0) != tt.newCookies {
					t.Errorf("a client moved with cookies %v, want new ones: %v", a.cookies, tt.newCookies)
				}
			}
			if (moved > 0) != tt.someMove {
				t.Errorf("%d of %d moved", moved, clients)
			}
			r.endpoints(tt.from...)
			for i := range clients {
				if a := r.get(cookies[i]); a.served != was[i] || len(a.cookies) != 0 {
					t.Errorf("the endpoints are back and the old cookie leads to %s with %v, want %s", a.served, a.cookies, was[i])
				}
			}
		})
	}
}

func TestSuffixAndUndecodable(t *testing.T) {
	tests := []struct {
		name, value string // K is a good key, B the backend's
		persistent  bool   // is it honoured in persistent mode?
	}{
		{"as issued", "K|B", true},
		{"zeros", "K|" + strings.Repeat("0", 32), true},
		{"missing", "K", true},
		{"empty", "K|", true},
		{"extra", "K|B|x", true},
		{"empty chunks", "|K|B", true},
		{"quoted", `"K|B"`, false},
		{"encoded", "K%7CB", false},
		{"text", "hello", false},
	}
	for _, tt := range tests {
		r := newRig(t, persistent(), three...)
		issued := strings.TrimPrefix(r.cookieOf(three[1]), "msgapp-sticky=")
		key, backend, _ := strings.Cut(issued, "|")
		value := strings.NewReplacer("K", key, "B", backend).Replace(tt.value)
		if a := r.get("msgapp-sticky=" + value); (len(a.cookies) == 0) != tt.persistent || tt.persistent && a.served != three[1] {
			t.Errorf("persistent, %s: served by %s with %v", tt.name, a.served, a.cookies)
		}
		r.put(ingress("msgapp", "msgapp.local", "/", balanced()))
		first, second := r.get("msgapp-sticky="+value), r.get("msgapp-sticky="+value)
		if len(first.cookies)+len(second.cookies) != 0 || first.served != second.served {
			t.Errorf("balanced, %s: %+v then %+v, want any text honoured", tt.name, first, second)
		}
	}
}

func TestCookieHeader(t *testing.T) {
	r := newRig(t, persistent(), three...)
	a, b := r.cookieOf(three[0]), r.cookieOf(three[1])
	tests := []struct {
		name   string
		header []string
		want   string // endpoint; "" when stickiness is lost
	}{
		{"twice in a line", []string{a + "; " + b}, three[1]},
		{"twice in two lines", []string{a, b}, three[1]},
		{"among others", []string{"x=1; " + a + "; y=2"}, three[0]},
		{"other case", []string{strings.Replace(a, "msgapp", "MsgApp", 1)}, ""},
		{"blank before the value", []string{strings.Replace(a, "=", "= ", 1)}, ""},
		{"blank after", []string{a + " z"}, three[0]},
		{"a cookie without = before", []string{"foo; " + a}, ""},
		{"a cookie without = after", []string{a + "; foo"}, three[0]},
		{"a value with a blank before", []string{"a=b c; " + a}, ""},
		{"a value with a blank after", []string{a + "; a=b c"}, three[0]},
		{"nothing", []string{""}, ""},
	}
	for _, tt := range tests {
		got := r.get(tt.header...)
		if tt.want == "" && len(got.cookies) == 0 || tt.want != "" && (got.served != tt.want || len(got.cookies) != 0) {
			t.Errorf("%s: served by %s with %v, want %q", tt.name, got.served, got.cookies, tt.want)
		}
	}
}

func TestModeSwitched(t *testing.T) {
	r := newRig(t, balanced(), three...)
	cookie := r.cookieOf(three[0])
	r.put(ingress("msgapp", "msgapp.local", "/", persistent()))
	if a := r.get(cookie); len(a.cookies) != 1 {
		t.Errorf("to persistent: %+v, want a new cookie", a)
	}
	r.put(ingress("msgapp", "msgapp.local", "/", annotations("")))
	if a := r.get(cookie); a.served != three[0] || len(a.cookies) != 0 {
		t.Errorf("no mode: %+v, want balanced, back on the same endpoint", a)
	}
}

func TestAffinityTurnedOnAndOff(t *testing.T) {
	r := newRig(t, nil, three...)
	served := map[string]int{}
	for range 90 {
		a := r.get()
		if len(a.cookies) != 0 {
			t.Errorf("off, and a cookie: %v", a.cookies)
		}
		served[a.served]++
	}
	for _, addr := range three {
		if n := served[addr]; n < 26 || n > 34 {
			t.Errorf("%s served %d of 90, want round robin", addr, n)
		}
	}
	r.put(ingress("msgapp", "msgapp.local", "/", persistent()))
	if a := r.get(); len(a.cookies) != 1 {
		t.Errorf("on, and no cookie: %+v", a)
	}
	r.put(ingress("msgapp", "msgapp.local", "/", map[string]string{annotation + "affinity": "Cookie"}))
	if a := r.get(); len(a.cookies) != 0 {
		t.Errorf("the annotation's value is compared by case, got %v", a.cookies)
	}
}

func TestSetCookieAttributes(t *testing.T) {
	tests := []struct {
		name  string
		extra []string
		want  string // after the value
	}{
		{"all", []string{"session-cookie-domain", "example.com", "session-cookie-path", "/x", "session-cookie-secure", "true", "session-cookie-samesite", "Lax"},
			"; Expires=Mon, 23-Nov-26 11:48:55 GMT; Max-Age=10800; Domain=example.com; Path=/x; Secure; HttpOnly; SameSite=Lax"},
		{"samesite in lower case is dropped", []string{"session-cookie-samesite", "lax"},
			"; Expires=Mon, 23-Nov-26 11:48:55 GMT; Max-Age=10800; Path=/; HttpOnly"},
		{"no times", []string{"session-cookie-max-age", "", "session-cookie-expires", "x"}, "; Path=/; HttpOnly"},
		{"zero and negative", []string{"session-cookie-max-age", "0", "session-cookie-expires", "-1"},
			"; Expires=Mon, 23-Nov-26 08:48:54 GMT; Max-Age=0; Path=/; HttpOnly"},
	}
	for _, tt := range tests {
		r := newRig(t, persistent(tt.extra...), three...)
		a := r.get()
		if got := strings.TrimPrefix(a.cookies[0], "msgapp-sticky="+a.last(t)); got != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
		}
	}
	r := newRig(t, map[string]string{annotation + "affinity": "cookie"}, three...)
	if a := r.get(); !strings.HasPrefix(a.cookies[0], "INGRESSCOOKIE=") {
		t.Errorf("no name: %v", a.cookies)
	}
}

func TestLocations(t *testing.T) {
	r := newRig(t, persistent(), three...)
	r.put(ingress("plain", "msgapp.local", "/plain", nil), ingress("api", "msgapp.local", "/api", persistent()),
		ingress("wild", "*.example.com", "/", persistent()))
	cookie := r.cookieOf(three[2])
	if a := r.do("GET", "/plain/x", cookie); a.served != three[2] || len(a.cookies) != 0 {
		t.Errorf("a cookie that arrives on another path of the backend: %+v, want it honoured", a)
	}
	if a := r.do("GET", "/plain"); a.status != 200 || len(a.cookies) != 0 {
		t.Errorf("a path without affinity: %+v, want no cookie", a)
	}
	if a := r.do("GET", "/plainly"); len(a.cookies) != 1 || !strings.Contains(a.cookies[0], "; Path=/;") {
		t.Errorf("Prefix goes by elements: %+v, want the cookie of /", a)
	}
	if a := r.do("GET", "/api/health"); len(a.cookies) != 1 || !strings.Contains(a.cookies[0], "; Path=/api;") {
		t.Errorf("%+v, want the Path of the location", a)
	}
	for host, want := range map[string]int{"a.example.com": 200, "a.example.com:8080": 200, "a.b.example.com": 404, "other.org": 404} {
		if got := r.status(host); got != want {
			t.Errorf("host %s: %d, want %d", host, got, want)
		}
	}
}

func (r *rig) status(host string) int {
	r.t.Helper()
	return r.doHost(host, "GET", "/").status
}

func TestSeed(t *testing.T) {
	served := func() (all []string) {
		r := newRig(t, balanced(), three...)
		for range 12 {
			all = append(all, r.get().served)
			r.now = time.Now() // whatever the time is
		}
		return all
	}
	if a, b := served(), served(); !slices.Equal(a, b) {
		t.Errorf("one seed, two runs: %v and %v", a, b)
	}
}

func TestTraefik(t *testing.T) {
	r := newRig(t, persistent("session-cookie-max-age", "3600", "session-cookie-expires", ""), three...)
	r.proxy.SetDialect(proxy.Traefik)
	nginxCookie := "msgapp-sticky=69e345ded6a54093e604c11164d0392a|9d6457d0b50a876e8a8f47d4d1c6832a"
	a := r.get(nginxCookie)
	if len(a.cookies) != 1 || !regexp.MustCompile(`^msgapp-sticky=[0-9a-f]{16}; Path=/; Max-Age=3600; HttpOnly$`).MatchString(a.cookies[0]) {
		t.Fatalf("%+v, want the other controller's cookie replaced", a)
	}
	cookie := "msgapp-sticky=" + a.last(t)
	if b := r.get(cookie); b.served != a.served || len(b.cookies) != 0 {
		t.Errorf("%+v, want %s without a cookie", b, a.served)
	}
	r.faults.Store(a.served, refuses)
	if b := r.get(cookie); b.status != 502 || len(b.tried) != 1 || len(b.cookies) != 0 {
		t.Errorf("refused: %+v, want 502 for as long as it is listed", b)
	}
	r.endpoints(slices.DeleteFunc(slices.Clone(three), func(s string) bool { return s == a.served })...)
	if b := r.get(cookie); b.status != 200 || len(b.cookies) != 1 {
		t.Errorf("removed: %+v, want another endpoint and its cookie", b)
	}
}

func BenchmarkBalancedPick(b *testing.B) {
	r := newRig(b, balanced(), three...)
	for b.Loop() {
		r.get()
	}
}
