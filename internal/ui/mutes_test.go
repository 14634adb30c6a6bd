package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// kept is what a store of mutes would say.
type kept struct{ mutesOfRun }

func (k *kept) say(trouble string, all ...Mute) {
	k.state = MuteState{Seq: k.state.Seq + 1, All: all, Lasting: true, Trouble: trouble}
}

// TestMutesOfEarlierRuns: what is kept is hidden and counted, with or without a
// pause, and what turned worse since is shown.
func TestMutesOfEarlierRuns(t *testing.T) {
	ing := MuteKey{"B10", "msgapp", "ingress/msgapp"}
	for _, test := range []struct {
		name string
		mute Mute
		want string
	}{
		{"as bad", Mute{ing, affinity.SeverityHigh}, "G02 D01 F01 L01 F02"},
		{"worse now", Mute{ing, affinity.SeverityMedium}, "G02 B10 D01 F01 L01 F02"},
		{"another object", Mute{MuteKey{"B10", "msgapp", "ingress/other"}, affinity.SeverityHigh}, "G02 B10 D01 F01 L01 F02"},
		{"another namespace", Mute{MuteKey{"B10", "shop", "ingress/msgapp"}, affinity.SeverityHigh}, "G02 B10 D01 F01 L01 F02"},
		{"another rule", Mute{MuteKey{"L01", "msgapp", "ingress/msgapp"}, affinity.SeverityInfo}, "G02 B10 D01 F01 F02"},
		{"not checked", Mute{MuteKey{"F02", "", ""}, affinity.SeverityOK}, "G02 B10 D01 F01 L01"},
	} {
		w, o := judged()
		k := &kept{}
		o.Mutes = k
		m := sized(o, 100, 30)
		press(m, "5")
		for _, paused := range []bool{false, true} {
			k.say("")
			m.tick(w.snap(), w.now)
			if got := ids(m); got != "G02 B10 D01 F01 L01 F02" {
				t.Fatalf("%s: before: %s", test.name, got)
			}
			k.say("", test.mute)
			m.tick(w.snap(), w.now)
			if got := ids(m); got != test.want {
				t.Errorf("%s, paused %v: %s, want %s", test.name, paused, got, test.want)
			}
			if said := strings.Contains(stripColours(m.View()), "1 muted"); said != (m.findings.counts.muted == 1) {
				t.Errorf("%s: %d muted, the screen says so: %v", test.name, m.findings.counts.muted, said)
			}
			if !paused {
				press(m, "p")
			}
		}
	}
}

// TestMutesThatAreNotKept: why is told, cleaned, over what was told at first.
func TestMutesThatAreNotKept(t *testing.T) {
	w, o := judged()
	k := &kept{}
	k.say("")
	o.Mutes = k
	m := sized(o, 100, 30)
	press(m, "5", "j", "M")
	if !strings.HasPrefix(m.notice.text, "B10 is muted for you") || strings.Contains(ids(m), "B10") {
		t.Errorf("notice %q, rows %s", m.notice.text, ids(m))
	}
	k.say("B10 is muted only until the program ends: no \x1b[31mspace", k.state.All...)
	m.tick(w.snap(), w.now.Add(time.Second/10))
	if text := stripColours(m.View()); !strings.Contains(text, "only until the program ends: no ·[31mspace") {
		t.Errorf("not told:\n%s", text)
	}
	press(m, "o", "j")
	if f, _ := m.findings.finding(); f.Rule == "B10" {
		t.Fatal("the cursor went back by itself")
	}
	k.say("", k.state.All...)
	press(m, "g", "j", "M")
	if !strings.Contains(m.notice.text, "B10 is shown again") || len(k.state.All) != 0 {
		t.Errorf("notice %q, muted %+v", m.notice.text, k.state.All)
	}
}

// TestMutedOnTheTopology: what is muted is no mark, neither there nor in the tabs.
func TestMutedOnTheTopology(t *testing.T) {
	_, o := judged()
	m := sized(o, 100, 30)
	before := m.d.findingMark("msgapp", "ingress/msgapp")
	press(m, "5", "j", "M", "1")
	if after := m.d.findingMark("msgapp", "ingress/msgapp"); before != "▲ 2" || after != "▲ 1" || !strings.Contains(stripColours(m.View()), "▲ 1") {
		t.Errorf("marks %q, then %q:\n%s", before, after, m.View())
	}
}

// TestNotJudgedIsNotMuted: it is shown, whatever key is pressed.
func TestNotJudgedIsNotMuted(t *testing.T) {
	w, o := told()
	w.apply(affinity.Findings{Source: "rules", Findings: []affinity.Finding{{Rule: "—", Title: "objects not judged", NotChecked: "no route to host"}}})
	m := sized(o, 100, 30)
	press(m, "5", "M")
	if got := ids(m); got != "—" || m.findings.counts.muted != 0 || !strings.Contains(m.notice.text, "cannot be muted") {
		t.Errorf("rows %q, notice %q", got, m.notice.text)
	}
}
