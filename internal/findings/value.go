package findings

import (
	"slices"
	"strconv"
	"strings"
)

// Value is a part of an object as it was written: YAML, or what the API sent.
// Its zero value, and a nil one, is null.
type Value struct {
	kind   valueKind
	quoted bool   // a scalar that is a text, whatever it looks like
	text   string // of a scalar
	fields []field
	items  []*Value
	Line   int // in its file, from 1; 0 when it is from a cluster
}

type field struct {
	name  string
	value *Value
}

type valueKind uint8

const (
	kindNull valueKind = iota
	kindScalar
	kindMap
	kindList
)

// Scalar makes a value of one word; numbers and booleans are as JSON writes them.
func Scalar(text string, line int) *Value { return &Value{kind: kindScalar, text: text, Line: line} }

// Text makes a value of a text that is no number and no boolean, whatever it
// looks like.
func Text(text string, line int) *Value {
	return &Value{kind: kindScalar, quoted: true, text: text, Line: line}
}

// Map makes an empty map; Put fills it.
func Map(line int) *Value { return &Value{kind: kindMap, Line: line} }

// List makes a list.
func List(items []*Value, line int) *Value { return &Value{kind: kindList, items: items, Line: line} }

// Put adds a field. It reports false, and leaves the map alone, when there is
// one of that name already.
func (v *Value) Put(name string, value *Value) bool {
	for _, f := range v.fields {
		if f.name == name {
			return false
		}
	}
	v.fields = append(v.fields, field{name, value})
	return true
}

// From turns decoded JSON (maps, slices, strings, numbers, booleans) into a
// Value.
func From(x any) *Value {
	switch x := x.(type) {
	case map[string]any:
		v := &Value{kind: kindMap, fields: make([]field, 0, len(x))}
		for name, value := range x {
			v.fields = append(v.fields, field{name, From(value)})
		}
		slices.SortFunc(v.fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
		return v
	case []any:
		v := &Value{kind: kindList, items: make([]*Value, len(x))}
		for i := range x {
			v.items[i] = From(x[i])
		}
		return v
	case string:
		return Text(x, 0)
	case bool:
		return Scalar(strconv.FormatBool(x), 0)
	case int64:
		return Scalar(strconv.FormatInt(x, 10), 0)
	case float64:
		return Scalar(strconv.FormatFloat(x, 'f', -1, 64), 0)
	}
	return nil
}

// At follows field names and, for lists, positions. It returns nil where the
// path ends early.
func (v *Value) At(path ...string) *Value {
	for _, p := range path {
		if v == nil {
			return nil
		}
		var next *Value
		switch v.kind {
		case kindMap:
			for i := range v.fields {
				if v.fields[i].name == p {
					next = v.fields[i].value
					break
				}
			}
		case kindList:
			if n, err := strconv.Atoi(p); err == nil && n >= 0 && n < len(v.items) {
				next = v.items[n]
			}
		}
		v = next
	}
	return v
}

// Str returns the scalar at path; "" when there is none.
func (v *Value) Str(path ...string) string {
	if x := v.At(path...); x != nil && x.kind == kindScalar {
		return x.text
	}
	return ""
}

// Int returns the number at path.
func (v *Value) Int(path ...string) (int, bool) {
	n, err := strconv.Atoi(v.Str(path...))
	return n, err == nil
}

// Bool reports whether the scalar at path is true.
func (v *Value) Bool(path ...string) bool { return v.Str(path...) == "true" }

// Has reports whether something is at path, be it empty.
func (v *Value) Has(path ...string) bool { return v.At(path...) != nil }

// Items returns the list at path.
func (v *Value) Items(path ...string) []*Value {
	if x := v.At(path...); x != nil {
		return x.items
	}
	return nil
}

// Strings returns the map of scalars at path: annotations, labels, data.
func (v *Value) Strings(path ...string) map[string]string {
	x := v.At(path...)
	if x == nil || x.kind != kindMap || len(x.fields) == 0 {
		return nil
	}
	out := make(map[string]string, len(x.fields))
	for _, f := range x.fields {
		if f.value != nil && f.value.kind == kindScalar {
			out[f.name] = f.value.text
		}
	}
	return out
}

// words returns every scalar of a list, for command lines.
func (v *Value) words(path ...string) []string {
	var out []string
	for _, x := range v.Items(path...) {
		out = append(out, x.Str())
	}
	return out
}

// fieldPath writes a path as people do: spec.rules[0].host,
// metadata.annotations[nginx.ingress.kubernetes.io/affinity].
func fieldPath(path []string) string {
	var b strings.Builder
	for _, p := range path {
		_, err := strconv.Atoi(p)
		switch {
		case err == nil, strings.ContainsAny(p, "./"):
			b.WriteString("[" + p + "]")
		case b.Len() == 0:
			b.WriteString(p)
		default:
			b.WriteString("." + p)
		}
	}
	return b.String()
}
