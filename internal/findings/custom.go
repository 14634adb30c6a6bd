package findings

import (
	"encoding/json"
	"slices"

	"github.com/kubestickytop/stickytop/internal/ingress"
)

// customNames are the kinds of ingress.CustomKinds, each once.
func customNames() (names []string) {
	for _, k := range ingress.CustomKinds {
		if !slices.Contains(names, k.Kind) {
			names = append(names, k.Kind)
		}
	}
	return names
}

// addCustom gives the objects of custom kinds to what builds the routes. One of
// another shape than its API has is left out, as its controller would.
func (w *world) addCustom(o *ingress.Objects) {
	o.CustomUnread = map[string]bool{}
	for _, k := range ingress.CustomKinds {
		if !w.Cluster || w.Unread[k.Kind] != "" {
			o.CustomUnread[k.Key] = true
		}
		for _, x := range w.objects(k.Kind) {
			if x.group() != k.Group() {
				continue
			}
			parsed, err := k.Parse(x.appendJSON(nil))
			if err != nil {
				continue
			}
			o.Custom = append(o.Custom, ingress.Custom{Key: k.Key, Namespace: x.Namespace, Name: x.Name, Created: created(x),
				Annotations: x.Strings("metadata", "annotations"), Parsed: parsed})
		}
	}
}

// appendJSON writes v as JSON.
func (v *Value) appendJSON(b []byte) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	switch v.kind {
	case kindScalar:
		if !v.quoted && json.Valid([]byte(v.text)) {
			return append(b, v.text...)
		}
		return appendText(b, v.text)
	case kindMap:
		b = append(b, '{')
		for i := range v.fields() {
			f := &v.parts.fields[i]
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, f.Name), ':')
			b = f.Value.appendJSON(b)
		}
		return append(b, '}')
	case kindList:
		b = append(b, '[')
		for i, x := range v.Items() {
			if i > 0 {
				b = append(b, ',')
			}
			b = x.appendJSON(b)
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}

func appendText(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // a string always is a text
		return append(b, `""`...)
	}
	return append(b, text...)
}
