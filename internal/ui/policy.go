package ui

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// policyText says in one line what a policy does: "cookie msgapp-sticky,
// persistent, 3h burns".
func policyText(p affinity.Policy) string {
	switch p.Mechanism {
	case affinity.MechanismNone:
		return "no affinity"
	case affinity.MechanismUnknown:
		return "affinity not known"
	case affinity.MechanismClientIP:
		return "ClientIP " + seconds(p.Timeout)
	}
	text := p.Mechanism.String()
	if p.Cookie.Name != "" {
		text += " " + p.Cookie.Name
	}
	if p.Mode != "" {
		text += ", " + p.Mode
	}
	return text + ", " + timeoutText(p)
}

// shortPolicy is policyText with what tells policies apart first.
func shortPolicy(p affinity.Policy) string {
	if p.Mechanism != affinity.MechanismCookie && p.Mechanism != affinity.MechanismHeader {
		return policyText(p)
	}
	return p.Mechanism.String() + " " + timeoutText(p) + " " + p.Cookie.Name
}

// timeoutText says how long a policy holds: "3h!" burns, "1h~" is refilled.
func timeoutText(p affinity.Policy) string {
	if p.Renewal == affinity.RenewalSession {
		return "browser-session"
	}
	life := p.Timeout
	if life == 0 {
		life = p.Cookie.MaxAge
	}
	switch {
	case life < 0 || life == 0 && p.Cookie.HasAge:
		return "expires at once"
	case life == 0:
		return "no timeout"
	}
	return briefly(life) + sign(p.Renewal)
}

// seconds prints a duration as Kubernetes configures it: 10800s.
func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + "s" }

// briefly prints a configured duration: 3h, 1h30m, 90s.
func briefly(d time.Duration) string {
	s := int(d / time.Second)
	switch {
	case s%86400 == 0 && s >= 2*86400:
		return fmt.Sprintf("%dd", s/86400)
	case s%3600 == 0:
		return fmt.Sprintf("%dh", s/3600)
	case s >= 3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	case s%60 == 0:
		return fmt.Sprintf("%dm", s/60)
	}
	return fmt.Sprintf("%ds", s)
}
