package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// linted is one run of lint, with what it cost.
type linted struct {
	code           int
	stdout, stderr string
	megabytes      int64 // most that was resident
	cpu            time.Duration
}

// measured is the variable that has this test's program run its arguments and
// write the most that was resident of them, in KiB, to the file it names.
const measured = "STICKYTOP_TEST_MEASURED"

// A process begins as its parent, and what that had resident counts as its own:
// this one is small, and the tests' is not. [Linux fs/exec.c, setmax_mm_hiwater_rss]
func init() {
	file := os.Getenv(measured)
	if file == "" {
		return
	}
	_ = os.Unsetenv(measured)
	cmd := exec.CommandContext(context.Background(), os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the signal is sent when the thread ends
	if err := cmd.Run(); cmd.ProcessState == nil {
		panic(err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		panic("no rusage")
	}
	if err := os.WriteFile(file, []byte(strconv.FormatInt(usage.Maxrss, 10)), 0o600); err != nil {
		panic(err)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

func runLint(t testing.TB, in io.Reader, args ...string) linted {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "usage")
	cmd := exec.CommandContext(ctx, self, append([]string{binary, "lint"}, args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", measured+"="+file)
	cmd.Stdin = in
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || !exit.Exited() {
			t.Fatalf("lint %v: %v\n%s", args, err, stderr.String())
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return linted{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), kib >> 10, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
}

// endless is a text again and again, up to a length, without holding it.
func endless(head, body string, length int64) io.Reader {
	return io.MultiReader(strings.NewReader(head), io.LimitReader(&again{text: body}, length))
}

type again struct {
	text string
	at   int
}

func (a *again) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], a.text[a.at:])
		n, a.at = n+c, (a.at+c)%len(a.text)
	}
	return n, nil
}

const good = `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
`

// TestLintHostile gives the built binary what nobody should: it says which line
// it cannot read, reads the rest, and stays small.
func TestLintHostile(t *testing.T) {
	bomb := "kind: Service\na: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%[1]c [%[2]s]\n", c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	merges := "kind: Service\na: &a {x: 1}\n"
	for c := 'b'; c <= 'z'; c++ {
		merges += fmt.Sprintf("%c: &%[1]c {<<: [%s]}\n", c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	const mega = 1 << 20
	for _, c := range []struct {
		name string
		in   io.Reader
		want string // in standard error
	}{
		{"an alias bomb", strings.NewReader(bomb + "---\n" + good), "<stdin>:"},
		{"merge keys", strings.NewReader(merges + "---\n" + good), "<stdin>:"},
		{"one document of 100 MB", io.MultiReader(endless("kind: Service\n", "a: b\n", 100*mega), strings.NewReader("\n---\n"+good)), "<stdin>:1: the document is larger than 4 MiB"},
		{"one line of 100 MB", io.MultiReader(endless("kind: Service\na: ", "x", 100*mega), strings.NewReader("\n---\n"+good)), "<stdin>:1: the document is larger than 4 MiB"},
		{"a flow nested 100,000 deep", io.MultiReader(endless("kind: Service\na: ", "[", 100_000), strings.NewReader("\n---\n"+good)), "<stdin>:"},
		{"a block nested 2,000 deep", strings.NewReader("kind: Service\n" + nested(2000) + "---\n" + good), "<stdin>:"},
		{"two million values", io.MultiReader(endless("kind: Service\na: [", "x,", 4_000_000), strings.NewReader("x]\n---\n"+good)), "<stdin>:2: more than 200000 values"},
		{"half a file", strings.NewReader(good + "---\nkind: Service\nmetadata:\n  name: \"web"), "<stdin>:"},
		{"half a flow", strings.NewReader(good + "---\nkind: Service\nmetadata: {name: web,"), "<stdin>:"},
		{"a key twice", strings.NewReader("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  name: b\n---\n" + good), "<stdin>:5: "},
		{"a tab", strings.NewReader("apiVersion: v1\nkind: Service\nmetadata:\n\tname: a\n---\n" + good), "<stdin>:4: a tab indents this line"},
		{"a template", strings.NewReader("kind: Service\nmetadata:\n  name: {{ .Values.name }}\n---\n" + good), "helm template"},
		{"a control sequence", strings.NewReader("kind: Service\nmetadata: {name: \"\x1b]0;owned\x07\"}\n---\n" + good), "<stdin>:"},
		{"a million problems", endless("", "---\nkind: Service\na: [\n", 20*mega), "could not be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runLint(t, c.in, "-f", "-")
			if got.code != 3 {
				t.Errorf("exit %d, want 3: %.500s", got.code, got.stderr)
			}
			if !strings.Contains(got.stderr, c.want) {
				t.Errorf("stderr %.500q lacks %q", got.stderr, c.want)
			}
			if len(got.stderr) > 64<<10 {
				t.Errorf("%d bytes of complaints", len(got.stderr))
			}
			if strings.ContainsAny(got.stdout+got.stderr, "\x1b\x07") {
				t.Error("a control character comes through")
			}
			if got.megabytes > 200 {
				t.Errorf("%d MB resident", got.megabytes)
			}
			if c.name != "a million problems" && !strings.Contains(got.stdout, "1 objects") {
				t.Errorf("the object beside it was not read: %.300s", got.stdout)
			}
			t.Logf("%d MB, %s of a core", got.megabytes, got.cpu.Round(time.Millisecond))
		})
	}
}

// TestLintInterrupted: a signal ends lint at once, whatever it does.
func TestLintInterrupted(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary, "lint", "-f", "-")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stdout bytes.Buffer
			cmd.Stdout = &stdout
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			// More than a pipe holds: when it is written, lint reads.
			if _, err := io.Copy(in, endless(good, "---\n"+good, 1<<20)); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			hung := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
			defer hung.Stop()
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
				t.Errorf("exit %d (%v), want %d", cmd.ProcessState.ExitCode(), err, exitInterrupted)
			}
			if stdout.Len() > 0 {
				t.Errorf("half of it was judged: %.200s", stdout.String())
			}
		})
	}
}

// TestLintMuch: what is kept of much text is bounded, and so is its memory.
func TestLintMuch(t *testing.T) {
	many := "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector:\n    app: web\n  ports:\n" // much to keep for its length
	for i := range 10 {
		many += fmt.Sprintf("  - port: %d\n    name: p%d\n", 80+i, i)
	}
	many += "---\n"
	got := runLint(t, endless("", many, 100<<20), "-f", "-", "--rule", "B10")
	if want := fmt.Sprintf("%d objects", 64<<20/(len(many)-len("---\n")+1)); got.code != 3 || !strings.Contains(got.stderr, "more than 200000 objects, or 64 MiB of them") || !strings.HasPrefix(got.stdout, want[:3]) {
		t.Errorf("exit %d: %.300s%.300s", got.code, got.stdout, got.stderr)
	}
	t.Logf("%d MB, %s of a core", got.megabytes, got.cpu.Round(time.Millisecond))
	if got.megabytes > 1200 {
		t.Errorf("%d MB resident", got.megabytes)
	}
}

func TestUnless(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	broken := errors.New("broken")
	if err := unless(ctx, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want what work returned", err)
	}
	forever := make(chan struct{})
	defer close(forever)
	err := unless(ctx, func() error { cancel(); <-forever; return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that ctx was cancelled", err)
	}
}

func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// BenchmarkLint lints 10,000 objects with the built binary on one core, and
// reports the time of that core: what a user waits for when nothing else runs.
//
//	go test -run '^$' -bench Lint -benchtime 3x ./cmd/stickytop
func BenchmarkLint(b *testing.B) {
	app, err := os.ReadFile("../../internal/manifest/testdata/app.yaml.fmt") // four objects as charts render them
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "all.yaml")
	var text bytes.Buffer
	for i := range 2500 {
		fmt.Fprintf(&text, string(app), i, i%50)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	var cpu time.Duration
	var most int64
	n := 0
	for b.Loop() {
		got := runLint(b, nil, "-f", file)
		if !strings.Contains(got.stdout, "10000 objects") {
			b.Fatalf("exit %d: %.300s", got.code, got.stderr)
		}
		cpu, most, n = cpu+got.cpu, max(most, got.megabytes), n+1
	}
	b.ReportMetric(cpu.Seconds()/float64(n), "core-s/op")
	b.ReportMetric(float64(most), "MB-resident")
}
