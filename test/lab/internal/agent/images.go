package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// The lab's images: programs that its build made or that it is itself. A tag is allowed and has no meaning, so
// that a rolling update has something to change.
var ownImages = map[string]bool{"echo": true, "listen": true, "haproxy": true}

var nodeImages = map[string]string{"socketio": "server.js", "socketio2": "server2.js", "ws": "ws.js"}

// entrypoint returns an image's program, as an image's ENTRYPOINT would be.
func (a *Agent) entrypoint(image string) ([]string, error) {
	name, ok := strings.CutPrefix(image, "lab/")
	if !ok {
		return nil, fmt.Errorf("the lab pulls no images: %q is neither lab/NAME nor does the container have a command", image)
	}
	name, _, _ = strings.Cut(name, ":")
	if ownImages[name] {
		if name == "haproxy" {
			if _, err := exec.LookPath("haproxy"); err != nil {
				return nil, fmt.Errorf("lab/haproxy is the system's own haproxy, which is not installed (Debian: apt-get install haproxy)")
			}
		}
		return []string{a.self, "workload", name}, nil
	}
	if name == "traefik" {
		return []string{layout.Binary(a.spec.Cache, "traefik")}, nil
	}
	if name == "stickytop" { // the program under test, in a pod
		if path := os.Getenv("STICKYTOP"); path != "" {
			return []string{path}, nil
		}
		return nil, fmt.Errorf("lab/stickytop is the program that $STICKYTOP names; the lab was started without it")
	}
	script, ok := nodeImages[name]
	if !ok {
		return nil, fmt.Errorf("the lab has no image %q: it has lab/echo, listen, socketio, socketio2, ws, traefik, haproxy, stickytop", image)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("image %q runs on Node.js, and there is no node in PATH", image)
	}
	path := filepath.Join(layout.NodeDir(a.spec.Cache), script)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("image %q is not built: %w", image, err)
	}
	return []string{node, path}, nil
}

// commandLine returns what to run for a container: its command or its image's, then its args.
func (a *Agent) commandLine(c *v1.Container, env []string) ([]string, error) {
	values := map[string]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	var line []string
	for _, word := range c.Command {
		line = append(line, expand(word, values))
	}
	if len(line) == 0 {
		var err error
		if line, err = a.entrypoint(c.Image); err != nil {
			return nil, err
		}
	}
	for _, word := range c.Args {
		line = append(line, expand(word, values))
	}
	return line, nil
}
