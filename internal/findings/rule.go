package findings

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Rule is one entry of the catalogue. What a finding does not say itself it
// takes from here.
type Rule struct {
	ID       string
	Title    string            // one line, in general
	Severity affinity.Severity // the worst it usually means
	What     string            // symptom and cause
	Impact   string
	Fix      string
	// Verify says how to see that it is gone. {obj} stands for the object as
	// kubectl and stickytop take it: "ing/web -n shop".
	Verify  string
	Sources []string // where the facts are from: issues, documentation, source
	Needs   []string // kinds without which it cannot be checked
	Shown   string   // when sessions, or nodes' tables, show it; "" when they cannot
	Runtime bool     // sessions or nodes' tables alone show it: no object is read for it
	// Tables is the command that shows a Runtime rule of nodes' tables; "" where
	// sessions show it.
	Tables string
	check  func(*check)
}

// check is one rule's look at the world.
type check struct {
	*world
	rule  *Rule
	found *[]affinity.Finding
	seen  map[seenKey]bool

	written map[writtenKey]string // patches that several findings share
}

// writtenKey is what the text of a patch depends on.
type writtenKey struct {
	first    *edit
	edits    int
	own      bool // it begins with the object that the finding is about
	fromFile bool
}

// write prints the patch of a finding, once for all that share it.
func (c *check) write(o *Object, patch []edit) string {
	key := writtenKey{&patch[0], len(patch), patch[0].about(o), o.File != ""}
	text, ok := c.written[key]
	if !ok {
		text = write(o, patch)
		if c.written == nil {
			c.written = map[writtenKey]string{}
		}
		c.written[key] = text
	}
	return text
}

type seenKey struct {
	object *Object
	title  string
}

// hit is a verdict on one object.
type hit struct {
	title    string
	severity affinity.Severity // the rule's when it is 0
	likely   bool
	passed   bool // checked, and fine
	evidence []affinity.FindingEvidence
	impact   string
	fix      string
	patch    []edit
	route    affinity.RouteID
}

func (c *check) hit(o *Object, h hit) {
	if c.seen[seenKey{o, h.title}] {
		return
	}
	c.seen[seenKey{o, h.title}] = true
	f := affinity.Finding{
		Rule: c.rule.ID, Title: h.title, Severity: h.severity, Certainty: affinity.CertaintyExact, Object: o.ObjectRef, Route: h.route,
		Evidence: h.evidence, Impact: h.impact, Fix: h.fix, Verify: strings.ReplaceAll(c.rule.Verify, "{obj}", target(o)),
	}
	if len(h.patch) > 0 && c.supposed == 0 { // another world is there to compare verdicts
		f.Patch = c.write(o, h.patch)
	}
	if f.Severity == affinity.SeverityOK && !h.passed {
		f.Severity = c.rule.Severity
	}
	if h.likely {
		f.Certainty = affinity.CertaintyLikely
	}
	if also := c.disputed[h.route]; also != "" && !h.passed {
		f.Certainty = affinity.CertaintyLikely
		f.Evidence = append(slices.Clip(f.Evidence), affinity.FindingEvidence{Source: "object", Text: also + " asks for affinity too: which of them wins is not established"})
	}
	why := c.unasked[h.route]
	if why != "" && !h.passed { // whether sessions lean on it no object tells
		f.Title += ", if its default cookie matters"
		f.Severity, f.Certainty = min(f.Severity, affinity.SeverityLow), affinity.CertaintyLikely
		f.Evidence = append(slices.Clip(f.Evidence), affinity.FindingEvidence{Source: "object", Text: "no object asks for stickiness: " + why})
	}
	if f.Impact == "" && !h.passed {
		f.Impact = c.rule.Impact
	}
	if why != "" && !h.passed {
		f.Impact = "if the application keeps sessions in its pods, which nothing here says: " + f.Impact
	}
	if f.Fix == "" && !h.passed {
		f.Fix = c.rule.Fix
	}
	if f.Patch != "" && (c.rule.ID[0] == 'A' || c.rule.ID == "C05" || c.rule.ID == "F02") {
		f.Fix += besides(h.patch)
	}
	for _, e := range h.evidence {
		if e.Object.Line > 0 && e.Object.Kind == o.Kind && e.Object.Name == o.Name && e.Object.Namespace == o.Namespace {
			f.Object.Line = e.Object.Line
			break
		}
	}
	*c.found = append(*c.found, f)
}

// besides tells what a fix has that its finding does not speak of: what other
// rules would say next.
func besides(edits []edit) string {
	var also []string
	add := func(what string) {
		if !slices.Contains(also, what) {
			also = append(also, what)
		}
	}
	for _, e := range edits {
		switch {
		case e.kind == "PodDisruptionBudget":
			add("a PodDisruptionBudget (C02)")
		case e.kind == "ConfigMap" && fieldOf(e.fields, "data", shutdownKey):
			add("WebSockets that outlive an Ingress edit, for all of the controller's routes (I06)")
		case slices.Contains(workloadKinds, e.kind) && fieldOf(e.fields, "spec", "template", "spec", "terminationGracePeriodSeconds"):
			add("pods that have time to end (C03)")
		case slices.Contains(workloadKinds, e.kind) && fieldOf(e.fields, "spec", "strategy"):
			add("rollouts of one pod at a time (C02)")
		}
	}
	if len(also) == 0 {
		return ""
	}
	return ". The patch also has what makes it last: " + strings.Join(also, ", ")
}

// fieldOf reports whether a merge patch has a field.
func fieldOf(fields map[string]any, path ...string) bool {
	for i, name := range path {
		x, ok := fields[name]
		if !ok || i == len(path)-1 {
			return ok
		}
		if fields, ok = x.(map[string]any); !ok {
			return false
		}
	}
	return false
}

// notChecked says what is missing, once for each reason.
func (c *check) notChecked(o *Object, why string) {
	key := seenKey{nil, why}
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	f := affinity.Finding{Rule: c.rule.ID, Title: c.rule.Title, Severity: c.rule.Severity, NotChecked: why}
	if o != nil {
		f.Object = o.ObjectRef
	}
	*c.found = append(*c.found, f)
}

// target is an object as a command line takes it.
func target(o *Object) string {
	kind := strings.ToLower(o.Kind)
	switch kind {
	case "ingress":
		kind = "ing"
	case "service":
		kind = "svc"
	}
	t := kind + "/" + quote(o.Name)
	if o.Namespace != "" {
		t += " -n " + quote(o.Namespace)
	}
	return t
}

// Options choose rules.
type Options struct {
	Only []string // ids; all when empty
	Skip []string
}

// Result is what the rules say.
type Result struct {
	Findings []affinity.Finding // worst first
	Ignored  []Ignored
	// Unjudged is what was left out because there is too much of it, safe to
	// print; "" when nothing was.
	Unjudged string
	Unheeded []Unheeded
	// Unread are the reasons why objects that most rules look at could not be
	// read, safe to print: with one, that nothing was found says little.
	Unread []string
}

// Ignored is a finding that its object silences.
type Ignored struct {
	affinity.Finding
	Reason string
}

// Unheeded is a stickytop.dev/ignore that silences nothing, or not all that it
// names.
type Unheeded struct {
	Object affinity.ObjectRef
	Routes []affinity.RouteID // that the object decides about; of a cluster's alone
	Text   string             // after the mark
	Why    string
}

// Told are the findings with what else should be known of how they came to be,
// for where a list of them is all that is shown.
func (r Result) Told() []affinity.Finding {
	all := slices.Clip(r.Findings)
	if r.Unjudged != "" {
		all = append(all, affinity.Finding{Rule: affinity.NoRule, Title: "not everything is judged", NotChecked: r.Unjudged})
	}
	if len(r.Unread) > 0 {
		all = append(all, affinity.Finding{Rule: affinity.NoRule, Title: "not everything could be read", NotChecked: strings.Join(r.Unread, "; ")})
	}
	for _, u := range r.Unheeded {
		all = append(all, affinity.Finding{Rule: affinity.NoRule, Title: "an ignore is not heeded: " + u.Why, Severity: affinity.SeverityInfo, Certainty: affinity.CertaintyExact,
			Object: u.Object, Routes: u.Routes, Impact: "it silences nothing, or not all that it names",
			Evidence: []affinity.FindingEvidence{{Object: u.Object, Field: fieldPath(annotationPath(annotationIgnore)), Value: u.Text, Source: "object"}},
			Fix:      "name rules, as stickytop get findings lists them, and say why: " + annotationIgnore + ": A04 shared on purpose"})
	}
	affinity.SortFindings(all)
	return all
}

// String says it in one line.
func (u Unheeded) String() string {
	at := u.Object.String()
	if u.Object.File != "" {
		at = fmt.Sprintf("%s:%d %s", u.Object.File, u.Object.Line, at)
	}
	return fmt.Sprintf("%s: %s %q is not heeded: %s", at, annotationIgnore, u.Text, u.Why)
}

// unheeded are those of all objects that are judged.
func (w *world) unheeded() (all []Unheeded) {
	for _, o := range w.Facts.Objects {
		if w.Namespace != "" && o.Namespace != w.Namespace {
			continue
		}
		texts := o.comments
		if text := o.annotation(annotationIgnore); text != "" {
			texts = append(slices.Clip(texts), ignoresIn(text)...)
		}
		for _, text := range texts {
			if why := whyUnheeded(text); why != "" {
				at := o.ObjectRef
				at.File = affinity.Clean(at.File, maxText)
				all = append(all, Unheeded{Object: at, Text: affinity.Clean(strings.TrimSpace(text), 120), Why: why})
			}
		}
	}
	return all
}

// whyUnheeded is why the text of an ignore does not do all that it says; ""
// where it does.
func whyUnheeded(text string) string {
	if strings.TrimSpace(text) == "" {
		return ""
	}
	rules, reason := SplitIgnore(text)
	for _, id := range rules {
		if _, ok := RuleByID(id); !ok {
			return "no rule is called " + id
		}
	}
	switch {
	case len(rules) == 0:
		return "it names no rule, as A04 does one"
	case reason == "":
		return "it gives no reason"
	}
	return ""
}

// annotationIgnore silences rules on one object: "A04 shared on purpose".
const annotationIgnore = "stickytop.dev/ignore"

// ignoresIn parts the annotation, which takes several, by semicolons or lines.
func ignoresIn(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' })
}

// Check runs the rules over f.
func Check(f Facts, o Options) Result {
	w := newWorld(f)
	all := w.check(o)
	concerned := w.concerned()
	w.doubt(all)
	out := Result{Findings: all[:0], Unjudged: *w.unjudged, Unheeded: w.unheeded(), Unread: w.unread()}
	for i, u := range out.Unheeded {
		out.Unheeded[i].Routes = concerned[nameKey{u.Object.Kind, u.Object.Namespace, u.Object.Name}]
	}
	for i := range all {
		clean(&all[i])
		all[i].Routes = concerned[nameKey{all[i].Object.Kind, all[i].Object.Namespace, all[i].Object.Name}]
		if reason := w.ignored(all[i]); reason != "" {
			out.Ignored = append(out.Ignored, Ignored{all[i], reason})
			continue
		}
		out.Findings = append(out.Findings, all[i])
	}
	affinity.SortFindings(out.Findings)
	return out
}

// check runs the rules over w. What one rule says stands together.
func (w *world) check(o Options) []affinity.Finding {
	all := []affinity.Finding{}
	for i := range Rules {
		if r := &Rules[i]; o.wants(r) {
			w.run(r, &all)
		}
	}
	return all
}

func (o Options) wants(r *Rule) bool {
	return r.check != nil && (len(o.Only) == 0 || slices.Contains(o.Only, r.ID)) && !slices.Contains(o.Skip, r.ID)
}

// run appends what one rule says to found.
func (w *world) run(r *Rule, found *[]affinity.Finding) {
	c := &check{world: w, rule: r, found: found, seen: map[seenKey]bool{}}
	r.check(c)
	var missing []string
	for _, kind := range r.Needs {
		if why := w.Unread[kind]; why != "" {
			missing = append(missing, why)
		}
	}
	if len(missing) > 0 {
		c.notChecked(nil, strings.Join(missing, "; "))
	}
}

// unread says which kinds could not be read that most rules look at, so that none
// names them among its Needs.
func (w *world) unread() (all []string) {
	for _, kind := range slices.Sorted(maps.Keys(w.Unread)) {
		if !slices.ContainsFunc(Rules, func(r Rule) bool { return slices.Contains(r.Needs, kind) }) {
			all = append(all, affinity.Clean(w.Unread[kind], maxText))
		}
	}
	return all
}

// ignored is why the finding's object silences it; "" when it does not.
func (w *world) ignored(f affinity.Finding) string {
	o := w.named(f.Object.Kind, f.Object.Namespace, f.Object.Name)
	if o == nil {
		return ""
	}
	if reason := o.Ignores[f.Rule]; reason != "" {
		return reason
	}
	for _, part := range ignoresIn(o.annotation(annotationIgnore)) {
		if rules, reason := SplitIgnore(part); slices.Contains(rules, f.Rule) && reason != "" {
			return affinity.Clean(reason, maxValue)
		}
	}
	return ""
}

// clean makes every text of a finding safe to print.
func clean(f *affinity.Finding) {
	for _, s := range []*string{&f.Title, &f.Impact, &f.Fix, &f.Verify, &f.NotChecked} {
		*s = affinity.Clean(*s, maxText)
	}
	if len(f.Patch) > maxPatch { // a part of one is none
		f.Patch = ""
	}
	lines := strings.Split(f.Patch, "\n")
	for i := range lines {
		lines[i] = affinity.Clean(lines[i], maxPatch)
	}
	f.Patch = strings.Join(lines, "\n")
	f.Object.File = affinity.Clean(f.Object.File, maxText)
	f.Evidence = slices.Clone(f.Evidence)
	for i := range f.Evidence {
		e := &f.Evidence[i]
		e.Object.File = affinity.Clean(e.Object.File, maxText)
		e.Field, e.Value, e.Text = affinity.Clean(e.Field, maxText), affinity.Clean(e.Value, maxValue), affinity.Clean(e.Text, maxText)
	}
}

// RuleByID returns the rule of that id.
func RuleByID(id string) (Rule, bool) {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return strings.EqualFold(r.ID, id) })
	if i < 0 {
		return Rule{}, false
	}
	return Rules[i], true
}
