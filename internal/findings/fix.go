package findings

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// edit is a part of a fix: one object as it should be changed, made or deleted.
// A fix is printed as kubectl takes it for objects of a cluster, and as YAML for
// those of files.
type edit struct {
	apiVersion, kind, namespace, name string

	annotations []setting
	fields      map[string]any // a merge patch, in which nil removes; containers and their env go by name
	ops         []operation    // where an item of another list changes
	made        map[string]any // spec, data… of an object that is not there
	deleted     bool
	after       string // a command that a cluster needs then
}

// setting is an annotation; nil removes it.
type setting struct {
	key   string
	value *string
}

// operation is one of a JSON Patch (RFC 6902).
type operation struct {
	op, path string
	value    any
}

// pointer is a JSON pointer (RFC 6901).
func pointer(path ...string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

func put(value any, path ...string) operation { return operation{"add", pointer(path...), value} }
func take(path ...string) operation           { return operation{op: "remove", path: pointer(path...)} }

// of is an edit of o that does nothing yet.
func of(o *Object) edit {
	return edit{apiVersion: o.APIVersion, kind: o.Kind, namespace: o.Namespace, name: o.Name}
}

// about reports whether e is an edit of o.
func (e edit) about(o *Object) bool {
	return e.kind == o.Kind && e.namespace == o.Namespace && e.name == o.Name
}

// annotate sets an annotation.
func annotate(o *Object, key, value string) []edit {
	e := of(o)
	return []edit{e.set(key, value)}
}

// unannotate removes annotations.
func unannotate(o *Object, keys ...string) []edit {
	e := of(o)
	for _, k := range keys {
		e = e.unset(k)
	}
	return []edit{e}
}

// patched is a merge patch of o.
func patched(o *Object, fields map[string]any) []edit {
	e := of(o)
	e.fields = fields
	return []edit{e}
}

// operated is a JSON Patch of o.
func operated(o *Object, ops ...operation) []edit {
	e := of(o)
	e.ops = ops
	return []edit{e}
}

func (e edit) set(key, value string) edit {
	e.annotations = append(slices.Clip(e.annotations), setting{key, &value})
	return e
}

func (e edit) unset(key string) edit {
	e.annotations = append(slices.Clip(e.annotations), setting{key: key})
	return e
}

// nest makes the map of one value at a path.
func nest(value any, path ...string) map[string]any {
	for i := len(path) - 1; i > 0; i-- {
		value = map[string]any{path[i]: value}
	}
	return map[string]any{path[0]: value}
}

// joined makes one edit of those about one object.
func joined(edits []edit) (out []edit) {
	for _, e := range edits {
		at := slices.IndexFunc(out, func(x edit) bool {
			return x.kind == e.kind && x.namespace == e.namespace && x.name == e.name && x.apiVersion == e.apiVersion
		})
		if at < 0 || out[at].made != nil || e.made != nil {
			if at < 0 {
				out = append(out, e)
			}
			continue
		}
		x := &out[at]
		for _, s := range e.annotations {
			i := slices.IndexFunc(x.annotations, func(t setting) bool { return t.key == s.key })
			if i < 0 {
				x.annotations = append(slices.Clip(x.annotations), s)
			}
		}
		x.fields = merged(x.fields, e.fields)
		for _, o := range e.ops {
			if !slices.ContainsFunc(x.ops, func(p operation) bool { return p.op == o.op && p.path == o.path }) {
				x.ops = append(slices.Clip(x.ops), o)
			}
		}
		x.deleted, x.after = x.deleted || e.deleted, cmp.Or(x.after, e.after)
	}
	return out
}

func merged(a, b map[string]any) map[string]any {
	if a == nil {
		return b
	}
	out := maps.Clone(a)
	for k, v := range b {
		x, isMap := out[k].(map[string]any)
		if y, ok := v.(map[string]any); ok && isMap {
			out[k] = merged(x, y)
		} else if _, has := out[k]; !has {
			out[k] = v
		}
	}
	return out
}

// write prints a fix of what was found at o.
func write(o *Object, edits []edit) string {
	if e := edits[0]; len(edits) == 1 && o.File != "" && len(e.annotations) == 1 && e.annotations[0].value != nil && e.fields == nil && e.about(o) {
		return fmt.Sprintf("metadata:\n  annotations:\n    %s: %q", e.annotations[0].key, *e.annotations[0].value) // most are of this kind
	}
	edits = joined(edits)
	var parts []string
	for _, e := range edits {
		if o.File != "" {
			parts = append(parts, e.yaml(o, len(edits) == 1)...)
		} else {
			parts = append(parts, e.commands(len(edits) == 1)...)
		}
	}
	if o.File != "" {
		return strings.Join(parts, "\n---\n")
	}
	return strings.Join(parts, "\n")
}

// body is the edit as a merge patch.
func (e edit) body() map[string]any {
	if len(e.annotations) == 0 {
		return e.fields
	}
	annotations := map[string]any{}
	for _, s := range e.annotations {
		if s.value == nil {
			annotations[s.key] = nil
		} else {
			annotations[s.key] = *s.value
		}
	}
	return merged(e.fields, nest(annotations, "metadata", "annotations"))
}

// whole is the object that an edit makes or, with the fields of a merge patch,
// names.
func (e edit) whole(fields map[string]any) map[string]any {
	metadata := map[string]any{"name": e.name}
	if e.namespace != "" {
		metadata["namespace"] = e.namespace
	}
	return merged(map[string]any{"apiVersion": e.apiVersion, "kind": e.kind, "metadata": metadata}, fields)
}

// yaml are documents to put into a file or into a kustomization: a part of the
// object itself where alone it is what changes, else with its name.
func (e edit) yaml(o *Object, alone bool) (docs []string) {
	own := alone && e.about(o)
	switch {
	case e.made != nil:
		return []string{document(e.whole(e.made))}
	case e.deleted:
		return []string{document(e.whole(map[string]any{"$patch": "delete"}))}
	}
	if body := e.body(); len(body) > 0 {
		if !own {
			body = e.whole(body)
		}
		docs = append(docs, document(body))
	}
	if len(e.ops) > 0 {
		target := map[string]any{"kind": e.kind, "name": e.name}
		if e.namespace != "" {
			target["namespace"] = e.namespace
		}
		ops := make([]any, len(e.ops))
		for i, o := range e.ops {
			ops[i] = o.plain()
		}
		docs = append(docs, document(map[string]any{"patches": []any{map[string]any{"target": target, "patch": document(ops)}}}))
	}
	return docs
}

func (o operation) plain() map[string]any {
	m := map[string]any{"op": o.op, "path": o.path}
	if o.op != "remove" {
		m["value"] = o.value
	}
	return m
}

// commands are lines for a shell.
func (e edit) commands(alone bool) (lines []string) {
	kind := strings.ToLower(e.kind)
	if group, _, ok := strings.Cut(e.apiVersion, "/"); ok && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") || strings.HasPrefix(group, "gateway.") {
		kind += "." + group
	}
	name := kind + " " + quote(e.name)
	if e.namespace != "" {
		name += " -n " + quote(e.namespace)
	}
	switch {
	case e.made != nil && alone:
		return []string{document(e.whole(e.made))}
	case e.made != nil:
		return []string{"kubectl apply -f - <<'EOF'\n" + document(e.whole(e.made)) + "\nEOF"}
	case e.deleted:
		return []string{"kubectl delete " + name}
	case len(e.annotations) > 0 && len(e.fields) == 0:
		set, words := "", ""
		for _, s := range e.annotations {
			if s.value == nil {
				words += " " + quote(s.key+"-")
			} else {
				set, words = " --overwrite", words+" "+quote(s.key+"="+*s.value)
			}
		}
		lines = append(lines, "kubectl annotate"+set+" "+name+words)
	case len(e.fields) > 0:
		how := ""
		if !builtIn(e.kind, e.apiVersion) {
			how = " --type merge"
		}
		lines = append(lines, "kubectl patch "+name+how+" -p "+quote(compact(e.body())))
	}
	if len(e.ops) > 0 {
		ops := make([]any, len(e.ops))
		for i, o := range e.ops {
			ops[i] = o.plain()
		}
		lines = append(lines, "kubectl patch "+name+" --type json -p "+quote(compact(ops)))
	}
	if e.after != "" {
		lines = append(lines, e.after)
	}
	return lines
}

// builtIn reports whether kubectl knows a strategic merge patch for a kind.
func builtIn(kind, apiVersion string) bool {
	groups, ok := groups[kind]
	group, _, named := strings.Cut(apiVersion, "/")
	if !named {
		group = ""
	}
	return ok && kind != "IngressRoute" && kind != "TraefikService" && kind != "VirtualService" && slices.Contains(groups, group)
}

func compact(x any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(x) != nil { // maps, lists and scalars always are JSON
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// document writes maps, lists and scalars as YAML.
func document(x any) string {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if e.Encode(node(x, false)) != nil || e.Close() != nil { // what node makes always is YAML
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// first are the keys that come before the others of a map, in this order.
var first = []string{"apiVersion", "kind", "metadata", "target", "op", "path", "name", "namespace"}

// node writes a map's texts in quotes where annotations and labels are, whose
// values have to be texts.
func node(x any, quoted bool) *yaml.Node {
	switch x := x.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		rank := func(k string) int {
			if i := slices.Index(first, k); i >= 0 {
				return i
			}
			return len(first)
		}
		for _, k := range slices.SortedFunc(maps.Keys(x), func(a, b string) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b)) }) {
			n.Content = append(n.Content, node(k, false), node(x[k], k == "annotations" || k == "labels" || k == "matchLabels" || k == "selector" || quoted))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range x {
			n.Content = append(n.Content, node(item, false))
		}
		return n
	case string:
		n := &yaml.Node{}
		n.SetString(x)
		if quoted {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(x)}
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(x)}
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: x.String()}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
}

// plain is v as maps, lists, texts, numbers and booleans.
func (v *Value) plain() any {
	if v == nil {
		return nil
	}
	switch v.kind {
	case kindScalar:
		var b bool
		var n json.Number
		switch {
		case v.quoted:
		case json.Unmarshal([]byte(v.text), &b) == nil && (v.text == "true" || v.text == "false"):
			return b
		case json.Unmarshal([]byte(v.text), &n) == nil && json.Valid([]byte(v.text)) && v.text != "null" && !strings.HasPrefix(v.text, `"`):
			return n
		}
		return v.text
	case kindMap:
		fields := v.fields()
		m := make(map[string]any, len(fields))
		for i := range fields {
			m[fields[i].Name] = fields[i].Value.plain()
		}
		return m
	case kindList:
		items := v.Items()
		l := make([]any, len(items))
		for i, x := range items {
			l[i] = x.plain()
		}
		return l
	}
	return nil
}

// maxPatch bounds the bytes of a fix.
const maxPatch = 32 << 10
