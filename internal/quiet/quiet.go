// Package quiet keeps imports from asking the terminal questions.
//
// Bubble Tea v1 asks for the background colour in an init function and waits
// five seconds for an answer that many terminals never give
// (charmbracelet/bubbletea#1771), in every command of a program that imports
// it. With TERM=dumb nothing is asked. Go initialises packages in the order of
// their import paths as soon as what they import is ready, so this package,
// which needs os alone and sorts before github.com/muesli/termenv, is first.
// It must not import anything else, and main must call Restore.
package quiet

import "os"

var term, had = os.LookupEnv("TERM")

func init() { _ = os.Setenv("TERM", "dumb") }

// Restore gives TERM back its value.
func Restore() {
	if had {
		_ = os.Setenv("TERM", term)
	} else {
		_ = os.Unsetenv("TERM")
	}
}
