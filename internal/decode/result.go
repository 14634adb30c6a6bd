package decode

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/capture"
)

const apiVersion = "stickytop.dev/v1alpha1"

// Result is what one cookie tells. Times are RFC 3339.
type Result struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	Name    string `json:"cookie,omitempty"`
	Value   string `json:"value"` // masked
	Decoded bool   `json:"decoded"`

	Controller string     `json:"controller,omitempty"`
	Mode       string     `json:"mode,omitempty"`
	Backend    string     `json:"backend,omitempty"` // "namespace/service:port", or as the cookie names it
	Endpoint   string     `json:"endpoint,omitempty"`
	Pod        string     `json:"pod,omitempty"`
	State      string     `json:"state,omitempty"` // of the endpoint: ready, not ready, terminating, gone
	Gone       *bool      `json:"gone,omitempty"`  // nil where that is not known
	Issued     *time.Time `json:"issued,omitempty"`
	Expires    *time.Time `json:"expires,omitempty"`
	Exact      bool       `json:"exact"` // a digest or a name proves it, unlike a place on a ring
	Detail     string     `json:"detail,omitempty"`
	Notes      []string   `json:"notes,omitempty"`

	// Why it is not decoded and what to do instead; what it may be.
	Tie        bool        `json:"tie,omitempty"`
	Reason     string      `json:"reason,omitempty"`
	Instead    string      `json:"instead,omitempty"`
	Candidates []Candidate `json:"candidates,omitempty"`

	Seen *Seen `json:"seen,omitempty"`

	// Unread: not decoded because the cluster's endpoints may not be read.
	Unread bool `json:"-"`
}

// Candidate is one of several things a cookie may name, or may be.
type Candidate struct {
	Controller string `json:"controller"`
	Mode       string `json:"mode,omitempty"`
	Backend    string `json:"backend,omitempty"`
	Endpoint   string `json:"endpoint,omitempty"`
	Pod        string `json:"pod,omitempty"`
	Detail     string `json:"detail,omitempty"`
}

// Seen is where a HAR file has the cookie.
type Seen struct {
	Requests int        `json:"requests"`
	First    *time.Time `json:"first,omitempty"`
	Last     *time.Time `json:"last,omitempty"`
	Where    string     `json:"where,omitempty"`
}

// Affinity reports whether the cookie is a controller's, decoded or not, as
// far as its value's shape or its name tell.
func (r Result) Affinity() bool { return r.Decoded || r.Controller != "" || len(r.Candidates) > 0 }

func seen(c capture.Cookie) *Seen {
	if c.Count == 0 {
		return nil
	}
	return &Seen{Requests: c.Count, First: instant(c.First), Last: instant(c.Last), Where: c.Where}
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// WriteJSON writes an object for each Result: a single one indented, several
// one a line.
func WriteJSON(w io.Writer, all []Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if len(all) == 1 {
		e.SetIndent("", "    ")
	}
	for _, r := range all {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// WriteText writes each Result as lines for people. Ages are at now.
func WriteText(w io.Writer, all []Result, now time.Time) error {
	var b strings.Builder
	for i, r := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.text(&b, now)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Result) text(b *strings.Builder, now time.Time) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-11s %s\n", name, value)
		}
	}
	cookie := r.Value
	if r.Name != "" {
		cookie = r.Name + "=" + r.Value
	}
	line("cookie", cookie)
	if s := r.Seen; s != nil {
		text := fmt.Sprintf("in %d request(s), first %s", s.Requests, s.Where)
		if s.First != nil {
			text += " at " + s.First.Format(time.RFC3339)
		}
		line("seen", text)
	}
	line("controller", strings.TrimSpace(r.Controller+" "+r.Mode))
	line("backend", r.Backend)
	line("endpoint", r.Endpoint)
	pod := r.Pod
	if r.Decoded && r.State != "" {
		pod = strings.TrimPrefix(pod+", "+r.State, ", ")
	}
	line("pod", pod)
	line("issued", age(r.Issued, now))
	line("expires", age(r.Expires, now))
	if r.Decoded {
		line("exact", map[bool]string{true: "yes: ", false: "no: "}[r.Exact]+r.Detail)
	}
	line("not decoded", r.Reason)
	line("instead", r.Instead)
	for _, c := range r.Candidates {
		line("maybe", strings.Join(strings.Fields(c.Controller+" "+c.Mode+" "+c.Backend+" "+c.Endpoint+" "+c.Pod), " "))
	}
	for _, n := range r.Notes {
		line("note", n)
	}
}

func age(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	d := now.Sub(*t).Round(time.Second)
	if d < 0 {
		return fmt.Sprintf("%s (in %s)", t.Format(time.RFC3339), -d)
	}
	return fmt.Sprintf("%s (%s ago)", t.Format(time.RFC3339), d)
}
