package ui

import (
	"strconv"

	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"
)

// filterLine is a filter as it was typed, and what it means.
type filterLine struct {
	names []string
	input string
	match filter
	err   string
}

// noMatch is what a list says that its filter leaves nothing of.
func (f *filterLine) noMatch(kind string) string {
	if f.err != "" {
		return "The filter cannot be read: " + f.err + "."
	}
	return "No " + kind + " matches " + strconv.Quote(f.input) + ".  esc clears the filter."
}

// setFilter reads s; a filter that cannot be read leaves the last one in force.
func (f *filterLine) setFilter(s string) {
	match, err := parseFilter(s, f.names)
	f.input, f.err = s, ""
	if err != nil {
		f.err = err.Error()
		return
	}
	f.match = match
}

// prompt is a line that is being typed into: a filter, the palette, or what done
// is for.
type prompt struct {
	in      textinput.Model
	mark    string                    // before the line of done
	about   string                    // what the line may be, beside its keys
	done    func(text string) tea.Cmd // with what was typed, on enter
	palette *palettePanel
	filter  *filterLine
	before  filterLine // to go back to on esc
	changed func()     // after the filter changed
}

const maxPrompt = 400

func newPrompt(value string) *prompt {
	in := textinput.New()
	in.CharLimit = maxPrompt
	in.SetValue(value)
	in.CursorEnd()
	_ = in.Focus() // its command would make the cursor blink
	return &prompt{in: in}
}

// question waits for y or n.
type question struct {
	text string
	yes  func() tea.Cmd
	no   func() tea.Cmd // nil: nothing happens

	other bool // a key was pressed that is no answer
}

// hint is how loud the keys are that answer: louder once another was tried.
func (q *question) hint() style {
	if q.other {
		return warn | reversed
	}
	return plain
}

// answer handles a key while a question is open: only y means yes.
func (m *Model) answer(msg tea.KeyMsg) tea.Cmd {
	q := m.question
	switch msg.String() {
	case "y", "Y":
		m.question = nil
		return q.yes()
	case "n", "N":
		m.question = nil
		if q.no != nil {
			return q.no()
		}
	case "esc", "q":
		m.question = nil
	case "ctrl+c":
		return m.leave()
	default:
		q.other = true
	}
	return nil
}

// typed handles a key while something is typed.
func (m *Model) typed(msg tea.KeyMsg) tea.Cmd {
	p := m.prompt
	switch msg.String() {
	case "ctrl+c":
		m.prompt = nil
		return m.leave()
	case "esc":
		m.prompt = nil
		if p.filter != nil {
			*p.filter = p.before
			p.changed()
		}
		return nil
	case "enter":
		if p.filter != nil && p.filter.err != "" {
			return nil // beside what was typed stands why it cannot be read
		}
		m.prompt = nil
		switch {
		case p.palette != nil:
			return p.palette.run(m)
		case p.done != nil:
			return p.done(p.in.Value())
		}
		return nil
	}
	if p.palette != nil && p.palette.key(m, msg, &p.in) {
		return nil
	}
	var drop tea.Cmd // only ever moves a blinking cursor, which there is none
	p.in, drop = p.in.Update(msg)
	_ = drop
	switch {
	case p.palette != nil:
		p.palette.search(m, p.in.Value())
	case p.filter != nil:
		p.filter.setFilter(p.in.Value())
		p.changed()
	}
	return nil
}

// drawPrompt draws the line that is typed into, with its cursor.
func drawPrompt(a area, y int, mark string, in textinput.Model) int {
	x := a.put(1, y, strong, mark)
	value, at := []rune(in.Value()), in.Position()
	room := max(a.w-x-2, 1)
	for cells(string(value[:at])) > room && at > 0 {
		value, at = value[1:], at-1
	}
	x = a.put(x, y, plain, string(value[:at]))
	under := " "
	rest := ""
	if at < len(value) {
		under, rest = string(value[at:at+1]), string(value[at+1:])
	}
	x = a.put(x, y, plain|reversed, under)
	return a.put(x, y, plain, rest)
}
