package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crilogs "k8s.io/cri-client/pkg/logs"
)

// maxLine is where a long log line is cut into partial entries, as container runtimes cut it.
const maxLine = 16 << 10

// containerLog is a container's log file, in the CRI format.
type containerLog struct {
	mu      sync.Mutex
	file    *os.File
	streams []*logStream
}

func logPath(dir, container string, run int32) string {
	return filepath.Join(dir, container, strconv.Itoa(int(run))+".log")
}

func newLog(dir, container string, run int32) (*containerLog, error) {
	path := logPath(dir, container, run)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &containerLog{file: file}, err
}

func (l *containerLog) stream(name string) io.Writer {
	s := &logStream{log: l, name: name}
	l.streams = append(l.streams, s)
	return s
}

// Close writes what has no line end yet and closes the file.
func (l *containerLog) Close() error {
	for _, s := range l.streams {
		if len(s.rest) > 0 {
			l.line(s.name, s.rest, "F")
		}
	}
	return l.file.Close()
}

func (l *containerLog) line(stream string, text []byte, tag string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := append(fmt.Appendf(nil, "%s %s %s ", time.Now().Format(time.RFC3339Nano), stream, tag), text...)
	l.file.Write(append(entry, '\n'))
}

type logStream struct {
	log  *containerLog
	name string
	rest []byte
}

// Write cuts output into lines.
func (s *logStream) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		end := bytes.IndexByte(s.rest, '\n')
		switch {
		case end >= 0 && end <= maxLine:
			s.log.line(s.name, s.rest[:end], "F")
			s.rest = s.rest[end+1:]
		case len(s.rest) > maxLine:
			s.log.line(s.name, s.rest[:maxLine], "P")
			s.rest = s.rest[maxLine:]
		default:
			return len(p), nil
		}
	}
}

// liveness is the little of a container runtime that k8s.io/cri-client needs to follow a log.
type liveness struct {
	internalapi.RuntimeService
	container *container
	id        string
}

func (l liveness) ContainerStatus(context.Context, string, bool) (*runtimeapi.ContainerStatusResponse, error) {
	l.container.w.mu.Lock()
	defer l.container.w.mu.Unlock()
	state := runtimeapi.ContainerState_CONTAINER_EXITED
	if l.container.state.Running != nil && l.container.id == l.id {
		state = runtimeapi.ContainerState_CONTAINER_RUNNING
	}
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{State: state}}, nil
}

// serveLogs answers GET /containerLogs/{namespace}/{pod}/{container} as the kubelet does.
func (a *Agent) serveLogs(w http.ResponseWriter, r *http.Request) {
	c, err := a.container(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	options, err := logOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	pod := c.w.current()
	c.w.mu.Lock()
	run, id, waiting := c.restarts, c.id, c.state.Waiting
	c.w.mu.Unlock()
	if options.Previous {
		run--
	}
	path := logPath(LogDir(a.spec, pod.Namespace, pod.Name, string(pod.UID)), c.spec.Name, run)
	if _, err := os.Stat(path); err != nil {
		why := "no log"
		if waiting != nil {
			why = "waiting to start: " + waiting.Reason
		}
		if options.Previous {
			why = "previous terminated container not found"
		}
		http.Error(w, fmt.Sprintf("container %q in pod %q is %s", c.spec.Name, pod.Name, why), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	out := flusher{w, http.NewResponseController(w)}
	out.control.Flush()
	parsed := &crilogs.LogOptions{
		TailLines: options.TailLines, LimitBytes: options.LimitBytes, Follow: options.Follow, Timestamp: options.Timestamps,
	}
	switch {
	case options.SinceSeconds != nil:
		parsed.Since = time.Now().Add(-time.Duration(*options.SinceSeconds) * time.Second)
	case options.SinceTime != nil:
		parsed.Since = options.SinceTime.Time
	}
	if err := crilogs.ReadLogs(r.Context(), path, id, parsed, liveness{container: c, id: id}, out, out); err != nil && r.Context().Err() == nil {
		fmt.Fprintf(w, "read log: %v\n", err)
	}
}

// flusher sends every line at once, for those who follow.
type flusher struct {
	w       io.Writer
	control *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.control.Flush()
	return n, err
}

func logOptions(r *http.Request) (*v1.PodLogOptions, error) {
	q := r.URL.Query()
	options := &v1.PodLogOptions{
		Follow: q.Get("follow") == "true", Previous: q.Get("previous") == "true", Timestamps: q.Get("timestamps") == "true",
	}
	for name, target := range map[string]**int64{
		"tailLines": &options.TailLines, "limitBytes": &options.LimitBytes, "sinceSeconds": &options.SinceSeconds,
	} {
		if q.Get(name) == "" {
			continue
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		*target = &n
	}
	if since := q.Get("sinceTime"); since != "" {
		t, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return nil, err
		}
		options.SinceTime = &metav1.Time{Time: t}
	}
	return options, nil
}
