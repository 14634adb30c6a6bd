package capture

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func show(cookies []Cookie) string {
	var b strings.Builder
	for _, c := range cookies {
		fmt.Fprintf(&b, "%s=%s\n", c.Name, c.Value.Reveal())
	}
	return b.String()
}

func TestText(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a value", "a4218db18517898613a5b988c1d68087|6cde", "=a4218db18517898613a5b988c1d68087|6cde\n"},
		{"a value that ends in padding", "MS4yLjMuNDo4MA==", "=MS4yLjMuNDo4MA==\n"},
		{"a quoted value", `"Cg8xMC4yNDQuMC41OjgwODA="`, "=\"Cg8xMC4yNDQuMC41OjgwODA=\"\n"},
		{"a pair", "INGRESSCOOKIE=x|y", "INGRESSCOOKIE=x|y\n"},
		{"a pair with padding", "session-a=MS4yLjMuNDo4MA==", "session-a=MS4yLjMuNDo4MA==\n"},
		{"pairs", "a=1; b=2;c = 3 ; d=", "a=1\nb=2\nc=3\n"},
		{"a Cookie line", "Cookie: a=1; b=2", "a=1\nb=2\n"},
		{"a Cookie line in lower case", "cookie:a=1", "a=1\n"},
		{"a Set-Cookie line", "Set-Cookie: a=1; Path=/; HttpOnly; Max-Age=3", "a=1\n"},
		{"a Set-Cookie line without its name", "a=1; path=/; secure", "a=1\n"},
		{"the same twice", "Cookie: a=1; a=1; a=2", "a=1\na=2\n"},
		{"curl -v", "> GET / HTTP/1.1\n> Cookie: a=1\n< HTTP/1.1 200 OK\r\n< set-cookie: b=2; Path=/\n< date: x=y\n", "a=1\nb=2\n"},
		{"a URL as a value", "http://10.42.0.5:80", "=http://10.42.0.5:80\n"},
		{"values on lines", "abc\n\ndef\n", "=abc\n=def\n"},
		{"a shell's quotes", "'a=x|y'", "a=x|y\n"},
		{"a shell's double quotes", `"a=x|y; b=2"`, "a=x|y\nb=2\n"},
		{"a quoted header", "'Cookie: a=1; b=2'", "a=1\nb=2\n"},
		{"a quoted value of a name", `a="x=="`, "a=\"x==\"\n"},
		{"a value in single quotes", "'MS4yLjMuNDo4MA=='", "=MS4yLjMuNDo4MA==\n"},
		{"copied as cURL by Chrome", "curl 'https://x/?a=b' \\\n  -H 'accept: */*' \\\n  -b 'a=1|2; b=it'\\''s' \\\n  --compressed", "a=1|2\nb=it's\n"},
		{"copied as cURL by Firefox", "curl 'https://x/' --compressed -H 'Cookie: a=1; b=\"2\"' -H 'DNT: 1'", "a=1\nb=\"2\"\n"},
		{"curl by hand", `/usr/bin/curl --cookie=a=1 --header="cookie: b=2" -b jar.txt x`, "a=1\nb=2\n"},
		{"curl without cookies", "curl https://x/ -b", ""},
		{"a cookie called curl", "curl=1", "curl=1\n"},
		{"nothing", " \n", ""},
		{"an empty cookie", "a=", "=a=\n"},
	}
	for _, tt := range tests {
		if got, left := Text(tt.text); show(got) != tt.want || left != 0 {
			t.Errorf("%s: %q (%d left out), want %q", tt.name, show(got), left, tt.want)
		}
	}
}

func TestTextIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range maxCookies + 7 {
		fmt.Fprintf(&b, "Cookie: c%d=1\n", i)
	}
	b.WriteString("Cookie: long=" + strings.Repeat("x", maxValue+1))
	if got, left := Text(b.String()); len(got) != maxCookies || left != 8 {
		t.Errorf("%d cookies, %d left out; want %d and 8", len(got), left, maxCookies)
	}
}

func TestHAR(t *testing.T) {
	for _, name := range []string{"browser.har", "bom.har"} {
		f, err := os.Open("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, left, err := HAR(f)
		if err != nil || left != 0 {
			t.Fatalf("%s: %v, %d left out", name, err, left)
		}
		want := "INGRESSCOOKIE=1767225601.5.31.42|6cde5721ec2c7e2bce07cff7d0e4ac37\nsid=s%3Axyz\nlb=bef67460d38c7acf\nother=1\n"
		if show(got) != want {
			t.Errorf("%s: %q, want %q", name, show(got), want)
		}
		c := got[0]
		if c.Count != 2 || c.Where != "GET https://chat.example.com/socket" || c.First.UTC().Format(time.RFC3339) != "2026-01-01T10:00:00Z" || c.Last.Sub(c.First) != 30*time.Second {
			t.Errorf("%s: first cookie %+v", name, c)
		}
	}
}

func TestHARRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "ends in the middle"},
		{`{"log":{"entries":[{"request":`, "ends in the middle"},
		{`{"log":{"entries":[{"request":}]}}`, "cannot be read"},
		{`{"a":1}`, "no log.entries"},
		{`[]`, "no log.entries"},
		{"<html>", "cannot be read"},
		{`{"log":` + strings.Repeat("[", 1000), "nested too deep"},
		{`{"log":` + strings.Repeat("9", 1000), "too long"},
	}
	for _, tt := range tests {
		if got, _, err := HAR(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: %v, %v; want %q", tt.text, got, err, tt.want)
		}
	}
}

// A body of 40 MB passes through; what is held stays small.
func TestHARIsStreamed(t *testing.T) {
	const text = `x\"y\u00e9\\`
	const size = 40 << 20 / len(text) * len(text)
	body := io.MultiReader(strings.NewReader(`{"log":{"entries":[{"response":{"content":{"text":"`), io.LimitReader(&repeat{text: text}, int64(size)),
		strings.NewReader(`"},"headers":[{"name":"Set-Cookie","value":"lb=1; Path=/"}]}}]}}`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, _, err := HAR(body)
	runtime.ReadMemStats(&after)
	if err != nil || show(got) != "lb=1\n" {
		t.Fatalf("%q, %v", show(got), err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes allocated, want at most 4 MiB", n)
	}
}

// repeat is a reader that never ends.
type repeat struct {
	text string
	at   int
}

func (r *repeat) Read(p []byte) (n int, err error) {
	for n < len(p) {
		copied := copy(p[n:], r.text[r.at:])
		n, r.at = n+copied, (r.at+copied)%len(r.text)
	}
	return n, nil
}

func FuzzText(f *testing.F) {
	f.Add("Cookie: a=1; b=2\nSet-Cookie: c=3; Path=/")
	f.Add("> cookie: \x00=\xff\r\n")
	f.Add("MS4yLjMuNDo4MA==")
	f.Add("curl $'x' -H \"cookie: a='1'\" \\\n -b 'b=2")
	f.Fuzz(func(t *testing.T, text string) {
		cookies, _ := Text(text)
		if len(cookies) > maxCookies {
			t.Fatalf("%d cookies", len(cookies))
		}
		for _, c := range cookies {
			if c.Value == "" || len(c.Value.Reveal()) > maxValue {
				t.Fatalf("%q: %q of %d bytes", text, c.Name, len(c.Value.Reveal()))
			}
		}
	})
}

func FuzzHAR(f *testing.F) {
	for _, name := range []string{"browser.har", "bom.har"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"log":{"entries":[{"request":{"cookies":[{"name":"a","value":"\ud83d\"\\"}],"headers":[[],1,null]}},7]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		cookies, _, err := HAR(strings.NewReader(text))
		if err != nil && len(cookies) > 0 {
			t.Fatalf("%q: %v and %v", text, cookies, err)
		}
		for _, c := range cookies {
			if c.Where != affinity.Clean(c.Where, 200) || c.Count == 0 {
				t.Fatalf("%q: %+v", text, c)
			}
		}
	})
}
