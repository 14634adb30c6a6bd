package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/net/http/httpguts"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe"
)

// What numbers and durations may be. A value outside is a mistake, never
// silently another.
const (
	minInterval, maxInterval = 100 * time.Millisecond, time.Hour
	minTimeout, maxTimeout   = 10 * time.Millisecond, 10 * time.Minute
	maxWindow                = 7 * 24 * time.Hour
	maxRPS                   = float64(probe.MaxSessions) * float64(time.Second) / float64(minInterval) // all sessions at their fastest
)

func between(flag string, d, least, most time.Duration) error {
	if d < least || d > most {
		return usageError("--%s %s: must be %s to %s", flag, d, short(least), short(most))
	}
	return nil
}

// short is d without the zeros that Duration.String writes: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// noProbes are the flags of a run that only watches.
func noProbes() probeFlags {
	var f probeFlags
	f.add(pflag.NewFlagSet("", pflag.ContinueOnError))
	f.noProbe = true
	return f
}

// checkRanges refuses what no run could mean.
func (f *probeFlags) checkRanges() error {
	switch {
	case math.IsNaN(f.maxRPS) || f.maxRPS <= 0 || f.maxRPS > maxRPS:
		return usageError("--max-rps %g: must be above 0, at most %g", f.maxRPS, maxRPS)
	}
	return cmp.Or(
		between("interval", f.interval, minInterval, maxInterval),
		between("probe-timeout", f.timeout, minTimeout, maxTimeout),
		f.checkTransport(),
		f.checkNames(),
	)
}

// checkSome refuses to print sessions where there would be none; on a screen
// they can be opened later.
func (f *probeFlags) checkSome() error {
	if f.sessions == 0 && !f.noProbe {
		return usageError("--sessions 0: there would be none to print")
	}
	return nil
}

// speaks reports whether some of the sessions speak a transport.
func (f *probeFlags) speaks(transport string) bool { return slices.Contains(f.transports, transport) }

// checkTransport refuses what none of the transports would look at.
func (f *probeFlags) checkTransport() error {
	if len(f.transports) == 0 {
		return usageError("--transport names none: use %s", strings.Join(probe.Transports(), ", "))
	}
	for i, t := range f.transports {
		switch {
		case !slices.Contains(probe.Transports(), t):
			return usageError("--transport %q: use %s", affinity.Clean(t, 40), strings.Join(probe.Transports(), ", "))
		case slices.Contains(f.transports[:i], t):
			return usageError("--transport %s: named twice", t)
		}
	}
	if f.socket.Idle && !f.speaks("ws") {
		return usageError("--idle is for --transport ws")
	}
	defaults := noProbes().socket
	for name, said := range map[string]bool{
		"path": f.socket.IOPath != defaults.IOPath, "namespace": f.socket.IONamespace != defaults.IONamespace,
		"transports": f.socket.IOTransports != defaults.IOTransports, "ask": f.socket.IOAsk != "", "event": f.socket.IOEvent != "",
	} {
		if said && !f.speaks("socketio") {
			return usageError("--socketio-%s is for --transport socketio", name)
		}
	}
	return nil
}

func (f *probeFlags) checkNames() error {
	switch {
	case f.cookie != "" && !httpguts.ValidHeaderFieldName(f.cookie): // both are tokens
		return usageError("--cookie %q: not a cookie's name", affinity.Clean(f.cookie, 80))
	case f.podHeader != "" && !httpguts.ValidHeaderFieldName(f.podHeader):
		return usageError("--pod-header %q: not a header's name", affinity.Clean(f.podHeader, 80))
	case f.podJSON != "" && slices.Contains(strings.Split(strings.TrimPrefix(f.podJSON, "."), "."), ""):
		return usageError("--pod-json %q: write a path as pod.name", affinity.Clean(f.podJSON, 80))
	}
	return nil
}

// minRequestTimeout keeps --request-timeout from being shorter than any answer.
const minRequestTimeout = 10 * time.Millisecond

// check refuses kubectl's flags whose values client-go would take for a broken
// kubeconfig or for a cluster that is away.
func (f *clusterFlags) check() error {
	if namespace := f.config.overrides.Context.Namespace; namespace != "" {
		if wrong := content.IsDNS1123Label(namespace); len(wrong) > 0 {
			return usageError("--namespace %q: not a namespace's name", affinity.Clean(namespace, 80))
		}
	}
	timeout, err := clientcmd.ParseTimeout(f.config.overrides.Timeout)
	switch {
	case err != nil:
		return usageError("--request-timeout %q: write seconds, or a number with its unit as 30s", affinity.Clean(f.config.overrides.Timeout, 40))
	case timeout < 0, timeout > 0 && timeout < minRequestTimeout:
		return usageError("--request-timeout %s: must be 0 for none, or at least %s", timeout, minRequestTimeout)
	}
	if f.selector != "" {
		if _, err := labels.Parse(f.selector); err != nil {
			return &failure{code: exitUsage, err: fmt.Errorf("--selector %q cannot be read", affinity.Clean(f.selector, 120)), hint: "write it as kubectl does: -l app=web,tier!=db"}
		}
	}
	return nil
}
