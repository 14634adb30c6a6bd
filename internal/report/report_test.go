package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

var tNow = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

const secret = "69e345ded6a54093e604c11164d0392a|9d6457d0b50a876e8a8f47d4d1c6832a"

// world folds a small history: one session that stays, one that was moved and
// now fails, one client without a jar.
func world() (*affinity.State, time.Time) {
	var st affinity.State
	at := func(s int) time.Time { return tNow.Add(time.Duration(s) * time.Second) }
	svc := affinity.ServiceRef{Namespace: "msgapp", Name: "msgapp-backend"}
	pods := []affinity.PodRef{{Namespace: "msgapp", Name: "msgapp-7c9f-2xkqp"}, {Namespace: "msgapp", Name: "msgapp-7c9f-8mmzd"}}
	cookie := affinity.Policy{Mechanism: affinity.MechanismCookie, Controller: "ingress-nginx", Mode: "persistent", Assumed: "defaults assumed (service-upstream): get configmaps is forbidden", Timeout: 3 * time.Hour,
		Renewal: affinity.RenewalAbsolute, Cookie: affinity.CookieSpec{Name: "msgapp-sticky", Path: "/", MaxAge: 3 * time.Hour, HTTPOnly: true},
		Why: "annotation nginx.ingress.kubernetes.io/affinity=cookie"}
	client := affinity.Policy{Mechanism: affinity.MechanismClientIP, Controller: "kube-proxy", Timeout: 3 * time.Hour, Renewal: affinity.RenewalSliding}
	id := affinity.RouteKey(affinity.RouteIngress, "msgapp", "msgapp", "chat.example.com", "/")
	st.Apply(affinity.Routes{Source: "kube", Routes: []affinity.Route{{ID: id, Kind: affinity.RouteIngress, Namespace: "msgapp", Name: "msgapp",
		Host: "chat.example.com", Path: "/", Class: "nginx", Backend: affinity.Backend{Service: svc, Port: "5000"}, Addresses: []string{"127.0.0.1"}, ProbePath: "/api/health",
		Layers: []affinity.Layer{{Where: affinity.LayerIngress, Object: "ingress/msgapp", Candidates: []affinity.Policy{cookie}},
			{Where: affinity.LayerService, Object: "service/msgapp-backend", Candidates: []affinity.Policy{client}, Bypassed: "the controller sends to pods directly"}}}}}, at(0))
	var endpoints []affinity.Endpoint
	for i, p := range pods {
		ip := []string{"10.244.0.7", "10.244.0.8"}[i]
		st.Apply(affinity.PodChanged{Pod: affinity.Pod{Ref: p, IP: ip, Phase: "Running", Node: "node1", Ready: true}}, at(0))
		endpoints = append(endpoints, affinity.Endpoint{Addr: ip + ":5000", IP: ip, Pod: p, Ready: true, Serving: true})
	}
	st.Apply(affinity.SourceChanged{Status: affinity.SourceStatus{Name: "pods", State: affinity.SourceLive}}, at(0))
	st.Apply(affinity.EndpointsChanged{Service: svc, Endpoints: endpoints}, at(0))
	answer := func(p int) affinity.Answer {
		return affinity.Answer{Header: []affinity.Field{{Name: "X-Pod-Name", Value: pods[p].Name}}}
	}
	offer := func(t int, why string) []affinity.Offer {
		return []affinity.Offer{{Name: "msgapp-sticky", Value: secret, Expires: at(t + 10800), NotReturned: why}}
	}
	open := func(id2 affinity.SessionID, c affinity.ClientModel) {
		st.Apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: id2, Route: id, Transport: "http", Client: c}}, at(0))
	}
	open("s01", affinity.ClientBrowser)
	open("s02", affinity.ClientBrowser)
	open("s03", affinity.ClientNoJar)
	st.Apply(affinity.Observed{Session: "s01", RequestID: "r1", Status: 200, Took: 12 * time.Millisecond, Answer: answer(0), Offers: offer(1, "")}, at(1))
	st.Apply(affinity.Observed{Session: "s02", RequestID: "r2", Status: 200, Took: 13 * time.Millisecond, Answer: answer(1), Offers: offer(1, "")}, at(1))
	st.Apply(affinity.Observed{Session: "s03", RequestID: "r3", Status: 200, Took: 14 * time.Millisecond, Answer: answer(0), Offers: offer(1, "this client keeps no cookies")}, at(1))
	sent := []affinity.Sent{{Name: "msgapp-sticky", Value: secret}}
	st.Apply(affinity.Observed{Session: "s01", RequestID: "r4", Status: 200, Took: 11 * time.Millisecond, Answer: answer(0), Sent: sent}, at(2))
	st.Apply(affinity.Observed{Session: "s02", RequestID: "r5", Status: 200, Took: 11 * time.Millisecond, Answer: answer(0), Sent: sent}, at(2))
	st.Apply(affinity.Observed{Session: "s02", RequestID: "r6", Status: 502, Failure: &affinity.Failure{Op: "status", Kind: affinity.FailureStatus, Text: "HTTP 502"}, Sent: sent}, at(3))
	return &st, at(4)
}

func TestFormats(t *testing.T) {
	st, now := world()
	snap := st.Snapshot(now)
	for target, want := range map[affinity.Target]int{{Kind: "ingress", Name: "chat"}: 0, {Kind: "ingress", Name: "msgapp"}: 1, {}: 1} {
		if got := Routes(snap, Options{Target: target}); len(got.Items) != want {
			t.Errorf("%+v: %d routes, want %d", target, len(got.Items), want)
		}
	}
	lists := map[string]Printable{"sessions": Sessions(snap, Options{Exchanges: true}), "pods": Pods(snap, Options{}), "routes": Routes(snap, Options{})}
	formats := map[string]string{"table": "", "wide": "wide", "json": "json", "yaml": "yaml", "name": "name"}
	for kind, list := range lists {
		for name, format := range formats {
			p, err := NewPrinter(format, false)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := p(&out, list); err != nil {
				t.Fatal(err)
			}
			golden(t, kind+"."+name, out.Bytes())
			if strings.Contains(out.String(), "ded6a5") {
				t.Errorf("%s -o %s shows a cookie's value", kind, name)
			}
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

func TestExpressions(t *testing.T) {
	st, now := world()
	list := Sessions(st.Snapshot(now), Options{})
	tests := []struct{ format, want string }{
		{"jsonpath={.items[*].name}", "s01 s02 s03"},
		{"jsonpath=.items[0].pod.name", "msgapp-7c9f-2xkqp"},
		{`jsonpath={range .items[*]}{.name}={.state}{"\n"}{end}`, "s01=STUCK\ns02=FAILING\ns03=NOT-RETURNED\n"},
		{"go-template={{range .items}}{{.name}} {{end}}", "s01 s02 s03 "},
		{"custom-columns=NAME:.name,POD:.pod.name,LEFT:.pin.remainingSeconds",
			"NAME   POD                 LEFT\ns01    msgapp-7c9f-2xkqp   10797\ns02    msgapp-7c9f-2xkqp   10797\ns03    msgapp-7c9f-2xkqp   <none>\n"},
	}
	for _, tt := range tests {
		p, err := NewPrinter(tt.format, false)
		if err != nil {
			t.Errorf("-o %s: %v", tt.format, err)
			continue
		}
		var out bytes.Buffer
		if err := p(&out, list); err != nil || out.String() != tt.want {
			t.Errorf("-o %s: %q, %v, want %q", tt.format, out.String(), err, tt.want)
		}
	}
	for _, bad := range []string{"xml", "jsonpath={.items[", "custom-columns=NAME", "custom-columns=", "go-template={{"} {
		if _, err := NewPrinter(bad, false); err == nil {
			t.Errorf("-o %s is accepted", bad)
		}
	}
}

func TestRevealIsAsked(t *testing.T) {
	st, now := world()
	list := Sessions(st.Snapshot(now), Options{Reveal: true})
	if got := list.Items[0].Pin.Value; got != secret {
		t.Errorf("value is %q, want it revealed", got)
	}
}

func TestWatchWritesOneObjectALine(t *testing.T) {
	st, now := world()
	w := Watch{Format: "json"}
	var out bytes.Buffer
	for range 2 { // nothing changed: nothing is written the second time
		if err := w.Write(&out, st.Snapshot(now)); err != nil {
			t.Fatal(err)
		}
	}
	st.Apply(affinity.Observed{Session: "s01", Status: 200}, now)
	if err := w.Write(&out, st.Snapshot(now)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		var x Session
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if x.Kind != "Session" || x.APIVersion != APIVersion {
			t.Errorf("line is a %s of %s", x.Kind, x.APIVersion)
		}
		got = append(got, x.Name)
	}
	if d := cmp.Diff([]string{"s01", "s02", "s03", "s01"}, got); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
}

// TestWatchLinesUp: every row's columns are under the header's, whatever it says.
func TestWatchLinesUp(t *testing.T) {
	st, now := world()
	route := st.Snapshot(now).Routes[0].ID
	for i, transport := range []string{"http", "ws", "tcp", "socketio"} {
		st.Apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: affinity.SessionID(fmt.Sprintf("s1%d", i)), Transport: transport, Route: route}}, now)
	}
	var out bytes.Buffer
	w := Watch{}
	if err := w.Write(&out, st.Snapshot(now)); err != nil {
		t.Fatal(err)
	}
	head, rows, _ := strings.Cut(out.String(), "\n")
	state := strings.Index(head, "STATE")
	n := 0
	for row := range strings.Lines(rows) {
		n++
		if len(row) < state || row[state-1] != ' ' || row[state] == ' ' || strings.Fields(row[state:])[0] != strings.Fields(row)[2] {
			t.Errorf("STATE is not under its title:\n%s\n%s", head, row)
		}
	}
	if n != 7 {
		t.Errorf("%d rows:\n%s", n, out.String())
	}
	out.Reset()
	st.Apply(affinity.Observed{Session: "s13", RequestID: "r1", Leg: affinity.LegHandshake, Status: 200}, now)
	st.Apply(affinity.SocketChanged{Session: "s13", Socket: affinity.Socket{Carrier: affinity.CarrierPolling, Opened: now, Joined: true}}, now)
	if err := w.Write(&bytes.Buffer{}, st.Snapshot(now)); err != nil {
		t.Fatal(err)
	}
	st.Apply(affinity.Observed{Session: "s13", RequestID: "r2", Leg: affinity.LegUpgrade, Status: 400,
		Failure: &affinity.Failure{Op: "status", Kind: affinity.FailureSession, Text: "400 Session ID unknown (code 1)"}}, now)
	if err := w.Write(&out, st.Snapshot(now)); err != nil || !strings.Contains(out.String(), "goes on polling: 400") {
		t.Errorf("%v, a refused upgrade is:\n%s", err, out.String())
	}
}

// TestTimeOfNobody: a cookie that came with failures alone has held nobody, so
// no time of a session is left.
func TestTimeOfNobody(t *testing.T) {
	left := 3600.0
	x := Session{Name: "s01", Requests: 2, Failures: 2, Pin: &Pin{Key: "r", Renewal: "absolute", RemainingSeconds: &left}}
	if row := x.row(false); row[8] != "" || row[9] != "" {
		t.Errorf("never answered: %q", row)
	}
	x.Failures = 1
	if row := x.row(false); row[8] != "1h00m" || row[9] != "absolute" {
		t.Errorf("answered once: %q", row)
	}
}

// TestUnread: what may not be read is unknown in tables, and absent in JSON.
func TestUnread(t *testing.T) {
	ready := false
	for _, tt := range []struct {
		pod  Pod
		want string
	}{
		{Pod{PodRef: PodRef{Phase: "Unknown"}}, "unknown unknown"},
		{Pod{PodRef: PodRef{Phase: ""}, Ready: &ready}, "false unknown"},
		{Pod{PodRef: PodRef{Phase: "Running"}, Ready: &ready}, "false 0"},
	} {
		row := tt.pod.row(false)
		if got := row[3] + " " + row[8]; got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.pod, got, tt.want)
		}
		text, err := json.Marshal(tt.pod)
		if err != nil || strings.Contains(string(text), `"ready"`) != (tt.pod.Ready != nil) {
			t.Errorf("%s, %v", text, err)
		}
	}
	if row := (&Route{Unread: true}).row(false); row[7] != "unknown" {
		t.Errorf("a route: %q", row)
	}
}

// TestFindingNames wants every name of a list once, the same whatever the order.
func TestFindingNames(t *testing.T) {
	finding := func(rule, namespace, title string) affinity.Finding {
		return affinity.Finding{Rule: rule, Title: title, Object: affinity.ObjectRef{Kind: "Ingress", Namespace: namespace, Name: "web"}}
	}
	all := []affinity.Finding{finding("A04", "shop", "x"), finding("C08", "shop", "minReplicas is 1"), finding("C08", "shop", "scales down fast"), finding("B10", "shop", "x"), finding("B10", "chat", "x")}
	names := namesOf(all)
	if names[0] != "A04-ingress-web" || names[3] != "B10-ingress-web-shop" || names[4] != "B10-ingress-web-chat" {
		t.Errorf("%q", names)
	}
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			t.Errorf("%q twice in %q", n, names)
		}
		seen[n] = true
	}
	all[1], all[2] = all[2], finding("C08", "shop", "minReplicas is 12")
	if again := namesOf(all); again[1] != names[2] || again[2] != names[1] {
		t.Errorf("%q, then %q", names, again)
	}
	list := FindingList{}
	for i, f := range all {
		f.Patch = []string{"metadata:\n  annotations: {}\n", "kubectl annotate ingress web a=b\n"}[i%2]
		list.Items = append(list.Items, newFinding(f, names[i]))
	}
	if list.Items[0].Command != "" || list.Items[0].Patch == "" || list.Items[1].Command == "" || list.Items[1].Patch != "" {
		t.Errorf("%+v", list.Items[:2])
	}
	table := list.table(false)
	if table.rows[0][3] != "shop/ingress/web" || table.rows[4][3] != "chat/ingress/web" {
		t.Errorf("%q", table.rows)
	}
	list.Items = list.Items[:4]
	if table := list.table(false); table.rows[0][3] != "ingress/web" {
		t.Errorf("%q", table.rows)
	}
	list.Metadata.all = true // as get findings -A asks
	if table := list.table(false); table.rows[0][3] != "shop/ingress/web" {
		t.Errorf("%q", table.rows)
	}
}
