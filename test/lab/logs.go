package lab

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/test/lab/internal/agent"
)

// LogLine is one line that a container wrote.
type LogLine struct {
	Time   time.Time // when the agent read it
	Pod    string
	Stream string // stdout or stderr
	Text   string
}

// PodLog returns what a pod wrote, all containers and restarts together, in time's order. Pods that are gone keep
// their logs; of several pods with one name all are returned.
func (l *Lab) PodLog(name string) ([]LogLine, error) {
	namespace, base := splitName(name)
	return l.readLogs(func(p Pod) bool { return p.Namespace == namespace && p.Name == base })
}

// Logs returns what all pods wrote whose names begin so, gone ones included: NAME-PREFIX in namespace msgapp, or
// NAMESPACE/NAME-PREFIX.
func (l *Lab) Logs(prefix string) ([]LogLine, error) {
	namespace, base := splitName(prefix)
	return l.readLogs(func(p Pod) bool { return p.Namespace == namespace && strings.HasPrefix(p.Name, base) })
}

// Pods returns every pod that ever ran in the lab, with its address and node.
func (l *Lab) Pods() ([]Pod, error) { return agent.AllPods(l.Spec) }

func (l *Lab) readLogs(wanted func(Pod) bool) ([]LogLine, error) {
	pods, err := l.Pods()
	if err != nil {
		return nil, err
	}
	var lines []LogLine
	for _, pod := range pods {
		if !wanted(pod) {
			continue
		}
		files, err := filepath.Glob(filepath.Join(agent.LogDir(l.Spec, pod.Namespace, pod.Name, pod.UID), "*", "*.log"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			lines = append(lines, parseCRI(pod.Name, data)...)
		}
	}
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	return lines, nil
}

// parseCRI reads the container runtimes' log format: TIME STREAM TAG TEXT, where tag P says that the line goes on.
func parseCRI(pod string, data []byte) []LogLine {
	var lines []LogLine
	partial := map[string]string{}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		stamp, rest, _ := strings.Cut(scanner.Text(), " ")
		stream, rest, _ := strings.Cut(rest, " ")
		tag, text, _ := strings.Cut(rest, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			continue
		}
		if tag == "P" {
			partial[stream] += text
			continue
		}
		lines = append(lines, LogLine{Time: at, Pod: pod, Stream: stream, Text: partial[stream] + text})
		delete(partial, stream)
	}
	return lines
}

// Access is one request as the ingress controller saw it.
type Access struct {
	Time      time.Time // when it began
	Client    string    // address and port of the client's connection
	Method    string
	Host      string
	Path      string
	Status    int
	Backend   string // address and port it was sent to; empty when to none
	Pod       string // the pod with that address, which may be gone by now
	Session   string // X-Stickytop-Session
	RequestID string // X-Request-Id
	Agent     string // User-Agent
	Cookie    bool   // the request had cookies (their values are not logged)
}

// access is Traefik's access log entry; HAProxy's log format is made the same.
type access struct {
	StartUTC         time.Time
	StartMS          int64 // HAProxy's, in place of StartUTC
	ClientAddr       string
	RequestMethod    string
	RequestHost      string
	RequestPath      string
	DownstreamStatus int
	ServiceAddr      string
	Session          string `json:"request_X-Stickytop-Session"`
	RequestID        string `json:"request_X-Request-Id"`
	Agent            string `json:"request_User-Agent"`
	Cookie           string `json:"request_Cookie"`
}

// AccessLog returns the ingress controller's access log, of all its pods that ever ran, by beginning.
func (l *Lab) AccessLog() ([]Access, error) {
	pods, err := l.Pods()
	if err != nil {
		return nil, err
	}
	byIP := map[string]string{}
	for _, p := range pods {
		byIP[p.IP] = p.Name
	}
	lines, err := l.Logs(ingressName)
	if err != nil {
		return nil, err
	}
	var out []Access
	for _, line := range lines {
		var e access
		if json.Unmarshal([]byte(line.Text), &e) != nil || e.ClientAddr == "" {
			continue // not every line of a controller is an access
		}
		host, _, _ := net.SplitHostPort(e.ServiceAddr)
		path, _, _ := strings.Cut(e.RequestPath, "?")
		if e.StartMS > 0 {
			e.StartUTC = time.UnixMilli(e.StartMS)
		}
		if net.ParseIP(host) == nil {
			e.ServiceAddr = ""
		}
		out = append(out, Access{
			Time: e.StartUTC, Client: e.ClientAddr, Method: e.RequestMethod, Host: e.RequestHost, Path: path,
			Status: e.DownstreamStatus, Backend: e.ServiceAddr, Pod: byIP[host], Session: e.Session,
			RequestID: e.RequestID, Agent: e.Agent, Cookie: e.Cookie != "" && e.Cookie != "-",
		})
	}
	slices.SortStableFunc(out, func(a, b Access) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.RequestID, b.RequestID)) })
	return out, nil
}
