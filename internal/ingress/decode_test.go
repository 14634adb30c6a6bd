package ingress

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// endpoints makes ready endpoints of addresses "ip:port".
func endpoints(addrs ...string) []affinity.Endpoint {
	var all []affinity.Endpoint
	for _, a := range addrs {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			host = a
		}
		all = append(all, affinity.Endpoint{Addr: a, IP: host, Ready: true, Serving: true})
	}
	return all
}

func addrs(all []affinity.Endpoint) string {
	var out []string
	for _, e := range all {
		out = append(out, e.Addr)
	}
	return strings.Join(out, " ")
}

// readLines decodes every line of a recorded sample.
func readLines[T any](t *testing.T, name string) []T {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var x T
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, x)
	}
	return all
}

// TestNginxSample decodes every cookie that the controller's own balancer code
// was recorded issuing and honouring.
func TestNginxSample(t *testing.T) {
	type record struct {
		Mode, Backend, Served, Note string
		Endpoints                   []string
		CookieName                  string  `json:"cookie_name"`
		RequestCookie               *string `json:"request_cookie"`
		CookieValue                 string  `json:"cookie_value"`
		SetCookie                   *string `json:"set_cookie"`
	}
	records := readLines[record](t, "ingress-nginx-sample.jsonl")
	if len(records) != 96 {
		t.Fatalf("%d records, want 96", len(records))
	}
	repins := 0
	for i, r := range records {
		var decoder affinity.Decoder = nginxBalanced{backend: r.Backend}
		if r.Mode == "persistent" {
			decoder = nginxPersistent{backend: r.Backend}
		}
		current := endpoints(r.Endpoints...)
		value := r.CookieValue
		if r.SetCookie != nil {
			value, _, _ = strings.Cut(strings.TrimPrefix(*r.SetCookie, r.CookieName+"="), ";")
		}
		d := decoder.Table(affinity.EndpointSet{Current: current}).Lookup(value)
		if !d.Shaped || addrs(d.Endpoints) != r.Served || d.Backend != r.Backend || d.Exact != (r.Mode == "persistent") {
			t.Errorf("record %d (%s, %s): %+v, want %s", i, r.Mode, r.Note, d, r.Served)
		}
		if r.SetCookie != nil && r.Mode == "balanced" {
			checkIssued(t, *r.SetCookie, d.Issued)
		}
		if r.SetCookie != nil && r.RequestCookie != nil { // the sent cookie's endpoint was gone
			removed, _, _ := strings.Cut(strings.TrimPrefix(r.Note, "one endpoint removed: "), " ")
			table := decoder.Table(affinity.EndpointSet{Current: current, Gone: endpoints(removed)})
			if d := table.Lookup(strings.TrimPrefix(*r.RequestCookie, r.CookieName+"=")); !d.Gone || addrs(d.Endpoints) != removed {
				t.Errorf("record %d: %+v, want gone %s", i, d, removed)
			}
			repins++
		}
	}
	if repins != 2 {
		t.Errorf("%d re-pins in the sample, want 2", repins)
	}
}

// checkIssued compares the time in a key with Expires minus Max-Age, which the
// recording shows to be the same second or the one before.
func checkIssued(t *testing.T, setCookie string, issued time.Time) {
	t.Helper()
	_, rest, _ := strings.Cut(setCookie, "Expires=")
	text, rest, _ := strings.Cut(rest, ";")
	expires, err := time.Parse("Mon, 02-Jan-06 15:04:05 MST", text)
	if err != nil || !strings.Contains(rest, "Max-Age=10800") {
		t.Fatalf("unexpected Set-Cookie %q: %v", setCookie, err)
	}
	if off := issued.Sub(expires.Add(-3 * time.Hour)); off < -time.Second || off > 1100*time.Millisecond {
		t.Errorf("issued %v, but Expires says %v later", issued, off)
	}
}
