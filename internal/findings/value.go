package findings

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Value is a part of an object as it was written: YAML, or what the API sent.
// Its zero value, and a nil one, is null. There may be millions: it is small.
type Value struct {
	Line   int32 // in its file, from 1; 0 when it is from a cluster
	kind   valueKind
	quoted bool   // a scalar that is a text, whatever it looks like
	text   string // of a scalar
	parts  *parts // of a map or a list that is not empty
}

type parts struct {
	fields []Field
	items  []*Value
}

// Field is one of a map's.
type Field struct {
	Name  string
	Value Value
}

type valueKind uint8

const (
	kindNull valueKind = iota
	kindScalar
	kindMap
	kindList
)

// Scalar makes a value of one word; numbers and booleans are as JSON writes them.
func Scalar(text string, line int) Value {
	return Value{kind: kindScalar, text: text, Line: int32(line)}
}

// Text makes a value of a text that is no number and no boolean, whatever it
// looks like.
func Text(text string, line int) Value {
	return Value{kind: kindScalar, quoted: true, text: text, Line: int32(line)}
}

// Map makes a map of copies of the fields, no two of which have one name.
func Map(fields []Field, line int) Value {
	v := Value{kind: kindMap, Line: int32(line)}
	if len(fields) > 0 {
		v.parts = &parts{fields: make([]Field, len(fields))}
		copy(v.parts.fields, fields)
	}
	return v
}

// List makes a list of copies of the items.
func List(items []Value, line int) Value {
	v := Value{kind: kindList, Line: int32(line)}
	if len(items) > 0 {
		all := make([]Value, len(items))
		copy(all, items)
		v.parts = &parts{items: make([]*Value, len(all))}
		for i := range all {
			v.parts.items[i] = &all[i]
		}
	}
	return v
}

// From turns decoded JSON (maps, slices, strings, numbers, booleans) into a
// Value.
func From(x any) Value {
	switch x := x.(type) {
	case map[string]any:
		fields := make([]Field, 0, len(x))
		for name, value := range x {
			fields = append(fields, Field{name, From(value)})
		}
		slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
		return Map(fields, 0)
	case []any:
		items := make([]Value, len(x))
		for i := range x {
			items[i] = From(x[i])
		}
		return List(items, 0)
	case string:
		return Text(x, 0)
	case bool:
		return Scalar(strconv.FormatBool(x), 0)
	case int64:
		return Scalar(strconv.FormatInt(x, 10), 0)
	case float64:
		return Scalar(strconv.FormatFloat(x, 'f', -1, 64), 0)
	}
	return Value{}
}

// fields are those of a map.
func (v *Value) fields() []Field {
	if v == nil || v.parts == nil {
		return nil
	}
	return v.parts.fields
}

// At follows field names and, for lists, positions. It returns nil where the
// path ends early, or at null.
func (v *Value) At(path ...string) *Value {
	for _, p := range path {
		if v == nil || v.parts == nil {
			return nil
		}
		var next *Value
		switch v.kind {
		case kindMap:
			for i := range v.parts.fields {
				if v.parts.fields[i].Name == p {
					next = &v.parts.fields[i].Value
					break
				}
			}
		case kindList:
			if n, err := strconv.Atoi(p); err == nil && n >= 0 && n < len(v.parts.items) {
				next = v.parts.items[n]
			}
		}
		v = next
	}
	if v != nil && v.kind == kindNull {
		return nil
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
	text := v.Str(path...)
	if text == "" {
		return 0, false // most are absent, and an error takes memory
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// Bool reports whether the scalar at path is true.
func (v *Value) Bool(path ...string) bool { return v.Str(path...) == "true" }

// Has reports whether something is at path, be it empty.
func (v *Value) Has(path ...string) bool { return v.At(path...) != nil }

// Items returns the list at path: not nil where there is one, be it empty. A
// null in it is a Value, too.
func (v *Value) Items(path ...string) []*Value {
	switch x := v.At(path...); {
	case x == nil || x.kind != kindList:
		return nil
	case x.parts == nil:
		return []*Value{}
	default:
		return x.parts.items
	}
}

// Strings returns the map of scalars at path: annotations, labels, data.
func (v *Value) Strings(path ...string) map[string]string {
	fields := v.At(path...).fields()
	if len(fields) == 0 {
		return nil
	}
	out := make(map[string]string, len(fields))
	for i := range fields {
		if f := &fields[i]; f.Value.kind == kindScalar {
			out[f.Name] = f.Value.text
		}
	}
	return out
}

// NotTexts returns the fields of the map at path that the API server, which wants
// texts there, refuses: maps, lists, and booleans and numbers without quotes. A
// null is none: it is taken for "".
func (v *Value) NotTexts(path ...string) (all []Field) {
	for _, f := range v.At(path...).fields() {
		switch x := f.Value; {
		case x.kind == kindMap, x.kind == kindList, x.kind == kindScalar && !x.quoted && wordOf(x.text) != "":
			all = append(all, f)
		}
	}
	return all
}

// Is says what kind of value it is, for people.
func (v *Value) Is() string {
	switch {
	case v == nil || v.kind == kindNull:
		return "null"
	case v.kind == kindMap:
		return "a map"
	case v.kind == kindList:
		return "a list"
	case v.quoted:
		return "a text"
	}
	return cmp.Or(wordOf(v.text), "a text")
}

// wordOf is what a word without quotes is to kubectl, which reads YAML as JSON;
// "" for a text, as a date is.
func wordOf(text string) string {
	if strings.EqualFold(text, "true") || strings.EqualFold(text, "false") {
		return "a boolean"
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "a number"
	}
	if _, err := strconv.ParseInt(text, 0, 64); err == nil {
		return "a number"
	}
	return ""
}

// words returns every scalar of a list, for command lines.
func (v *Value) words(path ...string) []string {
	var out []string
	for _, x := range v.Items(path...) {
		out = append(out, x.Str())
	}
	return out
}

// isNumber reports whether p is a position in a list; strconv would make an
// error of each name.
func isNumber(p string) bool {
	for i := range len(p) {
		if p[i] < '0' || p[i] > '9' {
			return false
		}
	}
	return p != ""
}

// fieldPath writes a path as people do: spec.rules[0].host,
// metadata.annotations[nginx.ingress.kubernetes.io/affinity].
func fieldPath(path []string) string {
	var b strings.Builder
	for _, p := range path {
		switch {
		case isNumber(p), strings.ContainsAny(p, "./"):
			b.WriteString("[" + p + "]")
		case b.Len() == 0:
			b.WriteString(p)
		default:
			b.WriteString("." + p)
		}
	}
	return b.String()
}
