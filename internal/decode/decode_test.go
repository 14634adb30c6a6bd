package decode

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/capture"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

const webKey = "6cde5721ec2c7e2bce07cff7d0e4ac37" // of default-web-80

// world is a cluster of one Service with three pods, the last of them made a
// day after the others.
func world(t *testing.T) World {
	t.Helper()
	endpoints, err := ParseEndpoints([]string{"web-a=10.244.0.5:8080", "web-b=10.244.1.7:8080", "web-c=10.244.2.9:8080"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBackend("default/web:80")
	if err != nil {
		t.Fatal(err)
	}
	w := World{Scopes: []ingress.Scope{Given(endpoints, b)}, Where: "the test", Now: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC), Pods: map[affinity.PodRef]affinity.Pod{}}
	for i, e := range endpoints.All {
		w.Pods[e.Pod] = affinity.Pod{Ref: e.Pod, Created: time.Date(2025, 12, 31+max(0, i-1)*2, 0, 0, 0, 0, time.UTC)}
	}
	return w
}

// The reference's vectors say who has the key with three pods, and who
// without the third.
func TestReadOfAnEarlierTime(t *testing.T) {
	w := world(t)
	c := capture.Cookie{Name: "INGRESSCOOKIE", Value: "1767225823.823.28.617683|" + webKey}
	r := Read(c, w)
	if !r.Decoded || r.Pod != "web-c" || r.Exact || !strings.Contains(strings.Join(r.Notes, " "), "the client was on another before") {
		t.Errorf("now: %+v, want web-c, which is younger than the cookie", r)
	}
	w.At = time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)
	if r = Read(c, w); !r.Decoded || r.Pod != "web-c" || !strings.Contains(strings.Join(r.Notes, " "), "web-b (10.244.1.7:8080) had it, unless") {
		t.Errorf("then: %+v, want a note that web-b had it", r)
	}
	// A digest names an address, whosever it was.
	c.Value = affinity.Secret("14b39e16b47200d60fa233790cd75e71|" + webKey)
	if r = Read(c, w); !r.Decoded || r.Pod != "web-c" || !r.Exact || !strings.Contains(strings.Join(r.Notes, " "), "the address was another's then") {
		t.Errorf("an address of then: %+v", r)
	}
}

func TestReadStates(t *testing.T) {
	w := world(t)
	current := w.Scopes[0].Set.Current
	current[0].Ready, current[1].Terminating = false, true
	for value, want := range map[affinity.Secret]string{"8284434f14da8452": "not ready", "d4aa9682826109e9": "terminating", "85427b4e0b26f588": "ready"} {
		if r := Read(capture.Cookie{Value: value}, w); r.State != want || (r.Gone != nil) != (want != "") || r.Gone != nil && *r.Gone {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	w.Where = "" // what the user gave is in no known state
	if r := Read(capture.Cookie{Value: "8284434f14da8452"}, w); !r.Decoded || r.State != "" {
		t.Errorf("%+v, want no state", r)
	}
}

func TestParse(t *testing.T) {
	endpoints, err := ParseEndpoints([]string{"10.0.0.1:80", "http://10.0.0.1", "https://10.0.0.2/x", "[fd00::1]:8080", "http://[fd00::1]:8080"})
	var got []string
	for _, e := range endpoints.All {
		got = append(got, e.Addr)
	}
	if want := "10.0.0.1:80 10.0.0.2:443 [fd00::1]:8080"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, text := range []string{"", "10.0.0.1", "web:80", "http://", "10.0.0.1:99999"} {
		if _, err := ParseEndpoints([]string{text}); err == nil {
			t.Errorf("endpoint %q is accepted", text)
		}
	}
	if _, err := ParseEndpoints(make([]string, maxEndpoints+1)); err == nil {
		t.Error("too many endpoints are accepted")
	}
	for _, text := range []string{"", "web", "default/web", "default/:80", "/web:80", "a/b/c:80"} {
		if _, err := ParseBackend(text); err == nil {
			t.Errorf("backend %q is accepted", text)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("INGRESSCOOKIE", "1767225823.823.28.617683|"+webKey)
	f.Add("INGRESSCOOKIE", "14b39e16b47200d60fa233790cd75e71%7C"+webKey)
	f.Add("\x1b]0;x", "8284434f14da8452|awQEk|awQEk")
	f.Add("s", `"Cg8xMC4yNDQuMC41OjgwODAQgPLWygY="`)
	f.Add("AWSALB", "x")
	f.Fuzz(func(t *testing.T, name, value string) {
		r := Read(capture.Cookie{Name: name, Value: affinity.Secret(value)}, World{Now: time.Unix(0, 0)})
		texts := append([]string{r.Name, r.Value, r.Controller, r.Backend, r.Endpoint, r.Pod, r.Detail, r.Reason, r.Instead}, r.Notes...)
		for _, c := range r.Candidates {
			texts = append(texts, c.Backend, c.Endpoint, c.Pod, c.Detail)
		}
		for _, s := range texts {
			if affinity.Clean(s, 1<<12) != s {
				t.Fatalf("Read(%q, %q): not fit to be shown: %q", name, value, s)
			}
		}
		if !r.Decoded && (r.Reason == "" || r.Instead == "") {
			t.Fatalf("Read(%q, %q) does not say why: %+v", name, value, r)
		}
	})
}

// TestInstead wants hints that fit the value, and flags that decode has.
func TestInstead(t *testing.T) {
	w := world(t)
	for value, want := range map[affinity.Secret]string{
		"1767225823.823.28.617683|6cde57…":                               "the value is cut short",
		"1767225823.823.28.617683|6cde57...":                             "the value is cut short",
		"1767225823.823.28.617683%7C6cde57%E2%80%A6":                     "the value is cut short",
		affinity.Secret("1767225823.823.28.617683|" + webKey[:31] + "0"): "it has the shape of ingress-nginx balanced",
		"hello": "no controller is known",
	} {
		r := Read(capture.Cookie{Name: "INGRESSCOOKIE", Value: value}, w)
		if r.Decoded || !strings.HasPrefix(r.Reason, want) || strings.Contains(r.Instead, "HAProxy") || strings.Contains(r.Instead, "(--pod-header)") {
			t.Errorf("%s: decoded %v, %q, %q; want %q", value.Reveal(), r.Decoded, r.Reason, r.Instead, want)
		}
	}
	if r := Read(capture.Cookie{Value: "fcde627de0fe23ff"}, w); !strings.Contains(r.Instead, "--key") {
		t.Errorf("a value that may be HAProxy's: %q, %q", r.Reason, r.Instead)
	}
}

// TestInsteadOfAnotherBackend wants no flag called missing that was given.
func TestInsteadOfAnotherBackend(t *testing.T) {
	w := world(t)
	w.Where = ""
	w.Scopes[0].Backend.Service = affinity.ServiceRef{Namespace: "shop", Name: "other"}
	w.Scopes[0].Names = names(w.Scopes[0].Backend)
	r := Read(capture.Cookie{Name: "INGRESSCOOKIE", Value: affinity.Secret("1767225823.823.28.617683|" + webKey[:31] + "0")}, w)
	if r.Decoded || strings.Contains(r.Instead, "missing") || !strings.Contains(r.Instead, "not the cookie of shop/other") {
		t.Errorf("%q, %q", r.Reason, r.Instead)
	}
}

// TestServersAsGiven: Traefik hashes a server's URL to the letter. The digests
// are of sha256sum; the one without a port was recorded from Traefik 3.7.13.
func TestServersAsGiven(t *testing.T) {
	g, err := ParseEndpoints([]string{"10.42.0.5:80", "http://10.42.0.5/", "web-1=https://10.42.0.5:8443/x", "http://127.66.0.1", "http://10.42.0.6"})
	if err != nil {
		t.Fatal(err)
	}
	w := World{Scopes: []ingress.Scope{Given(g, affinity.Backend{})}}
	for value, want := range map[affinity.Secret]string{
		"7aebf5b75e7050fe":     "10.42.0.5:80 http://10.42.0.5/ (sha256)",
		"bef67460d38c7acf":     "10.42.0.5:80 http://10.42.0.5:80 (sha256)",
		"44198b9ddb8476bb":     "10.42.0.5:8443 https://10.42.0.5:8443/x (sha256)",
		"afcd7783d2619920":     "127.66.0.1:80 http://127.66.0.1 (sha256)",
		"08e1f9a2357f532a":     "10.42.0.6:80 http://10.42.0.6:80 (sha256)",
		"http://127.66.0.1":    "127.66.0.1:80 http://127.66.0.1 (name as such, an older form)",
		"http://127.66.0.1:80": "127.66.0.1:80 http://127.66.0.1:80 (name as such, an older form)",
	} {
		if r := Read(capture.Cookie{Value: value}, w); !r.Decoded || r.Endpoint+" "+r.Detail != want {
			t.Errorf("%s: %+v, want %s", value.Reveal(), r, want)
		}
	}
}
