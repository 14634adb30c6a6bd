package ui

import (
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// style is what a cell means: a role, and marks on top of it. Colours belong
// to the theme. Nothing is said by style alone; a word, letter or glyph
// always says it too.
type style uint16

// Roles.
const (
	plain style = iota
	strong
	muted   // modelled, bypassed, less important; never needed text
	changed // RE-PINNED, moved
	warn    // draining, short fuses
	broken  // SPLIT, ORPHAN, errors
	silent  // MOVED-SILENT
	podHue  // and the next seven
)

const (
	podHues  = 8
	roles    = podHue + podHues
	roleMask = style(0xff)
	reversed = style(1 << 8)
	under    = style(1 << 9)
)

// marksBlank reports whether a blank of this style looks different from none.
func (s style) marksBlank() bool { return s&(reversed|under) != 0 }

// podStyle returns the hue of a pod's tag. Neighbours in the alphabet differ.
func podStyle(tag string) style {
	n := 0
	for i := range len(tag) {
		n = n*26 + int(tag[i])
	}
	if tag == "" {
		return plain
	}
	return podHue + style((n+podHues-int('A')%podHues)%podHues)
}

// theme maps styles to SGR parameters.
type theme struct {
	name   string
	colors int // colours a terminal needs for it
	role   [roles]lipgloss.Style
	table  [4 * roles]string // computed: the SGR parameters of all combinations with marks
}

func (t *theme) sgr(s style) string { return t.table[s>>8*roles+s&roleMask] }

// compile computes the SGR parameters of every combination once, as a style
// that is rendered for each cell would cost more than all else on the screen.
func (t theme) compile() theme {
	for role := plain; role < roles; role++ {
		for _, mark := range []style{0, reversed, under, reversed | under} {
			st := t.role[role]
			if mark&under != 0 {
				st = st.Underline(true)
			}
			if mark&reversed != 0 {
				st = st.Reverse(true)
			}
			t.table[mark>>8*roles+role] = parameters(st)
		}
	}
	return t
}

// parameters are those of the SGR sequence that lipgloss puts before a text,
// without the second underline that it writes.
func parameters(st lipgloss.Style) string {
	before, _, _ := strings.Cut(st.Render("x"), "x")
	sequence := strings.TrimSuffix(strings.TrimPrefix(before, "\x1b["), "m")
	return strings.Trim(strings.ReplaceAll(";"+sequence+";", ";4;4;", ";4;"), ";")
}

// themes lists the themes there are. The first that the terminal has the
// colours for is the default. The renderer's profile is fixed: which theme a
// terminal can show is decided here, and lipgloss must not ask it.
func themes() []theme {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI256)
	base := r.NewStyle()
	bold := base.Bold(true)
	ink := func(st lipgloss.Style, colours ...string) (all []lipgloss.Style) {
		for _, c := range colours {
			all = append(all, st.Foreground(lipgloss.Color(c)))
		}
		return all
	}
	of := func(parts ...[]lipgloss.Style) (role [roles]lipgloss.Style) {
		for i := range role {
			role[i] = base
		}
		copy(role[:], slices.Concat(parts...))
		return role
	}
	same := func(st lipgloss.Style, n int) []lipgloss.Style { return slices.Repeat([]lipgloss.Style{st}, n) }
	all := []theme{
		// ansi uses only the 16 colours, so it follows the user's own palette
		// and works on light and dark alike.
		{name: "ansi", colors: 16, role: of(same(base, 1), same(bold, 1), ink(base, "8", "6", "3"), ink(bold, "1", "5"),
			ink(base, "12", "3", "14", "13", "6", "11", "5", "4"))},
		// okabe uses the colour-blind-safe set of Okabe and Ito, "Color
		// Universal Design" (2008), in the nearest of the 256.
		{name: "okabe", colors: 256, role: of(same(base, 1), same(bold, 1), ink(base, "246", "74", "214"), ink(bold, "166", "175"),
			ink(base, "74", "214", "36", "175", "33", "227", "180", "250"))},
		{name: "contrast", colors: 16, role: of(same(bold, 2), same(base, 1), ink(bold, "14", "11", "9", "13"), same(bold, podHues))},
		// mono has attributes only: what NO_COLOR asks for.
		{name: "mono", colors: 0, role: of(same(base, 1), same(bold, 1), same(base, 2), same(bold, 3))},
	}
	for i := range all {
		all[i] = all[i].compile()
	}
	return all
}

// usableThemes returns the themes for a terminal with that many colours.
func usableThemes(colors int) []theme {
	var kept []theme
	for _, t := range themes() {
		if t.colors <= colors {
			kept = append(kept, t)
		}
	}
	return kept
}
