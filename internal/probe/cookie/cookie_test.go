package cookie

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

var tNow = time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want Cookie
		err  error
	}{
		{"a=b", Cookie{Name: "a", Value: "b"}, nil},
		{" a \t=\t b ", Cookie{Name: "a", Value: "b"}, nil},
		{`a="b c"`, Cookie{Name: "a", Value: `"b c"`}, nil},
		{"a=k|b,c d%7C=", Cookie{Name: "a", Value: "k|b,c d%7C="}, nil},
		{"a=\xff\xfe", Cookie{Name: "a", Value: "\xff\xfe"}, nil},
		{"a b=c", Cookie{Name: "a b", Value: "c"}, nil},
		{"a=", Cookie{Name: "a"}, nil},
		{"bare", Cookie{Value: "bare"}, nil},
		{"=b", Cookie{Value: "b"}, nil},
		{"==b", Cookie{Value: "=b"}, nil},
		{"", Cookie{}, ErrEmpty},
		{"=", Cookie{}, ErrEmpty},
		{"; Path=/", Cookie{Path: "/"}, ErrEmpty},
		{"a=b; Path=/x; path=/y", Cookie{Name: "a", Value: "b", Path: "/y"}, nil},
		{"a=b;PATH = /x ;secure;HttpOnly=whatever", Cookie{Name: "a", Value: "b", Path: "/x", Secure: true, HTTPOnly: true}, nil},
		{"a=b; Domain=.Example.COM", Cookie{Name: "a", Value: "b", Domain: ".Example.COM"}, nil},
		{"a=b; SameSite=lAX", Cookie{Name: "a", Value: "b", SameSite: "Lax"}, nil},
		{"a=b; SameSite=odd", Cookie{Name: "a", Value: "b", SameSite: "odd"}, nil},
		{"a=b; Max-Age=10800", Cookie{Name: "a", Value: "b", MaxAge: 10800, HasMaxAge: true}, nil},
		{"a=b; Max-Age=-1", Cookie{Name: "a", Value: "b", MaxAge: -1, HasMaxAge: true}, nil},
		{"a=b; Max-Age=-", Cookie{Name: "a", Value: "b"}, nil},
		{"a=b; Max-Age=+1", Cookie{Name: "a", Value: "b"}, nil},
		{"a=b; Max-Age=1.5", Cookie{Name: "a", Value: "b"}, nil},
		{"a=b; Max-Age=", Cookie{Name: "a", Value: "b"}, nil},
		{"a=b; Max-Age=1; Max-Age=x", Cookie{Name: "a", Value: "b", MaxAge: 1, HasMaxAge: true}, nil},
		{"a=b; Max-Age=99999999999999999999", Cookie{Name: "a", Value: "b", MaxAge: maxSeconds, HasMaxAge: true}, nil},
		{"a=b; Path=/" + strings.Repeat("x", MaxAttribute), Cookie{Name: "a", Value: "b"}, nil},
		{"a=\x1b[31mred", Cookie{Name: "a", Value: "\x1b[31mred"}, ErrControl},
		{"a=b; Path=/\x00", Cookie{Name: "a", Value: "b", Path: "/\x00"}, ErrControl},
		{"a=b\x7f", Cookie{Name: "a", Value: "b\x7f"}, ErrControl},
	}
	for _, tt := range tests {
		got, err := Parse(tt.line)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v, %v", tt.line, got, err, tt.want, tt.err)
		}
	}
}

func TestParseSize(t *testing.T) {
	if _, err := Parse("ab=" + strings.Repeat("x", MaxPair-2)); err != nil {
		t.Errorf("%d bytes: %v", MaxPair, err)
	}
	for _, n := range []int{MaxPair - 1, 64 << 10} {
		c, err := Parse("ab=" + strings.Repeat("x", n))
		if !errors.Is(err, ErrSize) || c.Name != "ab" {
			t.Errorf("%d bytes: %q, %v, want %v", n+2, c.Name, err, ErrSize)
		}
	}
}

func TestEnd(t *testing.T) {
	tests := []struct {
		line string
		want time.Duration
		ends bool
	}{
		{"a=b", 0, false},
		{"a=b; Expires=gibberish", 0, false},
		{"a=b; Expires=Mon, 23-Nov-26 11:30:00 GMT", 3 * time.Hour, true},
		{"a=b; Expires=Mon, 23-Nov-26 11:30:00 GMT; Max-Age=60", time.Minute, true},
		{"a=b; Max-Age=60; Expires=Mon, 23-Nov-26 11:30:00 GMT", time.Minute, true},
		{"a=b; Max-Age=x; Expires=Mon, 23-Nov-26 11:30:00 GMT", 3 * time.Hour, true},
		{"a=b; Expires=Mon, 23-Nov-26 11:30:00 GMT; Expires=gibberish", 3 * time.Hour, true},
		{"a=b; Max-Age=0", 0, true},
		{"a=b; Max-Age=-5", 0, true},
		{"a=b; Max-Age=99999999999999999999", maxSeconds * time.Second, true},
	}
	for _, tt := range tests {
		c, err := Parse(tt.line)
		if err != nil {
			t.Fatal(err)
		}
		end, ends := c.End(tNow)
		if ends != tt.ends || ends && end.Sub(tNow) != tt.want {
			t.Errorf("%q ends %v, %v, want after %v, %v", tt.line, end, ends, tt.want, tt.ends)
		}
	}
}

// TestRecorded reads the Set-Cookie headers that real proxies were seen to
// send: ingress-nginx's Lua code, Traefik, HAProxy and nginx.
func TestRecorded(t *testing.T) {
	f, err := os.Open("testdata/set-cookie.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u, _ := url.Parse("http://chat.example.com/")
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var rec struct {
			Proxy, Name, Value string
			SetCookie          string `json:"set_cookie"`
		}
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			t.Fatal(err)
		}
		c, err := Parse(rec.SetCookie)
		if err != nil || c.Name != rec.Name || c.Value != rec.Value || c.Path != "/" && strings.Contains(rec.SetCookie, "ath=") {
			t.Errorf("%s: Parse(%q) = %+v, %v", rec.Proxy, rec.SetCookie, c, err)
		}
		if strings.Contains(strings.ToLower(rec.SetCookie), "expires=") && c.Expires.Before(now) {
			t.Errorf("%s: Expires of %q read as %v", rec.Proxy, rec.SetCookie, c.Expires)
		}
		var j Jar
		want := rec.Name + "=" + rec.Value
		if strings.Contains(strings.ToLower(rec.SetCookie), "max-age=0") {
			want = "" // they were configured to
		}
		if why := j.Set(u, c, now); (why == "") != (want != "") {
			t.Errorf("%s: %q is not returned: %q", rec.Proxy, rec.SetCookie, why)
		}
		if got := Header(j.Cookies(u, now)); got != want {
			t.Errorf("%s: Cookie: %q, want %q", rec.Proxy, got, want)
		}
	}
	if n < 90 {
		t.Errorf("only %d recorded headers", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("msgapp-sticky=69e3|9d64; Expires=Mon, 23-Nov-26 11:48:14 GMT; Max-Age=10800; Path=/; HttpOnly", "http://a.example.com/x/y")
	f.Add("__Host-a=b; Secure; Path=/; SameSite=None; Domain=", "https://a.example.com/")
	f.Add("=;=;Domain=.;Path=", "http://[::1]:80/%2f")
	f.Fuzz(func(t *testing.T, line, raw string) {
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" {
			return
		}
		c, err := Parse(line)
		var j Jar
		if err != nil {
			return
		}
		if strings.ContainsAny(c.Name+c.Value, ";\r\n\x00") || len(c.Name)+len(c.Value) > MaxPair {
			t.Fatalf("Parse(%q) let through %q=%q", line, c.Name, c.Value)
		}
		why := j.Set(u, c, tNow)
		sent := j.Cookies(u, tNow)
		if (why == "") != (len(sent) == 1) {
			t.Fatalf("Set(%q, %q) says %q, yet %v goes out", raw, line, why, sent)
		}
		for _, p := range sent {
			again, err := Parse(Header([]Pair{p}))
			if c.Name != "" && (err != nil || again.Name != c.Name || again.Value != c.Value) {
				t.Fatalf("Set(%q, %q) sends %q", raw, line, Header(sent))
			}
		}
	})
}
