package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// hangUp ends what `lab exec` and `lab shell` of a lab that is gone left running: it sits in the lab's network
// namespaces and keeps them. They are known by the environment that Command gives, and by another network than ours.
// A process that ignores the hangup is killed a second later.
func hangUp(dir string) {
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGKILL} {
		end := time.Now().Add(time.Second)
		for {
			left := guests(dir)
			if len(left) == 0 {
				return
			}
			if sig != 0 {
				for _, pid := range left {
					_ = syscall.Kill(pid, sig)
				}
			}
			if sig = 0; time.Now().After(end) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// guests are the processes of a lab's Commands outside of its PID namespace, as far as the caller may look.
func guests(dir string) []int {
	mine, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil
	}
	mark := append(append([]byte{0}, cacheVariable(dir)...), 0)
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(append([]byte{0}, env...), mark) {
			continue
		}
		net, err := os.Readlink(filepath.Join(filepath.Dir(path), "ns/net"))
		if pid, err2 := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && err2 == nil && net != mine {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cacheVariable marks a lab's Commands. All labs have one API server's address: kubectl would take what it cached of
// one for another's.
func cacheVariable(dir string) string {
	return "KUBECACHEDIR=" + filepath.Join(dir, "kubectl-cache")
}
