package ui

// class is how much room there is, decided once per resize.
type class uint8

const (
	classTiny class = iota // not even one session fits
	classXS                // one status line per session, no frame
	classS                 // one pane
	classM                 // a list and a preview
	classL                 // a grid
)

const (
	tinyWidth, tinyHeight = 24, 5
	smallWidth            = 60
	smallHeight           = 15
	mediumWidth           = 100
	largeWidth            = 140
	largeHeight           = 36
	mergeHeight           = 18 // under it, the second line of the header goes
)

func classOf(w, h int) class {
	switch {
	case w < tinyWidth || h < tinyHeight:
		return classTiny
	case w < smallWidth || h < smallHeight:
		return classXS
	case w < mediumWidth:
		return classS
	case w < largeWidth || h < largeHeight:
		return classM
	}
	return classL
}
