package ui

import "slices"

// table is a window onto rows that are known by an ID. The selection is an ID
// too, so that it stays with its row when the order changes.
type table[K comparable] struct {
	rows   []K
	cursor K
	at     int // row of the cursor
	top    int // first visible row
	height int // visible rows when it was drawn last
	col    int // column of the cursor
	follow bool
}

// set replaces the rows. A selected row that is gone passes the selection to
// the one that took its place.
func (t *table[K]) set(rows []K) {
	old := t.at
	t.rows = rows
	if len(rows) == 0 {
		t.at, t.top = 0, 0
		return
	}
	t.at = slices.Index(rows, t.cursor)
	if t.at < 0 {
		t.at = min(max(old, 0), len(rows)-1)
		t.cursor = rows[t.at]
		return
	}
	if t.follow {
		t.top += t.at - old // the row stays where it is on screen
	}
}

// selected returns the row under the cursor.
func (t *table[K]) selected() (K, bool) {
	if len(t.rows) == 0 {
		var none K
		return none, false
	}
	return t.rows[t.at], true
}

func (t *table[K]) to(i int) {
	if len(t.rows) == 0 {
		return
	}
	t.at = min(max(i, 0), len(t.rows)-1)
	t.cursor = t.rows[t.at]
}

// motion is a step of a cursor.
type motion uint8

const (
	lineUp motion = iota
	lineDown
	halfUp
	halfDown
	pageUp
	pageDown
	toTop
	toBottom
)

func (t *table[K]) move(m motion) {
	switch m {
	case toTop:
		t.to(0)
	case toBottom:
		t.to(len(t.rows) - 1)
	default:
		t.to(t.at + step(m, t.height))
	}
}

// step is how many rows m goes in a window of that height.
func step(m motion, height int) int {
	switch m {
	case lineUp:
		return -1
	case lineDown:
		return 1
	case halfUp:
		return -max(1, height/2)
	case halfDown:
		return max(1, height/2)
	case pageUp:
		return -max(1, height-1)
	case pageDown:
		return max(1, height-1)
	}
	return 0
}

// window returns the range of rows to draw into h lines, scrolled as little
// as needed to show the cursor.
func (t *table[K]) window(h int) (from, to int) {
	t.height = h
	if h <= 0 {
		return 0, 0
	}
	t.top = min(max(t.top, t.at-h+1), t.at)
	t.top = max(0, min(t.top, len(t.rows)-h))
	return t.top, min(len(t.rows), t.top+h)
}

// column describes one column of a table.
type column struct {
	name  string // what filters, sorting and the palette call it
	title string
	min   int
	ideal int
	flex  int  // share of the room that is left over
	drop  int  // columns of a higher number go first when room is short; 0 never
	right bool // aligned to the right
}

// slot is a column's place on screen.
type slot struct {
	column
	x, w int
}

// place fits columns into w cells with one blank between them.
func place(columns []column, w int) []slot {
	kept := slices.Clone(columns)
	need := func() int {
		n := len(kept) - 1
		for _, c := range kept {
			n += c.min
		}
		return n
	}
	for need() > w {
		worst := -1
		for i, c := range kept {
			if c.drop > 0 && (worst < 0 || c.drop >= kept[worst].drop) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		kept = slices.Delete(kept, worst, worst+1)
	}
	slots := make([]slot, len(kept))
	spare := w - need()
	flex := 0
	for i, c := range kept {
		grow := min(max(spare, 0), max(0, c.ideal-c.min))
		slots[i] = slot{column: c, w: c.min + grow}
		spare -= grow
		flex += c.flex
	}
	x := 0
	for i := range slots {
		if f := slots[i].flex; f > 0 && spare > 0 {
			grow := spare * f / flex
			slots[i].w += grow
			spare -= grow
			flex -= f
		}
		slots[i].x = x
		x += slots[i].w + 1
	}
	return slots
}

// drawHead draws the titles; the sorted column has an arrow, the column under
// the cursor is underlined.
func drawHead(a area, slots []slot, at int, sorted string, down bool) {
	for i, s := range slots {
		title := s.title
		if s.name == sorted {
			if down {
				title += "↓"
			} else {
				title += "↑"
			}
		}
		st := strong
		if i == at {
			st |= under
		}
		if s.right {
			a.sub(s.x, 0, s.w, 1).right(s.w, 0, st, title)
			continue
		}
		a.clip(s.x, 0, s.w, st, title)
	}
}
