package cookie

import (
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
)

func mustURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func set(t *testing.T, j *Jar, raw, line string, now time.Time) string {
	t.Helper()
	c, err := Parse(line)
	if err != nil {
		return err.Error()
	}
	return j.Set(mustURL(t, raw), c, now)
}

// TestJar tells one jar's story per row: lines received from one URL, then
// what is sent to others. The expectations are RFC 6265's and browsers'.
func TestJar(t *testing.T) {
	tests := []struct {
		name  string
		from  string
		lines string            // separated by " && "
		want  map[string]string // URL → Cookie header
	}{
		{"host cookie", "http://www.host.test/", "a=1", map[string]string{
			"http://www.host.test/x": "a=1", "http://www.host.test:8080/": "a=1", "https://www.host.test/": "a=1",
			"http://host.test/": "", "http://x.www.host.test/": "", "http://WWW.HOST.test/": "a=1"}},
		{"domain cookie", "http://www.host.test/", "a=1; Domain=host.test", map[string]string{
			"http://www.host.test/": "a=1", "http://host.test/": "a=1", "http://b.c.host.test/": "a=1", "http://xhost.test/": ""}},
		{"leading dot and case", "http://www.host.test/", "a=1; Domain=.HOST.test", map[string]string{"http://host.test/": "a=1"}},
		{"empty domain is none", "http://www.host.test/", "a=1; Domain=", map[string]string{
			"http://www.host.test/": "a=1", "http://host.test/": ""}},
		{"someone else's domain", "http://www.host.test/", "a=1; Domain=other.test && b=1; Domain=w.host.test", map[string]string{
			"http://www.host.test/": "", "http://other.test/": "", "http://w.host.test/": ""}},
		{"public suffix", "http://www.host.co.uk/", "a=1; Domain=co.uk && b=1; Domain=uk && c=1; Domain=host.co.uk", map[string]string{
			"http://www.host.co.uk/": "c=1"}},
		{"private suffix", "http://me.github.io/", "a=1; Domain=github.io", map[string]string{"http://me.github.io/": ""}},
		{"single label", "http://ingress/", "a=1; Domain=ingress", map[string]string{"http://ingress/": "a=1", "http://x.ingress/": ""}},
		{"address", "http://127.0.0.1/", "a=1 && b=1; Domain=127.0.0.1 && c=1; Domain=0.0.1", map[string]string{
			"http://127.0.0.1:81/": "a=1; b=1", "http://127.0.0.2/": ""}},
		{"IPv6 address", "http://[::1]:80/", "a=1", map[string]string{"http://[::1]/": "a=1"}},

		{"default path", "http://h.test/app/page", "a=1", map[string]string{
			"http://h.test/app": "a=1", "http://h.test/app/": "a=1", "http://h.test/app/x": "a=1", "http://h.test/": "", "http://h.test/apple": ""}},
		{"default path of the root", "http://h.test", "a=1", map[string]string{"http://h.test/": "a=1", "http://h.test/x": "a=1"}},
		{"path with a slash at its end", "http://h.test/", "a=1; Path=/app/", map[string]string{
			"http://h.test/app/": "a=1", "http://h.test/app": "", "http://h.test/app/x": "a=1"}},
		{"path that is none", "http://h.test/app/page", "a=1; Path=app", map[string]string{"http://h.test/app": "a=1", "http://h.test/": ""}},
		{"path is compared as sent", "http://h.test/", "a=1; Path=/a%20b", map[string]string{"http://h.test/a%20b": "a=1", "http://h.test/a b": "a=1"}},
		{"a pattern is no path", "http://h.test/de/", "a=1; Path=/(de|fr)(.*)$", map[string]string{"http://h.test/de/": ""}},

		{"secure over https", "https://h.test/", "a=1; Secure", map[string]string{"https://h.test/": "a=1", "http://h.test/": ""}},
		{"secure over http", "http://h.test/", "a=1; Secure", map[string]string{"https://h.test/": "", "http://h.test/": ""}},
		{"secure and localhost", "http://localhost/", "a=1; Secure", map[string]string{"http://localhost/": ""}},
		{"SameSite=None needs Secure", "https://h.test/", "a=1; SameSite=None && b=1; SameSite=None; Secure && c=1; SameSite=Lax", map[string]string{
			"https://h.test/": "b=1; c=1"}},

		{"__Secure-", "https://h.test/", "__Secure-a=1 && __Secure-b=1; Secure && __SECURE-c=1", map[string]string{"https://h.test/": "__Secure-b=1"}},
		{"__Host-", "https://h.test/", "__Host-a=1; Secure && __Host-b=1; Secure; Path=/ && __Host-c=1; Secure; Path=/; Domain=h.test" +
			" && __Host-d=1; Secure; Path=/x && __host-e=1; Path=/", map[string]string{"https://h.test/": "__Host-b=1"}},
		{"a value that pretends", "https://h.test/", "=__Host-a=1; Path=/; Secure", map[string]string{"https://h.test/": ""}},
		{"a bare value", "http://h.test/", "foo && a=1", map[string]string{"http://h.test/": "foo; a=1"}},

		{"replaced", "http://h.test/", "a=1 && b=1 && a=2", map[string]string{"http://h.test/": "a=2; b=1"}},
		{"one name, two paths: the longer first", "http://h.test/app/x", "a=root; Path=/ && a=app; Path=/app", map[string]string{
			"http://h.test/app/x": "a=app; a=root", "http://h.test/": "a=root"}},
		{"equal paths: the older first", "http://h.test/", "b=1 && a=1 && c=1", map[string]string{"http://h.test/": "b=1; a=1; c=1"}},
		{"host-only and domain are two", "http://h.test/", "a=1 && a=2; Domain=h.test", map[string]string{"http://h.test/": "a=1; a=2"}},
		{"names keep their case", "http://h.test/", "a=1 && A=2", map[string]string{"http://h.test/": "a=1; A=2"}},
		{"deleted by Max-Age", "http://h.test/", "a=1 && b=1 && a=; Max-Age=0", map[string]string{"http://h.test/": "b=1"}},
		{"deleted by Expires", "http://h.test/", "a=1 && a=x; Expires=Thu, 01-Jan-70 00:00:01 GMT", map[string]string{"http://h.test/": ""}},
		{"a deletion of another path", "http://h.test/app/", "a=1; Path=/app && a=; Path=/; Max-Age=0", map[string]string{"http://h.test/app/": "a=1"}},
		{"deleted, then set", "http://h.test/", "a=1 && a=; Max-Age=0 && a=2", map[string]string{"http://h.test/": "a=2"}},
		{"quotes, pipes and spaces as they came", "http://h.test/", `a="x y" && b=k|s && c=p%7Cq`, map[string]string{"http://h.test/": `a="x y"; b=k|s; c=p%7Cq`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var j Jar
			for line := range strings.SplitSeq(tt.lines, " && ") {
				set(t, &j, tt.from, line, tNow)
			}
			for raw, want := range tt.want {
				if got := Header(j.Cookies(mustURL(t, raw), tNow)); got != want {
					t.Errorf("to %s: %q, want %q", raw, got, want)
				}
			}
		})
	}
}

func TestSecureIsLeftAlone(t *testing.T) {
	var j Jar
	set(t, &j, "https://h.test/", "a=safe; Secure", tNow)
	if why := set(t, &j, "http://h.test/", "a=evil", tNow); !strings.Contains(why, "Secure cookie of that name") {
		t.Errorf("over http: %q", why)
	}
	if got := Header(j.Cookies(mustURL(t, "https://h.test/"), tNow)); got != "a=safe" {
		t.Errorf("Cookie: %q", got)
	}
}

func TestNotReturned(t *testing.T) {
	tests := []struct{ from, line, want string }{
		{"http://h.test/socket.io/", "a=1; Path=/", ""},
		{"http://h.test/socket.io/", "a=1", ""},
		{"http://h.test/socket.io/", "a=1; Path=/app", "Path=/app does not cover /socket.io/"},
		{"http://h.test/de/", "a=1; Path=/(de|fr)(.*)$", "Path=/(de|fr)(.*)$ does not cover /de/: a pattern is taken literally"},
		{"http://h.test/", "a=1; Domain=other.test", "Domain=other.test does not cover h.test"},
		{"http://h.co.uk/", "a=1; Domain=.co.uk", "Domain=co.uk is a public suffix: browsers refuse it"},
		{"http://h.test/", "a=1; Secure", secureReason},
		{"https://h.test/", "a=1; SameSite=none", "SameSite=None without Secure: browsers refuse it"},
		{"https://h.test/", "__Secure-a=1", "a __Secure- name needs Secure"},
		{"https://h.test/", "__Host-a=1; Secure", "a __Host- name needs Secure, Path=/ and no Domain"},
		{"http://h.test/", "a=1; Max-Age=0", "Max-Age=0 ends it at once"},
		{"http://h.test/", "a=1; Max-Age=-1", "Max-Age=-1 ends it at once"},
		{"http://h.test/", "a=1; Expires=Mon, 23-Nov-26 08:29:59 GMT", "Expires=2026-11-23T08:29:59Z had passed when it arrived"},
		{"http://h.test/", "a=" + strings.Repeat("x", 64<<10), ErrSize.Error()},
		{"http://h.test/", "a=\x1b]0;title\x07", ErrControl.Error()},
	}
	for _, tt := range tests {
		var j Jar
		if got := set(t, &j, tt.from, tt.line, tNow); got != tt.want {
			t.Errorf("%.60q from %s: %q, want %q", tt.line, tt.from, got, tt.want)
		}
	}
}

func TestExpiry(t *testing.T) {
	var j Jar
	set(t, &j, "http://h.test/", "short=1; Max-Age=10", tNow)
	set(t, &j, "http://h.test/", "long=1; Max-Age=60", tNow)
	set(t, &j, "http://h.test/", "session=1", tNow)
	u := mustURL(t, "http://h.test/")
	if at, ok := j.NextExpiry(); !ok || !at.Equal(tNow.Add(10*time.Second)) {
		t.Errorf("NextExpiry = %v, %v", at, ok)
	}
	if names := j.Expire(tNow.Add(10*time.Second - 1)); names != nil {
		t.Errorf("expired early: %v", names)
	}
	at := tNow.Add(10 * time.Second)
	if got := Header(j.Cookies(u, at)); got != "long=1; session=1" {
		t.Errorf("sent at the end of Max-Age: %q", got)
	}
	if names := fmt.Sprint(j.Expire(at)); names != "[short]" {
		t.Errorf("Expire = %v", names)
	}
	// An answer that renews starts the time again.
	set(t, &j, "http://h.test/", "long=2; Max-Age=60", at)
	if next, _ := j.NextExpiry(); !next.Equal(at.Add(time.Minute)) {
		t.Errorf("NextExpiry after a renewal = %v", next)
	}
	j.Expire(at.Add(time.Minute))
	if _, ok := j.NextExpiry(); ok || j.Len() != 1 {
		t.Errorf("%d cookies left", j.Len())
	}
	if names := fmt.Sprint(j.Clear()); names != "[session]" || j.Len() != 0 {
		t.Errorf("Clear = %v, %d left", names, j.Len())
	}
}

func TestLimits(t *testing.T) {
	var j Jar
	u := mustURL(t, "http://h.test/")
	for i := range MaxPerDomain {
		set(t, &j, "http://h.test/", fmt.Sprintf("c%d=1", i), tNow)
	}
	j.Cookies(u, tNow)
	set(t, &j, "http://h.test/", "c0=2", tNow) // used last
	set(t, &j, "http://h.test/", "new=1", tNow)
	got := Header(j.Cookies(u, tNow))
	if j.Len() != MaxPerDomain || !strings.HasPrefix(got, "c0=2; c2=1;") || !strings.HasSuffix(got, "; new=1") {
		t.Errorf("%d cookies: %s", j.Len(), got)
	}
	var big Jar
	for i := range 40 {
		set(t, &big, "http://h.test/", fmt.Sprintf("c%d=%s", i, strings.Repeat("x", MaxPair-3)), tNow)
	}
	if n := len(Header(big.Cookies(u, tNow))); n > MaxBytes {
		t.Errorf("a jar sends %d bytes", n)
	}
}

// TestShortValueKeepsNoLine guards against a value that is a slice of the
// whole header line.
func TestShortValueKeepsNoLine(t *testing.T) {
	var jars [200]Jar
	before := heap()
	for i := range jars {
		line := "a=1; " + strings.Repeat("x", 250<<10)
		set(t, &jars[i], "http://h.test/", line, tNow)
	}
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("%d jars of one short cookie hold %d bytes", len(jars), grown)
	}
	if jars[0].Len() != 1 {
		t.Error("the cookie was not kept")
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
