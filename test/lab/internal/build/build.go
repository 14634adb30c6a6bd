// Package build builds a real Kubernetes control plane, Traefik and the Node.js workloads, once, into the lab's cache.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// builder builds into one cache.
type builder struct {
	cache string
	out   io.Writer
	began time.Time
}

// step is one thing in the cache. A step whose file is there is not done again, so an interrupted build goes on
// where it was; what was compiled within a step is kept by the go command's own cache.
type step struct {
	name string
	file string
	make func(ctx context.Context) error
}

// Missing returns the names of what the cache does not have yet.
func Missing(cache string) []string {
	b := &builder{cache: cache}
	var names []string
	for _, s := range b.steps() {
		if !exists(s.file) {
			names = append(names, s.name)
		}
	}
	return names
}

// All builds what is missing, telling its progress. Two builds at once wait for each other.
func All(ctx context.Context, cache string, out io.Writer) error {
	if len(Missing(cache)) == 0 {
		return nil // the cache may be another user's, to read only
	}
	b := &builder{cache: cache, out: out, began: time.Now()}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	lock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	missing := Missing(cache)
	if len(missing) == 0 {
		return nil
	}
	if err := tools(); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(b.temporary()), os.Mkdir(b.temporary(), 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(b.temporary())
	fmt.Fprintf(out, "Building %s into %s.\n", strings.Join(missing, ", "), cache)
	if len(missing) > 2 {
		fmt.Fprintf(out, "From nothing this took 13 minutes on two cores with a fast network, and 6 GB of disk; here are %d cores. It may be interrupted and goes on.\n", runtime.NumCPU())
	}
	for i, s := range b.steps() {
		if exists(s.file) {
			continue
		}
		fmt.Fprintf(out, "[%d/%d] %s\n", i+1, len(b.steps()), s.name)
		if err := os.MkdirAll(filepath.Dir(s.file), 0o755); err != nil {
			return err
		}
		if err := s.make(ctx); err != nil {
			return fmt.Errorf("build %s: %w", s.name, err)
		}
	}
	fmt.Fprintf(out, "Built in %s.\n", time.Since(b.began).Round(time.Second))
	return nil
}

func (b *builder) steps() []step {
	var steps []step
	for _, program := range kubernetesPrograms {
		steps = append(steps, step{program.name, layout.Binary(b.cache, program.name), func(ctx context.Context) error {
			return b.kubernetes(ctx, program)
		}})
	}
	return append(steps,
		step{"traefik", layout.Binary(b.cache, "traefik"), b.traefik},
		step{"node workloads", filepath.Join(layout.NodeDir(b.cache), "node_modules", ".package-lock.json"), b.node})
}

func tools() error {
	var missing []string
	for _, tool := range []string{"go", "npm", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("building needs %s in PATH", strings.Join(missing, ", "))
	}
	return nil
}

func (b *builder) lock(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(b.cache, ".building"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	told := false
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			file.Close()
			return nil, err
		}
		if !told {
			fmt.Fprintln(b.out, "Another build is running; waiting for it.")
			told = true
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run runs a command in a folder and returns its output; an error carries the end of it.
func (b *builder) run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := b.command(ctx, dir, name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(errs.String()+string(out)))
	}
	return out, nil
}

// command ends also when this process is killed, so that no build goes on beside the next. The go command leaves its
// temporary files when it is interrupted: they are in the cache, where the next build removes them.
func (b *builder) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOTMPDIR="+b.temporary())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (b *builder) temporary() string { return filepath.Join(b.cache, "tmp") }

func tail(text string) string {
	const most = 3000
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// writeFiles writes files below dir.
func writeFiles(dir string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
