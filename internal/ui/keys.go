package ui

import (
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// where is a set of contexts that a key works in.
type where uint16

const (
	inTopo where = 1 << iota
	inSessions
	inPods
	inEvents
	inFindings
	inClientIP
	inDetail
	inHelp
	inPicker
	inAccess
)

const (
	inTables   = inSessions | inPods | inEvents | inFindings | inClientIP
	inViews    = inTopo | inTables
	inScreens  = inViews | inDetail
	inMovable  = inViews | inDetail | inHelp | inPicker
	everywhere = inScreens | inHelp | inPicker | inAccess
)

// String lists the contexts by name.
func (w where) String() string {
	var names []string
	for one := inTopo; one <= inAccess; one <<= 1 {
		if w&one != 0 {
			names = append(names, contextName(one))
		}
	}
	return strings.Join(names, ", ")
}

// binding ties keys to an action. The one list of them is what keys do, what
// the help shows and what the palette offers.
type binding struct {
	name  string   // "session.drop-cookie"
	keys  []string // as tea.KeyMsg prints them; none: only in the palette
	label string   // how help prints the keys; "" for the keys themselves
	group string
	help  string
	hint  string // a word for the footer; "" to leave it out there
	in    where
	do    func(*Model) tea.Cmd
	off   func(*Model) string // why it cannot be done now; nil or "" when it can
}

// keyLabel prints the keys of b.
func (b binding) keyLabel() string {
	if b.label != "" {
		return b.label
	}
	names := make([]string, len(b.keys))
	for i, k := range b.keys {
		names[i] = keyName(k)
	}
	return strings.Join(names, " ")
}

// keyName prints a key as people write it.
func keyName(k string) string {
	switch k {
	case "up":
		return "↑"
	case "down":
		return "↓"
	case "left":
		return "←"
	case "right":
		return "→"
	}
	return strings.Replace(k, "ctrl+", "^", 1)
}

// disabled says why b cannot be done now, "" when it can.
func (b binding) disabled(m *Model) string {
	if b.in&m.where() == 0 {
		return "only in " + b.in.String()
	}
	if b.off == nil {
		return ""
	}
	return b.off(m)
}

// find returns the binding of a key in a context.
func find(bindings []binding, key string, in where) (binding, bool) {
	for _, b := range bindings {
		if b.in&in != 0 && slices.Contains(b.keys, key) {
			return b, true
		}
	}
	return binding{}, false
}

// perform does b, or says why it cannot be done.
func (m *Model) perform(b binding) tea.Cmd {
	if why := b.disabled(m); why != "" {
		m.say(warn, b.name+": "+why)
		return nil
	}
	return b.do(m)
}

// hints are the keys of the footer: those that do something here and now.
func (m *Model) hints() []binding {
	var out []binding
	in := m.where()
	for _, b := range m.keys {
		if b.in&in != 0 && b.hint != "" && b.disabled(m) == "" {
			out = append(out, b)
		}
	}
	return out
}
