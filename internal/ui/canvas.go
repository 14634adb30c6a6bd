package ui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// A canvas is a grid of cells. Panels draw into it; nothing else becomes
// screen text. That makes two promises hold by construction, whatever is
// drawn: no line is wider than the grid, and no control byte reaches the
// terminal.
type canvas struct {
	w, h  int
	cells []cell
	ascii bool // translate every glyph to ASCII
}

// cell is one column of one line. A wide character has its text in the first
// of its two cells; the second is tail.
type cell struct {
	text string
	st   style
	tail bool
}

func newCanvas(w, h int, ascii bool) *canvas {
	c := &canvas{w: w, h: h, ascii: ascii, cells: make([]cell, w*h)}
	c.clear()
	return c
}

func (c *canvas) clear() {
	for i := range c.cells {
		c.cells[i] = cell{text: " "}
	}
}

// put writes s at (x, y) into at most limit cells and returns how many it
// took. What does not fit is cut; a cut text ends in an ellipsis.
func (c *canvas) put(x, y, limit int, st style, s string) int {
	limit = min(limit, c.w-x)
	if y < 0 || y >= c.h || x < 0 || limit <= 0 {
		return 0
	}
	used := 0
	for len(s) > 0 {
		text, width, size := glyph(s)
		s = s[size:]
		if width == 0 {
			continue
		}
		if used+width > limit || used+width == limit && visible(s) {
			c.set(x+used, y, "…", 1, st)
			return used + 1
		}
		c.set(x+used, y, text, width, st)
		used += width
	}
	return used
}

// visible reports whether s takes any cell.
func visible(s string) bool {
	for len(s) > 0 {
		_, width, size := glyph(s)
		if width > 0 {
			return true
		}
		s = s[size:]
	}
	return false
}

// set writes one glyph over what is there, blanking the other half of a wide
// character that it cuts.
func (c *canvas) set(x, y int, text string, width int, st style) {
	i := y*c.w + x
	if c.ascii && text[0] >= utf8.RuneSelf {
		text = toASCII(text)
		if width == 2 {
			c.set(x+1, y, " ", 1, st)
			width = 1
		}
	}
	if c.cells[i].tail && x > 0 {
		c.cells[i-1].text = " "
	}
	end := i + width
	if x+width < c.w && c.cells[end].tail {
		c.cells[end] = cell{text: " ", st: c.cells[end].st}
	}
	c.cells[i] = cell{text: text, st: st}
	if width == 2 {
		c.cells[i+1] = cell{st: st, tail: true}
	}
}

// glyph splits the first glyph off s: its text, its width in cells and its
// length in bytes. What a terminal would not show as itself becomes '·'.
func glyph(s string) (text string, width, size int) {
	if b := s[0]; b >= 0x20 && b < 0x7f {
		if len(s) == 1 || s[1] < utf8.RuneSelf {
			return s[:1], 1, 1
		}
	} else if b < utf8.RuneSelf {
		return "·", 1, 1
	}
	r, n := utf8.DecodeRuneInString(s)
	if r >= 0x2500 && r <= 0x25fc { // box drawing, blocks, shapes
		return s[:n], 1, n
	}
	cluster, width := ansi.FirstGraphemeCluster(s, ansi.GraphemeWidth)
	if len(cluster) == 0 {
		return "·", 1, max(n, 1)
	}
	for _, r := range cluster {
		if r == utf8.RuneError || !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r) {
			return "·", 1, len(cluster)
		}
	}
	return cluster, min(width, 2), len(cluster)
}

// cells returns how many cells s takes when drawn.
func cells(s string) int {
	n := 0
	for len(s) > 0 {
		_, width, size := glyph(s)
		n += width
		s = s[size:]
	}
	return n
}

// text renders the grid: h lines, no newline at the end. Blanks at the end of
// a line are left out, as the renderer erases there.
func (c *canvas) text(th *theme) string {
	var b strings.Builder
	b.Grow(len(c.cells) * 2)
	for y := 0; y < c.h; y++ {
		if y > 0 {
			b.WriteByte('\n')
		}
		c.line(&b, c.cells[y*c.w:(y+1)*c.w], th)
	}
	return b.String()
}

func (c *canvas) line(b *strings.Builder, row []cell, th *theme) {
	for len(row) > 0 && row[len(row)-1].text == " " && !row[len(row)-1].st.marksBlank() {
		row = row[:len(row)-1]
	}
	now := plain
	for _, cl := range row {
		want := cl.st
		switch {
		case cl.tail:
			continue
		case cl.text == " " && !want.marksBlank() && !now.marksBlank():
			want = now // a blank has no colour
		case cl.text == " " && !want.marksBlank():
			want = plain
		}
		if th.sgr(want) != th.sgr(now) {
			b.WriteString("\x1b[")
			if sgr := th.sgr(want); sgr != "" {
				b.WriteString("0;")
				b.WriteString(sgr)
			}
			b.WriteByte('m')
		}
		now = want
		b.WriteString(cl.text)
	}
	if th.sgr(now) != "" {
		b.WriteString("\x1b[m")
	}
}
