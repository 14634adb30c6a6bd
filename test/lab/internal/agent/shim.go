package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab/internal/netns"
)

// secretsDir is where a container finds its service account.
const secretsDir = "/run/secrets/kubernetes.io/serviceaccount"

// shimSpec tells the shim what to make of itself before it becomes the container's program.
type shimSpec struct {
	NS       string            `json:"ns"`
	Hostname string            `json:"hostname"`
	Args     []string          `json:"args"`
	Dir      string            `json:"dir"`
	Secrets  map[string]string `json:"secrets"`
}

// Shim becomes a container: it is started in mount and UTS namespaces of its own, enters the pod's network
// namespace, writes the pod's service account where programs look for it, and executes the program.
func Shim(encoded string) error {
	var spec shimSpec
	if err := json.Unmarshal([]byte(encoded), &spec); err != nil {
		return err
	}
	if spec.NS != "" {
		if err := netns.EnterForGood(filepath.Join(netns.Dir, spec.NS)); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := writeSecrets(spec.Secrets); err != nil {
		return err
	}
	if spec.Dir != "" {
		if err := os.Chdir(spec.Dir); err != nil {
			return err
		}
	}
	path, err := exec.LookPath(spec.Args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, spec.Args, os.Environ())
}

func writeSecrets(files map[string]string) error {
	if len(files) == 0 {
		return nil
	}
	if err := unix.Mount("secrets", "/run/secrets", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		return fmt.Errorf("mount secrets: %w", err)
	}
	if err := os.MkdirAll(secretsDir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(secretsDir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// command returns the shim for a program of the pod, not started yet.
func (a *Agent) command(spec shimSpec, env []string) (*exec.Cmd, error) {
	encoded, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(a.self, "_container", string(encoded))
	cmd.Env = append(baseEnv(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	return cmd, nil
}

// baseEnv is what every container gets from the system: nothing of who started the lab.
func baseEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/", "LANG=C.UTF-8", "GOTRACEBACK=single"}
}
