package build

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// compile builds one program. The go command says beforehand which packages its cache lacks, and with -v which it
// compiles, so the progress is counted, not guessed; the time left is guessed, from the rate so far.
func (b *builder) compile(ctx context.Context, dir, output, pkg string, flags ...string) error {
	todo, err := b.stale(ctx, dir, pkg, flags)
	if err != nil {
		return err
	}
	fresh := output + ".new"
	args := append(append([]string{"build", "-v"}, flags...), "-o", fresh, pkg)
	cmd := b.command(ctx, dir, "go", args...)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	said := b.follow(pipe, todo)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, tail(said))
	}
	return os.Rename(fresh, output)
}

// stale counts the packages that the go command will compile.
func (b *builder) stale(ctx context.Context, dir, pkg string, flags []string) (int, error) {
	args := append(append([]string{"list", "-deps"}, flags...), "-f", "{{if .Stale}}{{.StaleReason}}{{end}}", pkg)
	out, err := b.run(ctx, dir, "go", args...)
	if err != nil {
		return 0, err
	}
	count := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "not installed but available in build cache") {
			count++
		}
	}
	return count, nil
}

// follow reads what go build -v says, reports every few seconds, and returns what was not a package's name.
func (b *builder) follow(from io.Reader, todo int) string {
	var mu sync.Mutex
	done, began := 0, time.Now()
	ended := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			mu.Lock()
			fmt.Fprintln(b.out, "      "+estimate(done, todo, time.Since(began)))
			mu.Unlock()
		}
	})
	var said strings.Builder
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		mu.Lock()
		switch {
		case strings.HasPrefix(line, "go: downloading "):
		case strings.ContainsAny(line, " \t"):
			said.WriteString(line + "\n")
		default:
			done++
		}
		mu.Unlock()
	}
	close(ended)
	reporting.Wait()
	return said.String()
}

// estimate says how far a compilation is.
func estimate(done, todo int, took time.Duration) string {
	took = took.Round(time.Second)
	switch {
	case todo == 0 || done >= todo:
		return fmt.Sprintf("%d packages compiled in %s, linking", done, took)
	case done < 20:
		return fmt.Sprintf("%d of %d packages after %s, too early to say how long", done, todo, took)
	}
	left := time.Duration(float64(took) / float64(done) * float64(todo-done)).Round(10 * time.Second)
	return fmt.Sprintf("%d of %d packages after %s, about %s to go at this rate, then linking", done, todo, took, left)
}
