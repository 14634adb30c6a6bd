package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubestickytop/stickytop/test/lab"
)

// shared is the lab that most tests use, started by the first of them.
var shared struct {
	once sync.Once
	lab  *lab.Lab
	err  error
}

func TestMain(m *testing.M) {
	if name := os.Getenv(holdVariable); name != "" {
		hold(name)
		return
	}
	code := m.Run()
	if shared.lab != nil {
		if err := shared.lab.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "close the shared lab:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// unique returns a lab name that no other run of this suite has.
func unique(name string) string { return fmt.Sprintf("t%d-%s", os.Getpid(), name) }

// sharedLab returns the shared lab, or skips the test, saying why, where no lab can run.
func sharedLab(t *testing.T) *lab.Lab {
	t.Helper()
	o := options(t, "main")
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		shared.lab, shared.err = lab.Start(ctx, o)
	})
	check(t, shared.err)
	return shared.lab
}

// options are those of a lab of that name.
func options(t *testing.T, name string) lab.Options {
	t.Helper()
	path, err := program()
	check(t, err)
	return lab.Options{Name: unique(name), Program: path, Progress: os.Stderr}
}

// program is the lab command: $LAB_TEST_PROGRAM, for users who cannot build one, or what is built once, however long
// that takes. Tests only bound how long a lab takes to start.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("LAB_TEST_PROGRAM"); path != "" {
		return path, nil
	}
	return lab.Program(context.Background())
})

// startLab starts a lab of the test's own.
func startLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	l, err := lab.Start(ctx, o)
	check(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return l
}

// check skips where the machine cannot run a lab, and fails on any other error.
func check(t *testing.T, err error) {
	t.Helper()
	var missing *lab.Missing
	if errors.As(err, &missing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// patience is how many times longer than on an idle machine anything may take that must only happen soon.
const patience = 4

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience*d)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, l *lab.Lab, user string) kubernetes.Interface {
	t.Helper()
	c, err := l.Client(user)
	check(t, err)
	return c
}

// kubectl runs kubectl inside the lab: the truth that the lab's own words are held against.
func kubectl(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	out, err := tryKubectl(t, l, args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v", args, err)
	}
	return out
}

func tryKubectl(t *testing.T, l *lab.Lab, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl in PATH")
	}
	out, err := l.Exec(deadline(t, 40*time.Second), "client", "kubectl", args...)
	return strings.TrimSpace(string(out)), err
}

// podsOf returns the names of the pods of a component that run and are not being deleted.
func podsOf(t *testing.T, l *lab.Lab, component string) []string {
	t.Helper()
	list, err := client(t, l, "lab").CoreV1().Pods("msgapp").List(deadline(t, 10*time.Second), metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/component=" + component,
	})
	check(t, err)
	var names []string
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// eventually waits until a condition holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	within *= patience
	end := time.Now().Add(within)
	for !holds() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// settled waits until the usual workloads are as they should be, so that a test leaves no trouble to the next.
func settled(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx := deadline(t, time.Minute)
	for _, name := range []string{"echo", "msgapp-backend", "ingress/ingress-controller"} {
		check(t, l.WaitFor(ctx, name))
	}
}

// get asks a host through the ingress and returns the answer's status, body and cookies.
func get(l *lab.Lab, n int, host, path string, header http.Header, cookies ...*http.Cookie) (int, string, []*http.Cookie, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience*3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.IngressIP()+path, nil)
	if err != nil {
		return 0, "", nil, err
	}
	request.Host = host
	for key := range header {
		request.Header.Set(key, header.Get(key))
	}
	for _, c := range cookies {
		request.AddCookie(c)
	}
	response, err := l.HTTPClient(n).Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, string(body), response.Cookies(), err
}
