package proxy

import (
	"net/http"
	"strings"
	"testing"
)

func FuzzCookieHeader(f *testing.F) {
	for _, s := range []string{"a=1; msgapp-sticky=x", "foo; msgapp-sticky=x", "a=b c; msgapp-sticky=x", "msgapp-sticky=", "=", "; ;=\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := luaCookie(http.Header{"Cookie": {header}}, "msgapp-sticky")
		if strings.ContainsAny(got, "; \t") || !strings.Contains(header, got) {
			t.Errorf("luaCookie(%q) = %q", header, got)
		}
	})
}
