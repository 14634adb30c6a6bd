package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestCleanSpans: what is written to, or not the program's, is let be.
func TestCleanSpans(t *testing.T) {
	mapping := func(head, dirty, anonymous, swap, locked string) string {
		return fmt.Sprintf("%s\nSize:   100 kB\nRss:   80 kB\nPrivate_Clean:   80 kB\nPrivate_Dirty:   %s kB\nAnonymous:   %s kB\nSwap:   %s kB\nLocked:   %s kB\nVmFlags: rd ex mr mw me\n", head, dirty, anonymous, swap, locked)
	}
	const program = "/usr/bin/sticky top"
	for name, c := range map[string]struct {
		smaps string
		want  []span
		bad   bool
	}{
		"code":             {mapping("00400000-012ab000 r-xp 00000000 fe:00 9978372   "+program, "0", "0", "0", "0"), []span{{0x400000, 0x12ab000}}, false},
		"constants":        {mapping("012ab000-021d4000 r--p 00eab000 fe:00 9978372   "+program, "0", "0", "0", "0"), []span{{0x12ab000, 0x21d4000}}, false},
		"variables":        {mapping("021d4000-0229a000 rw-p 01dd4000 fe:00 9978372   "+program, "0", "0", "0", "0"), nil, false},
		"shared":           {mapping("021d4000-0229a000 r--s 01dd4000 fe:00 9978372   "+program, "0", "0", "0", "0"), nil, false},
		"written to":       {mapping("00400000-012ab000 r-xp 00000000 fe:00 9978372   "+program, "4", "0", "0", "0"), nil, false},
		"a breakpoint":     {mapping("00400000-012ab000 r-xp 00000000 fe:00 9978372   "+program, "0", "4", "0", "0"), nil, false},
		"swapped out":      {mapping("00400000-012ab000 r-xp 00000000 fe:00 9978372   "+program, "0", "0", "4", "0"), nil, false},
		"locked":           {mapping("00400000-012ab000 r-xp 00000000 fe:00 9978372   "+program, "0", "0", "0", "4"), nil, false},
		"a library":        {mapping("7f1316600000-7f1316642000 r-xp 00000000 fe:00 1   /lib/libc.so.6", "0", "0", "0", "0"), nil, false},
		"no file":          {mapping("7f1316600000-7f1316642000 r--p 00000000 00:00 0", "0", "0", "0", "0"), nil, false},
		"does not say all": {"00400000-012ab000 r-xp 00000000 fe:00 1 " + program + "\nAnonymous: 0 kB\nSwap: 0 kB\n", nil, false},
		"of the next": {"00400000-012ab000 r-xp 00000000 fe:00 1 " + program + "\nPrivate_Dirty: 0 kB\nAnonymous: 0 kB\n" +
			"012ab000-021d4000 rw-p 00eab000 fe:00 1 " + program + "\nSwap: 0 kB\nLocked: 0 kB\n", nil, false},
		"two": {mapping("00400000-012ab000 r-xp 00000000 fe:00 1 "+program, "0", "0", "0", "0") + mapping("012ab000-021d4000 r--p 00eab000 fe:00 1 "+program, "0", "0", "0", "0"),
			[]span{{0x400000, 0x12ab000}, {0x12ab000, 0x21d4000}}, false},
		"no mapping": {"nonsense\n", nil, true},
		"backwards":  {"012ab000-00400000 r-xp 00000000 fe:00 1 " + program + "\n", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cleanSpans(strings.NewReader(c.smaps), program)
			if !slices.Equal(got, c.want) || (err != nil) != c.bad {
				t.Errorf("cleanSpans() = %x, %v, want %x", got, err, c.want)
			}
		})
	}
}
