package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

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
	all := affinity.CompareKinds(snap)
	for i := 0; i < len(all); {
		end := i
		for end < len(all) && all[end].Route == all[i].Route {
			end++
		}
		if c := newComparison(snap, all[i:end]); len(c.all) > 1 {
			fmt.Fprintf(w, "\n%s\n", affinity.Clean(string(all[i].Route), 200))
			for _, m := range c.all {
				fmt.Fprintf(w, "  %-20s %d of %d held, %d wander, %d fail, %d not known; %d requests, %d failed, %d moves, %d unheld\n",
					c.name(m), m.Held, m.Sessions, m.Wander, m.Broken, m.Unknown, m.Requests, m.Failures, m.Moves, m.Unheld)
			}
			fmt.Fprintf(w, "  verdict: %s\n", c.verdict())
		}
		i = end
	}
}

// comparison is of the kinds of sessions on one route.
type comparison struct {
	snap             *affinity.Snapshot
	all              []affinity.KindSummary
	models, speaking bool // in which they differ
}

func newComparison(snap *affinity.Snapshot, all []affinity.KindSummary) comparison {
	c := comparison{snap: snap, all: all}
	for _, m := range all {
		c.models = c.models || m.Client != all[0].Client
		c.speaking = c.speaking || m.Transport != all[0].Transport
	}
	return c
}

func (c comparison) name(m affinity.KindSummary) string {
	switch {
	case !c.speaking:
		return string(m.Client)
	case !c.models:
		return m.Transport
	}
	return m.Transport + " " + string(m.Client)
}

// noun is what differs.
func (c comparison) noun() string {
	switch {
	case !c.speaking:
		return "client model"
	case !c.models:
		return "transport"
	}
	return "transport with every client model"
}

// verdict says in one line what the difference is, no more than was seen.
func (c comparison) verdict() string {
	text := ""
	for _, f := range c.snap.Findings {
		if f.Rule == "B07" && f.Route == c.all[0].Route && f.Session != "" {
			text = f.Title
		}
	}
	if text != "" && !c.speaking {
		return text + c.other(text)
	}
	if text != "" {
		text += "; "
	}
	text += c.difference()
	var once, unknown []string
	for _, m := range c.all {
		if m.Unknown == m.Sessions {
			unknown = append(unknown, c.name(m))
		}
		if m.Once == m.Sessions {
			once = append(once, c.name(m))
		}
	}
	if len(once) > 0 {
		text += "; " + strings.Join(once, ", ") + ": one request a session, which shows no more than where it went"
	}
	if len(unknown) > 0 && len(unknown) < len(c.all) {
		text += "; not known for " + strings.Join(unknown, ", ") + namePods
	}
	return text + c.other(text)
}

// other names the rules that sessions showed and text does not: one pod may hold
// them all and still refuse some requests.
func (c comparison) other(text string) string {
	var rules []string
	for _, f := range c.snap.Findings {
		if f.Route == c.all[0].Route && f.Session != "" && strings.HasPrefix(f.Rule, "I") && !strings.Contains(text, f.Rule) && !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	if len(rules) == 0 {
		return ""
	}
	return "; they show " + strings.Join(rules, ", ") + " too: get findings"
}

const namePods = ": nothing names the pods that answered (--pod-header, --pod-json, --path)"

// difference is the verdict on the kinds whose pods are known.
func (c comparison) difference() string {
	var held, not []string // each all or nothing, or told with its numbers
	known, failing, partly := 0, 0, false
	for _, m := range c.all {
		switch broken := c.breaks(m); {
		case m.Unknown == m.Sessions:
			continue
		case m.Held == m.Sessions && m.Once < m.Sessions:
			held = append(held, c.name(m))
		case m.Held == m.Sessions: // one request each
		case m.Broken > 0 && broken == "" && m.Wander == 0:
			partly = true
			if m.Broken == m.Sessions {
				failing++
			}
			not = append(not, fmt.Sprintf("%s (%d of %d fail%s)", c.name(m), m.Broken, m.Sessions, c.why(m)))
		default:
			partly = partly || m.Held > 0
			not = append(not, fmt.Sprintf("%s (%d of %d%s)", c.name(m), m.Held, m.Sessions, broken))
		}
		known++
	}
	switch {
	case known == 0:
		return "not known" + namePods
	case failing == len(c.all):
		return "every session fails"
	case len(not) == 0 && len(held) == len(c.all):
		return "every " + c.noun() + " was held by one pod"
	case len(not) == 0 && len(held) > 0:
		return "held by one pod: " + strings.Join(held, ", ")
	case len(not) == 0:
		return "not known: too few requests"
	case len(held) > 0 && c.speaking && !partly:
		return "sticky only for " + strings.Join(held, ", ") + ", not for " + strings.Join(not, ", ")
	case len(held) == 0 && !partly && len(not) == len(c.all):
		return "no " + c.noun() + " was held"
	}
	return "not held the same: " + strings.Join(not, ", ")
}

// why is how the first session of a kind that fails does.
func (c comparison) why(m affinity.KindSummary) string {
	for _, x := range c.snap.Sessions {
		if x.Spec.Route == m.Route && x.Spec.Transport == m.Transport && x.Spec.Client == m.Client && x.InARow > 0 && x.LastFailure != nil {
			return ": " + affinity.Clean(x.LastFailure.Text, 100)
		}
	}
	return ""
}

// breaks is the rule that says that failures of a kind are ones of affinity: its
// requests were answered by pods that do not have the session.
func (c comparison) breaks(m affinity.KindSummary) string {
	for _, f := range c.snap.Findings {
		if f.Route != m.Route || f.Rule != "I01" && f.Rule != "I03" && f.Rule != "B07" {
			continue
		}
		for _, x := range c.snap.Sessions {
			if x.Spec.ID == f.Session && x.Spec.Transport == m.Transport && x.Spec.Client == m.Client {
				return ", " + f.Rule
			}
		}
	}
	return ""
}
