package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/engine"
	"github.com/kubestickytop/stickytop/internal/report"
)

// what get can list.
var gettable = map[string]string{
	"session": "sessions", "sessions": "sessions", "pod": "pods", "pods": "pods", "po": "pods", "route": "routes", "routes": "routes",
	"pin": "pins", "pins": "pins",
	"finding": "findings", "findings": "findings",
}

func newGet(name string, streams genericiooptions.IOStreams, probes *probeFlags, cluster *clusterFlags, logFile *string) *cobra.Command {
	var out outputFlags
	var layer string
	cmd := &cobra.Command{
		Use:   "get sessions|pods|routes|findings|pins [TARGET]",
		Short: "Watch and probe for a while, then print what was seen",
		Example: fmt.Sprintf(`  %[1]s get sessions ing/msgapp --for 30s
  %[1]s get sessions ing/msgapp -o json
  %[1]s get sessions ing/msgapp -w -o json
  %[1]s get pods ing/msgapp -o custom-columns=POD:.name,PINS:.pins
  %[1]s get findings ing/msgapp -o wide
  %[1]s get findings -A               of every namespace; without -A of one
  %[1]s get routes -A
  %[1]s get pins -A --kernel local    on a node: who is pinned by address`, name),
		Args:              cobra.RangeArgs(1, 3),
		ValidArgsFunction: completeGet(cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			what, ok := gettable[args[0]]
			if !ok {
				return usageError("cannot get %q: use sessions, pods, routes, findings or pins", affinity.Clean(args[0], 60))
			}
			target, err := parseTarget(args[1:])
			if err != nil {
				return err
			}
			closer, err := logTo(*logFile)
			if err != nil {
				return err
			}
			if closer != nil {
				defer closer.Close()
			}
			c := config{probe: *probes, cluster: *cluster, target: target, version: version, streams: &streams}
			if what == "routes" {
				c.probe.noProbe = true
			}
			if what == "pins" {
				if err := c.pinsLayer(layer); err != nil {
					return err
				}
			}
			if what == "sessions" {
				if err := probes.checkSome(); err != nil {
					return err
				}
			}
			s, err := newSetup(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer s.end()
			return get(cmd.Context(), s, what, out, streams)
		},
	}
	out.add(cmd)
	cmd.Flags().StringVar(&layer, "layer", "clientip", "of get pins: the layer that pins")
	return cmd
}

// get runs s for the window, or until it is interrupted when it watches, and
// prints.
func get(ctx context.Context, s *setup, what string, out outputFlags, streams genericiooptions.IOStreams) error {
	p, err := report.NewPrinter(out.format, out.noHeaders)
	if err != nil {
		return &failure{code: exitUsage, err: err}
	}
	if out.watch && (what != "sessions" && what != "pins" || out.format != "" && out.format != "json" && out.format != "wide" && out.format != "name") {
		return usageError("-w prints sessions or pins, as a table, -o json or -o name")
	}
	if s.lookup != nil {
		if err := s.lookup(ctx); err != nil {
			return err
		}
	}
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.engine.Run(run); err != nil {
			cancel(err)
		}
	}()
	err = s.collect(run, what, out, streams)
	cancel(nil)
	<-ended
	if cause := context.Cause(run); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if ctx.Err() != nil && !out.watch {
		return ctx.Err()
	}
	if err != nil || out.watch {
		return err
	}
	return s.print(what, out, p, streams)
}

// collect waits for the window to pass, writing changes on the way if asked to.
func (s *setup) collect(ctx context.Context, what string, out outputFlags, streams genericiooptions.IOStreams) error {
	w := streams.Out
	var deadline <-chan time.Time
	if !out.watch || out.windowSaid {
		deadline = time.After(out.window)
	}
	if what == "pins" {
		watch := report.PinWatch{Format: out.format, Target: s.target}
		nodes := map[string]affinity.SourceState{}
		return s.collectPins(ctx, out, deadline, func(snap *affinity.Snapshot) error {
			tellNodes(snap, nodes, streams.ErrOut)
			return watch.Write(w, snap)
		})
	}
	var look <-chan time.Time
	if what == "findings" && s.judged != nil {
		t := time.NewTicker(routesSettle)
		defer t.Stop()
		look = t.C
	}
	settling, warned := false, false
	watch := report.Watch{Format: out.format, Options: report.Options{Reveal: out.reveal, Exchanges: out.exchanges}}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-deadline:
			return nil
		case <-look:
			if !settling && synced(s.engine.Snapshot()) && s.judged() {
				settling, deadline = true, time.After(routesSettle)
			}
		case <-s.engine.Changed():
			snap := s.engine.Snapshot()
			if what != "findings" { // those of a whole namespace need no choice: rules send nothing
				if err := s.selection(snap); err != nil {
					return err
				}
			}
			if routes := engine.Chosen(snap.Routes, s.target); s.unmatched != nil && !warned && len(routes) > 0 && synced(snap) {
				warned = true
				for _, text := range s.unmatched(routes) {
					fmt.Fprintln(streams.ErrOut, "warning: "+text)
				}
			}
			if what == "routes" && !settling && synced(snap) {
				// The routes are built a moment after the last kind is there.
				settling, deadline = true, time.After(routesSettle)
			}
			if out.watch {
				if err := watch.Write(w, snap); err != nil {
					return err
				}
			}
		}
	}
}

// routesSettle is how long get routes and, of objects alone, get findings wait
// for what the things that were listed last amount to: longer than a source
// collects changes (kube) and a snapshot is held back (engine).
const routesSettle = 300 * time.Millisecond

// synced reports whether every source has said what it can.
func synced(s *affinity.Snapshot) bool {
	for _, src := range s.Sources {
		if src.State == affinity.SourceSyncing || src.State == affinity.SourceStale && src.Name != affinity.AgentsSource {
			return false
		}
	}
	return len(s.Sources) > 0
}

// selection says what to choose from when the user named nothing and there is
// more than one thing.
func (s *setup) selection(snap *affinity.Snapshot) error {
	if s.readOnly || s.target.Kind != "" || !synced(snap) || len(engine.Chosen(snap.Routes, s.target)) > 0 {
		return nil
	}
	const most = 8
	var names []string
	seen := map[string]bool{}
	for _, r := range snap.Routes {
		t := affinity.Target{Kind: strings.ToLower(r.Kind), Name: r.Name}
		if key := r.Namespace + "/" + t.String(); s.target.Matches(r) && !seen[key] {
			seen[key] = true
			if t.Kind == "ingress" {
				t.Kind = "ing"
			}
			names = append(names, fmt.Sprintf("\n  %s -n %s   %s", t, r.Namespace, r.Host))
		}
	}
	if len(names) == 0 {
		return nil
	}
	text := strings.Join(names[:min(len(names), most)], "")
	if more := len(names) - most; more > 0 {
		all := ""
		if s.namespace == "" {
			all = " -A"
		}
		text += fmt.Sprintf("\n  and %d more: get routes%s lists them", more, all)
	}
	return &failure{code: exitUsage, err: fmt.Errorf("several Ingresses: name one of them"), hint: "there is" + text}
}

func (s *setup) print(what string, out outputFlags, p report.Printer, streams genericiooptions.IOStreams) error {
	snap := s.engine.Snapshot()
	o := report.Options{Reveal: out.reveal, Exchanges: out.exchanges, Target: s.target, All: s.namespace == ""}
	var list report.Printable
	switch what {
	case "pods":
		list = report.Pods(snap, o)
	case "routes":
		list = report.Routes(snap, o)
	case "pins":
		list = report.Pins(snap, s.target)
	case "findings":
		list = report.Findings(snap, o)
	default:
		list = report.Sessions(snap, o)
	}
	w := writes{to: streams.Out}
	if err := p(&w, list); w.err != nil { // printers of templates tell only its text
		return w.err
	} else if err != nil {
		// A template that does not fit: kubectl's printers add the whole object.
		text, _, _ := strings.Cut(err.Error(), "Printing more information")
		text, _, _ = strings.Cut(text, "\n")
		return usageError("-o: %s", affinity.Clean(strings.TrimRight(text, ". "), 300))
	}
	if what == "sessions" && out.format == "wide" {
		sayLetters(snap, streams.ErrOut)
	}
	if what == "sessions" || what == "findings" {
		compareKinds(streams.ErrOut, snap)
	}
	return s.verdict(snap, what, streams)
}

// sayUnseen tells which sources a list lacks.
func sayUnseen(snap *affinity.Snapshot, what string, w io.Writer) {
	for _, src := range snap.Sources {
		if what == "pins" && src.OfNode() {
			continue // pinsVerdict tells of it
		}
		switch src.State {
		case affinity.SourceForbidden, affinity.SourceStale:
			fmt.Fprintf(w, "warning: %s %s: %s\n", src.Name, src.State, src.Detail)
		case affinity.SourceAbsent:
			if src.OfNode() { // the user asked for it: --kernel
				fmt.Fprintf(w, "warning: %s: %s\n", src.Name, src.Detail)
			}
		case affinity.SourceSyncing:
			fmt.Fprintf(w, "warning: %s: %s\n", src.Name, cmp.Or(src.Detail, "no answer yet"))
		}
	}
}

// verdict tells on standard error what an empty or partial list does not.
func (s *setup) verdict(snap *affinity.Snapshot, what string, streams genericiooptions.IOStreams) error {
	sayUnseen(snap, what, streams.ErrOut)
	if what == "pins" {
		if text := keeps(snap.Dataplane); text != "" {
			fmt.Fprintln(streams.ErrOut, "note: "+text)
		}
		if why := strangeNode(s.machine, s.read, snap.Pods, ownAddresses()); s.machine != "" && why != "" {
			fmt.Fprintln(streams.ErrOut, "warning: "+why)
		}
		pins := report.Pins(snap, s.target)
		sayFilling(pins.Metadata.FillingLists, streams.ErrOut)
		if len(pins.Items) == 0 && len(snap.Sessions) > 0 && !slices.ContainsFunc(snap.Sessions, answered) {
			return s.unanswered(snap) // no connection of ours came to be, so none is pinned
		}
		for _, src := range snap.Sources {
			if src.Name == affinity.IngressPodsSource && src.State == affinity.SourceAbsent {
				fmt.Fprintln(streams.ErrOut, "note: "+src.Detail)
			}
		}
		if text := unpinned(snap, s.target); text != "" {
			fmt.Fprintln(streams.ErrOut, "note: "+text)
		}
		return pinsVerdict(snap)
	}
	if what != "routes" && what != "findings" {
		s.unasked(snap, streams.ErrOut)
	}
	routes := engine.Chosen(snap.Routes, s.target)
	switch {
	case what == "findings": // are of objects, which need no route; those of sessions need an answer
		if len(snap.Sessions) == 0 {
			return nil
		}
		s.unasked(snap, streams.ErrOut)
		return s.howTheyFare(snap, streams.ErrOut)
	case len(routes) == 0 && notTCP(snap, s.target) != "":
		return cannot("name a port of TCP", "port %s of svc/%s is %s, which is not asked", affinity.Clean(s.target.Port, 63), affinity.Clean(s.target.Name, 253), notTCP(snap, s.target))
	case len(routes) == 0 && s.target.Direct:
		return cannot("", "svc/%s has no address that can be asked in %s", affinity.Clean(s.target.Name, 253), s.where())
	case len(snap.Routes) == 0 && s.cluster && snap.Is("ingresses", affinity.SourceForbidden):
		return cannot("stickytop rbac --missing prints the Role to ask for", "what leads where in %s is not known: Ingresses may not be listed", s.where())
	case len(snap.Routes) == 0 && s.cluster:
		return cannot(s.otherwise(snap), "no Ingress found in %s%s", s.where(), s.selects())
	case len(routes) == 0 && s.target.Kind != "":
		return cannot(s.unselected(snap), "no Ingress leads to %s in %s%s%s", s.target, s.where(), s.selects(), needsNone(snap, s.target))
	case what == "sessions" && s.readOnly:
		fmt.Fprintf(streams.ErrOut, "note: --no-probe asks nobody; get routes and get findings tell of the routes here, %d of them\n", len(report.Routes(snap, report.Options{Target: s.target}).Items))
		return nil
	case what == "pods" || what == "sessions":
		sayContested(snap, routes, streams.ErrOut)
		for _, r := range routes {
			if text := unready(snap, r); text != "" {
				fmt.Fprintln(streams.ErrOut, "note: "+text)
			}
		}
	}
	if what != "sessions" {
		return nil
	}
	for _, r := range routes {
		if r.AddressFrom != "" && s.found {
			fmt.Fprintf(streams.ErrOut, "note: %s/%s has no address in its status: asked at %s, that of %s\n", strings.ToLower(r.Kind), r.Name, strings.Join(r.Addresses, ", "), r.AddressFrom)
		}
		if text := snap.NamelessText(r); text != "" {
			fmt.Fprintln(streams.ErrOut, "note: "+text)
		}
		if text := snap.RedirectsText(r); text != "" {
			fmt.Fprintln(streams.ErrOut, "note: "+text)
		}
		if text := snap.ElsewhereText(r); text != "" {
			fmt.Fprintln(streams.ErrOut, "note: "+text)
		}
	}
	return s.howTheyFare(snap, streams.ErrOut)
}

// howTheyFare says what became of sessions that do not work, and is the error of
// a run in which none was answered.
func (s *setup) howTheyFare(snap *affinity.Snapshot, w io.Writer) error {
	sayOfSockets(snap, w)
	if slices.ContainsFunc(snap.Sessions, answered) {
		sayHowTheyFail(snap, w)
		return nil
	}
	return s.unanswered(snap)
}

// needsNone says of a Service that was named why its clients need no affinity,
// as the end of a sentence.
func needsNone(snap *affinity.Snapshot, t affinity.Target) string {
	if s := snap.Named(t); s != nil && s.NeedsNone != "" {
		return "; it needs no affinity: " + s.NeedsNone
	}
	return ""
}

// sayContested says which of routes others claim too, and who answers them.
func sayContested(snap *affinity.Snapshot, routes []affinity.Route, w io.Writer) {
	const most = 8 // routes that are told
	told, more := 0, 0
	for _, r := range routes {
		all := r.Contested
		if text := snap.OthersText(r); text != "" {
			all = append([]string{text}, all...)
		}
		switch {
		case len(all) == 0:
		case told == most:
			more++
		default:
			told++
			for _, text := range all {
				fmt.Fprintf(w, "warning: %s/%s, %s: %s\n", strings.ToLower(r.Kind), r.Name, affinity.Clean(r.Host+r.Path, 120), text)
			}
		}
	}
	if more > 0 {
		fmt.Fprintf(w, "warning: others claim the host and path of %d more routes too: get routes tells of each\n", more)
	}
}

// unready says that the Service behind a route does not exist, or has no pod that
// is ready, where the cluster says so.
func unready(snap *affinity.Snapshot, r affinity.Route) string {
	return cmp.Or(snap.NoService(r), snap.NoneReady(r))
}

// answered reports whether the application behind the ingress answered x at
// all, be it to refuse, or in another version of Engine.IO.
func answered(x *affinity.Session) bool {
	return x.Requests > x.Failures || x.Refusals > 0 || x.LastFailure != nil && x.LastFailure.Kind == affinity.FailureVersion
}

// sayLetters is the key to the letters in LEGS: which pod each is.
func sayLetters(snap *affinity.Snapshot, w io.Writer) {
	const most = 12
	pods := map[string]string{}
	for _, x := range snap.Sessions {
		for _, l := range x.Legs {
			if l.Tag != "" && !l.Pod.IsZero() {
				pods[l.Tag] = l.Pod.Name
			}
		}
	}
	if len(pods) == 0 {
		return
	}
	tags := slices.SortedFunc(maps.Keys(pods), func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	var parts []string
	for _, tag := range tags[:min(len(tags), most)] {
		parts = append(parts, tag+" "+affinity.Clean(pods[tag], 80))
	}
	text := strings.Join(parts, ", ")
	if more := len(tags) - most; more > 0 {
		text += fmt.Sprintf(", and %d more: -o json names them", more)
	}
	fmt.Fprintln(w, "note: in LEGS: "+text)
}

// sayOfSockets tells what became of held connections: the table's narrow form
// has no room for it. Connections that ended alike share a line.
func sayOfSockets(snap *affinity.Snapshot, w io.Writer) {
	const most = 6
	type way struct {
		by   affinity.EndedBy
		kind affinity.FailureKind
		code int
		text string // where none of that tells: what a namespace, a server or a proxy said
	}
	var ways []way
	lost := map[way][]*affinity.Session{}
	var notes []string
	all := 0
	for _, x := range snap.Sessions {
		if x.Socket != nil || x.LastEnd != nil {
			all++
		}
		if end := x.LastEnd; end != nil && end.Failed != nil {
			alike := way{by: end.By, kind: end.Failed.Kind, code: end.Code}
			if end.By != affinity.EndedByUnknown { // whose texts tell of silences
				alike.text = end.Text
			}
			if lost[alike] == nil {
				ways = append(ways, alike)
			}
			lost[alike] = append(lost[alike], x)
		}
		if x.Socket != nil && x.Socket.Note != "" && !slices.Contains(notes, x.Socket.Note) {
			notes = append(notes, x.Socket.Note)
		}
	}
	slices.SortStableFunc(ways, func(a, b way) int { return len(lost[b]) - len(lost[a]) })
	for _, alike := range ways[:min(len(ways), most)] {
		x := lost[alike][0]
		who := string(x.Spec.ID)
		if n := len(lost[alike]); n > 1 {
			who = fmt.Sprintf("%d of %d sessions, as %s", n, all, who)
		}
		fmt.Fprintln(w, "note: connection lost, "+affinity.Clean(fmt.Sprintf("%s after %s: %s", who, x.LastEnd.Lasted.Round(100*time.Millisecond), x.LastEnd.Text), 200))
	}
	more := 0
	for _, alike := range ways[min(len(ways), most):] {
		more += len(lost[alike])
	}
	if more > 0 {
		fmt.Fprintf(w, "note: and those of %d more of %d sessions; -o wide lists them\n", more, all)
	}
	for _, text := range notes {
		fmt.Fprintln(w, "note: "+affinity.Clean(text, 200))
	}
}

// sayHowTheyFail tells why no session works, where that is so.
func sayHowTheyFail(snap *affinity.Snapshot, w io.Writer) {
	open, why := 0, ""
	for _, x := range snap.Sessions {
		if !x.ClosedAt.IsZero() {
			continue
		}
		c, detail := x.Condition(snap.At)
		if c != affinity.Failing {
			return
		}
		open++
		if x.Spec.Transport == "ws" && x.Refusals > 0 {
			detail += " (the server speaks Engine.IO: --transport socketio)"
		}
		if f := x.LastFailure; f != nil && f.Kind == affinity.FailureVersion {
			detail += " (" + x.Advice() + ")"
		}
		why = cmp.Or(why, detail)
	}
	if open > 0 {
		fmt.Fprintf(w, "note: every session fails: %s\n", affinity.Clean(why, 300))
	}
}

// unanswered says what kept every session from an answer of the application,
// and what to try.
func (s *setup) unanswered(snap *affinity.Snapshot) error {
	for _, x := range snap.Sessions {
		f := x.LastFailure
		if f == nil {
			continue
		}
		speaks := ""
		if x.Spec.Transport == "ws" && (f.Kind == affinity.FailureOther || f.Kind == affinity.FailureClosed || f.Kind == affinity.FailureForeign || affinity.BadStatus(x.LastStatus)) {
			speaks = "where the server speaks Socket.IO, --transport socketio; "
		}
		if x.Spec.Transport == "socketio" && affinity.BadStatus(x.LastStatus) {
			speaks = "--socketio-path says where the Socket.IO server is; "
		}
		advice := x.Advice()
		switch {
		case advice != "" && f.Kind == affinity.FailureForeign:
			return cannot(advice, "no session was answered in Engine.IO: %s", f.Text)
		case advice != "" && x.Spec.Transport == "ws":
			return cannot(advice, "no session was held: %s", f.Text)
		case advice != "":
			return cannot(advice, "no session got to see an answer: %s", f.Text)
		case affinity.BadStatus(x.LastStatus):
			return cannot(speaks+statusHint(x.LastStatus), "no session was answered by a pod: %s", f.Text)
		}
		if f.Kind == affinity.FailureRedirect {
			return cannot("--url with the address that it leads to asks there; --path asks for a page that needs no sign-in, --header adds what the server asks for",
				"every session was sent away: %s", f.Text)
		}
		return cannot(speaks+s.elsewhere(), "no session was answered: %s", f.Text)
	}
	return cannot("a longer --for may help", "no session was answered in time")
}

// statusHint is what to try when every answer has that status.
func statusHint(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "--header adds what it asks for, --path asks for another path"
	case http.StatusTooManyRequests:
		return "--interval 10s and --sessions 1 ask less often"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "a proxy answers, and no backend behind it: are its pods ready? --path asks for another path, --host for another name"
	}
	return "--path asks for another path, --host for another name"
}

// unasked says why sessions have not had their first turn.
func (s *setup) unasked(snap *affinity.Snapshot, w io.Writer) {
	waiting := 0
	for _, x := range snap.Sessions {
		if x.Requests == 0 && x.ClosedAt.IsZero() {
			waiting++
		}
	}
	if waiting == 0 || s.round == nil {
		return
	}
	text := fmt.Sprintf("%d of %d sessions have no answer yet", waiting, len(snap.Sessions))
	if round := s.round(len(snap.Sessions)).Round(time.Second); round > time.Second {
		text += fmt.Sprintf(": at %g requests/s a first round takes %s; a longer --for waits for it, --max-rps makes it shorter", s.maxRPS, round)
	}
	fmt.Fprintln(w, "warning: "+text)
}

// elsewhere is what to try where nothing answers.
func (s *setup) elsewhere() string {
	if s.target.Direct { // past any ingress
		return "a Service's own address answers on the nodes and in the pods of its cluster; --url http://NODE:NODEPORT asks another of its front doors"
	}
	if s.via != "" {
		return "--via-controller=NAMESPACE/POD names another pod; a port-forward takes the rights to get that pod and to create pods/portforward, " +
			"stickytop rbac --missing --via-controller prints the Role to ask for"
	}
	if !s.cluster {
		return "--resolve HOST:PORT:ADDRESS connects to another address; curl -v URL shows what is there"
	}
	return "--resolve HOST:PORT:ADDRESS or --url says where the ingress is, --via-controller goes through the API server"
}

// selects names the selector that narrows the routes, as the end of a sentence.
func (s *setup) selects() string {
	if s.selector == "" {
		return ""
	}
	return " that -l " + affinity.Clean(s.selector, 200) + " selects"
}

// unselected says how many Ingresses there are without the selector.
func (s *setup) unselected(snap *affinity.Snapshot) string {
	i := slices.IndexFunc(snap.Sources, func(x affinity.SourceStatus) bool { return x.Name == "ingresses" })
	switch {
	case s.selector == "" || i < 0 || snap.Sources[i].State != affinity.SourceLive || snap.Sources[i].Objects == 0:
		return ""
	case snap.Sources[i].Objects == 1:
		return "without -l there is one Ingress"
	}
	return fmt.Sprintf("without -l there are %d Ingresses", snap.Sources[i].Objects)
}

// otherwise is what to try where there is no route.
func (s *setup) otherwise(snap *affinity.Snapshot) string {
	return cmp.Or(s.unselected(snap), "-A looks in all namespaces, --url probes without a cluster, stickytop demo needs none")
}

func (s *setup) where() string {
	if s.namespace == "" {
		return "any namespace"
	}
	return fmt.Sprintf("namespace %q", s.namespace)
}
