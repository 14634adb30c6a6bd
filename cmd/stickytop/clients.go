package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/pflag"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func (f *probeFlags) addClients(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.client, "client", []string{string(affinity.ClientBrowser)},
		"how the sessions treat cookies: browser (keeps a jar), browser-cross-site (a page at --origin), no-jar, ws-only (Socket.IO without polling), tabs=N (N sessions, one jar), reload=DURATION|REQUESTS; several take turns")
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
		switch kind := m.Kind(); {
		case kind == affinity.ClientWSOnly && f.transport != "socketio":
			return usageError("--client ws-only is for --transport socketio")
		case kind == affinity.ClientReload && f.transport != "socketio" && f.transport != "ws":
			return usageError("--client reload is for sessions that hold a connection: --transport ws or socketio")
		case kind == affinity.ClientReload && f.transport == "ws" && hasRequests(m):
			return usageError("--client %s: a WebSocket is one request; give a duration", m)
		case kind == affinity.ClientCrossSite && f.socket.Origin == "":
			return usageError("--client browser-cross-site acts for a page elsewhere: name its origin with --origin")
		}
	}
	return nil
}

func hasRequests(m affinity.ClientModel) bool {
	n, _ := m.Reload()
	return n > 0
}

// compareModels prints what the sessions of each client model came to, where
// there is more than one, and the verdict that is in the difference.
func compareModels(w io.Writer, snap *affinity.Snapshot) {
	all := affinity.CompareModels(snap)
	for i := 0; i < len(all); {
		end := i
		for end < len(all) && all[end].Route == all[i].Route {
			end++
		}
		if end-i > 1 {
			fmt.Fprintf(w, "\n%s\n", affinity.Clean(string(all[i].Route), 200))
			for _, m := range all[i:end] {
				fmt.Fprintf(w, "  %-20s %d of %d held, %d wander, %d fail, %d not known; %d requests, %d failed, %d moves, %d unheld\n", m.Client, m.Held, m.Sessions, m.Wander, m.Broken, m.Unknown, m.Requests, m.Failures, m.Moves, m.Unheld)
			}
			fmt.Fprintf(w, "  %s\n", modelVerdict(snap, all[i:end]))
		}
		i = end
	}
}

// modelVerdict says in one line what the models' difference is, no more than
// was seen.
func modelVerdict(snap *affinity.Snapshot, all []affinity.ModelSummary) string {
	for _, f := range snap.Findings {
		if f.Rule == "B07" && f.Route == all[0].Route && f.Session != "" {
			return "verdict: " + f.Title
		}
	}
	held, sessions := 0, 0
	for _, m := range all {
		if m.Unknown == m.Sessions {
			return fmt.Sprintf("verdict: not known: nothing names the pods that answered %s (--pod-header, --pod-json, --path)", m.Client)
		}
		held, sessions = held+m.Held, sessions+m.Sessions
	}
	switch held {
	case sessions:
		return "verdict: every client model was held by one pod"
	case 0:
		return "verdict: no client model was held"
	}
	text := "verdict: not held the same:"
	for _, m := range all {
		if m.Held < m.Sessions {
			text += fmt.Sprintf(" %s (%d of %d)", m.Client, m.Held, m.Sessions)
		}
	}
	return text
}
