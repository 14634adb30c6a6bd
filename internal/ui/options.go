package ui

import (
	"io"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/term"
)

// Controls takes what the user asks for. Do must not block.
type Controls interface {
	Do(affinity.Command)
}

// Clipboard takes a text and says which way it went.
type Clipboard interface {
	Copy(text string) (way string, err error)
}

// Reports writes findings for elsewhere.
type Reports interface {
	// Markdown is findings as text for an issue or a chat.
	Markdown([]affinity.Finding) string
	// Name is a file's name that is offered for findings saved at that time.
	Name(time.Time) string
	// Endings are those of files' names that Save takes.
	Endings() string
	// Save writes a new file, which its owner alone can read, in the format
	// that the ending of path says, and returns where it is. It may take its
	// time. What is there already is an error, and left as it is.
	Save(path string, all []affinity.Finding) (saved string, err error)
}

// Action is something a world can be asked to do, such as deleting a pod of
// the demo. It is performed with CommandPerform.
type Action struct {
	Key   string // as Bubble Tea names it: "5"; a key that the screen uses itself stays the screen's
	Name  string // Command.Action
	Title string // "delete a pod"
}

// Options are what the screen needs to know and to reach. Snapshots is
// required; the zero value of everything else works.
type Options struct {
	// Snapshots returns the newest snapshot. It must not block nor return nil.
	Snapshots func() *affinity.Snapshot
	Controls  Controls         // nil: keys that act are disabled
	Now       func() time.Time // nil: time.Now
	Clipboard Clipboard        // nil: the terminal's own, by OSC 52
	Reports   Reports          // nil: findings are neither copied as a report nor saved
	Mutes     Mutes            // nil: findings are muted until the program ends

	Title     string          // how the program was called; "" for stickytop
	Context   string          // kubeconfig context, or what else stands for the cluster
	Server    string          // the URL of the API server; "" where there is none
	Namespace string          // "" for all
	Selector  string          // that narrows the routes; "" for none
	User      string          // of the kubeconfig
	As        string          // whom the API server takes this user for, by impersonation; "" for nobody else
	AsGroups  []string        // the groups that were given with As
	Target    affinity.Target // what the command line named

	ReadOnly bool // only watch: keys that make traffic are disabled
	Term     term.Ability
	Theme    string // "" for the best that the terminal can do
	NoSync   bool   // do not use synchronized output

	// Round is how long it takes until each of so many sessions was asked once,
	// at MaxRPS requests per second in all; nil for at once.
	Round  func(sessions int) time.Duration
	MaxRPS float64

	Actions []Action
	Caption func() string // a line of narration; nil or "" for none

	In  io.Reader // nil: the process's own
	Out io.Writer
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Title == "" {
		o.Title = "stickytop"
	}
	if o.Mutes == nil {
		o.Mutes = &mutesOfRun{}
	}
	if o.Caption == nil {
		o.Caption = func() string { return "" }
	}
}

// pace is how often the newest snapshot is looked at.
func (o *Options) pace() time.Duration {
	if o.Term.Remote {
		return time.Second / 4
	}
	return time.Second / 10
}
