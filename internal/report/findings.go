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
	Name       string            `json:"name"` // rule and object: "A04-ingress-web"
	Rule       string            `json:"rule"`
	Title      string            `json:"title"`
	Severity   string            `json:"severity"`
	Certainty  string            `json:"certainty"`
	Object     *FindingObject    `json:"object,omitempty"`
	Route      string            `json:"route,omitempty"`
	Session    string            `json:"session,omitempty"`
	Evidence   []FindingFact     `json:"evidence"`
	Impact     string            `json:"impact,omitempty"`
	Fix        string            `json:"fix,omitempty"`
	Patch      string            `json:"patch,omitempty"`
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
	for _, f := range s.FindingsOf(o.Target) {
		if f.Route == "" || o.wants(f.Route) {
			list.Items = append(list.Items, newFinding(f))
		}
	}
	list.Metadata.Comparisons = comparisons(s, o)
	return list
}

func newFinding(f affinity.Finding) Finding {
	rule := f.Rule
	if rule == affinity.NoRule {
		rule = "note" // a name is typed
	}
	out := Finding{Name: strings.Trim(rule+"-"+strings.ReplaceAll(f.Object.String(), "/", "-"), "-"), Rule: f.Rule, Title: f.Title, Severity: f.Severity.String(), Certainty: f.Certainty.String(),
		Object: findingObject(f.Object), Route: string(f.Route), Session: string(f.Session), Impact: f.Impact, Fix: f.Fix, Patch: f.Patch, Verify: f.Verify,
		NotChecked: f.NotChecked, At: instant(f.At), Evidence: []FindingFact{}}
	if f.Session != "" {
		out.Name += "-" + string(f.Session)
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

func (f *Finding) row(wide bool) []string {
	severity, object, title := f.Severity, "", f.Title
	if f.Object != nil {
		object = strings.ToLower(f.Object.Kind) + "/" + f.Object.Name
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
		row = append(row, namespace, f.Session, strconv.Quote(f.Fix))
	}
	return row
}

func findingHeader(wide bool) []string {
	h := []string{"RULE", "SEVERITY", "CERTAINTY", "OBJECT", "WHAT"}
	if wide {
		h = append(h, "NAMESPACE", "SESSION", "FIX")
	}
	return h
}
