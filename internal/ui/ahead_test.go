package ui

import (
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// ahead hands m what was typed in one read of the terminal.
func ahead(m *Model, text string) tea.Cmd {
	_, cmd := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text)})
	return cmd
}

// TestTypedAhead: Bubble Tea gives what was typed between two reads as one
// message. Every key in it counts, for what the one before led to.
func TestTypedAhead(t *testing.T) {
	m, r, _ := recorded()
	ahead(m, "2jj")
	if got, _ := m.sessions.selected(); got != "s03" {
		t.Errorf("2jj: on %q, want s03", got)
	}
	ahead(m, "k/down")
	if m.prompt == nil || m.prompt.in.Value() != "down" {
		t.Fatalf("k/down: not what the filter was given: %+v", m.prompt)
	}
	press(m, "esc")
	if got, _ := m.sessions.selected(); got != "s02" {
		t.Errorf("k/down, esc: on %q, want s02", got)
	}
	ahead(m, "Ky")
	if got := r.last(); got.Kind != affinity.CommandClose || got.Session != "s02" {
		t.Errorf("Ky asked for %+v", got)
	}
	ahead(m, ":sort.moves")
	press(m, "enter")
	if got := m.sessions.sortBy; got != "moves" {
		t.Errorf("the palette sorted by %q, want moves", got)
	}
	if cmd := ahead(m, "3qn2"); !isMsg[tea.QuitMsg](cmd) || m.view != viewPods {
		t.Errorf("3qn2: quit, and nothing after it: view %d", m.view)
	}
	if got := r.last(); got.Kind != affinity.CommandClose {
		t.Errorf("a key after q asked for %+v", got)
	}
}

// TestPastedIsNoKey: what is pasted is text where text is typed, and nothing
// elsewhere.
func TestPastedIsNoKey(t *testing.T) {
	m, r, _ := recorded()
	paste := func(text string) tea.Cmd {
		_, cmd := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text), Paste: true})
		return cmd
	}
	press(m, "2")
	if cmd := paste("3Kyq"); cmd != nil || m.view != viewSessions || m.question != nil || len(r.commands) > 0 {
		t.Errorf("pasted keys were pressed: view %d, %v", m.view, r.commands)
	}
	press(m, "K")
	if paste("y"); m.question == nil || len(r.commands) > 0 {
		t.Error("a pasted y is no answer")
	}
	press(m, "n", "/")
	if paste("up"); m.prompt == nil || m.prompt.in.Value() != "up" {
		t.Error("a paste is text in the filter")
	}
}
