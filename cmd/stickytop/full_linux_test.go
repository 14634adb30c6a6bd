package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestFullDisk: what cannot be written is no fault of the command line.
func TestFullDisk(t *testing.T) {
	kubeconfig := "KUBECONFIG=" + t.TempDir() + "/none"
	for _, args := range [][]string{
		{"version"}, {"version", "-o", "json"}, {"version", "-o", "yaml"}, {"demo", "--list"}, {"explain", "A01"}, {"decode", "lb=8284434f14da8452", "--endpoints", "10.244.0.5:8080"},
		{"demo", "turn-on", "--for", "1s"}, {"demo", "turn-on", "--for", "1s", "-o", "json"}, {"demo", "turn-on", "--for", "1s", "-o", "yaml"}, {"demo", "turn-on", "--for", "1s", "-o", "jsonpath={.kind}"},
		{"demo", "turn-on", "--for", "1s", "-o", "name"}, {"demo", "turn-on", "--for", "1s", "-o", "wide"}, {"demo", "turn-on", "--for", "2s", "-w"}, {"demo", "turn-on", "--for", "2s", "-w", "-o", "json"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skip(err)
			}
			defer full.Close()
			var stderr strings.Builder
			cmd := exec.CommandContext(t.Context(), binary, args...)
			cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), kubeconfig), full, &stderr
			err = cmd.Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitUnwritten || !strings.Contains(stderr.String(), "no space left on device") {
				t.Errorf("%v, %q: want exit code %d and why", err, stderr.String(), exitUnwritten)
			}
		})
	}
}
