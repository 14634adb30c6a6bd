package agent

import (
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// trim gives back what this process holds in memory without need: pages of its
// program's file, which the kernel maps again from its page cache, or reads
// again, when they are touched, and free pages of the heap.
func trim() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer smaps.Close()
	spans, err := cleanSpans(smaps, program)
	if err != nil {
		return err
	}
	debug.FreeOSMemory()
	for _, s := range spans {
		if _, _, no := unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED); no != 0 {
			return fmt.Errorf("madvise: %w", no)
		}
	}
	return nil
}
