package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/pflag"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe"
)

func (f *probeFlags) addClients(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.client, "client", []string{string(affinity.ClientBrowser)},
		"how the sessions treat cookies: browser (keeps a jar), browser-cross-site (a page at --origin), no-jar, ws-only (Socket.IO without polling), tabs=N (N sessions, one jar), reload=DURATION|REQUESTS (requests of Socket.IO by polling alone); several take turns")
	fs.BoolVar(&f.compare, "compare", false, "compare client models in one run: those of --client, or browser and no-jar")
}

// checkClients reads --client and --compare.
func (f *probeFlags) checkClients() error {
	f.models = nil
	words := f.client
	if len(words) == 0 {
		words = []string{string(affinity.ClientBrowser)}
	}
	if f.compare && len(words) == 1 {
		given := words[0]
		words = []string{string(affinity.ClientBrowser), string(affinity.ClientNoJar)}
		if !slices.Contains(words, given) {
			words = append(words, given)
		}
	}
	for _, word := range words {
		m, err := affinity.ParseClient(word)
		if err != nil {
			return usageError("--client %w", err)
		}
		if slices.Contains(f.models, m) {
			return usageError("--client %s: named twice", m)
		}
		f.models = append(f.models, m)
		spoken := slices.ContainsFunc(f.transports, m.Speaks)
		switch kind := m.Kind(); {
		case kind == affinity.ClientWSOnly && !spoken:
			return usageError("--client ws-only is for --transport socketio")
		case kind == affinity.ClientReload && !spoken && f.speaks("ws"):
			return usageError("--client %s: a WebSocket is one request; give a duration", m)
		case kind == affinity.ClientReload && !spoken:
			return usageError("--client reload is for sessions that hold a connection: --transport ws or socketio")
		case kind == affinity.ClientReload && countsRequests(m) && f.socket.IOTransports != probe.IOPolling:
			return usageError("--client %s: once it is upgraded, a Socket.IO session makes no requests to count; give a duration, or --socketio-transports polling", m)
		case kind == affinity.ClientCrossSite && f.socket.Origin == "":
			return usageError("--client browser-cross-site acts for a page elsewhere: name its origin with --origin")
		}
	}
	return nil
}

func countsRequests(m affinity.ClientModel) bool {
	n, _ := m.Reload()
	return n > 0
}

// compareKinds prints what the sessions of each client model and transport came
// to, where there is more than one, and the verdict that is in the difference.
func compareKinds(w io.Writer, snap *affinity.Snapshot) {
	for _, c := range affinity.Compare(snap) {
		fmt.Fprintf(w, "\n%s\n", affinity.Clean(string(c.Route), 200))
		for _, m := range c.Kinds {
			fmt.Fprintf(w, "  %-20s %d of %d held, %d wander, %d fail, %d not known; %d requests, %d failed, %d moves, %d unheld\n",
				c.Name(m), m.Held, m.Sessions, m.Wander, m.Broken, m.Unknown, m.Requests, m.Failures, m.Moves, m.Unheld)
		}
		fmt.Fprintf(w, "  verdict: %s\n", c.Verdict)
	}
}
