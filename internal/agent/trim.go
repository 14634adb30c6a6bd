package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// An agent trims itself when it has started, since most of what it keeps in
// memory by then are pages of its program that it never needs again (see
// docs/design/006-agent-memory.md), and again and again, for what seldom runs.
const (
	trimFirst = 2 * time.Second
	trimEvery = 30 * time.Second
)

// keepSmall trims this process until ctx ends. Where it cannot, it is as large
// as it is: nothing else depends on it.
func keepSmall(ctx context.Context) {
	for wait := trimFirst; ; wait = trimEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := trim(); err != nil {
			return
		}
	}
}

// span is a part of the address space.
type span struct{ from, to uintptr }

// maxMappings bounds what is read of smaps; a Go program has some dozens.
const maxMappings = 1 << 20

// cleanSpans finds in a process's smaps the mappings of its program's file that
// hold nothing but the file: read-only, and no page of them written to, by
// relocation or a debugger, be it swapped out since (linux:
// Documentation/filesystems/proc.rst). One that does not say so is left out.
func cleanSpans(smaps io.Reader, program string) ([]span, error) {
	var (
		spans []span
		now   span
		need  int // fields that have yet to say 0
	)
	lines := bufio.NewScanner(io.LimitReader(smaps, maxMappings))
	for lines.Scan() {
		line := lines.Text()
		name, value, field := strings.Cut(line, ":")
		switch {
		case field && !strings.Contains(name, " "):
			switch name {
			case "Private_Dirty", "Anonymous", "Swap", "Locked":
				if need > 0 && strings.TrimSpace(value) == "0 kB" {
					if need--; need == 0 {
						spans = append(spans, now)
					}
				}
			}
		default:
			var err error
			if now, need, err = mapping(line, program); err != nil {
				return nil, err
			}
		}
	}
	return spans, lines.Err()
}

// dirt is how many fields of a mapping must say 0.
const dirt = 4

// mapping reads the first line of a mapping; need is 0 for one that is no
// read-only part of program.
func mapping(line, program string) (s span, need int, err error) {
	f := strings.SplitN(line, " ", 6)
	if len(f) < 5 {
		return s, 0, fmt.Errorf("smaps: %.40q is no mapping", line)
	}
	from, to, _ := strings.Cut(f[0], "-")
	a, err1 := strconv.ParseUint(from, 16, 64)
	b, err2 := strconv.ParseUint(to, 16, 64)
	if err1 != nil || err2 != nil || a >= b {
		return s, 0, fmt.Errorf("smaps: %.40q is no mapping", line)
	}
	if len(f) == 6 && (f[1] == "r--p" || f[1] == "r-xp") && strings.TrimLeft(f[5], " ") == program {
		need = dirt
	}
	return span{uintptr(a), uintptr(b)}, need, nil
}
