package affinity

import (
	"fmt"
	"time"
)

// standing is what a finding of the pins rests on: while it holds, the finding
// speaks of now, afterwards of what was.
type standing struct {
	holds func(now time.Time) bool
	was   string // the title afterwards; %s is until when
	over  bool
}

// findWhile records a finding that speaks of now, in place of one that had
// become past.
func (a *addresses) findWhile(detail string, service ServiceRef, f Finding, s standing, now time.Time) {
	key := addressKeyed{f.Rule, service, detail}
	if a.has(f.Rule, service, detail) || len(a.found) >= maxFindings {
		return
	}
	delete(a.found, key)
	a.find(detail, service, f, now)
	if a.standing == nil {
		a.standing = map[addressKeyed]*standing{}
	}
	a.standing[key] = &s
	a.news = true
}

// has reports whether that was found, and is so.
func (a *addresses) has(rule string, service ServiceRef, detail string) bool {
	key := addressKeyed{rule, service, detail}
	_, had := a.found[key]
	s := a.standing[key]
	return had && (s == nil || !s.over)
}

// judgeStanding puts into the past what does not hold any more.
func (a *addresses) judgeStanding(now time.Time) {
	for key, s := range a.standing {
		f, had := a.found[key]
		if !had || s.over || s.holds(now) {
			continue
		}
		s.over, a.news = true, true
		f.Title = fmt.Sprintf(s.was, now.UTC().Format("15:04:05Z"))
		a.found[key] = f
	}
}

// inForce returns the pin of that key while it decides for its client; else nil.
func (a *addresses) inForce(key AddressKey, now time.Time) *AddressPin {
	if p := a.pins[key]; p != nil && !p.Shadowed && !p.Over(now) {
		return p
	}
	return nil
}

// pinsHold is the standing of a finding that is so while all those pins are.
func (a *addresses) pinsHold(pins ...*AddressPin) func(time.Time) bool {
	keys := make([]AddressKey, len(pins))
	for i, p := range pins {
		keys[i] = p.AddressKey
	}
	return func(now time.Time) bool {
		for _, key := range keys {
			if a.inForce(key, now) == nil {
				return false
			}
		}
		return true
	}
}
