package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Held is what a session tells of the connection that it holds; empty for
// transports that hold none.
type Held struct {
	Protocol         string            `json:"protocol,omitempty"` // "Engine.IO 4", "WebSocket"
	Carrier          string            `json:"carrier,omitempty"`  // polling or websocket
	HeldSince        *metav1.MicroTime `json:"heldSince,omitempty"`
	Joined           bool              `json:"joined,omitempty"`
	PingMilliseconds float64           `json:"pingMilliseconds,omitempty"`
	Note             string            `json:"note,omitempty"` // what of the options came to nothing: an event without an ack
	Legs             []Leg             `json:"legs,omitempty"`
	Closed           *Closed           `json:"closed,omitempty"` // the last connection that ended, and when; another is held since heldSince
	Fuses            []Timer           `json:"fuses,omitempty"`  // the timers that run, the next to end the session first
}

// Leg is the latest request of one kind since the handshake.
type Leg struct {
	Name       string           `json:"name"`
	Pod        string           `json:"pod,omitempty"`
	Tag        string           `json:"tag,omitempty"`
	Source     string           `json:"source,omitempty"`
	At         metav1.MicroTime `json:"at"`
	TookMillis float64          `json:"tookMilliseconds"`
	Status     int              `json:"status,omitempty"`
	Cookie     *bool            `json:"cookieSent,omitempty"`   // that for affinity; absent where one of cookieUnsure may be it
	Unsure     string           `json:"cookieUnsure,omitempty"` // names of the cookies sent, of which none is known to be for affinity
	Count      int              `json:"count"`
	RequestID  string           `json:"requestID"`
	Failure    string           `json:"failure,omitempty"`
	SentTo     *SentTo          `json:"sentTo,omitempty"`
}

// SentTo is where a log says that a request was sent which no backend answered.
type SentTo struct {
	Address string `json:"address,omitempty"`
	Pod     string `json:"pod,omitempty"` // that had the address then
	Detail  string `json:"detail"`
}

func sentTo(to *affinity.SentTo) *SentTo {
	if to == nil {
		return nil
	}
	return &SentTo{Address: affinity.Clean(to.Addr, 60), Pod: to.Pod.Name, Detail: to.Detail}
}

// Closed is how a connection ended.
type Closed struct {
	At     metav1.MicroTime `json:"at"`
	By     string           `json:"by"`             // client, server, proxy, or cut: nobody said
	Code   int              `json:"code,omitempty"` // of the close frame
	Reason string           `json:"reason"`
	After  string           `json:"after"`            // "1m2.5s"
	Silent string           `json:"silent"`           // since the last frame of either side
	Failed bool             `json:"failed,omitempty"` // not on purpose
}

func heldOf(x *affinity.Session, now time.Time) Held {
	var out Held
	for _, l := range x.Legs {
		leg := Leg{Name: l.Name, Pod: l.Pod.Name, Tag: l.Tag, At: metav1.NewMicroTime(l.At), TookMillis: millis(l.Took), Status: l.Status, Unsure: l.Unsure,
			Count: l.Count, RequestID: l.RequestID, Failure: l.Failure, SentTo: sentTo(l.SentTo)}
		if l.Unsure == "" {
			leg.Cookie = &l.Cookie
		}
		if l.Source != affinity.SourceNone {
			leg.Source = l.Source.String()
		}
		out.Legs = append(out.Legs, leg)
	}
	if h := x.Socket; h != nil {
		out.Note = h.Note
		out.Protocol, out.Carrier, out.Joined, out.PingMilliseconds = h.Protocol, h.Carrier, h.Joined, millis(h.RTT)
		if h.Ended == nil {
			out.HeldSince = instant(h.Opened)
		}
	}
	if end := x.LastEnd; end != nil {
		out.Closed = &Closed{At: metav1.NewMicroTime(end.At), By: end.By.String(), Code: end.Code, Reason: end.Text,
			After: tenths(end.Lasted), Silent: tenths(end.Silent), Failed: end.Failed != nil}
	}
	var running []affinity.Timer
	for _, t := range x.Timers {
		if t.Running(now) {
			running = append(running, t)
		}
	}
	slices.SortStableFunc(running, func(a, b affinity.Timer) int { return a.Deadline.Compare(b.Deadline) })
	for _, t := range running {
		out.Fuses = append(out.Fuses, timer(t, now))
	}
	return out
}

func tenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

// legsText is where each leg went: "handshake=A connect=A poll=× upgrade=?".
func (h Held) legsText() string {
	var parts []string
	for _, l := range h.Legs {
		at := l.Tag
		switch {
		case l.Failure != "":
			at = "×" + l.Tag
		case at == "":
			at = "?"
		}
		parts = append(parts, l.Name+"="+at)
	}
	return strings.Join(parts, " ")
}

// closedText is how and when the last connection ended, in one cell.
func (h Held) closedText() string {
	if h.Closed == nil {
		return ""
	}
	by := h.Closed.By
	if h.Closed.Code != 0 {
		by += fmt.Sprintf(" %d", h.Closed.Code)
	}
	return by + " after " + h.Closed.After + " at " + h.Closed.At.UTC().Format("15:04:05Z")
}

// fuseText is the timer that ends the session first.
func (h Held) fuseText() string {
	if len(h.Fuses) == 0 {
		return ""
	}
	f := h.Fuses[0]
	return fmt.Sprintf("%s %s", f.Name, duration(*f.RemainingSeconds))
}

// Waits is how long a proxy waits on a connection that says nothing.
type Waits struct {
	FrameSeconds  float64 `json:"frameSeconds,omitempty"` // of a WebSocket; 0 when it is not known, or never cut
	FrameWhy      string  `json:"frameWhy,omitempty"`
	AnswerSeconds float64 `json:"answerSeconds,omitempty"` // for more of an answer
	AnswerWhy     string  `json:"answerWhy,omitempty"`
}

func waits(p affinity.Policy) *Waits {
	w := Waits{FrameSeconds: p.ReadTimeout.Seconds(), FrameWhy: p.ReadTimeoutWhy, AnswerSeconds: p.AnswerTimeout.Seconds(), AnswerWhy: p.AnswerTimeoutWhy}
	if w == (Waits{}) {
		return nil
	}
	return &w
}
