package report

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func (l *List[T]) names() []string {
	var names []string
	for i := range l.Items {
		switch x := any(&l.Items[i]).(type) {
		case *Session:
			names = append(names, x.Name)
		case *Pod:
			names = append(names, x.Name)
		case *Route:
			names = append(names, x.Name)
		case *AddressPin:
			names = append(names, x.name())
		case *Finding:
			names = append(names, x.Name)
		case *Agent:
			names = append(names, x.Name)
		}
	}
	return names
}

func (l *List[T]) table(wide bool) table {
	var t table
	several := false
	switch any(l).(type) {
	case *SessionList:
		t = table{header: sessionHeader(wide), empty: "No sessions."}
	case *PodList:
		t = table{header: podHeader(wide), empty: "No pods."}
	case *RouteList:
		t = table{header: routeHeader(wide), empty: "No routes."}
	case *PinList:
		t = table{header: pinHeader(wide), empty: l.Metadata.noPins()}
	case *FindingList:
		t = table{header: findingHeader(wide), empty: "No findings."}
		several = l.Metadata.all || severalNamespaces(any(l.Items).([]Finding))
	case *AgentList:
		t = table{header: agentHeader, empty: "No agents."}
	}
	for i := range l.Items {
		switch x := any(&l.Items[i]).(type) {
		case *Session:
			t.rows = append(t.rows, x.row(wide))
		case *Pod:
			t.rows = append(t.rows, x.row(wide))
		case *Route:
			t.rows = append(t.rows, x.row(wide))
		case *AddressPin:
			t.rows = append(t.rows, x.row(wide))
		case *Finding:
			t.rows = append(t.rows, x.row(wide, several))
		case *Agent:
			t.rows = append(t.rows, x.row(l.Metadata.At.Time))
		}
	}
	return t
}

func sessionHeader(wide bool) []string {
	h := []string{"NAME", "KIND", "STATE", "POD", "VIA", "REQUESTS", "FAILURES", "MOVES", "LEFT", "RENEWAL"}
	if wide {
		h = append(h, "CLIENT", "ROUTE", "COOKIE", "STATUS", "RTT", "PROTOCOL", "LEGS", "FUSE", "CLOSED", "UNHELD", "DETAIL")
	}
	return h
}

func (x *Session) row(wide bool) []string {
	pod, left, renewal, cookie := "", "", "", ""
	if x.Pod != nil {
		pod = x.Pod.Name
	}
	if x.Pin != nil {
		renewal, cookie = x.Pin.Renewal, x.Pin.Key+"="+x.Pin.Value
		if x.Requests == x.Failures { // its cookie has a time, but has held nobody yet
			renewal = ""
		} else if x.Pin.RemainingSeconds != nil {
			left = duration(*x.Pin.RemainingSeconds)
		}
	} else if t := x.address; t != nil {
		renewal = t.Renewal
		if t.RemainingSeconds != nil {
			left = duration(*t.RemainingSeconds)
			if t.Source != "seen" {
				left = "≈" + left
			}
		}
	}
	row := []string{x.Name, x.Transport, x.State, pod, x.Via, fmt.Sprint(x.Requests), fmt.Sprint(x.Failures + x.CutCount), fmt.Sprint(x.MoveCount), left, renewal}
	if wide {
		route := x.Route.Namespace + "/" + x.Route.Ingress + " " + x.Route.Host + x.Route.Path
		if x.Route.URL != "" {
			route = x.Route.URL
		}
		if x.ProbePath != "" {
			route += " (asks " + x.ProbePath + ")"
		}
		status := ""
		if x.LastStatus != 0 {
			status = fmt.Sprint(x.LastStatus)
			if affinity.BadStatus(x.LastStatus) && x.StatusCount > 1 {
				status += fmt.Sprintf(" ×%d", x.StatusCount)
			}
		}
		row = append(row, x.Client, route, cookie, status, fmt.Sprintf("%.0fms", x.TookMillis), x.Protocol, x.legsText(), x.fuseText(), x.closedText(), fmt.Sprint(x.UnheldCount), x.Detail)
	}
	return row
}

func podHeader(wide bool) []string {
	h := []string{"TAG", "POD", "STATUS", "READY", "PINS", "SHARE", "FAIR", "NODE", "RESTARTS"}
	if wide {
		h = append(h, "NAMESPACE", "IP", "ENDS", "GONE", "REASON")
	}
	return h
}

// unknown is what stands for what may not be read.
const unknown = "unknown"

func (p *Pod) row(wide bool) []string {
	fair := "" // where Services share out the requests there is none
	if p.FairShare > 0 {
		fair = percent(p.FairShare)
	}
	ready, restarts := unknown, fmt.Sprint(p.Restarts)
	if p.Ready != nil {
		ready = fmt.Sprint(*p.Ready)
	}
	if p.Phase == "" || p.Phase == "Unknown" { // its object was not read
		restarts = unknown
	}
	row := []string{p.Tag, p.Name, p.Phase, ready, fmt.Sprint(p.Pins), percent(p.Share), fair, p.Node, restarts}
	if wide {
		row = append(row, p.Namespace, p.IP, clock(p.Deletion), clock(p.Gone), p.Reason)
	}
	return row
}

// clock is the time of day of an instant, "" for none.
func clock(t *metav1.MicroTime) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("15:04:05Z")
}

func routeHeader(wide bool) []string {
	h := []string{"NAMESPACE", "INGRESS", "HOST", "PATH", "SERVICE", "AFFINITY", "CLIENTIP", "READY"}
	if wide {
		h = append(h, "ASKS", "BECAUSE", "ASSUMED", "SHARED")
	}
	return h
}

func (r *Route) row(wide bool) []string {
	cookie, client := "none", "none"
	for _, l := range r.Layers {
		switch {
		case l.Where == "ingress" && l.Mechanism == "unknown":
			cookie = "not known"
		case l.Where == "ingress" && l.Cookie != nil:
			cookie = "cookie " + l.Cookie.Name
			if l.Mode != "" {
				cookie += " " + l.Mode
				if !l.Settled {
					cookie += "?" // of the controller that is presumed
				}
			}
			if l.TimeoutSeconds > 0 {
				cookie += " " + duration(l.TimeoutSeconds)
			}
		case l.Where == "service" && l.Mechanism == "clientip":
			client = duration(l.TimeoutSeconds)
			if l.Bypassed != "" {
				client += " (bypassed)"
			}
		}
	}
	if cookie == "none" && r.NeedsNone != "" {
		why, _, _ := strings.Cut(r.NeedsNone, ":")
		cookie = "not needed: " + why
	}
	ready := fmt.Sprintf("%d/%d", r.Ready, r.Endpoints)
	if r.Unread {
		ready = unknown
	}
	row := []string{r.Ref.Namespace, r.Ref.Ingress, r.Ref.Host, r.Ref.Path, r.Ref.Service + ":" + r.Ref.Port, cookie, client,
		ready}
	if wide {
		row = append(row, r.ProbePath, r.ProbeWhy, r.assumed(), r.shared())
	}
	return row
}

func (r *Route) assumed() string {
	var all []string
	for _, l := range r.Layers {
		if l.Assumed != "" {
			all = append(all, l.Assumed)
		}
	}
	return strings.Join(all, "; ")
}

// shared lists the other Services that get requests of the route.
func (r *Route) shared() string {
	var all []string
	for _, l := range r.Layers {
		for _, b := range l.Branches {
			text := b.Service
			if b.Namespace != r.Ref.Namespace {
				text = b.Namespace + "/" + text
			}
			if b.Port != "" {
				text += ":" + b.Port
			}
			switch {
			case b.Canary:
				text += " canary"
				if b.Share != "" {
					text += ", " + b.Share
				}
			case b.Share == "":
				text += " primary"
			default:
				text += " " + b.Share
			}
			ready := unknown
			if !r.Unread {
				ready = fmt.Sprintf("%d/%d", b.Ready, b.Endpoints)
			}
			all = append(all, text+" ("+ready+")")
		}
	}
	return strings.Join(all, "; ")
}

func percent(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) }

// duration prints seconds the way kubectl prints ages: "2h47m", "59m12s".
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}
