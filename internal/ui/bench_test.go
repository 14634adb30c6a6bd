//go:build unix

package ui

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// crowd is n sessions on twelve pods, each with a minute of history.
func crowd(n int) *world {
	w := base()
	var names []string
	for i := range 12 {
		name := fmt.Sprintf("msgapp-7c9f-p%04d", i)
		w.add(name, fmt.Sprintf("10.4.7.%d", i+1), "node-7", time.Hour)
		names = append(names, name)
	}
	for i := range n {
		w.open(fmt.Sprintf("s%05d", i), affinity.ClientBrowser)
	}
	for sec := range 6 {
		w.now = start.Add(time.Duration(sec) * 10 * time.Second)
		for i := range n {
			w.answer(fmt.Sprintf("s%05d", i), names[i%len(names)], sec == 0, time.Duration(20+i%50)*time.Millisecond)
		}
	}
	w.now = start.Add(time.Minute)
	return w
}

// cpuTime is what this process has used of all cores: other programs stretch
// the clock, not this.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkView draws a frame of ten thousand sessions at 140x40, every view
// of it drawn anew each time.
func BenchmarkView(b *testing.B) {
	w := crowd(10_000)
	m := sized(w.options(), 140, 40)
	for v := range views {
		b.Run(viewNames[v], func(b *testing.B) {
			m.show(v)
			m.refresh()
			b.ReportAllocs()
			before, n := cpuTime(), 0
			for b.Loop() {
				m.rev++
				m.View()
				n++
			}
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(n), "core-µs/op")
		})
	}
}

// BenchmarkIdleFrame is what a frame costs in which nothing changed.
func BenchmarkIdleFrame(b *testing.B) {
	w := crowd(10_000)
	m := sized(w.options(), 140, 40)
	m.View()
	b.ReportAllocs()
	for b.Loop() {
		m.View()
	}
}

// BenchmarkAdopt is what the screen computes once a second from a snapshot of
// ten thousand sessions: counts, order, filter, distribution.
func BenchmarkAdopt(b *testing.B) {
	w := crowd(10_000)
	m := sized(w.options(), 140, 40)
	press(m, "2", "S", "/", "type:pod!=A", "enter")
	snap := w.snap()
	b.ReportAllocs()
	for b.Loop() {
		w.now = w.now.Add(time.Second)
		m.sessions.dirty = true
		m.adopt(snap, w.now)
	}
}

// BenchmarkKey is a step of the cursor among ten thousand sessions.
func BenchmarkKey(b *testing.B) {
	w := crowd(10_000)
	m := sized(w.options(), 140, 40)
	press(m, "2")
	b.ReportAllocs()
	for b.Loop() {
		press(m, "j")
		m.View()
	}
}
