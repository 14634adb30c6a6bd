package ui

// scrolled is a place in a text that the screen may not hold.
type scrolled struct {
	top    int
	height int // of the window and of the text when it was drawn last
	length int
}

func (s *scrolled) scroll(m motion) {
	switch m {
	case toTop:
		s.top = 0
	case toBottom:
		s.top = s.length
	default:
		s.top += step(m, s.height)
	}
	s.clamp()
}

func (s *scrolled) clamp() { s.top = max(0, min(s.top, s.length-s.height)) }

// draw draws the lines from where s is, and on a line of its own how many are
// left and the key that leads to them.
func (s *scrolled) draw(a area, lines [][]run, key string) {
	rows := a.h
	if len(lines) > rows {
		rows = max(0, rows-1)
	}
	s.length, s.height = len(lines), rows
	s.clamp()
	for y, line := range lines[s.top:min(s.top+rows, len(lines))] {
		pen := a.pen(0, y)
		for _, r := range line {
			pen.put(r.st, r.text)
		}
	}
	if more := len(lines) - s.top - rows; more > 0 {
		a.right(a.w, a.h-1, strong, key+" "+plural(more, "more line", "more lines"))
	}
}
