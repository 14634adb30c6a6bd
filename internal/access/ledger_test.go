package access

import (
	"fmt"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const nginxLine = `10.0.0.9 - - [25/Nov/2026:13:58:18 +0000] "GET / HTTP/1.1" %d 157 "-" "x" 159 0.000 [a] [] %s 0 0.000 %[1]d %[3]s`

func id(n int) string { return fmt.Sprintf("%032x", n) }

var (
	controller = Origin{Pod: affinity.PodRef{Namespace: "ingress", Name: "nginx"}, Controller: true}
	webA       = affinity.PodRef{Namespace: "e", Name: "web-a"}
	webB       = affinity.PodRef{Namespace: "e", Name: "web-b"}
)

func access(status int, addr string, n int) []byte {
	return fmt.Appendf(nil, nginxLine, status, addr, id(n))
}

func TestLedger(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	endpoint := func(pod affinity.PodRef) []affinity.Endpoint {
		return []affinity.Endpoint{{Addr: "10.0.0.1:80", Pod: pod}}
	}
	var l Ledger
	l.Endpoints(endpoint(webA), at(0))
	ask := func(n, s int) []affinity.Attributed {
		return l.Asked(affinity.Observed{Session: "s01", RequestID: id(n)}, at(s))
	}
	one := func(what string, got []affinity.Attributed, pod affinity.PodRef) {
		t.Helper()
		if len(got) != 1 || got[0].Pod != pod || got[0].Session != "s01" || got[0].Source != affinity.SourceLog || got[0].Detail == "" {
			t.Errorf("%s: %+v, want %s", what, got, pod)
		}
	}
	none := func(what string, got []affinity.Attributed) {
		t.Helper()
		if len(got) != 0 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	none("asked first", ask(1, 1))
	one("then logged", l.Line(access(200, "10.0.0.1:80", 1), controller, at(2)), webA)
	none("logged twice", l.Line(access(200, "10.0.0.1:80", 1), controller, at(2)))
	one("another log", l.Line([]byte("x "+id(1)), Origin{Pod: webA}, at(2)), webA)
	none("logged first", l.Line(access(200, "10.0.0.1:80", 2), controller, at(3)))
	one("then asked", ask(2, 4), webA)
	failed := l.Line(access(502, "10.0.0.1:80", 1), Origin{Pod: webB, Controller: true}, at(4))
	one("a gateway's own error", failed, webA)
	if len(failed) != 1 || !failed[0].Unanswered {
		t.Errorf("a gateway's own error: %+v", failed)
	}
	none("nobody's", l.Line(access(200, "10.0.0.1:80", 99), controller, at(5)))

	// The address goes to another pod; what was asked before is the first one's.
	none("asked before", ask(3, 10))
	l.Endpoints(endpoint(webB), at(20))
	l.Endpoints(endpoint(webB), at(21))
	none("asked after", ask(4, 30))
	one("the pod of then", l.Line(access(101, "10.0.0.1:80", 3), controller, at(40)), webA)
	one("the pod of now", l.Line(access(200, "10.0.0.1:80", 4), controller, at(40)), webB)

	// A request that took long was sent before the address changed hands. Its
	// client went without an answer: Traefik logs status 0.
	none("asked, and given up", l.Asked(affinity.Observed{Session: "s01", RequestID: id(7), Took: 15 * time.Second}, at(31)))
	gone := []byte(`{"ClientAddr":"10.0.0.9:1","DownstreamStatus":0,"OriginStatus":0,"ServiceAddr":"10.0.0.1:80","request_X-Request-Id":"` + id(7) + `"}`)
	one("the pod of then, unanswered", l.Line(gone, controller, at(41)), webA)

	none("asked of an unknown address", ask(5, 50))
	if got := l.Line(access(200, "10.0.0.7:80", 5), controller, at(50)); len(got) != 1 || !got[0].Pod.IsZero() || got[0].Addr != "10.0.0.7:80" {
		t.Errorf("an address that is not known: %+v", got)
	}
	none("asked of a named server", ask(6, 51))
	named := []byte(`10.0.0.9:1 [25/Nov/2026:13:58:19.983] web b/web-b 0/0/2/14/21 200 121 - - ---- 1/1/0/0/1 0/0 {` + id(6) + `} "GET / HTTP/1.1"`)
	if got := l.Line(named, controller, at(51)); len(got) != 1 || string(got[0].Answer.Body) != "web-b" {
		t.Errorf("a server's name: %+v", got)
	}
	if _, matched, unnamed := l.Summary(); matched != 9 || unnamed != "" {
		t.Errorf("%d matched, unnamed %q", matched, unnamed)
	}
	clf := []byte(`127.0.0.1 - - [25/Nov/2026:13:58:21 +0000] "GET / HTTP/1.1" 200 7 "-" "-" 1 "all@file" "http://127.0.0.1:7001" 6ms`)
	l.Line(clf, controller, at(60)) // of somebody who sent none: others of that log carry one
	if _, _, unnamed := l.Summary(); unnamed != "" {
		t.Errorf("unnamed %q", unnamed)
	}
	l.Line(clf, Origin{Pod: affinity.PodRef{Namespace: "traefik", Name: "other"}, Controller: true}, at(60))
	if _, _, unnamed := l.Summary(); unnamed != "traefik-clf" {
		t.Errorf("unnamed %q", unnamed)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	var l Ledger
	now := time.Unix(1000, 0)
	for i := range 3 * maxAsked {
		l.Asked(affinity.Observed{Session: "s01", RequestID: id(i)}, now)
		l.Line(access(200, "10.0.0.1:80", 1e6+i), controller, now)
		l.Endpoints([]affinity.Endpoint{{Addr: fmt.Sprint(i), Pod: webA}, {Addr: "x", Pod: affinity.PodRef{Name: fmt.Sprint(i)}}}, now)
	}
	if len(l.asked) > maxAsked || len(l.order) > maxAsked || len(l.early) > maxEarly || len(l.queue) > maxEarly || len(l.stays) > maxAddrs || len(l.stays["x"]) > maxStays {
		t.Errorf("%d asked, %d early, %d addresses", len(l.asked), len(l.early), len(l.stays))
	}
	l.Line(access(200, "10.0.0.1:80", 5e6), controller, now.Add(2*earlyTime))
	if len(l.early) != 1 {
		t.Errorf("%d lines are kept for longer than a minute", len(l.early))
	}
}
