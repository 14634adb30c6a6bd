package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestDialFrom: a session whose address is another machine's connects by that
// machine, names and all, and by nobody else's.
func TestDialFrom(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer srv.Close()
	one, two := netip.MustParseAddr("10.244.1.7"), netip.MustParseAddr("10.244.2.7")
	var asked []string
	by := func(name string, fail error) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			asked = append(asked, name+" "+address)
			if fail != nil {
				return nil, fail
			}
			var d net.Dialer
			return d.DialContext(ctx, network, srv.Listener.Addr().String())
		}
	}
	set, err := Options{DialFrom: map[netip.Addr]func(context.Context, string, string) (net.Conn, error){
		one: by("one", nil), two: by("two", errors.New("the agent is gone"))}}.settings()
	if err != nil {
		t.Fatal(err)
	}
	target := set.target(affinity.Route{Kind: affinity.RouteURL, URL: "http://echo.msgapp.svc:8080/"})
	for _, tt := range []struct {
		from netip.Addr
		want string // of the failure
	}{{one, ""}, {two, "the agent is gone"}} {
		c := &Client{spec: affinity.SessionSpec{ID: "s01", From: tt.from}, set: set}
		o := httpTransport{}.Open(c).Observe(t.Context(), target).Observed
		if got := textOf(o.Failure); !strings.Contains(got, tt.want) || tt.want == "" && (got != "" || o.Status != http.StatusOK) {
			t.Errorf("from %s: status %d, failure %q, want %q", tt.from, o.Status, got, tt.want)
		}
	}
	if got := strings.Join(asked, ", "); got != "one echo.msgapp.svc:8080, two echo.msgapp.svc:8080" {
		t.Errorf("connected by %s", got)
	}
}

func textOf(f *affinity.Failure) string {
	if f == nil {
		return ""
	}
	return f.Text
}
