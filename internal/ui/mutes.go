package ui

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Mute hides what a rule says of an object, for as long as it says nothing
// worse.
type Mute struct {
	MuteKey
	Worst affinity.Severity // hidden up to this; SeverityOK hides what was not checked
}

// MuteKey is what a Mute is about.
type MuteKey struct {
	Rule      string
	Namespace string
	Object    string // "ingress/msgapp"; of what is about no object its route; "" for neither
}

// Mutes remembers what is muted. Its methods do not block.
type Mutes interface {
	// State is what is muted now. Nobody changes what it returns.
	State() MuteState
	// Mute takes over a mute, in place of another with its key.
	Mute(Mute)
	Unmute(MuteKey)
}

// MuteState is what is muted at one time.
type MuteState struct {
	Seq     uint64 // grows with every change of the rest
	All     []Mute
	Lasting bool   // it outlives the program, unless there is trouble
	Trouble string // why what was asked last does not, or nothing was read; "" for none
}

// With is all with one put in, in place of another with its key.
func With(all []Mute, one Mute) []Mute { return append(Without(all, one.MuteKey), one) }

// Without is all but the one with that key.
func Without(all []Mute, key MuteKey) []Mute {
	return slices.DeleteFunc(slices.Clone(all), func(m Mute) bool { return m.MuteKey == key })
}

// mutesOfRun last as long as the program.
type mutesOfRun struct{ state MuteState }

func (r *mutesOfRun) State() MuteState { return r.state }

func (r *mutesOfRun) Mute(m Mute) {
	r.state.Seq, r.state.All = r.state.Seq+1, With(r.state.All, m)
}

func (r *mutesOfRun) Unmute(key MuteKey) {
	r.state.Seq, r.state.All = r.state.Seq+1, Without(r.state.All, key)
}

func muteOf(f affinity.Finding) Mute {
	m := Mute{MuteKey{f.Rule, f.Object.Namespace, f.Object.String()}, f.Severity}
	if m.Object == "" {
		m.Object = string(f.Route)
	}
	if f.Certainty == affinity.CertaintyNotChecked {
		m.Worst = affinity.SeverityOK
	}
	return m
}

// mutes are what the panel looks findings up in.
type mutes map[MuteKey]affinity.Severity

func (x mutes) hides(f affinity.Finding) bool {
	m := muteOf(f)
	worst, ok := x[m.MuteKey]
	return ok && m.Worst <= worst
}

// heed takes over what is muted, and tells why what was asked is not kept.
func (m *Model) heed() {
	state := m.opt.Mutes.State()
	if state.Seq == m.findings.mutesSeq {
		return
	}
	m.findings.mutesSeq, m.d.mutes = state.Seq, make(mutes, len(state.All))
	for _, one := range state.All {
		m.d.mutes[one.MuteKey] = one.Worst
	}
	if state.Trouble != "" {
		m.say(warn, affinity.Clean(state.Trouble, maxPrompt))
	}
	m.rev++
}

// noMute: that nothing was judged is no rule's opinion, and "Nothing found" would
// stand in its place.
func (m *Model) noMute() string {
	if f, _ := m.findings.finding(); f.Rule == affinity.NoRule {
		return "no rule says this: it cannot be muted"
	}
	return m.noFinding()
}

// mute hides what the rule says of the object, for whoever runs this; for
// everybody there is stickytop.dev/ignore on the object.
func (m *Model) mute() tea.Cmd {
	f, _ := m.findings.finding()
	one := muteOf(f)
	defer m.heed()
	if m.d.mutes.hides(f) {
		m.opt.Mutes.Unmute(one.MuteKey)
		m.say(plain, f.Rule+" is shown again")
		return nil
	}
	m.opt.Mutes.Mute(one)
	text := f.Rule + " is muted for this run"
	if m.opt.Mutes.State().Lasting {
		text = f.Rule + " is muted for you"
	}
	m.say(plain, text+"; annotation stickytop.dev/ignore mutes it for all")
	return nil
}
