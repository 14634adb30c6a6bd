package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// TestCookieAffinity sends sessions through each ingress controller and holds what the answers say against the
// controller's access log and the backends' own logs, request by request.
func TestCookieAffinity(t *testing.T) {
	for _, ingress := range []string{"traefik-nginx", "traefik", "haproxy"} {
		t.Run(ingress, func(t *testing.T) {
			l := sharedLab(t)
			if ingress != "traefik-nginx" {
				o := options(t, ingress)
				o.Ingress = ingress
				l = startLab(t, o)
			}
			answered := map[string]string{} // request ID to the pod that the answer named
			for session := range 4 {
				var cookie *http.Cookie
				var first string
				for n := range 4 {
					id := fmt.Sprintf("cookie-%d-%d", session, n)
					var sent []*http.Cookie
					if cookie != nil {
						sent = append(sent, &http.Cookie{Name: cookie.Name, Value: cookie.Value})
					}
					header := http.Header{"X-Request-Id": {id}, "X-Stickytop-Session": {fmt.Sprint("s", session)}}
					status, body, set, err := get(l, session, "msgapp.local", "/hello", header, sent...)
					if err != nil || status != http.StatusOK {
						t.Fatalf("request %s: status %d, %v", id, status, err)
					}
					pod := namedPod(t, body)
					answered[id] = pod
					if n == 0 {
						first = pod
						if len(set) != 1 || set[0].Name != "msgapp-sticky" {
							t.Fatalf("first answer of session %d set cookies %v, want msgapp-sticky", session, set)
						}
						cookie = set[0]
					} else if pod != first {
						t.Errorf("session %d moved from %s to %s", session, first, pod)
					}
				}
			}
			compareLogs(t, l, answered)
		})
	}
}

func namedPod(t *testing.T, body string) string {
	t.Helper()
	var answer struct{ Pod string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Pod == "" {
		t.Fatalf("answer %q names no pod (%v)", body, err)
	}
	return answer.Pod
}

// compareLogs wants the access log and the backends' logs to tell of every answered request, once each, on the pod named.
func compareLogs(t *testing.T, l *lab.Lab, answered map[string]string) {
	t.Helper()
	eventually(t, 5*time.Second, "all requests in the access log", func() bool {
		seen := 0
		log, err := l.AccessLog()
		check(t, err)
		for _, a := range log {
			if answered[a.RequestID] != "" {
				seen++
			}
		}
		return seen == len(answered)
	})
	log, err := l.AccessLog()
	check(t, err)
	for _, a := range log {
		pod, mine := answered[a.RequestID]
		if !mine {
			continue
		}
		if a.Pod != pod || a.Status != 200 || a.Host != "msgapp.local" || a.Path != "/hello" || !strings.HasPrefix(a.Session, "s") {
			t.Errorf("access log says %+v, the answer said %s", a, pod)
		}
		if wantCookie := !strings.HasSuffix(a.RequestID, "-0"); a.Cookie != wantCookie {
			t.Errorf("access log of %s: cookie %v, want %v", a.RequestID, a.Cookie, wantCookie)
		}
	}
	var backend map[string]string
	eventually(t, 5*time.Second, "all requests in the backends' logs", func() bool {
		backend = backendLog(t, l, answered)
		return len(backend) == len(answered)
	})
	for id, pod := range answered {
		if backend[id] != pod {
			t.Errorf("backend log of %s: %q, the answer said %s", id, backend[id], pod)
		}
	}
}

// backendLog returns, of the answered requests, the pods that logged them, one after the other.
func backendLog(t *testing.T, l *lab.Lab, answered map[string]string) map[string]string {
	t.Helper()
	lines, err := l.Logs("msgapp-backend")
	check(t, err)
	out := map[string]string{}
	for _, line := range lines {
		var entry struct{ RequestID, Pod string }
		if json.Unmarshal([]byte(line.Text), &entry) == nil && answered[entry.RequestID] != "" {
			out[entry.RequestID] += entry.Pod
		}
	}
	return out
}

// TestClientIPAffinity connects to a NodePort from many addresses, through each node, and looks the pins up in that
// node's kernel.
func TestClientIPAffinity(t *testing.T) {
	for _, mode := range []string{"nftables", "iptables"} {
		t.Run(mode, func(t *testing.T) {
			l := sharedLab(t)
			if mode != "nftables" {
				o := options(t, mode)
				o.Proxy = mode
				l = startLab(t, o)
			}
			for node := 1; node <= 2; node++ {
				for n := range 6 {
					first := askNodePort(t, l, node, n)
					if again := askNodePort(t, l, node, n); again != first {
						t.Errorf("node%d, client %s: %s, then %s", node, l.ClientIP(n), first, again)
					}
					if pinned := kernelPin(t, l, mode, node, l.ClientIP(n)); pinned != first {
						t.Errorf("node%d, client %s: answered by %s, the kernel says %q", node, l.ClientIP(n), first, pinned)
					}
				}
			}
		})
	}
}

// askNodePort returns the address of the pod that answered client n through a node's port 30080.
func askNodePort(t *testing.T, l *lab.Lab, node, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience*5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.NodeIP(node)+":30080/", nil)
	check(t, err)
	response, err := l.HTTPClient(n).Do(request)
	check(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(t, err)
	name := namedPod(t, string(body))
	pods, err := l.Pods()
	check(t, err)
	for _, p := range pods {
		if p.Name == name {
			return p.IP
		}
	}
	t.Fatalf("the lab does not know pod %s", name)
	return ""
}

// kernelPin finds the pod address that a node's kernel has pinned a client to, for the echo Service.
func kernelPin(t *testing.T, l *lab.Lab, mode string, node int, client string) string {
	t.Helper()
	ctx := deadline(t, 10*time.Second)
	ns := fmt.Sprint("node", node)
	if mode == "nftables" {
		out, err := l.Exec(ctx, ns, "nft", "-j", "list", "sets")
		check(t, err)
		return nftPin(t, out, client)
	}
	rules, err := l.Exec(ctx, ns, "iptables-save", "-t", "nat")
	check(t, err)
	for line := range strings.Lines(string(rules)) {
		if !strings.Contains(line, "--rsource") || !strings.Contains(line, `"msgapp/echo:http"`) && !strings.Contains(line, "msgapp/echo:http") {
			continue
		}
		words := strings.Fields(line)
		for i, w := range words {
			if w != "--name" {
				continue
			}
			table, err := l.Exec(ctx, ns, "cat", "/proc/net/xt_recent/"+words[i+1])
			check(t, err)
			if strings.Contains(string(table), "src="+client+" ") {
				return destination(string(rules), words[i+1])
			}
		}
	}
	return ""
}

// destination returns the address that an endpoint's chain sends to.
func destination(rules, chain string) string {
	for line := range strings.Lines(rules) {
		if strings.HasPrefix(line, "-A "+chain+" ") && strings.Contains(line, "--to-destination") {
			_, to, _ := strings.Cut(line, "--to-destination ")
			ip, _, _ := strings.Cut(strings.TrimSpace(to), ":")
			return ip
		}
	}
	return ""
}

// nftPin finds a client in kube-proxy's sets, whose names end in __ADDRESS/PORT.
func nftPin(t *testing.T, out []byte, client string) string {
	t.Helper()
	var doc struct {
		Nftables []struct {
			Set *struct {
				Name string
				Elem []json.RawMessage // of kube-proxy's affinity sets: {"elem":{"val":...}}
			}
		}
	}
	check(t, json.Unmarshal(out, &doc))
	for _, item := range doc.Nftables {
		if item.Set == nil || !strings.Contains(item.Set.Name, "-msgapp/echo/tcp/") {
			continue
		}
		for _, raw := range item.Set.Elem {
			var e struct{ Elem struct{ Val string } }
			check(t, json.Unmarshal(raw, &e))
			if e.Elem.Val == client {
				_, address, _ := strings.Cut(item.Set.Name, "__")
				ip, _, _ := strings.Cut(address, "/")
				return ip
			}
		}
	}
	return ""
}

// TestSocketIO does Engine.IO's polling handshake with the real socket.io 4: a sid of one pod is unknown to another.
func TestSocketIO(t *testing.T) {
	l := sharedLab(t)
	_, body, cookies, err := get(l, 0, "msgapp.local", "/socket.io/?EIO=4&transport=polling", nil)
	check(t, err)
	var open struct {
		SID      string
		Upgrades []string
	}
	if check(t, json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &open)); open.SID == "" || len(open.Upgrades) != 1 {
		t.Fatalf("handshake %q", body)
	}
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	poll := "/socket.io/?EIO=4&transport=polling&sid=" + open.SID
	pods := podsOf(t, l, "backend")
	unknown := 0
	for range 3 * len(pods) { // without a cookie every pod is asked in turn
		status, body, _, err := get(l, 0, "msgapp.local", poll+"&wrong=1", nil)
		if err == nil && status == http.StatusBadRequest && strings.Contains(body, "Session ID unknown") {
			unknown++
		}
	}
	if unknown == 0 {
		t.Error("no pod refused a foreign sid")
	}
}
