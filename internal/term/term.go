// Package term is the terminal as stickytop uses it: what it can do, frames
// written in one piece, copying through OSC 52, and getting out again when it
// no longer answers. It knows nothing of what is drawn.
package term

import (
	"strings"
)

// Ability is what a terminal is believed to do. Nothing is asked of it: a
// query may never be answered, and would stall the start.
type Ability struct {
	Colors int  // 0, 16 or 256
	ASCII  bool // draw with ASCII only
	Dumb   bool // no cursor addressing at all
	Remote bool // over SSH: fewer frames, and only OSC 52 reaches the clipboard
	Mux    Mux
}

// Mux is the multiplexer between the program and the terminal, which must be
// told to hand OSC 52 through.
type Mux uint8

const (
	MuxNone Mux = iota
	MuxTmux
	MuxScreen
)

// Detect reads the ability off the environment. getenv is os.Getenv.
//
// Ambiguous-width glyphs (box drawing, ●, ▶) take two cells in terminals set
// up for Chinese, Japanese or Korean, and would shift every column; there, and
// where the locale's charset is not UTF-8, ASCII is the answer.
func Detect(getenv func(string) string) Ability {
	kind := getenv("TERM")
	a := Ability{
		Colors: 16,
		Dumb:   kind == "dumb",
		Remote: getenv("SSH_CONNECTION") != "" || getenv("SSH_TTY") != "",
		ASCII:  kind == "dumb" || kind == "linux" || strings.HasPrefix(kind, "vt") || asciiLocale(locale(getenv)),
	}
	truecolor := getenv("COLORTERM")
	switch {
	case getenv("NO_COLOR") != "" || kind == "dumb" || strings.HasPrefix(kind, "vt"):
		a.Colors = 0
	case strings.Contains(kind, "256color") || truecolor == "truecolor" || truecolor == "24bit":
		a.Colors = 256
	}
	switch {
	case getenv("TMUX") != "" || strings.HasPrefix(kind, "tmux"):
		a.Mux = MuxTmux
	case getenv("STY") != "" || strings.HasPrefix(kind, "screen"):
		a.Mux = MuxScreen
	}
	return a
}

// locale returns the locale of character handling, by the order of
// setlocale(3).
func locale(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return ""
}

func asciiLocale(loc string) bool {
	for _, cjk := range []string{"zh", "ja", "ko"} {
		if loc == cjk || strings.HasPrefix(loc, cjk+"_") || strings.HasPrefix(loc, cjk+".") {
			return true
		}
	}
	_, charset, found := strings.Cut(loc, ".")
	charset, _, _ = strings.Cut(charset, "@")
	charset = strings.ToLower(strings.ReplaceAll(charset, "-", ""))
	return found && charset != "utf8"
}
