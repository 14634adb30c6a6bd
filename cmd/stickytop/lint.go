package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/manifest"
	"github.com/kubestickytop/stickytop/internal/report"
)

// exitFindings: lint found something at or over --fail-on.
const exitFindings = 1

type lintFlags struct {
	files  []string
	format string
	failOn string
	only   []string
	skip   []string
	all    bool

	ignored bool
}

func newLint(name string, streams genericiooptions.IOStreams, cluster *clusterFlags) *cobra.Command {
	var o lintFlags
	cmd := &cobra.Command{
		Use:   "lint [-f FILE|DIR|-]",
		Short: "Check manifests, or a cluster's objects, for what breaks sticky sessions",
		Long: `lint judges objects by the rules of docs/rules.md; "explain ID" tells about one.

With -f it reads files and needs no cluster. Documents of kinds that no rule
reads are passed over, templates of a Helm chart that are not rendered are
counted on standard error. Without -f it reads the cluster's objects, once.

A comment in a document, or an annotation, silences a rule for its object:
  # stickytop.dev/ignore: A04 both Ingresses are edited together
One without a reason, or of no rule, silences nothing, and a warning says so.
An annotation takes several, parted by semicolons or lines.

Exit codes: 0 nothing at or over --fail-on, 1 something, 2 the command line is
wrong, 3 something could not be read, a Helm template, or Services or routes that
a right is missing for, among it, or all that -f names is empty. Input without an object that rules read exits 0, with a warning.`,
		Example: fmt.Sprintf(`  helm template ./chart | %[1]s lint -f -
  kustomize build overlays/prod | %[1]s lint -f - -o sarif
  %[1]s lint -f manifests/ --fail-on medium --skip L01
  %[1]s lint -n shop`, name),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("lint takes no %q: files and directories are named with -f", affinity.Clean(args[0], 80))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return unless(ctx, func() error { return lint(ctx, o, cluster, streams) })
		},
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&o.files, "filename", "f", nil, "file or directory to read instead of a cluster; - for standard input")
	fs.StringVarP(&o.format, "output", "o", "text", strings.Join(report.LintFormats, ", "))
	fs.StringVar(&o.failOn, "fail-on", "high", "least severity that fails: low, medium, high, critical, or never")
	fs.StringSliceVar(&o.only, "rule", nil, "check these rules only")
	fs.StringSliceVar(&o.skip, "skip", nil, "do not check these rules")
	fs.BoolVar(&o.all, "all", false, "text: print what passed, and what is ignored, too")
	fs.BoolVar(&o.ignored, "show-ignored", false, "list what objects silence, with the reasons; SARIF: as suppressed results (json and junit always have it)")
	completeFlag(cmd, "output", report.LintFormats...)
	completeFlag(cmd, "fail-on", "low", "medium", "high", "critical", "never")
	completeFlag(cmd, "rule", ruleNames()...)
	completeFlag(cmd, "skip", ruleNames()...)
	return cmd
}

// unless returns what work does, or why ctx ended before it did. Work that only
// computes, or waits for a pipe, looks at no context: it goes on until the
// process ends, which is at once.
func unless(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func lint(ctx context.Context, o lintFlags, cluster *clusterFlags, streams genericiooptions.IOStreams) error {
	limit, err := severity(o.failOn)
	if err != nil {
		return err
	}
	if !slices.Contains(report.LintFormats, o.format) {
		return usageError("unknown output format %q: use one of %s", affinity.Clean(o.format, 40), strings.Join(report.LintFormats, ", "))
	}
	for _, ids := range [][]string{o.only, o.skip} {
		for i, id := range ids {
			r, ok := findings.RuleByID(id)
			if !ok {
				return usageError("no rule %q: docs/rules.md has them all", affinity.Clean(id, 20))
			}
			if r.Runtime {
				return usageError("rule %s is shown by sessions, not read from objects: stickytop explain %s", r.ID, r.ID)
			}
			ids[i] = r.ID
		}
	}
	if len(o.only) > 0 && !slices.ContainsFunc(o.only, func(id string) bool { return !slices.Contains(o.skip, id) }) {
		return usageError("--skip leaves none of --rule %s", strings.Join(o.only, ","))
	}
	// It is over soon: memory is cheaper than collecting it.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	facts, unread, where, err := lintFacts(ctx, o, cluster, streams.In)
	if err != nil {
		return err
	}
	result := findings.Check(facts, findings.Options{Only: o.only, Skip: o.skip})
	if err := ctx.Err(); err != nil {
		return err
	}
	objects := len(facts.Objects)
	facts.Objects = nil // they may be a gigabyte that nobody needs any more
	out := report.Lint{Version: version, Findings: result.Findings, Objects: objects, ShowIgnored: o.ignored || o.all && o.format == "text", All: o.all, FailOn: limit}
	for _, g := range result.Ignored {
		out.Ignored = append(out.Ignored, report.Ignored{Finding: g.Finding, Reason: g.Reason})
	}
	for _, p := range unread.problems {
		out.Unread = append(out.Unread, report.Unread{File: affinity.Clean(p.File, 500), Line: p.Line, Text: affinity.Clean(p.Text, 1000)})
	}
	kinds := result.Unread
	if objects == 0 && len(facts.Unread) > 0 { // nothing is known, not nothing wrong
		kinds = slices.Sorted(maps.Values(facts.Unread))
	}
	for _, why := range kinds {
		out.Unread = append(out.Unread, report.Unread{Text: report.Inert(why)})
	}
	if w := unread.unrendered(); w != "" {
		out.Warnings = append(out.Warnings, w)
		out.Unread = append(out.Unread, report.Unread{Text: w})
	}
	for _, u := range result.Unheeded {
		out.Warnings = append(out.Warnings, u.String())
	}
	if dir, err := os.Getwd(); err == nil {
		out.Root = filepath.ToSlash(dir)
	}
	for _, r := range findings.Rules {
		if !r.Runtime && (len(o.only) == 0 || slices.Contains(o.only, r.ID)) && !slices.Contains(o.skip, r.ID) {
			out.Rules = append(out.Rules, lintRule(r))
		}
	}
	if err := out.Write(streams.Out, o.format); err != nil {
		return err
	}
	if result.Unjudged != "" {
		fmt.Fprintln(streams.ErrOut, "warning: "+report.Inert(result.Unjudged))
	}
	for _, warning := range out.Warnings {
		fmt.Fprintln(streams.ErrOut, report.Inert("warning: "+warning))
	}
	for _, p := range unread.problems {
		fmt.Fprintln(streams.ErrOut, report.Inert(p.Error()))
	}
	if len(kinds) > 0 {
		for _, why := range kinds {
			fmt.Fprintln(streams.ErrOut, "warning: not read: "+report.Inert(why))
		}
		return cannot("stickytop rbac --missing prints the Role to ask for; -n NAMESPACE may be allowed where -A is not", "%d kinds of objects in %s could not be read", len(kinds), where)
	}
	switch problems, templates := len(unread.problems), len(unread.templates); {
	case problems > 0 && templates > 0:
		return cannot("", "%d places and %d Helm templates could not be read", problems, templates)
	case problems > 0:
		return cannot("", "%d places could not be read", problems)
	case templates > 0:
		return cannot("", "%d Helm templates could not be read", templates)
	}
	if objects == 0 {
		fmt.Fprintf(streams.ErrOut, "warning: nothing was judged: no object of a kind that rules read in %s\n", where)
	}
	n := 0
	for _, f := range result.Findings {
		if f.Fails() && f.Severity >= limit {
			n++
		}
	}
	if n > 0 {
		return &failure{code: exitFindings, err: fmt.Errorf("%d findings at or over %s", n, o.failOn)}
	}
	return nil
}

func severity(word string) (affinity.Severity, error) {
	if word = strings.ToLower(word); word == "never" {
		return affinity.SeverityCritical + 1, nil
	}
	if s, ok := affinity.ParseSeverity(word); ok && s >= affinity.SeverityLow {
		return s, nil
	}
	return 0, usageError("--fail-on %q: use low, medium, high, critical or never", affinity.Clean(word, 40))
}

// unread is what of the files could not be read.
type unread struct {
	problems  []manifest.Problem
	templates []string // the chart of each template, slash-separated
}

// unrendered says how to have the templates judged; "" when there are none.
func (u unread) unrendered() string {
	if len(u.templates) == 0 {
		return ""
	}
	charts := slices.Compact(slices.Sorted(slices.Values(u.templates)))
	of := affinity.Clean(charts[0], 200)
	text := fmt.Sprintf("%d files are Helm templates, which are judged only rendered: helm template %s | stickytop lint -f -", len(u.templates), of)
	if n := len(charts) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d other charts)", n)
	}
	return text
}

// lintFacts are the objects to judge, what could not be read, and where they are
// from. Files that are empty, all of them, are an error: so ends a pipe whose
// first command failed, and a clean bill would hide it.
func lintFacts(ctx context.Context, o lintFlags, cluster *clusterFlags, in io.Reader) (findings.Facts, unread, string, error) {
	if len(o.files) == 0 {
		cfg, namespace, err := cluster.restConfig()
		if err != nil {
			return findings.Facts{}, unread{}, "", err
		}
		where := fmt.Sprintf("namespace %q", namespace)
		if cluster.all {
			where = "any namespace"
		}
		options := kube.Options{Namespace: namespace, AllNamespaces: cluster.all, Version: version}
		source, err := kube.New(cfg, options)
		if err != nil {
			return findings.Facts{}, unread{}, "", err
		}
		// Nothing wrong in a namespace that is not there, or in what a web
		// server says, is no clean bill.
		if err := source.Lookup(ctx, affinity.Target{}); err != nil {
			return findings.Facts{}, unread{}, "", err
		}
		facts, err := kube.Survey(ctx, cfg, options)
		return facts, unread{}, where, err
	}
	var facts findings.Facts
	var not unread
	from := slices.Clone(o.files)
	if i := slices.Index(from, "-"); i >= 0 {
		from[i] = "standard input"
	}
	where := affinity.Clean(strings.Join(from, ", "), 200)
	text, known := &written{}, map[string]bool{}
	var all manifest.Files
	read := func(r io.Reader, name string) {
		objects, p := all.Read(io.TeeReader(r, text), name)
		facts.Objects, not.problems = append(facts.Objects, objects...), append(not.problems, p...)
	}
	for _, file := range o.files {
		if file == "-" {
			read(in, "<stdin>")
			continue
		}
		names, unreadable, err := manifestsIn(file)
		if err != nil {
			return facts, not, "", cannot("", "%w", err)
		}
		not.problems = append(not.problems, unreadable...)
		for _, name := range names {
			if known[filepath.Clean(name)] {
				continue // named twice, it is still there once
			}
			known[filepath.Clean(name)] = true
			chart, err := unrenderedIn(name)
			if err != nil {
				not.problems = append(not.problems, unreadableFile(name, err))
				continue
			}
			if chart != "" {
				not.templates = append(not.templates, filepath.ToSlash(chart))
				continue
			}
			f, err := os.Open(name)
			if err != nil {
				not.problems = append(not.problems, unreadableFile(name, err))
				continue
			}
			read(f, filepath.ToSlash(name))
			f.Close()
		}
	}
	if !text.any && len(not.problems) == 0 && len(not.templates) == 0 {
		return facts, not, "", cannot("did the command before the pipe fail?", "nothing was read: %s is empty", where)
	}
	return facts, not, where, nil
}

// written tells whether anything but blanks was written to it. Of much text it
// has the heap collected early: what is kept of it may be a gigabyte.
type written struct {
	any bool
	n   int
}

// muchText is what is read before memory counts for more than time, in bytes.
const muchText = 16 << 20

func (w *written) Write(p []byte) (int, error) {
	w.any = w.any || len(bytes.TrimSpace(p)) > 0
	if w.n += len(p); w.n > muchText && w.n-len(p) <= muchText {
		debug.SetGCPercent(30)
	}
	return len(p), nil
}

// unrenderedIn is the chart whose template a file is; "" when it is none, or
// holds nothing to be rendered. A subchart's are the outer chart's.
func unrenderedIn(name string) (chart string, err error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	isChart := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "Chart.yaml"))
		return err == nil
	}
	for dir := filepath.Dir(path); chart == "" && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if filepath.Base(dir) == "templates" && isChart(filepath.Dir(dir)) {
			chart = filepath.Dir(dir)
		}
	}
	if chart == "" {
		return "", nil
	}
	for charts := filepath.Dir(chart); filepath.Base(charts) == "charts" && isChart(filepath.Dir(charts)); charts = filepath.Dir(chart) {
		chart = filepath.Dir(charts)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if has, err := holds(f, []byte("{{")); !has || err != nil {
		return "", err
	}
	if wd, err := os.Getwd(); err == nil {
		if short, err := filepath.Rel(wd, chart); err == nil && !strings.HasPrefix(short, "..") {
			chart = short
		}
	}
	return chart, nil
}

// holds reports whether what r reads has text in it, whatever its length.
func holds(r io.Reader, text []byte) (bool, error) {
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		if bytes.Contains(buf[:kept+n], text) {
			return true, nil
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
		kept = copy(buf, buf[max(0, kept+n-len(text)+1):kept+n])
	}
}

// unreadableFile is the problem of a file that cannot be opened.
func unreadableFile(name string, err error) manifest.Problem {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return manifest.Problem{File: filepath.ToSlash(name), Text: "cannot be read: " + err.Error()}
}

// manifestsIn is a file itself, or the YAML and JSON below a directory, hidden
// ones left out. What of a directory cannot be looked into is unreadable; that
// path itself cannot is an error.
func manifestsIn(path string) (names []string, unreadable []manifest.Problem, err error) {
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && d == nil: // path is not there
			return err
		case err != nil:
			unreadable = append(unreadable, unreadableFile(name, err))
		case name != path && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir() && (name == path || slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(name)))):
			names = append(names, name)
		}
		return nil
	})
	if err == nil && len(names)+len(unreadable) == 0 {
		err = errors.New(path + ": no .yaml, .yml or .json in it")
	}
	return names, unreadable, err
}

// ruleNames are the rules that read objects, for completion.
func ruleNames() []string {
	var ids []string
	for _, r := range findings.Rules {
		if !r.Runtime {
			ids = append(ids, r.ID+"\t"+r.Title)
		}
	}
	return ids
}

func newExplain(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use: "explain ID", Short: "Tell about a rule: what happens, why, the fix, where it is known from", Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, r := range findings.Rules {
				ids = append(ids, r.ID+"\t"+r.Title)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			r, ok := findings.RuleByID(args[0])
			if !ok {
				return usageError("no rule %q: docs/rules.md has them all", affinity.Clean(args[0], 20))
			}
			_, err := io.WriteString(streams.Out, r.Explain())
			return err
		},
	}
}
