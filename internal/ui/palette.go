package ui

import (
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"
)

// palettePanel offers every action by name, those without a key too.
type palettePanel struct {
	table[string]
	all  []binding
	text string
}

func (m *Model) openPalette() tea.Cmd {
	if m.overlay == overlayHelp {
		m.overlay = overlayNone
	}
	in := m.where()
	p := &palettePanel{}
	for _, b := range m.keys {
		if b.name != "palette" {
			p.all = append(p.all, b)
		}
	}
	// What works here comes first.
	slices.SortStableFunc(p.all, func(a, b binding) int { return int(min(b.in&in, 1)) - int(min(a.in&in, 1)) })
	for i, t := range m.themes {
		p.all = append(p.all, binding{name: "theme." + t.name, group: "APP", help: "use the theme " + t.name, in: everywhere,
			do: func(m *Model) tea.Cmd { m.theme = i; return nil }})
	}
	m.prompt = newPrompt("")
	m.prompt.palette = p
	p.search(m, "")
	return nil
}

// search keeps the actions whose name or help has all words of text. The one
// of that name comes first, then those whose names begin with it.
func (p *palettePanel) search(_ *Model, text string) {
	p.text = strings.ToLower(strings.TrimSpace(text))
	var first, rest []string
	for _, b := range p.all {
		hay := b.name + " " + strings.ToLower(b.help)
		ok := true
		for _, word := range strings.Fields(p.text) {
			ok = ok && strings.Contains(hay, word)
		}
		switch {
		case !ok:
		case b.name == p.text:
			first = slices.Insert(first, 0, b.name)
		case strings.HasPrefix(b.name, p.text):
			first = append(first, b.name)
		default:
			rest = append(rest, b.name)
		}
	}
	p.set(append(first, rest...))
	p.move(toTop)
}

// key handles the keys that choose; others are typed.
func (p *palettePanel) key(m *Model, msg tea.KeyMsg, in *textinput.Model) bool {
	switch msg.String() {
	case "down", "ctrl+n":
		p.move(lineDown)
	case "up", "ctrl+p":
		p.move(lineUp)
	case "tab":
		if name, ok := p.selected(); ok {
			in.SetValue(name)
			in.CursorEnd()
			p.search(m, name)
		}
	default:
		return false
	}
	return true
}

// run does what is chosen.
func (p *palettePanel) run(m *Model) tea.Cmd {
	b, ok := p.chosen()
	if !ok {
		m.say(warn, "no action is called "+p.text)
		return nil
	}
	return m.perform(b)
}

func (p *palettePanel) chosen() (binding, bool) {
	name, ok := p.selected()
	if !ok {
		return binding{}, false
	}
	for _, b := range p.all {
		if b.name == name {
			return b, true
		}
	}
	return binding{}, false
}

func (p *palettePanel) draw(a area, m *Model) {
	in := a.box("Commands", "tab completes  enter runs", false)
	if b, ok := p.chosen(); ok {
		// What the row has no room for stands below the list.
		if text := paletteText(m, b); cells(text) > in.w-paletteHelp {
			lines := wrap(text, in.w-2)
			in.h -= len(lines)
			for y, line := range lines {
				a.put(4, 1+in.h+y, strong, line)
			}
		}
	}
	from, to := p.window(in.h)
	for i := from; i < to; i++ {
		y := i - from
		for _, b := range p.all {
			if b.name != p.rows[i] {
				continue
			}
			st := plain
			if b.disabled(m) != "" {
				st = muted
			}
			in.clip(2, y, 22, st, b.name)
			in.clip(25, y, 12, strong, b.keyLabel())
			in.clip(paletteHelp, y, in.w-paletteHelp, st, paletteText(m, b))
		}
		if i == p.at {
			in.put(0, y, strong, ">")
			in.mark(y, reversed)
		}
	}
	if len(p.rows) == 0 {
		in.put(2, 0, plain, "no action is called that")
	}
}

// paletteHelp is the column of what an action does.
const paletteHelp = 38

// paletteText is what b does, and why it cannot be done now.
func paletteText(m *Model, b binding) string {
	if why := b.disabled(m); why != "" {
		return b.help + "  (" + why + ")"
	}
	return b.help
}
