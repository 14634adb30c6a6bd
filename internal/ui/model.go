package ui

import (
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// view is one of the numbered screens.
type view uint8

const (
	viewTopo view = iota
	viewSessions
	viewPods
	viewEvents
	viewFindings
	viewClientIP
	views
)

var viewNames = [views]string{"Topo", "Sessions", "Pods", "Events", "Findings", "ClientIP"}

// overlay is what covers a view until esc.
type overlay uint8

const (
	overlayNone overlay = iota
	overlayHelp
	overlayPicker
	overlayAccess
)

// Model is the screen. Update alone changes it; View draws at most once per
// change, so that an idle screen costs nothing.
type Model struct {
	opt    Options
	d      data
	keys   []binding
	themes []theme
	theme  int

	w, h   int
	canvas *canvas

	view     view
	lastView view
	detail   detailPanel
	overlay  overlay
	topo     topoPanel
	sessions sessionsPanel
	pods     podsPanel
	events   eventsPanel
	findings findingsPanel
	clientip clientIPPanel
	help     helpPanel
	picker   pickerPanel
	prompt   *prompt
	question *question
	notice   notice

	pause    pause
	eager    time.Time // until when every change is shown at once
	adopted  time.Time
	accessOK bool   // the user went on in spite of missing rights
	picked   bool   // a target is chosen, or choosing it was declined
	keep     bool   // leave the last frame behind
	leaving  bool   // the user quit
	told     string // the caption that is shown

	rev   uint64 // grows with every change of what is shown
	drawn uint64 // rev of frame
	frame string
}

// notice is a line that stays for a few seconds.
type notice struct {
	text  string
	st    style
	until time.Time
}

const noticeFor = 6 * time.Second

// New returns a screen that has not been drawn yet.
func New(opt Options) *Model {
	opt.fill()
	m := &Model{opt: opt, themes: usableThemes(opt.Term.Colors), w: 0, h: 0}
	m.d.opt = &m.opt
	m.d.target = opt.Target
	m.picked = !opt.Target.IsZero() || opt.ReadOnly
	for i, t := range m.themes {
		if t.name == opt.Theme {
			m.theme = i
		}
	}
	m.keys = bindings(opt.Actions)
	m.sessions.names, m.pods.names, m.events.names, m.findings.names, m.picker.names = sessionFields, podFields, eventFields, findingFields, pickerFields
	m.clientip.names = pinFields
	m.events.grouped, m.events.follow = true, true
	m.heed()
	m.adopt(opt.Snapshots(), opt.Now())
	return m
}

// tickMsg is the one clock of the screen.
type tickMsg struct{}

// copiedMsg reports on a copy.
type copiedMsg struct {
	what string
	way  string
	err  error
}

// savedMsg reports on a file of findings.
type savedMsg struct {
	n    int
	path string
	err  error
}

func (m *Model) tickLater() tea.Cmd {
	return tea.Tick(m.opt.pace(), func(time.Time) tea.Msg { return tickMsg{} })
}

// Init starts the clock.
func (m *Model) Init() tea.Cmd { return m.tickLater() }

// Update routes a message to what handles it.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tickMsg:
		m.tick(m.opt.Snapshots(), m.opt.Now())
		return m, m.tickLater()
	case tea.WindowSizeMsg:
		m.resize(msg.Width, msg.Height)
	case tea.KeyMsg:
		return m, m.strokes(msg)
	case copiedMsg:
		m.copied(msg)
	case savedMsg:
		m.saved(msg)
	}
	return m, nil
}

func (m *Model) resize(w, h int) {
	m.w, m.h = max(w, 0), max(h, 0)
	m.d.class = classOf(w, h)
	m.canvas = newCanvas(m.w, m.h, m.opt.Term.ASCII)
	m.rev++
}

// urgentEvery bounds how often news is shown between the seconds.
const urgentEvery = time.Second / 4

// tick looks at the newest snapshot. What is shown changes with the second;
// between seconds only with news, as most snapshots differ from the last one
// by one more answer and a slow link would carry each of them.
func (m *Model) tick(fresh *affinity.Snapshot, now time.Time) {
	flipped := now.Unix() != m.d.now.Unix()
	if m.heed(); m.findings.made.mutes != m.findings.mutesSeq {
		m.findings.refresh(&m.d)
	}
	if m.notice.text != "" && !now.Before(m.notice.until) {
		m.notice = notice{}
		m.rev++
	}
	if text := m.caption(); text != m.told {
		m.told = text
		m.rev++
	}
	if m.pause.on {
		if now.Unix() != m.pause.looked.Unix() && m.pause.look(fresh, now) {
			m.rev++
		}
		return
	}
	news := fresh.Seq != m.d.snap.Seq && now.Sub(m.adopted) >= urgentEvery &&
		(now.Before(m.eager) || m.d.sum.noAnswer > 0 || isNews(m.d.snap, fresh))
	if flipped || news {
		m.adopt(fresh, now)
	}
}

// isNews reports whether something happened between two snapshots, beyond
// answers that say the same again.
func isNews(old, fresh *affinity.Snapshot) bool {
	if lastSeq(old) != lastSeq(fresh) || len(old.Sessions) != len(fresh.Sessions) || len(old.Sources) != len(fresh.Sources) {
		return true
	}
	for i, s := range fresh.Sources {
		if s.State != old.Sources[i].State {
			return true
		}
	}
	if len(old.Findings) != len(fresh.Findings) || len(fresh.Findings) > 0 && &old.Findings[0] != &fresh.Findings[0] {
		return true
	}
	if len(old.Routes) != len(fresh.Routes) || len(old.Pods) != len(fresh.Pods) {
		return true
	}
	// Unchanged parts are shared between snapshots.
	return len(fresh.Routes) > 0 && &old.Routes[0] != &fresh.Routes[0] || len(fresh.Pods) > 0 && &old.Pods[0] != &fresh.Pods[0]
}

func lastSeq(s *affinity.Snapshot) uint64 {
	if n := len(s.Timeline); n > 0 {
		return s.Timeline[n-1].Seq
	}
	return 0
}

// adopt shows a snapshot.
func (m *Model) adopt(snap *affinity.Snapshot, now time.Time) {
	known := !m.adopted.IsZero() && snap == m.d.snap
	m.adopted = now
	m.rev++
	if known && len(snap.Sessions) == 0 {
		m.d.now = now // time alone changes nothing but clocks where nobody is held
		m.clientip.refresh(&m.d, m.view == viewClientIP)
		return
	}
	m.d.adopt(snap, now)
	m.refresh()
}

// refresh lets the panels take over what changed.
func (m *Model) refresh() {
	m.sessions.refresh(&m.d)
	m.pods.refresh(&m.d)
	m.events.refresh(&m.d)
	m.findings.refresh(&m.d)
	m.clientip.refresh(&m.d, m.view == viewClientIP)
	m.topo.refresh(&m.d)
	m.picker.refresh(&m.d)
	m.offer()
}

// offer opens the overlay that the state of things asks for: what may not be
// read, then which ingress is meant.
func (m *Model) offer() {
	if m.overlay != overlayNone || m.prompt != nil {
		return
	}
	switch {
	case !m.accessOK && len(m.d.sources(affinity.SourceForbidden)) > 0 && m.d.sum.total == 0:
		m.overlay, m.accessOK = overlayAccess, true
	case !m.picked && m.d.sum.total == 0 && m.picker.choices() > 1:
		m.overlay, m.picked = overlayPicker, true
	}
}

// where is the context that keys are looked up in.
func (m *Model) where() where {
	switch m.overlay {
	case overlayHelp:
		return inHelp
	case overlayPicker:
		return inPicker
	case overlayAccess:
		return inAccess
	}
	if m.detail.id != "" {
		return inDetail
	}
	if m.view == viewTopo && m.d.class == classXS && m.topo.special(&m.d) == nil {
		return inSessions // the picture does not fit, the list takes its place
	}
	return inTopo << m.view
}

// strokes handles the keys of one message. What was typed ahead arrives as the
// runes of a single one: each is a key of its own, for what the one before led
// to. Pasted text is not typed.
func (m *Model) strokes(msg tea.KeyMsg) tea.Cmd {
	if msg.Type != tea.KeyRunes || msg.Paste {
		return m.stroke(msg)
	}
	var todo []tea.Cmd
	for _, r := range msg.Runes {
		todo = append(todo, m.stroke(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: msg.Alt}))
		if m.leaving {
			break
		}
	}
	return tea.Sequence(todo...)
}

// stroke handles one key.
func (m *Model) stroke(msg tea.KeyMsg) tea.Cmd {
	m.rev++
	cmd := m.key(msg)
	m.refresh()
	return cmd
}

// key handles a key: what is being typed into comes first.
func (m *Model) key(msg tea.KeyMsg) tea.Cmd {
	if m.question != nil {
		return m.answer(msg)
	}
	if m.prompt != nil {
		return m.typed(msg)
	}
	b, ok := find(m.keys, msg.String(), m.where())
	if !ok {
		return nil
	}
	return m.perform(b)
}

// say shows a line for a few seconds.
func (m *Model) say(st style, text string) {
	m.notice = notice{text: text, st: st, until: m.opt.Now().Add(noticeFor)}
	m.rev++
}

// do hands a command to the engine and watches closely for what comes of it.
func (m *Model) do(c affinity.Command) {
	if m.opt.Controls == nil {
		m.say(warn, "nothing here can do that")
		return
	}
	m.opt.Controls.Do(c)
	m.eager = m.opt.Now().Add(3 * time.Second)
}

// session is the session that keys act on: the one in detail, or under the
// cursor of whatever lists sessions.
func (m *Model) session() *affinity.Session {
	switch m.where() {
	case inDetail:
		return m.d.session(m.detail.id)
	case inSessions:
		if id, ok := m.sessions.selected(); ok {
			return m.d.session(id)
		}
	case inEvents:
		if h, ok := m.events.happening(); ok {
			return m.d.session(h.Session)
		}
	}
	return nil
}

// leave quits.
func (m *Model) leave() tea.Cmd {
	m.leaving = true
	return tea.Quit
}

// Kept returns the last frame when the user asked to leave it behind.
func (m *Model) Kept() (frame string, ok bool) { return m.frame, m.keep }
