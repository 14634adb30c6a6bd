package ui

import "strings"

// area is a rectangle of a canvas that one panel draws into. Drawing outside
// of it has no effect.
type area struct {
	c          *canvas
	x, y, w, h int
}

func (c *canvas) area() area { return area{c, 0, 0, c.w, c.h} }

// sub returns the part of a at (x, y) that is at most w by h.
func (a area) sub(x, y, w, h int) area {
	x, y = min(max(x, 0), a.w), min(max(y, 0), a.h)
	return area{a.c, a.x + x, a.y + y, max(0, min(w, a.w-x)), max(0, min(h, a.h-y))}
}

// put writes s at (x, y) and returns the column after it.
func (a area) put(x, y int, st style, s string) int {
	return a.clip(x, y, a.w-x, st, s)
}

// clip writes s at (x, y) into at most w cells and returns the column after it.
func (a area) clip(x, y, w int, st style, s string) int {
	if y < 0 || y >= a.h || x < 0 || x >= a.w {
		return x
	}
	return x + a.c.put(a.x+x, a.y+y, min(w, a.w-x), st, s)
}

// right writes s so that it ends before column x.
func (a area) right(x, y int, st style, s string) {
	start := x - cells(s)
	if start < 0 {
		a.clip(0, y, x, st, s)
		return
	}
	a.put(start, y, st, s)
}

// fill repeats s, one cell wide, over w cells from (x, y).
func (a area) fill(x, y, w int, st style, s string) {
	for i := range w {
		a.put(x+i, y, st, s)
	}
}

// mark adds a mark to every cell of line y.
func (a area) mark(y int, bit style) {
	if y < 0 || y >= a.h {
		return
	}
	row := a.c.cells[(a.y+y)*a.c.w+a.x:]
	for i := range a.w {
		row[i].st |= bit
	}
}

// box draws a frame with a title on the left and a remark on the right of its
// upper edge, and returns the inside. A dotted one says that what is in it
// may be out of date.
func (a area) box(title, remark string, dotted bool) area {
	if a.w < 4 || a.h < 2 {
		return area{c: a.c}
	}
	h, v := "─", "│"
	if dotted {
		h, v = "┄", "┆"
	}
	edge := strings.Repeat(h, a.w-2)
	a.put(0, 0, muted, "╭"+edge+"╮")
	a.put(0, a.h-1, muted, "╰"+edge+"╯")
	for y := 1; y < a.h-1; y++ {
		a.put(0, y, muted, v)
		a.put(a.w-1, y, muted, v)
	}
	if title != "" {
		a.clip(2, 0, a.w-4, strong, " "+title+" ")
	}
	if remark != "" {
		a.sub(a.w/2, 0, a.w-a.w/2-2, 1).right(a.w-a.w/2-2, 0, plain, " "+remark+" ")
	}
	return a.sub(2, 1, a.w-4, a.h-2)
}

// pen writes runs of text one after the other on one line.
type pen struct {
	a    area
	x, y int
}

func (a area) pen(x, y int) *pen { return &pen{a, x, y} }

func (p *pen) put(st style, s string) *pen {
	p.x = p.a.put(p.x, p.y, st, s)
	return p
}

func (p *pen) gap(n int) *pen {
	p.x += n
	return p
}

// wrap breaks s into lines of at most w cells, between words where it can. A
// word that no line holds is broken, where names have joints if there is one.
func wrap(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(s) {
		n := cells(word)
		for n > w {
			if room := w - used - 1; used > 0 && room < w/3 {
				lines = append(lines, line)
				line, used = "", 0
			}
			room := w
			if used > 0 {
				room, line = w-used-1, line+" "
			}
			at := joint(word, room)
			lines = append(lines, line+word[:at])
			line, used, word = "", 0, word[at:]
			n = cells(word)
		}
		switch {
		case used == 0:
			line, used = word, n
		case used+1+n <= w:
			line, used = line+" "+word, used+1+n
		default:
			lines = append(lines, line)
			line, used = word, n
		}
	}
	if used > 0 {
		lines = append(lines, line)
	}
	return lines
}

// joints are the characters behind which a long name is broken.
const joints = "/.,=:-_"

// joint is where to break word, which w cells do not hold, in bytes: behind a
// joint in the second half of what fits, or after what fits.
func joint(word string, w int) int {
	at, last, used := 0, 0, 0
	for at < len(word) {
		_, width, size := glyph(word[at:])
		if used+width > w && at > 0 {
			break
		}
		used, at = used+width, at+size
		if strings.IndexByte(joints, word[at-1]) >= 0 && used > w/2 {
			last = at
		}
	}
	if last > 0 {
		return last
	}
	return at
}
