package probe

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// jitter spreads sessions that began together: ±10 %.
	jitter = 0.1
	// maxBackoff is the longest pause after requests that got no answer.
	maxBackoff = 30 * time.Second
	// maxErrorPause is the longest after error answers: somebody is there, and
	// who repairs it wants to see that it works again.
	maxErrorPause = 5 * time.Second
	// fullness is how much of the budget the sessions plan to use. The rest
	// keeps the queue for the token bucket short, so that a request the user
	// asks for goes out at once.
	fullness = 0.9
)

// pace decides when a session asks next.
type pace struct {
	base     time.Duration
	maxRPS   float64
	sessions atomic.Int64 // how many share the budget
}

// interval is the time between two requests of each session: the configured
// one, or as much longer, for all alike, as the budget wants.
func (p *pace) interval() time.Duration {
	share := float64(p.sessions.Load()) / (p.maxRPS * fullness)
	return max(p.base, time.Duration(share*float64(time.Second)))
}

// Round is how long it takes until each of n sessions has asked once, with o's
// interval and budget.
func (o Options) Round(n int) time.Duration {
	set := settings{Options: o}
	set.fill()
	p := pace{base: set.Interval, maxRPS: set.MaxRPS}
	p.sessions.Store(int64(n))
	return p.interval()
}

// next returns when to ask again after a request that ran from began to ended
// and was answered. Whoever answers slowly is left alone for half an interval.
func (p *pace) next(began, ended time.Time) time.Time {
	d := spread(p.interval())
	if rest := ended.Add(d / 2); began.Add(d).Before(rest) {
		return rest
	}
	return began.Add(d)
}

// backoff returns the pause after the n-th failure in a row: 1 s twice, so that
// a session is seen on its new pod soon, then doubling up to most. Never shorter
// than the interval.
func (p *pace) backoff(n int, most time.Duration) time.Duration {
	d := most
	if n < 8 {
		d = min(time.Second<<max(0, n-2), most)
	}
	return spread(max(d, p.interval()))
}

// reconnect is the pause before the n-th attempt in a row to connect again, as
// socket.io-client makes it by default: 1 s doubling to 5 s, varied by half
// (reconnectionDelay, reconnectionDelayMax, randomizationFactor).
func reconnect(n int) time.Duration {
	d := time.Second << min(max(0, n-1), 6)
	return min(time.Duration(float64(d)*(0.5+rand.Float64())), 5*time.Second)
}

// spread varies d by ±10 %.
func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64()))
}
