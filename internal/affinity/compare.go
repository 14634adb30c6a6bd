package affinity

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Comparison is what the sessions of several client models or transports came
// to on one route.
type Comparison struct {
	Route   RouteID
	Kinds   []KindSummary
	Verdict string // what the difference is, in one line that is safe to print
	// Result is how the verdict is to be taken.
	Result CompareResult

	models, speaking bool // in which they differ
}

// CompareResult is the gist of a Comparison.
type CompareResult uint8

const (
	CompareUnknown CompareResult = iota // too few requests, or nothing names the pods
	CompareSame                         // all were held, as far as is known
	CompareDiffers                      // one is held, or works, where another is not
	CompareNone                         // none is held, or works
)

func (r CompareResult) String() string {
	return [...]string{"unknown", "same", "differs", "none"}[r]
}

// Compare compares the kinds of sessions on each route that has several.
func Compare(s *Snapshot) []Comparison { return compare(s.Sessions, s.Findings) }

func compare(sessions []*Session, findings []Finding) []Comparison {
	if !several(sessions) {
		return nil
	}
	var out []Comparison
	all := compareKinds(sessions)
	for i := 0; i < len(all); {
		end := i
		for end < len(all) && all[end].Route == all[i].Route {
			end++
		}
		if end > i+1 {
			out = append(out, newComparison(sessions, findings, all[i:end:end]))
		}
		i = end
	}
	return out
}

// several reports whether two sessions of one route differ in kind.
func several(sessions []*Session) bool {
	first := map[RouteID]SessionKind{}
	for _, x := range sessions {
		kind := SessionKind{x.Spec.Transport, x.Spec.Client}
		if was, ok := first[x.Spec.Route]; ok && was != kind {
			return true
		} else if !ok {
			first[x.Spec.Route] = kind
		}
	}
	return false
}

// judging is a Comparison that is being made.
type judging struct {
	Comparison
	sessions []*Session
	findings []Finding
}

func newComparison(sessions []*Session, findings []Finding, all []KindSummary) Comparison {
	c := judging{Comparison{Route: all[0].Route, Kinds: all}, sessions, findings}
	for _, m := range all {
		c.models = c.models || m.Client != all[0].Client
		c.speaking = c.speaking || m.Transport != all[0].Transport
	}
	c.judge()
	return c.Comparison
}

// Name is what tells the sessions of m from the others.
func (c *Comparison) Name(m KindSummary) string {
	switch {
	case !c.speaking:
		return string(m.Client)
	case !c.models:
		return m.Transport
	}
	return m.Transport + " " + string(m.Client)
}

// noun is what differs.
func (c *Comparison) noun() string {
	switch {
	case !c.speaking:
		return "client model"
	case !c.models:
		return "transport"
	}
	return "transport with every client model"
}

// judge says in one line what the difference is, no more than was seen.
func (c *judging) judge() {
	text := ""
	for _, f := range c.findings {
		if f.Rule == "B07" && f.Route == c.Route && f.Session != "" {
			text = f.Title
		}
	}
	if text != "" && !c.speaking {
		c.Verdict, c.Result = text+c.other(text), CompareDiffers
		return
	}
	if text != "" {
		text += "; "
	}
	difference, result := c.difference()
	if text != "" {
		result = CompareDiffers
	}
	text += difference
	var once, unknown []string
	for _, m := range c.Kinds {
		if m.Unknown == m.Sessions {
			unknown = append(unknown, c.Name(m))
		}
		if m.Once == m.Sessions {
			once = append(once, c.Name(m))
		}
	}
	if len(once) > 0 {
		text += "; " + strings.Join(once, ", ") + ": one request a session, which shows no more than where it went"
	}
	if len(unknown) > 0 && len(unknown) < len(c.Kinds) {
		text += "; not known for " + strings.Join(unknown, ", ") + namePods
	}
	c.Verdict, c.Result = text+c.other(text), result
}

// other names the rules that sessions showed and text does not: one pod may hold
// them all and still refuse some requests.
func (c *judging) other(text string) string {
	var rules []string
	for _, f := range c.findings {
		if f.Route == c.Route && f.Session != "" && strings.HasPrefix(f.Rule, "I") && !strings.Contains(text, f.Rule) && !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	if len(rules) == 0 {
		return ""
	}
	return "; they show " + strings.Join(rules, ", ") + " too: get findings"
}

const namePods = ": nothing names the pods that answered (--pod-header, --pod-json, --path)"

// difference is the verdict on the kinds whose pods are known.
func (c *judging) difference() (string, CompareResult) {
	var held, not []string // each all or nothing, or told with its numbers
	known, failing, partly := 0, 0, false
	for _, m := range c.Kinds {
		switch broken := c.breaks(m); {
		case m.Unknown == m.Sessions:
			continue
		case m.Held == m.Sessions && m.Once < m.Sessions:
			held = append(held, c.Name(m))
		case m.Held == m.Sessions: // one request each
		case m.Broken > 0 && broken == "" && m.Wander == 0:
			partly = true
			if m.Broken == m.Sessions {
				failing++
			}
			not = append(not, fmt.Sprintf("%s (%d of %d fail%s)", c.Name(m), m.Broken, m.Sessions, c.why(m)))
		default:
			partly = partly || m.Held > 0
			not = append(not, fmt.Sprintf("%s (%d of %d%s)", c.Name(m), m.Held, m.Sessions, broken))
		}
		known++
	}
	switch {
	case known == 0:
		return "not known" + namePods, CompareUnknown
	case failing == len(c.Kinds):
		return "every session fails", CompareNone
	case len(not) == 0 && len(held) == len(c.Kinds):
		return "every " + c.noun() + " was held by one pod", CompareSame
	case len(not) == 0 && len(held) > 0:
		return "held by one pod: " + strings.Join(held, ", "), CompareSame
	case len(not) == 0:
		return "not known: too few requests", CompareUnknown
	case len(held) > 0 && c.speaking && !partly:
		return "sticky only for " + strings.Join(held, ", ") + ", not for " + strings.Join(not, ", "), CompareDiffers
	case len(held) == 0 && !partly && len(not) == len(c.Kinds):
		return "no " + c.noun() + " was held", CompareNone
	}
	return "not held the same: " + strings.Join(not, ", "), CompareDiffers
}

// why is how the first session of a kind that fails does.
func (c *judging) why(m KindSummary) string {
	for _, x := range c.sessions {
		if x.Spec.Route == m.Route && x.Spec.Transport == m.Transport && x.Spec.Client == m.Client && x.InARow > 0 && x.LastFailure != nil {
			return ": " + Clean(x.LastFailure.Text, 100)
		}
	}
	return ""
}

// breaks is the rule that says that failures of a kind are ones of affinity: its
// requests were answered by pods that do not have the session.
func (c *judging) breaks(m KindSummary) string {
	for _, f := range c.findings {
		vain := inVain(f)
		if f.Route != m.Route || f.Rule != "I01" && f.Rule != "I03" && f.Rule != "B07" && vain == "" {
			continue
		}
		for _, x := range c.sessions {
			if x.Spec.ID == f.Session && x.Spec.Transport == m.Transport && x.Spec.Client == m.Client {
				return ", " + f.Rule + vain
			}
		}
	}
	return ""
}

// inVain is why the client of f does not send the affinity cookie back, where that
// is what f found for certain (B02, B03, B04): the end of a sentence.
func inVain(f Finding) string {
	if f.Certainty != CertaintyExact {
		return ""
	}
	for _, e := range f.Evidence {
		if why, ok := strings.CutPrefix(e.Text, offeredInVain); ok {
			why, _, _ = strings.Cut(why, ": ") // what it takes is the finding's to say
			return ": the affinity cookie is not sent back, " + Clean(why, 100)
		}
	}
	return ""
}

// How often comparisons are made, how long a verdict must stand before the
// timeline tells it, and how far apart two lines are: sessions that fail and
// connect again would fill it.
const (
	compareEvery = time.Second
	compareHolds = 3 * time.Second
	compareApart = 15 * time.Second
)

// comparisons is what the fold remembers of them.
type comparisons struct {
	all  []Comparison
	at   time.Time // when they were made
	told map[RouteID]compareTold
}

type compareTold struct {
	gist  string // of the line on the timeline; "" before the first
	at    time.Time
	next  string // what stands now
	since time.Time
}

// numbers are what changes in a verdict that stays the same.
var numbers = regexp.MustCompile(` \([^)]*\)`)

// compareNow compares the sessions as the views have them, and puts on the
// timeline what they came to when that is first known, and when it changes.
func (st *State) compareNow(now time.Time) {
	c := &st.comparisons
	if !c.at.IsZero() && now.Sub(c.at) < compareEvery && !now.Before(c.at) {
		return
	}
	c.at, c.all = now, compare(st.views.sessions, st.views.findings)
	for _, x := range c.all {
		if c.told == nil {
			c.told = map[RouteID]compareTold{}
		}
		t := c.told[x.Route]
		text, _, _ := strings.Cut(x.Verdict, "; they show ")
		gist := numbers.ReplaceAllString(text, "")
		if gist != t.next {
			t.next, t.since = gist, now
		}
		if x.Result != CompareUnknown && gist != t.gist && now.Sub(t.since) >= compareHolds && (t.gist == "" || now.Sub(t.at) >= compareApart) {
			t.gist, t.at = gist, now
			level := LevelWarning
			if x.Result == CompareSame {
				level = LevelInfo
			}
			st.happen(Happening{At: now, Source: "probe", Kind: "compared", Route: x.Route, Level: level,
				Text: Clean("compared: "+text, 300)})
		}
		c.told[x.Route] = t
	}
}
