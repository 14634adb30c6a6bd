package kernel

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// hertz are the values CONFIG_HZ can have on x86 and arm64 (linux:
// kernel/Kconfig.hz).
var hertz = []uint64{100, 250, 300, 1000}

// jiffiesStart is where a 64-bit kernel starts to count, minus HZ for each of
// 300 seconds (linux: include/linux/jiffies.h, INITIAL_JIFFIES).
const (
	jiffiesStart = 1 << 32
	startLead    = 300 * time.Second
)

// clock turns jiffies into ages. The zero value knows nothing; learn what the
// machine tells with calibrate and, where it tells nothing, from stamps.
type clock struct {
	hz     uint64
	offset int64 // of jiffies against the formula, constant from boot to boot
	exact  bool  // offset was measured; otherwise ages are up to a second long
}

// formula is what jiffies should be at uptime on CLOCK_MONOTONIC.
func formula(hz uint64, uptime time.Duration) int64 {
	// Seconds and the rest apart: years of uptime in nanoseconds times 1000 overflow.
	lead := uptime - startLead
	return jiffiesStart + int64(lead/time.Second)*int64(hz) + int64(lead%time.Second)*int64(hz)/int64(time.Second)
}

// age returns how long ago a stamp was, at uptime; ok is false without hz, and
// for a stamp that lies in the future by more than a second.
func (c clock) age(stamp uint64, uptime time.Duration) (age time.Duration, ok bool) {
	if c.hz == 0 {
		return 0, false
	}
	n := formula(c.hz, uptime) + c.offset - int64(stamp)
	if n < -int64(c.hz) || stamp > 1<<62 {
		return 0, false
	}
	n = max(n, 0)
	return time.Duration(n/int64(c.hz))*time.Second + time.Duration(n%int64(c.hz))*time.Second/time.Duration(c.hz), true
}

// calibrate asks the machine: /proc/timer_list says jiffies itself (root only,
// and masked in containers), /proc/config.gz and the boot configuration say HZ.
func (c *clock) calibrate(proc string) {
	if f, err := os.Open(filepath.Join(proc, "timer_list")); err == nil {
		uptime, jiffies := parseTimerList(f)
		f.Close()
		if c.measure(uptime, jiffies) {
			return
		}
	}
	if f, err := os.Open(filepath.Join(proc, "config.gz")); err == nil {
		defer f.Close()
		if z, err := gzip.NewReader(f); err == nil {
			c.hz = parseConfigHZ(z)
		}
	}
	if c.hz > 0 {
		return
	}
	release, err := os.ReadFile(filepath.Join(proc, "sys/kernel/osrelease"))
	if err != nil {
		return
	}
	if f, err := os.Open("/boot/config-" + filepath.Base(strings.TrimSpace(string(release)))); err == nil {
		defer f.Close()
		c.hz = parseConfigHZ(f)
	}
}

// measure takes hz and the offset from one look at jiffies. In the minutes
// around 300 s after boot every hz fits.
func (c *clock) measure(uptime time.Duration, jiffies uint64) bool {
	if jiffies == 0 || (uptime-startLead).Abs() < time.Minute {
		return false
	}
	var found []uint64
	for _, hz := range hertz {
		if d := int64(jiffies) - formula(hz, uptime); d > -5*int64(hz) && d < 5*int64(hz) {
			found = append(found, hz)
		}
	}
	if len(found) != 1 {
		return false
	}
	c.hz, c.exact = found[0], true
	c.offset = int64(jiffies) - formula(c.hz, uptime)
	return true
}

// infer settles hz by the stamps themselves: none lies in the future, and a
// fresh one is near the present. It needs more than 300 s of uptime.
func (c *clock) infer(newest uint64, uptime time.Duration) {
	since := (uptime - startLead).Seconds()
	if c.hz != 0 || since < 60 || newest <= jiffiesStart || newest > 1<<62 {
		return
	}
	e := float64(newest-jiffiesStart) / since * 0.999
	for i, hz := range hertz {
		if e > float64(hz) {
			continue
		}
		// A stamp could be an old one of a faster clock: believe it only when
		// it is fresh by this hz.
		if i+1 == len(hertz) || e > 0.9*float64(hz) {
			c.hz = hz
		}
		return
	}
}

// parseTimerList reads "now at N nsecs" and the first "jiffies: N".
func parseTimerList(r io.Reader) (uptime time.Duration, jiffies uint64) {
	lines := bufio.NewScanner(io.LimitReader(r, 4<<20))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if s, ok := strings.CutPrefix(line, "now at "); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(s, " nsecs"), 10, 64)
			uptime = time.Duration(n)
		}
		if s, ok := strings.CutPrefix(line, "jiffies: "); ok {
			n, _ := strconv.ParseUint(s, 10, 64)
			return uptime, n
		}
	}
	return 0, 0
}

func parseConfigHZ(r io.Reader) uint64 {
	lines := bufio.NewScanner(io.LimitReader(r, 4<<20))
	for lines.Scan() {
		if s, ok := strings.CutPrefix(lines.Text(), "CONFIG_HZ="); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
			return n
		}
	}
	return 0
}
