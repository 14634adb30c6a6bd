package kernel

import (
	"fmt"
	"slices"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// jitter is how far two readings of one deadline lie apart without anything
// having happened.
const jitter = 250 * time.Millisecond

func newest(lists []List) (stamp uint64) {
	for _, l := range lists {
		for _, e := range l.Entries {
			stamp = max(stamp, e.Seen)
		}
	}
	return stamp
}

// fromSet takes the deadline that the kernel counts down itself. An element
// keeps it when the set's timeout changes, until its next connection.
func fromSet(pin *affinity.AddressPin, n reading, l List, e Entry, p place) {
	pin.Timeout, pin.Expires, pin.SinceOrBefore = l.Timeout, n.at.Add(e.Left), true
	if e.Timeout == 0 && e.Left <= l.Timeout+jitter {
		pin.Renewed = pin.Expires.Add(-l.Timeout)
		pin.Since = pin.Renewed
	}
	if l.Timeout != p.timeout {
		pin.Note = fmt.Sprintf("the Service says %s, the node still enforces %s", p.timeout, l.Timeout)
	}
}

// fromMap takes the deadline of Cilium's map, which counts whole seconds.
func fromMap(pin *affinity.AddressPin, n reading, e Entry, p place) {
	pin.Timeout, pin.Expires, pin.SinceOrBefore = e.Timeout, n.at.Add(e.Left), true
	pin.Renewed = pin.Expires.Add(-e.Timeout)
	pin.Since = pin.Renewed
	if e.Timeout != p.timeout {
		pin.Note = fmt.Sprintf("the Service says %s, the node still enforces %s", p.timeout, e.Timeout)
	}
}

// fromRecent works the deadline out from the last connection: xt_recent holds
// no timeout, the rule that looks a client up does, so that a changed
// timeoutSeconds counts for old entries too. It returns false when the time of
// the entry is up.
func (c clock) fromRecent(pin *affinity.AddressPin, n reading, e Entry, p place) bool {
	pin.Timeout, pin.SinceOrBefore = p.timeout, true
	age, ok := c.age(e.Seen, n.uptime)
	if !ok {
		pin.Note = "when it ends cannot be told: the kernel's HZ is not known"
		return true
	}
	if age > p.timeout {
		return false
	}
	pin.Renewed = n.at.Add(-age)
	pin.Expires = pin.Renewed.Add(p.timeout)
	pin.Since = pin.Renewed
	// Back through the stamps while no gap is longer than the timeout.
	var ring [maxStamps]uint64
	stamps := e.stamps(ring[:0])
	slices.Sort(stamps)
	last := age
	for _, s := range slices.Backward(stamps) {
		a, ok := c.age(s, n.uptime)
		if !ok {
			break
		}
		if a-last > p.timeout {
			pin.SinceOrBefore = false // the pin before it had expired
			break
		}
		last = max(a, last)
	}
	pin.Since = n.at.Add(-last)
	return true
}
