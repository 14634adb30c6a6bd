package ingress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestIdle reads testdata/idle.txt: objects, and after each "want" what each
// route's proxy waits for, for a frame of a WebSocket and for an answer. A part
// named "config NAME VALUE" is ingress-nginx's ConfigMap of the next objects.
func TestIdle(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/idle.txt")
	if err != nil {
		t.Fatal(err)
	}
	var o Objects
	var config NginxConfig
	checked := 0
	for _, f := range archive.Files {
		switch words := strings.Fields(f.Name); words[0] {
		case "config":
			config = NginxConfig{Name: words[1]}
			if len(words) > 2 {
				config.ReadTimeout = words[2]
			}
		case "objects":
			o = load(t, string(f.Data))
			o.NginxConfig, config = config, NginxConfig{}
		case "want":
			checked++
			if got := idles(Build(o)); got != string(f.Data) {
				t.Errorf("%s\ngot\n%swant\n%s", f.Name, got, f.Data)
			}
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
	}
	if checked == 0 {
		t.Fatal("nothing was checked")
	}
}

func idles(routes []affinity.Route) string {
	var b strings.Builder
	for _, r := range routes {
		l, _ := r.Layer(affinity.LayerIngress)
		for _, p := range l.Candidates {
			fmt.Fprintf(&b, "%s/%s %s: frame %s (%s), answer %s (%s)\n", strings.ToLower(r.Kind), r.Name, orElse(p.Controller, "-"),
				p.ReadTimeout, p.ReadTimeoutWhy, p.AnswerTimeout, p.AnswerTimeoutWhy)
		}
	}
	return b.String()
}

func FuzzHAProxyWait(f *testing.F) {
	for _, s := range []string{"", "50s", "1h", "5000", "-1", "99999999999999999999d", "1us", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if wait, why := haproxyWait(value, "x", "timeout-server", 1); wait <= 0 || why == "" {
			t.Fatalf("%q: %s %q", value, wait, why)
		}
		if wait := nginxWait(value); wait < 0 {
			t.Fatalf("%q: %s", value, wait)
		}
	})
}

func FuzzContourWait(f *testing.F) {
	for _, s := range []string{"", "0", "0s", "infinity", "infinite", "90s", "90", "-5s", "1.5h", "9999999999h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait, why, ok := contourWait(value, time.Minute, "at", "default")
		if wait < 0 || ok != (why != "") || !ok && wait != 0 {
			t.Fatalf("%q: %s %q %t", value, wait, why, ok)
		}
	})
}
