package term

import "golang.org/x/sys/unix"

// Some of Linux's architectures have no dup2.
func dup2(from, to int) error { return unix.Dup3(from, to, 0) }
