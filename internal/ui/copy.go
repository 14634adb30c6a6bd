package ui

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// send copies text and reports on it. what is named in the report, as the
// text itself may be a secret.
func (m *Model) send(what, text string) tea.Cmd {
	if m.opt.Clipboard == nil {
		m.say(warn, "no clipboard can be reached from here")
		return nil
	}
	return func() tea.Msg {
		way, err := m.opt.Clipboard.Copy(text)
		return copiedMsg{what: what, way: way, err: err}
	}
}

func (m *Model) copied(msg copiedMsg) {
	if msg.err != nil {
		m.say(warn, "not copied: "+msg.err.Error())
		return
	}
	m.say(plain, "copied "+msg.what+" by "+msg.way)
}

// copyCell copies what the cursor is on.
func (m *Model) copyCell() tea.Cmd {
	switch m.where() {
	case inDetail:
		return m.send("the session's name", string(m.detail.id))
	case inSessions:
		s := m.session()
		if s == nil {
			break
		}
		slots := place(m.sessions.columns(&m.d), m.w-cursorGutter-1)
		c := slots[min(max(m.sessions.col, 0), len(slots)-1)]
		return m.send(string(s.Spec.ID)+" "+strings.ToLower(c.title), sessionText(&m.d, s, c.name))
	case inPods:
		if ref, ok := m.pods.selected(); ok {
			return m.send("the pod's name", ref.Name)
		}
	case inEvents:
		if h, ok := m.events.happening(); ok {
			return m.send("the event", clockUTC.format(h.At, m.d.now)+" "+h.Source+" "+h.Text+" "+h.CauseText)
		}
	case inFindings:
		if f, ok := m.findings.finding(); ok {
			return m.send("the finding", f.Rule+" "+severityWord(f)+" "+f.Object.String()+": "+f.Title+". "+f.Impact)
		}
	case inClientIP:
		if r, ok := m.clientip.selected(); ok {
			slots := place(m.clientip.columns(m.d.class), m.w-cursorGutter-1)
			c := slots[min(max(m.clientip.col, 0), len(slots)-1)]
			return m.send("the "+strings.ToLower(c.title)+" of the pin", m.clientip.text(&m.d, r, c.name))
		}
	case inTopo:
		if r := m.d.route(); r.ID != "" {
			return m.send("the route", string(r.ID))
		}
	}
	m.say(plain, "nothing to copy here")
	return nil
}

// copyCurl copies the request of a session as a curl command. With the cookie
// it would let anybody take over the session, so that is asked first.
func (m *Model) copyCurl() tea.Cmd {
	s := m.session()
	if s == nil {
		m.say(plain, "no session is selected")
		return nil
	}
	r, ok := m.d.snap.Route(s.Spec.Route)
	if !ok {
		m.say(warn, "the route of "+string(s.Spec.ID)+" is gone")
		return nil
	}
	without := func() tea.Cmd { return m.send("curl without the cookie", curl(r, s, "")) }
	var cookies []string
	if s.Pin != nil && s.Pin.Value != "" {
		cookies = append(cookies, s.Pin.Key+"="+s.Pin.Value.Reveal())
	}
	for _, c := range s.Kept {
		cookies = append(cookies, c.Name+"="+c.Value.Reveal())
	}
	if len(cookies) == 0 {
		return without()
	}
	with := func() tea.Cmd {
		return m.send("curl with the cookie", curl(r, s, strings.Join(cookies, "; ")))
	}
	if m.d.shows(s.Spec.ID) {
		return with()
	}
	m.question = &question{text: "A cookie hands over the user's session. Put it into the command? n copies without", yes: with, no: without}
	return nil
}

// curl is the request of a session as a command for a shell. cookie is
// "name=value", or "" to leave it out.
func curl(r affinity.Route, s *affinity.Session, cookie string) string {
	target, host := sessionURL(r, s)
	args := []string{"curl -sS -o /dev/null -D -"}
	switch s.Spec.Transport {
	case "socketio": // its answer is in the body, too
		args = []string{"curl -sS -i"}
	case "ws": // of which -D shows the answer to the upgrade
		args = append(args, "-m 5 --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: c3RpY2t5dG9wLWFza3MhIQ=='")
	}
	if cookie != "" {
		args = append(args, "-b", quote(cookie))
	}
	if ip, port, err := net.SplitHostPort(s.LastRemote); err == nil && host != "" && host != ip {
		args = append(args, "--connect-to", quote(fmt.Sprintf("::%s", net.JoinHostPort(ip, port))))
	}
	return strings.Join(append(args, quote(target)), " ")
}

// sessionURL is the URL that a session asks for first, and its host.
func sessionURL(r affinity.Route, s *affinity.Session) (target, host string) {
	target, host = routeURL(r, s.AskedHost)
	u, err := url.Parse(target)
	if err != nil {
		return target, host
	}
	switch own := r.Kind == affinity.RouteURL || strings.HasPrefix(r.ProbeWhy, "--"); {
	case s.Spec.Transport == "socketio":
		setPath(u, cmp.Or(s.Spec.Path, "/socket.io/"))
		version := "4"
		if s.Socket != nil && s.Socket.Protocol == "Engine.IO 3" {
			version = "3"
		}
		u.RawQuery = "EIO=" + version + "&transport=polling"
	case s.Spec.Transport == "ws" && !own:
		setPath(u, cmp.Or(r.Path, "/"))
	}
	return u.String(), host
}

// routeURL is the URL that a route's sessions ask for, and its host. asked is the
// host that was asked for; "" where none was yet.
func routeURL(r affinity.Route, asked string) (target, host string) {
	if u, err := url.Parse(r.URL); err == nil && r.URL != "" {
		setPath(u, r.ProbePath)
		u.Host = cmp.Or(asked, u.Host)
		return u.String(), u.Hostname()
	}
	host = cmp.Or(asked, r.Host)
	if host == "" && len(r.Addresses) > 0 {
		host = r.Addresses[0]
	}
	if host == "" {
		host = "localhost"
	}
	u := &url.URL{Scheme: "http", Host: host, Path: r.Path}
	if r.TLS {
		u.Scheme = "https"
	}
	setPath(u, r.ProbePath)
	return u.String(), u.Hostname()
}

// asksFirst is the session that stands for what r is asked for: one of HTTP
// where there is any; nil where there is none.
func asksFirst(d *data, r affinity.Route) *affinity.Session {
	var first *affinity.Session
	for _, s := range d.snap.Sessions {
		if s.Spec.Route == r.ID && (first == nil || first.Spec.Transport != "http" && s.Spec.Transport == "http") {
			first = s
		}
	}
	return first
}

// askedURL is the URL that r's sessions ask for, without their query.
func askedURL(d *data, r affinity.Route) string {
	target, _ := routeURL(r, askedHost(d, r))
	if s := asksFirst(d, r); s != nil && s.Spec.Transport != "http" {
		target, _ = sessionURL(r, s)
		target, _, _ = strings.Cut(target, "?")
	}
	return target
}

// askedHost is the host that r's sessions ask for; "" while none has.
func askedHost(d *data, r affinity.Route) string {
	for _, s := range d.snap.Sessions {
		if s.Spec.Route == r.ID && s.AskedHost != "" {
			return s.AskedHost
		}
	}
	return ""
}

// setPath puts a path, which may have a query, into u; "" leaves u as it is.
func setPath(u *url.URL, path string) {
	if ref, err := url.Parse(path); err == nil && path != "" {
		u.Path, u.RawPath, u.RawQuery = ref.Path, ref.RawPath, ref.RawQuery
	}
}

// quote makes s one word of a POSIX shell, whatever is in it.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
