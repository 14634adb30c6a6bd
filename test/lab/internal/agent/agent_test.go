package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "LONG": "x y"}
	for in, want := range map[string]string{
		"":                    "",
		"plain":               "plain",
		"$(A)":                "1",
		"a$(A)b$(LONG)":       "a1bx y",
		"$$(A)":               "$(A)",
		"$(UNKNOWN)":          "$(UNKNOWN)",
		"$(A":                 "$(A",
		"$":                   "$",
		"$A":                  "$A",
		"$$$(A)":              "$1",
		"http://$(A):80/?q=$": "http://1:80/?q=$",
	} {
		if got := expand(in, values); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestField(t *testing.T) {
	a := &Agent{node: "node1", ip: "172.30.0.11"}
	pod := &v1.Pod{}
	pod.Name, pod.Labels = "p", map[string]string{"app.kubernetes.io/name": "x"}
	for path, want := range map[string]string{
		"metadata.name": "p", "spec.nodeName": "node1", "status.podIP": "10.244.1.2", "status.hostIP": "172.30.0.11",
		"metadata.labels['app.kubernetes.io/name']": "x", "metadata.annotations['none']": "",
	} {
		if got, err := a.field(pod, path, "10.244.1.2"); err != nil || got != want {
			t.Errorf("field(%q) = %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "metadata.labels", "metadata.labels['x", "spec.containers"} {
		if got, err := a.field(pod, path, ""); err == nil {
			t.Errorf("field(%q) = %q, want an error", path, got)
		}
	}
}

func TestAddressesAreNotSoonReused(t *testing.T) {
	a := newAddresses("10.244.1.0/24")
	first, err := a.take()
	if err != nil || first.String() != "10.244.1.2" {
		t.Fatalf("first address %v, %v", first, err)
	}
	a.give(first)
	seen := map[string]bool{}
	for range 252 {
		ip, err := a.take()
		if err != nil {
			t.Fatal(err)
		}
		if ip == first {
			t.Fatalf("%s again after %d others", ip, len(seen))
		}
		seen[ip.String()] = true
	}
	if seen["10.244.1.0"] || seen["10.244.1.1"] || seen["10.244.1.255"] {
		t.Error("gave the network's, the first or the broadcast address")
	}
	if again, err := a.take(); err != nil || again != first {
		t.Errorf("the one free address: %v, %v", again, err)
	}
	if ip, err := a.take(); err == nil {
		t.Errorf("gave %s when none was left", ip)
	}
}

func TestContainerLog(t *testing.T) {
	dir := t.TempDir()
	log, err := newLog(dir, "main", 2)
	if err != nil {
		t.Fatal(err)
	}
	out, errs := log.stream("stdout"), log.stream("stderr")
	out.Write([]byte("one\ntw"))
	errs.Write([]byte("bad\n"))
	out.Write([]byte("o\n" + strings.Repeat("x", maxLine+5) + "\nrest"))
	log.Close()
	data, err := os.ReadFile(filepath.Join(dir, "main", "2.log"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(data)) {
		stamp, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
			t.Error(err)
		}
		got = append(got, rest)
	}
	want := []string{"stdout F one", "stderr F bad", "stdout F two", "stdout P " + strings.Repeat("x", maxLine), "stdout F xxxxx", "stdout F rest"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
}

func TestBackoff(t *testing.T) {
	var got []string
	for d, i := time.Duration(0), 0; i < 7; i++ {
		d = nextBackoff(d)
		got = append(got, d.String())
	}
	if want := "10s 20s 40s 1m20s 2m40s 5m0s 5m0s"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestTerminateOnlySooner lets a later deletion request shorten a grace period and never lengthen it.
func TestTerminateOnlySooner(t *testing.T) {
	w := newWorker(&Agent{}, &v1.Pod{})
	begin := time.Now()
	w.terminate(begin.Add(30 * time.Second))
	sooner := w.sooner()
	w.terminate(begin.Add(60 * time.Second))
	if closed(sooner) || !w.killDeadline().Equal(begin.Add(30*time.Second)) {
		t.Error("a longer grace period was taken")
	}
	w.terminate(begin.Add(time.Second))
	if !closed(sooner) || !w.killDeadline().Equal(begin.Add(time.Second)) {
		t.Error("a shorter grace period was not taken")
	}
}
