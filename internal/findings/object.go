package findings

import (
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Object is one object of a cluster or of a file.
type Object struct {
	affinity.ObjectRef
	APIVersion string
	*Value

	// Ignores are the rules that comments in the object's document silence, and
	// why. Those of the annotation are read by New.
	Ignores map[string]string
	// comments are the texts of all comments that mean to silence, heeded or not.
	comments []string
}

// NewObject reads the name of an object out of its content. It reports false
// for what is no object.
func NewObject(v *Value, file string) (*Object, bool) {
	kind := v.Str("kind")
	if kind == "" || v.Str("apiVersion") == "" {
		return nil, false
	}
	own := *v // the others of a list need not be kept
	return &Object{
		ObjectRef: affinity.ObjectRef{
			Kind: affinity.Clean(kind, maxName), Namespace: affinity.Clean(v.Str("metadata", "namespace"), maxName),
			Name: affinity.Clean(v.Str("metadata", "name"), maxName), File: file, Line: int(v.Line),
		},
		APIVersion: v.Str("apiVersion"), Value: &own,
	}, true
}

const (
	maxName  = 253
	maxValue = 160 // runes of a value in evidence
	maxText  = 600
)

// group is the API group: "" for core/v1.
func (o *Object) group() string {
	g, _, ok := strings.Cut(o.APIVersion, "/")
	if !ok {
		return ""
	}
	return g
}

func (o *Object) annotation(key string) string { return o.Str("metadata", "annotations", key) }

// field is evidence: a field of o and its value, "" for one that is absent.
func (o *Object) field(path ...string) affinity.FindingEvidence {
	e := affinity.FindingEvidence{Object: o.ObjectRef, Field: fieldPath(path), Source: "object"}
	x := o.At(path...)
	if x == nil {
		e.Text = "absent"
		return e
	}
	if x.Line > 0 {
		e.Object.Line = int(x.Line)
	}
	e.Value = x.text
	switch x.kind {
	case kindMap:
		e.Text = "is set"
	case kindList:
		e.Value = strings.Join(x.words(), " ")
	}
	return e
}

// noted is a field with what should be known about it.
func (o *Object) noted(text string, path ...string) affinity.FindingEvidence {
	e := o.field(path...)
	e.Text = text
	return e
}

func annotationPath(key string) []string { return []string{"metadata", "annotations", key} }

// SplitIgnore reads the text of a stickytop.dev/ignore: rule ids, then why.
// "A04 shared on purpose", "A04, B10: shared on purpose". Without a reason it
// silences nothing.
func SplitIgnore(text string) (rules []string, reason string) {
	rest := strings.TrimSpace(text)
	for rest != "" {
		word, after, _ := strings.Cut(rest, " ")
		id := strings.Trim(word, ",:;")
		if !isRuleID(id) {
			break
		}
		rules = append(rules, strings.Split(id, ",")...)
		rest = strings.TrimLeft(after, " ,:;")
	}
	return rules, strings.TrimSpace(strings.TrimLeft(rest, "-–—:; "))
}

func isRuleID(s string) bool {
	for _, id := range strings.Split(s, ",") {
		if len(id) != 3 || id[0] < 'A' || id[0] > 'Z' || id[1] < '0' || id[1] > '9' || id[2] < '0' || id[2] > '9' {
			return false
		}
	}
	return true
}

// AddIgnore silences rules on o as text says. It reports false for a text
// without ids or without a reason.
func (o *Object) AddIgnore(text string) bool {
	o.comments = append(o.comments, text)
	rules, reason := SplitIgnore(text)
	if len(rules) == 0 || reason == "" {
		return false
	}
	if o.Ignores == nil {
		o.Ignores = map[string]string{}
	}
	for _, id := range rules {
		o.Ignores[id] = affinity.Clean(reason, maxValue)
	}
	return true
}
