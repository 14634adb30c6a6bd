package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// chat is a workload on one of the real servers (npm socket.io 4 and 2, ws), with an Ingress for NAME.local, in
// namespace e2e. Its pods log every request of a socket's path.
type chat struct {
	Name, Image string
	Replicas    int
	Affinity    bool
	Env         map[string]string
}

var chatManifest = template.Must(template.New("chat").Parse(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.Name}}, namespace: e2e}
spec:
  replicas: {{.Replicas}}
  selector: {matchLabels: {app: {{.Name}}}}
  template:
    metadata: {labels: {app: {{.Name}}}}
    spec:
      automountServiceAccountToken: false
      containers:
      - name: chat
        image: lab/{{.Image}}
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        {{- range $name, $value := .Env}}
        - {name: {{$name}}, value: "{{$value}}"}
        {{- end}}
        ports: [{name: http, containerPort: 5000}]
        readinessProbe: {httpGet: {path: /api/health, port: http}, periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 5}
`))

// deployChat starts a workload and returns when the ingress sends requests to each of its pods.
func deployChat(t *testing.T, l *lab.Lab, c chat) {
	t.Helper()
	launch(t, l, chatManifest, c, front{Name: c.Name, Affinity: c.Affinity})
	before := time.Now()
	eventually(t, 30*time.Second, "the ingress reaches every pod of "+c.Name, func() bool {
		ask(l, c.Name+".local")
		pods := map[string]bool{}
		log, err := l.Logs("e2e/" + c.Name + "-")
		check(t, err)
		for _, line := range log {
			if line.Time.After(before) && strings.Contains(line.Text, `"event":"http"`) {
				pods[line.Pod] = true
			}
		}
		return len(pods) == c.Replicas
	})
}

// served is what a server's log says of one request of a socket's path, or of the session it opened.
type served struct {
	at    time.Time
	Event string

	Pod, SID, Transport, Method, RequestID, Session string

	Worker, Status int
	Ended          bool // it was answered to the end
}

// sockets are the logs of all pods of one workload, gone ones included: legs by request ID, the sid that was given out
// by the handshake's.
func sockets(t *testing.T, l *lab.Lab, name string) (legs map[string]served, sids map[string]string) {
	t.Helper()
	log, err := l.Logs("e2e/" + name + "-")
	check(t, err)
	legs, sids = map[string]served{}, map[string]string{}
	for _, line := range log {
		var s served
		if json.Unmarshal([]byte(line.Text), &s) != nil || s.RequestID == "" {
			continue
		}
		s.at = line.Time
		switch {
		case s.Event == "open":
			sids[s.RequestID] = s.SID
		case s.Event == "leg" && s.Pod != line.Pod:
			t.Errorf("pod %s calls itself %s", line.Pod, s.Pod)
		case s.Event == "leg":
			if twice, had := legs[s.RequestID]; had {
				t.Errorf("request %s is in the logs of %s and of %s", s.RequestID, twice.Pod, s.Pod)
			}
			legs[s.RequestID] = s
		}
	}
	return legs, sids
}

// legCount is what a comparison of legs amounted to.
type legCount struct {
	legs, named, unknown, refused, failed, handshakes, upgrades int
	pods                                                        map[string]int
}

// legsAgree holds every leg of every session against the servers' own logs of (sid, transport, pod), both ways: who
// answered, as part of which session, and that no request is left out.
func legsAgree(t *testing.T, l *lab.Lab, name string, list sessionList) legCount {
	t.Helper()
	legs, sids := sockets(t, l, name)
	n := legCount{pods: map[string]int{}}
	claimed := map[string]bool{}
	last := map[string]time.Time{} // of each sid, the last leg that a session claims
	run := ""
	for _, s := range list.Items {
		sid := ""
		if s.Requests != len(s.Exchanges) {
			t.Errorf("%s: %d requests counted, %d listed", s.Name, s.Requests, len(s.Exchanges))
		}
		for i, x := range s.Exchanges {
			claimed[x.RequestID] = true
			leg, known := legs[x.RequestID]
			if !known {
				// The ingress may have answered itself, or nobody.
				if x.Status == 200 || x.Status == 101 || x.Status == 400 {
					t.Errorf("%s request %d %s: status %d, and no pod has such a request", s.Name, i, x.RequestID, x.Status)
				}
				n.failed++
				continue
			}
			run = strings.TrimSuffix(leg.Session, "-"+s.Name)
			n.legs++
			n.pods[leg.Pod]++
			switch {
			case x.Pod == "":
				n.unknown++
			case x.Pod != leg.Pod:
				t.Errorf("%s request %d %s %s: pod %s by %s, the server's log says %s", s.Name, i, x.RequestID, leg.Transport, x.Pod, x.Source, leg.Pod)
			default:
				n.named++
			}
			if leg.Status != 0 && x.Status != 0 && leg.Ended && x.Status != leg.Status {
				t.Errorf("%s request %d: status %d, the server's log says %d", s.Name, i, x.Status, leg.Status)
			}
			// A session is what began with the last handshake.
			if leg.SID == "" {
				sid = sids[x.RequestID]
				n.handshakes++
				if x.Failure == "" && sid == "" && len(sids) > 0 {
					t.Errorf("%s request %d: a handshake that was answered, and no server opened a session by it", s.Name, i)
				}
			} else if leg.SID != sid {
				t.Errorf("%s request %d: sid %s is not that of its handshake, %s", s.Name, i, leg.SID, sid)
			}
			if leg.at.After(last[sid]) {
				last[sid] = leg.at
			}
			if leg.Transport == "websocket" && leg.SID != "" {
				n.upgrades++
			}
			if x.Status == 400 {
				n.refused++
			}
			if want := legName(leg); x.Leg != "" && x.Leg != want && !(want == "post" && x.Leg == "connect") {
				t.Errorf("%s request %d is called %s, the server's log says %s %s", s.Name, i, x.Leg, leg.Method, leg.Transport)
			}
		}
	}
	for id, leg := range legs {
		// Nobody claims what is still open when the program ends, the goodbyes, and what was under way when a session
		// broke: nothing of that sid follows it.
		open := leg.at.After(list.Metadata.At.Add(-500*time.Millisecond)) || leg.SID != "" && leg.at.After(last[leg.SID].Add(-time.Second))
		if !claimed[id] && leg.Ended && strings.HasPrefix(leg.Session, run+"-") && !open {
			t.Errorf("%s: the log of %s has request %s (%s %s) at %s, which the session does not claim", leg.Session, leg.Pod, id, leg.Method, leg.Transport,
				leg.at.Format(time.StampMilli))
		}
	}
	if n.legs == 0 {
		t.Error("the servers' logs have none of these requests")
	}
	t.Logf("%d sessions, %d legs in the servers' logs on %d pods: %d named alike, %d unknown to the session; %d handshakes, %d upgrades, %d refused with 400; %d answered by no pod",
		len(list.Items), n.legs, len(n.pods), n.named, n.unknown, n.handshakes, n.upgrades, n.refused, n.failed)
	return n
}

func legName(s served) string {
	switch {
	case s.SID == "":
		return "handshake"
	case s.Transport == "websocket":
		return "upgrade"
	case s.Method == "POST":
		return "post"
	}
	return "poll"
}

// socketRun is one run of the program on a workload.
type socketRun struct {
	name   string
	app    string
	args   []string
	count  int
	source string // how every leg's pod must be known; "" where some are not
	check  func(*testing.T, string, sessionList, legCount)
}

// recovery is what a session may need after the last old pod went: a request that the ingress still sent to it ends by its
// own limit (10 s), the longest wait of a reconnecting client follows (5 s and half of it), then the handshake.
const recovery = 20 * time.Second

// since lists what a session sent from a time on.
func since(s session, from time.Time) string {
	var text strings.Builder
	for _, x := range s.Exchanges {
		if x.At.After(from) {
			fmt.Fprintf(&text, "\n  %s %s: %d in %.0f ms by %s (%s) %s", x.At.Format(time.StampMilli), x.Leg, x.Status, x.TookMilliseconds, x.Pod, x.Source, x.Failure)
		}
	}
	return text.String()
}

// TestSocketsAgreeWithServers holds sessions on real servers through Traefik while pods are killed, added and rolled, and
// compares every leg of each with the servers' own logs. $SOCKETS_FULL=1 holds 100 sessions for five minutes each.
func TestSocketsAgreeWithServers(t *testing.T) {
	t.Parallel()
	l := labOf(t, "sockets")
	count, length := 6, time.Minute
	if os.Getenv("SOCKETS_FULL") != "" {
		count, length = 100, 5*time.Minute
	}
	few := min(count, 20) // of sessions that break and come again
	ping := map[string]string{"PING_MS": "5000"}
	named := map[string]string{"PING_MS": "5000", "REVEAL": "header"}
	began := time.Now()
	for _, c := range []chat{
		{"io4", "socketio", 2, true, ping}, {"io2", "socketio2", 2, true, named}, {"ws", "ws", 2, true, nil},
		{"io4-loose", "socketio", 2, false, named},
	} {
		deployChat(t, l, c)
	}
	// Pods that are killed, added and rolled within the run take no longer than these took to start: on a machine that
	// is busy with other things the run is longer.
	length = max(length, 3*time.Since(began).Round(time.Second))
	settled := map[string]chan time.Time{"io4": make(chan time.Time, 2), "io2": make(chan time.Time, 1), "ws": make(chan time.Time, 1)}
	held := func(t *testing.T, app string, list sessionList, n legCount) {
		t.Helper()
		moved, rolled := 0, <-settled[app]
		settled[app] <- rolled
		for _, s := range list.Items {
			if s.MoveCount > 0 {
				moved++
			}
			if s.State != "STUCK" && s.State != "RE-PINNED" && rolled.Before(list.Metadata.At.Add(-recovery)) {
				t.Errorf("%s is %s (%s), %s%s", s.Name, s.State, s.Detail, s.LastFailure, since(s, rolled.Add(-recovery)))
			}
		}
		t.Logf("%d sessions moved; all pods were new %s before the end", moved, list.Metadata.At.Sub(rolled).Round(time.Second))
		if moved == 0 || len(n.pods) < 3 {
			t.Errorf("%d sessions moved, %d pods: the run proves less than it should", moved, len(n.pods))
		}
	}
	broken := func(t *testing.T, _ string, _ sessionList, n legCount) {
		t.Helper()
		if n.refused == 0 {
			t.Error("no request was refused: the run proves less than it should")
		}
	}
	runs := []socketRun{
		{"socket.io 4", "io4", []string{"--transport", "socketio"}, count, "cookie", held},
		{"socket.io 4 by polling", "io4", []string{"--transport", "socketio", "--socketio-transports", "polling", "--socketio-ask", "whoami"}, count, "", held},
		{"socket.io 2", "io2", []string{"--transport", "socketio"}, count, "header", held},
		{"ws", "ws", []string{"--transport", "ws", "--path", "/"}, count, "body", held},
		{"no affinity", "io4-loose", []string{"--transport", "socketio"}, few, "", broken},
		{"no affinity, no polling", "io4-loose", []string{"--transport", "socketio", "--socketio-transports", "websocket"}, few, "header", nil},
		{"no jar", "io2", []string{"--transport", "socketio", "--client", "no-jar"}, few, "", broken},
	}
	type ended struct {
		result
		err error
	}
	results := make([]chan ended, len(runs))
	program := product(t)
	ctx := within(t, length+recovery+2*time.Minute)
	for i, run := range runs {
		results[i] = make(chan ended, 1)
		args := append([]string{"get", "sessions", "ing/" + run.app, "-n", "e2e", "-o", "json", "--requests", "--max-rps", "100",
			"--sessions", strconv.Itoa(run.count), "--for", (length + recovery + 5*time.Second).String()}, run.args...)
		go func() {
			r, err := try(ctx, l, program, args...)
			results[i] <- ended{r, err}
		}()
	}
	for app, done := range settled {
		go disturb(t, ctx, l, app, length, done)
	}
	for i, run := range runs {
		r := <-results[i]
		t.Run(run.name, func(t *testing.T) {
			if r.err != nil || r.code != 0 {
				t.Fatalf("exit code %d, %v: %s", r.code, r.err, r.result.err)
			}
			list := parseList(t, r.out)
			if len(list.Items) != run.count {
				t.Fatalf("%d sessions, want %d", len(list.Items), run.count)
			}
			n := legsAgree(t, l, run.app, list)
			sources := map[string]int{}
			for _, s := range list.Items {
				for _, x := range s.Exchanges {
					if x.Failure == "" && run.source != "" && x.Source != run.source {
						t.Errorf("%s: %s %d known by %q, want by %s", s.Name, x.RequestID, x.Status, x.Source, run.source)
					}
					sources[x.Source]++
				}
			}
			t.Logf("known by %v", sources)
			if run.check != nil {
				run.check(t, run.app, list, n)
			}
		})
	}
}

// disturb kills a pod, adds one, and rolls all of them, in a run of such a length.
func disturb(t *testing.T, ctx context.Context, l *lab.Lab, app string, length time.Duration, done chan<- time.Time) {
	defer func() { done <- time.Now() }()
	pause := func(share float64) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Duration(share * float64(length))):
			return true
		}
	}
	must := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			t.Errorf("%s of %s: %v", what, app, err)
		}
	}
	pods, err := l.Pods()
	must("pods", err)
	if !pause(0.15) {
		return
	}
	victim := slices.IndexFunc(pods, func(p lab.Pod) bool {
		return p.Namespace == "e2e" && strings.HasPrefix(p.Name, app+"-") && podOf(p.Name) == app
	})
	if victim >= 0 {
		must("kill", l.DeletePod(ctx, "e2e/"+pods[victim].Name))
	}
	if pause(0.15) {
		must("scale", l.Scale(ctx, "e2e/"+app, 3))
	}
	if pause(0.15) {
		must("rollout", l.Rollout(ctx, "e2e/"+app))
		must("end of the rollout", l.WaitFor(ctx, "e2e/"+app))
	}
}

// podOf is the Deployment that made a pod.
func podOf(pod string) string {
	words := strings.Split(pod, "-")
	return strings.Join(words[:max(0, len(words)-2)], "-")
}

// findingsOf are the rules that a run finds broken, each with its title.
func findingsOf(t *testing.T, l *lab.Lab, args ...string) map[string]string {
	t.Helper()
	r := stickytop(t, l, append([]string{"get", "findings", "-n", "e2e", "-o", "json", "--max-rps", "100"}, args...)...)
	if r.code != 0 && (r.code != 3 || !strings.Contains(r.err, "no session was answered in Engine.IO")) {
		t.Fatalf("get findings %v: exit code %d: %s", args, r.code, r.err)
	}
	var list struct {
		Items []struct{ Rule, Title string }
	}
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range list.Items {
		found[f.Rule] = f.Title
	}
	return found
}

// TestSocketVerdicts wants each way of breaking Socket.IO to be called what it is, and what is not broken not to be.
func TestSocketVerdicts(t *testing.T) {
	t.Parallel()
	l := labOf(t, "sockets")
	product(t) // built before the first run's time begins
	named := map[string]string{"REVEAL": "header"}
	workers := map[string]string{"REVEAL": "header", "WORKERS": "2"}
	for _, c := range []chat{
		{"v-sticky", "socketio", 2, true, named}, {"v-loose", "socketio", 2, false, named}, {"v-workers", "socketio", 2, true, workers},
		{"v-old", "socketio2", 1, true, named},
	} {
		deployChat(t, l, c)
	}
	// I05 and I06 are found of the objects alone.
	socketRules := []string{"I01", "I02", "I03", "I04", "I07", "I08", "B04", "B07"}
	for _, tt := range []struct {
		name string
		args []string
		want []string // of socketRules, all that must be found
		not  []string
		text string // in the title of the first
	}{
		{"sticky", []string{"ing/v-sticky"}, nil, socketRules, ""},
		{"sticky, version 2", []string{"ing/v-old"}, nil, socketRules, ""},
		{"affinity off", []string{"ing/v-loose"}, []string{"I01"}, []string{"I02", "I07", "I08", "B07"}, "the handshake was on"},
		{"two workers in each pod", []string{"ing/v-workers"}, []string{"I02"}, []string{"I01", "I07", "I08", "B07"}, "several workers in one pod"},
		{"no jar", []string{"ing/v-sticky", "--client", "no-jar"}, []string{"B07"}, []string{"I01", "I02", "I07", "I08"}, "sticky only for cookie-keeping clients"},
		{"not Socket.IO", []string{"ing/v-sticky", "--socketio-path", "/elsewhere/"}, []string{"I08"}, []string{"I01", "I02", "I07"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := findingsOf(t, l, append([]string{"--transport", "socketio", "--sessions", "8", "--for", "15s"}, tt.args...)...)
			for _, rule := range tt.want {
				if found[rule] == "" {
					t.Errorf("no %s among %v", rule, slices.Collect(maps.Keys(found)))
				}
			}
			for _, rule := range tt.not {
				if found[rule] != "" {
					t.Errorf("%s: %s", rule, found[rule])
				}
			}
			if len(tt.want) > 0 && !strings.Contains(found[tt.want[0]], tt.text) {
				t.Errorf("%s: %q, want %q in it", tt.want[0], found[tt.want[0]], tt.text)
			}
			for _, rule := range tt.want {
				t.Logf("%s: %s", rule, found[rule])
			}
		})
	}
}

// TestClientModels compares clients on one route through the lab's Traefik: who keeps cookies is held, tabs together, and
// who does not is sent about. The servers' own logs say whether that is so.
func TestClientModels(t *testing.T) {
	t.Parallel()
	l := labOf(t, "sockets")
	product(t)
	deployChat(t, l, chat{"models", "socketio", 3, true, map[string]string{"REVEAL": "header", "PING_MS": "5000"}})
	r := stickytop(t, l, "get", "sessions", "ing/models", "-n", "e2e", "-o", "json", "--requests", "--transport", "socketio", "--max-rps", "100",
		"--client", "browser,tabs=3,reload=4s,ws-only,no-jar", "--sessions", "14", "--for", "20s")
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	list := parseList(t, r.out)
	legsAgree(t, l, "models", list)
	legs, sids := sockets(t, l, "models")
	pods, ids := map[string]map[string]bool{}, map[string]map[string]bool{}
	note := func(m map[string]map[string]bool, key, value string) {
		if m[key] == nil {
			m[key] = map[string]bool{}
		}
		m[key][value] = true
	}
	tabs := 0
	for _, s := range list.Items {
		key := s.Client + " " + s.Name
		if s.Client == "tabs=3" { // in groups of three, as they were opened
			key = "tabs=3 browser " + strconv.Itoa(tabs/3)
			tabs++
		}
		for _, x := range s.Exchanges {
			if leg, ok := legs[x.RequestID]; ok {
				note(pods, key, leg.Pod)
				if s.Client == "ws-only" && leg.Transport != "websocket" {
					t.Errorf("%s polls", s.Name)
				}
			}
			if sid := sids[x.RequestID]; sid != "" {
				note(ids, key, sid)
			}
		}
	}
	wander := 0
	for key, on := range pods {
		keeps := !strings.HasPrefix(key, "no-jar")
		if keeps && len(on) != 1 {
			t.Errorf("%s was on %d pods", key, len(on))
		}
		if !keeps && len(on) > 1 {
			wander++
		}
		if strings.HasPrefix(key, "reload") && len(ids[key]) < 3 {
			t.Errorf("%s had %d sids in 20 s", key, len(ids[key]))
		}
	}
	t.Log(strings.TrimSpace(r.err))
	if wander == 0 || !strings.Contains(r.err, "verdict: sticky only for cookie-keeping clients") {
		t.Errorf("%d clients without a jar were sent about: %s", wander, r.err)
	}
}

// TestLogEvidence names the pods of legs that nothing on the wire names: no header, no body, no cookie. The pods' own
// logs are the truth, so what is compared is the way there: by which log, for which leg, and of whom who may not read.
func TestLogEvidence(t *testing.T) {
	t.Parallel()
	l := labOf(t, "sockets")
	product(t)
	deployChat(t, l, chat{"silent", "socketio", 2, false, nil})
	deployChat(t, l, chat{"silent-ws", "ws", 2, false, nil})
	for _, run := range []struct {
		app  string
		args []string
	}{
		{"silent", []string{"--transport", "socketio"}},
		{"silent-ws", []string{"--transport", "ws", "--path", "/"}},
		{"silent", []string{"--path", "/nameless", "--sessions", "3"}},
	} {
		t.Run(strings.Join(run.args, " "), func(t *testing.T) {
			list := sessions(t, l, append([]string{"ing/" + run.app, "-n", "e2e", "--log-evidence", "--sessions", "4", "--for", "15s"}, run.args...)...)
			if s := list.source("logs"); s.State != "live" || !strings.Contains(s.Detail, "2 backend pods, 1 controller pod") {
				t.Errorf("the source is %+v", s)
			}
			unnamed, byLog, all := 0, 0, 0
			log := accessLog(t, l)
			for _, s := range list.Items {
				for i, x := range s.Exchanges {
					all++
					if x.Source == "log" {
						byLog++
					}
					if x.Pod == "" && i < len(s.Exchanges)-1 && x.Status != 0 {
						unnamed++
					}
					if e := log[x.RequestID]; x.Pod != "" && e.Pod != "" && e.Pod != x.Pod {
						t.Errorf("%s request %d: pod %s by %s, the access log says %s", s.Name, i, x.Pod, x.Source, e.Pod)
					}
				}
			}
			t.Logf("%d requests, the pod of %d known by a log, of %d not at all", all, byLog, unnamed)
			if byLog == 0 && run.app == "silent" || unnamed > 0 {
				t.Errorf("%d requests were answered by nobody knows whom", unnamed)
			}
			if run.app == "silent" && run.args[0] == "--transport" {
				legsAgree(t, l, run.app, list)
			}
		})
	}
	t.Run("who may not", func(t *testing.T) {
		r := stickytop(t, l, "get", "sessions", "ing/msgapp", "-n", "msgapp", "--kubeconfig", l.Kubeconfig("blind"), "--log-evidence", "--path", "/nameless", "--for", "6s", "-o", "json")
		list := parseList(t, r.out)
		s := list.source("logs")
		t.Logf("%+v", s)
		if s.State == "live" || s.Detail == "" {
			t.Errorf("blind reads logs: %+v", s)
		}
	})
	t.Run("only the backend's", func(t *testing.T) {
		list := sessions(t, l, "ing/msgapp", "-n", "msgapp", "--kubeconfig", l.Kubeconfig("viewer"), "--log-evidence", "--path", "/nameless", "--for", "8s")
		s := list.source("logs")
		if s.State != "live" || !strings.Contains(s.Detail, "3 backend pods, 0 controller pods; ") {
			t.Errorf("%+v", s)
		}
		for _, s := range list.Items {
			if !slices.ContainsFunc(s.Evidence, func(e struct{ Source, Pod, Detail string }) bool { return e.Source == "log" && e.Pod == s.pod() }) {
				t.Errorf("%s on %s: evidence %+v", s.Name, s.pod(), s.Evidence)
			}
		}
	})
}
