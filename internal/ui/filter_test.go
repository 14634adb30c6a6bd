package ui

import (
	"strings"
	"testing"
	"time"
)

func TestFilterSessions(t *testing.T) {
	w, o := told()
	m := sized(o, 140, 40)
	for _, tt := range []struct{ filter, want string }{
		{"", "s01 s02 s03 s04 s05 s06 s07 s08 s09 s10 s11"},
		{"split", "s09"},
		{"SPLIT", "s09"},
		{"!stuck", "s03 s06 s09 s10 s11"},
		{"state=split", "s09"},
		{"state=STUCK pod=B", "s02 s05 s08"},
		{"state=stuck and pod=B", "s02 s05 s08"},
		{"state=SPLIT or state=FAILING", "s09 s11"},
		{"(state=SPLIT or state=FAILING) and not id=s11", "s09"},
		{"state!=STUCK", "s03 s06 s09 s10 s11"},
		{"moves>0", "s03 s06 s09"},
		{"unheld>0", "s10"},
		{"moves>=14 moves<50", "s09"},
		{"rtt>=40", "s07 s08 s09 s10"},
		{"rtt>=41ms rtt<1s fail=0", "s08 s10"},
		{"fuse<2h59m", "s01 s02 s04 s05 s07 s08 s09 s11"},
		{"fuse>0", "s01 s02 s03 s04 s05 s06 s07 s08 s09 s11"}, // s10 has none
		{"client=no-jar", "s10"},
		{"pod~^A$ id~0[14]", "s01 s04"},
		{"id!~0", "s11"},
		{"pod=2xkqp state=stuck", "s01 s04 s07"},
		{"cookie=msgapp-sticky id=s01", "s01"},
		{"not not id=s01", "s01"},
		{"! id=s01 kind=http id~s0[12]", "s02"},
		{"s(01|02)", "s01 s02"},
		{"nothing-like-this", ""},
	} {
		m.sessions.setFilter(tt.filter)
		m.sessions.dirty = true
		m.refresh()
		got := make([]string, len(m.sessions.rows))
		for i, id := range m.sessions.rows {
			got[i] = string(id)
		}
		if m.sessions.err != "" || strings.Join(got, " ") != tt.want {
			t.Errorf("%q: got %s (error %q), want %s", tt.filter, strings.Join(got, " "), m.sessions.err, tt.want)
		}
	}
	_ = w
}

func TestFilterErrors(t *testing.T) {
	for _, tt := range []struct{ filter, want string }{
		{"(", "missing"},
		{"id=s01 and", "missing at the end"},
		{"or x", `unexpected "or"`},
		{"a )", `unexpected ")"`},
		{"(a b", "a ) is missing"},
		{"colour=red", "no field colour"},
		{"fuse<soon", "neither a number nor a duration"},
		{"state=", "needs a value"},
		{"[", "not a regular expression"},
		{"pod~[", "not a regular expression"},
		{strings.Repeat("(", 401), "at most 400"},
	} {
		_, err := parseFilter(tt.filter, sessionFields)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want %q in it", tt.filter, err, tt.want)
		}
	}
}

// TestUnreadableFilter: enter does not take a filter that cannot be read, and
// the list does not claim that it compared anything.
func TestUnreadableFilter(t *testing.T) {
	_, o := told()
	m := sized(o, 80, 24)
	press(m, "2", "/", "type:zz>3", "enter")
	if m.prompt == nil || !strings.Contains(m.View(), "The filter cannot be read: no field zz") {
		t.Errorf("prompt open: %v\n%s", m.prompt != nil, m.View())
	}
	press(m, "esc")
	if m.prompt != nil || m.sessions.err != "" || strings.Contains(m.View(), "filter") && strings.Contains(m.View(), "cannot be read") {
		t.Errorf("after esc: %q\n%s", m.sessions.err, m.View())
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"state=SPLIT or (pod=A and not fuse<30s)", "!x", "a)(b", "rtt>1e400", "fuse>=-5m", "((((", "\x1b[2J"} {
		f.Add(s)
	}
	w := story()
	d := &data{opt: &Options{}}
	d.adopt(w.snap(), w.now)
	f.Fuzz(func(t *testing.T, s string) {
		match, err := parseFilter(s, sessionFields)
		if err != nil || match == nil {
			return
		}
		began := time.Now()
		for _, x := range d.snap.Sessions {
			match.match(sessionRow{x, d})
		}
		if took := time.Since(began); took > time.Second {
			t.Fatalf("%q takes %v for %d sessions", s, took, len(d.snap.Sessions))
		}
	})
}
