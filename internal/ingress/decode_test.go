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

func TestDecode(t *testing.T) {
	backends := []string{"default-web-80", "default-other-80"}
	formats := Formats(backends)
	set := affinity.EndpointSet{Current: endpoints(web3...)}
	tests := []struct{ name, value, format, addr string }{
		{"persistent", "a4218db18517898613a5b988c1d68087|" + webKey, "ingress-nginx persistent", web3[0]},
		{"persistent before v0.49", "a4218db18517898613a5b988c1d68087", "ingress-nginx persistent", web3[0]},
		{"balanced", "1767225601.5.31.42|" + webKey, "ingress-nginx balanced", web3[1]},
		{"balanced before v0.49", "1767225601.5.31.42", "ingress-nginx balanced", web3[1]},
		{"Traefik", traefikHash("http://" + web3[2]), "Traefik", web3[2]},
		{"a hash of nothing known", "0123456789abcdef", "", ""},
		{"another's digest", "0123456789abcdef0123456789abcdef", "", ""},
		{"an application's session", "s%3AxJ3", "", ""},
		{"empty", "", "", ""},
	}
	for _, tt := range tests {
		v := Decode(tt.value, set, formats)
		if tt.format == "" {
			if v.Decided != nil || v.Tie {
				t.Errorf("%s: %+v, want nothing decided", tt.name, v)
			}
			continue
		}
		if v.Decided == nil || v.Tie || v.Decided.Format != tt.format || addrs(v.Decided.Decoded.Endpoints) != tt.addr {
			t.Errorf("%s: %+v, want %s %s", tt.name, v, tt.format, tt.addr)
		}
	}
	// A shape alone is reported, with the backend it names.
	v := Decode("0123456789abcdef0123456789abcdef|"+webKey, set, formats)
	if len(v.Answers) == 0 || v.Answers[0].Decoded.Backend != "default-web-80" {
		t.Errorf("shape alone: %+v", v)
	}
	// Two formats that are just as sure of two pods.
	tie := Decode("x", set, []affinity.Decoder{fixed(endpoints(web3[0])), fixed(endpoints(web3[1]))})
	if !tie.Tie || tie.Decided != nil || len(tie.Answers) != 2 {
		t.Errorf("two sure answers: %+v, want a tie", tie)
	}
	if same := Decode("x", set, []affinity.Decoder{fixed(endpoints(web3[0])), fixed(endpoints(web3[0]))}); same.Tie || same.Decided == nil {
		t.Errorf("two equal answers: %+v, want no tie", same)
	}
}

// fixed answers every value with the same endpoints.
type fixed []affinity.Endpoint

func (f fixed) Name() string                              { return "fixed" }
func (f fixed) Table(affinity.EndpointSet) affinity.Table { return f }
func (f fixed) Lookup(string) affinity.Decoded {
	return affinity.Decoded{Shaped: true, Exact: true, Endpoints: f}
}
