package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// A value that cannot be meant is a wrong command line: it is neither sent nor
// replaced by another.
func TestValuesAreRefused(t *testing.T) {
	t.Setenv("KUBECONFIG", os.DevNull)
	for flags, says := range map[string]string{
		"--interval 0s":                     "--interval 0s: must be 100ms to 1h",
		"--interval -1s":                    "--interval -1s: must be 100ms to 1h",
		"--interval 1ns":                    "--interval 1ns: must be",
		"--interval 9999h":                  "--interval 9999h0m0s: must be",
		"--probe-timeout 0s":                "--probe-timeout 0s: must be 10ms to 10m",
		"--probe-timeout -5s":               "--probe-timeout -5s: must be",
		"--probe-timeout 24h":               "--probe-timeout 24h0m0s: must be",
		"--max-rps 0":                       "--max-rps 0: must be above 0, at most 5000",
		"--max-rps -1":                      "--max-rps -1: must be",
		"--max-rps NaN":                     "--max-rps NaN: must be",
		"--max-rps Inf":                     "--max-rps +Inf: must be",
		"--max-rps 1e9":                     "--max-rps 1e+09: must be",
		"--sessions -1":                     "--sessions -1: must not be negative",
		"--sessions 0":                      "--sessions 0: there would be none to print",
		"--sessions 501":                    "--sessions 501: at most 500",
		"--max-sessions 0":                  "--max-sessions 0: must be 1 to 500",
		"--for 0s":                          "--for 0s: must be above 0, at most 168h",
		"--for -1s":                         "--for -1s: must be",
		"--for 99999h":                      "--for 99999h0m0s: must be",
		"--transport xx":                    `--transport "xx": use http, `,
		"--idle":                            "--idle is for --transport ws",
		"--socketio-ask x":                  "--socketio-ask is for --transport socketio",
		"--socketio-path /x --transport ws": "--socketio-path is for --transport socketio",
		"--pod-json ...":                    `--pod-json "...": write a path as pod.name`,
		"--pod-header a:b":                  `--pod-header "a:b": not a header's name`,
		"--cookie a;b":                      `--cookie "a;b": not a cookie's name`,
		"--url http://127.0.0.1:9":          "a URL and --url",
		"--resolve other.test:9:127.0.0.1":  "--resolve other.test:9:127.0.0.1 is for nothing that is asked here, which is 127.0.0.1:9",
		"--client \x1b[2J":                  `--client "·[2J": use browser, browser-cross-site, no-jar`,
	} {
		refused(t, "get sessions http://127.0.0.1:9/ "+flags, says)
	}
	for flags, says := range map[string]string{
		"--request-timeout abc":     `--request-timeout "abc": write seconds`,
		"--request-timeout -5s":     "--request-timeout -5s: must be 0 for none, or at least 10ms",
		"--request-timeout 0.001ms": "must be 0 for none, or at least 10ms",
		"-n a/b":                    `--namespace "a/b": not a namespace's name`,
		"-n \x1b[2J":                `--namespace "·[2J": not a namespace's name`,
		"--resolve x:80:127.0.0.1 --via-controller":       "--resolve and --via-controller: a port-forward goes to a pod",
		"--resolve x:80:127.0.0.1 --url http://127.0.0.1": "--resolve x:80:127.0.0.1 is for nothing that is asked here, which is 127.0.0.1:80",
		"-l a=b=c": `--selector "a=b=c" cannot be read`,
	} {
		refused(t, "get sessions ing/x --server http://127.0.0.1:9 "+flags, says)
	}
}

// refused runs a command line, split at spaces, that has to end with exitUsage.
func refused(t *testing.T, line, says string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var out, errs strings.Builder
	code := run(ctx, append([]string{"stickytop"}, strings.Fields(line)...), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errs})
	if code != exitUsage || !strings.HasPrefix(errs.String(), "error: "+says) && !strings.Contains(errs.String(), says) || out.Len() > 0 {
		t.Errorf("%s: exit code %d, %q and %q\nwant %d, %q", line, code, out.String(), errs.String(), exitUsage, says)
	}
}

// A command takes the flags that count for it, and refuses the others.
func TestFlagsAreOfferedWhereTheyCount(t *testing.T) {
	t.Setenv("KUBECONFIG", os.DevNull)
	const own = "hint: the demo is a world of its own, without a cluster"
	for line, says := range map[string]string{
		"demo -n x":                                       own,
		"-n x demo":                                       own,
		"demo --context x":                                own,
		"demo --kubeconfig /dev/null":                     own,
		"demo -A":                                         own,
		"demo -l a=b":                                     own,
		"demo --kernel local":                             own,
		"demo --url http://127.0.0.1:9":                   own,
		"demo --host x --resolve x:1:y":                   own,
		"demo --via-controller":                           own,
		"demo --no-probe":                                 own,
		"demo --socketio-namespace /x":                    own,
		"demo --ws-subprotocol x":                         own,
		"demo --socketio-path /x":                         "--socketio-path is for --transport socketio",
		"demo --socketio-auth {}":                         "--socketio-auth is for --transport socketio",
		"demo --ws-header X:y":                            "--ws-header is for --transport ws",
		"demo --idle":                                     "--idle is for --transport ws",
		"demo --client ws-only":                           "--client ws-only is for --transport socketio",
		"demo --no-such":                                  "hint: see 'stickytop --help'",
		"demo --sessions 0 -o json":                       "--sessions 0: there would be none to print",
		"version -n x":                                    "unknown shorthand flag: 'n' in -n",
		"version --sessions 3":                            "unknown flag: --sessions",
		"explain D01 --kubeconfig x":                      "unknown flag: --kubeconfig",
		"lint --sessions 3 -f -":                          "unknown flag: --sessions",
		"lint --agents 3 -f -":                            "unknown flag: --agents",
		"agent --kubeconfig x":                            "unknown flag: --kubeconfig",
		"agents ls -l a=b":                                "unknown shorthand flag: 'l' in -l",
		"agents up --sessions 3":                          "unknown flag: --sessions",
		"lint -l a=b":                                     "unknown shorthand flag: 'l' in -l",
		"rbac --url http://127.0.0.1:9":                   "unknown flag: --url",
		"decode lb=1 --interval 1s":                       "unknown flag: --interval",
		"-n a/b get sessions ing/x -s http://127.0.0.1:9": `--namespace "a/b"`, // before the command, as kubectl takes it
		"--interval 0s get pods ing/x":                    "--interval 0s",
		"get -n a/b routes -s http://127.0.0.1:9":         `--namespace "a/b"`,
	} {
		refused(t, line, says)
	}
}

func TestVersionFlag(t *testing.T) {
	var texts []string
	for _, arg := range []string{"version", "--version"} {
		var out strings.Builder
		if code := run(t.Context(), []string{"stickytop", arg}, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}); code != exitOK {
			t.Errorf("%s: exit code %d", arg, code)
		}
		texts = append(texts, out.String())
	}
	if texts[0] != texts[1] || !strings.HasPrefix(texts[0], "stickytop ") {
		t.Errorf("version prints %q, --version %q", texts[0], texts[1])
	}
}

func TestValuesAtTheEdgeAreTaken(t *testing.T) {
	for _, set := range []func(*probeFlags){
		func(f *probeFlags) { f.interval = minInterval },
		func(f *probeFlags) { f.interval = time.Hour },
		func(f *probeFlags) { f.maxRPS = 0.1 },
		func(f *probeFlags) { f.maxRPS = 5000 },
		func(f *probeFlags) { f.timeout = minTimeout },
		func(f *probeFlags) { f.transports, f.socket.Idle = []string{"http", "ws"}, true },
		func(f *probeFlags) { f.transports, f.socket.IOAsk = []string{"socketio"}, "whoami" },
		func(f *probeFlags) { f.podJSON = ".pod.name" },
		func(f *probeFlags) { f.cookie = "INGRESSCOOKIE" },
	} {
		f := noProbes()
		set(&f)
		if err := f.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1h", 10 * time.Minute: "10m", 100 * time.Millisecond: "100ms", 90 * time.Second: "1m30s", 168 * time.Hour: "168h", 0: "0s", 10 * time.Second: "10s", 20 * time.Hour: "20h"} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %q, want %q", d, got, want)
		}
	}
}
