package report

import (
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// FindingList is what `get findings` and `lint -o json` print.
type FindingList = List[Finding]

// Finding is one rule's verdict.
type Finding struct {
	Name       string            `json:"name"` // rule and object, "A04-ingress-web", and what tells it from another of them; of a list unique
	Rule       string            `json:"rule"`
	Title      string            `json:"title"`
	Severity   string            `json:"severity"`
	Certainty  string            `json:"certainty"`
	Object     *FindingObject    `json:"object,omitempty"`
	Route      string            `json:"route,omitempty"`
	Session    string            `json:"session,omitempty"`
	Others     []string          `json:"otherSessions,omitempty"` // that showed it too
	Evidence   []FindingFact     `json:"evidence"`
	Impact     string            `json:"impact,omitempty"`
	Fix        string            `json:"fix,omitempty"`
	Command    string            `json:"command,omitempty"` // the fix as lines for a shell
	Patch      string            `json:"patch,omitempty"`   // the fix as YAML to put into a file; lists of earlier versions have commands here, too
	Verify     string            `json:"verify,omitempty"`
	NotChecked string            `json:"notChecked,omitempty"`
	At         *metav1.MicroTime `json:"at,omitempty"`
}

// FindingObject names an object.
type FindingObject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

// FindingFact is one piece of evidence.
type FindingFact struct {
	Object *FindingObject `json:"object,omitempty"`
	Field  string         `json:"field,omitempty"`
	Value  string         `json:"value,omitempty"`
	Source string         `json:"source,omitempty"`
	Text   string         `json:"text,omitempty"`
}

// Findings lists what the rules and the sessions found, worst first.
func Findings(s *affinity.Snapshot, o Options) *FindingList {
	list := newList[Finding](s, "FindingList")
	var all []affinity.Finding
	for _, f := range s.FindingsOf(o.Target) {
		if f.Route == "" || o.wants(f.Route) {
			all = append(all, f)
		}
	}
	names := namesOf(all)
	for i, f := range all {
		list.Items = append(list.Items, newFinding(f, names[i]))
	}
	list.Metadata.all = o.All
	list.Metadata.Comparisons = comparisons(s, o)
	return list
}

// namesOf names findings. Those that rule and object do not tell apart have their
// namespace in their names, too, and if need be a digest of what else differs:
// the file, the route and the title without its numbers, which change.
func namesOf(all []affinity.Finding) []string {
	names := make([]string, len(all))
	for i, f := range all {
		rule := f.Rule
		if rule == affinity.NoRule {
			rule = "note" // a name is typed
		}
		names[i] = strings.Trim(rule+"-"+strings.ReplaceAll(f.Object.String(), "/", "-"), "-")
		if f.Session != "" {
			names[i] += "-" + string(f.Session)
		}
	}
	seen := map[string]int{}
	for _, more := range []func(affinity.Finding) string{
		func(f affinity.Finding) string { return f.Object.Namespace },
		func(f affinity.Finding) string {
			title := strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' {
					return -1
				}
				return r
			}, f.Title+f.NotChecked)
			return fingerprint(strings.Join([]string{f.Object.File, string(f.Route), title}, "\x00"), 1)[:6]
		},
	} {
		clear(seen)
		for _, name := range names {
			seen[name]++
		}
		for i, name := range names {
			if m := more(all[i]); seen[name] > 1 && m != "" {
				names[i] += "-" + m
			}
		}
	}
	clear(seen)
	for i, name := range names {
		if seen[name]++; seen[name] > 1 {
			names[i] += "-" + strconv.Itoa(seen[name])
		}
	}
	return names
}

// fixOf is the fix of a finding, as lines for a shell or as YAML. That of an
// object of a file is YAML, any other a command.
func fixOf(f affinity.Finding) (command, patch string) {
	for line := range strings.Lines(f.Patch) {
		if strings.HasPrefix(line, "kubectl ") {
			return f.Patch, ""
		}
	}
	return "", f.Patch
}

func newFinding(f affinity.Finding, name string) Finding {
	command, patch := fixOf(f)
	out := Finding{Name: name, Rule: f.Rule, Title: f.Title, Severity: f.Severity.String(), Certainty: f.Certainty.String(),
		Object: findingObject(f.Object), Route: string(f.Route), Session: string(f.Session), Impact: f.Impact, Fix: f.Fix, Command: command, Patch: patch, Verify: f.Verify,
		NotChecked: f.NotChecked, At: instant(f.At), Evidence: []FindingFact{}}
	for _, id := range f.Others {
		out.Others = append(out.Others, string(id))
	}
	for _, e := range f.Evidence {
		out.Evidence = append(out.Evidence, FindingFact{findingObject(e.Object), e.Field, e.Value, e.Source, e.Text})
	}
	return out
}

func findingObject(o affinity.ObjectRef) *FindingObject {
	if o.Kind == "" {
		return nil
	}
	return &FindingObject{o.Kind, o.Namespace, o.Name, o.File, o.Line}
}

// kindOfFinding sorts findings into what they ask for.
func kindOfFinding(f affinity.Finding) string {
	switch {
	case f.Certainty == affinity.CertaintyNotChecked:
		return "not checked"
	case f.Fails():
		return "problem"
	case f.Severity == affinity.SeverityOK:
		return "ok"
	}
	return "fact"
}

// severalNamespaces reports whether the findings' objects are of more than one, so
// that a name alone does not tell which is meant.
func severalNamespaces(all []Finding) bool {
	first := ""
	for _, f := range all {
		switch o := f.Object; {
		case o == nil || o.Namespace == "":
		case first == "":
			first = o.Namespace
		case o.Namespace != first:
			return true
		}
	}
	return false
}

func (f *Finding) row(wide, several bool) []string {
	severity, object, title := f.Severity, "", f.Title
	if f.Object != nil {
		object = strings.ToLower(f.Object.Kind) + "/" + f.Object.Name
		if several && f.Object.Namespace != "" {
			object = f.Object.Namespace + "/" + object
		}
	}
	if f.NotChecked != "" {
		severity, title = "?", "not checked: "+f.NotChecked
	}
	row := []string{f.Rule, severity, f.Certainty, object, title}
	if wide {
		namespace := ""
		if f.Object != nil {
			namespace = f.Object.Namespace
		}
		row = append(row, namespace, f.affects(), strconv.Quote(f.Fix))
	}
	return row
}

// affects is the session, and how many others are meant.
func (f *Finding) affects() string {
	if len(f.Others) == 0 {
		return f.Session
	}
	return f.Session + " +" + strconv.Itoa(len(f.Others))
}

func findingHeader(wide bool) []string {
	h := []string{"RULE", "SEVERITY", "CERTAINTY", "OBJECT", "WHAT"}
	if wide {
		h = append(h, "NAMESPACE", "SESSION", "FIX")
	}
	return h
}
